"""Mistakes that would cost the hours before the Trainer are found before the first node."""

from __future__ import annotations

import importlib.util
import pathlib
from typing import Any

import pytest

from pipeline.config import PipelineConfig
from pipeline.config_errors import ConfigError
from pipeline.preflight import check_detector, check_files
from pipeline.verbs.run import main


def _config(**sections: Any) -> PipelineConfig:
    data = {"format": "coco", "path": "gs://bucket/data"} | sections.pop("data", {})
    return PipelineConfig.model_validate({"name": "signs", "data": data, **sections})


def test_files_that_are_there_pass(tmp_path: pathlib.Path):
    labels = tmp_path / "labels.txt"
    labels.write_text("car\n")
    (tmp_path / "ckpt-0.index").touch()
    root = str(tmp_path / "root")
    check_files(_config(root=root, data={"label_map": str(labels)}, model={"pretrained": str(tmp_path / "ckpt-0")}))
    check_files(_config(root=root, model={"pretrained": "gs://bucket/model"}))
    (tmp_path / "config.json").touch()
    for preset in ("retinanet_resnet50_fpn_coco", "hf://keras/retinanet", str(tmp_path)):
        check_files(
            _config(root=root, model={"detector": "retinanet_resnet50_fpn", "pretrained": f"kerashub:{preset}"})
        )


def test_packages_of_formats_are_looked_for_before_any_work(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(*names: str) -> None:
        found = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in names else found(name))

    config = _config(
        root=str(tmp_path), push={"formats": ["saved_model", "onnx", "openvino"]}, model={"pretrained": None}
    )
    check_files(config)
    assert config.device_directory.is_dir()
    without("onnxruntime", "openvino")
    with pytest.raises(ConfigError, match=r"^push\.formats: onnx needs onnxruntime, not installed here: pip install '"):
        check_files(config)
    without("onnx")
    with pytest.raises(ConfigError, match=r"onnx needs onnx and onnxruntime, .*\[devices\]"):
        check_files(config)
    check_files(_config(root=str(tmp_path), model={"pretrained": None}))


def test_missing_files_are_named_with_their_key(tmp_path: pathlib.Path):
    with pytest.raises(ConfigError, match=r"^data\.path: /nowhere is no folder"):
        check_files(_config(data={"path": "/nowhere"}))
    with pytest.raises(ConfigError, match=r"^data\.path: no folder matches .*span-\{SPAN\}"):
        check_files(_config(data={"path": f"{tmp_path}/span-{{SPAN}}"}))
    with pytest.raises(ConfigError, match=r"^data\.target\.path: /nowhere is no folder"):
        check_files(_config(data={"target": {"path": "/nowhere"}}, transfer={"strategy": "domain_adversarial"}))
    with pytest.raises(ConfigError, match=r"data\.label_map: .*nowhere\.txt"):
        check_files(_config(data={"label_map": str(tmp_path / "nowhere.txt")}))
    with pytest.raises(ConfigError, match=r"model\.pretrained: found 'gs://bucket/model\.keras'; .* copy it"):
        check_files(_config(model={"pretrained": "gs://bucket/model.keras"}))
    with pytest.raises(ConfigError, match=r"model\.pretrained: found 'kerashub:\./nowhere', .* save_to_preset writes"):
        check_files(_config(model={"detector": "retinanet_resnet50_fpn", "pretrained": "kerashub:./nowhere"}))
    with pytest.raises(ConfigError, match=r"model\.pretrained: found 'nowhere\.weights\.h5', but no such file"):
        check_files(_config(model={"pretrained": "nowhere.weights.h5"}))


def test_a_folder_that_takes_nothing_is_named_with_its_key(tmp_path: pathlib.Path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"^root: .*/file/signs cannot be written: Not a directory"):
        check_files(_config(root=str(tmp_path / "file")))
    with pytest.raises(ConfigError, match=r"^metadata: .*/file cannot be written: File exists"):
        check_files(_config(root=str(tmp_path), metadata=str(tmp_path / "file" / "m.sqlite")))
    with pytest.raises(ConfigError, match=r"^push\.directory: /dev/full cannot be written"):
        check_files(_config(root=str(tmp_path), push={"directory": "/dev/full"}))


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"model": {"image_size": [300, 320]}}, "multiples of 32"),
        ({"model": {"image_size": [64, 64]}, "transfer": {"trainable": "block_13_expnd"}}, "did you mean 'block_13_"),
    ],
)
def test_what_only_the_detector_can_judge(sections, message):
    with pytest.raises(ConfigError, match=message):
        check_detector(_config(**sections))


def test_a_detector_that_can_be_built_passes():
    check_detector(_config(model={"image_size": [64, 64]}, transfer={"trainable": "block_13_expand"}))


def test_the_command_says_so_and_exits_with_2(tmp_path: pathlib.Path, capsys):
    file = tmp_path / "signs.yaml"
    file.write_text(
        f"name: signs\ndata: {{format: coco, path: {tmp_path}}}\nmodel: {{pretrained: nowhere.weights.h5}}\n"
    )
    assert main(["--config", str(file)]) == 2
    assert "model.pretrained: found 'nowhere.weights.h5'" in capsys.readouterr().err
