"""Which models the next run may be compared with and start from: those that every judge of them let pass."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What a node said of a model.

    Attributes:
      model_id: of its artifact in ML Metadata.
      is_blessed: whether it let the model pass.
    """

    model_id: int
    is_blessed: bool


def blessed_models(gate: Iterable[Judgement], contract: Iterable[Judgement]) -> set[int]:
    """Ids of the models that the gate blessed and that the contract check, where it said anything, let pass.

    A refusal has to be said: a model about which the contract check is silent qualifies. It was blessed before the
    pipeline had the check or while it was switched off (and pushed, so it may well be what serves), or its run was
    killed after the gate; what is written down does not tell these apart, and a retry of the killed run lets the check
    speak.

    Of several judgements of one kind about one model a blessing counts. They differ because settings or code changed;
    which of them holds now cannot be told, since a node that is taken from the cache repeats an old one. With the
    blessing the model was pushed.

    Args:
      gate: the Evaluator's.
      contract: ServingContract's; none where the pipeline has no such node.
    """
    blessed = {judgement.model_id for judgement in gate if judgement.is_blessed}
    said = list(contract)
    kept = {judgement.model_id for judgement in said if judgement.is_blessed}
    return blessed - ({judgement.model_id for judgement in said} - kept)
