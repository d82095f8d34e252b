"""The checks section of the configuration is checked against the checks themselves."""

import pytest

from audit_pipeline.checks import catalogue, check_settings_schema, validate_settings
from audit_pipeline.checks.settings import is_disabled
from audit_pipeline.config import ChecksSection
from audit_pipeline.errors import ConfigError


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"near_treshold": {}}, "checks.near_treshold: unknown check 'near_treshold'; did you mean 'near_threshold'"),
        (
            {"near_threshold": {"margn": 1}},
            "checks.near_threshold.margn: unknown setting 'margn'; did you mean 'margin'",
        ),
        ({"near_threshold": {"margin": "wide"}}, "needs a finite number not below 0, found 'wide'"),
        ({"near_threshold": {"margin": True}}, "needs a finite number not below 0, found True"),
        ({"near_threshold": {"margin": -0.1}}, "needs a finite number not below 0, found -0.1"),
        ({"near_threshold": {"margin": float("nan")}}, "needs a finite number not below 0, found nan"),
        (
            {"outside_body": {"shifts": 2.5}},
            "checks.outside_body.shifts: needs a finite integer not below 0, found 2.5",
        ),
        ({"level": "deep"}, "checks.level: 'level' stands in another section: write audit.level."),
        ({"near_threshold": 0.05}, "checks.near_threshold: needs a mapping of settings, found 0.05"),
        ({"disable": ["empty_mp"]}, "checks.disable: unknown check 'empty_mp'; did you mean 'empty_map'"),
        ({"disable": ["D5"]}, "checks.disable: unknown check 'D5'"),
        ({"wrong_input": {"age": 3}}, "checks.wrong_input.age: unknown setting 'age'. Known: none"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_path_and_the_nearest_name(content, message):
    with pytest.raises(ConfigError) as refused:
        validate_settings(ChecksSection(**content))
    assert message in str(refused.value)


def test_all_problems_are_told_at_once():
    with pytest.raises(ConfigError) as refused:
        validate_settings(ChecksSection(disable=["nothing"], near_threshold={"margin": "x"}))
    assert len(str(refused.value).splitlines()) == 2


def test_an_integer_is_a_number_and_right_settings_are_accepted():
    validate_settings(ChecksSection(disable=["D05", "diffuse_map"], near_threshold={"margin": 0}))


def test_a_check_is_disabled_by_name_or_by_code():
    entry = catalogue()["empty_map"]
    assert is_disabled(entry, ChecksSection(disable=["D05"]))
    assert is_disabled(entry, ChecksSection(disable=["empty_map"]))
    assert not is_disabled(entry, ChecksSection(disable=["D09"]))


def test_the_schema_has_every_check_with_its_keywords_types_and_defaults():
    schema = check_settings_schema()
    assert list(schema) == list(catalogue())
    assert schema["near_threshold"]["properties"]["margin"] == {"type": "number", "default": 0.05, "minimum": 0}
    assert schema["outside_body"]["properties"]["shifts"]["type"] == "integer"
    assert all(one["additionalProperties"] is False for one in schema.values())
