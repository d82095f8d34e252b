"""The words of the field for identifiers that sentences name: methods of explanation, fields of a header or a table."""

from __future__ import annotations

import re
from collections.abc import Mapping

METHODS: Mapping[str, str] = {
    "gradcam": "Grad-CAM", "hirescam": "HiResCAM", "gradcam++": "Grad-CAM++", "layercam": "Layer-CAM",
    "xgradcam": "XGrad-CAM", "eigencam": "Eigen-CAM", "eigengradcam": "Eigen-Grad-CAM", "scorecam": "Score-CAM",
    "ablationcam": "Ablation-CAM", "smoothgradcam++": "Smooth Grad-CAM++", "cam": "CAM", "elementwise": "element-wise",
    "inputxgradient": "input x gradient", "integrated_gradients": "integrated gradients", "smoothgrad": "SmoothGrad",
    "gradient_shap": "gradient SHAP", "kernel_shap": "kernel SHAP", "lime": "LIME", "rise": "RISE",
    "guided_backprop": "guided backpropagation", "guided_gradcam": "guided Grad-CAM",
    "attention_rollout": "attention rollout", "token_gradcam": "Grad-CAM on tokens",
    "token_hirescam": "HiResCAM on tokens",
}  # fmt: skip

FIELDS: Mapping[str, str] = {
    "KVP": "Tube voltage, kV",
    "SliceThickness": "Slice thickness, mm",
    "SpacingBetweenSlices": "Spacing between slices, mm",
    "ImagerPixelSpacing": "Detector pixel spacing, mm",
    "EchoTime": "Echo time, ms",
    "RepetitionTime": "Repetition time, ms",
    "MagneticFieldStrength": "Magnetic field, T",
    "PatientAge": "Patient age, years",
    "ContrastBolusAgent": "Contrast agent",
    "ManufacturerModelName": "Model of the device",
    "TransferSyntaxUID": "Transfer syntax",
    "BurnedInAnnotation": "Burned-in annotation",
    "WindowCenter": "Window centre",
    "PresentationLUTShape": "Presentation LUT shape",
    "xyzt_units": "Units of the axes",
    "datatype": "Type of the stored values",
    "sform_code": "Sform, space",
    "qform_code": "Qform, space",
    "intent_code": "Intent",
    "dim": "Size in the header",
    "affine_source": "Affine taken from",
    "scl_slope": "Rescale slope",
    "scl_inter": "Rescale intercept",
    "stored_min": "Lowest stored value",
    "stored_max": "Highest stored value",
}
"""Names that the words of the keyword (PS3.6, section 6) alone would not give; units as the standard has them."""


ACRONYMS: Mapping[str, str] = {one.lower(): one for one in ("AUROC", "PPV", "NPV", "CT", "MR")}


def method(name: str) -> str:
    """Return the printed name of an explanation method.

    >>> method("hirescam"), method("occlusion")
    ('HiResCAM', 'occlusion')
    """
    return METHODS.get(name, name)


def field(keyword: str) -> str:
    """Return the words of a header keyword or of a column, with a capital first letter.

    >>> field("BodyPartExamined"), field("KVP"), field("stored_min"), field("age_band"), field("")
    ('Body part examined', 'Tube voltage, kV', 'Lowest stored value', 'Age band', '')
    """
    if keyword in FIELDS:
        return FIELDS[keyword]
    parts = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", keyword.replace("_", " ")).split(" ")
    words = " ".join(ACRONYMS.get(part, part.lower() if part[1:].islower() else part) for part in parts)
    return words[:1].upper() + words[1:]


def within(keyword: str) -> str:
    """Return the words of a keyword as they stand inside a sentence.

    >>> within("PhotometricInterpretation"), within("KVP"), within("age_band")
    ('photometric interpretation', 'tube voltage (kV)', 'age band')
    """
    name, comma, unit = field(keyword).partition(", ")
    words = f"{name} ({unit})" if comma else name
    return words if words[1:2].isupper() else words[:1].lower() + words[1:]
