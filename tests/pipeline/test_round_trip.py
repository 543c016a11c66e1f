"""Every key of the config, with a value that is not its default: nothing is lost on the way from the file to a step."""

from __future__ import annotations

import copy
import itertools
import json
import pathlib
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin

import pydantic
import pytest

from components.detector.options import OPTIONS, SsdMobileNetV2FpnliteOptions
from components.evaluator.gate_settings import Accept, Drop
from components.example_gen.settings import SplitSettings, TargetSettings
from components.trainer.strategies.settings.few_shot import FewShotSettings
from components.trainer.strategies.settings.keep import KeepSettings
from components.trainer.strategies.settings.strategy import StrategySettings
from kubeflow.step_config import decode_config, encode_config
from pipeline.config import PipelineConfig, load_config
from pipeline.config_errors import ConfigError
from pipeline.settings_tree import sections
from pipeline.verbs.config import main

Key = str | int
Values = tuple[tuple[tuple[Key, ...], Any], ...]

TEXTS = ("no", "02146", "4e-5", "a: b # c", "true", "~", "a", "2Gi", "/mnt/pipelines/x", "train.batch_size")
"""Text that a reader of YAML may take for something else, and text that the narrower fields allow."""
NUMBERS = (1e-6, 0.25, 0.999, 1.5, 2, 3, 40)
NAMES: dict[str, tuple[Any, ...]] = {
    "model.detector": ("ssd_mobilenet_v2", "faster_rcnn_resnet50"),
    "model.options.hidden_dim": (48,),
    "model.options.stage_filters": ([64, 80, 96, 112],),
    "data.split.ratios": ({"train": 0.5, "eval": 1e-6},),
    "beam.runner": ("DataflowRunner",),
    "cluster.volumes.0.mount_path": ("/mnt",),
    "train.augmentation.scale_jitter_range": ([0.5, 1.5],),
    "train.augmentation.copy_paste_scale_range": ([0.5, 1.5],),
    "transfer.ladder": (["fine_tune"],),
    "data.target.split.ratios": ({"train": 0.5, "eval": 1e-6},),
    "tuner.search.train.optimizer.learning_rate.choices": ([1e-4, 1e-3],),
    "eval.gates.resamples": (500,),
}
"""Values of fields that allow a few only, which their type does not tell."""

BASE: dict[str, Any] = {"name": "signs", "data": {"format": "coco", "path": "data-{SPAN}"}}
ITEMS: dict[str, Any] = {
    "data.target": {"path": "target"},
    "transfer.stages": [{"steps": 0.5}, {}],
    "tuner": {"search": {"train.optimizer.learning_rate": {"min": 1e-4, "max": 1e-2}}},
    "tuner.search": {"train.optimizer.learning_rate": {"min": 1e-4, "max": 1e-2}},
    "eval.gates.minimum": {"AP75": {"min": 0.5}},
    "eval.gates.max_drop": {"AP75": {"absolute": 0.5}},
    "eval.gates.forgetting": {"AP75": {"absolute": 0.5}},
    "push.devices.max_drop": {"AP75": {"absolute": 0.5}},
    "push.devices.by_format": {"litert": {"max_drop": {"AP75": {"absolute": 0.5}}}},
    "push.devices.by_format.litert.max_drop": {"AP75": {"absolute": 0.5}},
    "eval.gates.slice_floors": [{"slice": {"weather": "no"}, "metric": "AP", "min": 0.5}],
    "eval.gates.class_floors": [{"class_name": "no", "metric": "AP", "min": 0.5}],
    "cluster.default_step.tolerations": [{"key": "a"}],
    "cluster.steps": {"Trainer": {}},
    "cluster.steps.Trainer.tolerations": [{"key": "a"}],
    "cluster.volumes": [{"claim": "pipeline-root", "mount_path": "/mnt/pipelines"}],
    "cluster.secrets": [{"secret": "a", "env": {"A": "b"}}],
}
"""What stands in a list or mapping of sections, so that the keys of one section can be tried."""
TOGETHER: dict[str, dict[str, Any]] = {
    # The options of another detector than the default.
    **{
        f"model.options.{name}": {"model.detector": detector, "model.pretrained": None}
        for detector, options in OPTIONS.items()
        for name in options.model_fields.keys() - SsdMobileNetV2FpnliteOptions.model_fields.keys()
    },
    "model.options.max_proposals": {"model.detector": "faster_rcnn_resnet50", "model.options.proposals_per_step": 2},
    "train.input.replay_share": {"data.span_window": 2},
    **{
        f"data.target.{name}": {"transfer.strategy": "mean_teacher"}
        for name in (*TargetSettings.model_fields, *(f"split.{name}" for name in SplitSettings.model_fields))
    },
    **{f"transfer.keep.{name}": {"transfer.warm_start_from_blessed": True} for name in KeepSettings.model_fields},
    "tuner.search.train.optimizer.learning_rate.choices": {"tuner.search": {"train.optimizer.learning_rate": {}}},
    "eval.operating_point.rule": {"eval.operating_point.value": 0.5},
    "eval.operating_point.value": {"eval.operating_point.rule": "precision"},
    **{
        f"push.devices.by_format.litert.max_drop.AP75.{name}": {"push.formats": ["saved_model", "litert"]}
        for name in Drop.model_fields
    },
    "cluster.secrets.0.mount_path": {"cluster.secrets": [{"secret": "a"}]},
}
"""Keys that are allowed together with others only."""

REQUIRED: dict[type[pydantic.BaseModel], dict[str, Any]] = {
    FewShotSettings: {"novel_classes": ["a"]},
    Accept: {"by": "a", "reason": "b"},
}
"""What a section needs that is not there by itself."""


def _candidates(annotation: Any) -> Iterator[Any]:
    """Values for a field of that type; not all of them fit its limits."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is bool:
        yield from (False, True)
    elif annotation is int:
        yield from (number for number in NUMBERS if isinstance(number, int))
    elif annotation is float:
        yield from NUMBERS
    elif annotation is str or annotation is pathlib.Path:
        yield from TEXTS
    elif annotation is Any:
        yield {"train.batch_size": 3}
    elif origin is Literal:
        yield from arguments
    elif origin is Annotated:
        yield from _candidates(arguments[0])
    elif origin is tuple and arguments[-1] is not ...:
        yield [40 + index for index, _ in enumerate(arguments)]
    elif origin in (list, tuple):
        yield from ([item] for item in _candidates(arguments[0]))
    elif origin is dict:
        for key in _candidates(arguments[0]):
            yield from ({key: value} for value in _candidates(arguments[1]))
    else:
        for argument in arguments:
            yield from _candidates(argument)


def _leaves(
    model: type[pydantic.BaseModel], prefix: tuple[Key, ...] = (), member: Values = ()
) -> Iterator[tuple[tuple[Key, ...], tuple[Any, Values]]]:
    """Every key that is no section, those of the sections in ``ITEMS`` among them: its path, its type and what tells
    the member of a union that it stands in."""
    for name, field in model.model_fields.items():
        path, found = (*prefix, name), sections(field.annotation)
        if not found.members:
            yield path, (field.annotation, member)
        for cls in found.classes:
            item = {"one": (), "list": (0,), "mapping": tuple(ITEMS.get(_dotted(path), ()))}[found.container]
            telling = found.discriminator
            told = [((*path, *item, telling), found.names(cls)[0])] if telling else []
            told += [((*path, *item, name), value) for name, value in REQUIRED.get(cls, {}).items()]
            if issubclass(cls, StrategySettings) and cls.uses_target:
                told.append((("data", "target", "path"), "target"))
            yield from _leaves(cls, (*path, *item), (*member, *told))


def _dotted(path: tuple[Key, ...]) -> str:
    return ".".join(map(str, path))


LEAVES = dict(_leaves(PipelineConfig))


def _put(tree: Any, path: tuple[Key, ...], value: Any) -> None:
    for depth, step in enumerate(path[:-1], start=1):
        if isinstance(tree, dict) and step not in tree:
            tree[step] = copy.deepcopy(ITEMS.get(_dotted(path[:depth]), {}))
        tree = tree[step]
    tree[path[-1]] = value


def _get(config: Any, path: tuple[Key, ...]) -> Any:
    for step in path:
        config = config[step] if isinstance(config, dict | list | tuple) else getattr(config, str(step))
    return config


def _write(file: pathlib.Path, *values: tuple[tuple[Key, ...], Any]) -> pathlib.Path:
    tree = copy.deepcopy(BASE)
    for path, value in values:
        _put(tree, path, value)
    file.write_text(json.dumps(tree))  # JSON is YAML 1.2
    return file


@pytest.mark.parametrize("path", LEAVES, ids=_dotted)
def test_a_key_keeps_its_value_from_the_file_to_the_step(tmp_path: pathlib.Path, path: tuple[Key, ...]) -> None:
    file = tmp_path / "config.yaml"
    annotation, member = LEAVES[path]
    together = [(tuple(key.split(".")), value) for key, value in TOGETHER.get(_dotted(path), {}).items()]
    together += [(key, value) for key, value in member if key != path]
    config = None
    for value in itertools.islice(NAMES.get(_dotted(path)) or _candidates(annotation), 10):
        _write(file, *together, (path, value))
        try:
            config = load_config(file)
        except ConfigError:
            continue
        kept = _get(config.model_dump(mode="json"), path)
        assert kept == value or (value == "~" and kept == str(pathlib.Path.home()))
        assert decode_config(encode_config(config)) == config
        assert PipelineConfig.model_validate_json(config.model_dump_json()) == config
    assert config is not None, "none of the candidates fits the field: add one"


def test_what_is_printed_with_its_defaults_is_the_same_config(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = _write(tmp_path / "config.yaml", (("data", "metadata"), list(TEXTS)), (("beam", "options"), {"no": 1e-6}))
    config = load_config(file)
    assert main(["--check", str(file)]) == 0
    file.write_text(capsys.readouterr().out)
    assert load_config(file) == config
