"""Executor of the ServingContract: images of the records, a process that asks the model about them, and a blessing."""

from __future__ import annotations

import itertools
import pathlib
import posixpath
import tempfile
from typing import Any, Final

import tensorflow as tf
from tfx import types
from tfx.components.util import model_utils
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.serving_contract.contract_process import run_contract_check
from components.serving_contract.keys import (
    BLESSED,
    EXAMPLES,
    INFRA_BLESSING,
    MODEL,
    MODEL_BLESSING,
    MODEL_ID,
    SETTINGS,
)
from components.serving_contract.settings import ContractSettings
from schema import features
from schema.contract_report import CONTRACT_FILE

_SPLIT: Final = "eval"


class Executor(base_executor.BaseExecutor):
    """Blesses a model whose checks all pass; writes ``CONTRACT_FILE`` either way."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """See ``ServingContractSpec`` for inputs and output. A check that fails is a verdict and no error."""
        self._log_startup(input_dict, output_dict, exec_properties)
        settings = ContractSettings.model_validate_json(exec_properties[SETTINGS])
        infra_blessing = artifact_utils.get_single_instance(output_dict[INFRA_BLESSING])
        infra_blessing.set_int_custom_property(BLESSED, 0)
        candidate = artifact_utils.get_single_instance(input_dict[MODEL])
        infra_blessing.set_int_custom_property(MODEL_ID, candidate.id)
        if not model_utils.is_model_blessed(artifact_utils.get_single_instance(input_dict[MODEL_BLESSING])):
            return
        model = path_utils.serving_model_path(candidate.uri)
        examples = artifact_utils.get_single_uri(input_dict[EXAMPLES])
        with tempfile.TemporaryDirectory() as local:
            folder = pathlib.Path(local)
            images = _write_images(examples, settings.images, folder)
            report = run_contract_check(pathlib.Path(model), images, settings, folder)
        with tf.io.gfile.GFile(posixpath.join(infra_blessing.uri, CONTRACT_FILE), "w") as file:
            file.write(report.to_json())
        infra_blessing.set_int_custom_property(BLESSED, int(report.passed))


def _write_images(examples_uri: str, count: int, folder: pathlib.Path) -> list[pathlib.Path]:
    """The first images of the records, as files."""
    files = sorted(tf.io.gfile.glob(posixpath.join(examples_uri, f"Split-{_SPLIT}", "*")))
    records = tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator()
    written = []
    for number, record in enumerate(itertools.islice(records, count)):
        written.append(folder / f"image-{number}")
        feature = tf.train.Example.FromString(record).features.feature
        written[-1].write_bytes(feature[features.IMAGE_ENCODED].bytes_list.value[0])
    return written
