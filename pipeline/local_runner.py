"""Runs the pipeline that ``PIPELINE_CONFIG`` names on this machine. This is the file the TFX CLI is given:

    tfx pipeline create --engine=local --pipeline-path=$PWD/pipeline/local_runner.py
    tfx run create --engine=local --pipeline-name=NAME

The path has to be absolute (the CLI stores it as typed).
"""

from __future__ import annotations

from components.user_error import UserError
from pipeline.config import config_from_environment
from pipeline.preflight import check_files
from pipeline.tensorflow_environment import start_tensorflow


def main() -> None:
    """Checks the config, runs the graph and says what happened."""
    try:
        config = config_from_environment()
        check_files(config)
        # Behind the checks: importing TFX takes 10 s and more, a typing error should not.
        start_tensorflow()
        from pipeline.local_run import run_locally

        run_locally(config)
    except UserError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
