"""Executor of the DeviceEvaluator: asks every device model about the judged images, and judges it."""

from __future__ import annotations

import posixpath
import tempfile
from typing import Any, Final

import tensorflow as tf
from absl import logging
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components.atomic_files import write_atomically
from components.device_evaluator.beside_saved_model import beside_saved_model
from components.device_evaluator.device_judge import judge_device_model
from components.device_evaluator.keys import (
    DEVICE_EVALUATION,
    DEVICE_MODELS,
    EVAL_SETTINGS,
    EVALUATION,
    EXAMPLES,
    SETTINGS,
)
from components.device_evaluator.machine import machine_name
from components.device_evaluator.measuring import Measured, measured_in
from components.device_evaluator.reasons import reasons_of
from components.device_evaluator.settings import DeviceGateSettings
from components.evaluator.evaluation import EVALUATION_FILE, Evaluation, read_evaluation
from components.evaluator.keys import SPLIT_PROPERTY
from components.evaluator.matched_images import MatchedImages
from components.evaluator.matches_file import MATCHES_FOLDER, read_matches, write_matches
from components.evaluator.settings import EvalSettings
from components.exporter.failures_file import write_failures
from components.exporter.format_process import done_in_processes
from components.user_error import failure_reason
from schema.device_model import CARD_FILE, DEVICE_FORMATS, DeviceCard, DeviceFormat

PROGRAM: Final = "components.device_evaluator.measuring"
"""What asks them, in a process beside the node's."""


class Executor(base_executor.BaseExecutor):
    """Judges each format on its own; the artifact ``device_evaluation`` says on which split."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """See ``DeviceEvaluatorSpec`` for inputs and output. A format that does not answer is a line in a file."""
        self._log_startup(input_dict, output_dict, exec_properties)
        models = artifact_utils.get_single_uri(input_dict[DEVICE_MODELS])
        made = [one for one in DEVICE_FORMATS.values() if tf.io.gfile.exists(posixpath.join(models, one.name))]
        if not made:
            return
        gate = DeviceGateSettings.model_validate_json(exec_properties[SETTINGS])
        judged_by = EvalSettings.model_validate_json(exec_properties[EVAL_SETTINGS])
        evaluation = artifact_utils.get_single_instance(input_dict[EVALUATION])
        output = artifact_utils.get_single_instance(output_dict[DEVICE_EVALUATION])
        split = evaluation.get_string_custom_property(SPLIT_PROPERTY)
        output.set_string_custom_property(SPLIT_PROPERTY, split)
        saved_model = read_evaluation(evaluation.uri)
        in_saved_model = read_matches(posixpath.join(evaluation.uri, MATCHES_FOLDER))
        [records] = artifact_utils.get_split_uris(input_dict[EXAMPLES], split)
        with tempfile.TemporaryDirectory() as local:
            failures = done_in_processes(
                PROGRAM,
                [one.name for one in made],
                {"models": models, "records": records, "output": local},
                seconds_for_each=gate.timeout_seconds,
                to_raise="push.devices.timeout_seconds",
            )
            for device_format in made:
                name = device_format.name
                if name in failures:
                    continue
                measured = measured_in(posixpath.join(local, name))
                try:
                    images = beside_saved_model(measured.images, in_saved_model)
                except ValueError as error:
                    logging.exception("%s was asked about something else", name)
                    failures[name] = failure_reason(error)
                    continue
                judged = judge_device_model(images, saved_model, gate.eval_settings(name, judged_by))
                card = _card(device_format, posixpath.join(models, name), split, measured, images, judged)
                _write(posixpath.join(output.uri, name), images, judged, card)
        write_failures(output.uri, {name: f"does not answer: {reason}" for name, reason in failures.items()})


def _card(
    device_format: DeviceFormat,
    folder: str,
    split: str,
    measured: Measured,
    images: MatchedImages,
    judged: Evaluation,
) -> DeviceCard:
    metrics = images.metrics(images.candidate, per_class=())
    assert images.baseline is not None  # beside_saved_model has set it
    files = (posixpath.join(folder, name) for name in (device_format.file, *device_format.beside))
    return DeviceCard(
        format=device_format.name,
        detector=measured.detector,
        split=split,
        images=len(images.images),
        ap=metrics["AP"],
        ap50=metrics["AP50"],
        saved_model_ap=images.metrics(images.baseline, per_class=())["AP"],
        size_bytes=sum(tf.io.gfile.stat(file).length for file in files),
        latency_ms=measured.latency_ms,
        machine=machine_name(),
        is_blessed=judged.verdict.blessed,
        reasons=reasons_of(judged.verdict),
    )


def _write(folder: str, images: MatchedImages, judged: Evaluation, card: DeviceCard) -> None:
    """The card last: with it the format is there."""
    write_matches(posixpath.join(folder, MATCHES_FOLDER), images)
    write_atomically(posixpath.join(folder, EVALUATION_FILE), judged.to_json().encode())
    write_atomically(posixpath.join(folder, CARD_FILE), card.to_json().encode())
