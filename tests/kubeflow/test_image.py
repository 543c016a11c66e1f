"""The image, as far as it can be checked without a container engine."""

from __future__ import annotations

import importlib.metadata
import json
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from apache_beam.options.pipeline_options import FlinkRunnerOptions
from dockerfile_parse import DockerfileParser

from kubeflow import flink_job_server
from kubeflow.image_packages import extra_requirements, needed, normalized
from pipeline.beam_settings import FLINK_JAR_VARIABLE, FLINK_VERSION_VARIABLE

ROOT = pathlib.Path(__file__).parents[2]
DOCKERFILE = ROOT / "kubeflow" / "Dockerfile"


@pytest.fixture(scope="module")
def instructions() -> list[dict[str, str]]:
    parser = DockerfileParser(fileobj=DOCKERFILE.open("r+b"))
    return [step for step in parser.structure if step["instruction"] != "COMMENT"]


def _copies(instructions: list[dict[str, str]]) -> list[tuple[list[str], str]]:
    """Sources and destination of every COPY out of the build context."""
    copies = [step["value"].split() for step in instructions if step["instruction"] == "COPY"]
    return [(words[:-1], words[-1]) for words in copies if not words[0].startswith("--from=")]


def _ignored(path: str) -> bool:
    """Whether .dockerignore keeps a path out: the last pattern that matches it or one of its parents decides."""
    out = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        wanted = pattern.removeprefix("!")
        candidates = [path, *(str(parent) for parent in pathlib.PurePosixPath(path).parents)]
        if any(pathlib.PurePosixPath(candidate).match(wanted) for candidate in candidates if candidate != "."):
            out = not pattern.startswith("!")
    return out


def test_three_stages_and_only_the_last_is_shipped(instructions: list[dict[str, str]]) -> None:
    stages = [step["value"] for step in instructions if step["instruction"] == "FROM"]
    assert stages == ["${JAVA_IMAGE} AS java", "${PYTHON_IMAGE} AS build", "${PYTHON_IMAGE} AS image"]


def test_flinks_job_server_is_the_installed_beams_own(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []
    (tmp_path / "cached.jar").write_bytes(b"jar")
    monkeypatch.setattr(
        flink_job_server.JavaJarServer, "local_jar", lambda jar: asked.append(jar) or str(tmp_path / "cached.jar")
    )
    assert flink_job_server.main(["1.19", str(tmp_path / "flink" / "job-server.jar")]) == 0
    assert (tmp_path / "flink" / "job-server.jar").read_bytes() == b"jar"
    version = importlib.metadata.version("apache-beam")
    assert asked[0].endswith(f"/beam-runners-flink-1.19-job-server-{version}.jar")
    assert flink_job_server.main(["1.5", str(tmp_path / "job-server.jar")]) == 1
    assert "this Beam has job servers for 1.19, 1.20" in capsys.readouterr().err


def test_settings_find_what_the_image_has_for_flink(instructions: list[dict[str, str]]) -> None:
    versions = {step["value"] for step in instructions if step["instruction"] == "ARG" and "FLINK" in step["value"]}
    [default] = versions
    assert default.removeprefix("FLINK_VERSION=") in FlinkRunnerOptions.PUBLISHED_FLINK_VERSIONS
    variables = " ".join(step["value"] for step in instructions if step["instruction"] == "ENV")
    assert f"{FLINK_VERSION_VARIABLE}=$FLINK_VERSION" in variables
    [jar] = re.findall(rf"{FLINK_JAR_VARIABLE}=(\S+)", variables)
    assert any(jar in step["value"] for step in instructions if step["instruction"] == "RUN")
    copied = [step["value"] for step in instructions if step["instruction"] == "COPY"]
    assert f"--from=build {pathlib.Path(jar).parent} {pathlib.Path(jar).parent}" in copied


def test_every_copied_source_exists_and_is_in_the_build_context(instructions: list[dict[str, str]]) -> None:
    for sources, _ in _copies(instructions):
        for source in sources:
            assert (ROOT / source).exists(), source
            assert not _ignored(source), source


def test_secrets_data_and_build_outputs_stay_out_of_the_context() -> None:
    for path in (".git", ".venv", "build", "tests", "docs", "pipeline/__pycache__", ".env"):
        assert _ignored(path), path


def test_the_user_is_a_number_other_than_root(instructions: list[dict[str, str]]) -> None:
    last_stage = max(i for i, step in enumerate(instructions) if step["instruction"] == "FROM")
    users = [step["value"] for step in instructions[last_stage:] if step["instruction"] == "USER"]
    assert users
    assert all(re.fullmatch(r"[1-9]\d*:\d+", user) for user in users)


def test_packages_come_from_the_lock_with_their_hashes(instructions: list[dict[str, str]]) -> None:
    runs = " ".join(step["value"] for step in instructions if step["instruction"] == "RUN")
    assert "--no-deps --require-hashes -r requirements.lock" in runs


def test_what_has_no_wheel_finds_a_compiler_which_is_not_shipped(instructions: list[dict[str, str]]) -> None:
    """A distribution whose wheel was made on this machine is one that the image has to compile, too."""
    compiled = {
        distribution.metadata["Name"]
        for distribution in importlib.metadata.distributions()
        if re.search(r"^Tag: .*-linux_x86_64$", distribution.read_text("WHEEL") or "", re.MULTILINE)
    }
    _, first, last = (i for i, step in enumerate(instructions) if step["instruction"] == "FROM")
    runs = [(i, step["value"]) for i, step in enumerate(instructions) if step["instruction"] == "RUN"]
    compiler = [i for i, run in runs if re.search(r"apt-get install .*\bg\+\+", run)]
    install = [i for i, run in runs if "requirements.lock" in run]
    assert not compiled or first < min(compiler) < min(install), f"{compiled} need a compiler"
    assert all(i < last for i, run in runs if "apt-get" in run)


def test_the_gpu_variant_keeps_its_cuda(instructions: list[dict[str, str]]) -> None:
    requirements = {normalized(d.metadata["Name"]): d.requires or [] for d in importlib.metadata.distributions()}
    cuda = {
        normalized(re.split(r"[<>=!~\[ ]", line)[0])
        for line in extra_requirements(importlib.metadata.requires("tensorflow") or [], "and-cuda")
    }
    assert "nvidia-cudnn-cu12" in cuda
    runs = " ".join(step["value"] for step in instructions if step["instruction"] == "RUN")
    [wanted] = re.findall(r"--remove-unneeded (.*?) &&", runs)
    assert cuda <= needed(shlex.split(wanted), requirements | {name: [] for name in cuda})


def test_the_command_is_one_of_ours(instructions: list[dict[str, str]]) -> None:
    [command] = [json.loads(step["value"]) for step in instructions if step["instruction"] == "CMD"]
    assert command[:3] == ["python3", "-m", "kubeflow.node"]


def test_the_package_installs_from_what_the_image_copies(
    instructions: list[dict[str, str]], tmp_path: pathlib.Path
) -> None:
    """The image's own install step in a clean folder: modules and data files are all there, and nothing else is."""
    context, target = tmp_path / "context", tmp_path / "site"
    for sources, destination in _copies(instructions):
        for source in sources:
            if destination.startswith("/app"):
                continue
            place = context / destination / ("" if (ROOT / source).is_dir() else pathlib.Path(source).name)
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, place)
    install = ["-m", "pip", "install", "--no-deps", "--no-build-isolation", "--quiet", "--no-index", "--target"]
    subprocess.run([sys.executable, *install, str(target), str(context)], check=True)
    for file in (
        "schema/schema.pbtxt",
        "pipeline/configs/demo.yaml",
        "components/report/templates/page.html",
        "components/report/templates/style.css",
        "kubeflow/node.py",
        "serving/server.py",
    ):
        assert (target / file).is_file(), file
    assert not (target / "tests").exists()
    checked = subprocess.run(
        [sys.executable, "-m", "pipeline", "config", "--check", str(ROOT / "pipeline/configs/demo.yaml")],
        cwd=tmp_path,
        env={"PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stderr


def test_tools_are_removed_and_what_the_pipeline_needs_is_not(instructions: list[dict[str, str]]) -> None:
    requirements = {normalized(d.metadata["Name"]): d.requires or [] for d in importlib.metadata.distributions()}
    runs = " ".join(step["value"] for step in instructions if step["instruction"] == "RUN")
    [wanted] = re.findall(r"--remove-unneeded (.*?) &&", runs)
    kept = needed(shlex.split(wanted), requirements)
    assert {"tfx", "tensorflow", "kfp", "kfp-kubernetes", "pymysql", "ml-metadata", "pydantic", "pip"} <= kept
    assert {"ai-edge-litert", "ai-edge-quantizer", "onnx", "onnxruntime", "tf2onnx", "openvino", "nncf"} <= kept
    assert not {"pytest", "ruff", "mypy", "uv", "hypothesis", "dockerfile-parse"} & kept


def test_extras_are_followed_where_somebody_asks_for_them() -> None:
    requirements = {
        "a": ["b[fast]>=1", 'd; extra == "dev"'],
        "b": ['c==1; extra == "fast"', 'e; python_version < "3"'],
        "c": [],
        "d": [],
        "e": [],
        "f": [],
    }
    assert needed(["A"], requirements) == {"a", "b", "c", "e"}
    assert needed(["f", "A[dev]"], requirements) == {"a", "b", "c", "d", "e", "f"}
    assert extra_requirements(['n<2,>=1; extra == "and-cuda"', "m", 'o; extra == "x"'], "and-cuda") == ["n<2,>=1"]
