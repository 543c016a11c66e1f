"""Where a pipeline keeps its runs, and which run somebody means."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Final, Self

from components.report.local_time import local_time
from components.report.run_record import RunRecord, read_only_sqlite, read_runs
from components.report.settings import CardSettings
from components.user_error import UserError
from pipeline.config import PipelineConfig, load_config
from pipeline.config_errors import ConfigError

LATEST: Final = "latest"
_METADATA_FILE: Final = "metadata.sqlite"
_MOST_NAMED: Final = 10


class NoRunError(UserError):
    """There is no such run, or no store of runs; the message says what there is."""


@dataclasses.dataclass(frozen=True)
class RunStore:
    """The runs of one pipeline on this machine.

    Attributes:
      pipeline_name: the pipeline.
      metadata_path: SQLite file of ML Metadata.
      pipeline_root: folder of the nodes' folders.
      push_directory: folder of the served model.
      card: the config's words for the model card; None without a config.
    """

    pipeline_name: str
    metadata_path: pathlib.Path
    pipeline_root: pathlib.Path
    push_directory: pathlib.Path
    card: CardSettings | None = None

    @classmethod
    def of_config(cls, config: PipelineConfig) -> Self:
        """The store that a run of the config writes to."""
        return cls(config.name, config.metadata_path, config.pipeline_root, config.push_directory, config.card)

    @classmethod
    def of_folder(cls, pipeline_root: pathlib.Path) -> Self:
        """The store in ``<root>/<name>``, where the config says nothing else about it."""
        root = pipeline_root.absolute()
        return cls(root.name, root / _METADATA_FILE, root, root / "served" / "detector")

    @property
    def reports_directory(self) -> pathlib.Path:
        """Receives the pages."""
        return self.pipeline_root / "reports"

    def read(self, most: int | None = None) -> list[RunRecord]:
        """The runs, the newest first.

        Args:
          most: so many of them; None for all.

        Raises:
          NoRunError: there is no store.
        """
        if not self.metadata_path.is_file():
            raise NoRunError(
                f"{self.metadata_path}: not there: the pipeline {self.pipeline_name!r} has not run, or its config sets "
                "other folders in `root` and `metadata` than when it did"
            )
        return read_runs(read_only_sqlite(self.metadata_path), self.pipeline_name, most=most)

    def find(self, wanted: str) -> RunRecord:
        """The run of an id, of a part that no other id has, or the ``latest``.

        Raises:
          NoRunError: there is no such run, or several; the message names those that there are.
        """
        records = self.read()
        if wanted == LATEST and records:
            return records[0]
        exact = [record for record in records if record.run_id == wanted]
        matching = exact or [record for record in records if wanted in record.run_id]
        if len(matching) == 1:
            return matching[0]
        where = f"pipeline {self.pipeline_name!r} ({self.metadata_path})"
        if not records:
            raise NoRunError(f"the {where} has no runs")
        if matching:
            raise NoRunError(f"{wanted!r} is part of {len(matching)} ids of runs of the {where}:\n{_named(matching)}")
        raise NoRunError(f"no run of the {where} has {wanted!r} in its id; there are:\n{_named(records)}")


def _named(records: Sequence[RunRecord]) -> str:
    lines = [f"  {record.run_id}  started {local_time(record.started_seconds)}" for record in records[:_MOST_NAMED]]
    more = len(records) - _MOST_NAMED
    return "\n".join([*lines, *([f"  and {more} older ones"] if more > 0 else [])])


def add_store_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say whose runs are meant."""
    whose = parser.add_mutually_exclusive_group(required=True)
    whose.add_argument("--config", type=pathlib.Path, help="the YAML file that describes the pipeline")
    whose.add_argument(
        "--pipeline_root",
        type=pathlib.Path,
        metavar="DIR",
        help="in place of it: <root>/<name> of the pipeline, with its metadata.sqlite",
    )
    parser.add_argument(
        "--set",
        dest="overrides",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="overrides a key of the config (may be repeated)",
    )


def store_of(arguments: argparse.Namespace) -> RunStore:
    """The store that the options of ``add_store_arguments`` name.

    Raises:
      ConfigError: the config is wrong, or there is none to override a key of.
    """
    if arguments.pipeline_root is not None:
        if arguments.overrides:
            raise ConfigError("--set overrides keys of a config: give it with --config, and not --pipeline_root")
        return RunStore.of_folder(arguments.pipeline_root)
    return RunStore.of_config(load_config(arguments.config, arguments.overrides))
