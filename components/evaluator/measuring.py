"""Measuring, in Beam: every image is looked at once by each model; what follows needs neither again.

TFMA runs the models and writes COCO's metrics by slice; the matches of every image are kept beside them.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis import constants

from components.clusters import Clusters
from components.evaluator.eval_config import build_eval_config
from components.evaluator.matches_file import BASELINE, MATCHES_FOLDER, WriteMatches
from components.evaluator.record_matching import MATCHED_IMAGE_KEY, Extracts, labels_of, match_record
from components.evaluator.settings import EvalSettings
from components.record_reading import ReadRecords


def measure(
    pipeline: beam.Pipeline,
    record_files: Sequence[str],
    models: Mapping[str, str],
    settings: EvalSettings,
    clusters: Clusters,
    output_folder: str,
) -> None:
    """Adds the whole measurement to a Beam pipeline.

    Args:
      pipeline: to add to.
      record_files: gzipped TFRecords.
      models: SavedModel folders by name: ``CANDIDATE`` and, where there is one, ``BASELINE``, in this order.
      settings: what is measured.
      clusters: which images belong together.
      output_folder: receives TFMA's result and ``MATCHES_FOLDER``.

    Raises:
      ValueError: a model carries no readable ``assets/labels.txt``.
    """
    names = list(models)
    config = build_eval_config(settings, names)
    shared = [
        tfma.default_eval_shared_model(eval_saved_model_path=folder, model_name=name, eval_config=config)
        for name, folder in models.items()
    ]
    shared_models = shared if len(shared) > 1 else shared[0]
    label_maps = {name: labels_of(folder) for name, folder in models.items()}
    matched = (
        pipeline
        # A pattern would be read by one worker, with the models behind it.
        | "Read" >> ReadRecords(record_files)
        | "Batch" >> beam.BatchElements(min_batch_size=settings.batch_size, max_batch_size=settings.batch_size)
        | "ToExtracts" >> beam.Map(_extracts)
        | "Predict" >> tfma.extractors.PredictionsExtractor(config, shared_models).ptransform
        | "Unbatch" >> tfma.extractors.UnbatchExtractor().ptransform
        | "Match" >> beam.Map(match_record, settings=settings, label_maps=label_maps, clusters=clusters)
    )
    known_before = label_maps[BASELINE].names if BASELINE in label_maps else None
    _ = (
        matched
        | "MatchedImages" >> beam.Map(lambda extracts: extracts[MATCHED_IMAGE_KEY])
        | "WriteMatches" >> WriteMatches(posixpath.join(output_folder, MATCHES_FOLDER), names, known_before)
    )
    _ = matched | "Metrics" >> tfma.ExtractEvaluateAndWriteResults(
        eval_shared_model=shared_models,
        eval_config=config,
        extractors=[tfma.extractors.SliceKeyExtractor(eval_config=config, materialize=False)],
        output_path=output_folder,
    )


def _extracts(records: Sequence[bytes]) -> Extracts:
    serialized: np.ndarray[Any, Any] = np.array(records, object)
    return {constants.INPUT_KEY: serialized}
