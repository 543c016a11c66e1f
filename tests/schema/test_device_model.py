"""The metadata of device models as text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.device_model import DeviceCard, DeviceMetadata, Resizing, Suppression

_share = st.floats(0.0, 1.0)
_pixels = st.integers(1, 4096)


@given(
    names=st.lists(st.text(), min_size=1, max_size=4),
    threshold=st.none() | _share,
    dimensions=st.none() | st.tuples(_pixels, _pixels),
    colour=st.tuples(_share, _share, _share),
    takes_valid_share=st.booleans(),
)
def test_text_and_back(
    names: list[str],
    threshold: float | None,
    dimensions: tuple[int, int] | None,
    colour: tuple[float, float, float],
    takes_valid_share: bool,
) -> None:
    metadata = DeviceMetadata(
        "dfine_nano",
        tuple(range(1, len(names) + 1)),
        tuple(names),
        None if threshold is None else (threshold,) * len(names),
        Resizing(320, 256, *(dimensions or (None, None)), True, colour),
        Suppression(1e-8, 0.6, 100, 300),
        takes_valid_share,
    )
    assert DeviceMetadata.of_json(metadata.to_json()) == metadata
    assert "\n" not in metadata.to_json()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 2}', '{"version": 1}'])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no metadata of a device model"):
        DeviceMetadata.of_json(text)


def test_a_card_is_json_and_back() -> None:
    card = DeviceCard("onnx", "dfine_nano", "eval", 50, 0.4, 0.6, 0.41, 10_000, 12.5, "a machine", False, ("AP fell",))
    assert DeviceCard.of_json(card.to_json()) == card
    assert json.loads(card.to_json())["reasons"] == ["AP fell"]
