"""A sheet of training images as each augmentation of a config makes them, and as all of them together do.

The images go through the training's own input pipeline, so that what is drawn is what is learnt.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw, ImageFont

from components.detector.detector import Detector
from components.detector.tiling_settings import TilingSettings
from components.example_gen.annotations import LoadedImage, RecordSkippedError
from components.example_gen.keys import EXAMPLES
from components.example_gen.records import make_record
from components.trainer.augmentation_settings import AugmentationSettings
from components.trainer.input.augmentation.colour import apply_colour_maps
from components.trainer.input.input_pipeline import TrainingBatch, batches_of_records
from components.trainer.input.record_parser import parse_clean_records
from components.trainer.input.record_stream import ordered_records
from components.trainer.settings import TrainSettings
from components.user_error import UserError
from pipeline.box_drawing import DrawnBox, class_colours, draw_boxes
from pipeline.config import PipelineConfig
from pipeline.doctor.sheet import choose
from pipeline.doctor.survey import survey
from schema import features

EXAMPLE_GEN: Final = "ObjectDetectionExampleGen"
"""Folder of the node's outputs: the name of its class, which takes an import of TFX to know."""
_DRAWS: Final = 3
"""Rows that show all augmentations together."""
_MOST_RECORDS: Final = 200
"""Looked at of a run's records, and cut out of for pasting."""
_KINDS: Final = (
    "horizontal_flip",
    "vertical_flip",
    "quarter_turn",
    "crop",
    "zoom_out",
    "scale_jitter",
    "blur",
    "noise",
    "jpeg",
    "erase",
    "copy_paste",
    "mosaic",
    "mixup",
)
_COLOUR: Final = ("brightness", "contrast", "saturation", "hue")
_CELL_WIDTH: Final = 300
_MARGIN, _CAPTION = 12, 24
_CAPTION_FONT = ImageFont.load_default(16)
_BACKGROUND, _INK = (246, 246, 244), (40, 40, 40)


def rows(settings: AugmentationSettings) -> Iterator[tuple[str, AugmentationSettings | None, int]]:
    """Title, settings and step of each row: the images as they are, each kind alone and always, all as configured."""
    yield "as they are", None, 0
    nothing = settings.model_copy(update=dict.fromkeys((*_KINDS, *_COLOUR), 0.0))
    for kind in _KINDS:
        if share := getattr(settings, kind):
            yield f"{kind}: of {share:.0%} of the images", nothing.model_copy(update={kind: 1.0}), 0
    colour = {name: getattr(settings, name) for name in _COLOUR}
    if any(colour.values()):
        yield (
            f"colour: {', '.join(name for name, value in colour.items() if value)}",
            nothing.model_copy(update=colour),
            0,
        )
    for draw in range(_DRAWS):
        yield f"all as configured, draw {draw + 1}", settings, draw


def training_records(config: PipelineConfig) -> tuple[list[bytes], str]:
    """Serialised records of the split ``train``, of the last run or made of the data, and where they are from.

    Raises:
      UserError: there are none.
    """
    folder = pathlib.Path(config.pipeline_root, EXAMPLE_GEN, EXAMPLES)
    executions = [path for path in folder.glob("*") if path.name.isdigit() and any(path.glob("Split-train/*.gz"))]
    if executions:
        newest = max(executions, key=lambda path: int(path.name))
        records = ordered_records([f"{newest}/Split-train/*.gz"]).take(_MOST_RECORDS)
        return list(records.as_numpy_iterator()), str(newest)
    looked = survey(config.data)
    pictures = choose([picture for picture in looked.pictures if picture.split == "train"], _MOST_RECORDS)
    made = []
    for loaded in looked.load_annotated(pictures):
        if isinstance(loaded, LoadedImage):
            try:
                made.append(make_record(loaded, config.data.bad_input, None, {}).serialized)
            except RecordSkippedError:
                continue
    if not made:
        raise UserError(f"{config.data.path}: the split `train` has no image that can be drawn")
    return made, str(config.data.path)


def draw_augmentation_sheet(
    records: Sequence[bytes],
    detector: Detector,
    settings: AugmentationSettings,
    *,
    tiling: TilingSettings | None = None,
    images: int,
    seed: int,
) -> Image.Image:
    """The sheet: a row for each of ``rows``, a column for each image; what is ignored in training is dashed.

    Args:
      records: serialised, of one split; those with objects are shown.
      detector: gives the canvas.
      settings: what is drawn.
      tiling: show parts of images of a tile's size.
      images: columns.
      seed: of the augmentation.
    """
    labelled, names = _with_labels(records)
    key = features.OBJECT_CLASS_LABEL
    with_objects = [record for record in labelled if record.features.feature[key].int64_list.value] or labelled
    # Spread over the split: what lies side by side in it is often alike.
    shown = [with_objects[n * len(with_objects) // images] for n in range(images)]
    of_sheet, all_records = (
        tf.data.Dataset.from_tensor_slices([record.SerializeToString() for record in some])
        for some in (shown, labelled)
    )
    drawn = []
    for title, augmentation, step in rows(settings):
        row_settings = TrainSettings(batch_size=images, augmentation=augmentation, seed=seed)
        batches = batches_of_records(
            of_sheet, all_records, parse_clean_records, detector, row_settings, tiling=tiling, start_step=step
        )
        drawn.append((title, _pictures(next(iter(batches)), names)))
    cell_height = round(_CELL_WIDTH * detector.image_size[0] / detector.image_size[1])
    row_height = _CAPTION + cell_height + _MARGIN
    sheet = Image.new(
        "RGB", (_MARGIN + images * (_CELL_WIDTH + _MARGIN), _MARGIN + len(drawn) * row_height), _BACKGROUND
    )
    draw = ImageDraw.Draw(sheet)
    for row, (title, pictures) in enumerate(drawn):
        y = _MARGIN + row * row_height
        draw.text((_MARGIN, y), title, _INK, _CAPTION_FONT)
        for column, picture in enumerate(pictures):
            sheet.paste(picture, (_MARGIN + column * (_CELL_WIDTH + _MARGIN), y + _CAPTION))
    return sheet


def _with_labels(records: Sequence[bytes]) -> tuple[list[tf.train.Example], list[str]]:
    """Records whose labels are places in a list of the classes' names, from 1 on, and that list."""
    examples = [tf.train.Example.FromString(record) for record in records]
    names = sorted(
        {
            text.decode()
            for example in examples
            for text in example.features.feature[features.OBJECT_CLASS_TEXT].bytes_list.value
        }
    )
    number = {name: index for index, name in enumerate(names, start=1)}
    for example in examples:
        feature = example.features.feature
        texts = [text.decode() for text in feature[features.OBJECT_CLASS_TEXT].bytes_list.value]
        feature[features.OBJECT_CLASS_LABEL].int64_list.value[:] = [number[text] for text in texts]
    return examples, names


def _pictures(batch: TrainingBatch, names: Sequence[str]) -> Iterator[Image.Image]:
    """The images of a batch with their boxes."""
    colours = class_colours(names)
    images = apply_colour_maps(tf.cast(batch.images, tf.float32), batch.colour_maps)
    truth = (part.numpy() for part in batch.truth[:3])
    for pixels, boxes, classes, weights in zip(images.numpy(), *truth, strict=True):
        canvas = Image.fromarray(np.round(pixels).astype(np.uint8))
        picture = canvas.resize((_CELL_WIDTH, round(_CELL_WIDTH * canvas.height / canvas.width)))
        scale = np.array([picture.width, picture.height] * 2)
        there = np.flatnonzero(classes >= 0)
        areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=-1)
        draw_boxes(
            picture,
            [
                DrawnBox(
                    tuple((boxes[row, [1, 0, 3, 2]] * scale).tolist()),
                    names[classes[row]],
                    colours[names[classes[row]]],
                    bool(weights[row] == 0),
                )
                for row in sorted(there, key=lambda row: -areas[row])
            ],
        )
        yield picture
