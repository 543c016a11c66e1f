"""Which earlier artifact this run is compared with: the newest one from *before* this run.

TFX's ``LatestBlessedModelStrategy`` resolves the newest blessed model there is. When nothing changed, the second run
thereby finds the model it just blessed: the candidate is compared with itself, and Evaluator, Pusher and a warm-started
Trainer have other inputs than in the first run and do all their work again. The strategies here look only at artifacts
older than a *reference*, an artifact of this run. A cached node hands out the artifact of the run that made it, so an
unchanged run resolves what it resolved before and stays cached.

Both are used in a ``Resolver`` with the input ``reference`` beside the channels to resolve::

    baseline = Resolver(
        strategy_class=LatestBlessedBefore,
        model=Channel(type=Model, producer_component_id="Trainer"),
        model_blessing=Channel(type=ModelBlessing, producer_component_id="Evaluator"),
        infra_blessing=Channel(type=InfraBlessing, producer_component_id="ServingContract"),
        reference=trainer.outputs["model"],
    ).with_id("baseline_model")
    Evaluator(..., baseline_model=baseline.outputs["model"])

Name the producers: other nodes of the pipeline may give out artifacts of the same types. Leave ``output_key`` out: with
it, TFX's compiler takes the channel and a reference such as ``trainer.outputs["model"]`` for one and the same input.

Where nothing qualifies they resolve to nothing, which an optional input accepts.
"""

from __future__ import annotations

from typing import Final

import ml_metadata
from tfx import types
from tfx.components.evaluator import constants
from tfx.dsl.components.common import resolver
from tfx.types import standard_artifacts

from components.evaluator.blessed_models import Judgement, blessed_models

REFERENCE_KEY: Final = "reference"

Artifacts = dict[str, list[types.Artifact]]


def _oldest_id(input_dict: Artifacts) -> int:
    """Artifacts with a smaller id are older than everything under ``reference``; 0 when there is nothing."""
    if REFERENCE_KEY not in input_dict:
        raise ValueError(
            f"resolver inputs are {sorted(input_dict)}; expected {REFERENCE_KEY!r}, an artifact of this run"
        )
    return min((int(artifact.id) for artifact in input_dict[REFERENCE_KEY]), default=0)


class LatestBlessedBefore(resolver.ResolverStrategy):
    """Resolves the newest model older than the reference that nobody refused, and the blessings of it.

    The reference of an Evaluator's baseline is the model of this run; the reference of a Trainer that starts from the
    last blessed model is this run's examples.

    Where the pipeline has a ServingContract, its ``InfraBlessing`` is an input, too: what it refused was not pushed,
    and is nothing to be compared with or to start from. `blessed_models` says what follows from blessings that
    contradict each other or are missing. Those that name no model, as they did at first, say nothing of any.
    """

    def resolve_artifacts(self, store: ml_metadata.MetadataStore, input_dict: Artifacts) -> Artifacts:
        """Inputs ``reference``, one of type Model, one of ModelBlessing, maybe one of InfraBlessing -> the same keys.

        Raises:
          ValueError: ``reference`` is missing.
        """
        del store
        before = _oldest_id(input_dict)
        candidates = {key: found for key, found in input_dict.items() if key != REFERENCE_KEY}
        artifacts = [artifact for found in candidates.values() for artifact in found]
        gate, contract = (
            {artifact.id: _judgement(artifact) for artifact in artifacts if isinstance(artifact, kind)}
            for kind in (standard_artifacts.ModelBlessing, standard_artifacts.InfraBlessing)
        )
        qualified = blessed_models(gate.values(), contract.values())
        models = {artifact.id for artifact in artifacts if isinstance(artifact, standard_artifacts.Model)}
        newest = max((identity for identity in models & qualified if identity < before), default=None)
        chosen = set() if newest is None else {newest, *_newest_of(gate, newest), *_newest_of(contract, newest)}
        resolved = {key: [artifact for artifact in found if artifact.id in chosen] for key, found in candidates.items()}
        return {**resolved, REFERENCE_KEY: input_dict[REFERENCE_KEY]}


def _judgement(blessing: types.Artifact) -> Judgement:
    return Judgement(
        blessing.get_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY),
        blessing.get_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY) == constants.BLESSED_VALUE,
    )


def _newest_of(judgements: dict[int, Judgement], model_id: int) -> list[int]:
    """Id of the newest artifact that blesses a model; of none where none does."""
    return sorted(identity for identity, said in judgements.items() if said == Judgement(model_id, True))[-1:]


class LatestBefore(resolver.ResolverStrategy):
    """Resolves, for every other input, the newest artifact older than the reference.

    The statistics of the previous span are ``ExampleStatistics`` of StatisticsGen before this run's.
    """

    def resolve_artifacts(self, store: ml_metadata.MetadataStore, input_dict: Artifacts) -> Artifacts:
        """Inputs ``reference`` and any others -> the same keys, at most one artifact each.

        Raises:
          ValueError: ``reference`` is missing.
        """
        del store
        before = _oldest_id(input_dict)
        resolved = {}
        for key, found in input_dict.items():
            older = [artifact for artifact in found if artifact.id < before]
            resolved[key] = [max(older, key=lambda artifact: artifact.id)] if older else []
        return {**resolved, REFERENCE_KEY: input_dict[REFERENCE_KEY]}
