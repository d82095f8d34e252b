"""Stage 1, load: DICOM and NIfTI files become images whose every voxel has a known value, unit and place.

The steps, each a module: discover, index, screen, group, geometry, pixels, values, deliver.
"""

from audit_pipeline.load.discover import StudySource, find_studies
from audit_pipeline.load.facts import StudyFacts, facts_of, site_name
from audit_pipeline.load.labels import read_labels
from audit_pipeline.load.notes import NOTES
from audit_pipeline.load.select import choose_image, validate_rules
from audit_pipeline.load.settings import LoadSettings
from audit_pipeline.load.study import Delivery, deliver, load_source, load_study

__all__ = [
    "NOTES",
    "Delivery",
    "LoadSettings",
    "StudyFacts",
    "StudySource",
    "choose_image",
    "deliver",
    "facts_of",
    "find_studies",
    "load_source",
    "load_study",
    "read_labels",
    "site_name",
    "validate_rules",
]
