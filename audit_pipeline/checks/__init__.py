"""Stage 5: known failure modes of the input, the prediction and the explanation, each a finding with its evidence."""

from audit_pipeline.checks.decide import LEAST_STUDIES
from audit_pipeline.checks.error_rates import ErrorRates, error_rates, rates_of
from audit_pipeline.checks.families import catalogue
from audit_pipeline.checks.grids import resampled, touched
from audit_pipeline.checks.masks import Masks, masks_of
from audit_pipeline.checks.ocr import text_reader
from audit_pipeline.checks.run import ask, judge_each_map, planned, run_checks
from audit_pipeline.checks.settings import check_settings_schema, validate_settings
from audit_pipeline.checks.source_slices import grey_of
from audit_pipeline.checks.text_mask import letters_of
from audit_pipeline.checks.traits import quantiles_of, thumbnail_of
from audit_pipeline.checks.unbuilt import UNBUILT
from audit_pipeline.checks.verdicts import verdict

__all__ = [
    "LEAST_STUDIES",
    "UNBUILT",
    "ErrorRates",
    "Masks",
    "ask",
    "catalogue",
    "check_settings_schema",
    "error_rates",
    "grey_of",
    "judge_each_map",
    "letters_of",
    "masks_of",
    "planned",
    "quantiles_of",
    "rates_of",
    "resampled",
    "run_checks",
    "text_reader",
    "thumbnail_of",
    "touched",
    "validate_settings",
    "verdict",
]
