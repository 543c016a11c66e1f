"""What is pinned fits together, and what is not there is named."""

from __future__ import annotations

import pathlib
import re
import xml.etree.ElementTree as ElementTree

import pytest
import yaml

from kubeflow.local_flink import __main__ as local_flink
from kubeflow.local_flink import installation

KUBEFLOW = pathlib.Path(__file__).parents[3] / "kubeflow"
POM_NAMES = {"pom": "http://maven.apache.org/POM/4.0.0"}


def test_flink_its_job_server_image_and_manifests_are_of_one_minor_version() -> None:
    version = installation.pinned_flink_version((KUBEFLOW / "local_flink" / "requirements.txt").read_text())
    minor = version.rpartition(".")[0]
    pom = ElementTree.parse(KUBEFLOW / "local_flink" / "pom.xml")
    artifacts = [element.text for element in pom.iterfind(".//pom:dependency/pom:artifactId", POM_NAMES)]
    assert f"beam-runners-flink-{minor}" in artifacts
    assert f"ARG FLINK_VERSION={minor}\n" in (KUBEFLOW / "Dockerfile").read_text()
    for name in ("jobmanager", "taskmanager"):
        text = (KUBEFLOW / "manifests" / "flink" / f"{name}.yaml").read_text()
        assert re.findall(r"image: flink:([\d.]+)-java17", text) == [version]
        assert list(yaml.safe_load_all(text))


def test_every_version_in_the_pom_is_one_version() -> None:
    pom = ElementTree.parse(KUBEFLOW / "local_flink" / "pom.xml")
    versions = [element.text or "" for element in pom.iterfind(".//pom:version", POM_NAMES)]
    assert len(versions) == 5
    assert all(re.fullmatch(r"[\d.]+", version) for version in versions), "a range gives another build tomorrow"


@pytest.fixture
def programs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The only folder that programs are looked for in."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("FLINK_JOB_SERVER_JAR", raising=False)
    return folder


def _program(folder: pathlib.Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_what_is_not_on_the_machine_is_named(
    programs: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert local_flink.main(["--folder", str(tmp_path / "flink")]) == 1
    assert "not on this machine: java, mvn" in capsys.readouterr().err
    _program(programs, "java", "exit 0")
    assert installation.missing_programs() == ["mvn"]


def test_what_a_registry_does_not_have_is_said_in_its_words_and_leaves_nothing(
    programs: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    _program(programs, "java", "exit 0")
    _program(programs, "mvn", 'echo "Could not find artifact"; exit 1')
    folder = tmp_path / "flink"
    version = installation.pinned_flink_version((KUBEFLOW / "local_flink" / "requirements.txt").read_text())
    (folder / f"flink-{version}").mkdir(parents=True)
    with pytest.raises(
        installation.InstallationError, match=r"job server could not be had(.|\n)*Could not find artifact"
    ):
        installation.install_flink(folder, {})
    assert [path.name for path in folder.iterdir()] == [f"flink-{version}"]


def test_a_job_server_that_is_had_is_not_built(programs: pathlib.Path, tmp_path: pathlib.Path) -> None:
    _program(programs, "java", "exit 0")
    _program(programs, "mvn", "exit 1")
    version = installation.pinned_flink_version((KUBEFLOW / "local_flink" / "requirements.txt").read_text())
    (tmp_path / f"flink-{version}").mkdir()
    installed = installation.install_flink(tmp_path, {"FLINK_JOB_SERVER_JAR": "/opt/flink/job-server.jar"})
    assert installed.job_server == pathlib.Path("/opt/flink/job-server.jar")
    assert version.startswith(f"{installed.version}.")
