"""Formats have their turns in a process beside the node's: one that crashes is refused, with a reason.

The process is a program that calls ``do_each``. It works through the formats, since each start of TensorFlow costs
seconds; when it comes to its end before they do, the others go on in a new one.
"""

from __future__ import annotations

import json
import pathlib
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import logging

from components.child_process import ProcessEnd, run_program
from components.user_error import failure_reason

Request = Mapping[str, Any]
"""What a program has to know beside the formats; JSON."""
Deed = Callable[[str], None]
"""Does what is to be done with the format of a name."""


def done_in_processes(
    program: str, formats: Sequence[str], request: Request, *, seconds_for_each: int, to_raise: str
) -> dict[str, str]:
    """Has a program do something with formats.

    A process that ends at a format it did not begin with may have ended over what others left in its memory: that
    format begins a new one, and is refused only when that ends, too.

    Args:
      program: dotted path of a module whose main function is ``do_each``.
      formats: names, in the order that they have their turns in.
      request: for the program.
      seconds_for_each: a format that takes longer is ended and refused.
      to_raise: setting that holds these seconds, for the reason.

    Returns:
      Why it could not be done, by format; nothing of those that it was done with.
    """
    reasons: dict[str, str] = {}
    waiting = list(formats)
    with tempfile.TemporaryDirectory() as local:
        request_file, answers = pathlib.Path(local) / "request.json", pathlib.Path(local) / "answers.jsonl"
        request_file.write_text(json.dumps({**request, "seconds_for_each": seconds_for_each}))
        while waiting:
            answers.write_bytes(b"")
            end = run_program(program, [str(request_file), str(answers), *waiting])
            answered = [json.loads(line) for line in answers.read_text().splitlines()]
            reasons |= {name: reason for name, reason in answered if reason}
            waiting = waiting[len(answered) :]
            if waiting and not answered:
                reasons[waiting.pop(0)] = _reason(end, seconds_for_each, to_raise)
    return reasons


def _reason(end: ProcessEnd, seconds: int, to_raise: str) -> str:
    if end.is_of_time:
        return f"no end after {seconds} s; raise {to_raise}"
    advice = "; give the node more memory" if end.is_of_memory else ""
    return f"the process came to {end.found}{advice}"


def do_each(prepare: Callable[[Request], Deed]) -> None:
    """The program: its arguments are those of ``done_in_processes``; an answer a line is appended to a file.

    Args:
      prepare: called once; what it gives is called for each format. What either raises is a format's answer.
    """
    request_file, answers, *formats = sys.argv[1:]
    request: Request = json.loads(pathlib.Path(request_file).read_text())
    deed: Deed | None = None
    for name in formats:
        # Ends this process even where machine code never comes back to Python.
        signal.alarm(request["seconds_for_each"])
        reason = ""
        try:
            deed = deed or prepare(request)
            deed(name)
        except Exception as error:  # each converter and runtime has kinds of its own; the other formats may be sound
            logging.exception("%s failed", name)
            reason = failure_reason(error)
        with pathlib.Path(answers).open("a", encoding="utf-8") as file:
            file.write(json.dumps([name, reason]) + "\n")
    signal.alarm(0)
