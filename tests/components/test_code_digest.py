"""Which modules a digest of code is made of."""

from __future__ import annotations

import pathlib
import pkgutil
import shutil

import pytest

from components import code_digest as subject
from components.code_digest import code_digest, reachable_modules
from components.detector.names import DETECTORS
from components.detector.registry import _CLASSES
from components.example_gen import formats
from components.trainer import strategies

REPOSITORY = pathlib.Path(__file__).parents[2]


@pytest.fixture
def tree(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A small tree in place of ours, without imports."""
    monkeypatch.setattr(subject, "_ROOT", tmp_path)
    for name in ("__init__", "start", "used", "unused", "room/__init__", "room/one", "room/two"):
        file = tmp_path / "components" / f"{name}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text("")
    return tmp_path / "components"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("", set()),
        ("import json, numpy, components.used", {"used"}),
        ("from components.used import name", {"used"}),
        ("from components import used as other", {"used"}),
        ("from . import used", {"used"}),
        ("from .room.one import name", {"room", "room.one"}),
        ("def late():\n    from components.used import name", {"used"}),
        ("import components.room.two", {"room", "room.two"}),
        ('MODULES = {"x": "components.used"}', {"used"}),
        ('RUN_FN = "components.used.run_fn"', {"used"}),
        ('load(f"components.room.{name}")', {"room", "room.one", "room.two"}),
        ('"""See components.used for more."""', set()),
        ('"othercomponents.used"', set()),
    ],
)
def test_what_a_module_names_is_found(tree: pathlib.Path, source: str, found: set[str]) -> None:
    (tree / "start.py").write_text(source)
    expected = {"components", "components.start", *(f"components.{name}" for name in found)}
    assert reachable_modules("components.start") == expected


def test_a_relative_import_of_a_package_starts_in_it(tree: pathlib.Path) -> None:
    (tree / "room" / "__init__.py").write_text("from . import one")
    assert "components.room.one" in reachable_modules("components.room")


def test_the_digest_follows_the_source_and_nothing_else(tree: pathlib.Path) -> None:
    (tree / "start.py").write_text("from components.room import one")
    (tree / "room" / "one.py").write_text("import components.used\nimport components.start")
    before = code_digest("components.start")
    (tree / "used.py").touch()
    (tree / "unused.py").write_text("x = 1")
    assert code_digest("components.start") == before
    (tree / "used.py").write_text("x = 1")
    assert code_digest("components.start") != before


def test_where_the_code_lies_does_not_count(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout, an image and every step in it agree."""
    here = code_digest("components.trainer.run")
    for package in ("components", "schema"):
        shutil.copytree(REPOSITORY / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(subject, "_ROOT", tmp_path)
    assert code_digest("components.trainer.run") == here


def test_a_module_that_is_not_there_is_an_error(tree: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"components\.nowhere: no source"):
        code_digest("components.nowhere")


def test_what_is_only_chosen_when_a_node_runs_counts() -> None:
    """Detectors, formats and strategies are imported by name; a change of one runs its node again."""
    trained = reachable_modules("components.trainer.run")
    assert _CLASSES.keys() == set(DETECTORS)
    assert {path.rpartition(".")[0] for path in _CLASSES.values()} <= trained
    assert _modules_in(strategies) <= trained
    assert _modules_in(formats) <= reachable_modules("components.example_gen.component")
    assert "components.evaluator.record_matching" in reachable_modules("components.evaluator.component")


def _modules_in(package: object) -> set[str]:
    found = {f"{package.__name__}.{module.name}" for module in pkgutil.iter_modules(package.__path__)}
    assert found
    return found
