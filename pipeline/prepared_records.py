"""Records and transform graph, made by the graph's own nodes: what trainings outside of the graph learn from."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Final

import tfx.v1 as tfx
from tfx.orchestration.pipeline import RunOptions

from components.code_digest import CODE_DIGEST, code_digest
from components.data_profile import DataProfile
from components.evaluator.executor import judged_split
from components.report.run_record import read_run
from components.trainer.comparison.training import Training
from components.trainer.comparison.training_process import PROGRAM
from components.user_error import UserError, failure_reason, user_error_message
from pipeline.config import PipelineConfig
from pipeline.graph import create_pipeline, trainer_config
from pipeline.node_launcher import LocalRunner
from pipeline.progress import node_progress
from pipeline.quiet_log import quieten
from pipeline.run_log import run_log

_LAST_NODE: Final = "Transform"


class PreparationFailedError(UserError):
    """The data cannot be made records of; the message has the reason, and where the traceback is."""


@dataclasses.dataclass(frozen=True)
class PreparedRecords:
    """What the nodes left.

    Attributes:
      examples: folder with a folder for each split.
      transform_graph: folder of the transform graph.
      images: records by split.
      judged_split: the split that a model is judged on.
    """

    examples: pathlib.Path
    transform_graph: pathlib.Path
    images: dict[str, int]
    judged_split: str

    def files(self, split: str) -> tuple[str, ...]:
        """Globs of a split's record files."""
        return (str(self.examples / f"Split-{split}" / "*"),)

    def training(self, config: PipelineConfig) -> Training:
        """The training that the graph would run, judged as the Evaluator would judge it."""
        return Training(
            # Its figures are made by the program that judges.
            {**trainer_config(config), CODE_DIGEST: code_digest(PROGRAM)},
            self.files("train"),
            self.files("eval"),
            self.files(self.judged_split),
            str(self.transform_graph),
        )


def prepare_records(config: PipelineConfig) -> PreparedRecords:
    """Runs the graph up to the Transform; a second call finds it cached.

    Raises:
      PreparationFailedError: a node raised a ``UserError``.
      Exception: what else a node raised.
    """
    pipeline = create_pipeline(config)
    quieten()
    config.metadata_path.parent.mkdir(parents=True, exist_ok=True)
    with run_log(config.pipeline_root / "logs") as log:
        try:
            with node_progress(len(pipeline.components)):
                LocalRunner().run(pipeline, run_options=RunOptions(to_nodes=[_LAST_NODE]))
        except Exception as error:
            log.write_traceback(error)
            if user_error_message(error) is None:
                raise
            raise PreparationFailedError(f"{failure_reason(error)}\nThe traceback is in the log: {log.path}") from error
    connection = tfx.orchestration.metadata.sqlite_metadata_connection_config(str(config.metadata_path))
    # Not the newest folder: on data that was there before, the nodes are taken from the cache.
    uris = {key: read_run(connection, config.name).uri(key) for key in ("examples", "transform_graph")}
    examples, transform_graph = str(uris["examples"]), str(uris["transform_graph"])
    profile = DataProfile.read(examples)
    return PreparedRecords(
        pathlib.Path(examples),
        pathlib.Path(transform_graph),
        {split: counted.images for split, counted in profile.splits.items()},
        judged_split(config.eval.split, profile),
    )
