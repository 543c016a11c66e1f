"""Findings written in parts are the file that one writer would have made."""

from __future__ import annotations

import pathlib
import random

import apache_beam as beam

from components.example_gen.findings_writer import PARTS_FOLDER, WriteFindingParts, merge_parts, remove_parts
from components.findings import Finding, read_findings, to_json_lines

FINDINGS = [
    Finding("box_outside", f"{number % 90:02d}.jpg", f"box {number}", "clip", f"found\n{number}")
    for number in range(400)
]
ODD = Finding("missing_image", "k\udce4se.jpg", "", "skip", "no such file")
"""A name that is not UTF-8 on disk."""


def test_parts_make_one_file_in_order(tmp_path: pathlib.Path) -> None:
    shuffled = random.Random(1).sample([*FINDINGS, ODD], len(FINDINGS) + 1)
    further = Finding("similar_names", "", "class names", "keep", "'a', 'A'")
    output = tmp_path / "findings.jsonl"
    with beam.Pipeline() as pipeline:
        parts = pipeline | beam.Create(shuffled) | WriteFindingParts(str(tmp_path))
        _ = pipeline | "One" >> beam.Create([str(output)]) | beam.Map(
            lambda path, paths: merge_parts(paths, [further], path), paths=beam.pvalue.AsIter(parts)
        )  # fmt: skip
    assert len(list((tmp_path / PARTS_FOLDER).iterdir())) > 20
    whole = to_json_lines([*FINDINGS, ODD, further])
    assert output.read_bytes() == whole.encode("utf-8", "backslashreplace")
    remove_parts(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["findings.jsonl"]
    assert ODD in list(read_findings(tmp_path))


def test_no_findings_are_an_empty_file(tmp_path: pathlib.Path) -> None:
    merge_parts([], [], str(tmp_path / "findings.jsonl"))
    remove_parts(str(tmp_path))
    assert (tmp_path / "findings.jsonl").read_bytes() == b""
