"""The resolver strategies in a real pipeline of trivial components, run again and again on one metadata store."""

# No `from __future__ import annotations`: TFX reads the annotations of function components as objects.

import pathlib

import pytest
from tfx import v1 as tfx
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.components.common.resolver import Resolver
from tfx.orchestration import metadata
from tfx.types import standard_artifacts
from tfx.types.channel import Channel

from components.evaluator.baseline import LatestBefore, LatestBlessedBefore


@component
def Statistics(statistics: OutputArtifact[standard_artifacts.ExampleStatistics], data: Parameter[str]) -> None:
    pathlib.Path(statistics.uri).mkdir(parents=True, exist_ok=True)
    (pathlib.Path(statistics.uri) / "data").write_text(data)


@component
def Train(
    statistics: InputArtifact[standard_artifacts.ExampleStatistics],
    model: OutputArtifact[standard_artifacts.Model],
    steps: Parameter[int],
    base_model: InputArtifact[standard_artifacts.Model] = None,
) -> None:
    pathlib.Path(model.uri).mkdir(parents=True, exist_ok=True)


@component
def Convert(
    model: InputArtifact[standard_artifacts.Model], converted: OutputArtifact[standard_artifacts.Model]
) -> None:
    """Gives out a model that is no training's."""
    pathlib.Path(converted.uri).mkdir(parents=True, exist_ok=True)


@component
def JudgeOther(
    model: InputArtifact[standard_artifacts.Model], blessing: OutputArtifact[standard_artifacts.ModelBlessing]
) -> None:
    """Blesses everything, by other rules than the gate's."""
    blessing.set_int_custom_property("blessed", 1)
    blessing.set_int_custom_property("current_model_id", model.id)


@component
def Judge(
    model: InputArtifact[standard_artifacts.Model],
    blessing: OutputArtifact[standard_artifacts.ModelBlessing],
    bless: Parameter[int],
    baseline: InputArtifact[standard_artifacts.Model] = None,
) -> None:
    blessing.set_int_custom_property("blessed", bless)
    blessing.set_int_custom_property("current_model_id", model.id)
    blessing.set_int_custom_property("seen_baseline_id", baseline.id if baseline else 0)


class Store:
    """A folder with a pipeline root and a metadata store, and what a run in it did."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self.connection = tfx.orchestration.metadata.sqlite_metadata_connection_config(str(root / "mlmd.sqlite"))

    def run(self, data: str, steps: int, bless: bool) -> dict[str, int]:
        """Runs the pipeline; returns by node the id of what it resolved, or of the baseline the judge saw."""
        statistics = Statistics(data=data)
        previous = Resolver(
            strategy_class=LatestBefore,
            statistics=Channel(type=standard_artifacts.ExampleStatistics, producer_component_id="Statistics"),
            reference=statistics.outputs["statistics"],
        ).with_id("previous_statistics")
        warm_start = self._blessed(statistics.outputs["statistics"], "warm_start")
        train = Train(statistics=statistics.outputs["statistics"], steps=steps, base_model=warm_start.outputs["model"])
        baseline = self._blessed(train.outputs["model"], "baseline")
        judge = Judge(model=train.outputs["model"], baseline=baseline.outputs["model"], bless=int(bless))
        convert = Convert(model=train.outputs["model"])
        judges = [JudgeOther(model=train.outputs["model"]).with_id("of_model")]
        judges.append(JudgeOther(model=convert.outputs["converted"]).with_id("of_converted"))
        tfx.orchestration.LocalDagRunner().run(
            tfx.dsl.Pipeline(
                "resolves",
                str(self.root / "pipeline"),
                components=[statistics, previous, warm_start, train, baseline, judge, convert, *judges],
                enable_cache=True,
                metadata_connection_config=self.connection,
            )
        )
        return self._last_run()

    def _blessed(self, reference: Channel, node_id: str) -> Resolver:
        return Resolver(
            strategy_class=LatestBlessedBefore,
            model=Channel(type=standard_artifacts.Model, producer_component_id="Train"),
            model_blessing=Channel(type=standard_artifacts.ModelBlessing, producer_component_id="Judge"),
            reference=reference,
        ).with_id(node_id)

    def _last_run(self) -> dict[str, int]:
        with metadata.Metadata(self.connection) as handle:
            store = handle.store
            run = max(store.get_contexts_by_type("pipeline_run"), key=lambda context: context.id)
            results = {}
            for execution in store.get_executions_by_context(run.id):
                names = [c.name for c in store.get_contexts_by_execution(execution.id)]
                node_id = next(name.split(".")[-1] for name in names if name.startswith("resolves."))
                events = store.get_events_by_execution_ids([execution.id])
                outputs = {
                    step.key: event.artifact_id
                    for event in events
                    if event.type in (event.OUTPUT, event.INTERNAL_OUTPUT)
                    for step in event.path.steps
                    if step.HasField("key")
                }
                executed = execution.last_known_state == execution.COMPLETE
                for key, artifact_id in outputs.items():
                    results[f"{node_id}.{key}"] = artifact_id
                results[f"{node_id} executed"] = int(executed)
            return results


@pytest.mark.timeout(300)
def test_unchanged_runs_stay_cached_and_changed_ones_find_the_last_blessed_model(tmp_path: pathlib.Path) -> None:
    store = Store(tmp_path)

    first = store.run("span 1", steps=1, bless=True)
    assert "baseline.model" not in first
    assert "warm_start.model" not in first
    assert "previous_statistics.statistics" not in first

    again = store.run("span 1", steps=1, bless=True)
    assert "baseline.model" not in again, "the model must not be compared with itself"
    assert [again[f"{node} executed"] for node in ("Statistics", "Train", "Judge")] == [0, 0, 0]

    longer = store.run("span 1", steps=2, bless=False)
    assert longer["baseline.model"] == first["Train.model"]
    assert "warm_start.model" not in longer, "the examples are older than any model"
    assert longer["Judge executed"] == 1

    next_span = store.run("span 2", steps=2, bless=True)
    assert next_span["baseline.model"] == first["Train.model"], "a refused model is no baseline"
    assert next_span["warm_start.model"] == first["Train.model"]
    assert next_span["previous_statistics.statistics"] == first["Statistics.statistics"]

    next_span_again = store.run("span 2", steps=2, bless=True)
    assert next_span_again["baseline.model"] == first["Train.model"]
    assert next_span_again["previous_statistics.statistics"] == first["Statistics.statistics"]
    assert [next_span_again[f"{node} executed"] for node in ("Statistics", "Train", "Judge")] == [0, 0, 0]

    third_span = store.run("span 3", steps=2, bless=True)
    assert third_span["baseline.model"] == third_span["warm_start.model"] == next_span["Train.model"]


@pytest.mark.parametrize("strategy", [LatestBlessedBefore, LatestBefore])
def test_missing_reference_is_an_error(strategy: type[LatestBlessedBefore | LatestBefore]) -> None:
    with pytest.raises(ValueError, match="'reference'"):
        strategy().resolve_artifacts(None, {"model": []})
