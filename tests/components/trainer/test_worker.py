"""Two processes train together as the Trainer and its worker do; the chief alone exports."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Callable

import pytest
import tensorflow as tf
from tfx.components.trainer.fn_args_utils import FnArgs

from components.data_profile import DATA_PROFILE_FILE, DataProfile, SplitProfile
from components.trainer.chief import told_workers, wait_for_chief
from components.user_error import UserError
from tests.components.trainer.test_replicas import cluster
from tests.components.trainer.test_run import MODEL, TRAIN
from tests.forked_program import CaughtProgram

CHIEF = """
import json, sys
from tfx.components.trainer.fn_args_utils import FnArgs
from components.trainer.run import run_fn
run_fn(FnArgs(**json.loads(sys.argv[1])))
"""


def test_the_chief_exports_what_two_have_learnt(
    tmp_path: pathlib.Path, transform_output: str, squares: Callable[[str, int], str]
) -> None:
    root = tmp_path / "checkpoints"
    profile = SplitProfile()
    for _ in range(12):
        profile.add(["red"], [(0.1, 0.1, 0.5, 0.5)], height_pixels=96, width_pixels=96)
    (tmp_path / DATA_PROFILE_FILE).write_text(DataProfile({"train": profile}).to_json())
    arguments = {
        "train_files": [squares("train", 12)],
        "eval_files": [squares("eval", 6)],
        "transform_graph_path": transform_output,
        "serving_model_dir": str(tmp_path / "Format-Serving"),
        "model_run_dir": str(tmp_path / "run"),
        "custom_config": {
            "model": MODEL.model_dump_json(),
            "transfer": "{}",
            "train": TRAIN.model_dump_json(),
            "checkpoint_root": str(root),
        },
    }
    commands = (["-c", CHIEF, json.dumps(arguments)], ["-m", "components.trainer.worker", str(root)])
    programs = [
        CaughtProgram(command, os.environ | {"TF_CONFIG": place})
        for command, place in zip(commands, cluster(2), strict=True)
    ]
    outputs = ["".join(program.communicate(timeout=900)) for program in programs]
    assert [program.wait() for program in programs] == [0, 0], "\n".join(outputs)
    assert all("step 3/3: AP" in output for output in outputs)
    model = tf.saved_model.load(str(tmp_path / "Format-Serving"))
    record = next(iter(tf.data.TFRecordDataset(str(next((tmp_path / "eval").glob("*"))), compression_type="GZIP")))
    assert model.signatures["evaluate"](examples=record[tf.newaxis])["detections"].shape[2] == 6
    assert not list(root.iterdir())


def test_what_the_workers_were_told_is_gone_with_the_training(tmp_path: pathlib.Path) -> None:
    """A worker of the next one, started before its chief, has to wait."""
    arguments = FnArgs(train_files=["train"], eval_files=["eval"], transform_graph_path="graph", base_model=None)
    config = {"checkpoint_root": str(tmp_path / "checkpoints")}
    with pytest.raises(RuntimeError), told_workers(arguments, config):
        assert wait_for_chief(config["checkpoint_root"], 0.0)["custom_config"] == config
        raise RuntimeError
    with pytest.raises(UserError, match="no chief"):
        wait_for_chief(config["checkpoint_root"], 0.0)


def test_a_chief_that_does_not_come(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match=r"no chief has written .*workers\.json within 0 s"):
        wait_for_chief(str(tmp_path), 0.0)
