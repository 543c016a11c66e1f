"""Where a model comes from: data, code, start weights, earlier models, versions, settings; and what is not known."""

from __future__ import annotations

import dataclasses
import json
import posixpath
from collections.abc import Iterator
from typing import Final, Self

import tensorflow as tf

from components.report.local_time import local_time
from components.report.node_settings import (
    EXAMPLE_GEN,
    TRAINER,
    Tree,
    as_yaml,
    code_digests,
    computed_config,
    custom_config,
)
from components.report.run_record import NodeRun, Output, RunRecord
from components.report.section import Run, Section, TextPair, read_text, reading
from components.trainer.software import SOFTWARE_FILE, Software
from components.trainer.training_plan import START_WEIGHTS_FILE

WARM_START: Final = "WarmStartModel"
BASELINE: Final = "BlessedBaseline"
NOT_KNOWN: Final = "not known"
_TFX_VERSION: Final = "tfx_version"
SPANS: Final = "span_folders"
"""Parameter of the ExampleGen: the folders that it read."""


@dataclasses.dataclass(frozen=True)
class Lineage(Section):
    """Where it all comes from.

    Attributes:
      facts: what, and where from; several lines where there are several.
      code: digest of the code by node.
      config: what the nodes were told, as YAML.
    """

    title = "Lineage"
    template = "lineage.html"

    facts: tuple[TextPair, ...]
    code: tuple[TextPair, ...]
    config: str

    @classmethod
    def read(cls, run: Run) -> Self:
        """Reads the nodes' parameters, and what the Trainer wrote down about itself."""
        record = run.record
        with reading(f"ML Metadata, run {record.run_id}"):
            config = computed_config(record)
            code = tuple(code_digests(record).items())
            facts = [*_data(record), *_models(record, config)]
        return cls((*facts, *_start_weights(run, config), *_software(run)), code, as_yaml(config))


def _data(record: RunRecord) -> Iterator[TextPair]:
    node, examples = record.node(EXAMPLE_GEN), record.output("examples")
    if node is None or examples is None:
        yield "data", "no records: the run did not get that far"
        return
    folders = json.loads(node.properties.get(SPANS, "[]"))
    yield "data", "\n".join(_folder(folder) for folder in folders) or NOT_KNOWN
    yield "fingerprint of the data", examples.properties.get("input_fingerprint", NOT_KNOWN)
    yield "records", f"artifact {examples.artifact_id}, made {local_time(examples.created_seconds)}{_when(node)}"


def _folder(folder: Tree) -> str:
    version = "" if folder["version"] is None else f", version {folder['version']}"
    span = "no spans" if folder["span"] is None else f"span {folder['span']}"
    return f"{span}{version}: {folder['path']}"


def _when(node: NodeRun) -> str:
    return " by an earlier run" if node.state == "cached" else ""


def _models(record: RunRecord, config: Tree) -> Iterator[TextPair]:
    trainer, model = record.node(TRAINER), record.output("model")
    if trainer is None or model is None:
        yield "model", "none: the run did not get that far"
    else:
        yield "model", f"{model.artifact_id}, trained {local_time(model.created_seconds)}{_when(trainer)}"
    wanted = config.get("transfer", {}).get("warm_start_from_blessed", False)
    if record.node(WARM_START) is not None or wanted:
        yield "warm start from", _resolved(record.node(WARM_START), "the records were made")
    elif trainer is not None:
        yield "warm start from", "no model: transfer.warm_start_from_blessed is not set"
    if record.node(BASELINE) is not None:
        yield "compared with", _resolved(record.node(BASELINE), "this one was trained")


def _resolved(node: NodeRun | None, moment: str) -> str:
    if node is None or "model" not in node.resolved:
        return f"no model: none was blessed before {moment}"
    model, blessing = node.resolved["model"], node.resolved.get("model_blessing")
    blessed = f"blessed {local_time(blessing.created_seconds)}" if blessing else "when it was blessed is not known"
    return f"model {model.artifact_id}, trained {local_time(model.created_seconds)}, {blessed}: {model.uri}"


def _start_weights(run: Run, config: Tree) -> Iterator[TextPair]:
    trainer = run.record.node(TRAINER)
    if trainer is None:
        return
    model = config.get("model", {})
    given = (
        (model["pretrained"] or "none, from scratch (model.pretrained: null)") if "pretrained" in model else NOT_KNOWN
    )
    yield "start weights", given
    digest = custom_config(trainer).get("weights_digest")
    yield "digest of the start weights", digest or ("none: no file" if digest == "" else NOT_KNOWN)
    path = run.optional_file("model_run", START_WEIGHTS_FILE)
    yield "what became of them", read_text(path).partition("\n\n")[0].strip() if path else NOT_KNOWN


def _software(run: Run) -> Iterator[TextPair]:
    model = run.record.output("model")
    if model is None:
        return
    path = run.optional_file("model_run", SOFTWARE_FILE)
    if path is None:
        yield "TensorFlow, TFX", ", ".join(_versions_of(model))
        yield "Keras, devices", f"{NOT_KNOWN}: an earlier version of this project trained the model"
        return
    text = read_text(path)
    with reading(path):
        software = Software.from_json(text)
    packages = ", ".join(f"{name} {version}" for name, version in software.packages.items())
    yield "trained with", f"Python {software.python}, {packages}"
    yield "trained on", ", ".join(software.devices)


def _versions_of(model: Output) -> Iterator[str]:
    """What the export and TFX say by themselves."""
    path = posixpath.join(model.uri, "Format-Serving", "saved_model.pb")
    version = NOT_KNOWN
    if tf.io.gfile.exists(path):
        from tensorflow.core.protobuf import saved_model_pb2

        with reading(path), tf.io.gfile.GFile(path, "rb") as file:
            version = saved_model_pb2.SavedModel.FromString(file.read()).meta_graphs[0].meta_info_def.tensorflow_version
    yield f"TensorFlow {version}"
    yield f"TFX {model.properties.get(_TFX_VERSION, NOT_KNOWN)}"
