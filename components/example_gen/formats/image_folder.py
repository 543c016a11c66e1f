"""A folder of images without annotations: what an unlabelled target domain is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from components.example_gen import files
from components.example_gen.annotations import DataError, Item, LoadedImage, Source
from components.example_gen.metadata import Sidecar
from components.example_gen.settings import DataSettings
from components.example_gen.sources import load_files
from components.findings import Finding


class ImageFolder:
    """Every image below a folder; implements ``AnnotationFormat``."""

    def __init__(self, settings: DataSettings) -> None:
        self._settings = settings

    def sources(self, root: str) -> list[Source]:
        """The folder itself."""
        return [Source(root, "", None)]

    def items(self, source: Source) -> Iterator[Item | Finding]:
        """The images, in the order of their names.

        Raises:
          DataError: there is none.
        """
        sidecar = Sidecar(source.root, self._settings.columns_to_read)
        position = -1
        for position, path in enumerate(_images_below(source.root)):
            yield Item(
                key=source.key_prefix + path,
                name=path,
                split=source.split,
                root=source.root,
                order=(source.index, position),
                metadata=sidecar.of(path),
                file=path,
            )
        if position < 0:
            raise DataError(
                f"{source.root}: holds no image; expected files called {', '.join(files.IMAGE_SUFFIXES)} in it or below"
            )

    def load(self, items: Sequence[Item]) -> Iterator[LoadedImage | Finding]:
        """The image files."""
        return load_files(items, self._settings.bad_input)


def _images_below(root: str) -> Iterator[str]:
    return (entry.path for entry in files.list_files(root) if entry.path.lower().endswith(files.IMAGE_SUFFIXES))
