"""The graph: which components run, in what order, on what. One function, one runner-independent TFX pipeline.

``pipeline.local_runner`` runs it on this machine; ``kubeflow`` runs the very same graph on a cluster.
"""

from __future__ import annotations

import pathlib

import tfx.v1 as tfx
from tfx.orchestration import pipeline as tfx_pipeline

import schema
from components.evaluator.baseline import LatestBefore, LatestBlessedBefore
from components.evaluator.eval_config import EXTRACTORS_MODULE, build_eval_config
from components.example_gen.component import ObjectDetectionExampleGen
from components.validation.component import AnnotationValidator
from components.validation.statistics import statistics_options
from pipeline.config import PipelineConfig
from schema.label_map import read_label_map

SCHEMA_FILE = pathlib.Path(schema.__file__).with_name("schema.pbtxt")
"""The curated schema of a record."""


def transform_config(config: PipelineConfig) -> dict[str, object]:
    """What the Transform's ``preprocessing_fn`` is told: the label map, when the user gives one."""
    if config.data.label_map is None:
        return {"label_map": None}
    return {"label_map": [[class_id, name] for class_id, name in read_label_map(config.data.label_map)]}


def trainer_config(config: PipelineConfig) -> dict[str, str]:
    """What the Trainer's ``run_fn`` is told: its settings, and where checkpoints outlive a killed run."""
    return {
        "model": config.model.model_dump_json(),
        "transfer": config.transfer.model_dump_json(),
        "train": config.train.model_dump_json(),
        "checkpoint_root": str(config.pipeline_root / "checkpoints"),
    }


def create_pipeline(config: PipelineConfig) -> tfx_pipeline.Pipeline:
    """The whole graph for one config."""
    example_gen = ObjectDetectionExampleGen(config.data)

    # The schema is curated, not inferred: what a record is does not depend on what happened to be in the last span.
    schema_gen = tfx.components.ImportSchemaGen(schema_file=str(SCHEMA_FILE))

    statistics_gen = tfx.components.StatisticsGen(
        examples=example_gen.outputs["examples"],
        schema=schema_gen.outputs["schema"],
        stats_options=statistics_options(),
    )

    example_validator = tfx.components.ExampleValidator(
        statistics=statistics_gen.outputs["statistics"], schema=schema_gen.outputs["schema"]
    )

    # Statistics of the run before this one, for drift. Resolved relative to this run's own statistics, so that a run on
    # unchanged data resolves the same ones again and stays cached.
    previous_statistics = tfx.dsl.Resolver(
        strategy_class=LatestBefore,
        statistics=tfx.dsl.Channel(
            type=tfx.types.standard_artifacts.ExampleStatistics,
            # Without output_key: the compiler would take the channel for the reference's and merge the two.
            producer_component_id=statistics_gen.id,
        ),
        reference=statistics_gen.outputs["statistics"],
    ).with_id("PreviousStatistics")

    # Boxes, classes and leakage between splits: what TFDV cannot see.
    annotation_validator = AnnotationValidator(
        examples=example_gen.outputs["examples"],
        statistics=statistics_gen.outputs["statistics"],
        schema=schema_gen.outputs["schema"],
        baseline_statistics=previous_statistics.outputs["statistics"],
        settings=config.validation,
    )

    # Only the graph and the analysis are wanted: the Trainer applies the graph while reading, images stay encoded and
    # nothing is written twice.
    transform = tfx.components.Transform(
        examples=example_gen.outputs["examples"],
        schema=schema_gen.outputs["schema"],
        preprocessing_fn="components.transform.preprocessing.preprocessing_fn",
        custom_config=transform_config(config),
        materialize=False,
        disable_statistics=True,
        # Our analyzer goes over the records once and keeps nothing that another run could reuse.
        disable_analyzer_cache=True,
    )
    # Bad data stops a run before it is trained on, not after.
    transform.add_upstream_nodes([example_validator, annotation_validator])

    nodes = [
        example_gen,
        schema_gen,
        statistics_gen,
        example_validator,
        previous_statistics,
        annotation_validator,
        transform,
    ]

    base_model = None
    if config.transfer.warm_start_from_blessed:
        # The newest model blessed before these examples existed: a retry of the same span starts from the same weights.
        warm_start = tfx.dsl.Resolver(
            strategy_class=LatestBlessedBefore,
            model=tfx.dsl.Channel(type=tfx.types.standard_artifacts.Model),
            model_blessing=tfx.dsl.Channel(type=tfx.types.standard_artifacts.ModelBlessing),
            reference=example_gen.outputs["examples"],
        ).with_id("WarmStartModel")
        base_model = warm_start.outputs["model"]
        nodes.append(warm_start)

    trainer = tfx.components.Trainer(
        examples=example_gen.outputs["examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema_gen.outputs["schema"],
        base_model=base_model,
        run_fn="components.trainer.run.run_fn",
        train_args=tfx.proto.TrainArgs(splits=["train"], num_steps=config.train.steps),
        eval_args=tfx.proto.EvalArgs(splits=["eval"]),
        custom_config=trainer_config(config),
    )

    # The newest model blessed before this candidate existed: comparing a model with itself says nothing, and would
    # keep the Evaluator and the Pusher out of the cache.
    baseline = tfx.dsl.Resolver(
        strategy_class=LatestBlessedBefore,
        model=tfx.dsl.Channel(type=tfx.types.standard_artifacts.Model),
        model_blessing=tfx.dsl.Channel(type=tfx.types.standard_artifacts.ModelBlessing),
        reference=trainer.outputs["model"],
    ).with_id("BlessedBaseline")

    evaluator = tfx.components.Evaluator(
        examples=example_gen.outputs["examples"],
        model=trainer.outputs["model"],
        baseline_model=baseline.outputs["model"],
        example_splits=[config.eval.split],
        eval_config=build_eval_config(config.eval),
        module_path=EXTRACTORS_MODULE,
    )

    pusher = tfx.components.Pusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        push_destination=tfx.proto.PushDestination(
            filesystem=tfx.proto.PushDestination.Filesystem(base_directory=str(config.push_directory))
        ),
    )

    return tfx_pipeline.Pipeline(
        pipeline_name=config.name,
        pipeline_root=str(config.pipeline_root),
        components=[*nodes, trainer, baseline, evaluator, pusher],
        enable_cache=True,
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            str(config.metadata_path)
        ),
        beam_pipeline_args=config.beam.pipeline_args(),
    )
