"""The ``transfer`` section for ``feature_extraction``. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

from typing import Literal

import pydantic

from components.trainer.strategies.settings.strategy import StrategySettings


class FeatureExtractionSettings(StrategySettings):
    """`feature_extraction` leaves the backbone as it is: what it makes of the images is computed once and kept, and
    only necks and heads learn from it. For little data, or no GPU."""

    implementation = "components.trainer.strategies.feature_extraction.FeatureExtraction"
    replays = False  # every image is looked at once, and taken as often as any other

    strategy: Literal["feature_extraction"] = "feature_extraction"
    """How the weights the training starts from are adapted: `feature_extraction` keeps the backbone's features of the
    training images and trains necks and heads on them."""
    copies: pydantic.NonNegativeInt = 4
    """Augmented copies of each training image whose features are kept, beside those of the image as it is. Each costs
    the time and the room that the images cost."""
    storage: Literal["float16", "float32"] = "float16"
    """What features are kept as. `float16` takes half the room and half the time to read."""
    classifier: Literal["logistic", "svm", "mlp", "knn"] | None = None
    """What says which class a box has: None, the detector's own head; or a classifier that is fitted to the backbone's
    features under annotated objects, boxes of the detector and background when necks and heads have learnt. The
    detector says where something is; the score is the root of its score times the classifier's probability."""
    train_heads: bool = True
    """Whether necks and heads learn, for `train.steps`. `false` takes no step and fits the classifier alone, to boxes
    of the start weights as they are: of a detector that knows these classes."""
    cache_gigabytes: pydantic.PositiveFloat = 20.0
    """Room for features below `<root>/<name>/features`, where trainings with the same backbone, images, canvas and
    augmentation find them. Those not used for longest are deleted when it is full; while nothing trains, all of the
    folder may be."""

    @pydantic.model_validator(mode="after")
    def _something_learns(self) -> FeatureExtractionSettings:
        if not self.train_heads and self.classifier is None:
            raise ValueError("with train_heads: false nothing learns unless classifier names one of its values")
        return self
