"""One run of the graph on this machine: progress while it runs, a summary and a page when it is over."""

from __future__ import annotations

import sys
import time

import ml_metadata
import tfx.v1 as tfx

from components.report.run_record import RunNotFoundError, read_run, write_failure
from components.report.run_report import report_run
from components.user_error import UserError, failure_reason, user_error_message
from pipeline.config import PipelineConfig
from pipeline.graph import create_pipeline
from pipeline.node_launcher import LocalRunner
from pipeline.preflight import check_detector
from pipeline.progress import node_progress
from pipeline.quiet_log import quieten
from pipeline.run_log import RunLog, run_log


class RunFailedError(UserError):
    """The run ended with an error that the user can mend; the message has it, and where the traceback is."""


def run_locally(config: PipelineConfig) -> None:
    """Runs the graph once, with TFX's LocalDagRunner but for its cache key (``pipeline.node_launcher``).

    Called from inside the TFX CLI's ``pipeline create``, the runner is replaced and nothing runs; then there is nothing
    to report either.

    Raises:
      ConfigError: the detector cannot be built as configured; nothing has run.
      RunFailedError: a node raised a ``UserError``; the summary has been printed.
      Exception: what else the failing node raised, after the summary has been printed.
    """
    check_detector(config)
    pipeline = create_pipeline(config)
    quieten()
    config.metadata_path.parent.mkdir(parents=True, exist_ok=True)
    started = time.time()
    failure: str | None = None
    with run_log(config.pipeline_root / "logs") as log:
        # Now, for a process that dies cannot say it any more.
        print(f"Log: {log.path}", file=sys.stderr, flush=True)
        try:
            with node_progress(len(pipeline.components)):
                LocalRunner().run(pipeline)
        except Exception as error:
            log.write_traceback(error)
            failure = failure_reason(error)
            if user_error_message(error) is None:
                raise
            raise RunFailedError(f"{failure}\nThe traceback is in the log: {log.path}") from error
        finally:
            _report(config, started, log, failure)


def _report(config: PipelineConfig, started: float, log: RunLog, failure: str | None) -> None:
    """Summary and page. What goes wrong with them changes nothing about the run: it has succeeded or failed before."""
    try:
        if failure is not None:
            _record_failure(config, started, failure)
        report_run(
            config.metadata_path,
            config.name,
            started,
            config.push_directory,
            config.pipeline_root / "reports",
            config.card,
        )
    except Exception as error:
        log.write_traceback(error)
        print(
            f"The run is over, but not all of its report could be made: {type(error).__name__}: {error}\n"
            f"The traceback is in the log: {log.path}",
            file=sys.stderr,
            flush=True,
        )


def _record_failure(config: PipelineConfig, started: float, reason: str) -> None:
    """Nodes run one after the other: what failed, or was left where it was, did so for this reason."""
    connection = tfx.orchestration.metadata.sqlite_metadata_connection_config(str(config.metadata_path))
    try:
        nodes = read_run(connection, config.name, started_after_seconds=started).nodes
    except RunNotFoundError:
        return
    failed = [node.execution_id for node in nodes if node.state in ("failed", "unfinished")]
    write_failure(ml_metadata.MetadataStore(connection), failed, reason)
