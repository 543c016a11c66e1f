"""The file of the score thresholds beside a model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.operating_points import ClassOperatingPoint, OperatingPoints

_SHARES = st.floats(0, 1)
_CLASSES = st.builds(
    ClassOperatingPoint,
    class_id=st.integers(1),
    threshold=_SHARES,
    precision=_SHARES,
    recall=_SHARES,
    f1=_SHARES,
    support=st.integers(0),
)


@given(
    st.builds(
        OperatingPoints,
        st.sampled_from(["f1", "precision", "recall"]),
        st.none() | _SHARES,
        st.text(),
        st.integers(0),
        st.lists(_CLASSES, max_size=3).map(tuple),
    )
)
def test_what_is_written_is_read(points: OperatingPoints) -> None:
    read = OperatingPoints.of_json(points.to_json())
    assert read == points
    assert list(read.threshold_by_id) == list(dict.fromkeys(point.class_id for point in points.classes))


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "1", '{"classes": [{"class_id": 1}]}', '{"classes": [], "rule": "f1"}']
)
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        OperatingPoints.of_json(text)
