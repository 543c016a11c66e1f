"""The importer, on small checkpoints in every format it reads."""

from __future__ import annotations

import json
import os
import pathlib
import re
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.detector.detector import Detector
from components.detector.registry import build_detector
from components.detector.weights import zoo, zoo_fingerprints
from components.detector.weights.checkpoints import VALUE_SUFFIX, CheckpointError
from components.detector.weights.coco_classes import COCO_LABEL_MAP
from schema.label_map import LabelMap

_SHARED = pathlib.Path(os.environ.get("SHARED_DIR", pathlib.Path(__file__).parents[5] / "shared"))
_OPTIONS: dict[str, Any] = {"image_size": (64, 64), "alpha": 0.35, "fpn_depth": 16, "num_head_layers": 1}
_NAME = "ssd_mobilenet_v2_fpnlite"


def make(num_classes: int, seed: int, **options: Any) -> Detector:
    """A small detector with variables that tell where they come from."""
    keras.utils.set_random_seed(seed)
    detector = build_detector(_NAME, num_classes=num_classes, **(_OPTIONS | options))
    rng = np.random.default_rng(seed)
    for variable in detector.variables:
        variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    return detector


def write_checkpoint(detector: Detector, prefix: pathlib.Path, without: str = "", extra: str = "") -> None:
    """A checkpoint with the zoo's keys."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    arrays = {key: np.asarray(variable) for key, variable in detector.zoo_variables().items() if key != without}
    arrays["save_counter"] = np.int64(1)
    if extra:
        arrays[extra] = np.zeros(3, np.float32)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=[key + VALUE_SUFFIX for key in arrays],
        shape_and_slices=[""] * len(arrays),
        tensors=list(arrays.values()),
    )


def values(detector: Detector) -> dict[str, np.ndarray]:
    return {key: np.array(variable) for key, variable in detector.zoo_variables().items()}


@pytest.fixture(scope="module")
def trained() -> Detector:
    return make(3, seed=1)


@pytest.fixture(scope="module")
def zoo_folder(trained: Detector, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("zoo") / "some_model"
    write_checkpoint(trained, folder / "checkpoint" / "ckpt-0")
    return folder


@pytest.mark.parametrize("source", ["", "checkpoint", "checkpoint/ckpt-0", "checkpoint/ckpt-0.index"])
def test_a_zoo_folder_however_it_is_named(source: str, zoo_folder: pathlib.Path, trained: Detector) -> None:
    detector = make(3, seed=2)
    report = zoo.restore(detector, str(zoo_folder / source))
    assert len(report.restored) == len(detector.variables)
    assert report.unused == ("save_counter",) and not report.reinitialized
    restored = values(detector)
    for key, array in values(trained).items():
        np.testing.assert_array_equal(restored[key], array)


def test_a_zoo_folder_behind_a_scheme(zoo_folder: pathlib.Path, trained: Detector) -> None:
    # file:// stands for gs://: both go through TensorFlow's file systems.
    report = zoo.restore(make(3, seed=2), f"file://{zoo_folder}")
    assert len(report.restored) == len(trained.zoo_variables())


def test_new_classes_start_afresh_and_are_reported(zoo_folder: pathlib.Path, trained: Detector) -> None:
    detector = make(5, seed=2)
    before = values(detector)
    report = zoo.restore(detector, str(zoo_folder))
    assert set(report.reinitialized) == detector.class_rows().keys()
    source = values(trained)
    for key, array in values(detector).items():
        np.testing.assert_array_equal(array, (before if key in report.reinitialized else source)[key])
    assert "2 re-initialised for the new classes" in str(report)
    listed = [line.split("\t") for line in report.listing().splitlines()]
    assert {key for group, key in listed if group == "re-initialised"} == detector.class_rows().keys()
    assert {key for group, key in listed if group == "restored"} == source.keys() - detector.class_rows().keys()


def test_rows_of_common_classes_are_kept(zoo_folder: pathlib.Path, trained: Detector) -> None:
    detector = make(2, seed=2)
    before, old_map = values(detector), LabelMap.of_names(["cat", "dog", "cow"])
    report = zoo.restore(
        detector,
        str(zoo_folder),
        pretrained_classes="map",
        label_map=LabelMap.of_names(["horse", "dog"]),
        source_label_map=old_map,
    )
    assert report.kept_classes == ("dog",)
    bias = next(key for key in report.reinitialized if key.endswith("bias"))
    new = values(detector)[bias].reshape(6, 3)  # [anchors, background + classes]
    old = values(trained)[bias].reshape(6, 4)
    np.testing.assert_array_equal(new[:, 0], old[:, 0])
    np.testing.assert_array_equal(new[:, 1], before[bias].reshape(6, 3)[:, 1])
    np.testing.assert_array_equal(new[:, 2], old[:, 2])


def test_rows_follow_ids_that_leave_gaps(zoo_folder: pathlib.Path, trained: Detector) -> None:
    detector = make(3, seed=2)
    before = values(detector)
    report = zoo.restore(
        detector,
        str(zoo_folder),
        pretrained_classes="map",
        label_map=LabelMap((1, 3), ("cat", "dog")),
        source_label_map=LabelMap.of_names(["cat", "dog", "cow"]),
    )
    assert report.kept_classes == ("cat", "dog")
    bias = next(key for key in report.reinitialized if key.endswith("bias"))
    new, old = (values(each)[bias].reshape(6, 4) for each in (detector, trained))  # [anchors, background + classes]
    np.testing.assert_array_equal(new[:, [0, 1, 3]], old[:, [0, 1, 2]])
    np.testing.assert_array_equal(new[:, 2], before[bias].reshape(6, 4)[:, 2])


def test_same_number_of_other_classes_is_not_the_same(zoo_folder: pathlib.Path) -> None:
    report = zoo.restore(
        make(3, seed=2),
        str(zoo_folder),
        label_map=LabelMap.of_names(["a", "b", "c"]),
        source_label_map=LabelMap.of_names(["a", "c", "b"]),
    )
    assert len(report.reinitialized) == 2


def test_a_linear_head_gives_a_cosine_head_its_directions(zoo_folder: pathlib.Path, trained: Detector) -> None:
    detector = make(3, seed=2, class_head="cosine")
    before = values(detector)
    report = zoo.restore(detector, str(zoo_folder))
    (bias,) = report.reinitialized
    assert bias.endswith("/bias") and bias in detector.class_rows()
    source = values(trained)
    for key, array in values(detector).items():
        np.testing.assert_array_equal(array, (before if key == bias else source)[key])


@pytest.mark.parametrize(("theirs", "ours", "afresh"), [("linear", "cosine", ["bias"]), ("cosine", "linear", None)])
def test_a_weights_file_of_the_other_class_head(
    theirs: str, ours: str, afresh: list[str] | None, tmp_path: pathlib.Path
) -> None:
    make(3, seed=1, class_head=theirs).save_weights(tmp_path / "x.weights.h5")
    detector = make(3, seed=2, class_head=ours)
    report = zoo.restore(detector, str(tmp_path / "x.weights.h5"))
    expected = [key for key in detector.class_rows() if afresh is None or key.rpartition("/")[2] in afresh]
    assert set(report.reinitialized) == set(expected)


def test_of_a_cosine_head_a_linear_one_takes_nothing(tmp_path: pathlib.Path) -> None:
    make(3, seed=1, class_head="cosine").save(tmp_path / "x.keras")
    linear, cosine = make(3, seed=2), make(3, seed=2, class_head="cosine")
    assert set(zoo.restore(linear, str(tmp_path / "x.keras")).reinitialized) == linear.class_rows().keys()
    assert zoo.restore(cosine, str(tmp_path / "x.keras")).reinitialized == ()


def test_map_without_a_label_map_is_refused(zoo_folder: pathlib.Path) -> None:
    with pytest.raises(CheckpointError, match="label map of the source is not known"):
        zoo.restore(make(2, 2), str(zoo_folder), pretrained_classes="map", label_map=LabelMap.of_names(["a", "b"]))


def test_another_architecture_is_refused_by_name_and_nothing_changes(tmp_path: pathlib.Path) -> None:
    other = build_detector("ssd_mobilenet_v2", num_classes=1, image_size=(64, 64), alpha=0.35)
    write_checkpoint(other, tmp_path / "ckpt-0")
    detector = make(1, seed=2, num_head_layers=4)
    before = values(detector)
    with pytest.raises(CheckpointError, match=r"fits model.detector: ssd_mobilenet_v2$"):
        zoo.restore(detector, str(tmp_path))
    for key, array in values(detector).items():
        np.testing.assert_array_equal(array, before[key])


def test_half_a_checkpoint_is_refused(trained: Detector, tmp_path: pathlib.Path) -> None:
    missing = "model/_feature_extractor/_fpn_features_generator/top_layers/0/bias"
    write_checkpoint(trained, tmp_path / "a" / "ckpt-0", without=missing)
    with pytest.raises(CheckpointError, match=f"lacks 1 variables \\(first: {missing}\\)"):
        zoo.restore(make(3, seed=2), str(tmp_path / "a"))
    write_checkpoint(trained, tmp_path / "b" / "ckpt-0", extra="model/_mask_head/kernel")
    with pytest.raises(CheckpointError, match="has 1 that the detector lacks"):
        zoo.restore(make(3, seed=2), str(tmp_path / "b"))


def test_another_width_is_refused(zoo_folder: pathlib.Path) -> None:
    with pytest.raises(CheckpointError, match=r"Set model\.options to the width"):
        zoo.restore(make(3, seed=2, fpn_depth=24), str(zoo_folder))


def test_saved_model_of_the_zoo(trained: Detector, tmp_path: pathlib.Path) -> None:
    class Node(tf.Module):
        """An object whose attributes are parts of a checkpoint key."""

    root = Node()
    for key, variable in trained.zoo_variables().items():
        node = root
        for part in ("_model", *key.split("/")[1:-1]):
            if not hasattr(node, part):
                setattr(node, part, Node())
            node = getattr(node, part)
        setattr(node, key.split("/")[-1], tf.Variable(np.asarray(variable)))
    tf.saved_model.save(root, str(tmp_path / "saved_model"))
    for source in (tmp_path, tmp_path / "saved_model"):
        detector = make(3, seed=2)
        report = zoo.restore(detector, str(source))
        assert len(report.restored) == len(detector.variables)
        np.testing.assert_array_equal(
            values(detector)["model/_box_predictor/_box_prediction_head/_box_encoder_layers/0/bias"],
            values(trained)["model/_box_predictor/_box_prediction_head/_box_encoder_layers/0/bias"],
        )


@pytest.mark.parametrize("file", ["x.weights.h5", "x.keras"])
@pytest.mark.parametrize("num_classes", [3, 7])
def test_keras_files(file: str, num_classes: int, trained: Detector, tmp_path: pathlib.Path) -> None:
    save = trained.save if file.endswith(".keras") else trained.save_weights
    save(tmp_path / file)
    detector = make(num_classes, seed=2)
    report = zoo.restore(detector, str(tmp_path / file))
    assert len(report.reinitialized) == (0 if num_classes == 3 else 2)
    assert len(report.restored) + len(report.reinitialized) == len(detector.variables)
    restored, source = values(detector), values(trained)
    for key in report.restored:
        np.testing.assert_array_equal(restored[key], source[key])


def test_weights_of_other_options_are_refused(trained: Detector, tmp_path: pathlib.Path) -> None:
    trained.save_weights(tmp_path / "x.weights.h5")
    with pytest.raises(CheckpointError, match="not those of ssd_mobilenet_v2_fpnlite with any number of classes"):
        zoo.restore(make(3, seed=2, num_head_layers=2), str(tmp_path / "x.weights.h5"))


def test_a_pushed_version_brings_its_label_map(trained: Detector, tmp_path: pathlib.Path) -> None:
    extra = tmp_path / "7" / "assets.extra"
    extra.mkdir(parents=True)
    trained.save_weights(extra / "detector.weights.h5")
    options = {key: value for key, value in _OPTIONS.items() if key != "image_size"}
    description = {
        "detector": _NAME,
        "num_classes": 3,
        "image_size": [64, 64],
        "options": options,
        "label_map": [[1, "cat"], [2, "dog"], [3, "cow"]],
    }
    (extra / "detector.json").write_text(json.dumps(description))
    for source in (tmp_path / "7", tmp_path):
        report = zoo.restore(
            make(2, seed=2), str(source), pretrained_classes="map", label_map=LabelMap.of_names(["cow", "cat"])
        )
        assert report.kept_classes == ("cow", "cat")
    assert "pushed version" in zoo.inspect(str(tmp_path))


def test_imagenet_weights_reach_the_backbone_only(tmp_path: pathlib.Path) -> None:
    weights = keras.applications.MobileNetV2(input_shape=(96, 96, 3), alpha=0.35, include_top=False, weights=None)
    weights.save_weights(tmp_path / "backbone.weights.h5")
    weights.save(tmp_path / "backbone.keras")
    for file in ("backbone.weights.h5", "backbone.keras"):
        detector = make(3, seed=2)
        report = zoo.restore(detector, str(tmp_path / file))
        assert len(report.restored) == 260 and len(report.restored) + len(report.missing) == len(detector.variables)
        for layer in detector.backbone_layers:
            for expected, actual in zip(weights.get_layer(layer.name).get_weights(), layer.get_weights(), strict=True):
                np.testing.assert_array_equal(actual, expected)
    with pytest.raises(CheckpointError, match=r"not the weights of keras\.applications\.MobileNetV2 with alpha 0\.5"):
        zoo.restore(make(3, seed=2, alpha=0.5), str(tmp_path / "backbone.keras"))


@pytest.mark.parametrize("shared", [True, False])
def test_boxes_for_all_classes_or_for_each_are_told_apart(shared: bool, tmp_path: pathlib.Path) -> None:
    def build(num_classes: int, share_box_across_classes: bool) -> Detector:
        return build_detector(
            "faster_rcnn_resnet50",
            num_classes=num_classes,
            image_size=(64, 64),
            width=0.25,
            proposal_depth=16,
            share_box_across_classes=share_box_across_classes,
        )

    write_checkpoint(build(3, shared), tmp_path / "checkpoint" / "ckpt-0")
    with pytest.raises(CheckpointError, match=rf"share_box_across_classes: {str(shared).lower()}"):
        zoo.restore(build(2, not shared), str(tmp_path))
    assert len(zoo.restore(build(2, shared), str(tmp_path)).reinitialized) == (2 if shared else 4)


@pytest.mark.parametrize("source", ["nowhere", "notes.txt", "empty"])
def test_what_is_no_checkpoint_is_refused(source: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="expected a folder of the TF2 Detection Zoo"):
        zoo.restore(make(3, seed=2), str(tmp_path / source))


def test_coco_has_eighty_classes_on_ninety_ids() -> None:
    assert len(COCO_LABEL_MAP) == 80
    assert COCO_LABEL_MAP.ids[-1] == 90
    assert dict(COCO_LABEL_MAP)[18] == "dog" and dict(COCO_LABEL_MAP)[90] == "toothbrush"


def _detector_of(folder: pathlib.Path) -> str:
    """``faster_rcnn_resnet50_v1_640x640_coco17_tpu-8`` -> ``faster_rcnn_resnet50``."""
    return re.sub(r"(_v1)?(_\d+x\d+)?_coco17_.*", "", folder.name)


def _variables_files() -> list[pathlib.Path]:
    return sorted(_SHARED.glob("zoo_*/*/variables.txt"))


@pytest.mark.skipif(not _variables_files(), reason=f"no zoo_index or zoo_reference in {_SHARED}")
def test_fingerprints_of_real_checkpoints() -> None:
    for file in _variables_files():
        keys = [line.split("\t")[0].removesuffix(VALUE_SUFFIX) for line in file.read_text().splitlines()]
        keys = [key for key in keys if key.startswith("model/")]
        assert zoo_fingerprints.detectors_with_keys(keys) == [_detector_of(file.parent)], file


@pytest.mark.parametrize("folder", sorted(path.parent for path in _SHARED.glob("zoo_index/*/ckpt-0.index")), ids=str)
def test_inspecting_a_real_index(folder: pathlib.Path) -> None:
    said = zoo.inspect(str(folder))
    assert f"fits model.detector: {_detector_of(folder)}\n" in said
    assert "not part of the detector: save_counter" in said


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ssd_mobilenet_v2", {}),
        ("ssd_mobilenet_v2_fpnlite", {}),
        ("efficientdet_d1", {"image_size": (128, 128)}),
        ("faster_rcnn_resnet101", {"image_size": (128, 128)}),
    ],
)
def test_fingerprints_of_detectors(name: str, options: dict[str, Any]) -> None:
    keys = build_detector(name, num_classes=1, **options).zoo_variables()
    assert zoo_fingerprints.fingerprint(keys) == zoo_fingerprints.FINGERPRINTS[name]
