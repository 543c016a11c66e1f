"""The gate: one pure function from matched images and the config's bounds to a verdict."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from components.evaluator.bootstrap import Quantity, Resamples, SliceResamples, interval
from components.evaluator.check import OVERALL, BoundKind, Check, SliceValues, Status
from components.evaluator.coco import class_metric
from components.evaluator.coco_matching import Floats
from components.evaluator.gate_settings import (
    EVERY_CLASS,
    Accept,
    ClassFloor,
    Drop,
    Floor,
    Gates,
    SliceFloor,
    Undecided,
)
from components.evaluator.matched_images import MatchedImages
from components.evaluator.settings import CLASS_COLUMN, EvalSettings
from components.evaluator.verdict import Verdict

NO_BASELINE: Final = "no blessed model to compare with"
_NOTHING_THERE: Final = "no such object or class there"
_NO_KNOWN_CLASS: Final = "no image shows a class that the last blessed model knows"
_MOST_CLASSES_A_LINE: Final = 8
_MOST_IMAGES_TO_TELL: Final = 1_000_000


def judge(
    images: MatchedImages,
    settings: EvalSettings,
    model: int = 0,
    baseline_problem: str = "",
    drawn: SliceResamples | None = None,
) -> Verdict:
    """Decides on the candidate.

    Args:
      images: what candidate and baseline found in the images of the judged split.
      settings: the bounds, and the slices whose names are checked.
      model: number of the candidate in ML Metadata, for a blessing by hand.
      baseline_problem: why there is a last blessed model that cannot be compared with; empty otherwise. Whether a bound
        on a drop is met cannot be told then.
      drawn: resamples of the images, ``gates.resamples`` of them, that others use too; drawn here when left out.

    Returns:
      The verdict: blessed when no check refuses the model, or by hand.
    """
    gates = settings.gates
    drawn = drawn or SliceResamples(images, gates.resamples)
    whole = drawn.of()
    checks = (
        *_floors(whole, gates),
        *_drops(whole, gates, baseline_problem),
        *_slice_floors(drawn, gates),
        *_class_floors(whole, gates),
    )
    refused = any(check.refuses for check in checks)
    accepted = gates.accept if refused and _is_meant(gates.accept, model) else None
    return Verdict(
        blessed=not refused or accepted is not None,
        checks=checks,
        is_compared=images.baseline is not None,
        model=model,
        accepted_by=accepted.by if accepted else "",
        accepted_because=accepted.reason if accepted else "",
        notes=tuple(_notes(images, settings, model, baseline_problem)),
    )


def _is_meant(accept: Accept | None, model: int) -> bool:
    return accept is not None and accept.model in (None, model)


@dataclasses.dataclass(frozen=True)
class _Bound:
    """A bound on one quantity; the fields that ``Check`` has too are meant as there."""

    metric: str
    quantity: Quantity
    kind: BoundKind
    bound: float
    confidence: float
    undecided: Undecided
    slice_values: SliceValues = OVERALL
    is_on_earlier_spans: bool = False

    def check(self, status: Status, **values: object) -> Check:
        """A line of the verdict on this bound."""
        return Check(
            self.metric,
            self.slice_values,
            self.kind,
            self.bound,
            status,
            confidence=self.confidence,
            undecided=self.undecided,
            is_on_earlier_spans=self.is_on_earlier_spans,
            **values,  # type: ignore[arg-type]
        )


def _floor(
    gates: Gates,
    floor: Floor | SliceFloor | ClassFloor,
    metric: str,
    quantity: Quantity,
    slice_values: SliceValues = OVERALL,
) -> _Bound:
    confidence = gates.confidence if floor.confidence is None else floor.confidence
    return _Bound(metric, quantity, "minimum", floor.min, confidence, floor.undecided or "refuse", slice_values)


def _floors(whole: Resamples, gates: Gates) -> list[Check]:
    images = whole.images
    every = tuple(range(len(images.class_names)))
    bounds = [_floor(gates, floor, m, Quantity(m, every)) for m, floor in gates.minimum.items()]
    ap = _mean_metric(whole.metrics[0], images, Quantity("AP", every))
    if math.isnan(ap) and "AP" not in gates.minimum:  # nothing to judge by blesses nobody
        bounds.append(_Bound("AP", Quantity("AP", every), "minimum", 0.0, gates.confidence, "refuse"))
    return _checked(whole, bounds)


def _drops(whole: Resamples, gates: Gates, baseline_problem: str) -> list[Check]:
    images = whole.images
    known = images.class_names if images.known_before is None else images.known_before
    shown = images.images_with_class
    classes = tuple(index for index, name in enumerate(images.class_names) if name in known)
    shows_nothing = not any(shown[images.class_names[index]] for index in classes)
    newest = max((image.span for image in images.images if image.span is not None), default=0)
    is_earlier = np.array([image.span is not None and image.span < newest for image in images.images], np.bool_)
    needed = max(gates.min_images, 1)
    checks = []
    for drops, on_earlier in ((gates.max_drop, False), (gates.forgetting, True)):
        bounds = [bound for m, drop in drops.items() for bound in _drop_bounds(gates, drop, Quantity(m, classes))]
        bounds = [dataclasses.replace(bound, is_on_earlier_spans=on_earlier) for bound in bounds]
        count = int(is_earlier.sum())
        if baseline_problem:
            checks += [bound.check("cannot tell", reason=baseline_problem) for bound in bounds]
            continue
        if images.baseline is None:
            reason = NO_BASELINE
        elif on_earlier and count < needed:
            reason = f"{count} images, needs {needed} (data.span_window: spans to read together)"
        elif shows_nothing:
            reason = _NO_KNOWN_CLASS
        else:
            chosen = Resamples(images.select(is_earlier), gates.resamples) if on_earlier else whole
            checks += _checked(chosen, bounds)
            continue
        checks += [bound.check("not judged", reason=reason) for bound in bounds]
    return checks


def _drop_bounds(gates: Gates, drop: Drop, quantity: Quantity) -> Iterator[_Bound]:
    confidence = gates.confidence if drop.confidence is None else drop.confidence
    kinds: tuple[tuple[BoundKind, float | None], ...] = (
        ("absolute drop", drop.absolute),
        ("relative drop", drop.relative),
    )
    for kind, allowed in kinds:
        if allowed is not None:
            yield _Bound(quantity.metric, quantity, kind, allowed, confidence, drop.undecided or "bless")


def _slice_floors(drawn: SliceResamples, gates: Gates) -> list[Check]:
    images = drawn.images
    checks = []
    every = tuple(range(len(images.class_names)))
    columns = {column for image in images.images for column in image.columns}
    for floor in gates.slice_floors:
        values, setting = floor.slice_values, "eval.gates.slice_floors"
        bound = _floor(gates, floor, floor.metric, Quantity(floor.metric, every), values)
        complaints = [_complaint_about_column(column, setting, columns) for column in floor.slice]
        if CLASS_COLUMN in floor.slice:
            complaints.append(_complaint_about_class(floor.slice[CLASS_COLUMN], setting, images.class_names))
        complaint = "; ".join(filter(None, complaints))
        chosen = drawn.of(values)
        count = len(chosen.images.images)
        if complaint:
            checks.append(bound.check("not met", reason=complaint))
        elif count < gates.min_images:
            checks.append(_too_few(bound, count, gates))
        else:
            checks += _checked(chosen, [bound])
    return checks


def _class_floors(whole: Resamples, gates: Gates) -> list[Check]:
    images = whole.images
    checks, bounds = [], []
    shown = images.images_with_class
    for floor in gates.class_floors:
        complaint = ""
        if floor.class_name == EVERY_CLASS:
            names = images.class_names
        else:
            names = (floor.class_name,)
            complaint = _complaint_about_class(floor.class_name, "eval.gates.class_floors", images.class_names)
        for name in names:
            index = (images.class_names.index(name),) if name in shown else ()
            metric = class_metric(floor.metric, name)
            bound = _floor(gates, floor, metric, Quantity(floor.metric, index))
            if complaint:
                checks.append(bound.check("not met", reason=complaint))
            elif shown[name] < gates.min_images:
                checks.append(_too_few(bound, shown[name], gates))
            else:
                bounds.append(bound)
    return [*_checked(whole, bounds), *checks]


def _too_few(bound: _Bound, count: int, gates: Gates) -> Check:
    return bound.check("not judged", images=count, reason=f"{count} images, needs {gates.min_images}")


def _checked(resamples: Resamples, bounds: Sequence[_Bound]) -> list[Check]:
    """Every bound on the images of the resamples."""
    if not bounds:
        return []
    images = resamples.images
    if images.images:
        resamples.values([bound.quantity for bound in bounds if bound.confidence > 0])  # all at once, and kept
    checks = []
    for bound in bounds:
        measured = [_mean_metric(of_model, images, bound.quantity) for of_model in resamples.metrics]
        checks.append(_one_check(resamples, bound, measured))
    return checks


def _one_check(resamples: Resamples, bound: _Bound, measured: Sequence[float]) -> Check:
    """Compares the interval with the bound.

    Args:
      resamples: of the images that were measured.
      bound: to compare with.
      measured: the quantity of the candidate and, where there is one, of the baseline.
    """
    count = len(resamples.images.images)
    is_floor = bound.kind == "minimum"
    value = measured[0] if is_floor else float(_drop(bound.kind, np.array(measured[0]), np.array(measured[1])))
    said: dict[str, object] = {"value": value, "images": count}
    if not is_floor:
        said["baseline"] = measured[1]
    if math.isnan(value):
        return bound.check("not met", **said, reason=_NOTHING_THERE)
    low = high = value
    if bound.confidence > 0:
        resampled = [values[0] for values in resamples.values([bound.quantity])]
        spread = resampled[0] if is_floor else _drop(bound.kind, resampled[0], resampled[1])
        found = interval(spread, resamples.num_clusters, bound.confidence)
        if found is None:
            return bound.check("cannot tell", **said)
        low, high = _widened(found, resamples.num_clusters, bound.confidence) if is_floor else found
        said |= {"low": low, "high": high}
    if is_floor:
        status: Status = "met" if low >= bound.bound else "not met" if high < bound.bound else "cannot tell"
    else:
        status = "met" if high <= bound.bound else "not met" if low > bound.bound else "cannot tell"
    if status == "cannot tell":
        said["images_to_tell"] = _images_to_tell(count, value, low, high, bound.bound)
    return bound.check(status, **said)


def _drop(kind: BoundKind, candidate: Floats, baseline: Floats) -> Floats:
    """How far the candidate is below the baseline, as a difference or as a share; of nothing, nothing can be lost."""
    lost = baseline - candidate
    if kind == "absolute drop":
        return lost
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(baseline == 0, 0.0, lost / baseline)


def _widened(found: tuple[float, float], num_clusters: int, confidence: float) -> tuple[float, float]:
    """The interval where all resamples agree: images that all came out alike say little about those not seen.

    What none of n images shows may, with the given confidence, still be true of a share 1 - (tail)^(1/n) of all images
    (Clopper & Pearson 1934), and have nothing in common with those at hand.
    """
    low, high = found
    if high > low:
        return found
    unseen = 1 - ((1 - confidence) / 2) ** (1 / num_clusters)
    return low * (1 - unseen), high + (1 - high) * unseen


def _images_to_tell(count: int, value: float, low: float, high: float, bound: float) -> int | None:
    """Images that would make the interval end at the bound: its width falls with the square root of their number."""
    half_width = value - low if value > bound else high - value
    distance = abs(value - bound)
    if count * half_width**2 > _MOST_IMAGES_TO_TELL * distance**2:
        return None
    return max(math.ceil(count * (half_width / distance) ** 2), count + 1)


def _mean_metric(metrics: dict[str, float], images: MatchedImages, quantity: Quantity) -> float:
    values = [metrics[class_metric(quantity.metric, images.class_names[index])] for index in quantity.classes]
    there = [value for value in values if not math.isnan(value)]
    return float(np.mean(there)) if there else math.nan


def _complaint_about_column(column: str, setting: str, columns: set[str]) -> str:
    """Why a column in the config is none, empty when it is one."""
    return _complaint(f"{setting} names the column {column!r}, which no image has", column, sorted(columns))


def _complaint_about_class(name: str, setting: str, classes: Sequence[str]) -> str:
    """Why a class in the config is none, empty when it is one."""
    what = f"{setting} names the class {name!r}, which neither the model nor the ground truth knows"
    return _complaint(what, name, classes)


def _complaint(what: str, name: str, known: Sequence[str]) -> str:
    if name in known:
        return ""
    nearest = difflib.get_close_matches(name, known, n=1)
    return f"{what}; did you mean {nearest[0]!r}?" if nearest else what


def _notes(images: MatchedImages, settings: EvalSettings, model: int, baseline_problem: str) -> Iterator[str]:
    gates = settings.gates
    if baseline_problem:
        yield f"the last blessed model could not be compared with: {baseline_problem}"
    known_before = images.known_before or ()
    new = [name for name, count in images.images_with_class.items() if count and name not in known_before]
    if known_before and new and (gates.max_drop or gates.forgetting):
        more = f" and {len(new) - _MOST_CLASSES_A_LINE} more" if len(new) > _MOST_CLASSES_A_LINE else ""
        yield (
            "compared with the last blessed model over the classes that it knows, without "
            f"{', '.join(new[:_MOST_CLASSES_A_LINE])}{more}"
        )
    columns = {column for image in images.images for column in image.columns}
    complaints = (_complaint_about_column(name, "eval.slices", columns) for entry in settings.slices for name in entry)
    if images.images:
        yield from dict.fromkeys(filter(None, complaints))
    if gates.accept and not _is_meant(gates.accept, model):
        yield f"eval.gates.accept is of the model {gates.accept.model}, this one is {model}: take it out of the config"
