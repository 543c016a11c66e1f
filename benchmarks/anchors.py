"""Anchors chosen for the data against the published ones: how many boxes of real training images they can match.

    python -m benchmarks.anchors

Nothing is trained: the share of boxes whose best anchor reaches what is a match ("best possible recall"), and the mean
overlap with the best anchor. Data come from ``$SHARED_DIR`` (default ``../shared``).
"""

from __future__ import annotations

from typing import Any

from benchmarks.real_data import DATA, REPOSITORY
from pipeline.config import load_config
from pipeline.doctor.survey import survey

DETECTORS: dict[tuple[str, int], dict[str, Any]] = {
    ("ssd_mobilenet_v2", 300): {},
    ("ssd_mobilenet_v2_fpnlite", 320): {},
    ("ssd_mobilenet_v2_fpnlite", 480): {},
    ("efficientdet_d0", 512): {},
    # Thin: anchors do not depend on the width.
    ("faster_rcnn_resnet50", 640): {"width": 0.125, "blocks": (1, 1, 1, 1)},
}


def main() -> int:
    """Entry point."""
    # Behind the command line: it imports TensorFlow.
    from components.detector.registry import build_detector
    from components.trainer.anchor_choice import choose_anchors
    from components.trainer.settings import ModelSettings

    built = {
        key: build_detector(key[0], num_classes=1, image_size=(key[1], key[1]), **options)
        for key, options in DETECTORS.items()
    }
    print("| data | detector | IoU | recall | mean of classes | mean best IoU | chosen |")
    print("| --- | --- | ---: | ---: | ---: | ---: | --- |")
    for name, path in DATA.items():
        config = load_config(REPOSITORY / "pipeline" / "configs" / f"{name}.yaml", [f"data.path={path}"])
        profile = survey(config.data).profiles["train"]
        for (detector_name, side), detector in built.items():
            detector.use_anchors(detector.options.model_copy(update=dict.fromkeys(detector.options.published_anchors)))
            chosen = choose_anchors(
                detector, ModelSettings(detector=detector_name, anchors="data", pretrained=None), profile
            )
            before, after = chosen.published, chosen.used
            assert before is not None and after is not None
            cells = [
                f"{getattr(before, key):.3f} -> {getattr(after, key):.3f}"
                for key in ("recall", "class_recall", "mean_iou")
            ]
            same = chosen.options == detector.options.published_anchors
            cells.append("the published ones" if same else chosen.described())
            print(f"| {name} | {detector_name} {side} | {chosen.matched_iou:g} | {' | '.join(cells)} |")
    print("\nPublished anchors -> those that `model.anchors: data` chooses.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
