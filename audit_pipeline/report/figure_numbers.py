"""The numbered figures of a study, in the order in which they stand, and which of them shows what a check found."""

from __future__ import annotations

from collections.abc import Sequence

from audit_pipeline.findings import Finding, Outcome
from audit_pipeline.records import Panel
from audit_pipeline.report import answers, gauges
from audit_pipeline.report.document import Heading
from audit_pipeline.report.evidence import Shown

MOST_METHODS = 2
"""Methods whose maps stand beside the raw slice; where there are more, a strip compares all of them."""

SHOWN_IN = {"benign": "strip", "corrupted": "ladder", "deleted": "curves", "padding_changed": "panel"}
"""Variant -> figure of its answers; those of the falsification panel are found by their rows."""

MUCH_AGAINST = 0.25
"""Share of the evidence against the class from which it is shown."""

SPOKEN = frozenset({Outcome.NOTE, Outcome.FLAG, Outcome.CRITICAL})
SILENT = frozenset({Outcome.NOT_EVALUABLE, Outcome.ERROR})


def numbered(shown: Shown) -> dict[str, int]:
    """Return figure -> number, counted from 1, of the figures that this study has."""
    record = shown.record
    first, *others = shown.targets or [-1]
    has_planes = {target: bool(planes(shown, target)) for target in shown.targets}
    there = {
        "planes": has_planes.get(first, False),
        "profile": any(facts.slice_shares for facts in record.explanations[:1]),
        "curves": any(finding.curves for finding in record.findings),
        "slices": bool(slices(shown, first)),
        "methods": shown.key is not None and len(shown.methods(shown.key)) > MOST_METHODS,
        "signed": bool(signed_methods(shown)),
        **{f"planes-{target}": has_planes[target] for target in others},
        "classes": record.prediction is not None and bool(record.prediction.probabilities),
        "parts": record.prediction is not None and record.prediction.parts is not None,
        "strip": bool(answers.answered(record, "harmless")),
        "ladder": bool(answers.rungs(record)),
        "panel": bool(answers.answered(record, "falsification")),
        "gauges": any(finding.standing for finding in record.findings),
        "intake": bool(shown.intake),
    }
    return {name: number for number, name in enumerate((one for one, is_there in there.items() if is_there), start=1)}


def planes(shown: Shown, target: int) -> list[Panel]:
    """Return the planes through the evidence of a target, or its one 2D image."""
    return [*shown.role("plane", target), *shown.role("image", target)]


def slices(shown: Shown, target: int) -> list[Panel]:
    """Return the slices with the most evidence, unless the planes show them all."""
    above = {(panel.axis, panel.index) for panel in planes(shown, target)}
    found = shown.role("slice", target)
    return [] if all((panel.axis, panel.index) in above for panel in found) else found


def signed_methods(shown: Shown) -> list[str]:
    """Return the methods on the key slice whose evidence against the class matters.

    It does where D06 said more of the map than pass, and where it measured at least `MUCH_AGAINST` over the maps of the
    class. None where the maps are shown with both signs anyway.
    """
    key = shown.key
    if key is None or shown.context.settings.sign == "signed":
        return []
    measured = max((one.value or 0.0 for one in shown.record.findings if one.code == "D06"), default=0.0)
    is_first = bool(shown.targets) and key.target == shown.targets[0]
    is_much = is_first and measured >= MUCH_AGAINST
    facts = {name: shown.facts(key, name) for name in shown.methods(key)}
    return [name for name, one in facts.items() if one and (is_much or one.checks.get("D06") in SPOKEN)]


def anchor(name: str) -> str:
    """Return the place of a figure.

    >>> anchor("ladder")
    '#figure-ladder'
    """
    return f"#figure-{name}"


def titled(shown: Shown, name: str, words: str) -> str:
    """Return the title of a figure with its number; the title alone where the study lacks the figure."""
    number = numbered(shown).get(name)
    return words if number is None else f"Figure {number}. {words}"


def title(shown: Shown, name: str, words: str) -> Heading:
    """Return the heading of a figure, to which the table of checks leads."""
    return Heading(titled(shown, name, words), level=1, anchor=anchor(name))


def figure_of(finding: Finding, shown: Shown, there: Sequence[str]) -> str:
    """Return the figure that shows what a check found, "" where none does.

    Curves belong to the finding itself, and so does a place among the reference studies where it is drawn; else the
    answers that the check read tell, else its family: a check of the map is seen in the map, one of the probability in
    its bar.
    """
    candidates = ["curves"] if finding.curves else []
    mode = shown.context.failure_modes.get(finding.code)
    variants = mode.variants if mode else ()
    if finding.outcome not in SILENT:
        candidates += [figure for one in variants[:1] if (figure := SHOWN_IN.get(one))]
    if any(finding.code == one.code for one in gauges.gauged(shown.record.findings)):
        candidates.append("gauges")
    if finding.outcome not in SILENT:
        candidates += _by_family(finding, variants, shown)
    return next((one for one in candidates if one in there), "")


def _by_family(finding: Finding, variants: Sequence[str], shown: Shown) -> list[str]:
    if finding.family == "D":
        own = {"D06": ["signed"], "D19": ["methods"], "D11": ["profile"]}.get(finding.code, [])
        return [*own, "planes"]
    if finding.family == "C":
        in_panel = {one.name for one in answers.answered(shown.record, "falsification")}
        if variants:
            return ["panel"] if variants[0] in in_panel else []
        return [{"C12": "parts"}.get(finding.code, "classes")]
    return []
