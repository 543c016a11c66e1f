"""How benchmarks/RESULTS.md is put together."""

from __future__ import annotations

import pytest

from benchmarks import all as all_benchmarks

TABLE = "1000 images:\n\n| case | AP |\n|---|---|\n| a | 0.1 |\n| b | 0.2 |"


def test_rows_measured_anew_replace_those_of_the_same_case() -> None:
    merged = all_benchmarks.with_rows(TABLE, "| case | AP |\n|---|---|\n| b | 0.3 |")
    assert merged == TABLE.replace("0.2", "0.3")


def test_a_new_case_is_the_last_row() -> None:
    merged = all_benchmarks.with_rows(TABLE, "| case | AP |\n|---|---|\n| c | 0.4 |")
    assert merged == TABLE + "\n| c | 0.4 |"


def test_cases_need_the_name_of_one_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        all_benchmarks.main(["--cases", "ssd_mobilenet_v2"])
    assert "--cases are those of one benchmark" in capsys.readouterr().err
