"""Why a device model was refused, in words: the checks of a verdict whose baseline is the SavedModel."""

from __future__ import annotations

import math

from components.evaluator.check import Check
from components.evaluator.verdict import Verdict


def reasons_of(verdict: Verdict) -> tuple[str, ...]:
    """A sentence for each check that refuses the model; empty when it is blessed."""
    return tuple(_reason(check) for check in verdict.checks if check.refuses)


def _reason(check: Check) -> str:
    if check.baseline is None or math.isnan(check.value):
        return f"{check.metric} could not be computed: {check.reason or 'there is nothing to judge by'}"
    unit = "" if check.kind == "absolute drop" else " of it"
    interval = (
        "" if math.isnan(check.low) else f" ({100 * check.confidence:g} % sure: {check.low:.4f} to {check.high:.4f})"
    )
    found = f"{check.metric} is {check.value:.4f}{unit}{interval} below the SavedModel's {check.baseline:.4f}"
    if check.status == "cannot tell":
        more = "" if check.images_to_tell is None else f"; about {check.images_to_tell} could"
        return f"{found}: {check.images} images cannot tell whether it is at most {check.bound:g}{more}"
    return f"{found}, at most {check.bound:g} is allowed"
