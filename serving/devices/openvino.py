"""Device models of OpenVINO (``*.xml``, with the weights in ``*.bin``), on its CPU plugin."""

from __future__ import annotations

import pathlib
import threading
from collections.abc import Mapping

from schema.device_model import METADATA_KEY
from schema.openvino_import import import_openvino
from serving.devices.arrays import Float32


class OpenVinoRuntime:
    """See ``Runtime``."""

    def __init__(self, path: pathlib.Path, threads: int | None, *, allow_bfloat16: bool = False) -> None:
        """Loads the model in the file ``path``.

        Args:
          path: of the graph; the weights are beside it.
          threads: None: OpenVINO decides.
          allow_bfloat16: compute in bfloat16 where the processor has it, as the plugin does by itself: faster, and
            boxes move a little. Otherwise what is float32 in the file is computed so.

        Raises:
          Exception: whatever a broken file makes OpenVINO raise.
        """
        core = import_openvino().Core()
        model = core.read_model(path)
        has_metadata = model.has_rt_info([METADATA_KEY])
        self.metadata_text: str | None = model.get_rt_info([METADATA_KEY]).astype(str) if has_metadata else None
        self.input_shapes: Mapping[str, tuple[int, ...]] = {
            one.get_any_name(): tuple(side.get_length() if side.is_static else -1 for side in one.partial_shape)
            for one in model.inputs
        }
        self._names = [one.get_any_name() for one in model.outputs]
        self.output_names = frozenset(self._names)
        settings: dict[str, str | int] = {"PERFORMANCE_HINT": "LATENCY"}
        if not allow_bfloat16:
            settings["INFERENCE_PRECISION_HINT"] = "f32"
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        self._request = core.compile_model(model, "CPU", settings).create_infer_request()
        self._lock = threading.Lock()

    def run(self, inputs: Mapping[str, Float32]) -> Mapping[str, Float32]:
        """See ``Runtime.run``."""
        # A request has one set of tensors, and its outputs are views of them.
        with self._lock:
            outputs = self._request.infer(dict(inputs))
            return {name: outputs[index].copy() for index, name in enumerate(self._names)}
