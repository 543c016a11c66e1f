"""Which metadata columns are compared between splits and spans."""

from __future__ import annotations

from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from components.validation.metadata_columns import schema_with_metadata


def test_a_later_span_is_no_drift() -> None:
    statistics = statistics_pb2.DatasetFeatureStatisticsList()
    split = statistics.datasets.add()
    for name in ("image/meta/camera", "image/meta/span"):
        split.features.add(name=name, type=statistics_pb2.FeatureNameStatistics.INT)
    extended = schema_with_metadata(schema_pb2.Schema(), [statistics], max_skew=0.1, max_drift=0.2)
    camera, span = extended.feature
    assert (camera.name, span.name) == ("image/meta/camera", "image/meta/span")
    assert camera.drift_comparator.jensen_shannon_divergence.threshold == 0.2
    assert not span.HasField("drift_comparator")
    assert not span.HasField("skew_comparator")
