"""Stands for ``measured_training`` in tests: a process whose fate is the seed of the training."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import sys
import time

folder = pathlib.Path(sys.argv[1])
told = json.loads((folder / "training.json").read_text())
seed = json.loads(told["config"]["train"])["seed"]
steps = json.loads(told["config"]["train"])["steps"]
with (folder.parent / "started.txt").open("a") as started:
    started.write(f"{seed}\n")
if seed == 1:
    os.kill(os.getpid(), signal.SIGKILL)
if seed == 2:
    (folder / "error.txt").write_text("no record matches")
    sys.exit(1)
if seed == 3:
    (folder / "run").mkdir(exist_ok=True)
    (folder / "run" / "training_history.jsonl").write_text('{"step": 5, "phase": "fine_tune", "AP": 0.125}\n')
    time.sleep(60)
transfer = json.loads(told["config"]["transfer"])
ap = 0.75 if transfer.get("trainable") == "heads" else 0.5
outcome = {"metrics": {"AP": ap, "AP50": None}, "seconds": 10.0, "images_per_second": 8.0, "steps": steps}
(folder / "result.json").write_text(json.dumps(outcome))
