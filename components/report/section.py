"""The seam of the report: a section reads its artifact, says its lines and has its part of the page.

A new section is a file in ``sections/`` with a class like those beside it, a template of its own in ``templates/``, and
a line in ``run_report.SECTIONS``.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import functools
import posixpath
from collections.abc import Iterator, Sequence
from typing import ClassVar, Final, Self

import tensorflow as tf

from components.evaluator.evaluation import Evaluation, read_evaluation
from components.evaluator.matched_images import MatchedImages
from components.failed_outputs import kept_folder
from components.report.run_record import RunRecord
from components.report.settings import CardSettings

TextPair = tuple[str, str]
"""A line of the summary, or a tile of the page: what it is and what is said. A line without a name goes on above."""

_LONGEST_REASON: Final = 300


class UnreadableError(Exception):
    """An artifact is damaged or gone; the message has its path and the reason."""


@contextlib.contextmanager
def reading(path: str) -> Iterator[None]:
    """Whatever goes wrong inside becomes an error that names the path.

    Raises:
      UnreadableError: something went wrong.
    """
    try:
        yield
    except Exception as error:  # JSON, protobuf, TensorFlow and Pillow have a kind each for the same damage
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        shown = reason if len(reason) <= _LONGEST_REASON else reason[: _LONGEST_REASON - 3] + "..."
        raise UnreadableError(f"{path}: {shown}") from error


@dataclasses.dataclass(frozen=True)
class Run:
    """What a section may look at.

    Attributes:
      record: the nodes and their artifacts.
      pipeline_root: folder of the nodes' folders; what a failed node left in ``<node>/failed/<execution>`` is found
        there.
      push_directory: folder of the served model.
      card: the config's words for the model card; None where the config is not at hand.
    """

    record: RunRecord
    pipeline_root: str | None = None
    push_directory: str | None = None
    card: CardSettings | None = None

    def file(self, key: str, name: str) -> str | None:
        """Path of a file in an output's folder, or in what a failed node kept of it; None when there is no such output.

        A failed node is not asked for its outputs, ML Metadata has none: it is known by the file.
        """
        uri = self.record.uri(key)
        if uri is not None:
            return posixpath.join(uri, name)
        failed = [node for node in self.record.nodes if node.state == "failed"] if self.pipeline_root else []
        for node in failed:
            kept = posixpath.join(kept_folder(self.pipeline_root or "", node.node, str(node.execution_id)), name)
            if tf.io.gfile.exists(kept):
                return kept
        return None

    def optional_file(self, key: str, name: str) -> str | None:
        """``file``, of those that only some runs write; None where this one did not."""
        path = self.file(key, name)
        return path if path is not None and tf.io.gfile.exists(path) else None

    @functools.cached_property
    def evaluation(self) -> Evaluation | None:
        """Metrics and the gate's decision; None when the run did not get there.

        Raises:
          UnreadableError: the evaluation cannot be read.
        """
        uri = self.record.uri("evaluation")
        if uri is None:
            return None
        with reading(uri):
            return read_evaluation(uri)

    @functools.cached_property
    def matches(self) -> MatchedImages | None:
        """What there is and what was found in every judged image; None when the run did not get there.

        Evaluations of earlier versions have none either.

        Raises:
          UnreadableError: they cannot be read.
        """
        uri = self.record.uri("evaluation")
        folder = None if uri is None else posixpath.join(uri, "matches")
        if folder is None or not tf.io.gfile.exists(folder):
            return None
        # Not above: the file that also writes them imports Beam, which nothing else here needs.
        from components.evaluator.matches_file import read_matches

        with reading(folder):
            return read_matches(folder)


class Section(abc.ABC):
    """One subject of the report. What was read is in its fields; nothing is read after ``read``."""

    title: ClassVar[str]
    """Begins its first line."""
    template: ClassVar[str]
    """Its part of the page: a file in ``templates/`` that finds the section under the name ``section``."""

    @classmethod
    @abc.abstractmethod
    def read(cls, run: Run) -> Self | None:
        """Reads the section's artifact; None when the run did not get that far.

        Raises:
          UnreadableError: it is damaged or gone (``reading`` makes it so).
        """

    def lines(self) -> Sequence[TextPair]:
        """What the summary on the terminal says."""
        return ()

    def tiles(self) -> Sequence[TextPair]:
        """Single figures for the head of the page."""
        return ()


@dataclasses.dataclass(frozen=True)
class Unreadable(Section):
    """Stands for a section whose artifact cannot be read.

    Attributes:
      name: the title of that section.
      problem: path and reason.
    """

    template = "unreadable.html"

    name: str
    problem: str

    @classmethod
    def read(cls, run: Run) -> None:
        """There is nothing to read."""

    def lines(self) -> Sequence[TextPair]:
        """The one line that is left."""
        return ((self.name, f"could not be read: {self.problem}"),)


def read_section(section: type[Section], run: Run) -> Section | None:
    """The section of a run, or the line that says why there is none."""
    try:
        return section.read(run)
    except UnreadableError as error:
        return Unreadable(section.title, str(error))


def read_text(path: str) -> str:
    """The text of a file, local or not.

    Raises:
      UnreadableError: it cannot be read.
    """
    with reading(path), tf.io.gfile.GFile(path) as file:
        return str(file.read())


def text_lines(text: str) -> list[str]:
    """Lines of a JSON lines file. (``splitlines`` would also part them at the U+0085 or U+2028 of a file name.)"""
    return [line for line in text.split("\n") if line]
