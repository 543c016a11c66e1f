"""TF Serving's batching parameters: what they say, and what is refused by name."""

from __future__ import annotations

import pathlib

import pytest

from serving.models.batching_parameters import BatchingParameters, BatchingParametersError, read_batching_parameters


def _read(tmp_path: pathlib.Path, text: str) -> BatchingParameters:
    (tmp_path / "batching").write_text(text)
    return read_batching_parameters(tmp_path / "batching")


def test_the_example_of_tf_serving_s_guide(tmp_path: pathlib.Path) -> None:
    found = _read(
        tmp_path,
        "max_batch_size { value: 128 } batch_timeout_micros { value: 500 } max_enqueued_batches { value: 1000000 }"
        " num_batch_threads { value: 8 } allowed_batch_sizes : 8 allowed_batch_sizes : 128 "
        "thread_pool_name { value: 'pool' } enable_large_batch_splitting { value: true }",
    )
    assert found == BatchingParameters(128, 500, 1000000, 8, (8, 128), splits_large_requests=True)
    assert [found.padded_size(size) for size in (1, 8, 9, 128)] == [8, 8, 128, 128]


def test_what_is_not_said_is_as_in_tf_serving(tmp_path: pathlib.Path) -> None:
    found = _read(tmp_path, "num_batch_threads { value: 2 }")
    assert found == BatchingParameters(1000, 0, 10, 2, (), splits_large_requests=False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("max_batch_sizes { value: 4 }", "batching:1:"),
        ("max_batch_size { value: 0 }", "max_batch_size is 0; expected at least 1"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: 4", "the largest batch"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: 8 allowed_batch_sizes: 4", "that increase"),
        ("pad_variable_length_inputs: true", "would move the boxes"),
    ],
)
def test_what_cannot_be_done_is_refused(tmp_path: pathlib.Path, text: str, words: str) -> None:
    with pytest.raises(BatchingParametersError, match=words):
        _read(tmp_path, text)
