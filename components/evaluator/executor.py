"""Executor of the Evaluator: measures in Beam, judges, and writes what was decided."""

from __future__ import annotations

import json
import posixpath
from typing import Any

import tensorflow as tf
import tensorflow_model_analysis as tfma
from tfx import types
from tfx.components.evaluator import constants
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils, path_utils

from components.atomic_files import write_atomically
from components.clusters import Clusters
from components.data_profile import DataProfile
from components.evaluator.bootstrap import SliceResamples
from components.evaluator.check import SliceValues
from components.evaluator.coco_metric import IMAGE_COUNT
from components.evaluator.evaluation import EVALUATION_FILE, Evaluation, slice_result
from components.evaluator.judge import judge
from components.evaluator.keys import (
    ACCEPTED_BECAUSE_PROPERTY,
    ACCEPTED_BY_PROPERTY,
    CLUSTERS,
    SETTINGS,
    SPLIT_PROPERTY,
)
from components.evaluator.label_review.review_files import write_review
from components.evaluator.label_review.suspicions import suspicions
from components.evaluator.matched_images import MatchedImages
from components.evaluator.matches_file import BASELINE, CANDIDATE, MATCHES_FOLDER, read_matches
from components.evaluator.measuring import measure
from components.evaluator.record_matching import labels_of
from components.evaluator.settings import EvalSettings, Split
from components.evaluator.verdict import Verdict
from components.record_reading import record_files
from components.user_error import UserError
from schema.exported_model import EVALUATE_SIGNATURE


def judged_split(wanted: Split | None, profile: DataProfile) -> Split:
    """The split a model is judged on: the wanted one, or ``test`` where it has objects to find, else ``eval``.

    The test images of many public data sets come without annotations: nothing can be judged on them.

    Raises:
      UserError: the records have no such split.
    """
    there = profile.splits
    chosen: Split = wanted or ("test" if "test" in there and there["test"].objects else "eval")
    if chosen not in there:
        raise UserError(f"eval.split is {chosen!r}, but the records have the splits {', '.join(there)}; name one")
    return chosen


class Executor(base_beam_executor.BaseBeamExecutor):
    """Measures and judges; the artifact ``evaluation`` says on which split."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Inputs and outputs are those of TFX's Evaluator, the parameters those of ``EvaluatorSpec``.

        Raises:
          UserError: the records do not have the split to judge on.
        """
        settings = EvalSettings.model_validate_json(exec_properties[SETTINGS])
        clusters = Clusters(**json.loads(exec_properties[CLUSTERS]))
        examples = artifact_utils.get_single_instance(input_dict[standard_component_specs.EXAMPLES_KEY])
        model = artifact_utils.get_single_instance(input_dict[standard_component_specs.MODEL_KEY])
        baselines = input_dict.get(standard_component_specs.BASELINE_MODEL_KEY) or []
        evaluation = artifact_utils.get_single_instance(output_dict[standard_component_specs.EVALUATION_KEY])
        blessing = artifact_utils.get_single_instance(output_dict[standard_component_specs.BLESSING_KEY])
        split = judged_split(settings.split, DataProfile.read(examples.uri))
        evaluation.set_string_custom_property(SPLIT_PROPERTY, split)

        models = {CANDIDATE: path_utils.serving_model_path(model.uri)}
        baseline_problem = ""
        for baseline in baselines:
            folder = path_utils.serving_model_path(baseline.uri)
            baseline_problem = problem_of_model(folder)
            if not baseline_problem:
                models[BASELINE] = folder
        files = [file for uri in artifact_utils.get_split_uris([examples], split) for file in record_files(uri)]
        with self._make_beam_pipeline() as pipeline:
            measure(pipeline, files, models, settings, clusters, evaluation.uri)

        images = read_matches(posixpath.join(evaluation.uri, MATCHES_FOLDER))
        drawn = SliceResamples(images, settings.gates.resamples)
        verdict = judge(images, settings, int(model.id), baseline_problem, drawn)
        slices = tuple(
            slice_result(images, values, metrics[CANDIDATE], metrics.get(BASELINE, {}), settings.gates, drawn)
            for values, metrics in _metrics_by_slice(evaluation.uri, images).items()
        )
        judged = Evaluation(verdict, slices, settings.gates.confidence)
        write_atomically(posixpath.join(evaluation.uri, EVALUATION_FILE), judged.to_json().encode())
        if settings.label_review.most:
            suspected = suspicions(images, settings.label_review.least_score)
            write_review(evaluation.uri, images, suspected[: settings.label_review.most])
        _bless(blessing, verdict, model, baselines)


def problem_of_model(folder: str) -> str:
    """Why a model of an earlier run cannot be compared with; empty when it can."""
    try:
        labels_of(folder)
        signatures = tf.saved_model.load(folder).signatures
    except (OSError, ValueError, tf.errors.OpError) as error:
        return f"{folder} cannot be loaded: {' '.join(str(error).split())}"
    if EVALUATE_SIGNATURE not in signatures:
        return f"{folder} has the signatures {', '.join(signatures)}; expected {EVALUATE_SIGNATURE}"
    return ""


def _metrics_by_slice(evaluation_uri: str, images: MatchedImages) -> dict[SliceValues, dict[str, dict[str, float]]]:
    """TFMA's metrics by slice, whole split first, and by model; the differences between models are left out."""
    by_slice: dict[SliceValues, dict[str, dict[str, float]]] = {}
    names = (CANDIDATE,) if images.baseline is None else (CANDIDATE, BASELINE)
    for name in names:
        known_as = name if len(names) > 1 else None  # TFMA does not name an only one
        for slice_key, outputs in tfma.load_eval_result(evaluation_uri, model_name=known_as).slicing_metrics:
            numbers = outputs[""][""].items()
            every = {key: float(value["doubleValue"]) for key, value in numbers if "doubleValue" in value}
            if every.get(IMAGE_COUNT):
                differences = {f"{key}_diff" for key in every}
                values = tuple((str(column), str(value)) for column, value in slice_key)
                by_slice.setdefault(values, {})[name] = {k: v for k, v in every.items() if k not in differences}
    return dict(sorted(by_slice.items()))


def _bless(blessing: types.Artifact, verdict: Verdict, model: types.Artifact, baselines: list[types.Artifact]) -> None:
    """Writes the decision where TFX's Pusher and resolvers look for it."""
    blessing.set_string_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY, model.uri)
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY, model.id)
    for baseline in baselines:
        blessing.set_string_custom_property(constants.ARTIFACT_PROPERTY_BASELINE_MODEL_URI_KEY, baseline.uri)
        blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BASELINE_MODEL_ID_KEY, baseline.id)
    if verdict.accepted_by:
        blessing.set_string_custom_property(ACCEPTED_BY_PROPERTY, verdict.accepted_by)
        blessing.set_string_custom_property(ACCEPTED_BECAUSE_PROPERTY, verdict.accepted_because)
    name, value = (
        (constants.BLESSED_FILE_NAME, constants.BLESSED_VALUE)
        if verdict.blessed
        else (constants.NOT_BLESSED_FILE_NAME, constants.NOT_BLESSED_VALUE)
    )
    io_utils.write_string_file(posixpath.join(blessing.uri, name), "")
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, value)
