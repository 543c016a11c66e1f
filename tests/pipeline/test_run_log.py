"""What goes to the terminal and what into the file; in a process of its own, whose standard error is nobody's else."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pipeline

CODE = """
import logging, os, pathlib, subprocess, sys
from absl import logging as absl_logging
from pipeline.run_log import run_log

logging.basicConfig(format="%(message)s")
with run_log(pathlib.Path(sys.argv[1])) as log:
    os.write(2, b"from C++\\n")
    subprocess.run(["sh", "-c", "echo from a worker >&2"])
    print("progress", file=sys.stderr)
    logging.warning("a warning")
    absl_logging.set_verbosity(absl_logging.INFO)
    log.write_traceback(ValueError("the cause"))
os.write(2, b"after\\n")
logging.warning("after as well")
"""


def test_the_terminal_gets_what_python_says_and_the_file_everything(tmp_path: pathlib.Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path)],
        cwd=pathlib.Path(pipeline.__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.splitlines() == ["progress", "a warning", "after", "after as well"]
    (log,) = tmp_path.iterdir()
    for said in ("from C++\n", "from a worker\n", "WARNING root: a warning\n", "ValueError: the cause\n"):
        assert said in log.read_text()
    assert "after" not in log.read_text()
