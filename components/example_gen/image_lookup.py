"""Finding the image that an annotation means: where its name says, else by what the data folder holds.

The last resort is an index of the data folder by file name, built once and only when a name leads nowhere: paths of
another machine (``C:/data/a.jpg``, ``../../label-studio/a.jpg``) end in a file name, and where one image alone is
called so, but for a hash that Label Studio puts before it, that is the one. It must not be in a folder of another
split.
"""

from __future__ import annotations

import collections
import dataclasses
import posixpath
import re
import unicodedata
import urllib.parse
from collections.abc import Iterator, Sequence
from typing import Final

from components.example_gen import files
from components.example_gen.annotations import RecordSkippedError
from components.example_gen.settings import DataSettings
from components.example_gen.splits import split_of_folders
from components.findings import Finding

_SUFFIX_VARIANTS: Final = (
    *(".jpg", ".JPG", ".jpeg", ".JPEG", ".png", ".PNG"),
    *(".Jpg", ".Jpeg", ".Png", ".jfif", ".JFIF", ".jpe"),
)
_SHOWN_FOLDERS: Final = 5
_WEB: Final = re.compile(r"https?://[^/]*/", re.IGNORECASE)
_EXPORT_PREFIX: Final = re.compile(r"^[0-9a-f]{8}-(?=.)")


class DataTree:
    """The files of a data folder by file name without suffix, and the folders that hold images."""

    def __init__(self, root: str) -> None:
        self._paths: dict[str, list[str]] = {}
        self._exported: dict[str, list[str]] = {}
        self.images_of_folder: collections.Counter[str] = collections.Counter()
        for entry in files.list_files(root):
            stem = _stem_key(entry.path)
            self._paths.setdefault(stem, []).append(entry.path)
            if unprefixed(stem) != stem:
                self._exported.setdefault(unprefixed(stem), []).append(entry.path)
            if is_image_name(entry.path):
                self.images_of_folder[posixpath.dirname(entry.path)] += 1

    def called(self, name: str, suffixes: tuple[str, ...]) -> list[str]:
        """Paths of files with the stem of a name and one of the (lower-case) suffixes, whatever case and folder."""
        stem = _stem_key(name) if name.lower().endswith(suffixes) else name_key(posixpath.basename(name))
        return [path for path in self._paths.get(stem, []) if path.lower().endswith(suffixes)]

    def after_export_prefix(self, name: str, suffixes: tuple[str, ...]) -> list[str]:
        """The same for names that Label Studio has put a hash before: ``1a2b3c4d-a.txt`` for ``a.jpg``."""
        return [path for path in self._exported.get(_stem_key(name), []) if path.lower().endswith(suffixes)]

    def describe_folders(self) -> str:
        """``train2017 (210), val2017 (20)``: the folders that hold most images."""
        found = self.images_of_folder.most_common(_SHOWN_FOLDERS)
        return ", ".join(f"{folder or '.'} ({count})" for folder, count in found) or "no folder"


@dataclasses.dataclass(frozen=True, slots=True)
class FoundImage:
    """Path of an image relative to the data folder, and what was odd about finding it."""

    path: str
    finding: Finding | None = None


class ImageFinder:
    """Finds images of one data set; picklable while it has not looked anything up in the index."""

    def __init__(self, settings: DataSettings) -> None:
        self._bad_input = settings.bad_input
        self._is_strict = settings.images is not None
        self._trees: dict[str, DataTree] = {}

    def tree(self, root: str) -> DataTree:
        """The index of a data folder."""
        if root not in self._trees:
            self._trees[root] = DataTree(root)
        return self._trees[root]

    def find(self, root: str, folders: Sequence[str], name: str, split: str | None, where: str) -> FoundImage:
        """The image that an annotation names, looked for in ``folders`` in order, then in the whole data folder.

        Besides the exact name: backslashes as separators, the other Unicode normal form (names from macOS), another
        spelling of the suffix (``.JPG``, ``.jpeg``, none), and a URL or its escapes (``%20``).

        Args:
          root: absolute data folder.
          folders: relative to it.
          name: as the annotation has it, relative to one of the folders, or whatever another tool has written.
          split: of the annotation, None where it has none.
          where: the place in the annotation file, for findings.

        Raises:
          RecordSkippedError: ``path_outside``, ``missing_image``, or ``moved_image`` where that is not to be read.
        """
        found = exact_image(root, folders, name)
        if found is not None:
            return FoundImage(found)
        for wanted in reversed(_readings(name)):
            paths = self._elsewhere(root, wanted, split)
            if paths:
                break
        if len(paths) == 1:
            return FoundImage(paths[0], self._moved(paths[0], name, wanted, where))
        looked = ", ".join(folder or "." for folder in folders)
        if paths:
            found = f"several images are called so: {', '.join(paths[:3])}; name the folder in data.images"
            raise RecordSkippedError(self._bad_input.finding("missing_image", name, where, found))
        try:
            files.safe_relative(root, next(iter(folders), ""), name)
        except files.PathOutsideError as error:
            found = f"{error}{'' if self._is_strict else ', and no image in there is called so'}"
            raise RecordSkippedError(self._bad_input.finding("path_outside", name, where, found)) from error
        found = (
            f"no such file; looked in: {looked}; images are in: {self.tree(root).describe_folders()}; data.images "
            "names the folder that image names are relative to"
        )
        raise RecordSkippedError(self._bad_input.finding("missing_image", name, where, found))

    def only_elsewhere(self, root: str, name: str, split: str | None) -> str | None:
        """Path of the only image in the data folder that is called so, None when there is none or several."""
        paths = self._elsewhere(root, _readings(name)[0], split)
        return paths[0] if len(paths) == 1 else None

    def _elsewhere(self, root: str, wanted: str, split: str | None) -> list[str]:
        """Images of the same file name; those whose folders agree with the name or are of the split, if any."""
        if self._is_strict:
            return []
        tree, suffixes = self.tree(root), files.IMAGE_SUFFIXES
        found = tree.called(wanted, suffixes) or tree.called(unprefixed(posixpath.basename(wanted)), suffixes)
        found = found or tree.after_export_prefix(wanted, suffixes)
        exact = [path for path in found if _nfc(posixpath.basename(path)) == _nfc(posixpath.basename(wanted))]
        paths = exact or found
        if split is not None:  # an image among those of another split is another image, or the division is wrong
            paths = [path for path in paths if split_of_folders(posixpath.dirname(path)) in (None, split)]
        if len(paths) > 1:
            agreeing = [path for path in paths if _agreeing_folders(path, wanted)]
            paths = agreeing or paths
        if len(paths) > 1 and split is not None:
            of_split = [path for path in paths if split_of_folders(posixpath.dirname(path)) == split]
            paths = of_split or paths
        return paths

    def _moved(self, path: str, name: str, wanted: str, where: str) -> Finding | None:
        """A finding where folders of the name, or an export's prefix, had to be ignored."""
        is_bare = "/" not in wanted.removeprefix("./")
        if same_stem(path, wanted) and (is_bare or _agreeing_folders(path, wanted)):
            return None
        finding = self._bad_input.finding("moved_image", name, where, f"read {path}, the only image of this name")
        if finding.loses_record:
            raise RecordSkippedError(finding)
        return finding


def exact_image(root: str, folders: Sequence[str], name: str) -> str | None:
    """Path relative to ``root`` of the image a name says, in one of the folders; None when there is none."""
    for candidate in dict.fromkeys((name, name.replace("\\", "/"), *_readings(name))):
        for folder in folders:
            try:
                path = files.safe_relative(root, folder, candidate)
            except files.PathOutsideError:
                continue
            for variant in _spellings(path):
                if files.is_file(files.join(root, variant)):
                    return variant
    return None


def is_image_name(name: str) -> bool:
    """Whether a file is called as an image is."""
    return name.lower().endswith(files.IMAGE_SUFFIXES)


def without_image_suffix(name: str) -> str:
    """A name without ``.jpg`` and the like; other dots are part of the name."""
    return posixpath.splitext(name)[0] if is_image_name(name) else name


def base_name(name: str) -> str:
    """The last part of a path of any system."""
    return re.split(r"[/\\]", name.strip())[-1]


def same_stem(one: str, other: str) -> bool:
    """Whether two file names are the same but for folders, suffix, case and Unicode form."""
    return name_key(without_image_suffix(base_name(one))) == name_key(without_image_suffix(base_name(other)))


def unprefixed(name: str) -> str:
    """A file name without the hash that Label Studio puts before it: ``1a2b3c4d-a.jpg`` is ``a.jpg``."""
    return _EXPORT_PREFIX.sub("", name)


def within(path: str, folder: str) -> bool:
    """Whether a path is a folder or below it, both relative to the data folder."""
    return folder in (path, "", ".") or path.startswith(folder + "/")


def _agreeing_folders(path: str, wanted: str) -> bool:
    folder = posixpath.basename(posixpath.dirname(wanted))
    return folder not in ("", ".", "..") and name_key(posixpath.basename(posixpath.dirname(path))) == name_key(folder)


def _readings(name: str) -> list[str]:
    """What a name may mean: itself with ``/``, and without the escapes and the server of a URL."""
    plain = name.replace("\\", "/").strip()
    path = _WEB.sub("", plain).partition("?")[0] if _WEB.match(plain) else plain
    return list(dict.fromkeys((plain, path, urllib.parse.unquote(path))))


def _spellings(path: str) -> Iterator[str]:
    forms = dict.fromkeys([path, _nfc(path), unicodedata.normalize("NFD", path)])
    yield from forms
    for form in forms:
        base = without_image_suffix(form)
        yield from (base + variant for variant in _SUFFIX_VARIANTS if base + variant != form)


def _stem_key(path: str) -> str:
    return name_key(posixpath.splitext(posixpath.basename(path))[0])


def name_key(name: str) -> str:
    """What names share that differ by case or Unicode form only."""
    return _nfc(name).casefold()


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)
