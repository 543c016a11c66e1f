"""A run from the plan to the results.

While it lasts all that is written is in the folder `unfinished` of the output: plan, parts, results that are being put
together. What is beside it is complete.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from typing import Any, Final

import tensorflow as tf

from serving.bulk_inference import files, part_file, plan, results
from serving.bulk_inference.coco_ids import CocoIds
from serving.bulk_inference.detectors import DetectorSource, ModelSource
from serving.bulk_inference.errors import BulkError
from serving.bulk_inference.model_folder import ModelFolder, find_model
from serving.bulk_inference.plan import Plan, Settings
from serving.bulk_inference.progress import Progress
from serving.bulk_inference.results import Numbering, ResultFiles, Tally

_UNFINISHED: Final = "unfinished"
_REASON: Final = re.compile(r"BulkError: (.*?)(?: \[while running|$)", re.MULTILINE)
"""What a worker raised, in the text that a runner makes of it."""


@dataclasses.dataclass(frozen=True)
class Run:
    """What is to be done.

    Attributes:
      settings: what the answers depend on.
      output: folder of the results.
      form: key of `results.FORMATS`.
      batch_images: images that are asked about at once.
      annotations: COCO file whose numbers the results take; None: they have their own.
      server: who is asked; None: the model that `settings.asked` says.
      resume: go on with what an earlier run left.
      beam_options: Beam's `PipelineOptions`.
    """

    settings: Settings
    output: str
    form: str
    batch_images: int
    annotations: str | None
    server: DetectorSource | None
    resume: bool
    beam_options: Any

    def run(self) -> Tally | None:
        """Works until the results are there; None: they were, by an earlier run.

        Raises:
          BulkError: there are no results; what is done so far is kept.
        """
        folder = files.join(self.output, _UNFINISHED)
        if self._is_finished(folder):
            return None
        ids = CocoIds(self.annotations) if self.annotations else None
        made = plan.read_plan(folder) if tf.io.gfile.isdir(folder) else None
        if made is not None and not self.resume:
            raise BulkError(f"{folder}: an unfinished run; --resume goes on with it, deleting the folder begins anew")
        if made is None:
            made = self._make_plan(folder, ids)
        plan.check_same(made.settings, self.settings, self.output)
        model = ModelFolder(made.model_path, made.model_version) if made.model_path else None
        labels = model.labels() if model else None
        if ids and labels:
            ids.check_classes(labels.names)
        source = self.server or ModelSource(ModelFolder(made.model_path, made.model_version))
        self._answer(folder, made, source)
        numbering = Numbering(ids, may_repeat=ids is not None or self.settings.kind == "records")
        with ResultFiles(folder, self.form, numbering, labels) as written:
            for number in range(made.parts):
                for answer in part_file.read_answers(folder, number):
                    written.write(answer)
            tally = written.finish(made.model_path or self.settings.asked)
        results.publish(folder, self.output, self.form)
        tf.io.gfile.rmtree(folder)
        return tally

    def _is_finished(self, folder: str) -> bool:
        """Is there nothing to do?"""
        there = [name for name in results.FORMATS.values() if tf.io.gfile.exists(files.join(self.output, name))]
        if not there:
            return False
        if not self.resume or results.FORMATS[self.form] not in there:
            raise BulkError(f"{self.output}: has the {there[0]} of another run; delete it, or give another --output")
        if tf.io.gfile.isdir(folder):
            tf.io.gfile.rmtree(folder)
        return True

    def _make_plan(self, folder: str, ids: CocoIds | None) -> Plan:
        settings = self.settings
        model = None if self.server else find_model(settings.asked)
        if model:
            model.check()
        is_images = settings.kind == "images"
        paths = (files.find_images if is_images else files.find_records)(settings.patterns)
        if ids and is_images:
            ids.check_images(paths)
        parts = list(plan.parts_of(settings.kind, paths, self.batch_images))
        made = Plan(
            settings,
            len(parts),
            len(paths) if is_images else None,
            model.path if model else "",
            model.version if model else 0,
        )
        try:
            tf.io.gfile.makedirs(folder)
            plan.write_plan(folder, made, iter(parts))
        except tf.errors.OpError as error:
            raise BulkError(f"--output: {folder} cannot be written: {error.message}") from error
        return made

    def _answer(self, folder: str, made: Plan, source: DetectorSource) -> None:
        """Runs what is missing of the parts."""
        import apache_beam as beam

        from serving.bulk_inference.answer_parts import answer_parts

        finished = part_file.finished_parts(folder)
        places = [place for place in plan.part_places(folder) if place.number not in finished]
        if not places:
            return
        progress = Progress(folder, made.parts, made.images) if files.is_local(folder) else contextlib.nullcontext()
        try:
            with progress, beam.Pipeline(options=self.beam_options) as pipeline:
                answer_parts(pipeline, places, folder, self.settings, source, self.batch_images)
        except Exception as error:
            # Whatever a runner raises: there are as many kinds as runners. One makes an error of Ctrl-C in a worker.
            if _is_interrupt(error):
                raise KeyboardInterrupt from error
            reason = _REASON.search(f"{type(error).__name__}: {error}")
            if reason is None:
                raise BulkError(f"the Beam pipeline failed: {error}") from error
            raise BulkError(reason[1]) from error
        missing = {place.number for place in places} - part_file.finished_parts(folder)
        if missing:
            raise BulkError(f"{folder}: the Beam pipeline ended without {len(missing)} of {made.parts} parts")


def _is_interrupt(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None
