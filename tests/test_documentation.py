"""README, CONTRIBUTING and docs/ name commands, options, keys and files that are there."""

from __future__ import annotations

import importlib
import pathlib
import re
import shlex

import pytest

import pipeline
from pipeline.config import PipelineConfig, check_config
from pipeline.config_document import ConfigDocument
from pipeline.explain import explain

REPOSITORY = pathlib.Path(pipeline.__file__).parents[1]
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/architecture.md",
    "docs/kubeflow.md",
    "docs/scale.md",
    "docs/transfer.md",
    "docs/augmentation.md",
    "docs/serving.md",
    "docs/devices.md",
    "docs/gate.md",
    "docs/report.md",
    "docs/label_review.md",
)
OURS = ("pipeline", "kubeflow", "serving", "demo", "benchmarks", "docs")
MINIMAL = "name: signs\ndata: {format: coco, path: data}\n"


def _text(document: str) -> str:
    return (REPOSITORY / document).read_text(encoding="utf-8")


def _code(document: str) -> list[str]:
    """Lines of code blocks, and what stands between backticks."""
    blocks = re.findall(r"```\w*\n(.*?)```", _text(document), re.DOTALL)
    prose = re.sub(r"```.*?```", "", _text(document), flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines()] + re.findall(r"`([^`]+)`", prose)


def _commands() -> list[str]:
    found = {
        match[1].strip()
        for document in DOCUMENTS
        for code in _code(document)
        for match in re.finditer(r"python -m ((?:\w+)(?:\.\w+)*\b[^#`]*)", code)
    }
    return sorted(command for command in found if command.partition(" ")[0].partition(".")[0] in OURS)


@pytest.mark.parametrize("command", _commands())
def test_a_command_is_there_and_takes_its_options(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    module, *words = shlex.split(re.sub(r"[\[\]]", "", command))
    name = f"{module}.__main__" if (REPOSITORY.joinpath(*module.split(".")) / "__main__.py").exists() else module
    # A verb is a word in lower case; FILE and the like stand for something.
    verbs = [word for word in words[:1] if word.isalpha() and word.islower()]
    try:
        importlib.import_module(name).main([*verbs, "--help"])
    except SystemExit as ended:
        assert not ended.code
    said = capsys.readouterr().out
    missing = [word for word in words if word.startswith("--") and not re.search(rf"{re.escape(word)}\b", said)]
    assert missing == [] or verbs == ["VERB"]


def test_targets_of_make() -> None:
    targets = set(re.findall(r"^([a-z-]+):", _text("Makefile"), re.MULTILINE))
    named = {
        match[1] for document in DOCUMENTS for code in _code(document) if (match := re.match(r"make ([a-z-]+)", code))
    }
    assert named
    assert named <= targets


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files(document: str) -> None:
    folder = (REPOSITORY / document).parent
    linked = [folder / link for link in re.findall(r"\]\(([^):#]+)\)", _text(document))]
    path = re.compile(rf"(?:{'|'.join((*OURS, 'components', 'schema', 'tests'))})/[\w./-]*")
    named = [REPOSITORY / code for code in _code(document) if path.fullmatch(code) and not re.search("[A-Z]{4}", code)]
    assert linked or named
    assert [file for file in (*linked, *named) if not file.exists()] == []


def test_keys_of_the_config() -> None:
    known = {line.partition(":")[0] for line in explain(PipelineConfig).splitlines() if not line.startswith(" ")}
    key = re.compile(rf"(?:{'|'.join(PipelineConfig.model_fields)})(?:\.[a-z_]+)+")
    named = {code for document in DOCUMENTS for code in _code(document) if key.fullmatch(code)}
    assert len(named) > 5
    assert named - known == set()


@pytest.mark.parametrize("document", ["README.md", "docs/kubeflow.md"])
def test_configs(document: str) -> None:
    for block in re.findall(r"```yaml\n(.*?)```", _text(document), re.DOTALL):
        for part in re.split(r"^# or.*\n", block, flags=re.MULTILINE):
            check_config(ConfigDocument(part if part.startswith("name:") else MINIMAL + part, document))
