"""Which training is the same: the one whose checkpoint a killed run goes on from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Final

import tensorflow as tf

from components.trainer.operating_points import OPERATING_POINT
from components.trainer.settings import ModelSettings, TrainConfig

_DECIDE_NOTHING: Final = ("checkpoint_root", "features_root", OPERATING_POINT)


def fingerprint(config: Mapping[str, str], inputs: Sequence[str]) -> str:
    """Identifies a training.

    Everything that decides about its weights counts, the digests of code and start weights in ``config`` among it. What
    does not (where checkpoints and features are, how often they are written, how many images are decoded at once, how
    score thresholds are chosen) may change.

    Args:
      config: of the Trainer, as ``run_fn`` gets it, with whatever else decides.
      inputs: files of records.

    Returns:
      16 hexadecimal digits of the config and of the names and sizes of the files.
    """
    deciding = {key: value for key, value in config.items() if key not in _DECIDE_NOTHING}
    deciding["model"] = ModelSettings.model_validate_json(config["model"]).model_dump_json(
        exclude={"serving_batch_size"}
    )
    deciding["train"] = TrainConfig.model_validate_json(config["train"]).model_dump_json(
        exclude={
            "checkpoint_every_seconds": True,
            "progress_every_seconds": True,
            "devices": True,
            "input": {"parallel_images"},
        }
    )
    sizes = {path: tf.io.gfile.stat(path).length for path in inputs}
    text = json.dumps({"config": deciding, "inputs": sizes}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
