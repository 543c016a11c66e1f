"""``python -m components.trainer.worker CHECKPOINT_ROOT``: a further worker of a training whose chief is the Trainer.

The chief leaves what it was told under the folder of unfinished trainings (``<root>/<name>/checkpoints``), which every
worker reads, as it reads records and transform graph. Workers may be started before the chief or after it.
"""

from __future__ import annotations

import argparse
import posixpath
import sys
import tempfile
from collections.abc import Sequence

from tfx.components.trainer.fn_args_utils import FnArgs

from components.trainer.chief import wait_for_chief
from components.trainer.run import run_fn
from components.user_error import UserError


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Exit status: 0, or 2 when the training cannot go on."""
    parser = argparse.ArgumentParser(
        prog="python -m components.trainer.worker", description="Train as a further worker; TF_CONFIG says which."
    )
    parser.add_argument("root", metavar="CHECKPOINT_ROOT", help="the chief's folder of unfinished trainings")
    parser.add_argument("--wait", type=float, default=3600.0, metavar="SECONDS", help="for the chief (default: 3600)")
    arguments = parser.parse_args(argv)
    try:
        told = wait_for_chief(arguments.root, arguments.wait)
        with tempfile.TemporaryDirectory() as folder:
            run_fn(FnArgs(**told, model_run_dir=folder, serving_model_dir=posixpath.join(folder, "unused")))
    except UserError as error:
        print(error, file=sys.stderr, flush=True)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
