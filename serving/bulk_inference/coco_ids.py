"""The numbers that a COCO file of annotations has for images and classes, for results that are measured against it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from serving.bulk_inference import files
from serving.bulk_inference.errors import BulkError


class CocoIds:
    """Ids of images by file name, and of categories by name."""

    def __init__(self, path: str) -> None:
        """Reads the file.

        Raises:
          BulkError: it is no file of COCO annotations.
        """
        self._path = path
        try:
            content = json.loads(files.read_bytes(path))
            self._images: dict[str, int] = {_normal(image["file_name"]): image["id"] for image in content["images"]}
            self._categories: dict[str, int] = {entry["name"]: entry["id"] for entry in content["categories"]}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BulkError(
                f"--annotations: {path} cannot be read as COCO annotations, whose images have `id` and `file_name` "
                f"and whose categories have `id` and `name`: {type(error).__name__}: {error}"
            ) from error
        bases: dict[str, list[int]] = {}
        for name, number in self._images.items():
            bases.setdefault(name.rpartition("/")[2], []).append(number)
        self._by_base = {base: numbers[0] for base, numbers in bases.items() if len(numbers) == 1}
        self._largest_category = max(self._categories.values(), default=0)

    def image_id(self, file: str) -> int | None:
        """By as much of the path's end as a `file_name` has, else by the name alone if it is there once; None: neither.

        `val/7.jpg` and `7.jpg` both name `data/val/7.jpg`; what names more of it is meant first.
        """
        steps = _normal(file).split("/")
        ends = ("/".join(steps[start:]) for start in range(len(steps)))
        number = next((self._images[end] for end in ends if end in self._images), None)
        return self._by_base.get(steps[-1]) if number is None else number

    def category_id(self, name: str) -> int:
        """Of a class; one that the file has not gets the next number behind its last."""
        if name not in self._categories:
            self._largest_category += 1
            self._categories[name] = self._largest_category
        return self._categories[name]

    def check_images(self, paths: Sequence[str]) -> None:
        """Refuses images that the file does not have, before anybody is asked about them.

        Raises:
          BulkError: there are some.
        """
        unknown = [path for path in paths if self.image_id(path) is None]
        if unknown:
            raise BulkError(
                f"--annotations: {self._path} has no image with the file_name of {len(unknown)} of {len(paths)} "
                f"images, the first is {unknown[0]}; leave them out of --images"
            )

    def check_classes(self, names: Iterable[str]) -> None:
        """Refuses a model that has no class in common with the file.

        Raises:
          BulkError: it has none.
        """
        names = list(names)
        if not set(names) & set(self._categories):
            theirs, ours = ", ".join(list(self._categories)[:8]) or "none", ", ".join(names[:8])
            raise BulkError(
                f"--annotations: {self._path} has the categories {theirs}; none is a class of the model: {ours}"
            )


def _normal(name: str) -> str:
    return name.replace("\\", "/").removeprefix("./")
