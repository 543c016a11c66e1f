"""The one YAML file that describes a pipeline, as typed settings that are checked before any work starts.

Relative paths in the file are relative to the current directory. Importing this module imports neither TFX nor
TensorFlow: a config error is printed in well under a second.
"""

from __future__ import annotations

import copy
import os
import pathlib
from collections.abc import Sequence

import pydantic

from components.evaluator.settings import EvalSettings
from components.example_gen.settings import DataSettings
from components.export.device_formats import unsupported
from components.path_settings import LocalPath
from components.report.settings import CardSettings
from components.settings import Settings
from components.split_names import JUDGED_TARGET_SPLITS
from components.trainer.settings import ModelSettings, TrainConfig
from components.trainer.strategies.settings.feature_extraction import FeatureExtractionSettings
from components.trainer.strategies.settings.fine_tune import FineTuneSettings
from components.trainer.strategies.settings.transfer import TransferSettings
from components.trainer.tuning.settings import Choices, TunerSettings
from components.validation.settings import ValidationSettings
from pipeline.beam_settings import BeamSettings
from pipeline.cluster_settings import ClusterSettings
from pipeline.config_document import ConfigDocument
from pipeline.config_errors import ConfigError, describe_errors
from pipeline.push_settings import PushSettings
from pipeline.settings_tree import resolve

CONFIG_VARIABLE = "PIPELINE_CONFIG"
"""Environment variable that names the config file for the TFX CLI, which passes no arguments on."""


class PipelineConfig(Settings):
    """The whole file."""

    name: str = pydantic.Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")
    """Name of the pipeline: lower-case letters, digits and dashes. Runs under one name share their cache and their
    blessed models."""
    root: LocalPath = pathlib.Path("build/pipelines")
    """Folder under which the pipeline keeps its artifacts and, unless `metadata` says otherwise, its ML Metadata."""
    metadata: LocalPath | None = None
    """SQLite file of the ML Metadata store. Default: `<root>/<name>/metadata.sqlite`."""
    data: DataSettings
    """Where the annotated images are and how to read them."""
    validation: ValidationSettings = ValidationSettings()
    """What is checked about the data before training."""
    model: ModelSettings = ModelSettings()
    """Which detector, and from which weights it starts."""
    transfer: TransferSettings = FineTuneSettings()
    """What of the detector is trained, and how."""
    train: TrainConfig = TrainConfig()
    """The training run."""
    tuner: TunerSettings | None = None
    """A search for the best values of some keys before the training (TFX's Tuner). None: there is none."""
    eval: EvalSettings = EvalSettings()
    """Slices and the gate that a model passes to be served."""
    push: PushSettings = PushSettings()
    """Where blessed models go, and as what."""
    card: CardSettings = CardSettings()
    """What the model card on the page of a run says that no run can know: intended use, licences, contact."""
    beam: BeamSettings = BeamSettings()
    """The Beam runner."""
    cluster: ClusterSettings = ClusterSettings()
    """The same graph on Kubeflow Pipelines; a run on this machine takes no notice of it."""

    @pydantic.field_validator("train")
    @classmethod
    def _enough_for_the_strategy(cls, train: TrainConfig, info: pydantic.ValidationInfo) -> TrainConfig:
        # A transfer section that is wrong is an error of its own.
        if "transfer" in info.data:
            info.data["transfer"].check_steps(None if train.steps == "auto" else train.steps)
        return train

    @pydantic.model_validator(mode="after")
    def _replays_what_is_read(self) -> PipelineConfig:
        if self.train.input.replay_share is not None and self.data.span_window == 1:
            raise ValueError(
                "train.input.replay_share is set, but data.span_window is 1: no earlier span is read; set "
                "data.span_window to the number of spans to read together"
            )
        for key, value in (
            ("input.replay_share", self.train.input.replay_share),
            ("sampling.repeat_threshold", self.train.sampling.repeat_threshold),
        ):
            if value is not None and not self.transfer.replays:
                raise ValueError(
                    f"train.{key} is set, but transfer.strategy {self.transfer.strategy!r} takes every image as often "
                    "as any other; leave it out, or take `fine_tune`"
                )
        return self

    @pydantic.model_validator(mode="after")
    def _target_is_there_and_used(self) -> PipelineConfig:
        strategy, judged_on_target = self.transfer.strategy, self.eval.split in JUDGED_TARGET_SPLITS
        if self.data.target is None and self.transfer.uses_target:
            raise ValueError(
                f"transfer.strategy {strategy!r} adapts to images of another domain: give their folder in data.target, "
                "for example `target: {path: /data/cameras}`"
            )
        if self.data.target is None and judged_on_target:
            raise ValueError(
                f"eval.split {self.eval.split!r} is a split of data.target, which is not given: give it, or judge on "
                "`test` or `eval`"
            )
        if self.data.target is not None and not self.transfer.uses_target and not judged_on_target:
            raise ValueError(
                f"data.target is given, but nothing uses it: transfer.strategy {strategy!r} does not learn from it and "
                f"eval.split is none of {', '.join(sorted(JUDGED_TARGET_SPLITS))}. Take a strategy that adapts "
                "(`domain_adversarial`, `mean_teacher`), judge on the target, or leave data.target out"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _device_models_are_to_be_had(self) -> PipelineConfig:
        for name in self.push.device_formats:
            reason = unsupported(
                name,
                self.model.detector,
                is_tiled=self.model.tiling is not None,
                classifier=self.transfer.classifier if isinstance(self.transfer, FeatureExtractionSettings) else None,
            )
            if reason:
                raise ValueError(f"push.formats names {name!r}, which cannot be made of this model: {reason}")
        return self

    @pydantic.model_validator(mode="after")
    def _one_search_at_a_time(self) -> PipelineConfig:
        if self.tuner is not None and self.transfer.strategy == "auto":
            raise ValueError(
                "tuner is given and transfer.strategy is auto, so that every trial would try all ways of transfer: let "
                "auto choose first, then search with the strategy that it took"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _trials_are_long_enough(self) -> PipelineConfig:
        if self.tuner is None:
            return self
        steps = self.tuner.steps if self.train.steps == "auto" else self.tuner.trial_steps(self.train.steps)
        if steps is not None:
            try:
                self.transfer.check_steps(steps)
            except ValueError as error:
                raise ValueError(
                    f"trials have {steps} steps (tuner.steps), so that none could begin: {error}"
                ) from error
        return self

    @property
    def pipeline_root(self) -> pathlib.Path:
        """Absolute folder of this pipeline's artifacts."""
        return (self.root / self.name).absolute()

    @property
    def metadata_path(self) -> pathlib.Path:
        """Absolute path of the ML Metadata SQLite file."""
        return (self.metadata or self.pipeline_root / "metadata.sqlite").absolute()

    @property
    def push_directory(self) -> pathlib.Path:
        """Absolute folder that receives the numbered versions."""
        return (self.push.directory or self.pipeline_root / "served" / "detector").absolute()

    @property
    def device_directory(self) -> pathlib.Path:
        """Absolute folder that receives the device models: a folder a format, and in it the numbered versions."""
        return (self.push.devices.directory or self.pipeline_root / "served" / "devices").absolute()


def load_config(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> PipelineConfig:
    """Reads and checks a config file.

    Args:
      path: the YAML file.
      overrides: assignments such as ``train.steps=200``, applied over the file.

    Raises:
      ConfigError: the file cannot be read, is not YAML or holds a wrong key or value. The message names the file, the
        line, the key, what was found, what is allowed and the nearest valid spelling.
    """
    return check_config(ConfigDocument.read(path), overrides)


def check_config(document: ConfigDocument, overrides: Sequence[str] = ()) -> PipelineConfig:
    """Checks a config that has been read; ``overrides`` and errors as with ``load_config``."""
    for assignment in overrides:
        document.assign(assignment)
    while True:
        try:
            config = PipelineConfig.model_validate(document.values())
        except pydantic.ValidationError as error:
            if not _take_texts_as_typed(error, document):
                raise ConfigError(describe_errors(error, PipelineConfig, document)) from error
        else:
            _check_search(config, document)
            return config


def _check_search(config: PipelineConfig, document: ConfigDocument) -> None:
    """Puts the ends of each range, and each choice, where they would be tried: what is wrong with them is said now.

    Raises:
      ConfigError: one of them could not stand there.
    """
    for key, values in config.tuner.search.items() if config.tuner else ():
        ends: list[list[str | int]] = [["min"], ["max"]]
        if isinstance(values, Choices):
            ends = [["choices", index] for index in range(len(values.choices))]
        for end in ends:
            tried = copy.deepcopy(document)
            tried.copy(["tuner", "search", key, *end], key)
            try:
                PipelineConfig.model_validate(tried.values())
            except pydantic.ValidationError as error:
                raise ConfigError(describe_errors(error, PipelineConfig, tried)) from error


def _take_texts_as_typed(error: pydantic.ValidationError, document: ConfigDocument) -> bool:
    """Where text is wanted and something else was read (``02146``), the document goes back to what was typed."""
    said: dict[tuple[str | int, ...], set[str]] = {}
    for item in error.errors(include_url=False):
        place = resolve(PipelineConfig, item["loc"], lambda path: document.find(path) is not None)
        said.setdefault(tuple(place.path), set()).add(item["type"])
    # A number out of its range, say, is no text because the field may be text as well.
    wanted = [
        path
        for path, kinds in said.items()
        if kinds & {"string_type", "path_type"} and all(kind.endswith(("_type", "literal_error")) for kind in kinds)
    ]
    taken = [document.take_as_text(path) for path in wanted]
    return any(taken)


def config_from_environment() -> PipelineConfig:
    """The config that ``PIPELINE_CONFIG`` names.

    Raises:
      ConfigError: the variable is not set, or the file is wrong.
    """
    path = os.environ.get(CONFIG_VARIABLE)
    if not path:
        raise ConfigError(
            f"the environment variable {CONFIG_VARIABLE} is not set; "
            f"say which pipeline to run, for example {CONFIG_VARIABLE}=$PWD/pipeline/configs/demo.yaml"
        )
    return load_config(path)


if __name__ == "__main__":
    # How the config was checked before there were verbs. Doing nothing would tell a script that its file is right.
    raise SystemExit("python -m pipeline.config does nothing; the command is python -m pipeline config")
