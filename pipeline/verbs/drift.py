"""``python -m pipeline drift --config FILE --requests DIR``: is what is served still what was trained on?"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Final

from components.user_error import UserError
from pipeline.config import PipelineConfig, load_config
from pipeline.config_errors import ConfigError
from pipeline.tensorflow_environment import prepare_tensorflow, without_notices

EXIT_DRIFT: Final = 10


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Exit status: 0 no drift, 10 drift, 1 it cannot be said, 2 the config is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline drift",
        description="Compare the images of a server's request log with those that the model was trained beside, and "
        "choose the ones most worth a label.",
    )
    parser.add_argument("--config", type=pathlib.Path, required=True, help="the YAML file that describes the pipeline")
    parser.add_argument("--set", dest="overrides", metavar="KEY=VALUE", action="append", default=[])
    parser.add_argument("--requests", type=pathlib.Path, required=True, help="folder of the server's request log")
    parser.add_argument("--version", type=int, help="whose answers count (default: the newest that was pushed)")
    parser.add_argument(
        "--examples", type=pathlib.Path, help="artifact to compare with (default: the pipeline's newest)"
    )
    parser.add_argument("--split", default="eval", help="of it: one that was not learnt (default: %(default)s)")
    parser.add_argument("--images", type=int, default=300, help="of each side (default: %(default)s)")
    parser.add_argument("--label", type=int, default=50, metavar="N", help="images to choose (default: %(default)s)")
    parser.add_argument("--min_score", type=float, default=0.3, help="of a box to correct (default: %(default)s)")
    parser.add_argument(
        "--span", default="span-next", help="name of the folder of chosen images (default: %(default)s)"
    )
    parser.add_argument("--output", type=pathlib.Path, help="where to write (default: build/drift/NAME)")
    arguments = parser.parse_args(argv)
    if min(arguments.images, arguments.label) < 1:
        parser.error("--images and --label: must be at least 1")
    try:
        config = load_config(arguments.config, arguments.overrides)
        return _drift(config, arguments)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except UserError as error:
        print(error, file=sys.stderr)
        return 1


def _drift(config: PipelineConfig, arguments: argparse.Namespace) -> int:
    model, previous = _versions(config.push_directory, arguments.version)
    examples = arguments.examples or _newest_examples(config.pipeline_root)
    output = arguments.output or pathlib.Path("build", "drift", config.name)
    prepare_tensorflow()
    with without_notices():
        # Behind the checks: it imports TensorFlow.
        from pipeline.served_drift import labelling
        from pipeline.served_drift.judgement import judge
        from pipeline.served_drift.seen_images import read_log, read_records

    served, passed_over = read_log(arguments.requests, int(model.name), arguments.images)
    for reason, count in passed_over.items():
        print(f"passed over {count} x {reason}", file=sys.stderr)
    limits = config.cluster.drift
    if len(served) < limits.min_images:
        print(f"{len(served)} images were served: too few to judge (cluster.drift.min_images: {limits.min_images})")
        return 0
    judgement = judge(served, read_records(examples, arguments.split, arguments.images), model, previous, limits)
    print(judgement)
    names = (model / "assets" / "labels.txt").read_text(encoding="utf-8").splitlines()
    best = labelling.choose(served, judgement.calibration, judgement.embeddings, judgement.previous, arguments.label)
    labelling.write(output, [served[i] for i in best], names, arguments.min_score, arguments.span)
    report = {
        "version": int(model.name),
        "previous": None if previous is None else int(previous.name),
        "images": len(served),
        "figures": judgement.to_json(),
    }
    (output / "drift.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(
        f"{len(best)} images to label in {output / arguments.span}, boxes to correct in them; {output / 'drift.json'}"
    )
    return EXIT_DRIFT if judgement.has_drifted else 0


def _versions(folder: pathlib.Path, wanted: int | None) -> tuple[pathlib.Path, pathlib.Path | None]:
    """A pushed version and the one before it."""
    there = sorted((int(path.name) for path in folder.glob("[0-9]*") if path.name.isdecimal()), reverse=True)
    usable = [number for number in there if wanted is None or number <= wanted]
    if not usable or wanted not in (None, usable[0]):
        raise UserError(f"{folder}: has no version {wanted or ''}; there are: {', '.join(map(str, there)) or 'none'}")
    return folder / str(usable[0]), folder / str(usable[1]) if len(usable) > 1 else None


def _newest_examples(pipeline_root: pathlib.Path) -> pathlib.Path:
    # TFX names an artifact's folder after its execution, and executions are numbered.
    found = [path for path in pipeline_root.glob("ObjectDetectionExampleGen/examples/*") if path.name.isdecimal()]
    if not found:
        raise UserError(f"{pipeline_root}: holds no examples of a run; give an `examples` artifact with --examples")
    return max(found, key=lambda path: int(path.name))
