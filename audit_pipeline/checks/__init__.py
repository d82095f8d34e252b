"""Stage 5: known failure modes of the input, the prediction and the explanation, each a finding with its evidence."""

from audit_pipeline.checks.decide import LEAST_STUDIES
from audit_pipeline.checks.error_rates import ErrorRates, error_rates, rates_of
from audit_pipeline.checks.families import catalogue
from audit_pipeline.checks.masks import Masks, masks_of
from audit_pipeline.checks.run import ask, judge_each_map, planned, run_checks
from audit_pipeline.checks.settings import check_settings_schema, validate_settings
from audit_pipeline.checks.traits import quantiles_of, thumbnail_of
from audit_pipeline.checks.verdicts import verdict

__all__ = [
    "LEAST_STUDIES",
    "ErrorRates",
    "Masks",
    "ask",
    "catalogue",
    "check_settings_schema",
    "error_rates",
    "judge_each_map",
    "masks_of",
    "planned",
    "quantiles_of",
    "rates_of",
    "run_checks",
    "thumbnail_of",
    "validate_settings",
    "verdict",
]
