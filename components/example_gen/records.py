"""One record: a ``tf.train.Example`` of an image file and its checked objects."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import tensorflow as tf

from components.data_profile import SplitProfile
from components.example_gen import images
from components.example_gen.annotations import LoadedImage, MetadataValue, RecordSkippedError
from components.example_gen.boxes import CheckedObject, check_objects
from components.example_gen.decoding import check_decodes
from components.example_gen.metadata import convert
from components.example_gen.settings import BadInputSettings
from components.findings import Finding
from schema import features
from schema.label_map import LabelMap


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """A serialised record, and what became of the image's boxes.

    Attributes:
      serialized: the ``tf.train.Example``.
      header: size of the image.
      objects: what the record has.
      brightest: largest value of the decoded image, 0..255.
      read_count: boxes the annotation has, before any was dropped.
      findings: what was found on the way; those of dropped boxes make up the difference.
    """

    serialized: bytes
    header: images.ImageHeader
    objects: tuple[CheckedObject, ...]
    brightest: int
    read_count: int
    findings: tuple[Finding, ...]

    def add_to(self, profile: SplitProfile) -> None:
        """Counts the record in its split's profile."""
        profile.add(
            [checked.class_name for checked in self.objects],
            [checked.box_xyxy_normalized for checked in self.objects],
            height_pixels=self.header.height_pixels,
            width_pixels=self.header.width_pixels,
            set_aside=sum(checked.annotation.is_crowd or checked.annotation.is_difficult for checked in self.objects),
            brightest=self.brightest,
        )


def make_record(
    loaded: LoadedImage,
    bad_input: BadInputSettings,
    label_map: LabelMap | None,
    metadata_types: Mapping[str, str],
) -> Record:
    """Checks an image and its annotation and makes the record; the image is decoded once, to know that it decodes.

    Args:
      loaded: file bytes and annotation.
      bad_input: treatments.
      label_map: the only classes there may be, and their ids; None keeps the classes and ids of the data.
      metadata_types: type of each metadata column over the whole data set.

    Raises:
      RecordSkippedError: the record is left out; carries the finding.
    """
    findings = []
    encoded = loaded.encoded
    try:
        header = images.read_header(encoded)
        if header.orientation != 1:
            finding = bad_input.finding("rotated_image", loaded.file, "EXIF", f"orientation {header.orientation}")
            if finding.loses_record:
                raise RecordSkippedError(finding)
            findings.append(finding)
            encoded = images.upright(encoded, header)
        brightest = check_decodes(encoded, header)
    except images.BadImageError as problem:
        raise RecordSkippedError(bad_input.finding(problem.kind, loaded.file, "", problem.found)) from problem
    class_names = None if label_map is None else frozenset(label_map.names)
    objects, problems = check_objects(loaded.annotation, header, loaded.file, bad_input, class_names)
    findings.extend(problems)
    example = tf.train.Example()
    values = example.features.feature
    values[features.IMAGE_ENCODED].bytes_list.value.append(encoded)
    values[features.IMAGE_FORMAT].bytes_list.value.append(header.format.encode())
    values[features.IMAGE_FILENAME].bytes_list.value.append(_bytes(loaded.file))
    values[features.IMAGE_SOURCE_ID].bytes_list.value.append(_bytes(loaded.item.key))
    values[features.IMAGE_HEIGHT].int64_list.value.append(header.height_pixels)
    values[features.IMAGE_WIDTH].int64_list.value.append(header.width_pixels)
    _add_objects(values, objects, label_map)
    _add_metadata(values, loaded.item.metadata, metadata_types)
    return Record(
        serialized=example.SerializeToString(deterministic=True),
        header=header,
        objects=tuple(objects),
        brightest=brightest,
        read_count=loaded.annotation.box_count,
        findings=tuple(findings),
    )


def _add_objects(
    values: Mapping[str, tf.train.Feature], objects: Iterable[CheckedObject], label_map: LabelMap | None
) -> None:
    # A record without objects has empty lists of the right type, not absent ones.
    for key in (*features.BOX_KEYS_YXYX, features.OBJECT_AREA):
        values[key].float_list.SetInParent()
    for key in (features.OBJECT_CLASS_LABEL, features.OBJECT_IS_CROWD, features.OBJECT_DIFFICULT):
        values[key].int64_list.SetInParent()
    values[features.OBJECT_CLASS_TEXT].bytes_list.SetInParent()
    xmins = values[features.OBJECT_XMIN].float_list.value
    ymins = values[features.OBJECT_YMIN].float_list.value
    xmaxs = values[features.OBJECT_XMAX].float_list.value
    ymaxs = values[features.OBJECT_YMAX].float_list.value
    texts = values[features.OBJECT_CLASS_TEXT].bytes_list.value
    labels = values[features.OBJECT_CLASS_LABEL].int64_list.value
    crowds = values[features.OBJECT_IS_CROWD].int64_list.value
    areas = values[features.OBJECT_AREA].float_list.value
    difficult = values[features.OBJECT_DIFFICULT].int64_list.value
    for checked in objects:
        xmin, ymin, xmax, ymax = checked.box_xyxy_normalized
        xmins.append(xmin)
        ymins.append(ymin)
        xmaxs.append(xmax)
        ymaxs.append(ymax)
        texts.append(checked.class_name.encode())
        class_id = checked.annotation.class_id if label_map is None else label_map.id_of(checked.class_name)
        labels.append(class_id or 0)
        crowds.append(int(checked.annotation.is_crowd))
        areas.append(checked.area_pixels)
        difficult.append(int(checked.annotation.is_difficult))


def _add_metadata(
    values: Mapping[str, tf.train.Feature], metadata: Mapping[str, MetadataValue], types: Mapping[str, str]
) -> None:
    for column, value in metadata.items():
        feature = values[features.meta_key(column)]
        converted = convert(value, types[column])
        if isinstance(converted, str):
            feature.bytes_list.value.append(_bytes(converted))
        elif isinstance(converted, float):
            feature.float_list.value.append(converted)
        else:
            feature.int64_list.value.append(converted)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
