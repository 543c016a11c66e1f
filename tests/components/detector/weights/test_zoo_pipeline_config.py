"""Box coder scales of a zoo folder, and what they do to a restored EfficientDet."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from components.detector import registry
from components.detector.targets.boxes import decode
from components.detector.weights import zoo
from components.detector.weights.zoo_pipeline_config import parse_scale_factors, scale_factors_beside

UNIT = """
box_coder {
  faster_rcnn_box_coder {
    y_scale: 1.0
    x_scale: 1.0
    height_scale: 1.0  # as in the EfficientDet downloads
    width_scale: 1.0
  }
}
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (UNIT, (1.0, 1.0, 1.0, 1.0)),
        ("box_coder { faster_rcnn_box_coder { } }", (10.0, 10.0, 5.0, 5.0)),
        ("box_coder { faster_rcnn_box_coder { width_scale: 2 y_scale: 3e0 } }", (3.0, 10.0, 5.0, 2.0)),
        ("model { center_net { } }", None),
    ],
)
def test_parses_protobuf_text(text: str, expected: tuple[float, ...] | None) -> None:
    assert parse_scale_factors(text) == expected


def test_names_the_file_of_a_bad_scale(tmp_path: pathlib.Path) -> None:
    (tmp_path / "pipeline.config").write_text(UNIT.replace("y_scale: 1.0", "y_scale: 0"))
    with pytest.raises(ValueError, match=r"pipeline\.config: box coder scales must be positive"):
        scale_factors_beside(str(tmp_path / "saved_model"))


def test_restored_efficientdet_decodes_the_boxes_that_the_checkpoint_means(tmp_path: pathlib.Path) -> None:
    options = {"image_size": (128, 128), "bifpn_iterations": 1, "bifpn_filters": 16, "head_layers": 1}
    trained, detector = (registry.build_detector("efficientdet_d0", num_classes=2, **options) for _ in range(2))
    variables = trained.zoo_variables()
    (tmp_path / "checkpoint").mkdir()
    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "checkpoint" / "ckpt-0"),
        tensor_names=[f"{key}/.ATTRIBUTES/VARIABLE_VALUE" for key in variables],
        shape_and_slices=[""] * len(variables),
        tensors=[tf.convert_to_tensor(variable) for variable in variables.values()],
    )
    (tmp_path / "pipeline.config").write_text(UNIT)
    report = zoo.restore(detector, str(tmp_path))
    assert report.box_scale_factors == (1.0, 1.0, 1.0, 1.0)
    assert "converted" in str(report)
    images = tf.random.stateless_normal((1, 128, 128, 3), seed=(0, 1))
    anchors = detector.anchors_yxyx_normalized
    meant = decode(trained(images)["box_encodings"], anchors, (1.0, 1.0, 1.0, 1.0))
    found = decode(detector(images)["box_encodings"], anchors)
    np.testing.assert_allclose(found, meant, rtol=1e-4, atol=1e-5)
