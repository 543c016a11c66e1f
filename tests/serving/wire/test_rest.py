"""TF Serving's REST API over real HTTP."""

from __future__ import annotations

import base64
import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from serving.model_server import ModelServer, PortError, ServerSettings
from serving.protocol.limits import Limits
from serving.wire.rest import RestSettings
from tests.serving.tiny_detector import jpeg
from tests.serving.wire.door import http, open_door

_PREDICT = "/v1/models/detector:predict"


def _b64(image: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(image).decode()}


@pytest.fixture
def server(tmp_path: pathlib.Path, push: Callable[[int], pathlib.Path]) -> Iterator[ModelServer]:
    push(1)
    push(2)
    with open_door(tmp_path, limits=Limits(max_message_mib=1)) as running:
        yield running


def _asked(server: ModelServer, path: str, body: object = None) -> Any:
    status, text, headers = http(server, path, body)
    assert status == 200, text
    assert headers["Content-Type"].startswith("application/json")
    return json.loads(text)


def test_rows_and_columns(server: ModelServer) -> None:
    rows = _asked(server, _PREDICT, {"instances": [_b64(jpeg(255)), _b64(jpeg(0))]})["predictions"]
    assert [row["detection_scores"] for row in rows] == [[1.0, 0.0], [0.0, 0.0]]
    assert rows[0]["detection_class_names"] == ["yield", "yield"] and rows[0]["num_detections"] == 1
    named = _asked(server, _PREDICT, {"instances": [{"image_bytes": _b64(jpeg(255))}]})["predictions"]
    assert named == rows[:1]
    columns = _asked(server, _PREDICT, {"inputs": {"image_bytes": [_b64(jpeg(255))]}})["outputs"]
    assert columns["detection_boxes"] == [[[0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 0.0, 0.0]]]
    assert (
        _asked(server, _PREDICT, {"inputs": [_b64(jpeg(255))], "signature_name": "serving_default"})["outputs"]
        == columns
    )


def test_a_float_has_the_digits_it_needs_and_no_more(server: ModelServer) -> None:
    status, text, _ = http(server, _PREDICT, {"inputs": [_b64(jpeg(200))]})
    score = json.loads(text)["outputs"]["detection_scores"][0][0]
    assert status == 200 and 0.7 < score < 0.9 and len(str(score)) <= 11


@pytest.mark.parametrize(
    ("which", "class_id"), [("", 2), ("/versions/1", 1), ("/versions/2", 2), ("/labels/stable", 1)]
)
def test_versions_and_labels(server: ModelServer, which: str, class_id: int) -> None:
    outputs = _asked(server, f"/v1/models/detector{which}:predict", {"inputs": [_b64(jpeg())]})["outputs"]
    assert outputs["detection_classes"][0][0] == class_id


def test_status_and_metadata(server: ModelServer) -> None:
    entries = _asked(server, "/v1/models/detector")["model_version_status"]
    expected = {"state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert sorted(entries, key=lambda entry: entry["version"]) == [
        {"version": "1", **expected},
        {"version": "2", **expected},
    ]
    assert len(_asked(server, "/v1/models/detector/versions/1")["model_version_status"]) == 1
    document = _asked(server, "/v1/models/detector/labels/stable/metadata")
    assert document["model_spec"]["name"] == "detector" and document["model_spec"]["version"] == "1"
    definition = document["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert definition["inputs"]["image_bytes"]["dtype"] == "DT_STRING"


@pytest.mark.parametrize(
    ("path", "body", "status", "expected"),
    [
        (_PREDICT, b"", 400, "JSON Parse error: The document is empty"),
        (_PREDICT, b"{", 400, "JSON Parse error: "),
        (_PREDICT, b"[" * 100_000, 400, "JSON Parse error: "),
        (_PREDICT, [1], 400, "JSON Value: [1] Is not object"),
        (_PREDICT, {}, 400, "Missing 'inputs' or 'instances' key"),
        (_PREDICT, {"inputs": [], "instances": []}, 400, "expecting only one of 'inputs' or 'instances' keys to exist"),
        (_PREDICT, {"instances": []}, 400, "No values in 'instances' array"),
        (_PREDICT, {"instances": 3}, 400, "Excepting 'instances' to be an list/array"),
        (_PREDICT, {"instances": [{"b64": "?"}]}, 400, "Unable to base64 decode"),
        (_PREDICT, {"instances": [{"photo": {"b64": ""}}]}, 400, "keys must be equal to: image_bytes"),
        (
            _PREDICT,
            {"instances": [{"b64": ""}, {"image_bytes": ""}]},
            400,
            "value/list but got object at item 1",
        ),
        (_PREDICT, {"instances": [5]}, 400, "is not of expected type: string"),
        (_PREDICT, {"inputs": [["a"], ["b", "c"]]}, 400, "Encountered list at unexpected size: 2"),
        (_PREDICT, {"inputs": {"image": []}}, 400, "Missing named input: image_bytes in 'inputs' object."),
        (_PREDICT, {"inputs": [_b64(b"no image")]}, 400, "at index 0"),
        (_PREDICT, {"inputs": [], "signature_name": 4}, 400, "'signature_name' key must be a string value"),
        (
            _PREDICT,
            {"inputs": [], "signature_name": "x"},
            400,
            'Serving signature name: "x" not found in',
        ),
        (_PREDICT, bytes(2 << 20), 413, "--max_message_mib"),
        ("/v1/models/cat:predict", {"inputs": []}, 404, "Servable not found for request: Latest(cat)"),
        ("/v1/models/detector/versions/9:predict", {"inputs": []}, 404, "Specific(detector, 9)"),
        (f"/v1/models/detector/versions/{'9' * 5000}:predict", {"inputs": []}, 400, "to numeric"),
        ("/v1/models/detector/labels/new:predict", {"inputs": []}, 400, "Unrecognized servable version label: new"),
        ("/v1/models/detector:classify", {}, 501, "use predict"),
        ("/v1/models/cat", None, 404, "Could not find any versions of model cat"),
        ("/v2/health", None, 400, "Malformed request: GET /v2/health"),
        (_PREDICT, None, 400, f"Malformed request: GET {_PREDICT}"),
    ],
)
def test_errors_have_tf_servings_status_and_wording(
    server: ModelServer, path: str, body: object, status: int, expected: str
) -> None:
    found, text, headers = http(server, path, body)
    assert found == status, text
    assert expected in json.loads(text)["error"]
    assert "Access-Control-Allow-Origin" not in headers


def test_other_origins_may_ask_by_flag_only(tmp_path: pathlib.Path) -> None:
    with open_door(tmp_path, rest=RestSettings(0, has_cors=True)) as running:
        status, _, headers = http(running, _PREDICT, method="OPTIONS")
        assert status == 200 and headers["Access-Control-Allow-Origin"] == "*"
        with pytest.raises(PortError, match=f"{running.rest_port}.*rest_api_port"):
            ModelServer([], ServerSettings(port=0, rest=RestSettings(running.rest_port or 0)))
