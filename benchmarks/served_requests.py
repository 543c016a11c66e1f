"""The embedded server as a process, and clients that ask it, for the benchmarks.

    python -m benchmarks.served_requests PORT CLIENTS FILE SECONDS TIMEOUT_SECONDS

is the process of the clients, which tells latencies, status codes and its own CPU seconds as JSON.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

import grpc
import numpy as np
from PIL import Image
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving.protocol import tensors

IMAGES: Final = {"25 KB": (400, 300), "300 KB": (1600, 1200)}


def photograph(name: str) -> bytes:
    """A JPEG of about that size: noise on a ramp, at the quality that gives the bytes."""
    width, height = IMAGES[name]
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 255, (height // 20, width // 20, 3), np.uint8)
    picture = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    noisy = np.asarray(picture, np.int16) + generator.integers(-12, 12, (height, width, 1))
    file = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=75)
    return file.getvalue()


def request_of(*images: bytes) -> predict_pb2.PredictRequest:
    """A Predict request."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "detector"
    request.inputs["image_bytes"].CopyFrom(tensors.to_message(np.array(images, object)))
    return request


class Server:
    """The server as a process."""

    def __init__(self, models: pathlib.Path, *flags: str) -> None:
        command = [sys.executable, "-m", "serving.server", "--model_base_path", str(models), "--port", "0", *flags]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        self.lines: list[str] = []
        line = next(line for line in self._process.stderr if "listening on" in line)
        self.port = int(line.rsplit(":", 1)[1])
        threading.Thread(target=lambda: self.lines.extend(self._process.stderr or ()), daemon=True).start()

    def wait_for(self, text: str, seconds: float) -> None:
        """Until it has logged that."""
        until = time.monotonic() + seconds
        while not any(text in line for line in self.lines):
            if time.monotonic() > until:
                raise TimeoutError(f"no {text!r} in the server's log within {seconds} s; its end: {self.lines[-5:]}")
            time.sleep(0.1)

    def cpu_seconds(self) -> float:
        """Processor time so far."""
        fields = pathlib.Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self) -> float:
        """Resident memory."""
        status = pathlib.Path(f"/proc/{self._process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024

    @contextlib.contextmanager
    def stub(self) -> Iterator[Any]:
        """A connection."""
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        with grpc.insecure_channel(f"localhost:{self.port}", options) as channel:
            yield prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def close(self) -> None:
        """Ends it."""
        self._process.terminate()
        self._process.wait(60)


def ask(port: int, clients: int, image: bytes, seconds: float, timeout_seconds: float = 60.0) -> dict[str, Any]:
    """Clients that ask one image at a time, in a process of their own."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "image.jpg"
        file.write_bytes(image)
        return ask_while_there(port, clients, file, seconds, timeout_seconds)


def ask_while_there(
    port: int, clients: int, file: pathlib.Path, seconds: float, timeout_seconds: float = 60.0
) -> dict[str, Any]:
    """The same, until the image's file is deleted."""
    command = [sys.executable, "-m", "benchmarks.served_requests", str(port), str(clients), str(file)]
    result = subprocess.run([*command, str(seconds), str(timeout_seconds)], check=True, capture_output=True, text=True)
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def as_clients(port: int, clients: int, path: str, seconds: float, timeout_seconds: float) -> dict[str, Any]:
    """What the process of the clients does."""
    file = pathlib.Path(path)
    request = request_of(file.read_bytes())
    latencies: list[float] = []
    codes: collections.Counter[str] = collections.Counter()
    until = time.monotonic() + seconds

    def client() -> None:
        with grpc.insecure_channel(f"localhost:{port}") as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            while time.monotonic() < until and file.exists():
                started = time.monotonic()
                try:
                    stub.Predict(request, timeout=timeout_seconds)
                except grpc.RpcError as error:
                    codes[error.code().name] += 1
                else:
                    codes["OK"] += 1
                    latencies.append(time.monotonic() - started)

    started, cpu_started = time.monotonic(), time.process_time()
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        for future in [pool.submit(client) for _ in range(clients)]:
            future.result()
    seconds = time.monotonic() - started
    return {
        "latencies": latencies,
        "codes": codes,
        "seconds": seconds,
        "cpu_seconds": time.process_time() - cpu_started,
    }


if __name__ == "__main__":
    port, clients, path, seconds, timeout_seconds = sys.argv[1:]
    print(json.dumps(as_clients(int(port), int(clients), path, float(seconds), float(timeout_seconds))))
