"""Every generated sentence of the reports, from one template each."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from audit_pipeline import terms
from audit_pipeline.findings import Finding, Outcome
from audit_pipeline.records import Panel, Status
from audit_pipeline.report import numbers, vocabulary
from audit_pipeline.study_record import ExplanationFacts, PredictionFacts, StudyRecord
from audit_pipeline.wording import counted

LONGEST_NAME = 60
"""Characters of a name inside a sentence."""


def method(name: str) -> str:
    """Return the printed name of an explanation method.

    >>> method("hirescam"), method("occlusion")
    ('HiResCAM', 'occlusion')
    """
    return terms.method(name)


def map_unit(unit: str) -> str:
    """Return the unit of a map in words.

    >>> map_unit("logit"), map_unit("relative")
    ('logit units', 'relative units')
    """
    return f"{unit} units" if unit in {"logit", "relative"} else f"units of {unit}"


def capital(words: str) -> str:
    """Return `words` with a capital first letter.

    >>> capital("axial, slice 3"), capital("")
    ('Axial, slice 3', '')
    """
    return words[:1].upper() + words[1:]


def listed(items: Sequence[str], limit: int = 0) -> str:
    """Join words with commas and a last "and"; beyond `limit` the rest is counted.

    >>> listed([]), listed(["a"]), listed(["a", "b", "c"]), listed(["a", "b", "c"], 2)
    ('none', 'a', 'a, b and c', 'a, b and 1 more')
    """
    shown = list(items)
    if limit and len(shown) > limit:
        shown = [*shown[:limit], f"{len(items) - limit} more"]
    if len(shown) < 2:
        return shown[0] if shown else "none"
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


SLACK, LEAST_WITH_SLACK = 40, 160
"""Characters that a text may be too long before it is cut: to say that they are missing takes as many."""


def cut(words: str, limit: int) -> str:
    """Return at most `limit` characters; what is missing is said.

    >>> cut("abcdef", 6), cut("abcdefg", 4)
    ('abcdef', 'abcd\u2026 (3 more characters in the record)')
    """
    if len(words) <= limit + (SLACK if limit > LEAST_WITH_SLACK else 0):
        return words
    return f"{words[:limit].rstrip()}\u2026 ({len(words) - limit} more characters in the record)"


def family(name: str) -> str:
    """Return the heading of a check family.

    >>> family("D"), family("process")
    ('D  Explanation', 'process')
    """
    return vocabulary.FAMILY_WORDS.get(name, name)


def verdict(outcome: Outcome, code: str) -> str:
    """Return what the lamp says after its mark.

    >>> verdict(Outcome.PASS, ""), verdict(Outcome.CRITICAL, "D05")
    ('pass', 'critical, decided by D05')
    """
    words = vocabulary.OUTCOME_WORDS[outcome]
    return f"{words}, decided by {cut(code, LONGEST_NAME)}" if code else words


def verdict_meaning(subject: str, outcome: Outcome, not_evaluable: int = 0) -> str:
    """Return one sentence that says what a verdict on the "prediction" or "explanation" means.

    not_evaluable : how many checks behind the verdict could not answer, which a pass or a note has to say
    """
    silent = f"; {counted(not_evaluable, 'check')} could not be evaluated" if not_evaluable else ""
    meanings = {
        Outcome.PASS: f"No check spoke against the {subject}{silent}.",
        Outcome.NOTE: f"Nothing found stands against the {subject}; there is a remark{silent.replace(';', ', and')}.",
        Outcome.FLAG: f"A reviewer must look before the {subject} is used.",
        Outcome.CRITICAL: f"The {subject} must not be used as it is.",
        Outcome.NOT_EVALUABLE: f"The {subject} could not be judged; this is not a pass.",
        Outcome.ERROR: f"A check of the {subject} broke down; this is not a pass.",
    }
    return meanings[outcome]


def conclusion(prediction: PredictionFacts) -> tuple[str, tuple[str, ...]]:
    """Return what the model concluded: the headline, and the sentences with probabilities and thresholds.

    Of several concluded classes the three most probable are named, the rest is counted.
    """
    if not prediction.probabilities:
        return "no class", ("The record holds no probabilities.",)
    ranked = sorted(prediction.predicted, key=lambda name: -prediction.probabilities.get(name, 0.0))
    if len(ranked) == 1:
        return ranked[0], (_against_threshold(prediction, ranked[0]),)
    if ranked:
        rest = (f"and {counted(len(ranked) - 3, 'more class', 'more classes')}",) if len(ranked) > 3 else ()
        named = tuple(f"{cut(name, LONGEST_NAME)}: {_against_threshold(prediction, name)}" for name in ranked[:3])
        return f"{len(ranked)} classes", named + rest
    highest = max(prediction.probabilities, key=lambda name: prediction.probabilities[name])
    sentence = f"highest: {cut(highest, LONGEST_NAME)}, {_against_threshold(prediction, highest)}"
    return "no class above its threshold", (sentence,)


def _against_threshold(prediction: PredictionFacts, name: str) -> str:
    limit = prediction.thresholds.get(name)
    against = "no threshold stated" if limit is None else f"threshold {numbers.short(limit)}"
    return f"probability {numbers.probability(prediction.probabilities.get(name))}, {against}"


def finding_title(finding: Finding) -> str:
    """Return the title of a finding, its name when it has no title.

    Underscores of a name become blanks.
    """
    return finding.title or finding.name.replace("_", " ")


COUNTS = frozenset({"cells", "fields", "labels", "pairs", "patients", "pieces", "sites", "slices", "values"})
"""Units that are counted, so that one has no plural."""


def finding_sentence(finding: Finding) -> str:
    """Return the message of a finding, with value and limit when the message does not name them."""
    message = finding.message.strip() or vocabulary.NO_MESSAGE
    value = numbers.number(finding.value)
    if finding.value is None:
        return message
    share = {f"{100 * finding.value:.3g}"} if finding.unit.startswith("share") else set()
    if _names(message, {value, f"{finding.value:.3g}", f"{finding.value:g}"} | share):
        return message
    unit = finding.unit.removesuffix("s") if value == "1" and finding.unit in COUNTS else finding.unit
    limit = "" if finding.limit is None else f", limit {numbers.short(finding.limit)}"
    return f"{message} ({' '.join(filter(None, ['value', value, unit]))}{limit})"


def _names(message: str, drawn: Collection[str]) -> bool:
    """Return whether one of the printed numbers stands in `message`, not merely as part of another number."""
    return any(re.search(rf"(?<![\d.]){re.escape(one)}(?!\.?\d)", message) for one in drawn)


def limit_words(finding: Finding) -> str:
    """Return the limit with the side on which it allows values, where the check or the outcome tells it.

    Of a rule, which declares none, a pass lies on the allowed side, a flag or critical outcome beyond it; any other
    outcome tells nothing.
    """
    if finding.limit is None:
        return numbers.MISSING
    limit = numbers.short(finding.limit)
    if finding.direction:
        return f"{vocabulary.AT_MOST if finding.direction == 'above' else vocabulary.AT_LEAST} {limit}"
    if finding.value is None or finding.value == finding.limit:
        return limit
    if finding.outcome not in {Outcome.PASS, Outcome.FLAG, Outcome.CRITICAL}:
        return limit
    allowed_below = (finding.value < finding.limit) == (finding.outcome is Outcome.PASS)
    return f"{vocabulary.AT_MOST if allowed_below else vocabulary.AT_LEAST} {limit}"


def outcome_counts(findings: Sequence[Finding]) -> tuple[tuple[Outcome, int], ...]:
    """Return how many findings ended in each outcome, worst first, zeros included."""
    return tuple(
        (outcome, sum(finding.outcome is outcome for finding in findings)) for outcome in vocabulary.WORST_FIRST
    )


def more_findings(raised: int, remarks: int = 0) -> str:
    """Return the sentence about findings that did not fit; "" for none.

    >>> more_findings(2, 1)
    '2 more findings that matter and 1 more remark: see the table of checks.'
    """
    parts = [counted(raised, "more finding that matters", "more findings that matter")] if raised else []
    parts += [counted(remarks, "more remark")] if remarks else []
    return f"{' and '.join(parts)}: see the table of checks." if parts else ""


def rejection(facts: ExplanationFacts | None) -> str:
    """Return the words drawn over a map that failed its own tests; "" for a map that did not.

    A map is rejected by a critical outcome of an explanation check, and by a flag of D05 (empty map).
    """
    if facts is None:
        return ""
    codes = [
        code
        for code, outcome in sorted(facts.checks.items())
        if code.startswith("D")
        and (outcome is Outcome.CRITICAL or (code == "D05" and outcome in {Outcome.FLAG, Outcome.ERROR}))
    ]
    return f"not evidence: failed {cut(', '.join(codes), LONGEST_NAME)}" if codes else ""


def window(limits: tuple[float, float], unit: str) -> str:
    """Return centre and width of a display window.

    >>> window((-160, 240), "HU")
    'centre 40 width 400 HU'
    """
    low, high = limits
    return f"centre {numbers.short((low + high) / 2)} width {numbers.short(high - low)} {unit}".rstrip()


def slice_place(panel: Panel) -> str:
    """Return plane, slice number (counted from 0 as in the record) and position of a panel."""
    parts = [cut(panel.plane, LONGEST_NAME)]
    if panel.index is not None:
        parts.append(f"slice {panel.index}")
    if panel.position_mm is not None:
        plane = panel.plane if all(len(letter) == 1 for letter in panel.letters) else ""
        parts.append(f"at {numbers.along(plane, panel.position_mm)}")
    return ", ".join(parts)


def convention(panels: Sequence[Panel]) -> str:
    """Return the sentence about display orientation, as far as the letters of the panels bear it out."""
    known = [panel for panel in panels if any(panel.letters)]
    if not known:
        return "The orientation of this image is unknown: no letters are shown."
    turned = [panel for panel in known if panel.plane in {"axial", "coronal"}]
    if turned and all(panel.letters[0].startswith("R") for panel in turned):
        return "Radiological convention: the patient's right is on the left of the page."
    return "The letters at the edges say how the patient is turned in each image."


def voxel(index: Sequence[int]) -> str:
    """Return a voxel index in array order.

    >>> voxel((3, 20, 7))
    '(3, 20, 7)'
    """
    return f"({', '.join(str(one) for one in index)})"


def cell(facts: ExplanationFacts) -> str:
    """Return the size of a cell of the map's grid."""
    return numbers.sizes(facts.cell_mm) if any(size is not None for size in facts.cell_mm) else "size unknown"


def not_run(disabled: Sequence[str]) -> str:
    """Return the sentence about checks that the configuration switched off.

    >>> not_run([]), not_run(["C11"])
    ('No check was switched off by the configuration.', 'Switched off by the configuration: C11.')
    """
    if not disabled:
        return "No check was switched off by the configuration."
    return f"Switched off by the configuration: {listed(list(disabled))}."


def without_result(record: StudyRecord) -> str:
    """Return the opening sentence of the page of a refused or failed study."""
    if record.status is Status.REFUSED:
        return "This study was refused before the model was asked. No prediction was made and none may be assumed."
    return "This study could not be audited to its end. Nothing in it may be taken as a passed audit."


def what_to_do(stage: str) -> str:
    """Return what a reader can do about a failure in `stage`."""
    return vocabulary.WHAT_TO_DO.get(stage, vocabulary.WHAT_TO_DO_ELSE)


def judged(facts: ExplanationFacts) -> str:
    """Return how the checks judged one map: the codes that spoke, or that none did; not evaluable is counted apart."""
    if not facts.checks:
        return "not judged"
    spoke = [
        f"{code} {vocabulary.OUTCOME_WORDS[one]}"
        for code, one in sorted(facts.checks.items())
        if one in vocabulary.MATTERING
    ]
    if spoke:
        return ", ".join(spoke)
    open_checks = sum(outcome is Outcome.NOT_EVALUABLE for outcome in facts.checks.values())
    judged_by = counted(len(facts.checks) - open_checks, "check")
    return f"{judged_by}, none against" + (f"; {open_checks} not evaluable" if open_checks else "")


def slices(indices: Sequence[int], limit: int = 12) -> str:
    """Return the slices a finding names, counted from 0; "" for none.

    >>> slices([4]), slices([1, 2]), slices([])
    ('Slice 4.', 'Slices 1 and 2.', '')
    """
    if not indices:
        return ""
    shown = listed([str(index) for index in indices], limit)
    return f"{'Slice' if len(indices) == 1 else 'Slices'} {shown}."


def software(versions: Mapping[str, str]) -> str:
    """Return software names and versions.

    >>> software({"torch": "2.13.0"}), software({})
    ('torch 2.13.0', 'not recorded')
    """
    return ", ".join(f"{name} {version}" for name, version in versions.items()) or "not recorded"


def prediction_cell(prediction: PredictionFacts | None) -> str:
    """Return concluded classes with their probabilities for one cell of a table; without any, the most probable."""
    if prediction is None:
        return "no prediction"
    if not prediction.predicted:
        name, chance = max(prediction.probabilities.items(), key=lambda item: item[1])
        return f"no class (highest: {cut(name, LONGEST_NAME)} {numbers.probability(chance)})"
    named = [
        f"{cut(name, LONGEST_NAME)} {numbers.probability(prediction.probabilities.get(name))}"
        for name in prediction.predicted
    ]
    return listed(named, 3)


def raised(findings: Sequence[Finding]) -> str:
    """Return the codes that ended in critical, error or flag, worst first; "" for none."""
    codes = [finding.code for outcome in vocabulary.MATTERING for finding in findings if finding.outcome is outcome]
    return ", ".join(dict.fromkeys(codes))
