"""Settings for the Beam runner under ExampleGen, StatisticsGen, Transform, the validators and the Evaluator."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from typing import Final, Literal

import pydantic

from components.settings import Settings

_RUNNERS: Final = (
    "DirectRunner",
    "DataflowRunner",
    "FlinkRunner",
    "SparkRunner",
    "PortableRunner",
    "PrismRunner",
    "FnApiRunner",
    "BundleBasedDirectRunner",
    "SwitchingDirectRunner",
    "KafkaStreamsRunner",
)
"""Those of Beam's own that run a batch job and return when it is over."""


_PORTABLE: Final = ("FlinkRunner", "SparkRunner", "PortableRunner")
"""Those whose workers are started beside the engine's own processes."""
_SHIPS_CODE: Final = ("setup_file", "requirements_file", "extra_package", "extra_packages", "sdk_container_image")
WORKER_POOL: Final = "localhost:50000"
"""Where `python -m pipeline worker` listens, as seen from the task manager that it stands beside."""
FLINK_VERSION_VARIABLE: Final = "FLINK_VERSION"
FLINK_JAR_VARIABLE: Final = "FLINK_JOB_SERVER_JAR"
"""What the image has for Flink; kubeflow/Dockerfile sets both."""
_UNNAMED_IMAGE: Final = "object-detection-pipeline"


class BeamSettings(Settings):
    """Where the Beam parts run, and with what options."""

    runner: str = "DirectRunner"
    """Beam runner: `DirectRunner` (this machine), `DataflowRunner`, `FlinkRunner`, `SparkRunner`, `PortableRunner`,
    another one of Beam's, or the full name of a runner's class (`my_package.runners.MyRunner`)."""
    mode: Literal["in_memory", "multi_threading", "multi_processing"] = "in_memory"
    """DirectRunner only. `in_memory` is fastest to start and right for up to some ten thousand images;
    `multi_processing` uses `workers` processes."""
    workers: pydantic.NonNegativeInt = 1
    """DirectRunner only: number of workers; 0 means one a core."""
    options: dict[str, str | int | float | bool | list[str]] = {}
    """Further Beam pipeline options without the leading dashes, e.g. `{project: p, region: r, temp_location: gs://b/t}`.
    `true` becomes a bare flag, a list becomes a repeated option. For Flink, Spark and portable runners what is not set
    here is: the steps' image as `sdk_container_image` (so that no package is sent to workers, which have it), workers
    of a pool at localhost:50000 (`environment_type: EXTERNAL`), and for Flink the image's `flink_version` and
    `flink_job_server_jar`."""

    @pydantic.field_validator("runner")
    @classmethod
    def _known_runner(cls, runner: str) -> str:
        if "." not in runner and runner not in _RUNNERS:
            near = difflib.get_close_matches(runner, _RUNNERS, n=1)
            raise ValueError(
                f"found {runner!r}" + (f"; did you mean {near[0]!r}?" if near else "")
                + f" Allowed are {', '.join(_RUNNERS)}, and the full name of a class"
            )  # fmt: skip
        return runner

    @pydantic.model_validator(mode="after")
    def _direct_options_need_direct_runner(self) -> BeamSettings:
        default = BeamSettings.model_fields
        if self.runner != "DirectRunner" and (self.mode, self.workers) != (
            default["mode"].default,
            default["workers"].default,
        ):
            raise ValueError(
                f"`mode` and `workers` are settings of the DirectRunner, the runner here is {self.runner!r}; "
                "put that runner's own settings into `options`"
            )
        return self

    def pipeline_args(self, image: str | None = None, environment: Mapping[str, str] = os.environ) -> list[str]:
        """The settings as Beam command-line arguments, as TFX takes them in ``beam_pipeline_args``.

        Args:
          image: of the steps and of the workers beside a task manager; None where there is none.
          environment: variables, which say what there is for Flink.
        """
        args = [f"--runner={self.runner}"]
        if self.runner == "DirectRunner":
            args += [f"--direct_running_mode={self.mode}", f"--direct_num_workers={self.workers}"]
        if self.runner != "DirectRunner" or self.mode == "multi_processing":
            # Worker processes import TFDV without TFX, whose import makes up for what TFDV 1.16 misses in tfx-bsl 1.21.
            args.append("--beam_plugin=tfx")
        for name, value in {**self._portable_options(image, environment), **self.options}.items():
            match value:
                case True:
                    args.append(f"--{name}")
                case False:
                    continue
                case list():
                    args += [f"--{name}={item}" for item in value]
                case _:
                    args.append(f"--{name}={value}")
        return args

    def _portable_options(self, image: str | None, environment: Mapping[str, str]) -> dict[str, str]:
        """What a portable runner needs and the user has not said otherwise."""
        if self.runner not in _PORTABLE:
            return {}
        chosen = {}
        if not set(_SHIPS_CODE) & self.options.keys():
            # TFX would build a package of itself for the workers, which pip there could not install beside our pins.
            chosen["sdk_container_image"] = image or _UNNAMED_IMAGE
        in_one_process = str(self.options.get("flink_master", "[auto]")).startswith("[")
        if not (self.runner == "FlinkRunner" and in_one_process) and "environment_type" not in self.options:
            chosen |= {"environment_type": "EXTERNAL", "environment_config": WORKER_POOL}
        if self.runner == "FlinkRunner" and not {"flink_version", "flink_job_server_jar"} & self.options.keys():
            version, jar = environment.get(FLINK_VERSION_VARIABLE), environment.get(FLINK_JAR_VARIABLE)
            if version and jar:
                chosen |= {"flink_version": version, "flink_job_server_jar": jar}
        return chosen
