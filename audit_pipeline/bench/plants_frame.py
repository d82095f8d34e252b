"""Planted faults of family A in geometry, header, text and the chain of transforms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.ndimage import rotate

from audit_pipeline.bench.case import Case
from audit_pipeline.bench.plants import plant
from audit_pipeline.bench.plants_input import grey_range, with_values
from audit_pipeline.card import read_card
from audit_pipeline.demo.lettering import FONT
from audit_pipeline.evidence import Evidence
from audit_pipeline.geometry import index_map
from audit_pipeline.records import Floats, Mask, Matrix, Scalar, sealed

BRIGHTEST = {2: 4095.0, 3: 3071.0}
"""Text is drawn at the end of what twelve bits store."""

WORDS = ("LABEL TABLE", "PORTABLE", "A B LEE", "TOBE ROOT", "PATROL")


def _with_header(case: Case, **fields: Scalar) -> Case:
    return replace(case, image=replace(case.image, metadata={**case.image.metadata, **fields}))


def _evidence_of_input(evidence: Evidence, values: Floats) -> Evidence:
    return replace(evidence, prepared=replace(evidence.prepared, values=sealed(np.ascontiguousarray(values))))


@plant("A04", sentence="The position of the volume is not known.", dimensions=(3,), has_severity=False)
def stripped_affine(case: Case, _severity: int, _random: np.random.Generator) -> Case:
    """Forget where the voxels lie."""
    return replace(case, image=replace(case.image, affine=None))


@plant("A05", sentence="The pixels are mirrored and the header is not.", has_severity=False)
def mirrored(case: Case, _severity: int, _random: np.random.Generator) -> Case:
    """Mirror left and right in the pixels of a chest image."""
    return _with_header(with_values(case, case.image.values[..., ::-1]), BodyPartExamined="CHEST")


@plant("A08", sentence="The model is fed values of another scale.", accompanied=("A09", "A24", "A05"))
def wrong_scale(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Hand the model an input of the wrong scale or offset, as a preprocessing step left out or doubled does."""
    gain = (1.2, 1.5, 3.0, 10.0, 255.0)[severity - 1]
    is_shrunk = bool(random.integers(0, 2))

    def spoil(evidence: Evidence) -> Evidence:
        values = case.spoil(evidence).prepared.values
        return _evidence_of_input(evidence, values / gain if is_shrunk else values * gain)

    return replace(case, spoil=spoil)


@plant(
    "A12", sentence="Slices are far thicker than the model input.", dimensions=(3,), accompanied=("A02", "A03", "A08")
)
def thick_slices(case: Case, severity: int, _random: np.random.Generator) -> Case:
    """Average 2 to 8 slices into one, with the geometry that belongs to it."""
    count = (2, 3, 5, 6, 8)[severity - 1]
    values, affine = case.image.values, np.array(case.image.affine)
    kept = values[: len(values) // count * count].reshape(-1, count, *values.shape[1:]).mean(axis=1)
    thick = affine @ index_map((count, 1, 1), ((count - 1) / 2, 0, 0))
    spacing = case.image.spacing_mm
    assert spacing[0] is not None
    return with_values(case, kept, affine=sealed(thick), spacing_mm=(spacing[0] * count, *spacing[1:]), stack=None)


@plant(
    "A12",
    sentence="The radiograph is far coarser than the model input.",
    dimensions=(2,),
    accompanied=("A16", "A05", "A13"),
)
def tiny_radiograph(case: Case, severity: int, _random: np.random.Generator) -> Case:
    """Average blocks of 2 to 6 pixels, as a thumbnail is made."""
    factor = (1, 2, 3, 4, 6)[severity - 1]
    rows, columns = (size // factor for size in case.image.values.shape)
    kept = (
        case.image.values[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor).mean(axis=(1, 3))
    )
    spacing = tuple(None if side is None else side * factor for side in case.image.spacing_mm)
    return with_values(case, np.rint(kept), spacing_mm=spacing)


@plant("A13", sentence="The field of view ends inside the chest.", accompanied=("A05", "A08", "A21", "A07"))
def cropped_field(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Cut 10 to 45 % of the body's extent off one side of the field, lungs included."""
    share = (0.05, 0.12, 0.30, 0.38, 0.45)[severity - 1]
    values = case.image.values
    axis = int(random.integers(0, values.ndim))
    low, high = grey_range(case.image)
    body = values > low + 0.3 * (high - low)
    along = body.mean(axis=tuple(other for other in range(values.ndim) if other != axis))
    covered = np.flatnonzero(along > 0.1 * along.max())
    first, last = int(covered[0]), int(covered[-1])
    cut = round(share * (last - first))
    keep = slice(first + cut, None) if random.integers(0, 2) else slice(None, last - cut + 1)
    place = [slice(None)] * values.ndim
    place[axis] = keep
    if case.image.affine is None:
        return _with_header(with_values(case, values[tuple(place)]), BodyPartExamined="CHEST")
    offset = [0.0] * values.ndim
    offset[axis] = keep.start or 0
    affine = case.image.affine @ index_map([1.0] * values.ndim, offset)
    return _with_header(
        with_values(case, values[tuple(place)], affine=sealed(affine), stack=None), BodyPartExamined="CHEST"
    )


@plant("A14", sentence="Most of the model input is padding.", accompanied=("A05", "A08"))
def padded(case: Case, severity: int, _random: np.random.Generator) -> Case:
    """Let the card ask for a grid far larger than the image, or put the image into a far larger frame."""
    widening = (1.1, 1.25, 1.8, 2.2, 3.0)[severity - 1]
    if len(case.image.shape) == 3:
        card = case.card.model_dump(mode="json")
        card["input"]["size"] = [int(size * widening) for size in card["input"]["size"]]
        if card["input"]["spacing_mm"] is None:
            card["input"]["spacing_mm"] = [float(2 * (side or 1)) for side in case.image.spacing_mm]
        return replace(case, card=read_card(card))
    margin = [(0, 0), (0, 0)]
    margin[1] = (round((widening - 1) / 2 * case.image.shape[1]),) * 2
    margin[0] = (round((widening - 1) / 2 * case.image.shape[0]),) * 2
    return with_values(case, np.pad(case.image.values, margin, constant_values=float(case.image.values.min())))


@plant("A19", sentence="Letters or a marker are burned into the pixels.", accompanied=("A03", "A20"))
def burned_text(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Write a word near a corner: level or upright, in all slices or in some."""
    scale = (1, 1, 1, 2, 2)[severity - 1] if len(case.image.shape) == 2 else 1
    text = "R" if severity == 1 else str(random.choice(WORDS))[: 4 if severity == 2 else None]
    ink = _lettering(text, scale)
    turn = int(random.integers(0, 4)) if severity > 2 else 0
    ink = np.rot90(ink, turn % 2)
    planes = range(len(case.image.values)) if len(case.image.shape) == 3 else [0]
    chosen = list(planes) if random.integers(0, 2) else list(planes)[:: max(1, len(planes) // 4)]
    return with_values(case, _written(case, ink.astype(np.float64), chosen, random))


@plant("A19", sentence="Text runs obliquely over the image.", dimensions=(2,), accompanied=("A20",))
def oblique_text(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Write a word turned by some degrees, its strokes smoothed by the turning."""
    angle = float(random.uniform(10, 80)) * float(random.choice([-1, 1]))
    scale = (1, 1, 2, 2, 3)[severity - 1]
    ink = np.clip(rotate(_lettering(WORDS[1], scale).astype(np.float64), angle, order=1), 0, 1)
    return with_values(case, _written(case, ink, [0], random))


@plant("A20", sentence="A name is burned into the pixels or left in a field of the header.", accompanied=("A03", "A19"))
def named_patient(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Write a name into the pixels, or leave one or a date of birth in a header field."""
    kind = int(random.integers(0, 3))
    if kind == 0:
        return _with_header(case, Manufacturer=("LEE", "LEE^A", "LEE^ANNA", "LEE^ANNA^B", "LEE^ANNA^B")[severity - 1])
    if kind == 1:
        texts = ("1958", "58-03", "born 1958-03-14", "19580314", "ID 12345678")
        return _with_header(case, ImageType=texts[severity - 1])
    ink = _lettering(("AB", "ABE", "ALLAB BOE", "ALLAB BOE", "ALLAB BOE ROB")[severity - 1], 1).astype(np.float64)
    return with_values(case, _written(case, ink, [0], random))


@plant("A21", sentence="The image is of a kind the model card does not allow.", has_severity=False)
def other_kind(case: Case, _severity: int, random: np.random.Generator) -> Case:
    """Name another modality, body part or phase in the header, under a card that lists what is allowed."""
    card = case.card.model_dump(mode="json")
    card["allowed"] |= {"body_part": ["CHEST"], "header": {"ContrastBolusAgent": ["no"]}}
    kinds: tuple[dict[str, Scalar], ...] = (
        {"BodyPartExamined": "ABDOMEN", "ContrastBolusAgent": "no"},
        {"BodyPartExamined": "CHEST", "ContrastBolusAgent": "yes"},
    )
    return _with_header(replace(case, card=read_card(card)), **kinds[int(random.integers(0, 2))])


@plant("A22", sentence="Patient or acquisition lie outside the labelled range.", has_severity=False)
def off_label(case: Case, _severity: int, random: np.random.Generator) -> Case:
    """Set an age, a slice thickness or a tube voltage outside the ranges of the card."""
    card = case.card.model_dump(mode="json")
    card["allowed"] |= {"age": [18, 90], "ranges": {"SliceThickness": [0.5, 5], "KVP": [70, 140]}}
    usual: dict[str, Scalar] = {"PatientAge": 60, "SliceThickness": 3.0, "KVP": 120.0}
    odd: tuple[dict[str, Scalar], ...] = ({"PatientAge": 9}, {"SliceThickness": 10.0}, {"KVP": 45.0})
    return _with_header(replace(case, card=read_card(card)), **(usual | odd[int(random.integers(0, 3))]))


@plant("A24", sentence="The model was fed another input than the chain says.", accompanied=("A08", "A09"))
def stale_chain(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Mirror, exchange, shift or turn the input behind the index map's back."""
    kind = int(random.integers(0, 3))

    def spoil(evidence: Evidence) -> Evidence:
        values = case.spoil(evidence).prepared.values
        moved = (1, 3, 12, 16, 20)[severity - 1]
        if kind == 0:
            values = np.roll(values, moved * values.shape[-1] // 64, axis=-1)
        elif kind == 1 and severity > 2:
            values = values[..., ::-1, :]
        else:
            values = np.roll(values, moved * values.shape[-2] // 64, axis=-2)
        return _evidence_of_input(evidence, values)

    return replace(case, spoil=spoil)


def _lettering(text: str, scale: int) -> Mask:
    dots = np.array([[row + "0" for row in FONT[letter]] for letter in text])
    bitmap = np.array([[dot == "1" for dot in "".join(row)] for row in dots.T])
    return np.kron(bitmap, np.ones((scale, scale), dtype=np.bool_)).astype(np.bool_)


def _written(case: Case, ink: Matrix, slices: list[int], random: np.random.Generator) -> Matrix:
    """Return the values with ink (0 to 1) near the upper edge."""
    values = case.image.values.astype(np.float64)
    planes = values if values.ndim == 3 else values[None]
    level = max(float(values.max()), BRIGHTEST[values.ndim])
    row = int(random.integers(3, max(4, planes.shape[1] // 8)))
    column = int(random.integers(3, max(4, planes.shape[2] - ink.shape[1] - 3)))
    for index in slices:
        part = planes[index, row : row + ink.shape[0], column : column + ink.shape[1]]
        fitting = ink[: part.shape[0], : part.shape[1]]
        part[:] = part * (1 - fitting) + level * fitting
    return np.rint(values)
