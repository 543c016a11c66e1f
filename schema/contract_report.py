"""What a check of an exported model's contract found: ``serving.contract`` writes it, who pushes a model reads it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Final, Self

CONTRACT_FILE: Final = "contract.json"
"""Name of the report in an artifact's folder."""


@dataclasses.dataclass(frozen=True)
class Check:
    """One thing that servers and clients count on.

    Attributes:
      name: what was looked at.
      passed: whether it is as it should be.
      found: what is there.
      expected: what should be there.
      advice: what to do where it is not.
    """

    name: str
    passed: bool
    found: str
    expected: str
    advice: str

    @property
    def line(self) -> str:
        """All of it in one line; of a check that passed what was found."""
        if self.passed:
            return f"{self.name}: {self.found}"
        return f"{self.name}: found {self.found}; expected {self.expected}; {self.advice}"


@dataclasses.dataclass(frozen=True)
class Latency:
    """How long answers took, in milliseconds.

    Attributes:
      loader: what ran the model.
      batch_size: images of a request.
      runs: requests, one after the other.
      p50: half of them were answered within this.
      p95: 95 % of them.
      p99: 99 % of them.
    """

    loader: str
    batch_size: int
    runs: int
    p50: float
    p95: float
    p99: float

    @property
    def line(self) -> str:
        """All of it in one line."""
        images = "1 image" if self.batch_size == 1 else f"{self.batch_size} images"
        return (
            f"{images} in the {self.loader}: p50 {self.p50:.1f} ms, p95 {self.p95:.1f} ms, p99 {self.p99:.1f} ms "
            f"of {self.runs} runs"
        )


@dataclasses.dataclass(frozen=True)
class ContractReport:
    """Every check of one model.

    Attributes:
      checks: in the order in which they were made; none where the model was not looked at.
      latencies: measured where the model could be run.
    """

    checks: tuple[Check, ...]
    latencies: tuple[Latency, ...] = ()

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if not check.passed)

    @property
    def passed(self) -> bool:
        """Whether the model was looked at and every check passed."""
        return bool(self.checks) and not self.failures

    def to_json(self) -> str:
        """The text of ``CONTRACT_FILE``."""
        return json.dumps({"passed": self.passed, **dataclasses.asdict(self)}, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def of_json(cls, text: str) -> Self:
        """The report of a text that ``to_json`` made.

        Raises:
          ValueError, KeyError, TypeError: it is another text.
        """
        read: dict[str, Any] = json.loads(text)
        checks = tuple(Check(**check) for check in read["checks"])
        return cls(checks, tuple(Latency(**latency) for latency in read["latencies"]))
