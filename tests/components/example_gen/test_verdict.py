from __future__ import annotations

import dataclasses

import pytest

from components.example_gen.settings import BadInputSettings
from components.example_gen.verdict import AccountError, check_accounts, similar_names
from components.findings import FindingsSummary


def test_class_names_that_differ_by_what_is_hardly_seen() -> None:
    boxes = {"class/RBC": 5, "class/RBC ": 2, "class/stop sign": 1, "class/Stop  Sign": 1, "class/stop": 7, "listed": 3}
    findings = similar_names(boxes, BadInputSettings())
    assert [(f.kind, f.where, f.treatment) for f in findings] == [("similar_names", "class names", "keep")] * 2
    assert findings[0].found == "'RBC' (5 boxes), 'RBC ' (2 boxes): read as one class 'RBC'"
    assert findings[1].found == "'Stop  Sign' (1 boxes), 'stop sign' (1 boxes): read as 2 classes"


def test_nothing_gets_lost_without_a_finding() -> None:
    good = FindingsSummary(10, 1, 20, 2, {"train": 6, "eval": 3}, {"train": 18}, {}, {})
    check_accounts(good)
    with pytest.raises(AccountError, match="11 images listed, but 9 written and 1 left out"):
        check_accounts(dataclasses.replace(good, listed_images=11))
    with pytest.raises(AccountError, match="20 boxes read, but 17 written and 2 left out"):
        check_accounts(dataclasses.replace(good, boxes={"train": 17}))
