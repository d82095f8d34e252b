"""Whether the pixels hold text (A19), and whether pixels or header may name the patient (A20)."""

from __future__ import annotations

from collections.abc import Mapping

from audit_pipeline.checks.declare import Result, check
from audit_pipeline.checks.glyphs import Lettering
from audit_pipeline.checks.ocr import text_reader
from audit_pipeline.checks.text_mask import SINGLE_SHARE, letters_of
from audit_pipeline.checks.wording import sentence
from audit_pipeline.disclosure import WITHHELD, may_identify
from audit_pipeline.evidence import Evidence
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Image
from audit_pipeline.wording import counted, listed, percent

HEAD = ("HEAD", "BRAIN", "SKULL", "FACE", "ORBIT", "SINUS")


@check(
    "A19",
    title="Burned-in text",
    family="A",
    sentence="Letters or markers are part of the pixels: the model can read them, and they may identify the patient.",
    severity=(4, 4, 4),
    provenance="dom",
    reference="DICOM PS3.3 C.7.6.1.1.1, Burned In Annotation",
    advice="Mask the text, predict again, and see that it names nobody.",
    version=2,
)
def burned_in_text(evidence: Evidence) -> Result:
    """Note text that the header declares or that the pixels show.

    In the pixels, text is what `glyphs.lettering` finds: thin strokes of one value with sharp edges, two or more of
    them in a line or one that covers more than `text_mask.SINGLE_SHARE` of the slice. Its unit is the share of the
    frame that strokes cover, in the slice with the most.
    """
    image = evidence.image
    declared = _declared(image)
    letters = letters_of(image)
    found = max((float(one.mask.mean()) for one in letters.values()), default=0.0)
    slices = tuple(sorted(letters)) if len(image.shape) == 3 else ()
    if letters:
        where = f" in {counted(len(slices), 'slice')}" if slices else ""
        text = f"Letters or markers cover {percent(found)} of the frame{where}"
        text += (
            ", although the header declares none."
            if declared == "NO"
            else f" (a single one counts from {percent(SINGLE_SHARE)} on)."
        )
        return Result(Outcome.NOTE, text, found, SINGLE_SHARE, "share of the frame", slices)
    if declared == "YES":
        text = "The header declares burned-in annotation."
        return Result(Outcome.NOTE, text, None, SINGLE_SHARE, "share of the frame")
    text = f"No letters or markers were found (a single one counts from {percent(SINGLE_SHARE)} of the frame on)."
    return Result(Outcome.PASS, text, found, SINGLE_SHARE, "share of the frame")


@check(
    "A20",
    title="Identity left in the study",
    family="A",
    sentence="Pixels or header may still name the patient, so the study must not leave the house as it is.",
    severity=(5, 3, 4),
    provenance="std",
    reference="DICOM PS3.15 annex E, Clean Pixel Data and Clean Recognizable Visual Features options",
    advice="Stop the export; read the text, and remove what names the patient.",
)
def identity_left(evidence: Evidence, *, letters_limit: int = 4) -> Result:
    """Look for what may name the patient in the header fields that travel with the image and in the pixels.

    Flagged: a field of the allow-list that holds a name, a date or a number as long as an identifier; a line of at
    least `letters_limit` letters in the pixels, which is longer than a side marker; a header that declares burned-in
    annotation. Where the extra ``ocr`` is installed the text is read, and dates and long numbers are told from other
    words; a harmless word is flagged either way, and whether text names somebody is for a person to see. What was read
    is never repeated. A volume of the head is a note, since a
    face can be rendered from it.
    """
    image = evidence.image
    fields = _naming(image)
    letters = letters_of(image)
    longest = max((one.longest for one in letters.values()), default=0)
    reasons = _reasons(image, fields, letters, longest, letters_limit)
    if reasons:
        slices = tuple(sorted(letters)) if len(image.shape) == 3 and longest >= letters_limit else ()
        number = float(max(longest, len(fields)))
        return Result(Outcome.FLAG, sentence(*reasons), number, float(letters_limit), "letters in a line", slices)
    part = str(image.metadata.get("BodyPartExamined") or "").upper()
    if len(image.shape) == 3 and any(name in part for name in HEAD):
        text = "A face can be rendered from a volume of the head, and the header does not say that it was removed."
        return Result(Outcome.NOTE, text, float(longest), float(letters_limit), "letters in a line")
    text = f"No header field that travels with the image names anybody, and lines have {counted(longest, 'letter')} "
    text += f"(limit {letters_limit}; text was looked for by {text_reader()})."
    return Result(Outcome.PASS, text, float(longest), float(letters_limit), "letters in a line")


def _naming(image: Image) -> list[str]:
    """Return the header fields whose text may name the patient, those that the loader withheld for it among them."""
    held_back = str(image.metadata.get(WITHHELD) or "").split(", ")
    seen = (key for key, value in image.metadata.items() if key != WITHHELD and may_identify(key, value))
    return sorted({*seen, *filter(None, held_back)})


def _reasons(image: Image, fields: list[str], letters: Mapping[int, Lettering], longest: int, limit: int) -> list[str]:
    reasons = []
    if fields:
        reasons.append(f"a name, a date or a long number stands in {listed(fields)}")
    if longest >= limit:
        reasons.append(
            f"a line of {longest} letters stands in the pixels (limit {limit}), long enough for a name or a date; "
            f"{_of_the_text(letters)}"
        )
    if not letters and _declared(image) == "YES":
        reasons.append("the header declares burned-in annotation")
    return reasons


def _of_the_text(letters: Mapping[int, Lettering]) -> str:
    texts = [text for one in letters.values() for text in one.texts]
    if not texts:
        return "it was not read, as text is looked for by strokes alone"
    if any(may_identify("", text) for text in texts):
        return "it was read and holds a date, a long number or an address"
    return "it was read and holds no date or long number; whether it names somebody is for a person to see"


def _declared(image: Image) -> str:
    return str(image.metadata.get("BurnedInAnnotation") or "").strip().upper()
