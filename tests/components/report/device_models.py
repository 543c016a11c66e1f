"""Device models of a run as its nodes leave them. Reasons try to be HTML."""

from __future__ import annotations

import json
from collections.abc import Mapping

from schema.device_model import CARD_FILE, DeviceCard
from tests.components.report.fake_run import FakeRun


def write_devices(run: FakeRun, pushed: Mapping[str, str] | None) -> None:
    """Four formats: pushed, refused, one that could not be made, and one that does not answer."""
    made, evaluated, out = (run.root / name for name in ("device_models", "device_evaluation", "pushed_devices"))
    for folder in (made, evaluated, out):
        folder.mkdir()
    (made / "failures.json").write_text(json.dumps({"onnx": "ValueError: no <Erfc>"}))
    (evaluated / "failures.json").write_text(json.dumps({"openvino": "does not answer: OSError: half a file"}))
    for name, ap, reasons in (("litert", 0.4996, ()), ("litert_int8", 0.42, ("AP is 0.08 below the <SavedModel>",))):
        (evaluated / name).mkdir()
        card = DeviceCard(
            name, "ssd", "eval", 40, ap, 0.8, 0.5, 4_100_000, 12.34, "Quick CPU, 2 cores", not reasons, reasons
        )
        (evaluated / name / CARD_FILE).write_text(card.to_json())
    run.node("new", "Exporter", outputs={"device_models": made})
    run.node("new", "DeviceEvaluator", outputs={"device_evaluation": evaluated})
    if pushed is not None:
        (out / "pushed.json").write_text(json.dumps(dict(pushed)))
        run.node("new", "DevicePusher", outputs={"pushed_devices": out})
