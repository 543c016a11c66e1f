"""The base of every settings class: typed, frozen, strict, documented at the field.

Each component keeps its own settings in ``components/<name>/settings.py`` (which imports neither TFX nor TensorFlow, so
that a config error costs no time); ``pipeline.config`` puts them together into the one YAML file a user writes. The
docstring under a field is its documentation: ``python -m pipeline config --explain`` prints it.
"""

from __future__ import annotations

import pydantic


class Settings(pydantic.BaseModel):
    """A section of the config. Unknown keys are errors, fields cannot be changed once checked."""

    model_config = pydantic.ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True, allow_inf_nan=False
    )
