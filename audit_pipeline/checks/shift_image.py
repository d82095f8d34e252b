"""Whether the reference knows such images: their look (B03), their acquisition (B04) and their grey values (B05)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from audit_pipeline.checks.declare import Result, check, not_evaluable
from audit_pipeline.checks.novelty import Novelty, residual_scores
from audit_pipeline.checks.traits import quantiles_of, thumbnail_of
from audit_pipeline.checks.wording import sentence
from audit_pipeline.evidence import Evidence, Unanswered
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Floats, Matrix, Scalar
from audit_pipeline.terms import within
from audit_pipeline.wording import counted, listed, shown

NOT_ACQUISITION = frozenset({"PatientAge", "VOIWindows", "WindowCenter", "WindowWidth"})
"""Fields that vary from patient to patient or only say how to display."""


@check(
    "B03",
    title="Look unlike the reference",
    family="B",
    sentence="The model input holds something that the reference studies cannot be combined to show.",
    severity=(3, 3, 5),
    provenance="cal",
    reference="Jackson, Mudholkar 1979 (doi:10.1080/00401706.1979.10489779), residuals of principal components",
    advice="Look at the image: a foreign object, another view or other anatomy.",
)
def strange_look(evidence: Evidence, *, least: int = 40) -> Result:
    """Rebuild a thumbnail of the model input from principal components of those of the clean reference studies."""
    found = thumbnail_novelty(evidence, least=least)
    return found.result(f"What the reference cannot rebuild is {shown(found.value)} times its spread", "spreads")


def thumbnail_novelty(evidence: Evidence, *, least: int = 40) -> Novelty:
    """Return how badly the reference rebuilds the look of the study.

    Raises
    ------
    Unanswered
        The reference holds no thumbnails, or of another size.
    """
    own = thumbnail_of(evidence.prepared)
    known = _held(evidence, "thumbnails", own.size, least)
    return Novelty(*residual_scores(known, own))


def _held(evidence: Evidence, name: str, size: int, least: int) -> Floats:
    """Return an array of the reference with one row of `size` per study."""
    known: Floats | None = None if evidence.reference is None else getattr(evidence.reference, name)
    if known is None:
        raise Unanswered(f"There are no {name} of reference studies to compare with.")
    if len(known) < least or known.shape[1] != size:
        raise Unanswered(f"The reference holds {len(known)} {name} of {known.shape[1]}; {least} of {size} are needed.")
    if not (np.isfinite(known).all() and np.isfinite(evidence.prepared.values).all()):
        raise Unanswered(f"The input or one of the {name} of the reference is not finite.")
    return known


@check(
    "B05",
    title="Grey values unlike the reference",
    family="B",
    sentence="The grey values inside the body are distributed differently from those of the reference studies.",
    severity=(3, 3, 4),
    provenance="cal",
    reference="Bonneel 2015 (doi:10.1007/s10851-014-0506-3), Wasserstein barycentres on the line",
    advice="Check the normalisation, the window and the acquisition.",
)
def histogram_shift(evidence: Evidence, *, least: int = 20) -> Result:
    """Take the Wasserstein-1 distance of the grey values inside the body to the barycentre of the reference.

    On the line the distance is the mean absolute difference of the quantile functions, and the barycentre is their
    mean. Each reference study is compared with the barycentre of the others.
    """
    own = quantiles_of(evidence.prepared, evidence.body).astype(np.float64)
    known = _held(evidence, "quantiles", own.size, least).astype(np.float64)
    clean = np.abs(known - (known.sum(axis=0) - known) / (len(known) - 1)).mean(axis=1)
    value = float(np.abs(own - known.mean(axis=0)).mean())
    return Novelty(value, clean).result(f"The grey values lie {shown(value)} away on average", "model input")


@check(
    "B04",
    title="Unseen acquisition",
    family="B",
    sentence="The study was acquired in a way that no reference study was.",
    severity=(3, 4, 5),
    provenance="cal",
    reference="Vovk 2005 (doi:10.1007/b106715), conformal prediction; Good 1953 (doi:10.1093/biomet/40.3-4.237)",
    advice="Check in the subgroup table whether the model was ever tested on such studies.",
)
def unseen_acquisition(evidence: Evidence, *, least: int = 99, alpha: float = 0.01) -> Result:
    """Compare the acquisition fields of the header with those of the clean reference studies.

    A word counts where no reference study has it and the chance of a new word, which the words seen only once tell
    (Good 1953), is at most `alpha`. A number counts beyond the range of the reference by more than a tenth of that
    range. A field needs `least` reference studies that have it.
    """
    header = {} if evidence.reference is None else evidence.reference.header
    judged, strange = 0, []
    for keyword, own in sorted(evidence.image.metadata.items()):
        known = [value for value in header.get(keyword, ()) if value not in (None, "")]
        if own in (None, "") or len(known) < least or keyword in NOT_ACQUISITION:
            continue
        judged += 1
        reason = _strangeness(own, known, alpha)
        if reason:
            strange.append(f"{within(keyword)} {reason}")
    if not judged:
        return not_evaluable(f"No acquisition field is known of the study and of {least} reference studies.")
    if strange:
        text = f"{counted(len(strange), 'field')} of {judged} unlike the reference: {sentence(*strange)}"
        return Result(Outcome.FLAG, text, value=len(strange), limit=0, unit="fields", provenance="dom")
    text = f"{counted(judged, 'acquisition field')} compared, each seen in the reference."
    return Result(Outcome.PASS, text, value=0, limit=0, unit="fields", provenance="dom")


def _strangeness(own: Scalar, known: Sequence[Scalar], alpha: float) -> str:
    """Return how a value differs from those of the reference, "" where it does not."""
    if _is_number(own) and all(_is_number(value) for value in known):
        return _beyond(float(own or 0), np.asarray(known, dtype=np.float64))
    words = Counter(str(value).strip().casefold() for value in known)
    once = sum(1 for count in words.values() if count == 1)
    if str(own).strip().casefold() in words or (1 + once) / (1 + len(known)) > alpha:
        return ""
    return f"is {own}, where the reference has {listed(_as_written(known), 4)}"


def _as_written(known: Sequence[Scalar]) -> list[str]:
    """Return the words of the reference, each once, in the spelling that comes first."""
    spelt: dict[str, str] = {}
    for value in known:
        spelt.setdefault(str(value).strip().casefold(), str(value).strip())
    return [spelt[key] for key in sorted(spelt)]


def _beyond(own: float, known: Matrix) -> str:
    low, high = float(known.min()), float(known.max())
    room = max(0.1 * (high - low), 0.01 * abs(high if own > high else low), 1e-9)
    if low - room <= own <= high + room:
        return ""
    return f"is {shown(own)}, where the reference has {shown(low)} to {shown(high)}"


def _is_number(value: Scalar) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
