"""Whether drift is seen in a log of requests, and how far the AP that is estimated without labels is from the true one.

    python -m benchmarks.served_drift [--draws 30]

Two detectors, one that has learnt street scenes of every weather and time of day as the demo does, and one that has
learnt clear days alone. Each has a version before, which learnt half of its images. An embedded server answers for the
newer version and logs new scenes: of the kind that was learnt, all in fog, all at night, all in rain. The log is read
and judged by the functions of ``python -m pipeline drift``, with the default limits. The scenes have truth, which the
judgement is not told of the images that were served.

Every scene is of a place of its own. One draw is of two sets from these scenes that have none in common: the images at
home with their annotations, and the served ones. The trained versions stay in ``build/benchmarks/served_drift``; what
stands there is not trained again.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import math
import pathlib
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from demo.scenes import PICTURES_PER_SEQUENCE, render_scene
from demo.signs import SIGN_CLASSES
from pipeline.tensorflow_environment import prepare_tensorflow

if TYPE_CHECKING:
    from components.trainer.input.annotated_records import AnnotatedRecords
    from pipeline.cluster_settings import DriftSettings
    from pipeline.served_drift.judgement import Judgement
    from pipeline.served_drift.measured_images import MeasuredImages
    from pipeline.served_drift.seen_images import Found

REPOSITORY = pathlib.Path(__file__).parents[1]
FOLDER = REPOSITORY / "build" / "benchmarks" / "served_drift"
LEARNT: Final[Mapping[str, Mapping[str, str]]] = {
    "every weather": {},
    "clear days": {"weather": "clear", "time_of_day": "day"},
}
"""What a detector learns: arguments of ``render_scene``."""
SERVED: Final[Mapping[str, Mapping[str, str]]] = {
    "fog": {"weather": "fog"},
    "night": {"time_of_day": "night"},
    "rain": {"weather": "rain"},
}
OWN: Final = "own kind"
FIGURES: Final = ("brightness", "contrast", "sharpness", "classes", "best score", "embedding", "AP50 drop")
"""Those with a limit; all scenes are of one size."""
SIZES: Final = (50, 100, 200)
"""Served images of a set."""
HOME: Final = 100
"""As many as the demo evaluates on."""
_LEARNT_SCENES: Final = 400
_OWN_SCENES: Final = 320
_SERVED_SCENES: Final = 120
_SIDE_PIXELS: Final = 160
_STEPS: Final = 180
_BATCH: Final = 16
_SEED: Final = 11


@dataclasses.dataclass(frozen=True)
class Scene:
    """An encoded scene with its truth."""

    encoded: bytes
    truth: Found


@dataclasses.dataclass(frozen=True)
class Pool:
    """Scenes of one kind, as the detector and its version before saw them."""

    images: MeasuredImages
    truth: Sequence[Found]

    def draw(self, rows: Sequence[int]) -> Pool:
        """Some of them."""
        return Pool(self.images.select(rows), [self.truth[row] for row in rows])


@dataclasses.dataclass(frozen=True)
class Draw:
    """What was said of one set, and what is true.

    Attributes:
      figures: by name.
      beyond: names of the figures that are beyond their limits.
      true: AP50 of the served images.
      estimated: the same by calibrated scores, without their truth.
      by_agreement: the same by agreement with the version before: AP50 measured at home, less what agreement lost.
    """

    figures: Mapping[str, float]
    beyond: frozenset[str]
    true: float
    estimated: float
    by_agreement: float


def scenes(count: int, seed: int, **conditions: str) -> list[Scene]:
    """Draws scenes, each of a place of its own."""
    from pipeline.served_drift.seen_images import Found

    drawn = []
    for number in range(count):
        scene = render_scene("eval", number * PICTURES_PER_SEQUENCE, seed, **conditions)
        buffer = io.BytesIO()
        scene.image.save(buffer, "JPEG", quality=88)
        boxes = np.array([one.box_xyxy_pixels for one in scene.objects], np.float64).reshape(-1, 4)  # [N, 4]
        width, height = scene.image.size
        yxyx = boxes[:, [1, 0, 3, 2]] / [height, width, height, width]  # [N, 4]
        names = tuple(one.name for one in scene.objects)
        drawn.append(Scene(buffer.getvalue(), Found(yxyx, names, np.ones(len(names)))))
    return drawn


def write_records(path: pathlib.Path, drawn: Sequence[Scene]) -> AnnotatedRecords:
    """Scenes as records to learn from."""
    import tensorflow as tf
    from PIL import Image

    from components.trainer.input.annotated_records import AnnotatedRecords
    from components.trainer.input.record_parser import parse_clean_records
    from schema import features

    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for number, scene in enumerate(drawn):
            width, height = Image.open(io.BytesIO(scene.encoded)).size
            example = tf.train.Example()
            values = example.features.feature
            values[features.IMAGE_ENCODED].bytes_list.value.append(scene.encoded)
            values[features.IMAGE_SOURCE_ID].bytes_list.value.append(str(number).encode())
            for key, column in zip(features.BOX_KEYS_YXYX, scene.truth.boxes_yxyx_normalized.T, strict=True):
                values[key].float_list.value.extend(column)
            labels = [SIGN_CLASSES.index(name) + 1 for name in scene.truth.class_names]
            for key, numbers in (
                (features.IMAGE_HEIGHT, [height]),
                (features.IMAGE_WIDTH, [width]),
                (features.OBJECT_CLASS_LABEL, labels),
                (features.OBJECT_IS_CROWD, [0] * len(labels)),
                (features.OBJECT_DIFFICULT, [0] * len(labels)),
            ):
                values[key].int64_list.value.extend(numbers)
            writer.write(example.SerializeToString())
    return AnnotatedRecords([str(path)], parse_clean_records)


class Trainings:
    """Trains the demo's detector from its checkpoint, again and again; its graph is traced once."""

    def __init__(self) -> None:
        import keras

        from components.detector.registry import build_detector
        from components.detector.weights import zoo
        from components.trainer.optimizer import make_optimizer
        from components.trainer.settings import OptimizerSettings, TrainSettings
        from demo.pretrain import CHECKPOINT, DETECTOR_OPTIONS

        keras.utils.set_random_seed(_SEED)
        self._detector = build_detector(
            "ssd_mobilenet_v2_fpnlite",
            num_classes=len(SIGN_CLASSES),
            image_size=(_SIDE_PIXELS, _SIDE_PIXELS),
            **DETECTOR_OPTIONS,
        )
        zoo.restore(self._detector, str(CHECKPOINT))
        self._start = self._detector.get_weights()
        self._settings = TrainSettings.model_validate(
            {
                "steps": _STEPS,
                "batch_size": _BATCH,
                # A mirrored arrow is another sign.
                "augmentation": {"horizontal_flip": 0.0, "crop": 0.0, "zoom_out": 0.0},
            }
        )
        self._optimizer = make_optimizer(
            OptimizerSettings(name="adam", learning_rate=4e-3),
            self._detector.trainable_variables,
            steps=_STEPS,
            default_name="adam",
        )
        self._optimizer_start = [variable.numpy() for variable in self._optimizer.variables]
        self._step: Any = None

    def train(self, records: AnnotatedRecords, version: pathlib.Path) -> None:
        """Trains on records, and exports."""
        from components.export.saved_model import export
        from components.trainer.strategies.supervised import detection_losses
        from components.trainer.train_step import TrainStep
        from schema.label_map import LabelMap

        self._detector.set_weights(self._start)
        for variable, value in zip(self._optimizer.variables, self._optimizer_start, strict=True):
            variable.assign(value)
        batches = records.training_batches(self._detector, self._settings)
        if self._step is None:
            variables = self._detector.trainable_variables
            self._step = TrainStep(detection_losses(self._detector), variables, self._optimizer, batches.element_spec)
        for number, batch in enumerate(batches.take(_STEPS), start=1):
            self._step(batch)
            if number % 60 == 0:
                print(f"{version}: step {number}: {self._step.mean_losses()}", file=sys.stderr, flush=True)
        export(str(version), self._detector, LabelMap.of_names(SIGN_CLASSES), serving_batch_size=8)


def train_all() -> None:
    """The two versions of every detector that are not there yet."""
    trainings = None
    for number, (name, conditions) in enumerate(LEARNT.items()):
        versions = _versions(name)
        if all(version.exists() for version in versions):
            continue
        trainings = trainings or Trainings()
        drawn = scenes(_LEARNT_SCENES, _SEED + number, **conditions)
        for version, share in zip(versions, (0.5, 1.0), strict=True):
            if not version.exists():
                records = write_records(
                    FOLDER / f"records-{number}-{version.name}.gz", drawn[: int(share * len(drawn))]
                )
                trainings.train(records, version)


def _versions(name: str) -> tuple[pathlib.Path, pathlib.Path]:
    """Folders of the version before, and of the one that is served."""
    folder = FOLDER / "served" / name.replace(" ", "_")
    return folder / "1", folder / "2"


def serve(name: str, kinds: Mapping[str, Sequence[Scene]]) -> dict[str, Pool]:
    """Asks an embedded server about scenes, and reads its log; all that is known of the answers is from there."""
    from pipeline.served_drift.measured_images import MeasuredImages
    from pipeline.served_drift.seen_images import read_log
    from schema.exported_model import MODEL_NAME
    from serving.clients.detector_client import DetectorClient
    from serving.model_server import ModelServer, ServerSettings
    from serving.models.models_config import ModelConfig
    from serving.wire.request_sampling import RequestLogSettings

    previous, model = _versions(name)
    log = FOLDER / "log"
    shutil.rmtree(log, ignore_errors=True)
    logged = RequestLogSettings(log, sampling_rate=1.0)
    server = ModelServer(
        [ModelConfig(MODEL_NAME, model.parent)], ServerSettings(port=0, poll_seconds=3600, request_log=logged)
    )
    server.start()
    try:
        with DetectorClient(f"localhost:{server.port}") as client:
            for scene in (scene for drawn in kinds.values() for scene in drawn):
                client.detect([scene.encoded])
    finally:
        server.stop(grace_seconds=10)
    served, _ = read_log(log, int(model.name), sum(map(len, kinds.values())))
    answers = {image.encoded: image.found for image in served}
    pools = {}
    for kind, drawn in kinds.items():
        encoded = [scene.encoded for scene in drawn]
        images = MeasuredImages.of(encoded, [answers[image] for image in encoded], model, previous)
        pools[kind] = Pool(images, [scene.truth for scene in drawn])
    return pools


def judged(home: Pool, away: Pool, limits: DriftSettings) -> Draw:
    """Judges one set."""
    from pipeline.served_drift.estimated_ap import agreement, ap50
    from pipeline.served_drift.judgement import compare

    judgement: Judgement = compare(home.images, home.truth, away.images, limits)
    figures = {figure.name: figure.value for figure in judgement.figures}
    assert home.images.previous is not None
    lost = agreement(home.images.found, home.images.previous) - figures["agreement"]
    return Draw(
        figures,
        frozenset(figure.name for figure in judgement.figures if figure.is_beyond),
        ap50(away.images.found, away.truth),
        figures["AP50 estimated"],
        figures["AP50 measured at home"] - lost,
    )


def draws(own: Pool, other: Pool | None, size: int, count: int, limits: DriftSettings) -> list[Draw]:
    """Judges sets of one kind, or of the own one, against as many sets at home."""
    random = np.random.default_rng(size)
    made = []
    for _ in range(count):
        rows = random.permutation(len(own.truth)).tolist()
        away = own.draw(rows[HOME : HOME + size])
        if other is not None:
            away = other.draw(random.permutation(len(other.truth))[:size].tolist())
        made.append(judged(own.draw(rows[:HOME]), away, limits))
    return made


def shares(made: Sequence[Draw]) -> list[str]:
    """How often drift is said, for any reason and for each."""
    said = [np.mean([bool(one.beyond) for one in made])]
    said += [np.mean([name in one.beyond for one in made]) for name in FIGURES]
    return [f"{share:.2f}" for share in said]


def errors(made: Sequence[Draw]) -> list[str]:
    """The true AP50, and either estimate: its mean, and the root mean square of its error."""
    cells = [f"{np.mean([one.true for one in made]):.3f}"]
    for name in ("estimated", "by_agreement"):
        values, true = (np.array([getattr(one, key) for one in made]) for key in (name, "true"))
        cells.append(f"{values.mean():.3f} ({math.sqrt(np.mean((values - true) ** 2)):.3f})")
    return cells


def lines_of(name: str, pools: Mapping[str, Pool], count: int, limits: DriftSettings) -> dict[str, list[str]]:
    """Lines of the three tables for one detector."""
    lines: dict[str, list[str]] = {"drift": [], "figures": [], "error": []}
    for kind, pool in pools.items():
        for size in SIZES if kind == OWN else [HOME]:
            made = draws(pools[OWN], None if kind == OWN else pool, size, count, limits)
            lines["drift"].append(f"| {name} | {kind} | {size} | {' | '.join(shares(made))} |")
            if size == HOME:
                values = [f"{np.mean([one.figures[figure] for one in made]):.2f}" for figure in FIGURES]
                lines["figures"].append(f"| {name} | {kind} | {' | '.join(values)} |")
                lines["error"].append(f"| {name} | {kind} | {' | '.join(errors(made))} |")
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.served_drift", description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=30, help="sets that are judged for each line (%(default)s)")
    options = parser.parse_args(argv)
    prepare_tensorflow()
    from pipeline.cluster_settings import DriftSettings

    tables: dict[str, list[str]] = {"drift": [], "figures": [], "error": []}
    with contextlib.redirect_stdout(sys.stderr):
        train_all()
        others = {
            kind: scenes(_SERVED_SCENES, _SEED + 20 + number, **conditions)
            for number, (kind, conditions) in enumerate(SERVED.items())
        }
        for number, (name, conditions) in enumerate(LEARNT.items()):
            own = scenes(_OWN_SCENES, _SEED + 10 + number, **conditions)
            made = lines_of(name, serve(name, {OWN: own, **others}), options.draws, DriftSettings())
            for key, lines in made.items():
                tables[key] += lines
    print(f"Share of {options.draws} sets of which drift is said, {HOME} images at home; by any figure, and by each:")
    _print_table(["learnt", "served", "images", "any", *FIGURES], tables["drift"], 2)
    print(f"\nThe figures, mean of {options.draws} sets of {HOME} images:")
    _print_table(["learnt", "served", *FIGURES], tables["figures"], 2)
    print("\nAP50 of these sets, and what is estimated without their labels, with the root mean square of its error:")
    heads = ["learnt", "served", "true", "by calibrated scores (error)", "by agreement (error)"]
    _print_table(heads, tables["error"], 2)
    return 0


def _print_table(heads: Sequence[str], lines: Sequence[str], texts: int) -> None:
    print(f"\n| {' | '.join(heads)} |")
    print(f"|{'---|' * texts}{'---:|' * (len(heads) - texts)}")
    print("\n".join(lines))


if __name__ == "__main__":
    raise SystemExit(main())
