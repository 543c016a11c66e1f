"""Ours, Beam's, and nobody's."""

from __future__ import annotations

import pytest
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions

from serving import bulk
from serving.bulk_inference import beam_options
from serving.bulk_inference.errors import BulkError


def test_what_is_ours_is_not_beams() -> None:
    ours = {name.lstrip("-") for action in bulk._arguments()._actions for name in action.option_strings}
    # Dataflow's labels can be told by --labels too, behind --.
    assert ours & set(PipelineOptions([]).get_all_options()) <= {"label"}


def test_options_are_parted() -> None:
    words = [
        "--images",
        "a",
        "b",
        "--direct_num_workers",
        "2",
        "--model=m",
        "--output=o",
        "--",
        "--labels=a",
        "--",
        "x",
    ]
    options, others, verbatim = beam_options.parse(bulk._arguments(), words)
    assert (options.images, options.model, options.output) == (["a", "b"], "m", "o")
    assert others == ["--direct_num_workers", "2"]
    assert verbatim == ["--labels=a", "--", "x"]


def test_beam_gets_its_own_and_a_runner() -> None:
    options = beam_options.pipeline_options(["--direct_num_workers", "2"], ["--nobodys=3"])
    assert options.view_as(DirectOptions).direct_num_workers == 2
    assert options.view_as(StandardOptions).runner == "FnApiRunner"
    assert options.get_all_options(retain_unknown_options=True)["nobodys"] == "3"
    given = beam_options.pipeline_options([], ["--runner=DirectRunner"])
    assert given.view_as(StandardOptions).runner == "DirectRunner"


@pytest.mark.parametrize("others", [["--nobodys=3"], ["--nobodys", "3"], ["--direct_num_workers=2", "--nobodys"]])
def test_what_nobody_knows_is_refused(others: list[str]) -> None:
    with pytest.raises(BulkError, match="unrecognized argument: --nobodys"):
        beam_options.pipeline_options(others, [])
