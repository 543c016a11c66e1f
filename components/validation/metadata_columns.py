"""The schema with the columns that only this data set has.

``schema.pbtxt`` is the same for everybody, per-image metadata (``image/meta/<name>``) is not. Anomaly detection would
call every such column unknown, and would not compare its distribution; so the columns found in the statistics are added
to a copy of the schema, with comparators of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from schema import features

MOST_VALUES: Final = 20
"""A text column with more different values (an id, a date, the video) is no category and is not compared."""

_TYPES: Final = {
    statistics_pb2.FeatureNameStatistics.INT: schema_pb2.INT,
    statistics_pb2.FeatureNameStatistics.FLOAT: schema_pb2.FLOAT,
    statistics_pb2.FeatureNameStatistics.STRING: schema_pb2.BYTES,
    statistics_pb2.FeatureNameStatistics.BYTES: schema_pb2.BYTES,
}


def feature_key(statistics: statistics_pb2.FeatureNameStatistics) -> str:
    """The feature's key: TFDV names it by a path or by a name."""
    return statistics.path.step[0] if statistics.path.step else statistics.name


def schema_with_metadata(
    schema: schema_pb2.Schema,
    statistics: Iterable[statistics_pb2.DatasetFeatureStatisticsList],
    *,
    max_skew: float,
    max_drift: float,
) -> schema_pb2.Schema:
    """A copy of the schema that also lists the metadata columns found in any of the statistics.

    Args:
      schema: the curated schema.
      statistics: of the splits.
      max_skew: limit for train against another split (infinity norm for text, Jensen-Shannon divergence for numbers).
      max_drift: the same against an earlier span.
    """
    extended = schema_pb2.Schema()
    extended.CopyFrom(schema)
    known = {feature.name for feature in schema.feature}
    for split in statistics:
        for column in split.datasets[0].features:
            key = feature_key(column)
            if not key.startswith(features.META_PREFIX) or key in known or column.type not in _TYPES:
                continue
            known.add(key)
            feature = extended.feature.add(name=key, type=_TYPES[column.type])
            if key == features.meta_key(features.SPAN_COLUMN):
                continue  # that a later span has a higher number is no drift
            if feature.type != schema_pb2.BYTES:
                feature.skew_comparator.jensen_shannon_divergence.threshold = max_skew
                feature.drift_comparator.jensen_shannon_divergence.threshold = max_drift
            elif column.string_stats.unique <= MOST_VALUES:
                feature.skew_comparator.infinity_norm.threshold = max_skew
                feature.drift_comparator.infinity_norm.threshold = max_drift
    return extended
