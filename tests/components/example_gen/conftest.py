"""A small data folder, and the executor run on it as TFX runs it."""

from __future__ import annotations

import dataclasses
import io
import os
import pathlib
from collections.abc import Callable

import pytest
from PIL import Image

from components.data_profile import DATA_PROFILE_FILE, DataProfile, SplitProfile
from components.example_gen.settings import DataSettings
from components.findings import Finding, FindingsSummary, read_findings, read_summary


@pytest.fixture
def shared_data() -> pathlib.Path:
    """The folder of real data sets; skips the test where it is absent."""
    folder = pathlib.Path(os.environ.get("SHARED_DIR", pathlib.Path(__file__).parents[4] / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"real data sets are not at {folder} (set SHARED_DIR)")
    return folder


@pytest.fixture
def image_bytes() -> Callable[..., bytes]:
    """Makes image files: ``image_bytes(width, height, image_format, mode, orientation, seed)``."""
    return _image_bytes


@pytest.fixture
def voc_xml() -> Callable[..., str]:
    """Makes Pascal VOC files: ``voc_xml(filename, [(name, xmin, ymin, xmax, ymax)], size)``."""
    return _voc_xml


def _image_bytes(
    width: int = 40,
    height: int = 30,
    image_format: str = "JPEG",
    mode: str = "RGB",
    orientation: int = 1,
    seed: int = 0,
) -> bytes:
    """An image with a bright upper left quarter, stored as given; no two seeds give the same bytes."""
    picture = Image.new("RGB", (width, height), (40, 60 + seed % 100, 80 + seed // 100))
    picture.paste((230, 120, 30), (0, 0, width // 2, height // 2))
    output = io.BytesIO()
    options = {} if orientation == 1 else {"exif": _orientation(orientation)}
    picture.convert(mode).save(output, image_format, **options)
    return output.getvalue()


def _orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def _voc_xml(
    filename: str, boxes: list[tuple[str, float, float, float, float]], size: tuple[int, int] = (40, 30)
) -> str:
    """A Pascal VOC file."""
    objects = "".join(
        f"<object><name>{name}</name><difficult>1</difficult><bndbox><xmin>{a}</xmin><ymin>{b}</ymin>"
        f"<xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>"
        for name, a, b, c, d in boxes
    )
    return (
        f"<annotation><filename>{filename}</filename><size><width>{size[0]}</width><height>{size[1]}</height></size>"
        f"{objects}</annotation>"
    )


@dataclasses.dataclass(frozen=True)
class Result:
    """What a run of the executor wrote."""

    records: dict[str, list]
    findings: list[Finding]
    summary: FindingsSummary
    examples_uri: pathlib.Path

    @property
    def profiles(self) -> dict[str, SplitProfile]:
        return DataProfile.from_json((self.examples_uri / DATA_PROFILE_FILE).read_text()).splits

    @property
    def kinds(self) -> set[str]:
        return set(self.summary.findings)

    def record(self, source_id: str):
        """The record of a source id, whichever split it is in."""
        return next(e for es in self.records.values() for e in es if _source_id(e) == source_id)

    def source_ids(self, split: str) -> set[str]:
        return {_source_id(example) for example in self.records[split]}


def _source_id(example) -> str:
    return example.features.feature["image/source_id"].bytes_list.value[0].decode()


@pytest.fixture
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Result]:
    """Runs the executor: ``run(format=..., path=..., ...)``; limits are off unless given."""
    import tensorflow as tf
    from tfx.types import artifact_utils, standard_artifacts

    from components.artifacts import Findings
    from components.example_gen.executor import Executor
    from components.example_gen.spans import resolve_spans, spans_to_json

    def run_executor(**settings) -> Result:
        data = DataSettings(**{"max_skipped_images": 1.0, "max_dropped_boxes": 1.0, **settings})
        base = tmp_path_factory.mktemp("out")
        examples, findings = standard_artifacts.Examples(), Findings()
        examples.uri, findings.uri = str(base / "gen" / "examples" / "1"), str(base / "gen" / "findings" / "1")
        Executor().Do(
            {},
            {"examples": [examples], "findings": [findings]},
            {"settings": data.model_dump_json(), "span_folders": spans_to_json(resolve_spans(data))},
        )
        records = {}
        for split in artifact_utils.decode_split_names(examples.split_names):
            shards = sorted(pathlib.Path(artifact_utils.get_split_uri([examples], split)).iterdir())
            dataset = tf.data.TFRecordDataset([str(shard) for shard in shards], "GZIP")
            records[split] = [tf.train.Example.FromString(raw) for raw in dataset.as_numpy_iterator()]
        folder = pathlib.Path(findings.uri)
        return Result(records, list(read_findings(folder)), read_summary(folder), pathlib.Path(examples.uri))

    return run_executor
