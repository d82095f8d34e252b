"""Stage 5: known failure modes of the input, the prediction and the explanation, each a finding with its evidence."""

from audit_pipeline.checks.families import catalogue
from audit_pipeline.checks.masks import Masks, masks_of
from audit_pipeline.checks.run import ask, judge_each_map, planned, run_checks
from audit_pipeline.checks.settings import check_settings_schema, validate_settings
from audit_pipeline.checks.verdicts import verdict

__all__ = [
    "Masks",
    "ask",
    "catalogue",
    "check_settings_schema",
    "judge_each_map",
    "masks_of",
    "planned",
    "run_checks",
    "validate_settings",
    "verdict",
]
