"""The Tuner's executor on artifacts, with processes that stand for trainings."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
from tfx.types import artifact_utils, standard_artifacts, standard_component_specs
from tfx.utils import json_utils

from components.data_profile import DATA_PROFILE_FILE, DataProfile, SplitProfile
from components.trainer.comparison import training_process
from components.trainer.settings import ModelSettings, TrainConfig
from components.trainer.strategies.settings.fine_tune import FineTuneSettings
from components.trainer.tuning.component import Executor, NoTrialError
from components.trainer.tuning.settings import TunerSettings, overrides_of
from components.trainer.tuning.trials_file import TRIALS_FILE

RATE = "train.optimizer.learning_rate"


@pytest.fixture
def run_tuner(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the node with some learning rates to try; returns the folders of what it left."""
    monkeypatch.setattr(training_process, "PROGRAM", "tests.components.trainer.tuning.stand_in_trial")
    for split in ("train", "eval"):
        (tmp_path / "examples" / f"Split-{split}").mkdir(parents=True)
        (tmp_path / "examples" / f"Split-{split}" / "records.gz").write_bytes(b"records")
    profile = SplitProfile()
    profile.add(["red"], [(0.1, 0.1, 0.5, 0.5)], height_pixels=96, width_pixels=96)
    (tmp_path / "examples" / DATA_PROFILE_FILE).write_text(DataProfile({"train": profile}).to_json())
    examples, graph = standard_artifacts.Examples(), standard_artifacts.TransformGraph()
    examples.uri, graph.uri = str(tmp_path / "examples"), str(tmp_path / "graph")
    examples.split_names = artifact_utils.encode_split_names(["train", "eval"])
    best, results = standard_artifacts.HyperParameters(), standard_artifacts.TunerResults()
    best.uri, results.uri = str(tmp_path / "best"), str(tmp_path / "results")

    def run(rates: list[float]) -> tuple[pathlib.Path, pathlib.Path]:
        settings = TunerSettings(search={RATE: {"choices": rates}}, trials=len(rates), steps=5, algorithm="random")  # type: ignore[dict-item]
        config = {
            "model": ModelSettings().model_dump_json(),
            "transfer": FineTuneSettings().model_dump_json(),
            "train": TrainConfig().model_dump_json(),
            "tuner": settings.model_dump_json(),
            "checkpoint_root": str(tmp_path / "checkpoints"),
            "weights_digest": "",
        }
        Executor(Executor.Context(tmp_dir=str(tmp_path / "temporary"), unique_id="1")).Do(
            {
                standard_component_specs.EXAMPLES_KEY: [examples],
                standard_component_specs.TRANSFORM_GRAPH_KEY: [graph],
            },
            {
                standard_component_specs.BEST_HYPERPARAMETERS_KEY: [best],
                standard_component_specs.TUNER_RESULTS_KEY: [results],
            },
            {
                "tuner_fn": "components.trainer.tuning.tuner.tuner_fn",
                standard_component_specs.TRAIN_ARGS_KEY: '{"splits": ["train"]}',
                standard_component_specs.EVAL_ARGS_KEY: '{"splits": ["eval"]}',
                standard_component_specs.CUSTOM_CONFIG_KEY: json_utils.dumps(config),
            },
        )
        return pathlib.Path(best.uri), pathlib.Path(results.uri)

    return run


def test_the_best_values_and_every_trial_are_left(run_tuner: Any, tmp_path: pathlib.Path) -> None:
    best, results = run_tuner([0.1, 0.02, 0.01])
    (file,) = best.iterdir()
    # As TFX's Trainer reads it.
    assert overrides_of(json.loads(file.read_text())["values"]) == {RATE: 0.01}
    trials = json.loads((results / TRIALS_FILE).read_text())
    assert [trial["values"][RATE] for trial in trials] == [0.01, 0.02, 0.1]
    assert "the loss is infinite" in trials[-1]["error"]
    assert not list((tmp_path / "checkpoints").iterdir())


def test_nothing_but_failures_is_an_error_with_their_reasons(run_tuner: Any) -> None:
    with pytest.raises(NoTrialError, match=r"none of 2 trials came to an end:\n.*the loss is infinite"):
        run_tuner([0.1, 0.2])
