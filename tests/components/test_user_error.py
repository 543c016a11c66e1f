"""An error of the user's is found again, whatever it has passed through."""

from __future__ import annotations

import apache_beam as beam
import pytest

from components.example_gen.annotations import DataError
from components.user_error import failure_reason, user_error_message


def _fail(error: BaseException) -> None:
    raise error


def test_the_error_itself_and_the_one_it_was_raised_from() -> None:
    assert user_error_message(DataError("give the folder")) == "give the folder"
    try:
        try:
            raise DataError("give the folder")
        except DataError as cause:
            raise RuntimeError("the node failed") from cause
    except RuntimeError as error:
        assert user_error_message(error) == "give the folder"


def test_one_that_beam_ran_into_in_this_process() -> None:
    with pytest.raises(DataError) as raised, beam.Pipeline() as pipeline:
        _ = pipeline | beam.Create(["two lines:\n  of one message"]) | beam.Map(lambda text: _fail(DataError(text)))
    assert user_error_message(raised.value) == "two lines:\n  of one message"


def test_one_that_a_beam_worker_of_another_process_raised() -> None:
    told = (
        "Pipeline FAILED in state FAILED: bundle inst003 Traceback (most recent call last):\n"
        '  File "apache_beam/runners/common.py", line 1512, in process\n'
        "components.example_gen.annotations.DataError: two lines:\n  of one message\n\n"
        "During handling of the above exception, another exception occurred:\n\n"
        "Traceback (most recent call last):\n"
        "components.example_gen.annotations.DataError: two lines:\n"
        "  of one message [while running 'ReadFiles/My step']\n"
    )
    assert user_error_message(RuntimeError(told)) == "two lines:\n  of one message"


def test_a_mistake_in_the_code_is_none() -> None:
    assert user_error_message(KeyError("x")) is None
    assert user_error_message(RuntimeError("Traceback ...\nbuiltins.KeyError: 'x'\njson.decoder.Nonsense: y")) is None


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DataError("two lines:\n  of one message"), "two lines:\n  of one message"),
        (KeyError("x"), "KeyError: 'x'"),
        (OSError("no space\n\t[[{{node Save}}]]"), "OSError: no space"),
        (RuntimeError("bundle 3\nTraceback (most recent call last):\n  ...\nValueError: y [while running 'Map']"),
         "RuntimeError: ValueError: y [while running 'Map']"),
    ],
)  # fmt: skip
def test_the_reason_in_a_few_words(error: Exception, reason: str) -> None:
    assert failure_reason(error) == reason
