"""A client in another language, by libraries of others: grpc-js on Node.js against the embedded server."""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import subprocess

import pytest

from schema import exported_model
from serving.clients.detector_client import DetectorClient
from serving.model_server import ModelServer
from tests.serving.published_services import file_descriptor_set
from tests.serving.tiny_detector import jpeg

_FILES = pathlib.Path(__file__).parent / "grpc_js"
# Faults of ours, which are no reason to pass over the test: the lock fits neither package.json nor what was published.
_FAULTS = ("EUSAGE", "EINTEGRITY", "EJSONPARSE")


@pytest.fixture(scope="session")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with the client and its packages, as the lock has them."""
    npm = shutil.which("npm")
    if shutil.which("node") is None or npm is None:
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("grpc_js")
    shutil.copytree(_FILES, folder, dirs_exist_ok=True)
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1", "--prefer-offline"]
    try:
        made = subprocess.run(
            [npm, "ci", *options], cwd=folder, capture_output=True, text=True, timeout=300, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip("npm did not fetch @grpc/grpc-js and @grpc/proto-loader within 300 s")
    said = made.stdout + made.stderr
    assert not any(fault in said for fault in _FAULTS), said
    if made.returncode:
        pytest.skip(f"npm cannot fetch @grpc/grpc-js and @grpc/proto-loader: {' '.join(said.split())[:200]}")
    return folder


def test_it_finds_what_the_python_client_finds(
    node_folder: pathlib.Path, server: ModelServer, tmp_path: pathlib.Path
) -> None:
    image = jpeg(220, 80, 40)
    (tmp_path / "street.jpg").write_bytes(image)
    (tmp_path / "protocol.bin").write_bytes(file_descriptor_set())
    address = f"localhost:{server.port}"
    command = [
        "node",
        str(node_folder / "ask.js"),
        str(tmp_path / "protocol.bin"),
        address,
        str(tmp_path / "street.jpg"),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    with DetectorClient(address) as client:
        ((expected,),), version = client.detect([image])
    assert found["counts"] == [1]
    assert (found["version"], found["shape"]) == (version, [1, 2, 4])
    assert found["boxes"][:4] == list(expected.box_yxyx_normalized)
    # Both are the same float32 as a double.
    assert found["scores"][0] == expected.score
    assert (found["classes"][0], found["names"][0]) == (expected.class_id, expected.class_name)
    assert found["refused"]["code"] == "INVALID_ARGUMENT"
    assert exported_model.unreadable_indices(found["refused"]["details"]) == [0]
    assert found["status"] == [[1, "AVAILABLE"]]
    assert found["inputs"] == "DT_STRING"
    assert found["outputs"] == sorted(exported_model.OUTPUTS)


def test_its_packages_are_pinned_and_no_registry_is_named() -> None:
    wanted = json.loads((_FILES / "package.json").read_text())["dependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values())
    packages = json.loads((_FILES / "package-lock.json").read_text())["packages"]
    locked = {path.rpartition("node_modules/")[2]: entry for path, entry in packages.items() if path}
    assert {name: locked[name]["version"] for name in wanted} == wanted
    assert all("integrity" in entry and "resolved" not in entry for entry in locked.values())
