"""Settings of the ``data`` section: where annotated images are, how they split, and what happens to bad ones."""

from __future__ import annotations

import re
from typing import Literal

import pydantic

from components.findings import Finding
from components.path_settings import LocalFile, Source
from components.settings import Settings

Split = Literal["train", "eval", "test"]
"""The canonical split names; ``val``, ``valid``, ``validation`` and ``dev`` in the data mean ``eval``."""
SkipOrFail = Literal["skip", "fail"]
DropSkipOrFail = Literal["drop", "skip", "fail"]

_SPAN = re.compile(r"\{SPAN(?::\d+)?\}")
_VERSION = re.compile(r"\{VERSION(?::\d+)?\}")


class SplitSettings(Settings):
    """How images are divided into train, eval and test."""

    source: Literal["auto", "given", "hash"] = "auto"
    """``given``: as the data set says (ImageSets, one file or folder a split, data.yaml). ``hash``: by a stable hash,
    whatever the data set says. ``auto``: as given if the data names both train and eval; otherwise by hash, except
    that a given test split stays one."""
    ratios: dict[Split, float] = pydantic.Field(default={"train": 0.8, "eval": 0.2})
    """Shares of the hashed images; they are normalised, so 8 and 2 do as well as 0.8 and 0.2."""
    group_by: str | None = None
    """A metadata column (``video``, ``patient``), listed in ``data.metadata`` or not: images with the same value fall
    into the same split, if that is decided by hash. An image without a value is a ``missing_group``; that no image has
    one is an error."""
    group_pattern: str | None = None
    """A regular expression searched in the image's path; its first group (or the whole match) is hashed instead of the
    path: ``(.*)_frame\\d+`` keeps the frames of one video together. A path that does not match is hashed whole."""
    salt: str = ""
    """Any text; another one gives another division by hash."""

    @pydantic.model_validator(mode="after")
    def _check(self) -> SplitSettings:
        if not {"train", "eval"} <= self.ratios.keys():
            raise ValueError(f"ratios must name train and eval, found {sorted(self.ratios)}")
        bad = {name: share for name, share in self.ratios.items() if not share > 0}
        if bad:
            raise ValueError(f"ratios must be greater than 0, found {bad}")
        if self.group_by and self.group_pattern:
            raise ValueError("set group_by or group_pattern, not both")
        if self.group_pattern is not None:
            try:
                re.compile(self.group_pattern)
            except re.error as error:
                raise ValueError(f"group_pattern {self.group_pattern!r} is no regular expression: {error}") from error
        return self


class BadInputSettings(Settings):
    """Treatment of each kind of bad input; ``components/findings.py`` has the table of what the kinds mean."""

    missing_image: SkipOrFail = "skip"
    """An annotation names an image that is not there."""
    empty_image: SkipOrFail = "skip"
    """The image file has zero bytes."""
    not_an_image: SkipOrFail = "skip"
    """The file is no image, whatever it is called."""
    truncated_image: SkipOrFail = "skip"
    """The decoder that training uses cannot decode the image: it ends early or is damaged."""
    unsupported_image: SkipOrFail = "skip"
    """Neither JPEG nor PNG, or more pixels than a decompression bomb is taken to start at (179 million)."""
    rotated_image: Literal["upright", "skip", "fail"] = "upright"
    """EXIF orientation other than 1: the graph's decoders ignore it, so the image is decoded and encoded again upright
    (JPEG quality 95, no chroma subsampling). The only images whose pixels are touched."""
    size_mismatch: Literal["rescale", "file", "skip", "fail"] = "rescale"
    """Annotated size is not the file's: ``rescale`` takes pixel boxes as fractions of the annotated size if the aspect
    ratio agrees within 2 %, and skips the record otherwise. ``file`` takes them as pixels of the file, whatever the
    annotation says of its size (width and height exchanged)."""
    path_outside: SkipOrFail = "skip"
    """A file name that climbs out of the data folder is never opened."""
    duplicate_image: SkipOrFail = "skip"
    """An image that is listed again; the first one (train before eval before test) is kept. Where all images are
    divided by hash, nothing is lost by it, and `max_skipped_images` does not count it."""
    ambiguous_image_id: SkipOrFail = "skip"
    """One COCO image id for different files: which of them the boxes belong to cannot be known."""
    malformed_annotation: SkipOrFail = "skip"
    """XML that cannot be read or does not parse, or an image entry without what is needed."""
    missing_annotation: Literal["skip", "background", "fail"] = "skip"
    """Pascal VOC: an ImageSets file names an image without XML. ``background``: an image without objects."""
    missing_group: Literal["alone", "skip", "fail"] = "alone"
    """An image without a value in the column ``data.split.group_by``. ``alone``: it is hashed by its own name."""
    damaged_record_file: Literal["fail", "keep"] = "fail"
    """A TFRecord file that breaks off (an incomplete copy) or has a wrong checksum: what lies behind can be neither
    read nor counted. ``keep``: go on with the records before the damage."""
    moved_image: Literal["read", "skip", "fail"] = "read"
    """An image that is not where its name says (``C:/data/a.jpg``, ``../../label-studio/a.jpg``, a URL), or is called
    so but for Label Studio's hash, while the data folder has just one of that file name. Names are taken strictly where
    ``data.images`` is set."""
    filename_differs: Literal["own_name", "filename", "skip", "fail"] = "own_name"
    """Pascal VOC: ``<filename>`` names another image than the XML's own name does (renamed files, a copied XML).
    ``filename`` trusts it all the same."""
    coerced_value: Literal["read", "fail"] = "read"
    """A number, flag or id of another type than the format has, which can mean one thing only."""
    similar_names: Literal["keep", "fail"] = "keep"
    """Class names that differ by outer white space (made one), or by case or inner white space (kept apart); one name
    of several COCO categories (made one)."""
    polygon_box: Literal["extent", "drop", "skip", "fail"] = "extent"
    """A polygon or turned box without a box: YOLO rows with more numbers than a box has, of which data.yaml says no
    keypoints (``kpt_shape``); a COCO segmentation without ``bbox``; a Pascal VOC ``<polygon>`` or ``<robndbox>``."""
    malformed_box: DropSkipOrFail = "drop"
    """A box or line that cannot be parsed."""
    box_not_finite: DropSkipOrFail = "drop"
    """A coordinate that is NaN or infinite."""
    box_inverted: Literal["drop", "swap", "skip", "fail"] = "drop"
    """Minimum greater than maximum; ``swap`` exchanges them."""
    box_zero_area: DropSkipOrFail = "drop"
    """Width or height of zero."""
    box_outside: Literal["clip", "drop", "skip", "fail"] = "clip"
    """More than half a pixel over the edge (less is rounding, clipped in silence); a box wholly outside is dropped."""
    box_unit: Literal["drop", "convert", "skip", "fail"] = "drop"
    """A box that lies within the first pixel of an image whose boxes are in pixels, or one beyond the image by its own
    side that would lie inside if its numbers were pixels. ``convert`` reads it in the other unit."""
    duplicate_box: Literal["drop", "keep", "skip", "fail"] = "drop"
    """A box that an image has already, of the same class and coordinates. Nothing is lost, so `max_dropped_boxes` does
    not count it."""
    unknown_class: DropSkipOrFail = "drop"
    """A class that no category list, data.yaml or label map has."""
    orphan_box: Literal["drop", "fail"] = "drop"
    """A COCO annotation whose image_id no image has."""

    def finding(self, kind: str, file: str, where: str, found: str) -> Finding:
        """A finding with the treatment that is configured for its kind."""
        return Finding(kind=kind, file=file, where=where, found=found, treatment=getattr(self, kind))


class TargetSettings(Settings):
    """Images of another domain than the annotated ones: the one that the model is to work in."""

    format: Literal["images", "pascal_voc", "coco", "yolo", "csv", "tfrecord"] = "images"
    """``images``: every image in `path` and below, no annotation is looked for. The others are those of `data.format`:
    the images of the train split are learnt from without their annotations; those of eval and test become the splits
    `target_eval` and `target_test`, on which a model can be judged (`eval.split`) and nothing else."""
    path: Source
    """The folder, on this machine or in Cloud Storage (``gs://``)."""
    annotations: str | dict[Split, str] | None = None
    """As `data.annotations`, below `path`."""
    images: str | dict[Split, str] | None = None
    """As `data.images`, below `path`."""
    split: SplitSettings = SplitSettings()
    """Division into train, eval and test. Of the format `images` all are for training."""


class DataSettings(Settings):
    """Annotated images: format, place, splits, and treatment of bad input."""

    format: Literal["pascal_voc", "coco", "yolo", "csv", "tfrecord"]
    """``pascal_voc``: XML files, ImageSets/Main when present. ``coco``: one JSON file, or one a split. ``yolo``: txt
    files and a data.yaml, obj.data or classes.txt. ``csv``: filename,width,height,class,xmin,ymin,xmax,ymax, or what
    OpenImages, VoTT and keras-retinanet call them. ``tfrecord``: records with the TF Object Detection API's keys."""
    path: Source
    """The data folder, on this machine or in Cloud Storage (``gs://``). ``{SPAN}`` and ``{VERSION}`` (or ``{SPAN:3}``,
    zero-padded to three digits) stand for numbers: ``/data/span-{SPAN}/v{VERSION}``; the newest span, and of it the
    newest version, is read."""
    span: int | None = pydantic.Field(default=None, ge=0)
    """Read this span instead of the newest."""
    span_window: int = pydantic.Field(default=1, ge=1)
    """How many spans to read together: the newest (or ``span``) and the ones before it. An image tells its span in the
    column ``span`` (``eval.slices``); how much of a training batch is of earlier ones: ``train.input.replay_share``."""
    annotations: str | dict[Split, str] | None = None
    """Annotation files or folders below ``path``, for each split or one for all; found by their names when unset.
    COCO and CSV: a file. Pascal VOC: a list of images or a folder of XML. YOLO: a list or folder of images. TFRecord: a
    file pattern."""
    images: str | dict[Split, str] | None = None
    """Folder below ``path`` that image names are relative to, for each split or one for all; found out when unset."""
    label_map: LocalFile | None = None
    """A labels.txt or .pbtxt file. When set, a class it does not name is an ``unknown_class``. A record with class
    numbers only (TFRecord) needs it."""
    metadata: list[str] | None = None
    """Per-image columns to keep as ``image/meta/<name>``, all when unset: extra scalars of COCO image entries, extra
    CSV columns, or the columns of a ``metadata.csv`` with a ``filename`` column in the data folder."""
    split: SplitSettings = SplitSettings()
    """Division into train, eval and test."""
    bad_input: BadInputSettings = BadInputSettings()
    """Treatment of each kind of bad input."""
    max_skipped_images: float = pydantic.Field(default=0.01, ge=0, le=1)
    """The run fails when more than this share of the listed images is skipped."""
    max_dropped_boxes: float = pydantic.Field(default=0.01, ge=0, le=1)
    """The run fails when more than this share of the boxes is dropped."""
    max_clipped_boxes: float = pydantic.Field(default=0.2, ge=0, le=1)
    """The run fails when more than this share of the boxes leaves its picture (``box_outside``): corners are written
    where a size is meant, or sizes where corners are."""
    voc_first_pixel: Literal[0, 1] = 0
    """Pascal VOC: 0 takes coordinates as box edges, as labelling tools and the TF Object Detection API do; 1 as indices
    of the first and last pixel counted from 1, as the VOC devkit does (its xmin 1, xmax 1 is one pixel wide)."""
    fingerprint: Literal["modified", "content"] = "modified"
    """How a changed file is noticed on the next run: by size and time of modification, or by reading all files."""
    shard_images: int = pydantic.Field(default=256, ge=1)
    """Images in one output file, on average."""
    target: TargetSettings | None = None
    """Images of another domain, mostly without annotations, for the strategies that adapt to it (`domain_adversarial`,
    `mean_teacher`). Bad input is treated as here."""

    @property
    def of_target(self) -> DataSettings | None:
        """What the folder of `target` is read with: its own settings in place of these, where there are such."""
        # A copy is not validated: its format may also be `images`, which is no format of annotated images.
        return None if self.target is None else self.model_copy(update={**dict(self.target), "target": None})

    @property
    def columns_to_read(self) -> list[str] | None:
        """``metadata``; all while images are grouped by one, which need not be listed and may be misspelt."""
        return self.metadata if self.split.group_by is None else None

    @pydantic.field_validator("path")
    @classmethod
    def _check_path(cls, path: str) -> str:
        if not path.strip():
            raise ValueError("must not be empty; give the folder that holds the annotated images")
        spans, versions = len(_SPAN.findall(path)), len(_VERSION.findall(path))
        unknown = re.findall(r"\{[^}]*\}", _VERSION.sub("", _SPAN.sub("", path)))
        if unknown:
            allowed = "{SPAN}, {VERSION}, {SPAN:3}, {VERSION:3}"
            raise ValueError(f"unknown placeholder {unknown[0]}; allowed: {allowed}")
        if spans > 1 or versions > 1:
            raise ValueError("{SPAN} and {VERSION} may each stand once")
        if versions and not spans:
            raise ValueError("{VERSION} needs {SPAN} before it")
        return path

    @pydantic.model_validator(mode="after")
    def _check(self) -> DataSettings:
        if not _SPAN.search(self.path) and (self.span is not None or self.span_window != 1):
            raise ValueError("span and span_window need {SPAN} in path")
        for key, value in (("annotations", self.annotations), ("images", self.images)):
            if value == {}:
                raise ValueError(f"{key} must name at least one split, or be left out")
        return self
