"""Stands for ``measured_training`` in tests: AP is best at a learning rate of 0.01, and 0.1 does not train."""

from __future__ import annotations

import json
import math
import pathlib
import sys
import time

folder = pathlib.Path(sys.argv[1])
train = json.loads((folder / "training.json").read_text())["config"]["train"]
rate = json.loads(train)["optimizer"]["learning_rate"]
with (folder.parent / "started.txt").open("a") as started:
    started.write(f"{rate}\n")
if rate >= 0.1:
    (folder / "error.txt").write_text("the loss is infinite")
    sys.exit(1)
ap = 1.0 - 0.1 * abs(math.log10(rate) + 2.0)
if rate < 1e-5:
    (folder / "run").mkdir(exist_ok=True)
    (folder / "run" / "training_history.jsonl").write_text(f'{{"step": 5, "phase": "a", "AP": {ap}}}\n')
    time.sleep(60)
outcome = {"metrics": {"AP": ap}, "seconds": 1.0, "steps": 10, "evaluations": [[5, ap], [10, ap]]}
(folder / "result.json").write_text(json.dumps(outcome))
