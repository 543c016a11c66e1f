"""What a YOLO data set says of itself: class names, splits, and what its rows are.

Four kinds of files do, the first that is there counts:

- ``data.yaml`` (Ultralytics, Roboflow), or the only other YAML file with ``names``;
- ``obj.data`` (Darknet, CVAT's YOLO 1.1): ``key = value`` lines that name a file of class names and lists of images;
- ``data.label_map`` of the settings;
- ``classes.txt``, ``obj.names`` or ``notes.json`` (Label Studio, LabelImg): class names only.

Beside the latter two ``train.txt`` and ``valid.txt`` may list images. Without lists the folders of images are the
splits that they are called as. YAML is read with every value as text, so that the names ``02146`` and ``on`` stay what
they are.
"""

from __future__ import annotations

import dataclasses
import json
import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from components.example_gen import files
from components.example_gen.annotations import DataError, Source
from components.example_gen.coercion import to_int
from components.example_gen.formats.yolo_rows import RowFormat
from components.example_gen.image_lookup import DataTree, within
from components.example_gen.settings import DataSettings, SplitSettings
from components.example_gen.sources import distinct_sources
from components.example_gen.splits import SPLIT_ALIASES, splits_of_folders
from schema.label_map import LabelMapError, parse_labels_txt, read_label_map
from schema.text import clean_name

_SPLIT_OF_KEY: Final = {key: split for key, split in SPLIT_ALIASES.items() if key != "trainval"}
_NOTHING: Final = ("", "~", "null", "none")
_YAML_SUFFIXES: Final = (".yaml", ".yml")
_NOT_IN_ONE_NAME: Final = frozenset(",[]{}/\\")
"""Characters of a list written as text, or of a path."""
_DRIVE: Final = re.compile(r"^[A-Za-z]:")


@dataclasses.dataclass(frozen=True, slots=True)
class YoloLayout:
    """A YOLO data set as its files describe it.

    Attributes:
      names: class names by 0-based number; a number without a name is missing.
      rows: what the rows of its txt files are.
      lists: folders and lists of images as named in ``path``, with key and split; empty where nothing names any.
      path: the describing file relative to the data folder, empty for the settings' label map.
      base: folder that the lists are relative to, as named.
    """

    names: Mapping[int, str]
    rows: RowFormat
    lists: tuple[tuple[str, str, str], ...]
    path: str
    base: str = ""


def read_layout(root: str, settings: DataSettings) -> YoloLayout:
    """Reads what describes a data folder.

    Raises:
      DataError: nothing does, several files do, or one makes no sense.
    """
    paths = [entry.path for entry in files.list_files(root)]
    found = _only(root, [path for path in paths if _base(path) in ("data.yaml", "data.yml")])
    if found is not None:
        return _of_yaml(root, found, _read_yaml(files.join(root, found)))
    others = [path for path in paths if path.lower().endswith(_YAML_SUFFIXES)]
    described = {path: data for path in others if (data := _yaml_with_names(files.join(root, path))) is not None}
    found = _only(root, list(described))
    if found is not None:
        return _of_yaml(root, found, described[found])
    found = _only(root, [path for path in paths if path.lower().endswith(".data")])
    if found is not None:
        return _of_darknet(root, found)
    if settings.label_map is not None:
        names = {number - 1: name for number, name in read_label_map(settings.label_map)}
        return YoloLayout(names, RowFormat(), _lists_beside(paths, ""), "")
    for is_one, read in _NAME_FILES:
        named = [path for path in paths if is_one(_base(path))]
        contents = [read(files.join(root, path)) for path in named]
        if named and all(content == contents[0] for content in contents):  # LabelImg writes one into each folder
            lists = _lists_beside(paths, posixpath.dirname(named[0]))
            return YoloLayout(contents[0], RowFormat(), lists, named[0])
        _only(root, named)
    raise DataError(
        f"{root}: expected one data.yaml with `names`, `train` and `val` (or obj.data, or classes.txt), found none; "
        "write one, or name a file of class names in data.label_map"
    )


def layout_sources(root: str, layout: YoloLayout, split: SplitSettings) -> list[Source]:
    """One source a folder or list of images; their splits count when there is more than one, or it is the test split.

    Raises:
      DataError: a folder is not there, there is none, or two entries lead to one folder that cannot be both; only
        training images are named, but there is a folder of others.
    """
    if layout.lists or layout.path.lower().endswith((*_YAML_SUFFIXES, ".data")):
        sources = distinct_sources(_listed_sources(root, layout), split, files.join(root, layout.path))
    else:
        sources = _folder_sources(root)
    only = {source.split for source in sources}
    return [Source(root, s.path, s.split if len(only) > 1 or s.split == "test" else None) for s in sources]


def _listed_sources(root: str, layout: YoloLayout) -> list[Source]:
    path = files.join(root, layout.path)
    sources: dict[tuple[str, str], str] = {}
    for key, split, entry in layout.lists:
        relative = _resolve(root, layout, entry)
        if relative is None:
            if key != "test":  # a test folder that was not shipped is common and harms nobody
                raise DataError(f"{path}: {key}: {entry} is not in the data folder {root}")
            continue
        for (other, taken), other_entry in sources.items():
            if taken == relative and other != split and other_entry != entry:
                raise DataError(
                    f"{path}: {other}: {other_entry} and {key}: {entry} both lead to {relative} in {root}; correct the "
                    "paths, or name the folders in data.annotations"
                )
        sources.setdefault((split, relative), entry)
    if not sources:
        raise DataError(f"{path}: expected `train`, `val` or `test` with a folder; found none of them")
    if not any(split == "train" for split, _ in sources):
        others = ", ".join(sorted({key for key, _, _ in layout.lists}))
        raise DataError(
            f"{path}: expected `train` beside {others}; name the folder of training images, or set data.annotations"
        )
    if all(split == "train" and files.is_folder(files.join(root, relative)) for split, relative in sources):
        folders = sorted(DataTree(root).images_of_folder)
        judged = [folder for folder, split in splits_of_folders(folders).items() if split == "eval"]
        if judged and not any(within(folder, relative) for folder in judged for _, relative in sources):
            raise DataError(
                f"{path}: names no `val`, but there are images in {judged[0]}; write val: {judged[0]}, or name the "
                "folder of each split in data.annotations"
            )
    return [Source(root, relative, split) for split, relative in sources]


def _folder_sources(root: str) -> list[Source]:
    """The folders of images; a folder below one of the same split belongs to that."""
    splits = splits_of_folders(sorted(DataTree(root).images_of_folder))
    tops: list[str] = []
    for folder, split in splits.items():
        if not any(within(folder, top) for top in tops if splits[top] == split):
            tops.append(folder)
    if not tops:
        raise DataError(f"{root}: no images found; check data.path and data.format")
    order = ("train", "eval", "test", None)
    return [Source(root, folder, splits[folder]) for folder in sorted(tops, key=lambda top: order.index(splits[top]))]


def _of_yaml(root: str, path: str, data: Mapping[Any, Any]) -> YoloLayout:
    full = files.join(root, path)
    data = {str(key).strip().lower(): value for key, value in data.items()}
    lists = []
    for key, split in _SPLIT_OF_KEY.items():
        value = data.get(key)
        for entry in value if isinstance(value, list) else [value]:
            if entry is None or (isinstance(entry, str) and entry.strip().lower() in _NOTHING):
                continue
            if not isinstance(entry, str):
                raise DataError(f"{full}: {key}: expected a folder or a list of folders, found {str(entry)[:80]}")
            lists.append((key, split, entry.strip()))
    base = data.get("path")
    base = base if isinstance(base, str) and base.strip().lower() not in _NOTHING else ""
    task = data.get("task")
    rows = RowFormat(_keypoints(full, data.get("kpt_shape")), task.strip().lower() if isinstance(task, str) else "")
    return YoloLayout(_names(root, path, data), rows, tuple(lists), path, base.strip())


def _lists_beside(paths: Sequence[str], folder: str) -> tuple[tuple[str, str, str], ...]:
    """Lists of images in the folder of the class names, by their names, where one is of training images."""
    found = [(posixpath.splitext(_base(path)), path) for path in paths if posixpath.dirname(path) == folder]
    lists = tuple(
        (stem, _SPLIT_OF_KEY[stem], posixpath.basename(path))
        for (stem, suffix), path in found
        if suffix == ".txt" and stem in _SPLIT_OF_KEY
    )
    return lists if any(split == "train" for _, split, _ in lists) else ()


def _names(root: str, path: str, data: Mapping[Any, Any]) -> dict[int, str]:
    full, names = files.join(root, path), data.get("names")
    if isinstance(names, str) and names.strip().lower() not in _NOTHING:
        named = _resolve(root, YoloLayout({}, RowFormat(), (), path), names.strip())
        if named is not None and files.is_file(files.join(root, named)):
            return _names_of_text(files.join(root, named))
        if not set(names) & _NOT_IN_ONE_NAME and str(data.get("nc", "1")).strip() == "1":
            return {0: names}
        raise DataError(
            f"{full}: `names` must be a list, or a map of numbers to names; found the text {names!r}; write all "
            "classes as names: [first, second]"
        )
    try:
        if isinstance(names, Mapping):
            by_number = {to_int(number): name for number, name in names.items()}
        elif isinstance(names, list) or not names:
            by_number = dict(enumerate(names or []))
        else:
            raise ValueError(f"found {str(names)[:80]}")
        wrong = next((name for name in by_number.values() if not isinstance(name, str)), None)
        if wrong is not None:
            raise ValueError(f"a name must be text, found {str(wrong)[:80]}")
    except ValueError as error:
        raise DataError(f"{full}: `names` must be a list, or a map of numbers to names: {error}") from error
    if not by_number:
        raise DataError(f"{full}: expected `names`: the class names in the order of their numbers; found none")
    _check_names(full, by_number, data.get("nc"))
    return {number: name for number, name in by_number.items() if clean_name(name)}


def _check_names(full: str, names: Mapping[int, str], count: object) -> None:
    """Refuses names of which it is not sure which number each has."""
    numbers: dict[str, int] = {}
    for number, name in names.items():
        first = numbers.setdefault(clean_name(name), number)
        if first != number and clean_name(name):
            raise DataError(f"{full}: `names`: {first} and {number} are both {name!r}; name each class once")
    if isinstance(count, str) and count.strip().isdigit() and int(count) not in (len(names), max(names) + 1):
        raise DataError(
            f"{full}: nc is {int(count)}, but `names` has {len(names)}: {', '.join(names.values())[:200]}; correct one "
            "of them (a comma that is missing makes one name of two)"
        )


def _keypoints(full: str, value: object) -> tuple[int, int] | None:
    if value is None or value == "":
        return None
    try:
        count, dimensions = (to_int(number) for number in value) if isinstance(value, list) else (0, 0)
    except ValueError:
        count, dimensions = 0, 0
    if count < 1 or dimensions not in (2, 3):
        raise DataError(f"{full}: kpt_shape: expected [number of keypoints, 2 or 3], found {str(value)[:80]}")
    return count, dimensions


def _of_darknet(root: str, path: str) -> YoloLayout:
    full = files.join(root, path)
    lines = (line.partition("=") for line in _read_text(full).splitlines() if "=" in line)
    values = {key.strip().lower(): value.strip() for key, _, value in lines}
    lists = tuple((key, split, values[key]) for key, split in _SPLIT_OF_KEY.items() if values.get(key))
    layout = YoloLayout({}, RowFormat(), lists, path)
    names = _resolve(root, layout, values.get("names", ""))
    if names is None or not values.get("names"):
        raise DataError(f"{full}: expected `names = FILE` with a file of class names, found {values.get('names')!r}")
    return dataclasses.replace(layout, names=_names_of_text(files.join(root, names)))


def _names_of_text(full: str) -> dict[int, str]:
    try:
        found = {number - 1: name for number, name in parse_labels_txt(_read_text(full))}
    except LabelMapError as error:
        raise DataError(f"{full}: {error}") from error
    if not found:
        raise DataError(f"{full}: no class names found; expected one a line")
    return found


def _names_of_notes(full: str) -> dict[int, str]:
    try:
        categories = json.loads(_read_text(full))["categories"]
        found = {to_int(entry["id"]): str(entry["name"]) for entry in categories}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{full}: expected Label Studio's `categories` with `id` and `name`: {error!r}") from error
    return found


_NAME_FILES: Final[tuple[tuple[Callable[[str], bool], Callable[[str], dict[int, str]]], ...]] = (
    (lambda name: name == "classes.txt", _names_of_text),
    (lambda name: name.endswith(".names"), _names_of_text),
    (lambda name: name == "notes.json", _names_of_notes),
)


def _only(root: str, paths: Sequence[str]) -> str | None:
    if len(paths) > 1:
        raise DataError(
            f"{root}: expected one data.yaml with `names`, `train` and `val` (or what stands for it), found several: "
            f"{', '.join(paths[:5])}; set data.path to one data set"
        )
    return paths[0] if paths else None


def _base(path: str) -> str:
    return posixpath.basename(path).lower()


def _read_text(full: str) -> str:
    try:
        return files.read_text(full)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{full}: cannot be read as text in UTF-8: {error}") from error


def _read_yaml(full: str) -> dict[Any, Any]:
    text = _read_text(full)
    try:
        data = YAML(typ="base", pure=True).load(text)
    except (YAMLError, ValueError, RecursionError) as error:
        raise DataError(f"{full}: cannot be read as YAML: {error}") from error
    if not isinstance(data, dict):
        raise DataError(f"{full}: expected a map with `names`, `train` and `val`, found {type(data).__name__}")
    return data


def _yaml_with_names(full: str) -> dict[Any, Any] | None:
    """The content of a YAML file that could be a data set's under another name; others are nobody's business."""
    try:
        data = _read_yaml(full)
    except DataError:
        return None
    return data if "names" in data and ("train" in data or "val" in data) else None


def _resolve(root: str, layout: YoloLayout, named: str) -> str | None:
    """Path relative to the root of a folder or file that a describing file names; None when it is not there.

    Exporters write ``../train/images`` where ``train/images`` is meant, CVAT ``data/train.txt`` for the file beside its
    own, and people the path of the machine or folder they trained in: what leads nowhere is tried without its first
    folders, but not as ``images`` alone, which may hold the other splits as well.
    """
    entry = _DRIVE.sub("", named.replace("\\", "/"))
    base = _DRIVE.sub("", layout.base.replace("\\", "/"))
    folder = posixpath.dirname(layout.path)
    parts = entry.split("/")
    while parts and parts[0] == "..":
        parts.pop(0)
    tails = ["/".join(parts[index:]) for index in range(1, len(parts))]
    ends = [entry, "/".join(parts), *(tail for tail in tails if tail.strip("/").lower() not in ("images", ""))]
    starts = dict.fromkeys((base if base.startswith("/") else posixpath.join(folder, base), folder, ""))
    for end in dict.fromkeys(ends):
        for start in starts:
            try:
                relative = files.safe_relative(root, "", files.join(start, end))
            except files.PathOutsideError:
                continue
            if files.exists(files.join(root, relative)):
                return relative
    return None
