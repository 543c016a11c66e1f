"""Clients that others wrote against the embedded server, each in a process of its own: its protos are not ours."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from collections.abc import Callable

import pytest

from serving.model_server import ModelServer, ServerSettings
from serving.models.models_config import ModelConfig
from serving.wire.rest import RestSettings
from tests.serving.tiny_detector import jpeg

_OVMSCLIENT = """
import json, sys
import ovmsclient
make = {"grpc": ovmsclient.make_grpc_client, "http": ovmsclient.make_http_client}[sys.argv[1]]
client = make(sys.argv[2])
image = open(sys.argv[3], "rb").read()
answer = client.predict({"image_bytes": [image]}, "detector")
status = client.get_model_status("detector")
metadata = client.get_model_metadata("detector")
nested = lambda found: found["metadata"]["signature_def"]["signature_def"]["serving_default"]
print(json.dumps({
    "scores": answer["detection_scores"].tolist(),
    "classes": answer["detection_classes"].tolist(),
    "state": status[1]["state"],
    # Over HTTP it looks for OpenVINO's spelling and gives back what came otherwise.
    "inputs": sorted((metadata if "inputs" in metadata else nested(metadata))["inputs"]),
}))
"""


@pytest.mark.parametrize("door", ["grpc", "http"])
def test_ovmsclient(door: str, tmp_path: pathlib.Path, push: Callable[[int], pathlib.Path]) -> None:
    push(1)
    (tmp_path / "street.jpg").write_bytes(jpeg(220, 80, 40))
    settings = ServerSettings(port=0, poll_seconds=3600, rest=RestSettings(port=0))
    server = ModelServer([ModelConfig("detector", tmp_path / "models")], settings)
    server.start()
    try:
        port = server.port if door == "grpc" else server.rest_port
        command = [sys.executable, "-c", _OVMSCLIENT, door, f"localhost:{port}", str(tmp_path / "street.jpg")]
        printed = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    finally:
        server.stop(0)
    assert printed.returncode == 0, printed.stderr
    found = json.loads(printed.stdout)
    assert found["scores"][0][0] == pytest.approx(0.863, abs=0.01)
    assert found["classes"][0][0] == 1
    assert (found["state"], found["inputs"]) == ("AVAILABLE", ["image_bytes"])
