"""Names of the component's inputs, parameters and output."""

from __future__ import annotations

from typing import Final

EXAMPLES: Final = "examples"
MODEL: Final = "model"
MODEL_BLESSING: Final = "model_blessing"
SETTINGS: Final = "settings"
"""Parameter: ``ContractSettings`` as JSON."""
INFRA_BLESSING: Final = "infra_blessing"
"""Output, under the name that the Pusher has for it."""
BLESSED: Final = "blessed"
"""Custom property of the output: 1 when the model may be pushed. The Pusher looks at it."""
MODEL_ID: Final = "current_model_id"
"""Custom property of the output: id of the model's artifact, under the name that it has in the Evaluator's blessing."""
