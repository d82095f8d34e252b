"""The generated sentences of the story chapters of the audit report: plan, gates, flow, cases, limitations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from audit_pipeline.report import numbers, text
from audit_pipeline.report.audit_facts import Summary
from audit_pipeline.wording import counted

GATE_WORDS = {"met": "met", "not_met": "not met", "open": "not shown", "not_evaluable": "not evaluable"}
GATE_ORDER = ("not_met", "open", "not_evaluable", "met")
MEASURE_WORDS = {
    "auroc": "AUROC",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "refused": "studies refused or failed",
    "critical": "studies whose prediction is critical",
    "rejected_maps": "studies whose explanation is critical",
}
GATE_NOTE = (
    "Met: the whole 95 % interval lies on the promised side of the limit. Not met: none of it does. Not shown: the "
    "interval holds the limit, so these studies are too few to tell. Half widths and shares of the run speak about "
    "these studies alone and are decided by the number itself."
)
NO_PLAN = "No claim and no gate was declared before the run, so nothing could be kept or broken."
NO_PLAN_ADVICE = "Declare them in cohort.claims and cohort.gates of the configuration, before the data are seen."
ON_PAGE_ONE = "The promises and their answers stand on page one."
PLAN_CHANGED = (
    "The configuration was changed after the run had begun: the gates answer the first plan, the checks of the cohort "
    "the later one."
)
BLIND = "The model saw the image of a study and nothing else: no label, no other test and no clinical fact."
IDENTITY = {
    "deidentified": (
        "Profile: de-identified. Studies carry keyed pseudonyms; header fields come from an allow-list, dates are left "
        "out or pooled to quarters, ages to bands of ten years with 90 and above together; text found in the pixels is "
        "blanked in every figure."
    ),
    "clinical": "Profile: CLINICAL. This report shows identity and must be kept as such.",
}
NO_ERRORS_KNOWN = "Without labels errors are not known"
SILENT_ERROR = "No check raised a flag here: compare image, label and map, and have the study read again."
NOT_MEASURED = (
    "Whether readers decide better with the model than without it, and what that means for patients.",
    "How the model was made: its training data and training were not seen, only what its card tells.",
    "Studies that never reached the audit: how they were chosen is not recorded here.",
)
"""What no audit of this kind can tell."""


def question(audit: str, model: str, use: str) -> str:
    """Return what the audit asks, about which model, for which use."""
    meant = f" The model is meant for this use: {use.strip().rstrip('.')}." if use.strip() else ""
    return (
        f"The audit \u201c{audit}\u201d asks whether the predictions of {model} may be trusted, and what is wrong "
        f"where they may not.{meant}"
    )


def data(summary: Summary) -> str:
    """Return which studies the answer stands on: how many, of how many patients and sites, from which period."""
    counts = summary.get("counts") or {}
    found, audited = int(counts.get("found", 0)), int(counts.get("audited", 0))
    if found == 0:
        return "No study was found. Nothing was judged."
    told = f"Of {counted(found, 'study', 'studies')} found, {audited} {'was' if audited == 1 else 'were'} audited"
    lost = [f"{counts[name]} {name}" for name in ("refused", "failed", "excluded") if counts.get(name)]
    parts = [told + (f" and {text.listed(lost)}" if lost else "")]
    origin = [one for one in (_patients(summary), _sites(summary)) if one]
    if origin:
        parts.append(f"the audited ones are {' '.join(origin)}")
    return f"{'; '.join([*parts, period(summary)])}."


def period(summary: Summary) -> str:
    """Return the period of the studies, or that nobody stated it."""
    levels = sorted(level_counts(summary, "Period"))
    if not levels:
        return "their period is not stated"
    return f"their period is {levels[0]}" if len(levels) == 1 else f"their periods run from {levels[0]} to {levels[-1]}"


def level_counts(summary: Summary, name: str) -> Mapping[str, int]:
    """Return level -> studies over all audited studies of one characteristic; empty where it is unknown."""
    rows = (summary.get("characteristics") or {}).get("rows") or []
    found = next((row for row in rows if row["name"] == name and row["levels"]), None)
    return {} if found is None else {level: counts[0] for level, counts in found["levels"].items()}


def _patients(summary: Summary) -> str:
    patients = (summary.get("characteristics") or {}).get("patients")
    return f"of {counted(patients, 'patient')}" if patients else ""


def _sites(summary: Summary) -> str:
    sites = len(level_counts(summary, "Site"))
    return f"from {counted(sites, 'site')}" if sites else ""


def promise(gate: Mapping[str, Any]) -> str:
    """Return what was promised, as a clause.

    >>> promise({"measure": "sensitivity", "class_name": "nodule", "claimed": 0.9, "limit": 0.85, "side": "least"})
    'sensitivity for nodule at least 0.85 (claimed 0.9 less its margin)'
    >>> promise({"measure": "refused", "class_name": "", "claimed": None, "limit": 0.1, "side": "most"})
    'share of studies refused or failed at most 0.1'
    """
    measure = str(gate["measure"])
    of_class = f" for {text.cut(str(gate['class_name']), text.LONGEST_NAME)}" if gate["class_name"] else ""
    if measure.startswith("half_width of "):
        named = f"half width of the interval of {MEASURE_WORDS[measure.removeprefix('half_width of ')]}"
    else:
        named = MEASURE_WORDS[measure] if gate["class_name"] else f"share of {MEASURE_WORDS[measure]}"
    claimed, limit = gate["claimed"], numbers.short(gate["limit"])
    is_reduced = claimed is not None and claimed != gate["limit"]
    margin = f" (claimed {numbers.short(claimed)} less its margin)" if is_reduced else ""
    return f"{named}{of_class} at {gate['side']} {limit}{margin}"


def gate_counts(gates: Sequence[Mapping[str, Any]]) -> str:
    """Return how the promises ended, as a sentence; the broken ones first.

    >>> gate_counts([{"state": "met"}, {"state": "open"}])
    'Of 2 promises made before the run 1 is not shown and 1 is met.'
    >>> gate_counts([{"state": "met"}]), gate_counts([])[:32]
    ('The one promise made before the run is met.', 'No claim and no gate was declare')
    """
    if not gates:
        return NO_PLAN
    if len(gates) == 1:
        return f"The one promise made before the run is {GATE_WORDS[str(gates[0]['state'])]}."
    tally = [(GATE_WORDS[state], sum(gate["state"] == state for gate in gates)) for state in GATE_ORDER]
    parts = [f"{count} {'is' if count == 1 else 'are'} {words}" for words, count in tally if count]
    return f"Of {len(gates)} promises made before the run {text.listed(parts)}."


def flow_found(flow: Mapping[str, Any]) -> str:
    """Return what the flow of studies came to.

    >>> flow_found({"received": 0, "audited": 0, "analysed": 0})
    'No study was received.'
    """
    received, audited, analysed = (int(flow[name]) for name in ("received", "audited", "analysed"))
    if received == 0:
        return "No study was received."
    start = f"Of {counted(received, 'study', 'studies')} received {_were(audited)} audited and {_were(analysed)}"
    lost = received - analysed
    if lost == 0:
        return f"{start} analysed against a label; none was left out."
    return (
        f"{start} analysed against a label; {counted(lost, 'study was', 'studies were')} left out on the way, "
        f"{'with its' if lost == 1 else 'each with its'} reason."
    )


def _were(count: int) -> str:
    return f"{count or 'none'} {'was' if count < 2 else 'were'}"


def characteristics_found(content: Mapping[str, Any]) -> str:
    """Return how many studies and properties the table holds, and which of these have gaps."""
    studies = int(content["columns"][0][1])
    if not studies:
        return "No study was audited, so there is nothing to describe."
    gaps = [f"{row['name']} ({row['missing'][0]})" for row in content["rows"] if row["missing"][0]]
    known = content["patients"]
    of_patients = f" of {counted(known, 'patient')}" if known else ", of patients that nobody named"
    start = f"{text.capital(counted(studies, 'audited study', 'audited studies'))}{of_patients}"
    if not gaps:
        return f"{start}; no property in the table is missing in any of them."
    return f"{start}; missing in some of them, with their number: {text.listed(gaps, 6)}."


def cases_found(*, wrong: int, analysed: int, raised: int, shown: int, total: int) -> str:
    """Return how many errors and raised studies there are, and how many of all these cases follow as cards.

    >>> cases_found(wrong=3, analysed=7, raised=0, shown=3, total=3)
    'The conclusion differs from the label in 3 of 7 analysed studies; no check raised a flag; all 3 follow.'
    >>> cases_found(wrong=0, analysed=0, raised=30, shown=20, total=30)[-42:]
    '; the worst 20 of 30 follow, errors first.'
    """
    of_all = counted(analysed, "analysed study", "analysed studies")
    if total == 0:
        nobody = f"Of {of_all} none" if analysed else "No study"
        return f"{nobody} was concluded against its label, and no check raised a flag: there is no case to review."
    errors = f"The conclusion differs from the label in {wrong} of {of_all}" if analysed else NO_ERRORS_KNOWN
    studies = counted(raised, "audited study", "audited studies")
    flags = f"a check raised a flag in {studies}" if raised else "no check raised a flag"
    if shown < total:
        return f"{errors}; {flags}; the worst {shown} of {total} follow, errors first."
    return f"{errors}; {flags}; {'the only case follows' if total == 1 else f'all {total} follow'}."


def reviews_found(reviews: Mapping[str, Any] | None) -> str:
    """Return what the reviewers said, and what is still open."""
    if not reviews or not (reviews["needed"] or reviews["studies"]):
        return "No study asks for the verdict of a reviewer: no flag of a failure mode of severity 4 or 5 was raised."
    needed, left = len(reviews["needed"]), len(reviews["open"])
    asks = "asks" if needed == 1 else "ask"
    said = [f"{count} \u201c{word}\u201d" for word, count in reviews["verdicts"].items() if count]
    parts = [f"{counted(needed, 'study', 'studies')} {asks} for a verdict (a flag of severity 4 or 5); {left} open."]
    parts.append(f"Verdicts in reviews.csv: {text.listed(said)}." if said else "No verdict was given yet.")
    if reviews["pairs"]:
        kappa = reviews["kappa"]
        known = ", kappa not defined: all words are equal"
        if kappa is not None:
            value, low, high = (numbers.fixed(kappa[part], 2) for part in ("value", "low", "high"))
            known = f", kappa {value} (95 % interval {low} to {high})"
        read = f"Read by two: {counted(reviews['pairs'], 'study', 'studies')}, {reviews['equal']} with the same word"
        parts.append(f"{read}{known}.")
    return " ".join(parts)


def conclusion_against_label(label: str | None, concluded: str, *, is_wrong: bool | None) -> str:
    """Return prediction against label.

    >>> conclusion_against_label("nodule", "clear 0.912", is_wrong=True)
    'Label nodule; the model concludes clear 0.912: it differs.'
    >>> conclusion_against_label(None, "clear 0.912", is_wrong=None)
    'No label; the model concludes clear 0.912.'
    """
    known = f"Label {text.cut(label, text.LONGEST_NAME)}" if label else "No label"
    end = {True: ": it differs.", False: ": it agrees.", None: "."}[is_wrong]
    return f"{known}; the model concludes {concluded}{end}"


def conformity_found(answered: int, partly: int, left: int) -> str:
    """Return how many items of all lists are answered.

    >>> conformity_found(1, 0, 2)
    'Of 3 items of the lists below this report supports 1 fully and 0 in part; 2 are open, with what to supply.'
    """
    total = answered + partly + left
    are = "is" if left == 1 else "are"
    return (
        f"Of {counted(total, 'item')} of the lists below this report supports {answered} fully and {partly} in "
        f"part; {left} {are} open, with what to supply."
    )


def limitations_found(count: int) -> str:
    """Return how many limits the lists hold."""
    return f"{text.capital(counted(count, 'thing limits', 'things limit'))} what this audit can say."


def index_found(records: int, audited: int) -> str:
    """Return how many studies the index lists."""
    if records == 0:
        return "There is no study."
    rest = records - audited
    others = f", and {rest} without a result" if rest else ""
    return f"{text.capital(counted(audited, 'audited study', 'audited studies'))}, worst first{others}."


def checks_found(outcomes: Mapping[str, Mapping[str, int]], audited: int) -> str:
    """Return how many checks ran, and how many of them raised something or could not answer.

    >>> checks_found({"A01": {"pass": 3}, "D05": {"flag": 1, "pass": 2}}, 3)
    '2 checks ran over 3 audited studies: 1 raised a flag or worse, 0 left no more than a note, 0 never could answer.'
    """
    is_raised = [any(counts.get(one) for one in ("critical", "error", "flag")) for counts in outcomes.values()]
    raised = sum(is_raised)
    noted = sum(bool(counts.get("note")) and not own for counts, own in zip(outcomes.values(), is_raised, strict=True))
    silent = sum(set(counts) == {"not_evaluable"} for counts in outcomes.values())
    return (
        f"{counted(len(outcomes), 'check')} ran over {counted(audited, 'audited study', 'audited studies')}: "
        f"{raised} raised a flag or worse, {noted} left no more than a note, {silent} never could answer."
    )


SIGNATURE = (
    "A signed copy carries its signatures in the margin of page one. Signing an audit as reviewed or approved is "
    "refused while a study that asks for a verdict has none in reviews.csv; that of one study is its verdict."
)


def provenance_found(models: int, records: int) -> str:
    """Return what the report stands on.

    >>> provenance_found(1, 60)
    'The report stands on 60 records of 1 model; the digests below name both.'
    """
    if records == 0:
        return "The report stands on no record."
    return (
        f"The report stands on {counted(records, 'record')} of {counted(models, 'model')}; the digests below name both."
    )
