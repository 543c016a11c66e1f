"""Device models of LiteRT (``*.tflite``)."""

from __future__ import annotations

import pathlib
import threading
from collections.abc import Mapping

from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from schema.device_model import METADATA_KEY
from serving.devices.arrays import Float32
from serving.devices.errors import DeviceModelError


class LiteRtRuntime:
    """See ``Runtime``."""

    def __init__(self, path: pathlib.Path, threads: int | None) -> None:
        """Loads the model in the file ``path``; None: LiteRT decides how many threads.

        Raises:
          Exception: whatever a broken file makes LiteRT raise.
        """
        content = path.read_bytes()
        # Kept, for it alone keeps the bytes, which the network reads where they lie.
        self._interpreter = Interpreter(model_content=content, num_threads=threads)
        signatures = list(self._interpreter.get_signature_list())
        if len(signatures) != 1:
            raise DeviceModelError(f"has the signatures {', '.join(signatures) or 'none'}, expected one")
        self._runner = self._interpreter.get_signature_runner(signatures[0])
        # Looked at after the interpreter has verified the file: this reads whatever the offsets in it point to.
        self.metadata_text: str | None = _metadata(content)
        self.input_shapes: Mapping[str, tuple[int, ...]] = {
            name: tuple(details["shape"].tolist()) for name, details in self._runner.get_input_details().items()
        }
        self.output_names = frozenset(self._runner.get_output_details())
        self._lock = threading.Lock()

    def run(self, inputs: Mapping[str, Float32]) -> Mapping[str, Float32]:
        """See ``Runtime.run``."""
        # An interpreter has one set of tensors.
        with self._lock:
            outputs: Mapping[str, Float32] = self._runner(**inputs)
        return outputs


def _metadata(content: bytes) -> str | None:
    """The text of the metadata buffer of our name; None: there is none."""
    model = schema.Model.GetRootAs(content, 0)
    for index in range(model.MetadataLength()):
        entry = model.Metadata(index)
        if entry.Name() == METADATA_KEY.encode():
            data = model.Buffers(entry.Buffer())
            return data.DataAsNumpy().tobytes().decode() if data.DataLength() else ""
    return None
