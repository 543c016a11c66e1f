"""Settings of the look for wrong annotations: ``eval.label_review`` of the config."""

from __future__ import annotations

import pydantic

from components.settings import Settings


class LabelReviewSettings(Settings):
    """Annotations of the judged split that the model's own finds speak against; they decide nothing, a person does."""

    most: int = pydantic.Field(default=1000, ge=0)
    """How many suspicions are written, the strongest first. 0: none are looked for."""
    least_score: float = pydantic.Field(default=0.3, ge=0, le=1)
    """Suspicions with a lower score are not written. Of a hundred cases in which the model is as sure as in one of
    score 0.3, it agrees with the annotations in thirty."""
