"""Skew between splits and drift between runs, measured by TFDV with the comparators of the schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal, TypeAlias

import tfx  # noqa: F401 - stands in for a module of tfx_bsl 1.21 that TFDV 1.16 imports and nothing here needs

# isort: split

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from components.split_names import TARGET_SPLITS
from components.validation.metadata_columns import feature_key, schema_with_metadata
from components.validation.report_file import CheckResult, Distance, status_of
from components.validation.settings import ValidationSettings

_MOST_NAMED: Final = 5
_Statistics: TypeAlias = statistics_pb2.DatasetFeatureStatisticsList


def distances(
    statistics: Mapping[str, _Statistics],
    earlier: Mapping[str, _Statistics],
    schema: schema_pb2.Schema,
    settings: ValidationSettings,
) -> list[Distance]:
    """Distances of every feature with a comparator.

    Args:
      statistics: of this run, by split.
      earlier: of an earlier run, by split; empty when there is none.
      schema: the curated schema; metadata columns are added to it.
      settings: which comparisons are wanted.
    """
    train = statistics.get("train")
    if train is None:
        return []
    extended = schema_with_metadata(
        schema,
        statistics.values(),
        max_skew=settings.skew.max_metadata_difference,
        max_drift=settings.drift.max_metadata_difference,
    )
    found: list[Distance] = []
    if settings.skew.level != "off":
        for split, other in sorted(statistics.items()):
            # That a target domain is another one is what it is there for.
            if split != "train" and split not in TARGET_SPLITS.values():
                anomalies = tfdv.validate_statistics(train, extended, serving_statistics=other)
                found += _measured(anomalies, "skew", split, _value_counts(train), _value_counts(other))
    if settings.drift.level != "off" and "train" in earlier:
        anomalies = tfdv.validate_statistics(train, extended, previous_statistics=earlier["train"])
        found += _measured(anomalies, "drift", "train", _value_counts(train), _value_counts(earlier["train"]))
    return found


def _value_counts(statistics: _Statistics) -> dict[str, int]:
    """Number of values by feature key."""
    return {
        feature_key(column): int(
            (column.num_stats if column.HasField("num_stats") else column.string_stats).common_stats.tot_num_values
        )
        for column in statistics.datasets[0].features
    }


def _measured(
    anomalies: anomalies_pb2.Anomalies,
    kind: Literal["skew", "drift"],
    split: str,
    values: Mapping[str, int],
    other_values: Mapping[str, int],
) -> Iterator[Distance]:
    for feature in anomalies.drift_skew_info:
        key = feature.path.step[0]
        for measurement in feature.skew_measurements if kind == "skew" else feature.drift_measurements:
            yield Distance(
                feature=key,
                kind=kind,
                split=split,
                measure=anomalies_pb2.DriftSkewInfo.Measurement.Type.Name(measurement.type),
                value=measurement.value,
                threshold=measurement.threshold,
                values=min(values.get(key, 0), other_values.get(key, 0)),
            )


def distribution_checks(measured: Sequence[Distance], settings: ValidationSettings) -> Iterator[CheckResult]:
    """One result for every comparison of two splits that was made."""
    for kind, chosen in (("skew", settings.skew), ("drift", settings.drift)):
        for split in sorted({distance.split for distance in measured if distance.kind == kind}):
            everything = [distance for distance in measured if (distance.kind, distance.split) == (kind, split)]
            compared = [distance for distance in everything if distance.values >= chosen.min_values]
            beyond = [distance for distance in compared if distance.value > distance.threshold]
            beyond.sort(key=lambda distance: distance.threshold - distance.value)
            which = [f"{d.feature} ({d.measure} {d.value:.2f} > {d.threshold:g})" for d in beyond[:_MOST_NAMED]]
            which += [f"{len(beyond) - _MOST_NAMED} more"] if len(beyond) > _MOST_NAMED else []
            few = len(everything) - len(compared)
            other = f"train and {split}" if kind == "skew" else "this train split and that of the run before"
            yield CheckResult(
                check=kind,
                split=split,
                status=status_of(chosen.level, bool(beyond)),
                found=f"{len(beyond)} of {len(compared)} features differ between {other}"
                + (f": {', '.join(which)}" if which else "")
                + (f" ({few} with fewer than {chosen.min_values} values not judged)" if few else ""),
                limit=(
                    f"validation.{kind}.max_metadata_difference sets the limit of image/meta/ columns, the comparators "
                    "in schema/schema.pbtxt those of the others"
                ),
            )
