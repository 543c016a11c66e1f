"""Asks a server (ours, or TF Serving itself) what is in images.

    python -m serving.client IMAGE... --server HOST:PORT --output DIR

prints what was found as a table, or as JSON, and writes the images with boxes drawn. From Python:

    with DetectorClient("localhost:8500") as client:
        for image in client.detect_files([pathlib.Path("street.jpg")]): print(image.detections)
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from schema import exported_model
from serving.clients import drawing, image_files
from serving.clients.detections import Detection, ImageDetections, table
from serving.clients.proxy import proxy_advice

if TYPE_CHECKING:
    from tensorflow_serving.apis import predict_pb2


class ServerError(Exception):
    """No usable answer came; the message says what the server or the network said."""


class ImageRefusedError(ServerError):
    """The server works and refused this image (or request); another may be fine."""


class DetectorClient:
    """A connection to one model on a server; safe to use from several threads."""

    def __init__(
        self,
        server: str,
        model_name: str = exported_model.MODEL_NAME,
        model_version: int | None = None,
        timeout_seconds: float = 30.0,
        max_message_mib: int = 64,
    ) -> None:
        """Connects on first use.

        Args:
          server: `HOST:PORT`.
          model_name: the model's name on the server.
          model_version: version to insist on; None is the one that is served.
          timeout_seconds: how long one request may take, waiting for the server to appear included.
          max_message_mib: largest answer accepted.
        """
        # Here and not at the top: the message definitions import TensorFlow, seconds that --help should not take.
        import grpc
        from tensorflow_serving.apis import prediction_service_pb2_grpc

        self.server = server
        self.model_name = model_name
        self._model_version = model_version
        self._timeout_seconds = timeout_seconds
        size = max_message_mib << 20
        options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", size)]
        self._channel = grpc.insecure_channel(server, options=options)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()

    def detect(self, images: Sequence[bytes], score_threshold: float = 0.0) -> tuple[list[tuple[Detection, ...]], int]:
        """Detects objects in encoded images, in one request.

        Args:
          images: JPEG or PNG files; sizes may differ.
          score_threshold: detections below are left out.

        Returns:
          Detections by image, best score first, and the version of the model that answered.

        Raises:
          ServerError: no answer, or not the answer of a detector.
        """
        import grpc
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        request.model_spec.name = self.model_name
        request.model_spec.signature_name = exported_model.SERVING_SIGNATURE
        if self._model_version is not None:
            request.model_spec.version.value = self._model_version
        request.inputs[exported_model.IMAGE_BYTES].CopyFrom(
            tf.make_tensor_proto(list(images), dtype=tf.string, shape=[len(images)])
        )
        request.output_filter.extend(exported_model.OUTPUTS)
        try:
            response = self._stub.Predict(request, timeout=self._timeout_seconds)
        except grpc.RpcError as error:
            refused = error.code() == grpc.StatusCode.INVALID_ARGUMENT
            kind = ImageRefusedError if refused else ServerError
            raise kind(self._explain(error)) from error
        return _detections(response, score_threshold), response.model_spec.version.value

    def detect_files(self, paths: Sequence[pathlib.Path], score_threshold: float = 0.0) -> list[ImageDetections]:
        """Detects objects in image files, one request a file.

        Raises:
          ImageFileError: a file is not an image.
          ServerError: no answer.
        """
        return [self.detect_file(image_files.read(path), score_threshold) for path in paths]

    def detect_file(self, image: image_files.ImageFile, score_threshold: float = 0.0) -> ImageDetections:
        """Detects objects in one image file that has been read."""
        try:
            (detections,), version = self.detect([image.encoded], score_threshold)
        except ServerError as error:
            raise type(error)(f"{image.path}: {error}") from error
        return ImageDetections(str(image.path), image.upright.width, image.upright.height, version, detections)

    def _explain(self, error: Exception) -> str:
        import grpc

        code, details = error.code(), error.details()  # type: ignore[attr-defined]
        advice = proxy_advice(self.server)
        if code == grpc.StatusCode.UNAVAILABLE:
            found = f"no server answers at {self.server} ({details}); "
            return found + (advice or "is it running, and is this its host and port?")
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"{self.server} did not answer within {self._timeout_seconds:g} s" + (advice and f"; {advice}")
        return f"{self.server} answered {code.name}: {details}"


def _detections(response: predict_pb2.PredictResponse, score_threshold: float) -> list[tuple[Detection, ...]]:
    """Arrays of a response -> detections by image."""
    import tensorflow as tf

    missing = [name for name in exported_model.OUTPUTS if name not in response.outputs]
    if missing:
        raise ServerError(f"the model is no detector of ours: its answer has no {', '.join(missing)}")
    boxes, scores, classes, names, counts = (tf.make_ndarray(response.outputs[name]) for name in exported_model.OUTPUTS)
    images = []
    for image, count in enumerate(counts):
        rows = [row for row in range(int(count)) if scores[image, row] >= score_threshold]
        images.append(
            tuple(
                Detection(
                    int(classes[image, row]),
                    names[image, row].decode("utf-8", "replace"),
                    float(scores[image, row]),
                    (
                        float(boxes[image, row, 0]),
                        float(boxes[image, row, 1]),
                        float(boxes[image, row, 2]),
                        float(boxes[image, row, 3]),
                    ),
                )
                for row in sorted(rows, key=lambda row: -scores[image, row])
            )
        )
    return images


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving.client",
        description="Asks a detection server what is in images, and draws the answer.",
    )
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="image file, or a quoted pattern such as 'a/**/*.jpg'"
    )
    parser.add_argument("--server", default="localhost:8500", metavar="HOST:PORT", help="default: %(default)s")
    parser.add_argument("--model_name", default=exported_model.MODEL_NAME, help="default: %(default)s")
    parser.add_argument("--model_version", type=int, default=None, help="insist on a version")
    parser.add_argument(
        "--output", type=pathlib.Path, default=None, metavar="DIR", help="write images with boxes there"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, one object an image and line, not a table")
    parser.add_argument(
        "--score_threshold", type=float, default=0.5, help="leave out what is less certain (default: %(default)s)"
    )
    parser.add_argument("--timeout_seconds", type=float, default=30.0, help="for each image (default: %(default)s)")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    parser = _arguments()
    options = parser.parse_args(arguments)
    if not 0 <= options.score_threshold <= 1:
        parser.error(f"argument --score_threshold: must be 0 to 1, found {options.score_threshold}")
    if options.timeout_seconds <= 0:
        parser.error(f"argument --timeout_seconds: must be positive, found {options.timeout_seconds}")
    host, _, port = options.server.rpartition(":")
    if not host or not port.isdecimal():
        parser.error(f"argument --server: must be HOST:PORT, found {options.server!r}")
    try:
        paths = image_files.find(options.images)
        if options.output:
            options.output.mkdir(parents=True, exist_ok=True)
    except (image_files.ImageFileError, OSError) as error:
        sys.exit(f"error: {error}")
    sys.exit(_detect_and_show(paths, options))


def _detect_and_show(paths: Sequence[pathlib.Path], options: argparse.Namespace) -> int:
    """Works through the files; those that are no images are reported and do not stop the others."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    results, failures = [], 0
    drawn_names: set[str] = set()
    with DetectorClient(options.server, options.model_name, options.model_version, options.timeout_seconds) as client:
        for path in paths:
            try:
                image = image_files.read(path)
                result = client.detect_file(image, options.score_threshold)
            except (image_files.ImageFileError, ImageRefusedError) as error:
                print(f"error: {error}", file=sys.stderr)
                failures += 1
                continue
            except ServerError as error:
                # The next image would fare no better.
                print(f"error: {error}", file=sys.stderr)
                failures += 1
                break
            results.append(result)
            if options.json:
                print(json.dumps(result.to_json(), ensure_ascii=False), flush=True)
            if options.output:
                drawn = drawing.draw_detections(image.upright, result.detections)
                drawn.save(options.output / _drawn_name(path, drawn_names), quality=92)
    if not options.json and results:
        print(table(results))
    if options.output and results:
        print(f"{len(results)} images with boxes in {options.output}", file=sys.stderr)
    return 1 if failures else 0


def _drawn_name(path: pathlib.Path, taken: set[str]) -> str:
    """`a/street.png` -> `street_detected.jpg` (never the name of the original), the second `street_detected_2.jpg`."""
    name, number = f"{path.stem}_detected.jpg", 1
    while name in taken:
        number += 1
        name = f"{path.stem}_detected_{number}.jpg"
    taken.add(name)
    return name


if __name__ == "__main__":
    main()
