from __future__ import annotations

import keras
import tensorflow as tf

from components.trainer.software import Software


def test_what_this_process_runs_on_is_read_back() -> None:
    software = Software.of_this_process()
    assert Software.from_json(software.to_json()) == software
    assert software.packages["tensorflow"] == tf.__version__
    assert software.packages["keras"] == keras.__version__
    assert len(software.devices) == max(1, len(tf.config.list_physical_devices("GPU")))
