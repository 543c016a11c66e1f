"""The templates of pages."""

from __future__ import annotations

import jinja2


def templates() -> jinja2.Environment:
    """Those of ``templates/``. Everything that one is given is escaped: class names and metadata are the user's."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("components.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
