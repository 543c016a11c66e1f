"""Which images are worth a look."""

from __future__ import annotations

import hypothesis
import numpy as np
from hypothesis import strategies as st

from components.evaluator.analysis.notable_images import (
    best_score,
    changed_most,
    errors_of,
    surest_alarms,
    worst_misses,
)
from components.evaluator.coco_matching import ImageResult
from tests.components.evaluator.made_images import joined, made_result, perfect


def results(seed: int, count: int = 15) -> list[ImageResult]:
    random = np.random.default_rng(seed)
    return [made_result(random) for _ in range(count)]


@hypothesis.given(st.integers(0, 10**6))
@hypothesis.settings(max_examples=40, deadline=None)
def test_no_other_score_has_a_better_f1(seed: int) -> None:
    images = joined(results(seed))
    found, objects = images.candidate, int((images.truths.area_bits & 1).sum())
    judged = (found.matched_ignored & np.uint64(1)) == 0
    right = (found.matched_counting & np.uint64(1)).astype(bool)

    def f1(score: float) -> float:
        shown = judged & (found.scores >= score)
        return 2 * float((right & shown).sum()) / max(1, int(shown.sum()) + objects)

    best = f1(best_score(images, found))
    assert all(f1(score) <= best + 1e-12 for score in np.unique(found.scores))


@hypothesis.given(st.integers(0, 10**6))
@hypothesis.settings(max_examples=40, deadline=None)
def test_objects_are_found_or_missed_as_coco_counts_them(seed: int) -> None:
    images = joined(results(seed))
    errors = errors_of(images, images.candidate)
    shown = images.candidate.scores >= errors.least_score
    right = shown & (images.candidate.matched_counting & np.uint64(1)).astype(bool)
    counts = (images.truths.area_bits & 1).astype(bool)
    # Each right detection finds one object.
    assert int(counts.sum()) - int(errors.missed.sum()) == int(right.sum())
    assert not (errors.missed & ~counts).any()
    assert int(errors.by_image.sum()) == int(errors.missed.sum()) + int(errors.alarms.sum())


def test_a_perfect_model_has_no_errors() -> None:
    images = joined([perfect(one) for one in results(1)])
    errors = errors_of(images, images.candidate)
    assert not errors.by_image.any()
    assert worst_misses(images, errors, 5) == surest_alarms(images, errors, 5) == []


def test_the_largest_and_the_surest_come_first_and_an_image_once() -> None:
    images = joined(results(2, 40))
    errors = errors_of(images, images.candidate)
    places = worst_misses(images, errors, 40)
    assert len(set(places)) == len(places)
    areas = [images.truths.areas_pixels[errors.missed & (images.truths.images == place)].max() for place in places]
    assert areas == sorted(areas, reverse=True)
    places = surest_alarms(images, errors, 3)
    scores = [images.candidate.scores[errors.alarms & (images.candidate.images == place)].max() for place in places]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == images.candidate.scores[errors.alarms].max()
    assert len(places) == 3


def test_wins_and_losses_are_the_largest_changes() -> None:
    good, bad = [perfect(one) for one in results(3)], results(3)
    # Better in the first images, worse in the last.
    images = joined([*good[:10], *bad[10:]], [*bad[:10], *good[10:]])
    assert images.baseline is not None
    candidate, baseline = errors_of(images, images.candidate), errors_of(images, images.baseline)
    wins, losses = changed_most(candidate, baseline, 4)
    change = candidate.by_image - baseline.by_image
    assert [change[place] for place in wins] == sorted(change)[:4]
    assert set(wins) <= set(range(10))
    assert all(change[place] > 0 for place in losses)
    assert changed_most(candidate, candidate, 4) == ([], [])
