"""The Beam nodes on a Flink cluster of this machine, by the config alone, beside the same nodes on the DirectRunner.

`make flink-test` runs this; elsewhere it is skipped, for it installs Flink (about 450 MB) and takes minutes.
"""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Iterator

import numpy as np
import pytest
import tfx.v1  # noqa: F401 - before TFDV and TFMA
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.orchestration.pipeline import RunOptions

from components.evaluator.evaluation import EVALUATION_FILE
from components.evaluator.matches_file import MATCHES_FOLDER, read_matches
from demo.scenes import main as draw_scenes
from kubeflow.local_flink.cluster import LocalFlinkCluster
from kubeflow.local_flink.installation import install_flink
from pipeline.config import PipelineConfig, load_config
from pipeline.graph import create_pipeline
from pipeline.node_launcher import LocalRunner

pytestmark = [
    pytest.mark.skipif(not os.environ.get("FLINK_TEST"), reason="installs Flink; `make flink-test` runs it"),
    pytest.mark.timeout(3600),
]

IMAGES = 400
SLOTS = 2
CONFIG = """
name: flink
root: {root}
data:
  format: coco
  path: {data}
  split: {{source: given}}
  shard_images: 40
validation: {{}}
model:
  image_size: [96, 96]
  pretrained: null
  options: {{alpha: 0.35, fpn_depth: 16, num_head_layers: 1, batch_norm_momentum: 0.9}}
train:
  steps: 60
  batch_size: 8
  evaluate_every: 60
eval:
  slices: [[time_of_day], [class]]
  gates: {{minimum: {{AP50: 0.0}}, max_drop: {{}}}}
beam: {beam}
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Drawn scenes; some files are damaged, some boxes lie outside, some pictures are there twice."""
    folder = tmp_path_factory.mktemp("data")
    draw_scenes(["--output", str(folder), "--images", str(IMAGES), "--seed", "5"])
    images = sorted((folder / "train").glob("*.jpg"))
    images[3].write_bytes(images[3].read_bytes()[:-50])
    images[40].write_bytes(b"")
    images[77].write_bytes(b"no image")
    images[120].unlink()
    images[150].write_bytes(images[90].read_bytes())
    sorted((folder / "eval").glob("*.jpg"))[0].write_bytes(images[91].read_bytes())
    annotations = folder / "train" / "_annotations.coco.json"
    content = json.loads(annotations.read_text())
    content["annotations"][10]["bbox"] = [300, 200, 100, 100]
    content["annotations"][30]["bbox"] = [10, 10, 0, 5]
    content["annotations"][50]["bbox"] = [1000, 1000, 20, 20]
    annotations.write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalFlinkCluster]:
    installation = install_flink(pathlib.Path(os.environ.get("FLINK_FOLDER", "build/flink")))
    with LocalFlinkCluster(installation, tmp_path_factory.mktemp("flink"), slots=SLOTS) as running:
        yield running


def _config(folder: pathlib.Path, name: str, data: pathlib.Path, beam: dict[str, object]) -> PipelineConfig:
    file = folder / f"{name}.yaml"
    file.write_text(CONFIG.format(root=folder / name, data=data, beam=json.dumps(beam)))
    return load_config(file)


def _run(config: PipelineConfig, options: RunOptions, is_cached: bool = True) -> None:
    pipeline = create_pipeline(config)
    pipeline.enable_cache = is_cached
    config.metadata_path.parent.mkdir(parents=True, exist_ok=True)
    LocalRunner().run(pipeline, run_options=options)


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory, data: pathlib.Path) -> PipelineConfig:
    """A run to the Evaluator on the DirectRunner."""
    config = _config(tmp_path_factory.mktemp("runs"), "direct", data, {})
    _run(config, RunOptions(to_nodes=["Evaluator", "AnnotationValidator"]))
    return config


@pytest.fixture(scope="module")
def on_flink(direct: PipelineConfig, data: pathlib.Path, cluster: LocalFlinkCluster) -> PipelineConfig:
    """A run to the Transform on Flink, with records and metadata of its own."""
    beam: dict[str, object] = {"runner": "FlinkRunner", "options": cluster.beam_options()}
    config = _config(direct.pipeline_root.parents[1], "flink", data, beam)
    _run(config, RunOptions(to_nodes=["Transform", "AnnotationValidator"]))
    return config


def _artifacts(config: PipelineConfig, node: str, output: str) -> list[pathlib.Path]:
    """Folders of one output of a node, the oldest first."""
    return sorted((config.pipeline_root / node / output).iterdir(), key=lambda path: int(path.name))


def _contents(folder: pathlib.Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("output", ["examples", "findings"])
def test_records_and_findings_are_the_same_bytes(direct: PipelineConfig, on_flink: PipelineConfig, output: str) -> None:
    [here] = _artifacts(direct, "ObjectDetectionExampleGen", output)
    [there] = _artifacts(on_flink, "ObjectDetectionExampleGen", output)
    assert _contents(there) == _contents(here)
    if output == "findings":
        text = (here / "findings.jsonl").read_text()
        for kind in ("truncated_image", "empty_image", "not_an_image", "missing_image"):
            assert kind in text


def test_annotation_reports_are_the_same(direct: PipelineConfig, on_flink: PipelineConfig) -> None:
    nodes = [config.pipeline_root / "AnnotationValidator" for config in (direct, on_flink)]
    here, there = (
        {name: content for name, content in _contents(node).items() if ".system" not in name} for node in nodes
    )
    assert here
    assert [name.split("/")[0] for name in sorted(here)] == [name.split("/")[0] for name in sorted(there)]
    assert sorted(here.values()) == sorted(there.values())


def test_statistics_are_the_same(direct: PipelineConfig, on_flink: PipelineConfig) -> None:
    [here], [there] = (_artifacts(config, "StatisticsGen", "statistics") for config in (direct, on_flink))
    splits = sorted(path.name for path in here.iterdir())
    assert splits == sorted(path.name for path in there.iterdir())
    for split in splits:
        one, other = (_statistics(folder / split / "FeatureStats.pb") for folder in (here, there))
        assert one.keys() == other.keys()
        for name, expected in one.items():
            assert other[name] == expected, f"{split}: {name}"


def _statistics(file: pathlib.Path) -> dict[str, object]:
    """Counts and moments by feature; not the quantiles, which are a sketch's and depend on the order of what it saw."""
    read = statistics_pb2.DatasetFeatureStatisticsList.FromString(file.read_bytes())
    [dataset] = read.datasets
    found: dict[str, object] = {"": dataset.num_examples}
    for feature in dataset.features:
        common = feature.num_stats.common_stats if feature.HasField("num_stats") else feature.string_stats.common_stats
        numbers: list[float] = [common.num_non_missing, common.min_num_values, common.max_num_values]
        numbers += [common.tot_num_values, feature.string_stats.unique]
        if feature.HasField("num_stats"):
            numbers += [feature.num_stats.min, feature.num_stats.max, feature.num_stats.num_zeros]
            numbers += [pytest.approx(value, rel=1e-6) for value in (feature.num_stats.mean, feature.num_stats.std_dev)]
        found["/".join(feature.path.step) or feature.name] = numbers
    return found


def test_label_maps_are_the_same(direct: PipelineConfig, on_flink: PipelineConfig) -> None:
    here, there = (
        {
            path.name: path.read_bytes()
            for path in _artifacts(config, "Transform", "transform_graph")[0].rglob("assets/*")
        }
        for config in (direct, on_flink)
    )
    assert here
    assert there == here


def test_one_model_is_measured_the_same(direct: PipelineConfig, cluster: LocalFlinkCluster, data: pathlib.Path) -> None:
    """The Evaluator alone runs again, on Flink, with the model that the first run trained."""
    beam: dict[str, object] = {"runner": "FlinkRunner", "options": cluster.beam_options()}
    again = _config(direct.pipeline_root.parents[1], "direct", data, beam)
    _run(again, RunOptions(from_nodes=["Evaluator"], to_nodes=["Evaluator"]), is_cached=False)
    here, there = _artifacts(direct, "Evaluator", "evaluation")
    expected, found = (json.loads((folder / EVALUATION_FILE).read_text()) for folder in (here, there))
    assert found == expected
    matches, others = (read_matches(str(folder / MATCHES_FOLDER)).candidate for folder in (here, there))
    np.testing.assert_array_equal(others.scores, matches.scores)
    assert len(matches.scores) > 0
