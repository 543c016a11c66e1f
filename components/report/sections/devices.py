"""The models for devices: how good, large and fast each format is, whether it was blessed, and where it went."""

from __future__ import annotations

import dataclasses
import json
import posixpath
from collections.abc import Mapping, Sequence
from typing import Self

import tensorflow as tf

from components.device_pusher.keys import PUSHED_DEVICES, PUSHED_FILE
from components.exporter.failures_file import read_failures
from components.report.section import Run, Section, TextPair, read_text, reading
from schema.device_model import CARD_FILE, DEVICE_FORMATS, DeviceCard, DeviceFormat


@dataclasses.dataclass(frozen=True)
class Device:
    """One format.

    Attributes:
      format: which.
      card: what was measured; None where it could not be made, or did not answer.
      problem: why there is no card; empty where there is one.
      pushed_to: folder of the pushed model; None where it was not pushed.
    """

    format: DeviceFormat
    card: DeviceCard | None
    problem: str
    pushed_to: str | None

    @property
    def measured(self) -> str:
        """AP and its distance from the SavedModel's, size and latency; empty without a card."""
        return "" if self.card is None else f"AP {self.ap}, {self.size}, {self.latency}"

    @property
    def ap(self) -> str:
        """``0.512 (-0.003)``."""
        if self.card is None:
            return "–"
        return f"{self.card.ap:.3f} ({self.card.ap - self.card.saved_model_ap:+.3f})"

    @property
    def size(self) -> str:
        """In megabytes."""
        return "–" if self.card is None else f"{self.card.size_bytes / 1e6:.1f} MB"

    @property
    def latency(self) -> str:
        """Of one image."""
        return "–" if self.card is None else f"{self.card.latency_ms:.1f} ms"

    @property
    def verdict(self) -> str:
        """In a word or two."""
        if self.card is None:
            return "failed"
        return "blessed" if self.card.is_blessed else "refused"

    @property
    def reason(self) -> str:
        """Why it was refused or not made, or why a blessed one was not pushed; empty where it was."""
        if self.card is None:
            return self.problem
        if not self.card.is_blessed:
            return "; ".join(self.card.reasons)
        return "" if self.pushed_to else "not pushed, as the SavedModel was not"

    @property
    def line(self) -> str:
        """Everything in one line."""
        verdict = f"{self.verdict}: {self.reason}" if self.reason else f"pushed to {self.pushed_to}"
        return f"{self.format.name}: {', '.join(filter(None, [self.measured, verdict]))}"


@dataclasses.dataclass(frozen=True)
class Devices(Section):
    """The formats beside the SavedModel that the run was asked for.

    Attributes:
      devices: in the order of ``DEVICE_FORMATS``.
    """

    title = "Devices"
    template = "devices.html"

    devices: tuple[Device, ...]

    @classmethod
    def read(cls, run: Run) -> Self | None:
        """Reads the artifacts ``device_models``, ``device_evaluation`` and ``pushed_devices``.

        None for a run that was not asked for any format, and for one whose model was not blessed.
        """
        made, evaluated = run.record.uri("device_models"), run.record.uri("device_evaluation")
        problems: dict[str, str] = {}
        cards: dict[str, DeviceCard] = {}
        for folder in filter(None, (made, evaluated)):
            with reading(folder):
                tf.io.gfile.listdir(folder)  # nothing is also what a folder says that is gone
                problems |= read_failures(folder)
        if evaluated is not None:
            cards = _cards(evaluated)
        pushed_file = run.optional_file(PUSHED_DEVICES, PUSHED_FILE)
        pushed: Mapping[str, str] = {}
        if pushed_file is not None:
            text = read_text(pushed_file)
            with reading(pushed_file):
                pushed = dict(json.loads(text))
        devices = [
            Device(device_format, cards.get(name), problems.get(name, ""), pushed.get(name))
            for name, device_format in DEVICE_FORMATS.items()
            if name in cards or name in problems
        ]
        return cls(tuple(devices)) if devices else None

    @property
    def where(self) -> str:
        """On what the figures were measured; empty without any."""
        card = next((device.card for device in self.devices if device.card), None)
        if card is None:
            return ""
        return (
            f"AP on {card.images} images of {card.split}, in brackets its distance from the SavedModel's "
            f"{card.saved_model_ap:.3f} on the same images. Latency is the median of one image without decoding, on "
            f"{card.machine}."
        )

    def lines(self) -> Sequence[TextPair]:
        """A line a format."""
        return [(self.title if place == 0 else "", device.line) for place, device in enumerate(self.devices)]


def _cards(evaluated: str) -> dict[str, DeviceCard]:
    """The cards by format."""
    cards = {}
    for name in DEVICE_FORMATS:
        path = posixpath.join(evaluated, name, CARD_FILE)
        if tf.io.gfile.exists(path):
            text = read_text(path)
            with reading(path):
                cards[name] = DeviceCard.of_json(text)
    return cards
