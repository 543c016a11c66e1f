"""What of this distribution is installed: by itself the client, with the extra `pipeline` everything.

It stands here since every room may import `schema`. Needs nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from typing import Final

EXTRA: Final = "pipeline"
_ADVICE: Final = (
    "this is the client alone. Everything else comes with the extra: pip install 'tfx-object-detection[pipeline]', or, "
    "as tested, `make install` in a checkout"
)
_MARK: Final = "tfx"
"""Who has this has asked for everything; what is missing then is a fault, and no choice."""


@contextlib.contextmanager
def everything_for(command: str) -> Iterator[None]:
    """Ends the program in words where ``command`` lacks a module because the client alone is installed.

    As a context, or as a decorator of a command's ``main``.

    Args:
      command: as it is typed.

    Raises:
      SystemExit: with the extra to install.
      ModuleNotFoundError: another module is missing, as it came.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if _is_everything_there():
            raise
        raise SystemExit(f"error: {command} needs {error.name}, which is not installed: {_ADVICE}") from None


def require_everything(package: str) -> None:
    """To be called when a package is imported all of whose commands need everything.

    Args:
      package: its name. `python -m` of one of its modules then ends with this error in a line, without a traceback.

    Raises:
      ModuleNotFoundError: the client alone is installed; it names the extra to install.
    """
    if not _is_everything_there():
        raise ModuleNotFoundError(f"{package} needs {_MARK}, which is not installed: {_ADVICE}", name=package)


def how_to_install(extra: str) -> str:
    """The command that installs what an extra brings, such as ``litert``."""
    return f"pip install 'tfx-object-detection[{extra}]'"


def _is_everything_there() -> bool:
    return importlib.util.find_spec(_MARK) is not None
