"""Images that do not decode: named by their index, or failing alone where the caller asks for it."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
import numpy as np

from schema import exported_model as names
from schema.contract_report import Check
from serving.contract.answers import Answer, difference
from serving.contract.loaders import Loader
from serving.contract.probe_images import Files, damaged_files
from serving.contract.problems import Problems
from serving.protocol.errors import RequestError


def check_damaged_images(loaders: Sequence[Loader], images: Files) -> list[Check]:
    """Does the error of `serving_default` name the index; does `serving_tolerant` answer the images beside it."""
    bad = damaged_files(images[0])
    # Good ones first, between and last: an index that is always the same would be found out.
    mixed, damaged = np.concatenate([images[:1], bad[:1], images[1:2], bad[1:], images[2:3]]), [1, 3, 4]
    return [_check_named(loaders, mixed, damaged), _check_alone(loaders, mixed, damaged)]


def _check_named(loaders: Sequence[Loader], mixed: Files, damaged: list[int]) -> Check:
    problems, good = Problems(), np.delete(mixed, damaged)
    # Each one alone, behind one good image, two and three; then all of them. A server that looks at the files before it
    # decodes them may name those first that it knows of by then, but no others.
    batches = [(np.append(good[: n + 1], mixed[[index]]), [n + 1]) for n, index in enumerate(damaged)]
    for loader in loaders:
        for batch, expected in (*batches, (mixed, damaged)):
            with problems.of(loader, names.SERVING_SIGNATURE):
                try:
                    loader.run(names.SERVING_SIGNATURE, {names.IMAGE_BYTES: batch})
                except RequestError as error:
                    told = names.unreadable_indices(error.message)
                    if error.code != grpc.StatusCode.INVALID_ARGUMENT or not told or not set(told) <= set(expected):
                        problems.note(f"{error.code.name}: {error.message}, where images {expected} are damaged")
                else:
                    problems.note(f"an answer, although images {expected} are damaged")
    return Check(
        "damaged image named",
        not problems,
        str(problems) or f"INVALID_ARGUMENT names each of {len(damaged)} damaged images",
        f"INVALID_ARGUMENT with `{names.UNREADABLE_IMAGE} at index` and the indices",
        "decode with components.image_decoding.decode_upright_if_readable, and assert inside the graph",
    )


def _check_alone(loaders: Sequence[Loader], mixed: Files, damaged: list[int]) -> Check:
    problems = Problems()
    good = [index for index in range(len(mixed)) if index not in damaged]
    for loader in loaders:
        with problems.of(loader, names.TOLERANT_SIGNATURE):
            outputs = loader.run(names.TOLERANT_SIGNATURE, {names.IMAGE_BYTES: mixed})
            answers, errors = Answer.all_of(outputs), outputs[names.IMAGE_ERRORS].tolist()
            told = [index for index, error in enumerate(errors) if error]
            if told != damaged:
                problems.note(f"{names.IMAGE_ERRORS} for the images {told}, where {damaged} are damaged")
            made_up = [index for index in damaged if answers[index].scores.size]
            if made_up:
                problems.note(f"detections in the images {made_up}, which are damaged")
            expected = Answer.all_of(loader.run(names.SERVING_SIGNATURE, {names.IMAGE_BYTES: mixed[good]}))
            problems.note(difference([answers[index] for index in good], expected))
    return Check(
        "damaged image fails alone",
        not problems,
        str(problems)
        or f"{names.TOLERANT_SIGNATURE} answers the {len(good)} images beside {len(damaged)} damaged ones",
        f"{names.IMAGE_ERRORS} for each damaged image, no detections in it, and the others as without it",
        f"export the model again: {names.TOLERANT_SIGNATURE} of components.export does this",
    )
