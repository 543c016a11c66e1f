"""Starting from presets of KerasHub: which rows are kept, what is refused, what is said."""

from __future__ import annotations

import pathlib
import shutil

import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from components.detector.detector import Detector
from components.detector.registry import build_detector
from components.detector.weights import zoo
from components.detector.weights.checkpoints import CheckpointError
from components.detector.weights.weights_digest import weights_digest
from schema.label_map import LabelMap
from tests.components.detector.keras_hub_presets import DFINE, DINOV3, RETINANET, save_preset, tiny_dfine, tiny_task
from tests.tiny_detectors import TINY_DETECTORS

_DFINE_SCORES = ("decoder/class_embed_0", "decoder/class_embed_1")
_CLASS_KERNEL = "classification_head/logits_layer/kernel"


def _tiny(num_classes: int, name: str = RETINANET) -> Detector:
    return build_detector(name, num_classes=num_classes, image_size=(64, 64), **TINY_DETECTORS[RETINANET])


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A preset with torchvision's 91 columns."""
    return save_preset(tmp_path_factory.mktemp("presets") / "coco", tiny_task(91))


def test_rows_of_classes_with_the_same_name_are_kept(coco: str) -> None:
    detector = _tiny(2)
    fresh = np.array(detector.zoo_variables()[_CLASS_KERNEL])
    report = zoo.restore(detector, coco, pretrained_classes="map", label_map=LabelMap.of_names(("kiosk", "car")))
    assert report.kept_classes == ("car",)
    assert report.reinitialized == ("classification_head/logits_layer/bias", _CLASS_KERNEL)
    kernel = np.array(detector.zoo_variables()[_CLASS_KERNEL]).reshape(3, 3, 256, 9, 2)
    source = np.array(tiny_task(91).classification_head.prediction_layer.kernel).reshape(3, 3, 256, 9, 91)
    np.testing.assert_array_equal(kernel[..., 1], source[..., 3])  # COCO's id of cars is 3
    np.testing.assert_array_equal(kernel[..., 0], fresh.reshape(3, 3, 256, 9, 2)[..., 0])


def test_a_backbone_alone_leaves_the_heads_fresh(tmp_path: pathlib.Path) -> None:
    encoder = tiny_task(1).backbone.image_encoder
    detector = _tiny(2)
    source = save_preset(tmp_path / "encoder", encoder)
    report = zoo.restore(detector, source, label_map=LabelMap.of_names(("a", "b")))
    assert len(report.restored) == len(encoder.weights)
    assert {key.partition("/")[0] for key in report.missing} == {"fpn", "box_head", "classification_head"}
    assert zoo.heads_anchors(detector, source) is None


def test_dinov3_starts_from_its_transformer(tmp_path: pathlib.Path) -> None:
    """Which sees the same in the detector as in KerasHub's own model, though that also knows a mask."""
    options = TINY_DETECTORS[DINOV3]
    sizes = {name: options[name] for name in ("num_layers", "hidden_dim", "num_heads")}
    transformer = keras_hub.models.DINOV3Backbone(
        patch_size=16, intermediate_dim=128, use_key_bias=False, image_shape=(64, 64, 3), **sizes
    )
    detector = build_detector(DINOV3, num_classes=2, image_size=(64, 64), **options)
    report = zoo.restore(detector, save_preset(tmp_path / "vit", transformer))
    assert len(report.restored) == len(transformer.weights) - 1
    assert len(report.restored) + len(report.missing) == len(detector.variables)
    assert {key.partition("/")[0] for key in report.missing} == {"neck", "fpn", "box_head", "classification_head"}
    images = tf.constant(np.random.default_rng(0).normal(size=(1, 64, 64, 3)), tf.float32)
    expected = transformer({"pixel_values": images})[:, 5:]
    found = detector.features(images, training=False)["level_4"]
    np.testing.assert_allclose(found, tf.reshape(expected, (1, 4, 4, 32)), atol=1e-5)
    with pytest.raises(CheckpointError, match="num_heads"):
        more_heads = build_detector(DINOV3, num_classes=2, image_size=(64, 64), **(dict(options) | {"num_heads": 4}))
        zoo.restore(more_heads, f"kerashub:{tmp_path / 'vit'}")


def test_dfine_keeps_rows_of_its_heads_and_says_what_does_not_fit(tmp_path: pathlib.Path) -> None:
    options = TINY_DETECTORS[DFINE]
    task = tiny_dfine(80)
    source = save_preset(tmp_path / "coco", task)
    detector = build_detector(DFINE, num_classes=2, image_size=(96, 64), **options)
    report = zoo.restore(detector, source, pretrained_classes="map", label_map=LabelMap.of_names(("kiosk", "car")))
    assert report.kept_classes == ("car",)
    assert report.reinitialized == tuple(
        sorted(f"{head}/{kind}" for head in ("encoder_scores", *_DFINE_SCORES) for kind in ("bias", "kernel"))
    )
    kernel = np.array(detector.zoo_variables()["decoder/class_embed_1/kernel"])
    np.testing.assert_array_equal(kernel[:, 1], np.array(task.backbone.decoder.class_embed[1].kernel)[:, 2])
    # Its encoder and decoder without the detector around them, and the backbone alone.
    task.backbone.save_to_preset(str(tmp_path / "headless"))
    assert zoo.restore(detector, f"kerashub:{tmp_path / 'headless'}").reinitialized == report.reinitialized
    encoder = task.backbone.backbone
    report = zoo.restore(detector, save_preset(tmp_path / "encoder", encoder))
    assert len(report.restored) == len(encoder.weights)
    assert not any(key.startswith("backbone") for key in report.missing)
    with pytest.raises(CheckpointError, match=r"decoder_n_points is \[3, 9\]; expected decoder_n_points \[6, 6\]"):
        zoo.restore(detector, save_preset(tmp_path / "points", tiny_dfine(2, points=(3, 9))))
    with pytest.raises(CheckpointError, match="expected DFineObjectDetector or its backbone"):
        zoo.restore(detector, save_preset(tmp_path / "retinanet", tiny_task(1).backbone))
    deeper = build_detector(DFINE, num_classes=2, image_size=(64, 64), **(dict(options) | {"decoder_layers": 3}))
    with pytest.raises(CheckpointError, match="num_decoder_layers is 2"):
        zoo.restore(deeper, source)


def test_heads_have_learnt_with_the_published_anchors(coco: str) -> None:
    detector = _tiny(2)
    assert zoo.heads_anchors(detector, coco) == detector.options.published_anchors


def test_what_does_not_fit_is_refused(coco: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(CheckpointError, match="presets of KerasHub fit retinanet_resnet50_fpn"):
        zoo.restore(build_detector("ssd_mobilenet_v2", num_classes=1, alpha=0.35), coco)
    with pytest.raises(CheckpointError, match="its pyramid has"):
        zoo.restore(_tiny(2, "retinanet_resnet50_fpn_v2"), coco)
    with pytest.raises(CheckpointError, match="KerasHub cannot load it"):
        zoo.restore(_tiny(2), f"kerashub:{tmp_path}/nowhere")
    unscaled = save_preset(tmp_path / "unscaled", tiny_task(1, scaled=False))
    with pytest.raises(CheckpointError, match="its images are scaled by"):
        zoo.restore(_tiny(1), unscaled)
    with pytest.raises(CheckpointError, match=r"start from model\.pretrained: kerashub:PRESET"):
        zoo.restore(_tiny(1), "imagenet")


def test_what_a_folder_holds_is_said(coco: str) -> None:
    assert "preset folder of KerasHub with RetinaNetBackbone, RetinaNetObjectDetector" in zoo.inspect(coco)


def test_the_digest_is_that_of_the_folder(coco: str, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "preset"
    shutil.copytree(coco.removeprefix("kerashub:"), folder)
    before = weights_digest(f"kerashub:{folder}")
    (folder / "config.json").write_text("{}")
    assert before not in ("", weights_digest(f"kerashub:{folder}"))
    assert weights_digest("kerashub:retinanet_resnet50_fpn_coco") == ""
