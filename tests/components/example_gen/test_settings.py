from __future__ import annotations

import typing

import pydantic
import pytest

from components.example_gen.settings import BadInputSettings, DataSettings, SplitSettings
from components.findings import KINDS


def test_every_kind_of_bad_input_can_be_configured_as_the_table_says() -> None:
    fields = BadInputSettings.model_fields
    assert set(fields) == set(KINDS)
    for name, field in fields.items():
        assert field.default == KINDS[name].default, name
        assert set(typing.get_args(field.annotation)) == set(KINDS[name].treatments), name
        assert field.description, name


def test_findings_carry_the_configured_treatment() -> None:
    settings = BadInputSettings(box_outside="fail")
    assert settings.finding("box_outside", "a.jpg", "line 1", "").treatment == "fail"


def test_settings_survive_their_json() -> None:
    settings = DataSettings(
        format="coco", path="/data/span-{SPAN:3}/v{VERSION}", annotations={"train": "a", "eval": "b"}
    )
    assert DataSettings.model_validate_json(settings.model_dump_json()) == settings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"path": " "}, "must not be empty"),
        ({"path": "/d/{DATE}"}, "unknown placeholder {DATE}; allowed: {SPAN}"),
        ({"path": "/d/{VERSION}"}, "{VERSION} needs {SPAN}"),
        ({"path": "/{SPAN}/{SPAN}"}, "may each stand once"),
        ({"span": 3}, "need {SPAN} in path"),
        ({"span_window": 2}, "need {SPAN} in path"),
        ({"annotations": {}}, "at least one split"),
        ({"images": {}}, "images must name at least one split"),
        ({"images": {"val": "x"}}, "'train', 'eval' or 'test'"),
        ({"annotations": {"valid": "x"}}, "'train', 'eval' or 'test'"),
        ({"max_skipped_images": 1.5}, "less than or equal to 1"),
        ({"bad_input": {"box_outside": "ignore"}}, "'clip', 'drop', 'skip' or 'fail'"),
        ({"split": {"ratios": {"train": 1}}}, "ratios must name train and eval"),
        ({"split": {"ratios": {"train": 1, "eval": 0}}}, "greater than 0"),
        ({"split": {"group_pattern": "("}}, "no regular expression"),
        ({"split": {"group_pattern": "a", "group_by": "b"}}, "not both"),
    ],
)
def test_what_is_refused(values: dict, message: str) -> None:
    with pytest.raises(pydantic.ValidationError) as error:
        DataSettings(**{"format": "coco", "path": "/data", **values})
    assert message in str(error.value)


def test_every_key_is_documented() -> None:
    for section in (DataSettings, SplitSettings, BadInputSettings):
        assert all(field.description for field in section.model_fields.values())
