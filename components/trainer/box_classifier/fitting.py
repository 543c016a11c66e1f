"""Fitting a classifier of boxes with scikit-learn, and making it part of an export."""

from __future__ import annotations

import warnings
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from components.detector.heads.box_classifiers import (
    BoxClassifier,
    LogisticClassifier,
    MlpClassifier,
    NeighborsClassifier,
    SvmClassifier,
)
from components.user_error import UserError

ClassifierName = Literal["logistic", "svm", "mlp", "knn"]

_LOGISTIC_C: Final = 0.1
_SVM_C: Final = 0.01
"""Both small: there are about as many numbers in a vector as objects in a small data set."""
_SVM_FOLDS: Final = 3
"""Of the calibration, which needs decisions on boxes that a machine was not fitted to."""
_HIDDEN_UNITS: Final = 128
_NEIGHBORS: Final = 15
_NEIGHBOR_COMPONENTS: Final = 64
"""Principal components that distances are measured in: in a thousand dimensions everything is about as far away."""
_NEVER: Final = 1e9
"""A logit of minus this has a probability of 0."""


def fit_pipeline(
    name: ClassifierName,
    vectors: NDArray[np.float32],
    columns: NDArray[np.int64],
    images: NDArray[np.int64],
    seed: int,
) -> Pipeline:
    """Standardises and fits.

    Args:
      name: which classifier.
      vectors: float32 [N, D].
      columns: int64 [N]: 0 for background, then the classes; not all of them have to be there.
      images: int64 [N]: which image each is of. Boxes of one image show the same objects.
      seed: of what is random about the fit.

    Raises:
      UserError: there are not two kinds of boxes, or too few of one.
    """
    kinds, counts = np.unique(columns, return_counts=True)
    if len(kinds) < 2 or counts.min() < 2:
        raise UserError(
            f"transfer.classifier: {name} needs at least two boxes each of background and a class; found "
            f"{', '.join(f'{count} of column {kind}' for kind, count in zip(kinds, counts, strict=True))} (0 is "
            "background)"
        )
    steps: list[Any] = [StandardScaler()]
    if name == "logistic":
        steps.append(LogisticRegression(C=_LOGISTIC_C, max_iter=300))
    elif name == "svm":
        machine = LinearSVC(C=_SVM_C, dual="auto", random_state=seed)
        by_box = min(_SVM_FOLDS, int(counts.min()))
        folds = _folds(columns, images, seed) or by_box
        steps.append(CalibratedClassifierCV(machine, method="sigmoid", cv=folds, ensemble=False))
    elif name == "mlp":
        steps.append(MLPClassifier((_HIDDEN_UNITS,), alpha=1e-3, max_iter=60, tol=1e-3, random_state=seed))
    else:
        steps.append(PCA(min(_NEIGHBOR_COMPONENTS, *vectors.shape), svd_solver="randomized", random_state=seed))
        steps.append(KNeighborsClassifier(min(_NEIGHBORS, len(vectors)), weights="distance", algorithm="brute"))
    pipeline = make_pipeline(*steps)
    with warnings.catch_warnings():
        # Some steps more would not change a score that matters.
        warnings.simplefilter("ignore", ConvergenceWarning)
        pipeline.fit(vectors, columns)
    return pipeline


def _folds(
    columns: NDArray[np.int64], images: NDArray[np.int64], seed: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows to fit to and rows to calibrate with; no image has rows in both, or a machine would know what it is asked.

    Empty where a kind is in too few images for that.
    """
    kinds = np.unique(columns)
    count = min(_SVM_FOLDS, *(len(np.unique(images[columns == kind])) for kind in kinds))
    if count < 2:
        return []
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    folds = list(splitter.split(columns, columns, images))
    return folds if all(len(np.unique(columns[rows])) == len(kinds) for rows, _ in folds) else []


def as_layer(pipeline: Pipeline, num_columns: int) -> BoxClassifier:
    """What ``fit_pipeline`` has fitted, as variables and TensorFlow ops; kinds that it has not seen have probability 0.

    Args:
      pipeline: fitted.
      num_columns: background and classes.
    """
    scaler, fitted = pipeline[0], pipeline[-1]
    mean, scale, kinds = scaler.mean_, scaler.scale_, fitted.classes_
    match fitted:
        case LogisticRegression():
            weights, bias = _two_columns(fitted.coef_.T, fitted.intercept_)
            return LogisticClassifier(
                mean, scale, _spread(weights, kinds, num_columns), _spread(bias, kinds, num_columns, -_NEVER)
            )
        case CalibratedClassifierCV():
            calibrated = fitted.calibrated_classifiers_[0]
            weights, bias = calibrated.estimator.coef_.T, calibrated.estimator.intercept_
            slope = np.array([one.a_ for one in calibrated.calibrators])
            offset = np.array([one.b_ for one in calibrated.calibrators])
            if len(kinds) == 2:
                # One machine: what is not the second is the first.
                weights, bias = np.hstack([-weights, weights]), np.hstack([-bias, bias])
                slope, offset = np.hstack([slope, slope]), np.hstack([-offset, offset])
            return SvmClassifier(
                mean,
                scale,
                _spread(weights, kinds, num_columns),
                _spread(bias, kinds, num_columns),
                _spread(slope, kinds, num_columns),
                _spread(offset, kinds, num_columns, _NEVER),
            )
        case MLPClassifier():
            weights, bias = _two_columns(fitted.coefs_[-1], fitted.intercepts_[-1])
            return MlpClassifier(
                mean,
                scale,
                [*fitted.coefs_[:-1], _spread(weights, kinds, num_columns)],
                [*fitted.intercepts_[:-1], _spread(bias, kinds, num_columns, -_NEVER)],
            )
        case KNeighborsClassifier():
            components = pipeline[1]
            return NeighborsClassifier(
                # The components' own mean is taken off as well.
                mean + components.mean_ * scale,
                scale,
                components.components_.T,
                fitted._fit_X,
                kinds[fitted._y],
                num_columns,
                fitted.n_neighbors,
            )
    raise TypeError(f"no layer is known for {fitted!r}")


def _two_columns(weights: NDArray[np.floating], bias: NDArray[np.floating]) -> tuple[Any, Any]:
    """Of a classifier of two kinds, which has the second's logit alone: the first's is 0."""
    if weights.shape[-1] > 1:
        return weights, bias
    return np.hstack([np.zeros_like(weights), weights]), np.hstack([np.zeros_like(bias), bias])


def _spread(
    values: NDArray[np.floating], kinds: NDArray[np.integer], num_columns: int, absent: float = 0.0
) -> NDArray[np.floating]:
    """Values [..., kinds] at their columns of [..., num_columns]."""
    spread = np.full((*values.shape[:-1], num_columns), absent)
    spread[..., kinds] = values
    return spread
