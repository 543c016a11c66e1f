"""Device models opened with the runtimes' own interfaces, and with nothing of ours."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from schema.device_model import METADATA_KEY

Arrays = Mapping[str, NDArray[Any]]


class Opened(NamedTuple):
    """Attributes: shape and type of inputs, type of outputs, the metadata's text, and a function that runs it."""

    inputs: dict[str, tuple[tuple[int, ...], str]]
    outputs: dict[str, str]
    metadata: str
    run: Run


class Run(Protocol):
    def __call__(self, feed: Arrays) -> Arrays: ...


def open_litert(folder: pathlib.Path) -> Opened:
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_litert.schema_py_generated import Model

    content = (folder / "detector.tflite").read_bytes()
    interpreter = Interpreter(model_content=content, num_threads=1)
    runner = interpreter.get_signature_runner()
    model = Model.GetRootAs(content, 0)
    [text] = [
        bytes(model.Buffers(model.Metadata(n).Buffer()).DataAsNumpy()).decode()
        for n in range(model.MetadataLength())
        if model.Metadata(n).Name() == METADATA_KEY.encode()
    ]
    inputs = {
        name: (tuple(int(n) for n in one["shape"]), np.dtype(one["dtype"]).name)
        for name, one in runner.get_input_details().items()
    }
    types = {name: np.dtype(one["dtype"]).name for name, one in runner.get_output_details().items()}

    def run(feed: Arrays) -> Arrays:
        # The bytes are read where they lie, and it is the interpreter alone that keeps them.
        assert interpreter is not None
        outputs: Arrays = runner(**feed)
        return outputs

    return Opened(inputs, types, text, run)


def open_onnx(folder: pathlib.Path) -> Opened:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(folder / "detector.onnx"), providers=["CPUExecutionProvider"])
    types = {"tensor(float)": "float32"}
    inputs = {one.name: (tuple(one.shape), types[one.type]) for one in session.get_inputs()}
    outputs = {one.name: types[one.type] for one in session.get_outputs()}
    text = session.get_modelmeta().custom_metadata_map[METADATA_KEY]
    return Opened(
        inputs, outputs, text, lambda feed: dict(zip(outputs, session.run(list(outputs), dict(feed)), strict=True))
    )


def open_openvino(folder: pathlib.Path) -> Opened:
    from schema.openvino_import import import_openvino

    core = import_openvino().Core()
    model = core.read_model(folder / "detector.xml")
    inputs = {name: (tuple(one.shape), one.element_type.to_dtype().name) for one in model.inputs for name in one.names}
    # It does not see that proposals are padded, so the shape of what is made of them is free.
    outputs = {name: one.element_type.to_dtype().name for one in model.outputs for name in one.names}
    # The plugin picks bfloat16 by itself.
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    text = model.get_rt_info([METADATA_KEY]).astype(str)
    # Compiled, an output may be called what is in the middle of the graph; the order stays.
    return Opened(inputs, outputs, text, lambda feed: dict(zip(outputs, compiled(dict(feed)).values(), strict=True)))


OPEN = {"litert": open_litert, "onnx": open_onnx, "openvino": open_openvino}
"""By runtime."""
