"""Stage 5: known failure modes of the input, the prediction and the explanation, each a finding with its evidence."""

from audit_pipeline.checks.families import catalogue
from audit_pipeline.checks.masks import body_mask
from audit_pipeline.checks.run import judge_each_map, run_checks
from audit_pipeline.checks.settings import check_settings_schema, validate_settings
from audit_pipeline.checks.verdicts import verdict

__all__ = [
    "body_mask",
    "catalogue",
    "check_settings_schema",
    "judge_each_map",
    "run_checks",
    "validate_settings",
    "verdict",
]
