"""Compiles the TFX graph into a pipeline for Kubeflow: ``python -m kubeflow.compile --config FILE --output FILE``.

--target kfp      open-source Kubeflow Pipelines 2.x: one container step a node (kubeflow.kfp_pipeline)
--target vertex   Vertex AI Pipelines, through TFX's KubeflowV2DagRunner (kubeflow.vertex)
"""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Sequence

from kubeflow.backend_check import INSTALL_ADVICE
from kubeflow.step_config import cluster_config
from pipeline.config import PipelineConfig
from pipeline.config_errors import ConfigError
from pipeline.preflight import check_detector
from pipeline.tensorflow_environment import start_tensorflow


def write(target: str, config: PipelineConfig, image: str, output: pathlib.Path) -> None:
    """Compiles ``config`` for ``target`` ("kfp" or "vertex") into ``output``.

    Raises:
      ConfigError: the config names a step or a key that there is not.
      ValueError: the result would not run on the target.
    """
    # Behind the check of the config: importing TFX takes 10 s and more.
    if target == "vertex":
        from kubeflow.vertex import write_vertex_job

        write_vertex_job(config, image, output)
    else:
        from kubeflow.kfp_pipeline import write_kfp_pipeline

        write_kfp_pipeline(config, image, output)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Exit status: 0 written, 1 the compiled file would not run, 2 the config or a package is wrong."""
    parser = argparse.ArgumentParser(prog="python -m kubeflow.compile", description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=pathlib.Path, required=True, help="the YAML file that describes the pipeline")
    parser.add_argument("--image", help="container image of the steps; default: cluster.image")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="receives the compiled pipeline")
    parser.add_argument("--target", choices=("kfp", "vertex"), default="kfp", help="who will run it (default: kfp)")
    parser.add_argument("--set", dest="overrides", metavar="KEY=VALUE", action="append", default=[])
    arguments = parser.parse_args(argv)
    try:
        config = cluster_config(arguments.config, arguments.overrides)
        image = arguments.image or config.cluster.image
        if not image:
            raise ConfigError(f"{arguments.config}: cluster.image is not set and no --image was given; name the image")
        start_tensorflow()
        check_detector(config)
        write(arguments.target, config, image, arguments.output)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except ImportError as error:
        print(f"{error}; {INSTALL_ADVICE}", file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"{arguments.output} would not run: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.output}: compiled for {arguments.target}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
