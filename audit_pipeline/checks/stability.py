"""Whether the answer stays: under harmless changes (C03), mild corruption (C04), and when it is asked again (C07)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from audit_pipeline.checks.benign import benign_changes
from audit_pipeline.checks.decisions import flipped
from audit_pipeline.checks.declare import Result, check
from audit_pipeline.checks.harmless import CORRUPTIONS
from audit_pipeline.evidence import Answer, Evidence, Unanswered
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Matrix
from audit_pipeline.wording import counted, listed, shown

LOGIT_TOLERANCE = 1000.0
"""A logit may differ by this many times the tolerance of the probability, relative to its size from 1 on."""


@check(
    "C03",
    title="Unstable under harmless changes",
    family="C",
    sentence="A shift of a few pixels, a slight turn or a touch of gamma changes the answer.",
    severity=(4, 3, 5),
    provenance="dom",
    reference="Zhang 2019 (arXiv:1904.11486), shift invariance; Azulay, Weiss 2019 (arXiv:1805.12177)",
    advice="Have a second reader decide: the answer is unstable.",
    level="standard",
    direction="above",
    variants=("benign",),
)
def unstable(evidence: Evidence, *, change: float = 0.25, margin: float = 0.05) -> Result:
    """Flag when a harmless change moves a probability by more than `change`, or turns the decision by over `margin`.

    A decision that turns over a smaller way was near its operating point before, which is C01's to say.
    """
    names = [one.sentence for one in benign_changes(evidence.prepared.values.shape[1:])]
    return _moved(evidence, evidence.answer("benign"), names, (change, margin))


@check(
    "C04",
    title="Fragile to mild corruption",
    family="C",
    sentence="Noise, blur, gamma or compression that a reader hardly sees turns the decision.",
    severity=(4, 3, 5),
    provenance="dom",
    reference="Hendrycks, Dietterich 2019 (arXiv:1903.12261); Di Salvo 2024 (arXiv:2406.17536)",
    advice="State the limit of image quality; have a second reader decide.",
    level="standard",
    direction="above",
    variants=("corrupted",),
)
def fragile(evidence: Evidence, *, change: float = 0.5, margin: float = 0.05) -> Result:
    """Flag when mild corruption turns the decision by more than `margin`, or moves a probability by over `change`."""
    return _moved(evidence, evidence.answer("corrupted"), CORRUPTIONS, (change, margin))


def _moved(evidence: Evidence, answer: Answer, names: Sequence[str], limits: tuple[float, float]) -> Result:
    change, margin = limits
    ways = _ways(evidence, answer.probabilities)
    turned = flipped(evidence.prediction, answer.probabilities) & (ways > margin)
    worst, value = int(ways.argmax()), float(ways.max())
    text = f"The largest change of a probability is {shown(value)}: {names[worst]} (limit {shown(change)}); "
    if turned.any():
        text += f"{counted(int(turned.sum()), 'change turns', 'changes turn')} the decision by more than "
        text += f"{shown(margin)}: {listed([names[int(place)] for place in np.flatnonzero(turned)], 3)}."
        limit = change if value > change else margin
        return Result(Outcome.FLAG, text, value=value, limit=limit, unit="probability")
    slight = int(flipped(evidence.prediction, answer.probabilities).sum())
    text += (
        f"{slight} of {len(ways)} turn the decision, by at most {shown(margin)}."
        if slight
        else (f"the decision stays in all {len(ways)}.")
    )
    return Result(Outcome.FLAG if value > change else Outcome.PASS, text, value=value, limit=change, unit="probability")


def _ways(evidence: Evidence, probabilities: Matrix) -> Matrix:
    """Return the largest change of any probability in each row, (n,)."""
    own = np.asarray(evidence.prediction.probabilities, dtype=np.float64)
    ways = np.abs(probabilities - own).max(axis=1)
    if not np.isfinite(ways).all():
        raise Unanswered("The model answered a changed input, or the study, with a number that is not finite.")
    return np.asarray(ways)


@check(
    "C07",
    title="Not repeatable",
    family="C",
    sentence="The same input gets another answer when it is asked again, alone or among others.",
    severity=(4, 2, 5),
    provenance="dom",
    reference="PyTorch notes, Reproducibility; Ioffe, Szegedy 2015 (arXiv:1502.03167), batch statistics",
    advice="Put the model into evaluation mode, pin its kernels, and run the study again.",
    level="standard",
    variants=("repeated",),
    cost=1,
)
def not_repeatable(
    evidence: Evidence, *, cpu_tolerance: float = 1e-5, gpu_tolerance: float = 1e-4, reduced_tolerance: float = 1e-2
) -> Result:
    """Ask again alone and at other places in a batch of other inputs, and compare with the recorded answer.

    The tolerance of a probability is that of the device, and of anything but single precision the last; a logit may
    differ by a thousand times that, relative to its size. Another decision is critical.
    """
    prediction = evidence.prediction
    tolerance = cpu_tolerance if prediction.device == "cpu" else gpu_tolerance
    tolerance = tolerance if prediction.precision == "fp32" else reduced_tolerance
    answers = (evidence.witness().predict(evidence.prepared.values[None]), evidence.answer("repeated"))
    logits, chances = (np.concatenate([getattr(one, name) for one in answers]) for name in ("logits", "probabilities"))
    way = float(_ways(evidence, chances).max())
    own = np.asarray(prediction.logits, dtype=np.float64)
    drift = float((np.abs(logits - own) / np.maximum(1, np.abs(own))).max())
    text = (
        f"Asked {len(chances)} times again, alone and in a batch, the probabilities differ by at most {shown(way)} "
        f"(tolerance {shown(tolerance)}) and the logits by {shown(drift)} of their size."
    )
    outcome = Outcome.PASS
    if way > tolerance or drift > LOGIT_TOLERANCE * tolerance:
        turned = flipped(prediction, chances).any()
        outcome = Outcome.CRITICAL if turned else Outcome.FLAG
        text += " The decision turns." if turned else ""
    return Result(outcome, text, value=way, limit=tolerance, unit="probability")
