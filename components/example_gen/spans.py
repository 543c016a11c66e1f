"""Spans: which numbered folders a data path with ``{SPAN}`` and ``{VERSION}`` stands for."""

from __future__ import annotations

import dataclasses
import glob
import json
import re
from collections.abc import Iterator, Sequence
from typing import Final

from components.example_gen import files
from components.example_gen.annotations import DataError
from components.example_gen.settings import DataSettings

_PLACEHOLDER: Final = re.compile(r"\{(SPAN|VERSION)(?::(\d+))?\}")


@dataclasses.dataclass(frozen=True, slots=True)
class SpanFolder:
    """A data folder to read. ``span`` and ``version`` are None where the path has no such placeholder."""

    span: int | None
    version: int | None
    path: str


def resolve_spans(settings: DataSettings) -> list[SpanFolder]:
    """The folders to read, newest span first; of each span the newest version.

    Raises:
      DataError: no folder matches; the message names the pattern and what there is.
    """
    path = settings.path.rstrip("/") or "/"
    if not _PLACEHOLDER.search(path):
        if not files.is_folder(path):
            raise DataError(f"data.path: {path} is no folder; give the folder that holds the annotated images")
        return [SpanFolder(None, None, path)]

    newest: dict[int, SpanFolder] = {}
    for number, found in _folders(path):
        kept = newest.get(number)
        if kept is None or (found.version or 0) > (kept.version or 0):
            newest[number] = found
    numbers = sorted(newest, reverse=True)
    available = ", ".join(map(str, numbers[:20])) or "none"
    if settings.span is not None:
        if settings.span not in newest:
            raise DataError(f"data.span: {settings.span} is not there; spans of {path}: {available}")
        numbers = [number for number in numbers if number <= settings.span]
    if not numbers:
        raise DataError(
            f"data.path: no folder matches {path}; {{SPAN}} and {{VERSION}} stand for digits only, and there is "
            f"{', '.join(_glob(_wildcard(path))[:5]) or 'nothing else of this pattern'}; correct data.path"
        )
    return [newest[number] for number in numbers[: settings.span_window]]


def target_folder(settings: DataSettings) -> SpanFolder:
    """The folder of ``data.target``.

    Args:
      settings: ``DataSettings.of_target``.

    Raises:
      DataError: it is no folder.
    """
    path = settings.path.rstrip("/") or "/"
    if not files.is_folder(path):
        raise DataError(
            f"data.target.path: {path} is no folder; give the one that holds the images of the target domain"
        )
    return SpanFolder(None, None, path)


def _folders(pattern: str) -> Iterator[tuple[int, SpanFolder]]:
    """Numbers of spans, and their folders."""
    regex, position = "", 0
    for match in _PLACEHOLDER.finditer(pattern):
        literal = pattern[position : match.start()]
        digits = rf"\d{{{match[2]}}}" if match[2] else r"\d+"
        regex += re.escape(literal) + f"(?P<{match[1]}>{digits})"
        position = match.end()
    regex += re.escape(pattern[position:])
    for path in _glob(_wildcard(pattern)):
        matched = re.fullmatch(regex, path)
        if matched and files.is_folder(path):
            groups = matched.groupdict()
            span, version = int(groups["SPAN"]), groups.get("VERSION")
            yield span, SpanFolder(span, None if version is None else int(version), path)


def _wildcard(pattern: str) -> str:
    literals = _PLACEHOLDER.split(pattern)[:: _PLACEHOLDER.groups + 1]
    return "*".join(literals if files.is_remote(pattern) else map(glob.escape, literals))


def _glob(wildcard: str) -> list[str]:
    if files.is_remote(wildcard):
        import tensorflow as tf

        return [path.rstrip("/") for path in tf.io.gfile.glob(wildcard)]
    return glob.glob(wildcard)  # noqa: PTH207 - Path.glob takes no absolute pattern


def spans_to_json(spans: Sequence[SpanFolder]) -> str:
    """Spans as an execution property."""
    return json.dumps([dataclasses.asdict(span) for span in spans])


def spans_from_json(text: str) -> list[SpanFolder]:
    """Reads the text of ``spans_to_json``."""
    return [SpanFolder(**span) for span in json.loads(text)]
