"""Speed and size of every detector: training, inference, memory.

    python -m benchmarks.detectors [CASE ...] [--steps N] [--onednn 0|1] [--list]

Training and inference of each case run in a process of their own, so that peak memory is their own and one that fails
does not take the others along. Training uses oneDNN's kernels unless told otherwise: they take about 40 % off a step on
processors for which TensorFlow leaves them off by default (those without AVX-512). Inference goes without: on these
processors, oneDNN's convolution for a batch of exactly one image is some thirty times slower than TensorFlow's own.

Core-seconds are process CPU time, so they hold on a machine that does other work too (which still makes them larger:
caches, memory and the cores' threads are shared). One training image is forward, losses, backward and an SGD update;
the batch is in memory, with 20 boxes an image and 3 classes. `backbone only` is the floor: forward and backward of the
backbone, to be compared within its row.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from components.detector import names

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from components.detector.detector import Detector

NUM_CLASSES: Final = 3
BOXES_PER_IMAGE: Final = 20
_LONG_SECONDS: Final = 20.0
_KERAS_HUB: Final = "keras_hub_retinanet_mobilenet_v2"


@dataclasses.dataclass(frozen=True)
class Case:
    """One row of the table."""

    detector: str
    image_size: int
    train_batch: int


CASES: Final = {
    "ssd_mobilenet_v2": Case("ssd_mobilenet_v2", 300, 8),
    "ssd_mobilenet_v2_fpnlite": Case("ssd_mobilenet_v2_fpnlite", 320, 8),
    "ssd_mobilenet_v2_fpnlite_640": Case("ssd_mobilenet_v2_fpnlite", 640, 4),
    **{
        name: Case(name, size, batch)
        for name, size, batch in zip(
            names.EFFICIENTDET, (512, 640, 768, 896, 1024, 1280, 1408, 1536), (4, 4, 2, 2, 1, 1, 1, 1), strict=True
        )
    },
    **{name: Case(name, 640, 1 if "inception" in name else 2) for name in names.FASTER_RCNN},
    _KERAS_HUB: Case(_KERAS_HUB, 320, 8),
}
DEFAULT_CASES: Final = (
    "ssd_mobilenet_v2",
    "ssd_mobilenet_v2_fpnlite",
    "ssd_mobilenet_v2_fpnlite_640",
    "efficientdet_d0",
    "efficientdet_d1",
    "faster_rcnn_resnet50",
    "faster_rcnn_resnet101",
    "faster_rcnn_resnet152",
    "faster_rcnn_inception_resnet_v2",
    _KERAS_HUB,
)
"""Without EfficientDet D2 to D7, which take minutes and many gigabytes each; name them to have them."""


@dataclasses.dataclass(frozen=True)
class Rate:
    """Of one image."""

    wall_seconds: float
    core_seconds: float


def measure(run: Callable[[], object], images: int, repetitions: int) -> Rate:
    """The median of several timed calls, after one that traces; fewer do where a call takes long."""
    run()
    walls: list[float] = []
    cores: list[float] = []
    while len(walls) < repetitions and sum(walls) < _LONG_SECONDS:
        wall, core = time.perf_counter(), time.process_time()
        run()
        walls.append(time.perf_counter() - wall)
        cores.append(time.process_time() - core)
    return Rate(sorted(walls)[len(walls) // 2] / images, sorted(cores)[len(cores) // 2] / images)


def training_step(variables: list[keras.Variable], loss: Callable[[], tf.Tensor]) -> Callable[[], None]:
    """A traced step of SGD with momentum."""
    import keras
    import tensorflow as tf

    optimizer = keras.optimizers.SGD(1e-3, momentum=0.9)
    optimizer.build(variables)

    @tf.function(jit_compile=False)
    def step() -> None:
        with tf.GradientTape() as tape:
            total = loss()
        gradients = tape.gradient(total, [variable.value for variable in variables])
        optimizer.apply_gradients(zip(gradients, variables, strict=True))

    return step


def run_detector(case: Case, steps: int, part: str) -> dict[str, float]:
    """Figures of one of our detectors, of its training or its inference."""
    import numpy as np
    import tensorflow as tf

    from components.detector.registry import build_detector
    from components.detector.structures import GroundTruth, Preprocessed

    detector = build_detector(case.detector, num_classes=NUM_CLASSES, image_size=(case.image_size, case.image_size))
    rng = np.random.default_rng(0)
    pixels = rng.uniform(0, 255, (max(case.train_batch, 8), case.image_size, case.image_size, 3)).astype(np.float32)
    images = detector.normalize(tf.constant(pixels))
    corners = rng.uniform(0, 0.7, (case.train_batch, BOXES_PER_IMAGE, 2))
    sides = rng.uniform(0.05, 0.3, corners.shape)
    truth = GroundTruth(
        tf.constant(np.concatenate([corners, corners + sides], axis=-1), tf.float32),
        tf.constant(rng.integers(0, NUM_CLASSES, corners.shape[:2]), tf.int32),
        tf.ones(corners.shape[:2]),
        tf.ones((case.train_batch, 2)),
    )
    batch = images[: case.train_batch]
    figures: dict[str, float] = {"parameters": detector.count_params()}

    @tf.function(jit_compile=False)
    def detect(inputs: tf.Tensor) -> tf.Tensor:
        return detector.detect(Preprocessed(inputs, tf.ones((inputs.shape[0], 2)))).scores

    if part == "detect":
        for size in (1, 8):
            rate = measure(functools.partial(detect, images[:size]), size, steps)
            figures[f"detect_{size}_wall"], figures[f"detect_{size}_core"] = rate.wall_seconds, rate.core_seconds
        return figures | {"detect_peak_gb": _peak_gb()}

    step = training_step(
        detector.trainable_variables,
        lambda: tf.add_n([*detector.training_losses(batch, truth).values(), *detector.losses]),
    )
    rate = measure(step, case.train_batch, steps)
    figures["train_wall"], figures["train_core"] = rate.wall_seconds, rate.core_seconds
    figures["train_peak_gb"] = _peak_gb()

    parts = _backbone(detector, batch)
    floor = training_step(
        [variable for part, _ in parts for variable in part.trainable_variables],
        lambda: tf.add_n([tf.reduce_mean(y) for part, x in parts for y in tf.nest.flatten(part(x, training=True))]),
    )
    figures["floor_core"] = measure(floor, case.train_batch, steps).core_seconds
    return figures


def _backbone(detector: Detector, images: tf.Tensor) -> list[tuple[keras.Model, tf.Tensor]]:
    """The parts of the backbone, each with what it reads in a training step."""
    import keras
    import tensorflow as tf

    if detector.name in names.FASTER_RCNN:
        first, second = detector.proposal_features, detector.classifier_features
        crops = images.shape[0] * detector.options.proposals_per_step
        return [(first, images), (second, tf.ones((crops, *second.input_shape[1:])))]
    if detector.name in names.EFFICIENTDET:
        return [(detector.backbone, images)]
    return [(keras.Model(detector.network.inputs, detector.network.get_layer("out_relu").output), images)]


def run_keras_hub(case: Case, steps: int, part: str) -> dict[str, float]:
    """KerasHub's RetinaNet on keras.applications' MobileNetV2, with its own losses and training step."""
    import keras
    import keras_hub
    import numpy as np
    import tensorflow as tf

    shape = (case.image_size, case.image_size, 3)
    encoder = keras.applications.MobileNetV2(input_shape=shape, include_top=False, weights=None)
    levels = {"P3": "block_5_add", "P4": "block_12_add", "P5": "out_relu"}
    encoder.pyramid_outputs = {level: encoder.get_layer(name).output for level, name in levels.items()}
    backbone = keras_hub.models.RetinaNetBackbone(encoder, min_level=3, max_level=7, use_p5=True, image_shape=shape)
    detector = keras_hub.models.RetinaNetObjectDetector(
        backbone=backbone, num_classes=NUM_CLASSES, bounding_box_format="yxyx", preprocessor=None
    )
    detector.compile(
        optimizer=keras.optimizers.SGD(1e-3, momentum=0.9),
        box_loss=keras.losses.Huber(reduction="sum"),
        classification_loss=keras.losses.BinaryFocalCrossentropy(from_logits=True, reduction="sum"),
        jit_compile=False,
    )
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (8, *shape)).astype(np.float32)
    corners = rng.uniform(0, 0.7 * case.image_size, (case.train_batch, BOXES_PER_IMAGE, 2))
    sides = rng.uniform(0.05, 0.3, corners.shape) * case.image_size
    labels = {
        "boxes": np.concatenate([corners, corners + sides], axis=-1).astype(np.float32),
        "labels": rng.integers(0, NUM_CLASSES, corners.shape[:2]).astype(np.float32),
    }
    figures: dict[str, float] = {"parameters": detector.count_params()}
    if part == "detect":

        @tf.function(jit_compile=False)
        def detect(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            decoded: dict[str, tf.Tensor] = detector.decode_predictions(detector(inputs, training=False), inputs)
            return decoded

        for size in (1, 8):
            rate = measure(functools.partial(detect, tf.constant(images[:size])), size, steps)
            figures[f"detect_{size}_wall"], figures[f"detect_{size}_core"] = rate.wall_seconds, rate.core_seconds
        return figures | {"detect_peak_gb": _peak_gb()}
    batch = tf.constant(images[: case.train_batch])
    truth = {name: tf.constant(values) for name, values in labels.items()}
    step = training_step(
        detector.trainable_variables,
        lambda: detector.compute_loss(x=batch, y=truth, y_pred=detector(batch, training=True), sample_weight=None),
    )
    rate = measure(step, case.train_batch, steps)
    figures["train_wall"], figures["train_core"] = rate.wall_seconds, rate.core_seconds
    figures["train_peak_gb"] = _peak_gb()
    return figures


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def row(name: str, case: Case, figures: dict[str, float]) -> str:
    """One line of the table."""
    cells = [
        f"{name} {case.image_size}",
        f"{figures['parameters'] / 1e6:.2f}",
        str(case.train_batch),
        f"{1 / figures['train_wall']:.2f}",
        f"{figures['train_core']:.3f}",
        f"{figures['floor_core']:.3f}" if "floor_core" in figures else "",
        f"{1 / figures['detect_1_wall']:.1f}",
        f"{1 / figures['detect_8_wall']:.1f}",
        f"{figures['detect_1_core']:.3f}",
        f"{figures['detect_8_core']:.3f}",
        f"{figures['detect_peak_gb']:.1f}",
        f"{figures['train_peak_gb']:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


_COLUMNS: Final = (
    "detector",
    "parameters (M)",
    "training batch",
    "training images/s",
    "core-s/image",
    "backbone only core-s/image",
    "inference images/s, batch 1",
    "batch 8",
    "inference core-s/image, batch 1",
    "batch 8",
    "peak GB, inference",
    "training",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detectors", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"default: {' '.join(DEFAULT_CASES)}")
    parser.add_argument("--steps", type=int, default=8, help="timed training steps")
    parser.add_argument("--list", action="store_true", help="print the cases")
    parser.add_argument("--onednn", choices=("0", "1"), default="1", help="TF_ENABLE_ONEDNN_OPTS while training")
    parser.add_argument("--in-process", metavar="PART", choices=("train", "detect"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(CASES))
        return 0
    unknown = [name for name in arguments.cases if name not in CASES]
    if unknown:
        parser.error(f"no case is called {', '.join(unknown)}; --list prints them")
    if arguments.in_process:
        case = CASES[arguments.cases[0]]
        run = run_keras_hub if case.detector == _KERAS_HUB else run_detector
        print(json.dumps(run(case, arguments.steps, arguments.in_process)))
        return 0
    print(f"| {' | '.join(_COLUMNS)} |")
    print(f"|{' --- |' * len(_COLUMNS)}", flush=True)
    status = 0
    for name in arguments.cases or DEFAULT_CASES:
        figures: dict[str, float] = {}
        for part, onednn in (("train", arguments.onednn), ("detect", "0")):
            command = [sys.executable, "-m", "benchmarks.detectors", name, "--in-process", part]
            done = subprocess.run(
                [*command, "--steps", str(arguments.steps)],
                check=False,
                capture_output=True,
                text=True,
                env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": onednn},
            )
            if done.returncode:
                reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
                print(f"| {name} | {part} failed with status {done.returncode}: {reason} |", flush=True)
                status = 1
                break
            figures |= json.loads(done.stdout.strip().splitlines()[-1])
        else:
            print(row(name, CASES[name], figures), flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
