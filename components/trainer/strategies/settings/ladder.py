"""The ladder: the ways of transfer that are compared, and what each changes in the config. A new one is a line.

Imports neither TensorFlow nor TFX.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from components.trainer.strategies.settings.strategy import StrategySettings


@dataclasses.dataclass(frozen=True)
class Rung:
    """One way of transfer.

    Attributes:
      name: in tables and on the command line.
      transfer: its ``transfer`` section. One that names a strategy and nothing else stands for the config's own
        section where that has this strategy.
      changes: values of further keys by dotted key.
      needs_start_weights: it makes no sense for a detector that starts from random weights.
    """

    name: str
    transfer: Mapping[str, Any]
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    needs_start_weights: bool = True

    def overrides(self, config: Mapping[str, str]) -> dict[str, Any]:
        """What it changes in the Trainer's config, by dotted key."""
        configured = json.loads(config["transfer"])
        section = dict(self.transfer)
        if configured["strategy"] == section["strategy"] and len(section) == 1:
            section = configured
        common = {name: configured[name] for name in StrategySettings.model_fields if name in configured}
        return {"transfer": {**common, **section}, **self.changes}

    def reason_to_skip(self, config: Mapping[str, str]) -> str | None:
        """Why it does not fit the config; None when nothing is against it."""
        if self.needs_start_weights and json.loads(config["model"])["pretrained"] is None:
            return "it needs start weights: model.pretrained is not set"
        return None


LADDER: Final = (
    Rung(
        "scratch",
        {"strategy": "fine_tune", "trainable": "all", "warm_start_from_blessed": False},
        {"model.pretrained": None},
        False,
    ),
    Rung("frozen", {"strategy": "fine_tune", "trainable": "heads"}),
    Rung("feature_extraction", {"strategy": "feature_extraction"}),
    Rung("feature_extraction_logistic", {"strategy": "feature_extraction", "classifier": "logistic"}),
    Rung("feature_extraction_svm", {"strategy": "feature_extraction", "classifier": "svm"}),
    Rung("feature_extraction_mlp", {"strategy": "feature_extraction", "classifier": "mlp"}),
    Rung("feature_extraction_knn", {"strategy": "feature_extraction", "classifier": "knn"}),
    Rung("fine_tune", {"strategy": "fine_tune"}),
    Rung("domain_adversarial", {"strategy": "domain_adversarial"}),
    Rung("mean_teacher", {"strategy": "mean_teacher"}),
    Rung("mean_teacher_adversarial", {"strategy": "mean_teacher", "adversarial": {}}),
)
"""From what asks least of the start weights to what asks most; all of them unless the user names some."""


def rungs(names: Sequence[str] = ()) -> tuple[Rung, ...]:
    """The rungs of these names, in the ladder's order; all when there are none.

    Raises:
      ValueError: there is no such rung; the message has the nearest name.
    """
    known = [rung.name for rung in LADDER]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"found {name!r}{hint} The ladder has {', '.join(known)}")
    return tuple(rung for rung in LADDER if not names or rung.name in names)
