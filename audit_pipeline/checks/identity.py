"""Whether text is burned into the pixels (A19)."""

from __future__ import annotations

from audit_pipeline.checks.declare import Result, check
from audit_pipeline.checks.glyphs import text_share
from audit_pipeline.checks.masks import grey_of
from audit_pipeline.checks.wording import counted, percent
from audit_pipeline.evidence import Evidence
from audit_pipeline.findings import Outcome


@check(
    "A19",
    title="Burned-in text",
    family="A",
    sentence="Letters or markers are part of the pixels: the model can read them, and they may identify the patient.",
    severity=(4, 4, 4),
    provenance="dom",
    reference="DICOM PS3.3 C.7.6.1.1.1, Burned In Annotation",
    advice="Mask the text, predict again, and see that it names nobody.",
)
def burned_in_text(evidence: Evidence, *, share_limit: float = 0.0005) -> Result:
    """Note text that the header declares or that the pixels show.

    In the pixels, text is what `glyphs.text_share` finds: saturated thin strokes with sharp edges on darker ground,
    either two or more of them in a line or one that covers more than `share_limit` of the slice.
    """
    image = evidence.image
    declared = str(image.metadata.get("BurnedInAnnotation") or "").strip().upper()
    grey = grey_of(image)
    shares = text_share(grey if grey.ndim == 3 else grey[None], single_limit=share_limit)
    found = max(shares.values(), default=0.0)
    slices = tuple(sorted(shares)) if grey.ndim == 3 else ()
    if shares:
        where = f" in {counted(len(slices), 'slice')}" if slices else ""
        text = f"Letters or markers cover {percent(found)} of the frame{where}"
        text += (
            ", although the header declares none."
            if declared == "NO"
            else f" (a single one counts from {percent(share_limit)} on)."
        )
        return Result(Outcome.NOTE, text, found, share_limit, "share of the frame", slices)
    if declared == "YES":
        return Result(
            Outcome.NOTE, "The header declares burned-in annotation.", None, share_limit, "share of the frame"
        )
    text = f"No letters or markers were found (a single one counts from {percent(share_limit)} of the frame on)."
    return Result(Outcome.PASS, text, found, share_limit, "share of the frame")
