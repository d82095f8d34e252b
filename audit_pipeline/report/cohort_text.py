"""The generated sentences of the chapters about groups, changes, shortcuts, maps and detectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from audit_pipeline.findings import Outcome
from audit_pipeline.report import numbers, statistics_text, text, vocabulary
from audit_pipeline.wording import counted

Row = Mapping[str, Any]

ALPHA = 0.05
CHANCE = "(chance)"
NO_FMEA = "Not evaluable. The table was not computed for this run; start the run again on its output to add it."
NO_LADDER = (
    "Not evaluable. The records hold no answers to changed inputs; start the audit with audit.level standard or deep."
)
NO_MAPS = "Not evaluable. No audited study has an explanation; name methods under explain.methods."
LADDER = (
    "Every answer is one that a check asked for. Brackets: 95 % intervals, Wilson for shares, DeLong for the same "
    "studies for differences (changed less unchanged); of several classes the one that loses most. Ring: unchanged "
    "input. The changes named above are the worst of all, their intervals not adjusted for that choice. Exploratory: "
    "no limit was declared."
)
FALSIFICATION = (
    "Without the body or on even grey the AUROC should be 0.5; without letters or border it should stay. Brackets: 95 "
    "% intervals of each number alone, differences by DeLong's test for the same studies; E06 tests "
    "them together and adjusts. Exploratory: no limit was declared."
)
MAPS = (
    "A map passes when no check that judges it raised a flag, and at least one gave an answer. Brackets: 95 % Wilson "
    "interval, by patient where a method has several maps of one. Methods explain the same "
    "predictions: two that agree (D19) are one result, not two. Cells with evidence: share of the cells that speak for "
    "the class; peak: highest value of maps that are not blank; both as median with 5 and 95 % quantiles."
)
DETECTORS = (
    "From the test bench that ships with this release, not from this cohort: faults of known severity planted in "
    "phantoms, and clean phantoms. Finds: severity 3 to 5, any outcome but pass. Brackets: 95 % Wilson intervals."
)
GOOD_SENSITIVITY = 0.95
OUTCOME_ORDER = (Outcome.CRITICAL, Outcome.FLAG, Outcome.ERROR, Outcome.NOTE, Outcome.NOT_EVALUABLE, Outcome.PASS)
BY_CHANCE = "found nothing beyond chance"
OUTCOME_VERBS = {
    Outcome.CRITICAL: "ended critical",
    Outcome.FLAG: "raised a flag",
    Outcome.ERROR: "broke down",
    Outcome.NOTE: "left a note",
    Outcome.NOT_EVALUABLE: "could not be evaluated",
    Outcome.PASS: "found nothing wrong",
}


def is_by_chance(one: Row) -> bool:
    """Return whether a check passed although its value lies beyond its limit, since chance explains that.

    >>> found = {"outcome": "pass", "limit": 0.1, "direction": "above", "p_value": 0.3}
    >>> [is_by_chance({**found, "value": 0.2}), is_by_chance({**found, "value": 0.1})]
    [True, False]
    """
    value, limit = one.get("value"), one.get("limit")
    if Outcome(one["outcome"]) is not Outcome.PASS or value is None or limit is None or one.get("p_value") is None:
        return False
    return bool({"above": value > limit, "below": value < limit}.get(str(one["direction"]), False))


def how_ended(checks: Sequence[Row], codes: Sequence[str], subject: str) -> str:
    """Return how the checks of a subject ended, worst first, with the codes of those that raised something.

    >>> rows = [{"code": "E04", "outcome": "flag"}, {"code": "E05", "outcome": "pass"}]
    >>> how_ended(rows, ("E04", "E05"), "shortcuts")
    'Of 2 checks on shortcuts, 1 raised a flag (E04) and 1 found nothing wrong.'
    >>> how_ended(rows, ("E05",), "shortcuts")
    'The check on shortcuts, E05, found nothing wrong.'
    >>> rows[1] |= {"value": 0.3, "limit": 0.1, "direction": "above", "p_value": 0.3}
    >>> how_ended(rows, ("E05",), "shortcuts")
    'The check on shortcuts, E05, found nothing beyond chance.'
    >>> how_ended((), ("E05",), "shortcuts")
    'Not evaluable. No check on shortcuts ran; see cohort.disable.'
    """
    found = [one for one in checks if one["code"] in codes]
    if not found:
        return f"Not evaluable. No check on {subject} ran; see cohort.disable."
    if len(found) == 1:
        outcome = Outcome(found[0]["outcome"])
        if outcome is Outcome.NOT_EVALUABLE:
            return f"Not evaluable. {found[0]['code']}: {found[0]['message']}"
        verb = BY_CHANCE if is_by_chance(found[0]) else OUTCOME_VERBS[outcome]
        return f"The check on {subject}, {found[0]['code']}, {verb}."
    parts = []
    for outcome in OUTCOME_ORDER:
        own = [str(one["code"]) for one in found if one["outcome"] == outcome.value and not is_by_chance(one)]
        if own:
            named = "" if outcome is Outcome.PASS else f" ({text.listed(own, 6)})"
            parts.append(f"{len(own)} {OUTCOME_VERBS[outcome]}{named}")
    by_chance = [str(one["code"]) for one in found if is_by_chance(one)]
    parts += [f"{len(by_chance)} {BY_CHANCE} ({text.listed(by_chance, 6)})"] if by_chance else []
    return f"Of {len(found)} checks on {subject}, {text.listed(parts)}."


def no_groups(statistics: Row) -> str:
    """Return why there are no subgroups."""
    if not statistics:
        return f"Not evaluable. {statistics_text.COMPUTED}"
    if not statistics["labelled"]:
        return f"Not evaluable. {statistics_text.LABELS}"
    return (
        "Not evaluable. No column divides the labelled studies. Supply columns such as site, sex, age or scanner in "
        "the labels file."
    )


def subgroups(rows: Sequence[Row], checks: Sequence[Row]) -> str:
    """Return the sentence that opens the chapter on subgroups."""
    groups = [row for row in rows if row["column"]]
    columns = {row["column"] for row in groups}
    small = sum(row["is_too_small"] for row in groups)
    apart = sum(one["p_value"] < ALPHA for row in groups for one in row["against"].values())
    compared = sum(len(row["against"]) for row in groups)
    classes = {row["question"] for row in groups}
    each = "" if len(classes) == 1 else f" for {len(classes)} classes"
    judged = next((one for one in checks if one["code"] == "E01"), None)
    verdict = "" if judged is None else f" E01: {_outcome(judged)}."
    differ = f"{apart} {'differs' if apart == 1 else 'differ'} at an adjusted p below {numbers.short(ALPHA)}"
    told = f"of {counted(compared, 'comparison')} with the rest, {differ}" if compared else "none can be compared"
    return (
        f"Of {counted(len(groups), 'group')} in {counted(len(columns), 'column')}{each}, {small} "
        f"{'is' if small == 1 else 'are'} too small to judge; {told}.{verdict}"
    )


def _outcome(one: Row) -> str:
    words = vocabulary.OUTCOME_WORDS[Outcome(one["outcome"])]
    return f"{words} {CHANCE}" if is_by_chance(one) else words


def forest_note(drawn: int, total: int) -> str:
    """Return what the forest shows, and which classes it leaves out."""
    rest = f" Drawn: of {total} classes the {drawn} with the most positives; cohort.json has all."
    left = "" if drawn == total else rest
    return (
        "Dots with 95 % intervals (Wilson; AUROC: DeLong, logit scale); shaded: the whole cohort. Diamond: differs "
        "from the rest of its column at an adjusted p below 0.05 (planned columns: Holm; exploratory ones: "
        "Benjamini and Hochberg); the smallest p of the three metrics is printed, of two values in a column the rarer "
        f"is compared. Below 10 cases nothing is estimated.{left}"
    )


def ladders(asked: Sequence[Row]) -> str:
    """Return the sentence that opens the chapter on robustness."""
    steps = [step for one in asked for step in one["steps"]]
    step = min(steps, key=lambda own: (own["stays"]["value"], str(own["sentence"])))
    stays = statistics_text.estimate(step["stays"])
    changes = counted(len(steps), "change")
    told = f"Of {changes} of the input, \u201c{_quoted(step)}\u201d leaves the fewest conclusions as they are: {stays}"
    worst = [(found["difference"], found, own) for own in steps if (found := most_changed(own)) is not None]
    if not worst:
        return f"{told}. With too few labelled studies, or none, no change of the AUROC can be stated."
    least, found, own = min(worst, key=lambda entry: (entry[0]["value"], str(entry[2]["sentence"])))
    shown = statistics_text.estimate(least, decimals=3)
    name = text.cut(str(found["name"]), text.LONGEST_NAME)
    falls = "falls most under" if least["value"] < 0 else "falls under no change; nearest to a fall"
    return f"{told}. The AUROC of {name} {falls} \u201c{_quoted(own)}\u201d: {shown}, n = {least['n']}."


def _quoted(step: Row) -> str:
    return text.cut(str(step["sentence"]).rstrip("."), 80)


def most_changed(step: Row) -> Row | None:
    """Return the class whose AUROC falls most, None where no class has one."""
    known = [one for one in step["classes"] if one["difference"]["value"] is not None]
    return min(known, key=lambda one: (one["difference"]["value"], str(one["name"])), default=None)


def change(one: Row, place: int) -> str:
    """Return the sentence of a step; steps that have the same one are numbered.

    >>> change({"steps": [{"sentence": "Noise."}, {"sentence": "Noise."}]}, 2)
    'Noise (2 of 2)'
    """
    sentences = [str(step["sentence"]) for step in one["steps"]]
    words = text.cut(sentences[place - 1].rstrip("."), 200)
    return f"{words} ({place} of {len(sentences)})" if sentences.count(sentences[place - 1]) > 1 else words


COUNTED_UNITS = frozenset({"voxels", "pixels", "degrees"})


def amount(one: Row, step: Row) -> str:
    """Return how much was changed, as a range where it differs between studies.

    >>> amount({"unit": "voxels"}, {"amount": [1.0, 4.0]}), amount({"unit": ""}, {"amount": None})
    ('1 to 4 voxels', '\u2013')
    >>> amount({"unit": "pixels"}, {"amount": [1.0, 1.0]})
    '1 pixel'
    """
    if step["amount"] is None:
        return numbers.MISSING
    low, high = (numbers.short(value) for value in step["amount"])
    unit = str(one["unit"])
    if low == high and step["amount"][0] in {1, -1} and unit in COUNTED_UNITS:
        unit = unit.removesuffix("s")
    return f"{low if low == high else f'{low} to {high}'} {unit}".strip()


def ladder_title(one: Row) -> str:
    """Return the title of a kind of change.

    >>> ladder_title({"group": "corruption", "name": "noise"})
    'noise (corruption)'
    """
    return f"{text.cut(str(one['name']).replace('_', ' '), 40)} ({one['group']})"


def gauges(found: Sequence[Row]) -> str:
    """Return the sentence that opens the chapter on distribution."""
    answered = [one for one in found if one["raised"]["n"]]
    if not answered:
        return (
            "Not evaluable. No check on the distribution gave an answer; supply clean reference studies "
            "(checks.reference, made by audit-pipeline calibrate)."
        )
    raised = [one for one in answered if one["raised"]["k"]]
    if not raised:
        return f"No study was flagged by the {counted(len(answered), 'check')} on the distribution."
    worst = max(raised, key=lambda one: (one["raised"]["k"] / one["raised"]["n"], one["code"]))
    share = numbers.share(worst["raised"]["k"], worst["raised"]["n"])
    return (
        f"Of {counted(len(answered), 'check')} on the distribution, {len(raised)} flagged a study; most often "
        f"{worst['code']}, in {share} studies."
    )


def spread_note(left: Sequence[str]) -> str:
    """Return what the lines mean, and which checks gave no answer in any study."""
    open_ended = f" No answer in any study: {text.listed(left, 12)}." if left else ""
    return (
        "Raised: flagged or critical, of the studies in which the check gave an answer, with 95 % Wilson interval. "
        "Line: 5 to 95 % of the values, thick: quartiles, upright: median, dashed: limit where all studies have "
        f"the same.{open_ended}"
    )


def maps(methods: Sequence[Row]) -> str:
    """Return the sentence that opens the chapter on explanations."""
    total = sum(one["maps"] for one in methods)
    judged = sum(one["passed"]["n"] for one in methods)
    passed = sum(one["passed"]["k"] for one in methods)
    blank = sum(one["blank"] for one in methods)
    by = f"{counted(total, 'map')} by {counted(len(methods), 'method')}"
    if not judged:
        return f"None of {by} was judged by a check."
    empty = f" {counted(blank, 'map is', 'maps are')} blank." if blank else ""
    untested = f" {total - judged} had no check that gave an answer." if judged < total else ""
    each = {(one["passed"]["k"], one["passed"]["n"]) for one in methods}
    if len(methods) > 1 and len(each) == 1:
        k, n = each.pop()
        by = f"each of {counted(len(methods), 'method')}"
        return f"By {by}, {numbers.share(k, n)} maps passed their own tests.{untested}{empty}"
    return f"Of {by}, {numbers.share(passed, judged)} passed their own tests.{untested}{empty}"


def codes(counts: Mapping[str, int], most: int) -> str:
    """Return the codes that raised something with their number of maps, most first.

    >>> codes({"D19": 12, "D05": 3}, 4), codes({}, 4)
    ('D19 12, D05 3', 'none')
    """
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    named = [f"{code} {count}" for code, count in ordered[:most]]
    more = f" and {len(ordered) - most} more" if len(ordered) > most else ""
    return f"{', '.join(named)}{more}" or "none"


def spread_words(quantiles: Sequence[float]) -> str:
    """Return a median with its 5 and 95 % quantiles.

    >>> spread_words([0.1, 0.25, 0.5]), spread_words([])
    ('0.25 (0.1 to 0.5)', '\u2013')
    """
    if not quantiles:
        return numbers.MISSING
    low, middle, high = (numbers.short(value) for value in quantiles)
    return f"{middle} ({low} to {high})"


def detectors(measured: Sequence[Row]) -> str:
    """Return the sentence that opens the chapter on the error rates of the checks."""
    planted = [one for one in measured if one["found"]["n"]]
    if not planted:
        return "Not evaluable. The error rates of the checks were not measured for this run."
    good = sum(one["found"]["k"] / one["found"]["n"] >= GOOD_SENSITIVITY for one in planted)
    quiet = [one["quiet"] for one in measured if one["quiet"]["n"]]
    false, clean = sum(one["n"] - one["k"] for one in quiet), sum(one["n"] for one in quiet)
    alarms = f"; on clean studies {numbers.share(false, clean)} answers are false alarms" if clean else ""
    return f"Of {len(planted)} checks with planted faults, {good} found at least 95 % of them{alarms}."


def fmea(rows: Sequence[Row]) -> str:
    """Return the sentence that opens the table of failure modes."""
    seen = [row for row in rows if row["raised"]]
    if not seen:
        return f"None of {counted(len(rows), 'failure mode')} was seen in this cohort."
    first = seen[0]
    return (
        f"{len(seen)} of {counted(len(rows), 'failure mode')} {'was' if len(seen) == 1 else 'were'} seen in this "
        f"cohort; the gravest is {first['code']}, {first['title']} (severity {first['severity']}, raised in "
        f"{first['raised']} of {first['judged']})."
    )
