"""Wall time of a whole run of the demo against the sum of its unavoidable parts; and of an unchanged second run.

    python -m benchmarks.run

Unavoidable are: importing TFX once, the gradient steps on a batch in memory, decoding every image that is trained on,
and one inference over the eval split for every evaluation. Everything else (reading, statistics, validation, tracing,
metrics, export, ML Metadata) is the pipeline's own.
"""

from __future__ import annotations

import itertools
import pathlib
import resource
import shutil
import subprocess
import sys
import time

from pipeline.config import PipelineConfig, load_config

REPOSITORY = pathlib.Path(__file__).parents[1]
ROOT = REPOSITORY / "build" / "benchmarks" / "run"
CONFIG = REPOSITORY / "pipeline" / "configs" / "demo.yaml"


def _timed(*command: str) -> float:
    """Wall seconds of a process; what it prints goes to stderr."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *command], cwd=REPOSITORY, stdout=sys.stderr, check=True)
    return time.perf_counter() - start


def _unavoidable_parts(config: PipelineConfig) -> dict[str, float]:
    """Seconds by part, measured in this process on the run's own records."""
    import tensorflow as tf

    from benchmarks.training_loop import bare_images_per_second
    from components.detector.registry import build_detector
    from components.trainer.input.input_pipeline import training_batches
    from components.trainer.input.record_parser import record_parser
    from components.trainer.settings import TrainSettings

    examples = max((config.pipeline_root / "ObjectDetectionExampleGen" / "examples").iterdir())
    transform = max((config.pipeline_root / "Transform" / "transform_graph").iterdir())
    train_files = f"{examples}/Split-train/*"
    said = TrainSettings.model_validate(dict(config.train))
    settings = said.model_copy(update={"steps": 20})
    detector = build_detector(
        config.model.detector, num_classes=7, image_size=config.model.image_size, **dict(config.model.options)
    )
    batch = next(iter(training_batches([train_files], record_parser(str(transform)), detector, settings)))
    trained_images = said.steps * said.batch_size

    pictures = [
        path.read_bytes() for path in itertools.islice(sorted(pathlib.Path(config.data.path).glob("train/*")), 200)
    ]
    start = time.perf_counter()
    for picture in pictures[:-1]:
        tf.io.decode_jpeg(picture)
    decode_seconds = (time.perf_counter() - start) / (len(pictures) - 1)

    infer = tf.function(lambda images: detector.detect(detector.preprocess(images)))
    images = tf.zeros([16, 240, 320, 3], tf.uint8)
    infer(images)
    start = time.perf_counter()
    for _ in range(5):
        infer(images)
    inference_seconds = (time.perf_counter() - start) / (5 * 16)
    eval_images = len(list(pathlib.Path(config.data.path).glob("eval/*.jpg")))
    evaluations = -(-said.steps // said.evaluation_interval) + 1  # the Evaluator's is one more

    return {
        "import tfx": _timed("-c", "import tfx.v1"),
        f"{said.steps} gradient steps of {said.batch_size} images": trained_images
        / bare_images_per_second(detector, batch, settings),
        f"decoding {trained_images} images": trained_images * decode_seconds,
        f"{evaluations} inferences over {eval_images} images": evaluations * eval_images * inference_seconds,
    }


def main() -> int:
    """Entry point."""
    shutil.rmtree(ROOT, ignore_errors=True)
    overrides = [f"root={ROOT}", f"data.path={ROOT / 'scenes'}"]
    _timed("-m", "demo.scenes", "--output", str(ROOT / "scenes"))
    command = ("-m", "pipeline", "run", f"--config={CONFIG}", *(f"--set={override}" for override in overrides))
    first = _timed(*command)
    peak_gib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    second = _timed(*command)
    parts = _unavoidable_parts(load_config(CONFIG, overrides))
    total = sum(parts.values())
    print("| what | seconds |\n| --- | ---: |")
    print("".join(f"| {name} | {seconds:.1f} |\n" for name, seconds in parts.items()), end="")
    print(f"| sum of these unavoidable parts | {total:.1f} |")
    print(f"| the whole run, {peak_gib:.1f} GiB at most | {first:.1f} |")
    print(f"| whole run / unavoidable | {first / total:.2f} |")
    print(f"| an unchanged second run | {second:.1f} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
