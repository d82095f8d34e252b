"""Stage 1, load: DICOM and NIfTI files become images whose every voxel has a known value, unit and place.

The steps, each a module: discover, index, screen, group, geometry, pixels, values, deliver.
"""

from audit_pipeline.load.discover import StudySource, find_studies
from audit_pipeline.load.facts import StudyFacts, facts_of, site_name
from audit_pipeline.load.labels import read_labels
from audit_pipeline.load.notes import NOTES
from audit_pipeline.load.patient import PATIENT_FIELDS, patient_of
from audit_pipeline.load.reference_mask import ReferenceMask, read_reference_mask
from audit_pipeline.load.select import choose_image, validate_rules
from audit_pipeline.load.settings import LoadSettings
from audit_pipeline.load.siblings import sibling_images
from audit_pipeline.load.study import Delivery, deliver, load_source, load_study

__all__ = [
    "NOTES",
    "PATIENT_FIELDS",
    "Delivery",
    "LoadSettings",
    "ReferenceMask",
    "StudyFacts",
    "StudySource",
    "choose_image",
    "deliver",
    "facts_of",
    "find_studies",
    "load_source",
    "load_study",
    "patient_of",
    "read_labels",
    "read_reference_mask",
    "sibling_images",
    "site_name",
    "validate_rules",
]
