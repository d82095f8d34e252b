"""Studies with everything a standard and a deep audit leaves: answers, curves, places among reference studies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import report_cases

from audit_pipeline.findings import Curve, FailureMode, Outcome, Standing
from audit_pipeline.study_record import AnswerFacts

DELETION = Curve(
    kind="deletion", method="hirescam", target=1, shares=(0.0, 0.05, 0.1, 0.2, 0.4),
    logits=(1.2481, 0.6113, -0.2277, -1.0391, -1.5577), null_low=(1.2481, 0.9, 0.8, 0.5, 0.1),
    null_middle=(1.2481, 1.1, 1.0, 0.9, 0.6), null_high=(1.2481, 1.3, 1.25, 1.2, 1.1), null_range=(0.05, 0.95),
    null_shifts=40,
)  # fmt: skip
INSERTION = replace(
    DELETION, kind="insertion", shares=(0.05, 0.1, 0.2, 0.4, 1.0), logits=(-0.4433, 0.3719, 0.8123, 1.1117, 1.2481)
)
WEAKEST = Curve(
    kind="weakest", method="hirescam", target=1, shares=(0.0, 0.1), logits=(1.2481, 1.2977)
)  # fmt: skip
SHORT = Curve(
    kind="deletion", method="hirescam", target=1, shares=(0.0, 0.1), logits=(1.2481, -0.2277), null_low=(1.2481, 0.81),
    null_middle=(1.2481, 1.02), null_high=(1.2481, 1.27), null_range=(0.0, 1.0), null_shifts=5,
)  # fmt: skip
STANDING = Standing(quantiles=(0.5, 0.81, 1.1, 1.37, 1.7, 2.13, 2.6), studies=120, p_value=0.0083)

HARMLESS = (
    ("shift in the plane", "shifted by (0, 2, 0) voxels", 2.0, "voxels", 0.0, 0.8713),
    ("shift in the plane", "shifted by (0, 0, -2) voxels", 2.0, "voxels", 0.0, 0.9034),
    ("shift along the slices", "shifted by (1, 0, 0) voxels", 1.0, "voxels", 0.0, 0.8822),
    ("shift along the slices", "shifted by (-1, 0, 0) voxels", -1.0, "voxels", 0.0, 0.8541),
    ("turn in the plane", "turned by 3.0 degrees", 3.0, "degrees", 0.0, 0.4127),
    ("turn in the plane", "turned by -3.0 degrees", -3.0, "degrees", 0.0, 0.9219),
    ("gamma", "gamma 0.95", 0.95, "exponent", 1.0, 0.8955),
    ("gamma", "gamma 1.05", 1.05, "exponent", 1.0, 0.8966),
)
CORRUPTED = (
    ("noise", 0.5, "times the noise", 0.0, 0.8412),
    ("blur", 0.4, "voxels", 0.0, 0.7933),
    ("gamma", 1.1, "exponent", 1.0, 0.8721),
)
PANEL = (
    ("body_removed", "The body is replaced by its surroundings.", 0.0713),
    ("text_removed", "Letters and markers are replaced by their surroundings.", None),
    ("border_removed", "The outer tenth of every side is replaced by what lies inside it.", 0.8876),
    ("noise", "Noise with the mean and the spread of the image.", 0.5512),
)
NO_LETTERS = "There are no letters or markers to take away."


def both(nodule):
    return {"no nodule": 1 - nodule, "nodule": nodule}


def answers():
    rows = [
        AnswerFacts(group="harmless", name=name, sentence=words, amount=amount, unit=unit, unchanged=still,
                    probabilities=both(chance))
        for name, words, amount, unit, still, chance in HARMLESS
    ]  # fmt: skip
    rows += [
        AnswerFacts(group="corruption", name=name, sentence=name, amount=amount, unit=unit, unchanged=still,
                    probabilities=both(chance))
        for name, amount, unit, still, chance in CORRUPTED
    ]  # fmt: skip
    for name, words, chance in PANEL:
        said = {"reason": NO_LETTERS} if chance is None else {"probabilities": both(chance)}
        rows.append(AnswerFacts(group="falsification", name=name, sentence=words, **said))
    rows += [
        AnswerFacts(group="repeat", name="repeated", sentence="The same input again.", probabilities=both(0.8967))
    ] * 2
    return tuple(rows)


def slice_shares():
    mass = np.exp(-(((np.arange(report_cases.SHAPE[0]) - report_cases.PEAK[0]) / 5.0) ** 2))
    return tuple(round(float(one), 5) for one in mass / mass.sum())


MODES = {
    **report_cases.MODES,
    **{
        code: FailureMode(
            code=code, name=name, title=title, family=code[0], sentence="", severity=(4, 3, 4), provenance="dom",
            reference="", advice="Look.", variants=variants,
        )
        for code, name, title, variants in (
            ("C03", "unstable", "Unstable under harmless changes", ("benign",)),
            ("C11", "body_unneeded", "The patient is not needed", ("body_removed",)),
            ("D06", "hidden_negative", "Hidden negative evidence", ()),
            ("D30", "unfaithful_curve", "Unfaithful over the whole curve", ()),
        )
    },
}  # fmt: skip


def context(**changes):
    return report_cases.context(**({"failure_modes": MODES} | changes))


def finding(code, outcome, message, **more):
    mode = MODES[code]
    return replace(
        report_cases.finding("D02", outcome, message, **more), code=code, name=mode.name, title=mode.title,
        family=mode.family,
    )  # fmt: skip


def answered_case():
    """The CT study with two targets after a deep audit with a reference."""
    record, panels = report_cases.two_targets_case()
    found = [replace(one, standing=STANDING) if one.code == "B07" else one for one in record.findings]
    found = [replace(one, outcome=Outcome.PASS, value=2.31) if one.code == "B07" else one for one in found]
    found += [
        finding("C03", Outcome.FLAG, "A slight turn changes the probability by 0.484; the limit is 0.25.", value=0.484,
                limit=0.25, unit="probability"),
        finding("C11", Outcome.PASS, "Without the body the probability falls to 0.071.", value=0.8254, limit=0.002),
        finding("D30", Outcome.PASS, "Shifted copies reach that with p = 0.0244.", value=0.0244, limit=0.05,
                curves=(DELETION, INSERTION)),
    ]  # fmt: skip
    found = [replace(one, curves=(SHORT, WEAKEST)) if one.code == "D21" else one for one in found]
    first, *rest = record.explanations
    explained = (replace(first, slice_shares=slice_shares()), *rest)
    return replace(record, findings=tuple(found), answers=answers(), explanations=explained), panels


def many_answered_case(count=60):
    """A multi-label radiograph with `count` classes and an answer to one turn."""
    record, panels = report_cases.many_classes_case(count)
    chances = {name: min(1.0, value * 0.9) for name, value in record.prediction.probabilities.items()}
    row = AnswerFacts(
        group="harmless", name="turn in the plane", sentence="turned by 3.0 degrees", amount=3.0, unit="degrees",
        unchanged=0.0, probabilities=chances,
    )  # fmt: skip
    return replace(record, answers=(row,)), panels
