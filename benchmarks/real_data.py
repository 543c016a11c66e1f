"""The whole pipeline on real data from ImageNet weights: AP, AP50, the verdict and the training time.

Data and weights come from ``$SHARED_DIR`` (default ``../shared``); the configs are those in ``pipeline/configs``.

    python -m benchmarks.real_data                      all data sets (about an hour on two cores)
    python -m benchmarks.real_data blood_cells_voc      only these
"""

from __future__ import annotations

import argparse
import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence

from pipeline.config import PipelineConfig, load_config

REPOSITORY = pathlib.Path(__file__).parents[1]
SHARED = pathlib.Path(os.environ.get("SHARED_DIR", REPOSITORY.parent / "shared"))
ROOT = REPOSITORY / "build" / "benchmarks" / "real_data"
WEIGHTS = SHARED / "weights" / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
DATA = {
    "blood_cells_voc": SHARED / "data" / "bccd_voc" / "BCCD",
    "blood_cells_coco": SHARED / "data" / "rbc_coco",
    "traffic_signs_yolo": SHARED / "data" / "ro_trafficsigns_yolo" / "Traffic-Signs-1",
}
"""Config in ``pipeline/configs`` -> its data."""


def _run(name: str) -> PipelineConfig:
    """Runs the pipeline in a process of its own, as a user would; what it prints goes to stderr."""
    file = REPOSITORY / "pipeline" / "configs" / f"{name}.yaml"
    overrides = [f"root={ROOT}", f"data.path={DATA[name]}", f"model.pretrained={WEIGHTS}"]
    command = [sys.executable, "-m", "pipeline", "run", f"--config={file}", *(f"--set={value}" for value in overrides)]
    subprocess.run(command, cwd=REPOSITORY, stdout=sys.stderr, check=True)
    return load_config(file, overrides)


def _row(name: str, config: PipelineConfig) -> str:
    """The table's line for one data set."""
    # Behind the run: reading ML Metadata imports TensorFlow.
    from ml_metadata.proto import metadata_store_pb2

    from components.evaluator.evaluation import read_evaluation
    from components.findings import read_summary
    from components.report.run_record import read_run

    connection = metadata_store_pb2.ConnectionConfig()
    connection.sqlite.filename_uri = str(config.metadata_path)
    record = read_run(connection, config.name)
    findings_uri, evaluation_uri = record.uri("findings"), record.uri("evaluation")
    if findings_uri is None or evaluation_uri is None:
        raise RuntimeError(f"{name}: the run in {config.metadata_path} did not get to its evaluation")
    judged = read_evaluation(evaluation_uri)
    metrics = judged.overall.metrics
    trainer_minutes = next(node.seconds for node in record.nodes if node.node == "Trainer") / 60
    images = read_summary(findings_uri).images
    verdict = " ".join(line.strip() for line in judged.verdict.lines())
    canvas = "x".join(str(side) for side in config.model.image_size or (320, 320))
    return (
        f"| {name} ({config.data.format}) | {images['train']} / {images[record.judged_split or 'eval']} | {canvas} "
        f"| {config.train.steps} x {config.train.batch_size} | {trainer_minutes:.1f} "
        f"| {metrics['AP']:.3f} | {metrics['AP50']:.3f} | {verdict} |"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real_data", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which ones (default: all): {', '.join(DATA)}")
    names = parser.parse_args(argv).names or list(DATA)
    if unknown := set(names) - DATA.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(DATA)}")
    if not WEIGHTS.exists():
        parser.error(f"{WEIGHTS} is not there; set SHARED_DIR to the folder with data/ and weights/")
    rows = [_row(name, _run(name)) for name in names]
    print("| data (format) | images train / judged | canvas | steps x batch | Trainer, min | AP | AP50 | gate |")
    print("|---|---|---|---|---|---|---|---|")
    print("\n".join(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
