"""Device models of ONNX Runtime (``*.onnx``)."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Final

import onnxruntime

from schema.device_model import METADATA_KEY
from serving.devices.arrays import Float32

_ERRORS_ONLY: Final = 3


class OnnxRuntime:
    """See ``Runtime``."""

    def __init__(self, path: pathlib.Path, threads: int | None) -> None:
        """Loads the model in the file ``path``; None: ONNX Runtime decides how many threads.

        Raises:
          Exception: whatever a broken file makes ONNX Runtime raise.
        """
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        options.intra_op_num_threads = threads or 0
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.metadata_text: str | None = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        self.input_shapes: Mapping[str, tuple[int, ...]] = {
            one.name: tuple(one.shape) for one in self._session.get_inputs()
        }
        self._names = [one.name for one in self._session.get_outputs()]
        self.output_names = frozenset(self._names)

    def run(self, inputs: Mapping[str, Float32]) -> Mapping[str, Float32]:
        """See ``Runtime.run``; a session answers several threads at once."""
        return dict(zip(self._names, self._session.run(self._names, dict(inputs)), strict=True))
