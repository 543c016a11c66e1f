"""The section on models for devices: a line and a row a format, whatever became of it."""

from __future__ import annotations

import pathlib

from components.report.run_record import read_run
from components.report.run_report import read_report
from schema.device_model import CARD_FILE
from tests.components.report.device_models import write_devices
from tests.components.report.fake_run import PIPELINE, FakeRun


def test_every_format_has_a_line_and_a_row(finished_run: FakeRun) -> None:
    write_devices(finished_run, {"litert": "/served/devices/litert/17"})
    report = read_report(read_run(finished_run.connection, PIPELINE))
    lines = report.lines()
    first = next(place for place, line in enumerate(lines) if line.startswith("Devices"))
    assert lines[first : first + 4] == [
        "Devices     litert: AP 0.500 (-0.000), 4.1 MB, 12.3 ms, pushed to /served/devices/litert/17",
        "            litert_int8: AP 0.420 (-0.080), 4.1 MB, 12.3 ms, refused: AP is 0.08 below the <SavedModel>",
        "            onnx: failed: ValueError: no <Erfc>",
        "            openvino: failed: does not answer: OSError: half a file",
    ]
    page = report.page()
    assert "LiteRT, 8-bit integers" in page
    assert "AP is 0.08 below the &lt;SavedModel&gt;" in page
    assert "AP on 40 images of eval, in brackets its distance from the SavedModel&#39;s 0.500" in page
    assert page.index(">Served model<") < page.index(">Devices<") < page.index(">Nodes<")


def test_a_blessed_format_whose_saved_model_was_not_pushed_says_so(finished_run: FakeRun) -> None:
    write_devices(finished_run, {})
    lines = read_report(read_run(finished_run.connection, PIPELINE)).lines()
    (line,) = (line for line in lines if "litert:" in line)
    assert line.endswith("blessed: not pushed, as the SavedModel was not")


def test_a_card_that_cannot_be_read_is_a_line(finished_run: FakeRun) -> None:
    write_devices(finished_run, None)
    path: pathlib.Path = finished_run.root / "device_evaluation" / "litert" / CARD_FILE
    path.write_text('{"format": "litert"')
    lines = read_report(read_run(finished_run.connection, PIPELINE)).lines()
    (line,) = (line for line in lines if line.startswith("Devices"))
    assert line.startswith(f"Devices     could not be read: {path}: JSONDecodeError")


def test_a_run_without_device_models_says_nothing_of_them(finished_run: FakeRun) -> None:
    for name in ("device_models", "device_evaluation"):
        (finished_run.root / name).mkdir()
        finished_run.node("new", name, outputs={name: finished_run.root / name})
    report = read_report(read_run(finished_run.connection, PIPELINE))
    assert not [line for line in report.lines() if line.startswith("Devices")]
    assert "<h2>Devices" not in report.page()
