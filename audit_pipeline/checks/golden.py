"""What the golden cases of the model card say: whether the chain (A24) and the order of the classes (C09) are right."""

from __future__ import annotations

import numpy as np

from audit_pipeline.checks.decisions import decided
from audit_pipeline.checks.declare import Result
from audit_pipeline.checks.labelled import chances_of
from audit_pipeline.evidence import Evidence, GoldenCase
from audit_pipeline.findings import Outcome
from audit_pipeline.wording import counted, shown


def is_reordered(case: GoldenCase) -> bool:
    """Tell whether a case gives the expected logits, within its tolerance, in another order."""
    if case.found is None or case.difference is None or not case.difference > case.tolerance:
        return False
    apart = np.abs(np.sort(case.found) - np.sort(case.expected))
    return bool((apart <= case.tolerance).all())


def golden_order(evidence: Evidence) -> Result | None:
    """Return what the golden cases say about the order of the classes; None without one that could be run.

    Critical when a logit differs by more than the tolerance of its case and the logits are the expected ones in another
    order, or lead to another conclusion.
    """
    run = [one for one in evidence.golden if one.found is not None]
    if not run:
        return None
    wrong = [one for one in run if is_reordered(one) or _concludes_otherwise(one, evidence)]
    told = counted(len(run), "golden case")
    if not wrong:
        text = f"{told} {'leads' if len(run) == 1 else 'lead'} to the expected conclusion."
        return Result(Outcome.PASS, text, 0.0, 0.0, "golden cases")
    why = "gives the expected logits in another order" if is_reordered(wrong[0]) else "leads to another conclusion"
    text = f"{len(wrong)} of {told} {'fails' if len(wrong) == 1 else 'fail'}: {wrong[0].name} {why}."
    return Result(Outcome.CRITICAL, text, float(len(wrong)), 0.0, "golden cases")


def golden_chain(evidence: Evidence) -> Result | None:
    """Return what the golden cases say about the chain from file to logit; None where nothing stands against it.

    Critical when a logit differs by more than the tolerance of its case; a flag when a case cannot be run; a note when
    only the model input is another one and the logits hardly notice. Logits in another order are left to C09. The
    result holds no value: that of A24 is weighed against clean studies, and no clean study excuses a golden case.
    """
    differing = [
        one for one in evidence.golden
        if one.difference is not None and not one.difference <= one.tolerance and not is_reordered(one)
    ]  # fmt: skip
    if differing:
        one = max(differing, key=_apart)
        text = f"{one.name.capitalize()} does not give the logits that the model card states: they differ by up to "
        text += f"{shown(_apart(one))} (limit {shown(one.tolerance)}){_of_the_input(one)}."
        return Result(Outcome.CRITICAL, text, provenance="std")
    failed = [one for one in evidence.golden if one.found is None]
    if failed:
        text = f"{failed[0].name.capitalize()} cannot be run, so the chain is not the one of the model card: "
        return Result(Outcome.FLAG, f"{text}{failed[0].reason}.", provenance="std")
    moved = [one for one in evidence.golden if one.is_input_equal is False]
    if moved:
        text = f"The model input of {moved[0].name} is not, bit by bit, the one of the model card; its logits agree "
        text += f"within {shown(moved[0].tolerance)}."
        return Result(Outcome.NOTE, text, provenance="std")
    return None


def _apart(case: GoldenCase) -> float:
    return 0.0 if case.difference is None else case.difference


def _of_the_input(case: GoldenCase) -> str:
    if case.is_input_equal is None:
        return ""
    if case.is_input_equal:
        return "; the model input is the stated one, so the weights, the network or the device differ"
    return "; the model input is another one already, so the preprocessing differs"


def _concludes_otherwise(case: GoldenCase, evidence: Evidence) -> bool:
    if case.difference is not None and case.difference <= case.tolerance:
        return False
    prediction = evidence.prediction
    both = np.asarray([case.expected, case.found], dtype=np.float64)
    if not np.isfinite(both).all():
        return True
    expected, found = decided(prediction, chances_of(both, prediction.task))
    return expected != found
