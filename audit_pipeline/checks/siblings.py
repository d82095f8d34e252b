"""Whether the other images of the study, which the model could as well have been given, get the same answer (C15)."""

from __future__ import annotations

import numpy as np

from audit_pipeline.checks.decisions import flipped
from audit_pipeline.checks.declare import Result, check, not_evaluable
from audit_pipeline.checks.wording import chance
from audit_pipeline.evidence import Evidence
from audit_pipeline.findings import Outcome
from audit_pipeline.wording import counted, shown


@check(
    "C15",
    title="Series of one study disagree",
    family="C",
    sentence="Another image of the same study, which the model could as well have been given, gets another answer.",
    severity=(4, 3, 5),
    provenance="dom",
    reference="The other series and views of the study that the model takes as well",
    advice="Fix which series the model is given, and audit that one; do not let the choice decide the answer.",
    level="standard",
    direction="above",
    cost=2,
)
def series_disagree(evidence: Evidence, *, change_limit: float = 0.20) -> Result:
    """Compare the probabilities with those of up to two other images of the study.

    Of one kind are images of the same modality, body part, view and plane that cover the same part of the patient:
    another kernel, another slice thickness, a repeated exposure. The value is the largest change of a probability;
    flagged above `change_limit`, and a note when a smaller change turns the conclusion.
    """
    prediction = evidence.prediction
    if evidence.siblings is None:
        return not_evaluable("The other images of the study were not looked for.")
    asked = [one for one in evidence.siblings if one.probabilities is not None]
    if not asked:
        reasons = [f" ({one.difference}: {one.reason})" for one in evidence.siblings[:1]]
        return not_evaluable(f"The study holds no other image that the model takes{''.join(reasons)}.")
    own = np.asarray(prediction.probabilities, dtype=np.float64)
    others = np.asarray([one.probabilities for one in asked], dtype=np.float64)
    if not (np.isfinite(own).all() and np.isfinite(others).all()):
        return not_evaluable("A probability is not finite, see C08.")
    changes = np.abs(others - own)
    worst, place = (int(one) for one in np.unravel_index(int(changes.argmax()), changes.shape))
    turned = flipped(prediction, others)
    value = float(changes.max())
    there, here = float(others[worst, place]), float(own[place])
    text = (
        f"{counted(len(asked), 'other image')} of the study {'was' if len(asked) == 1 else 'were'} asked about; with "
        f"{asked[worst].difference} the probability of {prediction.classes[place]} is {chance(there)} instead of "
        f"{chance(here)} (a change of {shown(value)}, limit {shown(change_limit)})"
    )
    count = int(turned.sum())
    text += f"; {counted(count, 'other image')} {'turns' if count == 1 else 'turn'} the conclusion." if count else "."
    outcome = Outcome.FLAG if value > change_limit else Outcome.NOTE if count else Outcome.PASS
    return Result(outcome, text, value, change_limit, "change of a probability")
