"""How a run on this machine ends: the outcome is the graph's, whatever becomes of the report."""

from __future__ import annotations

import pathlib
import types
from collections.abc import Callable

import pytest

from components.example_gen.verdict import BadInputError
from pipeline import local_run, local_runner
from pipeline.verbs import run as run_verb
from tests.components.report.fake_run import FakeRun, State

Ending = Callable[[], None]


def _raise(error: BaseException) -> Ending:
    def end() -> None:
        raise error

    return end


def _well() -> None:
    """Nothing goes wrong."""


@pytest.fixture
def ending(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Makes the graph and the report (None: the real one) end as told; returns the command line of such a run."""
    file = tmp_path / "config.yaml"
    file.write_text(
        f"name: signs\nroot: {tmp_path}\ndata: {{format: coco, path: {tmp_path}}}\nmodel: {{pretrained: null}}\n"
    )

    def _end(graph: Ending = _well, report: Ending | None = _well) -> list[str]:
        runner = types.SimpleNamespace(run=lambda _: graph())
        monkeypatch.setattr(local_run, "LocalRunner", lambda: runner)
        monkeypatch.setattr(local_run, "create_pipeline", lambda _: types.SimpleNamespace(components=[]))
        monkeypatch.setattr(local_run, "check_detector", lambda _: None)
        if report is not None:
            monkeypatch.setattr(local_run, "report_run", lambda *_: report())
        monkeypatch.setenv("PIPELINE_CONFIG", str(file))
        return ["--config", str(file)]

    return _end


def _log(tmp_path: pathlib.Path) -> str:
    (log,) = (tmp_path / "signs" / "logs").iterdir()
    return log.read_text()


def test_an_error_of_the_users_ends_with_its_message_and_the_traceback_in_the_log(
    ending: Callable[..., list[str]], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_verb.main(ending(graph=_raise(BadInputError("bad input: 3 of 10 images")))) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith(f"Log: {tmp_path}/signs/logs/")
    assert said[1:] == ["bad input: 3 of 10 images", f"The traceback is in the log: {said[0].removeprefix('Log: ')}"]
    assert "components.example_gen.verdict.BadInputError: bad input" in _log(tmp_path)


def test_the_tfx_cli_gets_the_message_as_well(ending: Callable[..., list[str]]) -> None:
    ending(graph=_raise(BadInputError("bad input: 3 of 10 images")))
    with pytest.raises(SystemExit, match=r"^bad input: 3 of 10 images\n"):
        local_runner.main()


def test_a_mistake_in_the_code_keeps_its_traceback(ending: Callable[..., list[str]], tmp_path: pathlib.Path) -> None:
    with pytest.raises(ZeroDivisionError):
        run_verb.main(ending(graph=_raise(ZeroDivisionError("division"))))
    assert "ZeroDivisionError: division" in _log(tmp_path)


def test_a_report_that_fails_leaves_a_good_run_good(
    ending: Callable[..., list[str]], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_verb.main(ending(report=_raise(OSError("metrics.json is damaged")))) == 0
    assert "not all of its report could be made: OSError: metrics.json is damaged" in capsys.readouterr().err
    assert "OSError: metrics.json is damaged" in _log(tmp_path)


def test_a_report_that_fails_does_not_hide_why_the_run_did(
    ending: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    failing = ending(graph=_raise(BadInputError("bad input")), report=_raise(OSError("metrics.json is damaged")))
    assert run_verb.main(failing) == 1
    assert "\nbad input\n" in capsys.readouterr().err


def test_a_node_that_tfx_leaves_running_has_failed_and_says_why(
    ending: Callable[..., list[str]], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A driver that raises leaves its execution RUNNING, and TFX writes down no exception."""

    def graph() -> None:
        FakeRun(tmp_path / "signs").node("r1", "ObjectDetectionExampleGen", State.RUNNING)
        raise BadInputError("data.path: /d is no folder\nGive one.")

    arguments = ending(graph=graph, report=None)
    assert run_verb.main(arguments) == 1
    summary = capsys.readouterr().out
    assert "nodes 1 failed" in summary
    assert "Failed      ObjectDetectionExampleGen: data.path: /d is no folder\n" in summary
    (page,) = (tmp_path / "signs" / "reports").iterdir()
    assert "data.path: /d is no folder\nGive one." in page.read_text()
