"""The model card: what the model is for, what it was made of, how good it is and where it fails.

After Mitchell et al., Model Cards for Model Reporting (2019). What only people know is the config's section ``card``;
what is not given there is named as missing.
"""

from __future__ import annotations

import dataclasses
import json
import math
import posixpath
from collections.abc import Iterator, Sequence
from typing import Any, Final, Self

import tensorflow as tf

from components.data_profile import DATA_PROFILE_FILE, DataProfile
from components.evaluator.check import OVERALL, slice_name
from components.evaluator.evaluation import Evaluation, SliceResult
from components.report.local_time import local_time
from components.report.measured_rows import number
from components.report.node_settings import TRAINER, computed_config
from components.report.run_record import RunRecord
from components.report.section import Run, Section, UnreadableError, read_text, reading
from components.report.settings import CardSettings
from components.report.split_order import in_split_order
from schema.exported_model import DESCRIPTION_FILE

_WORST_SHOWN: Final = 5
_UNREADABLE: Final = "could not be read: what it says is missing here"
_LEAST_IMAGES: Final = 10
"""A slice of fewer images is no worst one: its figure says little."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """A line of the card.

    Attributes:
      name: what it is about.
      text: what is said; empty where nothing is known.
      key: of the config, that would say it; empty for what the run knows.
    """

    name: str
    text: str
    key: str = ""


@dataclasses.dataclass(frozen=True)
class Group:
    """Lines under one heading of the card."""

    title: str
    entries: tuple[Entry, ...]


@dataclasses.dataclass(frozen=True)
class ModelCard(Section):
    """The card of the run's model.

    Attributes:
      groups: in the order of the paper.
      has_config: whether the words of the config were at hand.
    """

    title = "Model card"
    template = "model_card.html"

    groups: tuple[Group, ...]
    has_config: bool

    @classmethod
    def read(cls, run: Run) -> Self | None:
        """Reads what is known of the model; None when the run has none."""
        model = run.record.output("model")
        if model is None:
            return None
        words, unreadable = run.card or CardSettings(), []
        profile, evaluation = None, None
        try:
            profile = _profile(run)
        except UnreadableError:  # its own section says why
            unreadable.append(Entry("records", _UNREADABLE))
        try:
            evaluation = run.evaluation
        except UnreadableError:
            unreadable.append(Entry("evaluation", _UNREADABLE))
        groups = (
            Group("Model", tuple(_details(run.record, _description(model.uri), words))),
            Group(
                "Intended use",
                (
                    _words("intended use", words, "intended_use"),
                    _words("not meant for", words, "out_of_scope"),
                    _words("ethical considerations", words, "ethics"),
                ),
            ),
            Group("Data", tuple(_data(run.record, profile, words))),
            Group("How good it is", tuple(_metrics(evaluation, run.record))),
            Group("Limits", (_words("limits", words, "limits"), *_worst(evaluation), *unreadable)),
        )
        return cls(groups, run.card is not None)

    @property
    def missing(self) -> Sequence[str]:
        """Keys of the config that would say what is missing."""
        return [entry.key for group in self.groups for entry in group.entries if entry.key and not entry.text]


def _words(name: str, words: CardSettings, field: str) -> Entry:
    return Entry(name, getattr(words, field) or "", f"card.{field}")


def _profile(run: Run) -> DataProfile | None:
    path = run.file("examples", DATA_PROFILE_FILE)
    if path is None:
        return None
    text = read_text(path)
    with reading(path):
        return DataProfile.from_json(text)


def _description(model_uri: str) -> dict[str, Any]:
    """What the export says of itself; empty where it says nothing."""
    path = posixpath.join(model_uri, "Format-Serving", DESCRIPTION_FILE)
    if not tf.io.gfile.exists(path):
        return {}
    text = read_text(path)
    with reading(path):
        return dict(json.loads(text))


def _details(record: RunRecord, description: dict[str, Any], words: CardSettings) -> Iterator[Entry]:
    with reading(f"ML Metadata, run {record.run_id}"):
        config = computed_config(record)
    model = record.output("model")
    assert model is not None
    told = config.get("model", {})
    yield Entry("detector", str(description.get("detector") or told.get("detector") or ""))
    size = description.get("image_size") or told.get("image_size")
    yield Entry("input", f"images of any size, seen as {size[0]} x {size[1]} pixels (height x width)" if size else "")
    classes = [str(name) for _, name in description.get("label_map", ())]
    yield Entry("classes", f"{len(classes)}: {', '.join(classes)}" if classes else "")
    yield Entry("way of transfer", str(config.get("transfer", {}).get("strategy", "")))
    trained = local_time(model.created_seconds)
    again = record.node(TRAINER)
    by = " by an earlier run" if again is not None and again.state == "cached" else ""
    yield Entry("trained", f"{trained}{by}, model {model.artifact_id} of the pipeline {record.pipeline_name}")
    yield Entry("start weights", str(told["pretrained"] or "none, from scratch") if "pretrained" in told else "")
    yield _words("licence of the start weights", words, "weights_licence")
    yield _words("licence of the model", words, "licence")
    yield _words("contact", words, "contact")


def _data(record: RunRecord, profile: DataProfile | None, words: CardSettings) -> Iterator[Entry]:
    yield _words("source", words, "data_source")
    yield _words("licence", words, "data_licence")
    for split in in_split_order(profile.splits) if profile else ():
        counted = profile.splits[split] if profile else None
        assert counted is not None
        judged = ", which the model was judged on" if split == record.judged_split else ""
        yield Entry(
            split, f"{counted.images} images with {counted.objects} objects of {len(counted.box_sides)} classes{judged}"
        )


def _metrics(evaluation: Evaluation | None, record: RunRecord) -> Iterator[Entry]:
    overall = evaluation.overall if evaluation else None
    if evaluation is None or overall is None:
        yield Entry("metrics", "")
        return
    chosen = ", which the checkpoint was chosen on: somewhat too good" if record.judged_on_chosen_split else ""
    for name in ("AP", "AP50"):
        yield Entry(name, f"{_figure(overall, name, evaluation.confidence)} on the split {record.judged_split}{chosen}")
    yield Entry("verdict of the gate", evaluation.verdict.decision.rstrip(":"))


def _worst(evaluation: Evaluation | None) -> Iterator[Entry]:
    if evaluation is None or evaluation.overall is None:
        return
    overall = evaluation.overall
    classes = sorted(
        (value, key.removeprefix("AP/"))
        for key, value in overall.metrics.items()
        if key.startswith("AP/") and not math.isnan(value)
    )
    if classes:
        yield Entry("lowest AP of a class", "\n".join(f"{name}: {number(ap)}" for ap, name in classes[:_WORST_SHOWN]))
    slices = sorted(
        (result.metrics["AP"], f"{slice_name(result.values)}: {_figure(result, 'AP', 0)}")
        for result in evaluation.slices
        if result.values != OVERALL
        and result.metrics.get("image_count", 0) >= _LEAST_IMAGES
        and not math.isnan(result.metrics.get("AP", math.nan))
    )
    if slices:
        yield Entry("lowest AP of a slice", "\n".join(text for _, text in slices[:_WORST_SHOWN]))


def _figure(result: SliceResult, metric: str, confidence: float) -> str:
    ends = result.intervals.get(metric)
    sure = f"{100 * confidence:g} % sure: " if confidence else ""
    interval = "" if ends is None else f" ({sure}{ends[0]:.3f} to {ends[1]:.3f})"
    return f"{number(result.metrics.get(metric, math.nan))}{interval}"
