"""Without an extra the client is installed, and nothing else is; what is missing is said with the extra's name."""

from __future__ import annotations

import importlib.metadata
import pathlib
import re

import grimp
import pytest

from kubeflow.image_packages import normalized
from schema.installation import EXTRA, everything_for, require_everything
from tests.light_installation import PROJECT, ROOT, base_distributions, run_light

_ROOMS = ("schema", "serving")


def _client_imports() -> set[str]:
    """Top-level modules that are imported by the command and the rooms of the client, however deep and however late."""
    graph = grimp.build_graph(*_ROOMS, include_external_packages=True, exclude_type_checking_imports=True)
    starts = {"serving.client"} | graph.find_descendants("serving.clients")
    reached = starts.union(*(graph.find_upstream_modules(module) for module in starts))
    return {module.partition(".")[0] for module in reached} - set(_ROOMS)


def test_the_client_imports_what_is_installed_without_an_extra() -> None:
    imported = _client_imports()
    assert {"numpy", "PIL", "grpc"} <= imported
    distributions = importlib.metadata.packages_distributions()
    base = {normalized(re.split(r"[<>=~!\[ ]", line)[0]) for line in PROJECT["dependencies"]}
    lacking = {
        module: distributions[module]
        for module in imported
        if module in distributions and not base & {normalized(name) for name in distributions[module]}
    }
    assert lacking == {}


def test_nothing_heavy_is_installed_without_an_extra() -> None:
    heavy = {"tensorflow", "tfx", "keras", "apache-beam", "kfp", "aiohttp", "tensorflow-serving-api", "pydantic"}
    assert heavy <= {normalized(distribution.metadata["Name"]) for distribution in importlib.metadata.distributions()}
    assert not heavy & base_distributions()


def test_the_lock_has_all_of_it() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pinned = {normalized(name) for name in re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)}
    extras = PROJECT["optional-dependencies"]
    asked = {*PROJECT["dependencies"], *(line for lines in extras.values() for line in lines)}
    itself = {normalized(PROJECT["name"])}
    assert {normalized(re.split(r"[<>=~!\[ ]", line)[0]) for line in asked} - pinned - itself == set()


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("pipeline", ["config", "--explain"]),
        ("pipeline", ["run", "--config", "signs.yaml"]),
        ("kubeflow.submit", ["--help"]),
        ("demo.scenes", ["--output", "there"]),
        ("serving.server", ["--model_base_path", ".", "--wait_for_model"]),
        ("serving.compare", ["a.jpg", "--versions", "1", "2", "--server", "localhost:1"]),
        ("serving.bulk", ["--images", "a.jpg", "--model", "m", "--output", "out"]),
        ("serving.promote", ["--label", "stable", "--version", "1", "--config", "models.config"]),
        ("serving.rollback", ["--label", "stable", "--config", "models.config"]),
    ],
)
def test_a_command_that_needs_everything_names_the_extra(
    tmp_path: pathlib.Path, module: str, arguments: list[str]
) -> None:
    ran = run_light(tmp_path, "-m", module, *arguments)
    assert ran.returncode == 1
    # One line, and no traceback.
    (said,) = ran.stderr.splitlines()
    assert re.search(rf"{re.escape(module)}\b.* needs .*, which is not installed", said)
    assert f"pip install '{PROJECT['name']}[{EXTRA}]'" in said and "`make install`" in said


@pytest.mark.parametrize(
    ("file", "extra"), [("detector.tflite", "litert"), ("detector.onnx", "onnx"), ("saved_model.pb", EXTRA)]
)
def test_a_model_that_cannot_be_run_names_its_extra(tmp_path: pathlib.Path, file: str, extra: str) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / file).write_bytes(b"\x1c\0\0\0TFL3" if extra == "litert" else b"\x08\x08")
    (tmp_path / "a.jpg").touch()
    ran = run_light(tmp_path, "-m", "serving.detect", "model", "a.jpg")
    assert ran.returncode == 1
    (said,) = ran.stderr.splitlines()
    assert "which is not installed" in said and f"pip install '{PROJECT['name']}[{extra}]'" in said


@pytest.mark.parametrize(
    "module", ["pipeline", "serving.server", "serving.client", "serving.detect", "serving.contract"]
)
def test_help_is_there(tmp_path: pathlib.Path, module: str) -> None:
    ran = run_light(tmp_path, "-m", module, "--help")
    assert ran.returncode == 0, ran.stderr
    assert f"usage: python -m {module}" in ran.stdout


def test_where_everything_is_installed_a_missing_module_is_a_fault() -> None:
    require_everything("kubeflow")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"), everything_for("python -m pipeline run"):
        import no_such_module  # noqa: F401
