"""Files of records that were left behind: what is kept, and whose are left alone."""

from __future__ import annotations

import logging
import pathlib
import signal
import subprocess
import sys
import tempfile

import hypothesis
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from serving.wire.part_file import PartFile, salvage
from serving.wire.request_log import LogFiles, RequestLog

NAME = "requests-20260101T000000-a-1-000001.tfrecord"


def _records(file: pathlib.Path) -> list[bytes]:
    return list(tf.data.TFRecordDataset(str(file)).as_numpy_iterator())


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(st.lists(st.binary(max_size=40), min_size=1, max_size=4), st.data())
def test_wherever_it_is_torn_whole_records_are_kept(records: list[bytes], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / NAME
        part = file.with_name(f"{NAME}.part")
        with tf.io.TFRecordWriter(str(part)) as writer:
            for record in records:
                writer.write(record)
        whole = part.read_bytes()
        cut = data.draw(st.integers(1, len(whole)))
        part.write_bytes(whole[:cut])
        ends = [sum(16 + len(record) for record in records[: count + 1]) for count in range(len(records))]
        kept = sum(end <= cut for end in ends)
        salvage(part)
        assert not part.exists()
        assert (_records(file) if kept else file.exists()) == (records[:kept] if kept else False)


def test_a_record_that_is_damaged_ends_it(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    part = tmp_path / f"{NAME}.part"
    with tf.io.TFRecordWriter(str(part)) as writer:
        for _ in range(3):
            writer.write(b"abcd")
    damaged = bytearray(part.read_bytes())
    damaged[-20 - 5] ^= 1
    part.write_bytes(damaged)
    salvage(part)
    assert _records(tmp_path / NAME) == [b"abcd"]
    assert "1 records are kept, and 40 bytes of a torn one cut off" in caplog.text


def test_what_somebody_writes_is_left_alone(tmp_path: pathlib.Path) -> None:
    file = PartFile(tmp_path / NAME)
    part = tmp_path / f"{NAME}.part"
    salvage(part)
    file.write(b"first")
    salvage(part)
    assert part.exists()
    file.write(b"second")
    file.complete()
    assert _records(tmp_path / NAME) == [b"first", b"second"]
    # Completed in the meantime.
    salvage(part)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_log_begins_with_what_a_killed_one_left_behind(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    script = (
        "import os, pathlib, signal, sys; from serving.wire.part_file import PartFile;"
        f"file = PartFile(pathlib.Path(sys.argv[1]) / {NAME!r}); file.write(b'first'); file.write(b'second');"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL and not (tmp_path / NAME).exists()
    # Another log's, another server's that lives, and one in which nothing is whole.
    others = tmp_path / "shadow-20260101T000000-a-1-000001.tfrecord.part"
    others.write_bytes(b"torn")
    living = PartFile(tmp_path / "requests-20260101T000001-b-1-000001.tfrecord")
    living.write(b"more")
    torn = tmp_path / "requests-20260101T000002-c-1-000001.tfrecord.part"
    torn.write_bytes(b"torn")
    with caplog.at_level(logging.WARNING):
        RequestLog(LogFiles(tmp_path), pytest.fail).stop(30)
    assert _records(tmp_path / NAME) == [b"first", b"second"]
    assert others.exists() and not torn.exists()
    assert "2 records are kept, and 0 bytes" in caplog.text and "holds no whole record and is deleted" in caplog.text
    living.complete()
    assert len(list(tmp_path.iterdir())) == 3
