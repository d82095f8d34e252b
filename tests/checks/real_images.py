"""Real grey DICOM images of the installed pydicom data, read the plain way, as the loader would deliver them."""

import warnings

import numpy as np
import pydicom
import pytest
from evidence_factories import make_image
from pydicom.data import get_testdata_file

RADIOGRAPHS = ("RG1_UNCR.dcm", "RG3_UNCR.dcm")
CT_SLICES = ("693_UNCR.dcm", "explicit_VR-UN.dcm", "CT_small.dcm")
MR_SLICES = ("MR2_UNCR.dcm", "MR-SIEMENS-DICOM-WithOverlays.dcm")


def real_image(name, *, handles_monochrome1=True):
    """Return the image of a file; without `handles_monochrome1` its polarity is left as stored."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = get_testdata_file(name, download=False)
        if found is None:
            pytest.skip(f"the installed pydicom data do not hold {name}")
        dataset = pydicom.dcmread(found)
        values = dataset.pixel_array.astype(np.float32)
    if handles_monochrome1 and dataset.PhotometricInterpretation == "MONOCHROME1":
        values = 2.0**dataset.BitsStored - 1 - values
    slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
    metadata = {
        "BitsStored": int(dataset.BitsStored),
        "PixelRepresentation": int(dataset.PixelRepresentation),
        "RescaleSlope": slope,
        "RescaleIntercept": intercept,
        "BodyPartExamined": dataset.get("BodyPartExamined"),
        "ViewPosition": dataset.get("ViewPosition"),
    }
    return make_image(
        values * slope + intercept,
        is_colour=values.ndim == 3,
        modality=dataset.Modality,
        unit="HU" if dataset.Modality == "CT" else "stored value",
        metadata=metadata,
    )
