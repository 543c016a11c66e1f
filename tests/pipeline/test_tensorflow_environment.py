"""What is set before TensorFlow starts."""

from __future__ import annotations

import os
import pathlib
import sys

import pytest

from pipeline.tensorflow_environment import prepare_tensorflow, without_notices


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"TF_ENABLE_ONEDNN_OPTS": "0"})
    prepare_tensorflow()
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "0"
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "2"


def test_notices_of_every_start_are_held_back_and_errors_are_not(capfd: pytest.CaptureFixture[str]) -> None:
    notices = (
        "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
        "I0000 00:00:1795611998.074615   27020 port.cc:153] oneDNN custom operations are on.\n"
        "E0000 00:00:1795612008.518076   27020 cuda_fft.cc:477] Unable to register cuFFT factory: already registered\n"
    )
    error = "E0000 00:00:1795612008.518076   27020 loader.cc:12] the library is damaged\n"
    with pytest.raises(ImportError), without_notices():
        os.write(2, (notices + error).encode())
        raise ImportError
    print("after", file=sys.stderr)
    assert capfd.readouterr().err == f"{error}after\n"


@pytest.mark.parametrize("devices", [[], ["nvidia0"]])
def test_a_driver_that_does_not_answer_is_told_where_there_is_an_accelerator(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], devices: list[str]
) -> None:
    monkeypatch.setattr(pathlib.Path, "glob", lambda *_: iter(devices))
    with without_notices():
        os.write(2, b"E0000 00:00:1.5   27020 cuda_platform.cc:52] failed call to cuInit: INTERNAL\n")
    assert ("cuInit" in capfd.readouterr().err) == bool(devices)
