"""A reload that names another folder: who answers while it is looked into, and when it holds nothing of use."""

from __future__ import annotations

import collections
import concurrent.futures
import pathlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.protobuf import text_format
from tensorflow_serving.apis import model_pb2

from serving.models.models_config import ModelConfig, ModelsConfigError, message_of
from serving.models.servables import Servables
from serving.models.version_policy import ALL
from serving.models.version_store import State

SECONDS = 60
"""For what happens at once to happen; only a broken program waits for it."""


class Fake:
    """A version that answers with the folder it is from."""

    signature_defs: dict[str, Any] = {}

    def __init__(self, version: int, path: pathlib.Path) -> None:
        self.version = version
        self.folder = path.parent.name
        self.is_closed = False

    def run(self, call: object) -> dict[str, Any]:
        raise AssertionError("it is not asked")

    def close(self) -> None:
        self.is_closed = True


class Loads:
    """Loads versions, slowly where a test says so."""

    def __init__(self) -> None:
        self.loaded: list[Fake] = []
        self.broken: set[str] = set()
        self.begun: collections.defaultdict[str, threading.Event] = collections.defaultdict(threading.Event)
        self.gates: dict[str, threading.Event] = {}

    def __call__(self, model_name: str, version: int, path: pathlib.Path) -> Fake:
        folder = path.parent.name
        self.begun[folder].set()
        if folder in self.gates:
            assert self.gates[folder].wait(SECONDS)
        if folder in self.broken:
            raise ValueError("no model")
        self.loaded.append(Fake(version, path))
        return self.loaded[-1]

    def closed(self) -> list[tuple[str, int]]:
        return [(model.folder, model.version) for model in self.loaded if model.is_closed]


@pytest.fixture
def loads() -> Iterator[Loads]:
    made = Loads()
    yield made
    for gate in made.gates.values():
        gate.set()


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> Callable[..., pathlib.Path]:
    """Makes a folder with versions."""

    def make(name: str, *versions: int) -> pathlib.Path:
        for version in versions:
            (tmp_path / name / str(version)).mkdir(parents=True)
            (tmp_path / name / str(version) / "saved_model.pb").touch()
        return tmp_path / name

    return make


Folder = Callable[..., pathlib.Path]


def _answers(servables: Servables, **spec: Any) -> tuple[str, int]:
    with servables.use(model_pb2.ModelSpec(name="detector", **spec)) as model:
        assert isinstance(model, Fake) and not model.is_closed
        return model.folder, model.version


def _serving(loads: Loads, model: ModelConfig, **settings: Any) -> Servables:
    servables = Servables([model], loads, 3600, **settings)
    servables.look(trust_files=True)
    return servables


def test_the_old_versions_answer_until_one_of_the_new_folder_is_available(loads: Loads, folder: Folder) -> None:
    servables = _serving(loads, ModelConfig("detector", folder("old", 7), labels={"stable": 7}))
    loads.gates["new"] = threading.Event()
    new = ModelConfig("detector", folder("new", 1, 2), ALL)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        reloaded = pool.submit(servables.reload, [new])
        assert loads.begun["new"].wait(SECONDS)
        assert _answers(servables) == _answers(servables, version_label="stable") == ("old", 7)
        assert servables.versions("detector") == [7]
        assert servables.models() == [new]
        states = {version: status.state for version, status in servables.statuses("detector").items()}
        assert states == {2: State.LOADING, 7: State.AVAILABLE}
        with servables.use(model_pb2.ModelSpec(name="detector")) as held:
            loads.gates["new"].set()
            assert reloaded.result(SECONDS) == []
            assert _answers(servables) == ("new", 2)
            assert servables.versions("detector") == [1, 2]
            assert held is loads.loaded[0] and loads.closed() == []
    assert loads.closed() == [("old", 7)]


def test_a_version_of_the_same_number_in_the_new_folder_is_another(loads: Loads, folder: Folder) -> None:
    servables = _serving(loads, ModelConfig("detector", folder("old", 1)))
    servables.reload([ModelConfig("detector", folder("new", 1))])
    assert _answers(servables) == ("new", 1)
    assert loads.closed() == [("old", 1)]


def test_a_folder_without_a_model_of_use_leaves_the_old_one_until_it_has_one(loads: Loads, folder: Folder) -> None:
    servables = _serving(loads, ModelConfig("detector", folder("old", 1)))
    loads.broken.add("new")
    new = ModelConfig("detector", folder("new", 3))
    assert servables.reload([new]) == [new]
    assert servables.statuses("detector")[3].state == State.END
    for _ in range(2):
        servables.look(trust_files=True)
        assert _answers(servables) == ("old", 1)
    # Who answers for the time being is no longer followed.
    folder("old", 2)
    servables.look(trust_files=True)
    assert _answers(servables) == ("old", 1)
    loads.broken.clear()
    folder("new", 4)
    servables.look(trust_files=True)
    assert _answers(servables) == ("new", 4)
    assert loads.closed() == [("old", 1)]


def test_a_reload_that_goes_back_or_elsewhere_forgets_the_folder_that_never_answered(
    loads: Loads, folder: Folder
) -> None:
    old = ModelConfig("detector", folder("old", 1))
    servables = _serving(loads, old)
    assert len(servables.reload([ModelConfig("detector", folder("empty"))])) == 1
    assert servables.reload([old]) == []
    assert servables.models() == [old]
    folder("empty", 5)
    servables.look(trust_files=True)
    assert _answers(servables) == ("old", 1) and len(loads.loaded) == 1
    servables.reload([ModelConfig("detector", folder("nothing"))])
    servables.reload([ModelConfig("detector", folder("new", 2))])
    assert _answers(servables) == ("new", 2)
    folder("nothing", 6)
    servables.look(trust_files=True)
    assert loads.closed() == [("old", 1)] and len(loads.loaded) == 2


def test_a_model_that_goes_takes_the_folder_that_was_to_come_with_it(loads: Loads, folder: Folder) -> None:
    servables = _serving(loads, ModelConfig("detector", folder("old", 1)))
    servables.reload([ModelConfig("detector", folder("empty"))])
    servables.reload([ModelConfig("other", folder("other", 1))])
    assert [model.name for model in servables.models()] == ["other"]
    assert servables.versions("detector") == [] and servables.statuses("detector") == {}
    assert loads.closed() == [("old", 1)]


def test_labels_of_another_folder_are_of_what_it_holds_or_the_whole_is_refused(loads: Loads, folder: Folder) -> None:
    old = ModelConfig("detector", folder("old", 1), labels={"stable": 1})
    servables = _serving(loads, old)
    # The number is there, but not in the folder that is named.
    with pytest.raises(ModelsConfigError, match=r"'stable' is to be version 1, .* \(available: 2, 3\)"):
        servables.reload([ModelConfig("detector", folder("new", 2, 3), ALL, {"stable": 1})])
    assert servables.models() == [old]
    assert _answers(servables, version_label="stable") == ("old", 1)
    assert sorted(loads.closed()) == [("new", 2), ("new", 3)]
    assert servables.reload([ModelConfig("detector", folder("new"), ALL, {"stable": 2})]) == []
    assert _answers(servables, version_label="stable") == ("new", 2)
    # A name that is new has nothing that a label could mean yet.
    with pytest.raises(ModelsConfigError, match="available: none"):
        servables.reload([ModelConfig("other", folder("old"), ALL, {"stable": 1})])


def test_with_labels_for_what_is_not_there_the_old_ones_hold_until_the_new_folder_answers(
    loads: Loads, folder: Folder
) -> None:
    old = ModelConfig("detector", folder("old", 1), labels={"stable": 1})
    servables = _serving(loads, old, allow_unavailable_labels=True)
    assert len(servables.reload([ModelConfig("detector", folder("new"), labels={"stable": 9})])) == 1
    assert _answers(servables, version_label="stable") == ("old", 1)
    folder("new", 9)
    servables.look(trust_files=True)
    assert _answers(servables, version_label="stable") == ("new", 9)


def test_a_changed_file_leaves_no_gap_either(loads: Loads, folder: Folder, tmp_path: pathlib.Path) -> None:
    config = tmp_path / "models.config"

    def write(model: ModelConfig) -> None:
        (tmp_path / "partial").write_text(text_format.MessageToString(message_of([model])))
        (tmp_path / "partial").replace(config)

    old = ModelConfig("detector", folder("old", 1))
    write(old)
    is_new = threading.Event()
    servables = Servables(
        [old],
        loads,
        3600,
        config_file=config,
        config_poll_seconds=0.01,
        on_available=lambda: is_new.set() if loads.loaded[-1].folder == "new" else None,
    )
    loads.gates["new"] = threading.Event()
    servables.start()
    try:
        assert servables.wait_until_looked(SECONDS)
        write(ModelConfig("detector", folder("new", 1)))
        assert loads.begun["new"].wait(SECONDS)
        assert _answers(servables) == ("old", 1)
        loads.gates["new"].set()
        assert is_new.wait(SECONDS)
    finally:
        loads.gates["new"].set()
        assert servables.stop(SECONDS)
    assert _answers(servables) == ("new", 1)


def test_no_request_fails_while_folders_change(loads: Loads, folder: Folder) -> None:
    models = [ModelConfig("detector", folder(name, 1)) for name in ("one", "two")]
    servables = _serving(loads, models[0])
    done = threading.Event()

    def ask() -> set[tuple[str, int]]:
        seen = set()
        while not done.is_set():
            seen.add(_answers(servables))
        return seen

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        try:
            for number in range(1, 101):
                servables.reload([models[number % 2]])
        finally:
            done.set()
        for one in asking:
            assert one.result(SECONDS) <= {("one", 1), ("two", 1)}
    assert len(loads.closed()) == 100
