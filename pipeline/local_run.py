"""One run of the graph on this machine: progress while it runs, a summary and a page when it is over."""

from __future__ import annotations

import time

import tfx.v1 as tfx
from absl import logging as absl_logging

from components.report.run_report import report_run
from pipeline.config import PipelineConfig
from pipeline.graph import create_pipeline
from pipeline.preflight import check_detector
from pipeline.progress import NodeProgress
from pipeline.quiet_log import quieten


def run_locally(config: PipelineConfig) -> None:
    """Runs the graph once with TFX's LocalDagRunner.

    Called from inside the TFX CLI's ``pipeline create``, the runner is replaced and nothing runs; then there is nothing
    to report either.

    Raises:
      ConfigError: the detector cannot be built as configured; nothing has run.
      Exception: what the failing node raised, after the summary has been printed.
    """
    check_detector(config)
    pipeline = create_pipeline(config)
    quieten()
    absl_logging.get_absl_logger().addHandler(NodeProgress(len(pipeline.components)))
    config.metadata_path.parent.mkdir(parents=True, exist_ok=True)
    started = time.time()
    try:
        tfx.orchestration.LocalDagRunner().run(pipeline)
    finally:
        report_run(config.metadata_path, config.name, started, config.push_directory, config.pipeline_root / "reports")
