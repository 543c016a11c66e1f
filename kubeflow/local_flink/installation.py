"""Flink and Beam's job server for it, from the package registries that pip and Maven are set up for.

What is fetched is pinned beside this file: ``requirements.txt`` (Flink, with its hash) and ``pom.xml`` (the job server;
Maven compares every file with the checksum that the registry gives).
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from typing import Final

from components.user_error import UserError
from pipeline.beam_settings import FLINK_JAR_VARIABLE

_HERE: Final = pathlib.Path(__file__).parent
_REQUIREMENTS: Final = _HERE / "requirements.txt"
_POM: Final = _HERE / "pom.xml"
_PACKAGE: Final = "apache-flink-libraries"


class InstallationError(UserError):
    """Something is not on this machine or cannot be fetched; the message says what and what to do."""


@dataclasses.dataclass(frozen=True)
class FlinkInstallation:
    """What a cluster is started from.

    Attributes:
      libraries: folder of Flink's jars.
      job_server: Beam's job server, one jar.
      version: Flink's minor version, such as ``1.19``; that of the job server, too.
    """

    libraries: pathlib.Path
    job_server: pathlib.Path
    version: str


def missing_programs() -> list[str]:
    """What is needed and not on this machine: Java to run, Maven to build the job server."""
    wanted = ["java"] if os.environ.get(FLINK_JAR_VARIABLE) else ["java", "mvn"]
    return [program for program in wanted if shutil.which(program) is None]


def pinned_flink_version(requirements: str) -> str:
    """The version of Flink in the text of ``requirements.txt``."""
    [version] = re.findall(rf"^{_PACKAGE}==([\d.]+)", requirements, re.MULTILINE)
    return str(version)


def install_flink(folder: pathlib.Path, environment: Mapping[str, str] = os.environ) -> FlinkInstallation:
    """Fetches what is not there yet.

    Args:
      folder: where to; about 450 MB.
      environment: ``FLINK_JOB_SERVER_JAR`` names a job server that is had already, such as Beam's own; it has to be for
        the same minor version of Flink.

    Raises:
      InstallationError: Java, Maven or pip is missing, or a registry does not have it.
    """
    if missing := missing_programs():
        raise InstallationError(f"not on this machine: {', '.join(missing)}; on Debian: openjdk-17-jre-headless, maven")
    version = pinned_flink_version(_REQUIREMENTS.read_text())
    libraries = folder / f"flink-{version}"
    if not libraries.exists():
        _fetch_libraries(libraries)
    if given := environment.get(FLINK_JAR_VARIABLE):
        job_server = pathlib.Path(given)
    else:
        job_server = folder / f"job-server-{version}.jar"
        if not job_server.exists():
            _build_job_server(job_server)
    return FlinkInstallation(libraries, job_server, version.rpartition(".")[0])


def _fetch_libraries(libraries: pathlib.Path) -> None:
    libraries.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=libraries.parent) as scratch:
        _run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
             "--no-build-isolation", "--no-binary", ":all:", "--require-hashes", "--dest", scratch,
             "--requirement", str(_REQUIREMENTS)],
            "Flink",
        )  # fmt: skip
        [archive] = pathlib.Path(scratch).glob("*.tar.gz")
        unpacked = pathlib.Path(scratch) / "unpacked"
        with tarfile.open(archive) as content:
            content.extractall(unpacked, filter="data")
        [found] = unpacked.glob("*/deps/lib")
        # At once, so that a half-unpacked folder is never taken for a whole one.
        found.rename(libraries)


def _build_job_server(job_server: pathlib.Path) -> None:
    job_server.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=job_server.parent) as scratch:
        _run(
            ["mvn", "--batch-mode", "--quiet", "--strict-checksums", "--file", str(_POM),
             f"-DbuildFolder={pathlib.Path(scratch).resolve()}", "package"],
            "Beam's job server",
        )  # fmt: skip
        (pathlib.Path(scratch) / "job-server.jar").rename(job_server)


def _run(command: Sequence[str], what: str) -> None:
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if result.returncode != 0:
        raise InstallationError(f"{what} could not be had: `{' '.join(command)}` said\n{result.stdout.strip()}")
