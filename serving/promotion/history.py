"""What labels named, when, and by whose hand: a JSON object a line, beside models.config."""

from __future__ import annotations

import dataclasses
import datetime
import getpass
import json
import os
import pathlib
import socket
from typing import Final, Literal

from serving.promotion.errors import PromotionError

PROMOTE: Final = "promote"
ROLLBACK: Final = "rollback"


@dataclasses.dataclass(frozen=True)
class Move:
    """A label that was moved.

    Attributes:
      time: ISO 8601, UTC.
      who: user@host.
      action: whether it went on or back.
      model: name of the model.
      label: which.
      from_version: what it named; None: there was no such label.
      to_version: what it names since.
      why: in the words of who did it.
    """

    time: str
    who: str
    action: Literal["promote", "rollback"]
    model: str
    label: str
    from_version: int | None
    to_version: int
    why: str


def path_of(config_path: pathlib.Path) -> pathlib.Path:
    """``models.config`` -> ``models.config.history.jsonl``."""
    return config_path.with_name(f"{config_path.name}.history.jsonl")


def now_and_who() -> tuple[str, str]:
    """The time and the user of this process."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        # In a pod the user often has a number and no name.
        user = str(os.getuid())
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), f"{user}@{socket.gethostname()}"


def append(config_path: pathlib.Path, move: Move) -> None:
    """Adds a line.

    Raises:
      PromotionError: it cannot be written.
    """
    path = path_of(config_path)
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dataclasses.asdict(move), ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise PromotionError(f"{path}: the move was made and cannot be written down ({error.strerror})") from error


def read(config_path: pathlib.Path) -> list[Move]:
    """All moves, oldest first; none where nothing was moved yet.

    Raises:
      PromotionError: a line is not one of ours.
    """
    path = path_of(config_path)
    if not path.exists():
        return []
    moves = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            moves.append(Move(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise PromotionError(f"{path}:{number}: {error}; expected a line as promotions write it") from error
    return moves


def version_before(moves: list[Move], model: str, label: str, current: int) -> int:
    """The version that a rollback goes to: what the label named before the promotion that has not been undone yet.

    Raises:
      PromotionError: there is none, or the label was moved by hand since.
    """
    promotions: list[Move] = []
    for move in moves:
        if (move.model, move.label) != (model, label):
            continue
        if move.action == PROMOTE:
            promotions.append(move)
        elif promotions:
            promotions.pop()
    advice = f"name a version: python -m serving.promote --label {label} --version N"
    if not promotions or promotions[-1].from_version is None:
        raise PromotionError(f"label {label!r} has no version before {current} in the history; {advice}")
    if promotions[-1].to_version != current:
        raise PromotionError(
            f"label {label!r} names {current}, and {promotions[-1].to_version} according to the history: it was moved "
            f"by hand; {advice}"
        )
    return promotions[-1].from_version
