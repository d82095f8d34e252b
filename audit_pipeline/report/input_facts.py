"""What is known of files and image in plain words, the DICOM keywords of the header included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from audit_pipeline import terms
from audit_pipeline.records import Scalar, StackFacts
from audit_pipeline.report import numbers, text, vocabulary
from audit_pipeline.study_record import ImageFacts
from audit_pipeline.wording import counted

DIFFERS = "differs between slices"
VALUES = {
    "xyzt_units": {"0": "not stated", "1": "m", "2": "mm", "3": "\u00b5m", "10": "mm and s", "18": "mm and ms"},
    "datatype": {
        "2": "8-bit unsigned",
        "4": "16-bit signed",
        "8": "32-bit signed",
        "16": "32-bit float",
        "64": "64-bit float",
        "256": "8-bit signed",
        "512": "16-bit unsigned",
        "768": "32-bit unsigned",
    },
    "sform_code": {"0": "not set", "1": "scanner", "2": "aligned", "3": "Talairach", "4": "MNI 152"},
    "qform_code": {"0": "not set", "1": "scanner", "2": "aligned", "3": "Talairach", "4": "MNI 152"},
    "intent_code": {"0": "none"},
    "PixelRepresentation": {"0": "unsigned", "1": "signed"},
    "LossyImageCompression": {"00": "no", "01": "yes"},
}
JOINED = (
    ("Rescale", ("scl_slope", "scl_inter"), "slope {}, intercept {}"),
    ("Stored values", ("stored_min", "stored_max"), "{} to {}"),
    ("Pixel format", ("BitsStored", "BitsAllocated", "PixelRepresentation"), "{} of {} bits, {}"),
    ("Rescale", ("RescaleSlope", "RescaleIntercept"), "slope {}, intercept {}"),
    ("Window in the header", ("WindowCenter", "WindowWidth"), "centre {} width {}"),
)
"""Fields that say something only together: name, keywords, sentence."""


def facts(image: ImageFacts) -> list[tuple[str, str]]:
    """Return what went in: the image, the model input, the stack, the header."""
    is_stated = not image.orientation and bool(image.metadata.get("PatientOrientation"))
    values = "values as stored" if image.unit == "stored value" else f"values in {image.unit}"
    kind = f"{file_format(image.format)}, {image.modality or 'modality not stated'}, {values}"
    return [
        ("Format, modality", kind),
        (elements(image.shape).capitalize(), numbers.sizes(image.shape, "")),
        ("Spacing", numbers.sizes(image.spacing_mm)),
        *([] if is_stated else [("Axes grow toward", ", ".join(image.orientation) or "not stated")]),
        ("Model input", f"{numbers.sizes(fed_shape(image), '')}, {numbers.sizes(image.input_spacing_mm)}"),
        ("Not image data", shares(image.invalid_share, image.padding_share)),
        *([("Stack", stack(image.stack))] if image.stack else []),
        *header(image),
    ]


def stack(measured: StackFacts) -> str:
    """Return what was measured about the slices; a deviation that prints as 0 is said in words.

    >>> stack(StackFacts(slices=40, step_mm=3.0, residual_mm=1e-13, largest_gap_ratio=1.0, smallest_gap_ratio=1.0))
    '40 slices, step 3 mm, on one straight line, even gaps, no tilt'
    """
    smallest, largest = numbers.short(measured.smallest_gap_ratio), numbers.short(measured.largest_gap_ratio)
    residual, tilt = numbers.short(measured.residual_mm), numbers.short(measured.tilt_degrees)
    return ", ".join(
        (
            counted(measured.slices, "slice"),
            f"step {numbers.short(measured.step_mm)} mm",
            "on one straight line" if residual == "0" else f"at most {residual} mm off their line",
            "even gaps" if smallest == largest == "1" else f"gaps {smallest} to {largest} times the median",
            "no tilt" if tilt == "0" else f"tilt {tilt} degrees",
        )
    )


def header(image: ImageFacts) -> list[tuple[str, str]]:
    """Return the header fields in words, without those that only repeat modality and unit.

    Fields that belong together become one fact; a field whose value is not the same in all slices says so.
    """
    repeated = {"Modality": image.modality, "RescaleType": image.unit}
    left = {name: value for name, value in image.metadata.items() if value not in {repeated.get(name, ""), ""}}
    joined = [_take(left, name, keywords, sentence) for name, keywords, sentence in JOINED]
    single = [(field_name(name), _value(name, value)) for name, value in left.items()]
    return [*single, *(fact for fact in joined if fact is not None)]


def _take(fields: dict[str, Scalar], name: str, keywords: tuple[str, ...], sentence: str) -> tuple[str, str] | None:
    """Remove the fields `keywords` and return them as one fact; None, with nothing removed, when one is missing."""
    if any(fields.get(keyword) is None for keyword in keywords):
        return None
    return name, sentence.format(*(_value(keyword, fields.pop(keyword)) for keyword in keywords))


def field_name(keyword: str) -> str:
    """Return the words of a DICOM keyword.

    >>> field_name("BodyPartExamined"), field_name("KVP"), field_name("stored_min")
    ('Body part examined', 'Tube voltage, kV', 'Lowest stored value')
    """
    return text.cut(terms.field(keyword), text.LONGEST_NAME)


def _value(keyword: str, value: Scalar) -> str:
    if value is None:
        return DIFFERS
    if isinstance(value, float):
        return numbers.short(value, 6)
    words = str(value)
    if keyword == "PatientOrientation":
        return _toward(words)
    known: Mapping[str, str] = VALUES.get(keyword, {})
    return known.get(words, ", ".join(part for part in words.split("\\") if part))


def _toward(words: str) -> str:
    r"""Return where rows and columns of a picture lead (PS3.3 C.7.6.1.1.1).

    >>> _toward("L\\F"), _toward("L")
    ('rows toward L, columns toward F', 'L')
    """
    parts = [part.strip() for part in words.replace(",", "\\").split("\\")]
    return f"rows toward {parts[0]}, columns toward {parts[1]}" if len(parts) == 2 and all(parts) else words


def view(image: ImageFacts) -> list[str]:
    """Return body part and view position as the header states them, without the part that is not stated."""
    told = (str(image.metadata.get(keyword) or "").strip() for keyword in ("BodyPartExamined", "ViewPosition"))
    return [text.cut(one, text.LONGEST_NAME) for one in told if one]


def dispositions(files: Mapping[str, int]) -> str:
    """Return what became of the input files.

    >>> dispositions({"used": 40, "non-image": 1}), dispositions({})
    ('41 files: 40 used, 1 non-image', 'No file was recorded.')
    """
    total = sum(files.values())
    if total == 0:
        return "No file was recorded."
    parts = ", ".join(f"{count} {name}" for name, count in files.items() if count)
    return f"{counted(total, 'file')}: {parts}"


def source_digests(digests: Sequence[str]) -> str:
    """Return the first digests, shortened, with their count.

    >>> source_digests([]), source_digests(["a" * 64])
    ('no SHA-256 recorded', 'SHA-256 of 1 file: aaaaaaaaaaaa')
    """
    if not digests:
        return "no SHA-256 recorded"
    shown = [numbers.digest(one) for one in digests[:3]]
    rest = f" and {len(digests) - 3} more" if len(digests) > 3 else ""
    return f"SHA-256 of {counted(len(digests), 'file')}: {', '.join(shown)}{rest}"


def shares(invalid: float, padding: float) -> str:
    """Return the shares of the image and of the model input that hold no image data."""
    return f"{numbers.fixed(100 * invalid, 1)} % of image, {numbers.fixed(100 * padding, 1)} % of model input"


def file_format(name: str) -> str:
    """Return the printed name of a file format.

    >>> file_format("dicom"), file_format("zarr"), file_format("")
    ('DICOM', 'zarr', 'format not stated')
    """
    return vocabulary.FORMAT_WORDS.get(name, name) or "format not stated"


def fed_shape(image: ImageFacts) -> tuple[int, ...]:
    """Return the spatial shape of the model input; the record has the channels in front of it."""
    return image.input_shape[-len(image.input_spacing_mm) :] if image.input_spacing_mm else image.input_shape


def elements(shape: Sequence[int]) -> str:
    """Return what an image of this shape consists of.

    >>> elements((64, 128, 128)), elements((200, 160))
    ('voxels', 'pixels')
    """
    return "voxels" if len(shape) == 3 else "pixels"
