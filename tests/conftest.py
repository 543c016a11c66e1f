"""Settings of hypothesis for all tests, the order of the files, and a browser for those of pages."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator
from typing import Final

import hypothesis
import pytest

from tests.browser import Browser, find_chromium

# A busy machine is no failure. CI judges every change by the same examples, developers look for new ones.
hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")

_LONGEST: Final = [
    pathlib.Path(__file__).parent / name
    for name in (
        "kubeflow/test_end_to_end.py",
        "pipeline/test_end_to_end.py",
        "components/detector/test_zoo_reference.py",
        "serving/test_every_detector.py",
    )
]
"""Files of minutes, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest files in front, so that no process is left alone with one of them at the end."""
    items.sort(key=lambda item: _LONGEST.index(item.path) if item.path in _LONGEST else len(_LONGEST))


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One for all tests; their pages share nothing."""
    executable = find_chromium()
    if executable is None:
        pytest.skip("no Chromium (on Debian: apt-get install chromium-headless-shell), and CHROMIUM names none")
    with Browser(executable, tmp_path_factory.mktemp("browser")) as running:
        yield running
