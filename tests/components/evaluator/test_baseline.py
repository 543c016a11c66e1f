"""The resolver strategies in a real pipeline of trivial components, run again and again on one metadata store."""

# No `from __future__ import annotations`: TFX reads the annotations of function components as objects.

import pathlib

import pytest
from tfx import v1 as tfx
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.components.common.resolver import Resolver
from tfx.orchestration import metadata
from tfx.types import Artifact, standard_artifacts
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


@component
def Check(
    model: InputArtifact[standard_artifacts.Model],
    model_blessing: InputArtifact[standard_artifacts.ModelBlessing],
    infra_blessing: OutputArtifact[standard_artifacts.InfraBlessing],
    verdict: Parameter[str],
) -> None:
    """Says of a model what the contract check may say, or ends like a process that is killed."""
    if verdict == "killed":
        raise RuntimeError("killed between the Evaluator and its own verdict")
    infra_blessing.set_int_custom_property("blessed", int(verdict == "kept"))
    infra_blessing.set_int_custom_property("current_model_id", model.id)


class Store:
    """A folder with a pipeline root and a metadata store, and what a run in it did."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self.connection = tfx.orchestration.metadata.sqlite_metadata_connection_config(str(root / "mlmd.sqlite"))

    def run(self, data: str, steps: int, bless: bool, contract: str | None = None) -> dict[str, int]:
        """Runs the pipeline; returns by node the id of what it resolved, or of the baseline the judge saw.

        Args:
          data: a change of it is new data.
          steps: a change of it is another training.
          bless: whether the gate does.
          contract: what the contract check says; None: the pipeline has none.
        """
        statistics = Statistics(data=data)
        previous = Resolver(
            strategy_class=LatestBefore,
            statistics=Channel(type=standard_artifacts.ExampleStatistics, producer_component_id="Statistics"),
            reference=statistics.outputs["statistics"],
        ).with_id("previous_statistics")
        warm_start = self._blessed(statistics.outputs["statistics"], "warm_start", contract is not None)
        train = Train(statistics=statistics.outputs["statistics"], steps=steps, base_model=warm_start.outputs["model"])
        baseline = self._blessed(train.outputs["model"], "baseline", contract is not None)
        judge = Judge(model=train.outputs["model"], baseline=baseline.outputs["model"], bless=int(bless))
        convert = Convert(model=train.outputs["model"])
        judges = [JudgeOther(model=train.outputs["model"]).with_id("of_model")]
        judges.append(JudgeOther(model=convert.outputs["converted"]).with_id("of_converted"))
        checks = []
        if contract is not None:
            blessing = judge.outputs["blessing"]
            checks.append(Check(model=train.outputs["model"], model_blessing=blessing, verdict=contract))
        tfx.orchestration.LocalDagRunner().run(
            tfx.dsl.Pipeline(
                "resolves",
                str(self.root / "pipeline"),
                components=[statistics, previous, warm_start, train, baseline, judge, convert, *judges, *checks],
                enable_cache=True,
                metadata_connection_config=self.connection,
            )
        )
        return self.last_run()

    def _blessed(self, reference: Channel, node_id: str, has_contract: bool) -> Resolver:
        checked = {}
        if has_contract:
            checked["infra_blessing"] = Channel(type=standard_artifacts.InfraBlessing, producer_component_id="Check")
        return Resolver(
            strategy_class=LatestBlessedBefore,
            model=Channel(type=standard_artifacts.Model, producer_component_id="Train"),
            model_blessing=Channel(type=standard_artifacts.ModelBlessing, producer_component_id="Judge"),
            reference=reference,
            **checked,
        ).with_id(node_id)

    def last_run(self) -> dict[str, int]:
        """See `run`."""
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


@pytest.mark.timeout(300)
def test_a_model_that_the_contract_check_refused_is_neither_baseline_nor_warm_start(tmp_path: pathlib.Path) -> None:
    store = Store(tmp_path)
    before_the_node = store.run("span 1", steps=1, bless=True)

    kept = store.run("span 2", steps=1, bless=True, contract="kept")
    assert kept["baseline.model"] == kept["warm_start.model"] == before_the_node["Train.model"]

    refused = store.run("span 3", steps=1, bless=True, contract="refused")
    assert refused["baseline.model"] == kept["Train.model"]
    assert refused["baseline.infra_blessing"] == kept["Check.infra_blessing"]

    with pytest.raises(RuntimeError, match="killed"):
        store.run("span 4", steps=1, bless=True, contract="killed")
    killed = store.last_run()
    assert killed["baseline.model"] == killed["warm_start.model"] == kept["Train.model"], "the refused model is neither"

    next_span = store.run("span 5", steps=1, bless=True, contract="refused")
    assert next_span["baseline.model"] == killed["Train.model"], "nothing was said about this one"
    again = store.run("span 5", steps=1, bless=True, contract="refused")
    assert again["baseline.model"] == killed["Train.model"]
    assert [again[f"{node} executed"] for node in ("Statistics", "Train", "Judge", "Check")] == [0, 0, 0, 0]

    without = store.run("span 6", steps=1, bless=True)
    assert without["baseline.model"] == next_span["Train.model"], "who leaves the check out does not ask it"


def _artifact(kind: type[Artifact], identity: int, **properties: int) -> Artifact:
    artifact = kind()
    artifact.id = identity
    for name, value in properties.items():
        artifact.set_int_custom_property(name, value)
    return artifact


@pytest.mark.parametrize(
    ("contract", "expected"),
    [
        ([], [2]),
        ([(2, 1)], [2]),
        ([(2, 0)], [1]),
        # The timeout was raised and the check repeated: the model was pushed after all.
        ([(2, 0), (2, 1)], [2]),
        # The check was made stricter, and made lenient again: a cached node repeats its old verdict.
        ([(2, 1), (2, 0)], [2]),
        ([(1, 0), (2, 0)], []),
        # Of before verdicts named their model.
        ([(None, 0)], [2]),
    ],
)
def test_what_was_said_about_the_newest_models(contract: list[tuple[int | None, int]], expected: list[int]) -> None:
    checks = [
        _artifact(
            standard_artifacts.InfraBlessing,
            20 + number,
            blessed=blessed,
            **({} if model is None else {"current_model_id": model}),
        )
        for number, (model, blessed) in enumerate(contract)
    ]
    resolved = LatestBlessedBefore().resolve_artifacts(
        None,
        {
            "model": [_artifact(standard_artifacts.Model, identity) for identity in (1, 2, 3)],
            "model_blessing": [
                _artifact(standard_artifacts.ModelBlessing, 10 + model, blessed=blessed, current_model_id=model)
                for model, blessed in ((1, 1), (2, 1), (3, 0))
            ],
            "infra_blessing": checks,
            "reference": [_artifact(standard_artifacts.Model, 4)],
        },
    )
    assert [model.id for model in resolved["model"]] == expected
    assert [blessing.id for blessing in resolved["model_blessing"]] == [10 + model for model in expected]


@pytest.mark.parametrize("strategy", [LatestBlessedBefore, LatestBefore])
def test_missing_reference_is_an_error(strategy: type[LatestBlessedBefore | LatestBefore]) -> None:
    with pytest.raises(ValueError, match="'reference'"):
        strategy().resolve_artifacts(None, {"model": []})
