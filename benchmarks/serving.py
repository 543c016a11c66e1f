"""The embedded server beside the SavedModel in process: latency, throughput, overload, swaps, pushes, damaged input.

    python -m benchmarks.serving                          all parts
    python -m benchmarks.serving latency swaps            only these
    python -m benchmarks.serving latency --seconds 2      a look whether it runs

The model is FPNLite 320 with random weights. The server is a process of its own; so are the clients, which are threads
there. Rounds of the server and of the SavedModel alternate, so that a busy machine slows both; one waits while the
other works. `overhead` alternates them call by call: two calls that follow each other are a pair, and the median of the
pairs' ratios is what a request costs beside the model.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import contextlib
import pathlib
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import grpc
import numpy as np
import numpy.typing as npt

from benchmarks.served_requests import IMAGES, Server, ask, ask_while_there, photograph, request_of
from pipeline.tensorflow_environment import prepare_tensorflow

_ROUNDS: Final = 3
_CLIENTS: Final = (1, 4, 16)
_OF_WHAT_THE_OVERHEAD_IS: Final = (
    "Both calls are made by one thread of one process, in turn. The last column is gRPC in Python between two "
    "processes, there and back, with the message parsed and no model asked; the rest of the difference is the look at "
    "what the request holds, the copies to and from TensorFlow, the answer's message and its metrics."
)
_CROWDS: Final = (4, 16, 64)
"""Clients that are more and more too many."""
_BATCHES: Final = (1, 8, 16)
_WARM_UP_PAIRS: Final = 3
_DEADLINE_SECONDS: Final = 0.3
_SWAPS: Final = 20
_MOST_SECONDS_A_SWAP: Final = 60
_FINE: Final = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""What a damaged request may be answered with."""


def _percentiles(latencies: Sequence[float]) -> str:
    p50, p95, p99 = (1000 * float(np.percentile(latencies, share)) for share in (50, 95, 99))
    return f"{p50:.0f} | {p95:.0f} | {p99:.0f}"


def latency(models: pathlib.Path, seconds: float) -> str:
    """p50, p95, p99 and images/s, with the SavedModel in process as the measure."""
    import tensorflow as tf

    function = tf.saved_model.load(str(models / "1")).signatures["serving_default"]
    server = Server(models)
    rows = [
        "| image | who | p50, ms | p95 | p99 | images/s | of the best batch in process |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    try:
        for name in IMAGES:
            image = photograph(name)
            inside: dict[int, list[float]] = {batch: [] for batch in _BATCHES}
            outside: dict[int, list[dict[str, Any]]] = {clients: [] for clients in _CLIENTS}
            for _ in range(_ROUNDS):
                for batch, laps in inside.items():
                    laps.extend(_in_process(function, image, batch, seconds))
                for clients, answers in outside.items():
                    answers.append(ask(server.port, clients, image, seconds))
            best = max(batch / statistics.median(laps) for batch, laps in inside.items())
            for batch, laps in inside.items():
                speed = batch / statistics.median(laps)
                rows.append(
                    f"| {name} | in process, batch {batch} | {_percentiles(laps)} | {speed:.1f} | {speed / best:.2f} |"
                )
            for clients, answers in outside.items():
                latencies = [lap for answer in answers for lap in answer["latencies"]]
                speed = statistics.median(len(answer["latencies"]) / answer["seconds"] for answer in answers)
                rows.append(
                    f"| {name} | {clients} clients | {_percentiles(latencies)} | {speed:.1f} | {speed / best:.2f} |"
                )
    finally:
        server.close()
    return "\n".join(rows)


def _in_process(function: Callable[..., Mapping[str, Any]], image: bytes, batch: int, seconds: float) -> list[float]:
    import tensorflow as tf

    images, laps = tf.constant([image] * batch), []
    for array in function(image_bytes=images).values():
        array.numpy()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        started = time.monotonic()
        for array in function(image_bytes=images).values():
            array.numpy()
        laps.append(time.monotonic() - started)
    return laps


def overhead(models: pathlib.Path, seconds: float) -> str:
    """What one client at batch 1 waits for beside the model, by pairs of calls; and a call that gets to no model."""
    import tensorflow as tf

    function = tf.saved_model.load(str(models / "1")).signatures["serving_default"]
    server = Server(models)
    rows = [
        "| image | in process, p50, ms | over gRPC | beside in process, median of the pairs | 95 % of it "
        "| the same message to no model, p50, ms |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    try:
        with server.stub() as stub:
            for name in IMAGES:
                image = photograph(name)
                request, images = request_of(image), tf.constant([image])
                astray = request_of(image)
                astray.model_spec.name = "nobody"
                laps: list[tuple[float, float, float]] = []
                until = time.monotonic() + 4 * seconds
                while time.monotonic() < until:
                    started = time.perf_counter()
                    for array in function(image_bytes=images).values():
                        array.numpy()
                    called = time.perf_counter()
                    stub.Predict(request, timeout=60)
                    answered = time.perf_counter()
                    # Behind a model, like any other: the processor's caches are full of its weights.
                    with contextlib.suppress(grpc.RpcError):
                        stub.Predict(astray, timeout=60)
                    laps.append((called - started, answered - called, time.perf_counter() - answered))
                rows.append(f"| {name} | {_paired(np.array(laps[_WARM_UP_PAIRS:]))} |")
    finally:
        server.close()
    return "\n".join([*rows, "", _OF_WHAT_THE_OVERHEAD_IS])


def _paired(laps: npt.NDArray[np.float64]) -> str:
    """Medians, and that of the ratio of the first two with its interval by resampling; `laps` is [N, 3] in seconds."""
    ratios = laps[:, 1] / laps[:, 0]
    drawn = np.random.default_rng(0).choice(ratios, (1000, len(ratios)))
    low, high = np.quantile(np.median(drawn, axis=1), (0.025, 0.975))
    inside, outside, astray = 1000 * np.median(laps, axis=0)
    return f"{inside:.1f} | {outside:.1f} | {np.median(ratios):.3f} | {low:.3f} to {high:.3f} | {astray:.1f}"


def overload(models: pathlib.Path, seconds: float) -> str:
    """Good answers a second when more is asked for than can be given, and who takes the processor."""
    server = Server(models)
    rows = [
        "| clients, deadline 0.3 s | good answers/s | cores that the server takes | the clients "
        "| CPU of the server, ms a good answer | others |",
        "|---:|---:|---:|---:|---:|---|",
    ]
    rates: dict[int, list[float]] = {clients: [] for clients in _CROWDS}
    codes: dict[int, collections.Counter[str]] = {clients: collections.Counter() for clients in _CROWDS}
    # Seconds, those of the server's processor time, and of the clients'.
    spent = {clients: np.zeros(3) for clients in _CROWDS}
    try:
        image = photograph("25 KB")
        ask(server.port, 4, image, seconds)
        for _ in range(_ROUNDS):
            for clients in _CROWDS:
                before = server.cpu_seconds()
                answer = ask(server.port, clients, image, seconds, _DEADLINE_SECONDS)
                rates[clients].append(answer["codes"].get("OK", 0) / answer["seconds"])
                codes[clients].update(answer["codes"])
                spent[clients] += answer["seconds"], server.cpu_seconds() - before, answer["cpu_seconds"]
    finally:
        server.close()
    for clients, counted in codes.items():
        good = counted.pop("OK", 0)
        others = ", ".join(f"{code} {count}" for code, count in counted.items()) or "none"
        _, of_server, of_clients = spent[clients] / spent[clients][0]
        rows.append(
            f"| {clients} | {statistics.median(rates[clients]):.1f} | {of_server:.2f} | {of_clients:.2f} "
            f"| {1000 * spent[clients][1] / max(1, good):.0f} | {others} |"
        )
    return "\n".join(rows)


def swaps(models: pathlib.Path, seconds: float) -> str:
    """Versions pushed under the load of four clients."""
    server = Server(models, "--file_system_poll_wait_seconds", "0.2")
    image, versions = photograph("25 KB"), range(2, 2 + _SWAPS)
    try:
        ask(server.port, 4, image, seconds)
        quiet = ask(server.port, 4, image, 3 * seconds)
        with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(1) as pool:
            file = pathlib.Path(folder) / "image.jpg"
            file.write_bytes(image)
            busy = pool.submit(ask_while_there, server.port, 4, file, _SWAPS * _MOST_SECONDS_A_SWAP)
            try:
                for version in versions:
                    _push(models, version)
                    server.wait_for(f"serving detector version {version}", _MOST_SECONDS_A_SWAP)
            finally:
                file.unlink()
            during = busy.result()
        loaded = sum("serving detector version" in line for line in server.lines)
    finally:
        server.close()
        for version in versions:
            shutil.rmtree(models / str(version), ignore_errors=True)
    failed = sum(count for code, count in during["codes"].items() if code != "OK")
    return (
        "| | p50, ms | p95 | p99 | answers | failed |\n|---|---:|---:|---:|---:|---:|\n"
        f"| quiet | {_percentiles(quiet['latencies'])} | {len(quiet['latencies'])} | 0 |\n"
        f"| {loaded} swaps | {_percentiles(during['latencies'])} | {len(during['latencies'])} | {failed} |"
    )


def _push(models: pathlib.Path, version: int) -> None:
    """As a careful push does: beside, then renamed."""
    shutil.copytree(models / "1", models / f".{version}")
    (models / f".{version}").rename(models / str(version))


def pushes(models: pathlib.Path, seconds: float) -> str:
    """Plain copies, file by file, that stop at a random point: none of them may ever answer."""
    server = Server(models, "--file_system_poll_wait_seconds", "0.05")
    generator, request, wrong = random.Random(0), request_of(photograph("25 KB")), 0
    stopped = max(4, min(100, round(25 * seconds)))
    files = sorted(path for path in (models / "1").rglob("*") if path.is_file())
    essential = {"saved_model.pb", "variables.index", "variables.data-00000-of-00001"}
    try:
        with server.stub() as stub:
            for version in range(2, 2 + stopped):
                generator.shuffle(files)
                # At least one file that the model needs is cut or missing.
                broken = next(number for number, file in enumerate(files) if file.name in essential)
                for file in files[: broken + 1]:
                    target = models / str(version) / file.relative_to(models / "1")
                    target.parent.mkdir(parents=True, exist_ok=True)
                    content = file.read_bytes()
                    cut = file == files[broken]
                    target.write_bytes(content[: generator.randrange(len(content))] if cut else content)
                time.sleep(0.2)
                wrong += stub.Predict(request, timeout=60).model_spec.version.value != 1
            time.sleep(1)
            wrong += stub.Predict(request, timeout=60).model_spec.version.value != 1
    finally:
        server.close()
        for version in range(2, 2 + stopped):
            shutil.rmtree(models / str(version), ignore_errors=True)
    return f"| pushes stopped in the middle | answers by a broken version |\n|---:|---:|\n| {stopped} | {wrong} |"


def damage(models: pathlib.Path, seconds: float) -> str:
    """Damaged images and damaged requests: what they are answered with, and memory before and after."""
    server, generator = Server(models), random.Random(0)
    count = max(50, round(2500 * seconds))
    image = photograph("25 KB")
    whole = request_of(image).SerializeToString()
    codes: dict[str, collections.Counter[str]] = {}
    try:
        with server.stub() as stub, grpc.insecure_channel(f"localhost:{server.port}") as channel:
            raw = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
            stub.Predict(request_of(image), timeout=60)
            memory_mb = [server.memory_mb()]
            for kind in ("images", "requests"):
                codes[kind] = collections.Counter()
                for number in range(1, count + 1):
                    serialized = (
                        request_of(_mutated(image, generator)).SerializeToString()
                        if kind == "images"
                        else _mutated(whole, generator)
                    )
                    codes[kind][_code(raw, serialized)] += 1
                    if number % (count // 4) == 0:
                        memory_mb.append(server.memory_mb())
    finally:
        server.close()
    fine = {code.name for code in _FINE}
    rows = ["| damaged | how many | answered | of these not well-formed |", "|---|---:|---|---:|"]
    for kind, found in codes.items():
        bad = sum(number for code, number in found.items() if code not in fine)
        rows.append(f"| {kind} | {count} | {', '.join(f'{code} {n}' for code, n in found.most_common())} | {bad} |")
    steps = ", ".join(f"{value:.0f}" for value in memory_mb)
    return (
        "\n".join(rows) + f"\n\nMemory of the server in MB, after the first request and every eighth of these: {steps}."
    )


def memory(models: pathlib.Path, seconds: float) -> str:
    """Memory while whole requests are answered; what a request leaves behind does not depend on the network's size."""
    count = max(80, round(5000 * seconds))
    request = request_of(photograph("25 KB"))
    small = models / "small"
    _export(small, side=96, alpha=0.35, fpn_depth=16, num_head_layers=1)
    server = Server(small)
    try:
        with server.stub() as stub, concurrent.futures.ThreadPoolExecutor(_CLIENTS[1]) as pool:
            memory_mb = []
            for _ in range(9):
                # The first ones are for the pools of threads and of memory to grow.
                for _ in pool.map(lambda _: stub.Predict(request, timeout=60), range(count // 8)):
                    pass
                memory_mb.append(server.memory_mb())
    finally:
        server.close()
        shutil.rmtree(small)
    steps = ", ".join(f"{value:.0f}" for value in memory_mb)
    return (
        f"Memory of the server in MB after {count // 8} requests of {_CLIENTS[1]} clients to a small detector, and "
        f"after every eighth of {count} more, all of them answered: {steps}."
    )


def _code(raw: Any, serialized: bytes) -> str:
    try:
        raw(serialized, timeout=60)
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def _mutated(data: bytes, generator: random.Random) -> bytes:
    """Bytes changed, cut out, doubled or cut off."""
    changed = bytearray(data)
    for _ in range(generator.choice((1, 2, 8, 64))):
        at = generator.randrange(len(changed))
        match generator.randrange(4):
            case 0:
                changed[at] = generator.randrange(256)
            case 1:
                del changed[at : at + generator.randrange(1, 64)]
            case 2:
                changed[at:at] = changed[at : at + generator.randrange(1, 64)]
            case _:
                changed[at:] = changed[at : at + generator.randrange(1, len(changed) + 1)]
        if not changed:
            changed = bytearray(b"\0")
    return bytes(changed)


PARTS: Final[Mapping[str, Callable[[pathlib.Path, float], str]]] = {
    "latency": latency,
    "overhead": overhead,
    "overload": overload,
    "swaps": swaps,
    "pushes": pushes,
    "damage": damage,
    "memory": memory,
}


def _export(folder: pathlib.Path, side: int = 320, **options: Any) -> None:
    from components.detector.registry import build_detector
    from components.export.saved_model import export
    from schema.label_map import LabelMap

    names = [f"class {number}" for number in range(10)]
    detector = build_detector("ssd_mobilenet_v2_fpnlite", num_classes=len(names), image_size=(side, side), **options)
    export(str(folder / "1"), detector, LabelMap.of_names(names), serving_batch_size=8)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="PART", help=f"which (default: all): {', '.join(PARTS)}")
    parser.add_argument("--seconds", type=float, default=4.0, help="of a round (default: %(default)s)")
    options = parser.parse_args(argv)
    if unknown := set(options.names) - PARTS.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    prepare_tensorflow()
    with tempfile.TemporaryDirectory() as folder:
        models = pathlib.Path(folder)
        _export(models)
        for name in options.names or PARTS:
            print(PARTS[name](models, options.seconds), end="\n\n", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
