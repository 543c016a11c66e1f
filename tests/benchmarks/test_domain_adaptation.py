"""The share of the gap, and the file that results are taken up from; trainings are for the benchmark itself."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest

from benchmarks import domain_adaptation
from benchmarks.domain_adaptation import Case, Key, gap_closed, read_results, table


def test_the_share_of_the_gap() -> None:
    assert gap_closed([0.3, 0.4], [0.2, 0.2], [0.6, 0.6]) == pytest.approx([0.25, 0.5])
    # Seeds differ; the gap is that of all of them.
    assert gap_closed([0.3, 0.4], [0.3, 0.1], [0.6, 0.8]) == pytest.approx([0.0, 0.6])


def test_results_are_taken_up_and_become_rows(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "results.jsonl"
    assert read_results(path) == {}
    reached = {"source": (0.2, 0.3), "both": (0.4, 0.5), "oracle": (0.6, 0.7)}
    with path.open("a") as file:
        for method, values in reached.items():
            for seed, value in enumerate(values):
                figures = {"AP50": value, "AP": value / 2, "seconds": 60.0}
                file.write(
                    json.dumps({"case": "a", "method": method, "seed": seed, "steps": 5, "figures": figures}) + "\n"
                )
    found = read_results(path)
    assert found[Key("a", "both", 1, 5)]["AP50"] == 0.5
    rows = table(Case("a", "A to B", 5, {}, {}, {}, {}), list(reached), 2, 5, found).splitlines()
    assert [row.split(" |")[0] for row in rows] == [f"| A to B: {method}" for method in reached]
    assert "| 0.500 ± " in rows[1]
    assert rows[0].count("|  |") == 1


def test_a_pair_of_scenes_differs_in_weather_alone() -> None:
    clear, fog = domain_adaptation.render_clear("train", 5, 3), domain_adaptation.render_fog("train", 5, 3)
    assert clear.objects == fog.objects
    assert (clear.metadata["weather"], fog.metadata["weather"]) == ("clear", "fog")
    assert clear.metadata["time_of_day"] == fog.metadata["time_of_day"]
    contrast = [np.asarray(one.image, np.float32).std() for one in (clear, fog)]
    assert contrast[1] < 0.8 * contrast[0]
