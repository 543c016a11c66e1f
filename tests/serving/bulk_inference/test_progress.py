"""How far a run is, by its files."""

from __future__ import annotations

import dataclasses
import pathlib
import time

import pytest

from serving.bulk_inference.part_file import ImageAnswer, finished_parts, read_answers, writing
from serving.bulk_inference.progress import Progress
from serving.protocol.detections import Detection


def _answer(number: int) -> ImageAnswer:
    return ImageAnswer(number, f"{number}.jpg", "a", 4, 3, 7, (Detection(1, "stop", 0.5, (0.0, 0.1, 0.2, 0.3)),))


def test_images_are_counted_while_they_are_written(tmp_path: pathlib.Path) -> None:
    folder = str(tmp_path)
    progress = Progress(folder, parts=2, images=5)
    assert progress.count() == (0, 0)
    with writing(folder, 0) as write:
        write([_answer(1), _answer(2)])
        assert progress.count() == (2, 0)
        write([_answer(3)])
        assert progress.count() == (3, 0)
        assert finished_parts(folder) == set()
    assert progress.count() == (3, 1)
    assert finished_parts(folder) == {0}
    assert list(read_answers(folder, 0)) == [_answer(1), _answer(2), _answer(3)]


def test_a_part_that_two_write_counts_once_and_one_that_breaks_off_is_not_there(tmp_path: pathlib.Path) -> None:
    folder = str(tmp_path)
    progress = Progress(folder, parts=1, images=None)
    with pytest.raises(RuntimeError, match="away"), writing(folder, 100_000) as write:
        write([_answer(1)])
        raise RuntimeError("away")
    assert finished_parts(folder) == set()
    with writing(folder, 100_000) as write:
        write([_answer(1), _answer(2)])
        assert progress.count() == (2, 0)
    assert progress.count() == (2, 1)
    with writing(folder, 3):
        pass
    assert list(read_answers(folder, 3)) == []


def test_only_what_is_new_is_told(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    with writing(str(tmp_path), 0) as write:
        write([_answer(1)])
    told = Progress(str(tmp_path), parts=2, images=5, seconds=0.01)
    with told, writing(str(tmp_path), 1) as write:
        write([_answer(2), _answer(3)])
        # Its output is read when nobody writes any more: what comes in while pytest reads may be lost.
        while told._told != 3:
            time.sleep(0.01)
    assert capsys.readouterr().err == "3 of 5 images, 1 of 2 parts\n"


def test_a_line_keeps_what_it_was_made_of_and_one_without_thresholds_is_read() -> None:
    found = Detection(1, "stop", 0.5, (0.0, 0.1, 0.2, 0.3), 0.25)
    image = dataclasses.replace(_answer(1), detections=(found,))
    assert ImageAnswer.of_line(image.to_line()) == image
    assert ImageAnswer.of_line(image.to_line().replace(", 0.25]", "]")) == _answer(1)
