"""Every way of transfer on blood cells (BCCD) with 25, 50, 100 and all images: AP and AP50 on its test split, cost.

Data and weights (ImageNet MobileNetV2, alpha 0.35) come from ``$SHARED_DIR`` (default ``../shared``). What is printed
is the table of ``python -m pipeline compare``; a benchmark that was stopped goes on where it was.

    python -m benchmarks.transfer_ladder                        hours on two cores
    python -m benchmarks.transfer_ladder --steps 20 --seeds 1   a look whether it runs
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import sys
from collections.abc import Sequence

from components.trainer.comparison.summary import Summary
from pipeline.verbs.compare import main as compare

REPOSITORY = pathlib.Path(__file__).parents[1]
SHARED = pathlib.Path(os.environ.get("SHARED_DIR", REPOSITORY.parent / "shared"))
WEIGHTS = SHARED / "weights" / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"
ROOT = REPOSITORY / "build" / "benchmarks" / "transfer_ladder"
CONFIG = REPOSITORY / "pipeline" / "configs" / "blood_cells_voc.yaml"
OVERRIDES = {
    "root": ROOT,
    "data.path": SHARED / "data" / "bccd_voc" / "BCCD",
    "model.pretrained": WEIGHTS,
    # A network and a canvas with which a hundred trainings are a matter of hours.
    "model.image_size": [256, 256],
    "model.options": json.dumps({"alpha": 0.35, "fpn_depth": 64}),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Exit status: that of the comparison."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transfer_ladder", description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=400, help="of each training (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--sizes", default="25,50,100,all:1", help="(default: %(default)s)")
    parser.add_argument("--strategies", default="", help="only these (default: all)")
    options = parser.parse_args(argv)
    if not WEIGHTS.exists():
        parser.error(f"{WEIGHTS} is not there; set SHARED_DIR to the folder with data/ and weights/")
    overrides = [f"--set={key}={value}" for key, value in OVERRIDES.items()]
    asked = [f"--{name}={value}" for name, value in vars(options).items() if value]
    # The table alone goes to standard output, the trainings' progress does not.
    with contextlib.redirect_stdout(sys.stderr):
        status = compare([f"--config={CONFIG}", f"--output={ROOT}", *overrides, *asked])
    if status == 0:
        summary = Summary.read((ROOT / "comparison.json").read_text())
        print("\n\n".join([summary.table(), *summary.remarks()]))
    return status


if __name__ == "__main__":
    raise SystemExit(main())
