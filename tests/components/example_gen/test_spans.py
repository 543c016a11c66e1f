from __future__ import annotations

import pytest

from components.example_gen.annotations import DataError
from components.example_gen.settings import DataSettings
from components.example_gen.spans import resolve_spans, spans_from_json, spans_to_json


def resolve(path, **values) -> list[tuple[int | None, int | None]]:
    folders = resolve_spans(DataSettings(format="coco", path=str(path), **values))
    assert spans_from_json(spans_to_json(folders)) == folders
    return [(folder.span, folder.version) for folder in folders]


def test_newest_span_and_its_newest_version_by_number(tmp_path) -> None:
    for name in ("span-2/v9", "span-10/v2", "span-10/v10", "span-9/v30", "span-x/v1", "span-11"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "span-12").write_text("a file, no folder")
    pattern = tmp_path / "span-{SPAN}/v{VERSION}"
    assert resolve(pattern) == [(10, 10)]
    assert resolve(pattern, span_window=2) == [(10, 10), (9, 30)]
    assert resolve(pattern, span_window=9) == [(10, 10), (9, 30), (2, 9)]
    assert resolve(pattern, span=9) == [(9, 30)]
    assert resolve(pattern, span=9, span_window=2) == [(9, 30), (2, 9)]
    with pytest.raises(DataError, match=r"data.span: 3 is not there; spans of .*: 10, 9, 2"):
        resolve(pattern, span=3)


def test_width_and_signs_that_mean_something_to_glob(tmp_path) -> None:
    for name in ("a[1]/007", "a[1]/8", "a1/009"):
        (tmp_path / name).mkdir(parents=True)
    assert resolve(tmp_path / "a[1]/{SPAN:3}") == [(7, None)]


def test_without_spans(tmp_path) -> None:
    assert resolve(tmp_path) == [(None, None)]
    with pytest.raises(DataError, match="is no folder"):
        resolve(tmp_path / "absent")
    with pytest.raises(DataError, match="no folder matches"):
        resolve(tmp_path / "{SPAN}")


def test_the_fingerprint_is_of_the_spans_in_the_window(tmp_path) -> None:
    from components.example_gen.driver import fingerprint

    def add(span: int, name: str) -> None:
        (tmp_path / str(span)).mkdir(exist_ok=True)
        (tmp_path / str(span) / name).write_text(name)

    settings = DataSettings(format="coco", path=f"{tmp_path}/{{SPAN}}", span_window=2)

    def taken() -> str:
        return fingerprint(settings, resolve_spans(settings))

    for span in (1, 2):
        add(span, "a")
    before = taken()
    assert taken() == before
    add(1, "b")
    changed = taken()
    assert changed != before, "a file of the earlier span"
    add(3, "a")
    newer = taken()
    assert newer not in (before, changed)
    add(1, "c")
    assert taken() == newer, "span 1 has left the window"
