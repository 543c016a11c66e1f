"""One training of a comparison or a search: what it is told, and what came of it."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any, Self

from components.split_names import UNLABELLED
from components.trainer.input.record_stream import matching_files
from components.trainer.settings import ModelSettings, TrainConfig
from components.trainer.state.fingerprint import fingerprint
from components.trainer.training_profile import training_profile
from components.trainer.training_rules import automatic_steps


@dataclasses.dataclass(frozen=True)
class Training:
    """What decides about a training and its figures.

    Attributes:
      config: of the Trainer, as ``run_fn`` gets it.
      train_files: globs of record files to learn from.
      eval_files: globs of those that the best weights are chosen on.
      judged_files: globs of those that the figures are of.
      transform_graph: folder of the transform graph.
      base_model: SavedModel folder of the last blessed model; None where there is none.
    """

    config: Mapping[str, str]
    train_files: tuple[str, ...]
    eval_files: tuple[str, ...]
    judged_files: tuple[str, ...]
    transform_graph: str
    base_model: str | None = None

    @property
    def identity(self) -> str:
        """16 hexadecimal digits of everything that decides; see ``fingerprint``."""
        told = dataclasses.asdict(self)
        told.pop("config")
        patterns = [*self.train_files, *self.eval_files, *self.judged_files]
        return fingerprint({**self.config, "told": json.dumps(told)}, matching_files(patterns))

    @property
    def steps(self) -> int:
        """Gradient steps that the config comes to."""
        train = TrainConfig.model_validate_json(self.config["train"])
        if train.steps != "auto":
            return train.steps
        annotated = [pattern for pattern in self.train_files if f"/Split-{UNLABELLED}/" not in pattern]
        from_scratch = ModelSettings.model_validate_json(self.config["model"]).pretrained is None
        return automatic_steps(training_profile(annotated).images, train.batch_size, from_scratch)

    def with_config(self, config: Mapping[str, str]) -> Self:
        """The same data, another config."""
        return dataclasses.replace(self, config=dict(config))

    def write(self, path: pathlib.Path) -> None:
        """Writes it as JSON."""
        path.write_text(json.dumps(dataclasses.asdict(self), indent=1))

    @classmethod
    def read(cls, path: pathlib.Path) -> Self:
        """Reads what ``write`` wrote."""
        told: dict[str, Any] = json.loads(path.read_text())
        lists = ("train_files", "eval_files", "judged_files")
        return cls(**told | {key: tuple(told[key]) for key in lists})


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a training.

    Attributes:
      metrics: the twelve COCO metrics by name; of one that was stopped or failed none, or those of its evaluations.
      seconds: from its start weights to the export, imports not counted.
      process_seconds: of its whole process.
      images_per_second: of gradient steps, the median over the training; 0 where nothing was learnt in steps.
      peak_memory_megabytes: resident memory of the process at most.
      peak_device_megabytes: memory of the first GPU at most; 0 without one.
      steps: gradient steps done.
      evaluations: step and AP on ``eval``, in their order.
      error: why there are no metrics; empty when there are.
    """

    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    process_seconds: float = 0.0
    images_per_second: float = 0.0
    peak_memory_megabytes: float = 0.0
    peak_device_megabytes: float = 0.0
    steps: int = 0
    evaluations: tuple[tuple[int, float], ...] = ()
    error: str = ""

    @property
    def said(self) -> str:
        """In a few words."""
        if self.error:
            return self.error.splitlines()[0]
        return f"AP {self.metrics['AP']:.3f}, {self.seconds:.0f} s"

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """Of the fields as JSON has them: a metric with nothing to find behind it is null there."""
        metrics = {name: float("nan") if value is None else value for name, value in fields["metrics"].items()}
        evaluations = tuple((step, reached) for step, reached in fields.get("evaluations", ()))
        return cls(**{**fields, "metrics": metrics, "evaluations": evaluations})

    def fields(self) -> dict[str, Any]:
        """The fields for JSON, see ``of``."""
        metrics = {name: value if value == value else None for name, value in self.metrics.items()}
        return {**dataclasses.asdict(self), "metrics": metrics}
