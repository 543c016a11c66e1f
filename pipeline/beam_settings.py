"""Settings for the Beam runner under ExampleGen, StatisticsGen, Transform, the validators and the Evaluator."""

from __future__ import annotations

import difflib
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
    `true` becomes a bare flag, a list becomes a repeated option."""

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

    def pipeline_args(self) -> list[str]:
        """The settings as Beam command-line arguments, as TFX takes them in ``beam_pipeline_args``."""
        args = [f"--runner={self.runner}"]
        if self.runner == "DirectRunner":
            args += [f"--direct_running_mode={self.mode}", f"--direct_num_workers={self.workers}"]
        if self.runner != "DirectRunner" or self.mode == "multi_processing":
            # Worker processes import TFDV without TFX, whose import makes up for what TFDV 1.16 misses in tfx-bsl 1.21.
            args.append("--beam_plugin=tfx")
        for name, value in self.options.items():
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
