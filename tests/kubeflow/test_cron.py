"""Cron expressions, as robfig/cron v1 reads them."""

from __future__ import annotations

import datetime
import itertools
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeflow.cron import CronError, parse_cron

NOW = datetime.datetime(2026, 1, 30, 12, 0, 0)


def _times(text: str, count: int = 3, after: datetime.datetime = NOW) -> list[str]:
    return [str(time) for time in itertools.islice(parse_cron(text).times(after), count)]


def test_five_fields_get_a_second() -> None:
    assert parse_cron("30 2 * * *").text == "0 30 2 * * *"
    assert _times("30 2 * * *") == ["2026-01-31 02:30:00", "2026-02-01 02:30:00", "2026-02-02 02:30:00"]


def test_six_fields_start_with_seconds() -> None:
    assert _times("15 0 0 1 * *", 2) == ["2026-02-01 00:00:15", "2026-03-01 00:00:15"]


def test_names_ranges_and_steps() -> None:
    assert parse_cron("*/20 9-17/4 * JAN,jul mon-fri").values == (
        frozenset({0}),
        frozenset({0, 20, 40}),
        frozenset({9, 13, 17}),
        frozenset(range(1, 32)),
        frozenset({1, 7}),
        frozenset({1, 2, 3, 4, 5}),
    )
    assert parse_cron("50/5 * * * *").values[1] == {50, 55}


def test_a_day_fits_either_field_when_both_are_given() -> None:
    assert _times("0 0 1 * mon", 3) == ["2026-02-01 00:00:00", "2026-02-02 00:00:00", "2026-02-09 00:00:00"]
    assert _times("0 0 ? * sun", 1) == ["2026-02-01 00:00:00"]


def test_a_day_fits_both_fields_when_one_begins_with_a_star() -> None:
    # 1, 15 and 29 May are Tuesdays in one year of six or so.
    assert parse_cron("40 29 0 */14 5/15 2").values[3:] == ({1, 15, 29}, {5}, {2})
    assert _times("40 29 0 */14 5/15 2", 4) == [
        "2029-05-01 00:29:40",
        "2029-05-15 00:29:40",
        "2029-05-29 00:29:40",
        "2035-05-01 00:29:40",
    ]
    assert _times("0 0 ?/2 * sun", 2) == ["2026-02-01 00:00:00", "2026-02-15 00:00:00"]


def test_what_croniter_would_read_in_another_way() -> None:
    assert _times("5-5 * * * *", 2) == ["2026-01-30 12:05:00", "2026-01-30 13:05:00"]
    assert _times("*/90 * * * *", 2) == ["2026-01-30 13:00:00", "2026-01-30 14:00:00"]


def test_leap_day_is_found() -> None:
    assert _times("0 0 29 2 *", 1) == ["2028-02-29 00:00:00"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("* * * *", "found 4 fields"),
        ("", "found 0 fields"),
        ("60 * * * *", "found '60', expected 0 to 59"),
        ("* * 0 * *", "day of month"),
        ("* * * * 7", "Sunday is 0"),
        ("* * * foo *", "jan"),
        ("5-1 * * * *", "ends before it begins"),
        ("*/0 * * * *", "step"),
        ("*/x * * * *", "step"),
        ("*/٣ * * * *", "step"),
        ("0 0 L * *", "found 'L'"),
        ("0 0 * * 5#2", "found '5#2'"),
        ("0 0 * * L5", "found 'L5'"),
        ("H H * * *", "found 'H'"),
        ("0 0 * * fri-mon", "ends before it begins"),
        ("0 0 0 1 1 * 2027", "found 7 fields"),
        ("1, * * * *", "found ''"),
        ("@daily", "descriptors"),
        ("0 0 31 2 *", "never comes true"),
        ("0 0 31 4,6 *", "never comes true"),
        ("٣ * * * *", "expected 0 to 59"),
    ],
)
def test_refusals_say_what_is_expected(text: str, said: str) -> None:
    with pytest.raises(CronError, match=said):
        parse_cron(text)


def _field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    return st.one_of(
        st.just("*"),
        number.map(str),
        st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}"),
        st.integers(1, high).map(lambda step: f"*/{step}"),
        st.lists(number, min_size=1, max_size=3).map(lambda values: ",".join(map(str, values))),
    )


_EXPRESSIONS = st.tuples(_field(0, 59), _field(0, 59), _field(0, 23), _field(1, 28), _field(1, 12), _field(0, 6)).map(
    " ".join
)


_ROBFIG = [
    line.split("\t")
    for line in pathlib.Path(__file__).with_name("robfig_cron_times.tsv").read_text().splitlines()
    if not line.startswith("#")
]


@pytest.mark.parametrize(("text", "times"), [(row[0], row[1:]) for row in _ROBFIG], ids=[row[0] for row in _ROBFIG])
def test_the_times_are_those_of_kubeflows_own_parser(text: str, times: list[str]) -> None:
    if times == ["ERR"]:
        with pytest.raises(CronError):
            parse_cron(text)
        return
    found, now = [], NOW
    try:
        cron = parse_cron(text)
    except CronError as error:
        assert "never comes true" in str(error)
        assert times == ["NONE"]
        return
    while len(found) < 3 and "NONE" not in found:
        found.append("NONE" if cron.first_missed(now) else str(now := next(cron.times(now))))
    assert found == times


@given(_EXPRESSIONS)
def test_every_time_fits_every_field(text: str) -> None:
    cron = parse_cron(text)
    previous = NOW
    for time in itertools.islice(cron.times(NOW), 5):
        assert time > previous
        previous = time
        assert time.second in cron.values[0]
        assert time.minute in cron.values[1]
        assert time.hour in cron.values[2]
        assert time.month in cron.values[4]
        assert time.day in cron.values[3] or time.isoweekday() % 7 in cron.values[5]


@given(_EXPRESSIONS)
def test_checking_the_checked_changes_nothing(text: str) -> None:
    assert parse_cron(parse_cron(text).text) == parse_cron(text)


@given(st.text(max_size=30))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        parse_cron(text)
    except CronError as error:
        assert repr(text) in str(error)
