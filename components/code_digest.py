"""A digest of the code that a node runs.

TFX takes a node from its cache when its parameters and inputs are those of an earlier run. Code that a parameter only
names (``run_fn``, an executor class) is not among them: without a digest of it, a changed loss gives yesterday's model.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import pathlib
import re
from collections.abc import Iterator
from typing import Final

CODE_DIGEST: Final = "code_digest"
"""The node's parameter that holds it."""

_ROOT: Final = pathlib.Path(__file__).parents[1]
_PACKAGES: Final = ("components", "schema", "serving")
"""All of ours that code in a node may import or run."""
_DOTTED_PATH: Final = re.compile(rf"({'|'.join(_PACKAGES)})(\.[A-Za-z_]\w*)+\.?")


def code_digest(module: str) -> str:
    """Digest of a module's source and of the source of everything of ours that it imports, directly or not.

    The source is read, not run. Imports count wherever they stand, in functions as well. So does a text that is a
    dotted path of ours, as registries hold them; one that ends with a dot, as in
    ``f"components.trainer.strategies.{name}"``, stands for every module below it.

    Args:
      module: dotted path, e.g. ``components.trainer.run``.

    Returns:
      32 hexadecimal digits. Where the package is installed, and when, is not among what they are made of.

    Raises:
      ValueError: there is no such module of ours.
    """
    if _source_file(module) is None:
        raise ValueError(f"{module}: no source of this module below {_ROOT}; expected one of {', '.join(_PACKAGES)}")
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(reachable_modules(module)):
        source = _source(name)
        digest.update(f"{name} {len(source)}\n".encode() + source)
    return digest.hexdigest()


def reachable_modules(module: str) -> set[str]:
    """The module, and those of ours that run when it does."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in found and _source_file(name) is not None:
            found.add(name)
            # Importing a module runs the packages it lies in.
            waiting += [name.rpartition(".")[0], *_named_modules(name)]
    return found


def _source_file(module: str) -> pathlib.Path | None:
    """Where a module of ours is; None for anything else, such as a name inside a module."""
    if module.partition(".")[0] not in _PACKAGES:
        return None
    path = _ROOT.joinpath(*module.split("."))
    candidates = (path / "__init__.py", path.with_name(f"{path.name}.py"))
    return next((file for file in candidates if file.is_file()), None)


def _source(module: str) -> bytes:
    file = _source_file(module)
    return b"" if file is None else file.read_bytes()


def _named_modules(module: str) -> frozenset[str]:
    """What the source of a module names; some of it may be no module."""
    return frozenset(name for node in ast.walk(ast.parse(_source(module))) for name in _names_in(node, module))


def _names_in(node: ast.AST, module: str) -> Iterator[str]:
    match node:
        case ast.Import():
            yield from (alias.name for alias in node.names)
        case ast.ImportFrom():
            base = node.module or ""
            if node.level:
                file = _source_file(module)
                is_package = file is not None and file.name == "__init__.py"
                package = module if is_package else module.rpartition(".")[0]
                base = importlib.util.resolve_name("." * node.level + base, package)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        case ast.Constant(value=str(text)) if _DOTTED_PATH.fullmatch(text):
            if text.endswith("."):
                yield from _modules_below(text.rstrip("."))
            else:
                # `components.trainer.run.run_fn` is a name in a module.
                yield from (text, text.rpartition(".")[0])


def _modules_below(package: str) -> Iterator[str]:
    for file in _ROOT.joinpath(*package.split(".")).rglob("*.py"):
        yield ".".join(file.relative_to(_ROOT).with_suffix("").parts).removesuffix(".__init__")
