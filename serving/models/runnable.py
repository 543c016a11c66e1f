"""What answers: a model in memory, or something around it such as the batching of requests."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
from tensorflow.core.protobuf import meta_graph_pb2

Array = npt.NDArray[np.generic]


def never() -> bool:
    """Nobody has gone: for callers that cannot."""
    return False


@dataclasses.dataclass(frozen=True)
class Call:
    """A signature to run.

    Attributes:
      signature_name: a key of `Runnable.signature_defs`.
      inputs: arrays by input alias, which fit the signature.
      output_aliases: outputs that are wanted, all when empty.
      deadline_monotonic: time of ``time.monotonic`` after which nobody waits for the answer; None: there is none.
      is_cancelled: whether the caller has gone.
      joins_batches: it may run together with others; otherwise it runs alone, at once, and has no place in a queue.
    """

    signature_name: str
    inputs: Mapping[str, Array]
    output_aliases: Sequence[str] = ()
    deadline_monotonic: float | None = None
    is_cancelled: Callable[[], bool] = never
    joins_batches: bool = True


class Runnable(Protocol):
    """Runs signatures of one version of a model; safe to use from several threads.

    Attributes:
      version: number of the version.
      signature_defs: signature name -> definition, as the SavedModel declares them.
    """

    version: int
    signature_defs: Mapping[str, meta_graph_pb2.SignatureDef]

    def run(self, call: Call) -> dict[str, Array]:
        """Outputs by alias.

        Raises:
          RequestError: the graph refused the values, or the call came too late or to too many others.
        """

    def close(self) -> None:
        """Frees what it holds; nothing runs any more."""
