"""The contract of one exported model: everything that servers and clients count on, asked in every loader."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

from schema.contract_report import Check, ContractReport
from serving.contract.batch_checks import check_alone_and_together, check_empty_batch
from serving.contract.damaged_image_check import check_damaged_images
from serving.contract.evaluate_check import check_agreement
from serving.contract.latency import measure_latency
from serving.contract.loaders import CppLoader, Loader, LoadError, PythonLoader, ServerLoader
from serving.contract.options import BATCH, ContractOptions
from serving.contract.probe_images import ImageError, probe_images
from serving.contract.signatures import check_signatures
from serving.contract.thresholds_check import check_thresholds
from serving.contract.warmup_checks import check_warmup


def check_contract(model: pathlib.Path, options: ContractOptions) -> ContractReport:
    """Makes every check that can be made.

    Args:
      model: folder of the SavedModel.
      options: with what.
    """
    makers: list[tuple[str, Callable[[], Loader]]] = [
        (PythonLoader.name, lambda: PythonLoader(model)),
        (CppLoader.name, lambda: CppLoader(model)),
    ]
    if options.server is not None:
        connection = options.server
        makers.append((f"server {connection.server}", lambda: ServerLoader(connection, options.model_name)))
    loaders: list[Loader] = []
    refused = []
    for name, make in makers:
        try:
            loaders.append(make())
        except LoadError as error:
            refused.append(f"{name}: {error}")
    loads = Check(
        "loads",
        not refused,
        "; ".join(refused) or ", ".join(loader.name for loader in loaders),
        "a model that every loader takes",
        "look whether the copy is complete (saved_model.pb, variables/) and the server reachable; else export the "
        "model again",
    )
    if not loaders:
        return ContractReport((loads,))
    try:
        images = probe_images(options.images, options.sides_pixels, BATCH)
    except ImageError as error:
        readable = Check("images", False, str(error), "images that decode", "give others")
        return ContractReport((loads, readable))
    checks = (
        loads,
        *check_signatures(loaders),
        *check_warmup(loaders, model, options.max_reply_bytes),
        check_alone_and_together(loaders, images),
        check_agreement(loaders, loaders[0], images, model),
        check_thresholds(loaders, images, model),
        check_empty_batch(loaders),
        *check_damaged_images(loaders, images),
    )
    # Python's loader is not what serves.
    timed = [loader for loader in loaders if loader.name != PythonLoader.name]
    latencies = (
        latency
        for loader in timed
        for latency in measure_latency(loader, images, options.latency_batch_sizes, options.latency_runs)
    )
    return ContractReport(checks, tuple(latencies))
