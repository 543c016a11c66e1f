"""A forked program is a process like any other."""

from __future__ import annotations

import os
import pathlib
import signal

import pytest

from tests.forked_program import REPOSITORY, ForkedProgram, run_forked

_SAYS_WHAT_IT_IS = """
import os, sys
import tensorflow as tf
total = int(tf.reduce_sum(tf.linalg.matmul(tf.ones([300, 300]), tf.ones([300, 300]))))
ours = {name.partition(".")[0] for name in sys.modules} & {"components", "pipeline", "kubeflow", "schema", "serving"}
print(__name__, sys.argv[1:], os.getcwd(), os.environ.get("CHOSEN"), os.environ.get("LEFT_OUT"), total, ours or None)
print(os.getpid(), file=sys.stderr)
"""


def test_it_has_its_own_environment_and_threads_and_none_of_our_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEFT_OUT", "here")
    variables = {name: value for name, value in os.environ.items() if name != "LEFT_OUT"} | {"CHOSEN": "there"}
    done = run_forked("-c", _SAYS_WHAT_IT_IS, "an argument", environment=variables)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"__main__ ['an argument'] {REPOSITORY} there None 27000000 None\n"
    assert int(done.stderr.splitlines()[-1]) != os.getpid()


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("import sys; sys.exit(3)", 3, ""),
        ("import sys; sys.exit('wrong')", 1, "wrong"),
        ("raise OSError('no room')", 1, "OSError: no room"),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL, ""),
    ],
)
def test_its_end_is_told(tmp_path: pathlib.Path, code: str, status: int, said: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(f"if __name__ == '__main__':\n    {code}\n")
    done = run_forked(str(program))
    assert done.returncode == status
    assert said in done.stderr


def test_a_module_is_run_by_name() -> None:
    done = run_forked("-m", "pipeline", "run", "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: python -m pipeline run")


def test_it_is_ended_by_a_signal_and_when_time_is_over(tmp_path: pathlib.Path) -> None:
    sleeping = ["-c", "import time; time.sleep(600)"]
    files = tmp_path / "output", tmp_path / "errors"
    program = ForkedProgram(sleeping, *files)
    assert program.poll() is None
    program.send_signal(signal.SIGTERM)
    assert program.wait() == program.poll() == -signal.SIGTERM
    with pytest.raises(TimeoutError, match=r"has not ended within 0\.1 s"):
        ForkedProgram(sleeping, *files).wait(0.1)
