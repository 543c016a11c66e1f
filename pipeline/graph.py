"""The graph: which components run, in what order, on what. One function, one runner-independent TFX pipeline.

``pipeline.local_runner`` runs it on this machine; ``kubeflow`` runs the very same graph on a cluster.
"""

from __future__ import annotations

import hashlib
import pathlib

import tfx.v1 as tfx
from tfx.orchestration import pipeline as tfx_pipeline

import schema
from components.clusters import Clusters
from components.code_digest import CODE_DIGEST, code_digest
from components.detector.weights.weights_digest import weights_digest
from components.device_evaluator.component import DeviceEvaluator
from components.device_evaluator.settings import DeviceGateSettings
from components.device_pusher.component import DevicePusher
from components.evaluator.baseline import LatestBefore, LatestBlessedBefore
from components.evaluator.component import Evaluator
from components.example_gen.component import ObjectDetectionExampleGen
from components.exporter.component import Exporter
from components.exporter.settings import CalibrationSettings
from components.serving_contract.component import ServingContract
from components.serving_contract.keys import INFRA_BLESSING
from components.split_names import UNLABELLED
from components.trainer.comparison.training_process import PROGRAM
from components.trainer.operating_points import OPERATING_POINT
from components.trainer.strategies.settings.auto import AutoSettings
from components.trainer.tuning.component import Tuner
from components.trainer.tuning.settings import TunerSettings
from components.validation.component import AnnotationValidator
from components.validation.statistics import statistics_options
from pipeline.config import PipelineConfig
from schema.label_map import read_label_map

SCHEMA_FILE = pathlib.Path(schema.__file__).with_name("schema.pbtxt")
"""The curated schema of a record."""
TRAINER = "Trainer"
EVALUATOR = "Evaluator"
SERVING_CONTRACT = "ServingContract"
PREPROCESSING_MODULE = "components.transform.preprocessing"
TUNER_MODULE = "components.trainer.tuning.tuner"
TRAINER_MODULE = "components.trainer.run"


def transform_config(config: PipelineConfig) -> dict[str, object]:
    """What the Transform's ``preprocessing_fn`` is told: the label map, when the user gives one."""
    label_map = config.data.label_map
    return {
        "label_map": None if label_map is None else [[class_id, name] for class_id, name in read_label_map(label_map)],
        CODE_DIGEST: code_digest(PREPROCESSING_MODULE),
    }


def trainer_config(config: PipelineConfig) -> dict[str, str]:
    """What the Trainer's ``run_fn`` is told: its settings, where checkpoints outlive a killed run, and where features
    outlive any.

    What of it decides about the weights, with the digests of code and start weights, identifies those checkpoints.
    """
    return {
        "model": config.model.model_dump_json(),
        "transfer": config.transfer.model_dump_json(),
        "train": config.train.model_dump_json(),
        OPERATING_POINT: config.eval.operating_point.model_dump_json(),
        "checkpoint_root": str(config.pipeline_root / "checkpoints"),
        "features_root": str(config.pipeline_root / "features"),
        # The choice among several ways of transfer depends on how they are judged, too.
        CODE_DIGEST: code_digest(PROGRAM if isinstance(config.transfer, AutoSettings) else TRAINER_MODULE),
        "weights_digest": weights_digest(config.model.pretrained),
    }


def tuner_config(config: PipelineConfig, settings: TunerSettings) -> dict[str, str]:
    """What the Tuner's ``tuner_fn`` is told: what the Trainer is, and the search."""
    # With another rule for thresholds it would search anew, and find the same.
    of_trainer = {key: value for key, value in trainer_config(config).items() if key != OPERATING_POINT}
    return {
        **of_trainer,
        "tuner": settings.model_dump_json(),
        CODE_DIGEST: code_digest(TUNER_MODULE) + code_digest(PROGRAM),
    }


def image_clusters(config: PipelineConfig) -> Clusters:
    """Which images the gate draws together: those that are split together, unless it is told otherwise."""
    if config.eval.cluster_by is not None:
        return Clusters(column=config.eval.cluster_by)
    return Clusters(config.data.split.group_by, config.data.split.group_pattern)


def _latest_blessed(config: PipelineConfig, reference: tfx.types.BaseChannel) -> tfx.dsl.Resolver:
    """The newest model of the Trainer from before ``reference`` that the Evaluator blessed.

    Where the pipeline has a ServingContract, that must not have refused it: such a model was never pushed.
    """
    contract = {}
    if config.push.contract.enabled:
        contract[INFRA_BLESSING] = tfx.dsl.Channel(
            type=tfx.types.standard_artifacts.InfraBlessing, producer_component_id=SERVING_CONTRACT
        )
    # Without output_key: the compiler would take the channel for the reference's and merge the two.
    return tfx.dsl.Resolver(
        strategy_class=LatestBlessedBefore,
        model=tfx.dsl.Channel(type=tfx.types.standard_artifacts.Model, producer_component_id=TRAINER),
        model_blessing=tfx.dsl.Channel(
            type=tfx.types.standard_artifacts.ModelBlessing, producer_component_id=EVALUATOR
        ),
        reference=reference,
        **contract,
    )


def create_pipeline(config: PipelineConfig) -> tfx_pipeline.Pipeline:
    """The whole graph for one config.

    TFX runs a node again when its inputs or parameters change. Parameters name code and files, so a digest of what they
    name stands beside them; nodes without one (StatisticsGen, ExampleValidator, Pusher) run code of TFX alone.
    """
    example_gen = ObjectDetectionExampleGen(config.data)

    # The schema is curated, not inferred: what a record is does not depend on what happened to be in the last span.
    schema_gen = tfx.components.ImportSchemaGen(schema_file=str(SCHEMA_FILE))
    schema_gen.exec_properties["schema_digest"] = hashlib.blake2b(SCHEMA_FILE.read_bytes(), digest_size=16).hexdigest()

    statistics_gen = tfx.components.StatisticsGen(
        examples=example_gen.outputs["examples"],
        schema=schema_gen.outputs["schema"],
        stats_options=statistics_options(),
    )

    example_validator = tfx.components.ExampleValidator(
        statistics=statistics_gen.outputs["statistics"],
        schema=schema_gen.outputs["schema"],
        # That it has no objects is what it is.
        exclude_splits=[UNLABELLED],
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
        preprocessing_fn=f"{PREPROCESSING_MODULE}.preprocessing_fn",
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
        warm_start = _latest_blessed(config, example_gen.outputs["examples"]).with_id("WarmStartModel")
        base_model = warm_start.outputs["model"]
        nodes.append(warm_start)

    # The splits of the target that have annotations are none of the Trainer's business.
    learnt_from = ["train", UNLABELLED] if config.transfer.uses_target else ["train"]
    hyperparameters = None
    if config.tuner is not None:
        tuner = Tuner(
            examples=example_gen.outputs["examples"],
            transform_graph=transform.outputs["transform_graph"],
            schema=schema_gen.outputs["schema"],
            base_model=base_model,
            tuner_fn=f"{TUNER_MODULE}.tuner_fn",
            train_args=tfx.proto.TrainArgs(splits=learnt_from),
            eval_args=tfx.proto.EvalArgs(splits=["eval"]),
            custom_config=tuner_config(config, config.tuner),
        )
        hyperparameters = tuner.outputs["best_hyperparameters"]
        nodes.append(tuner)

    trainer = tfx.components.Trainer(
        examples=example_gen.outputs["examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema_gen.outputs["schema"],
        base_model=base_model,
        hyperparameters=hyperparameters,
        run_fn=f"{TRAINER_MODULE}.run_fn",
        # For `auto` 0, which TFX takes for not given: the Trainer decides it, from images that are not counted yet.
        train_args=tfx.proto.TrainArgs(
            splits=learnt_from, num_steps=0 if config.train.steps == "auto" else config.train.steps
        ),
        eval_args=tfx.proto.EvalArgs(splits=["eval"]),
        custom_config=trainer_config(config),
    ).with_id(TRAINER)

    # The newest model blessed before this candidate existed: comparing a model with itself says nothing, and would
    # keep the Evaluator and the Pusher out of the cache.
    baseline = _latest_blessed(config, trainer.outputs["model"]).with_id("BlessedBaseline")

    evaluator = Evaluator(
        examples=example_gen.outputs["examples"],
        model=trainer.outputs["model"],
        baseline_model=baseline.outputs["model"],
        settings=config.eval,
        clusters=image_clusters(config),
    ).with_id(EVALUATOR)

    gates, infra_blessing = [evaluator], None
    if config.push.contract.enabled:
        serving_contract = ServingContract(
            examples=example_gen.outputs["examples"],
            model=trainer.outputs["model"],
            model_blessing=evaluator.outputs["blessing"],
            settings=config.push.contract,
        ).with_id(SERVING_CONTRACT)
        infra_blessing = serving_contract.outputs["infra_blessing"]
        gates.append(serving_contract)

    pusher = tfx.components.Pusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        infra_blessing=infra_blessing,
        push_destination=tfx.proto.PushDestination(
            filesystem=tfx.proto.PushDestination.Filesystem(base_directory=str(config.push_directory))
        ),
    )

    device_nodes = []
    if config.push.device_formats:
        devices = config.push.devices
        # Each node is told its own part of the section: another bound converts nothing anew.
        exporter = Exporter(
            examples=example_gen.outputs["examples"],
            model=trainer.outputs["model"],
            model_blessing=evaluator.outputs["blessing"],
            formats=config.push.device_formats,
            settings=CalibrationSettings.model_validate(
                devices.model_dump(include=set(CalibrationSettings.model_fields))
            ),
        )
        # Servers do not wait for devices.
        exporter.add_upstream_node(pusher)
        device_evaluator = DeviceEvaluator(
            examples=example_gen.outputs["examples"],
            evaluation=evaluator.outputs["evaluation"],
            device_models=exporter.outputs["device_models"],
            eval_settings=config.eval,
            settings=DeviceGateSettings.model_validate(
                devices.model_dump(include=set(DeviceGateSettings.model_fields))
            ),
        )
        device_pusher = DevicePusher(
            device_models=exporter.outputs["device_models"],
            device_evaluation=device_evaluator.outputs["device_evaluation"],
            pushed_model=pusher.outputs["pushed_model"],
            directory=str(config.device_directory),
        )
        device_nodes = [exporter, device_evaluator, device_pusher]

    return tfx_pipeline.Pipeline(
        pipeline_name=config.name,
        pipeline_root=str(config.pipeline_root),
        components=[*nodes, trainer, baseline, *gates, pusher, *device_nodes],
        enable_cache=True,
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            str(config.metadata_path)
        ),
        beam_pipeline_args=config.beam.pipeline_args(config.cluster.image),
    )
