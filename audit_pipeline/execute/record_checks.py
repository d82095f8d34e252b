"""Family F, the record of a run: is it of the declared model, whole, unaltered, and what its reports say (F01 to F06).

A record check is a pure function of `RunEvidence`. When a run is closed they go to ``run.json``; the command ``verify``
asks them again, then with the ledger and the reports at hand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import wraps
from typing import Any

from audit_pipeline.checks.declare import Result, finding_of, not_evaluable
from audit_pipeline.checks.wording import sentence
from audit_pipeline.findings import FailureMode, Finding, Outcome
from audit_pipeline.records import Status
from audit_pipeline.store.files import json_bytes, sha256
from audit_pipeline.study_record import StudyRecord
from audit_pipeline.wording import counted, listed

STAGES = ("load", "prepare", "predict", "explain", "check", "report")
STUDY = ("study", "studies")
ROW = ("code", "name", "family", "title", "outcome", "value", "limit", "unit", "provenance", "message", "advice")
"""What ``run.json`` keeps of a finding."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunEvidence:
    """What is known of a run as a whole.

    run : content of ``run.json``; records : of every committed study
    left_out : reason -> studies that were found and have no record
    ledger : what differs from the ledger and the signatures, in sentences; None where nobody compared
    reports : what differs between reports and records; None where nobody compared; compared : reports that were
    today : date on which the question is asked
    """

    run: Mapping[str, Any]
    records: Sequence[StudyRecord]
    today: date
    left_out: Mapping[str, int] = field(default_factory=dict)
    ledger: tuple[str, ...] | None = None
    reports: tuple[str, ...] | None = None
    compared: int = 0

    @property
    def audited(self) -> tuple[StudyRecord, ...]:
        """The records of audited studies."""
        return tuple(one for one in self.records if one.status is Status.AUDITED)


Detector = Callable[[RunEvidence], Result]
RecordCheck = Callable[[RunEvidence], Finding]
RECORD_CHECKS: dict[str, tuple[FailureMode, RecordCheck]] = {}
"""Every record check by its code."""


def record_check(
    code: str, *, title: str, sentence: str, severity: tuple[int, int, int], reference: str, advice: str
) -> Callable[[Detector], RecordCheck]:
    """Return a decorator that registers a detector as the record check `code`; a crash ends as ``error``."""

    def decorate(detector: Detector) -> RecordCheck:
        mode = FailureMode(
            code=code, name=detector.__name__, title=title, family="F", sentence=sentence, severity=severity,
            provenance="std", reference=reference, advice=advice,
        )  # fmt: skip

        @wraps(detector)
        def function(evidence: RunEvidence) -> Finding:
            try:
                return finding_of(mode, detector(evidence))
            except Exception as error:  # noqa: BLE001 - a crashed check is a finding, never the end of the audit
                text = f"The check itself failed with {type(error).__name__}; nothing is known about this failure mode."
                return finding_of(mode, Result(Outcome.ERROR, text))

        RECORD_CHECKS[code] = (mode, function)
        return function

    return decorate


def record_findings(evidence: RunEvidence) -> tuple[Finding, ...]:
    """Return one finding for every record check, in the order of the codes."""
    return tuple(function(evidence) for _, (_, function) in sorted(RECORD_CHECKS.items()))


def record_modes() -> tuple[FailureMode, ...]:
    """Return the metadata of every record check, in the order of the codes."""
    return tuple(mode for _, (mode, _) in sorted(RECORD_CHECKS.items()))


def rows_of(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Return findings as ``run.json`` keeps them."""
    rows = [{name: getattr(one, name) for name in ROW} for one in findings]
    return [{**row, "outcome": str(row["outcome"])} for row in rows]


def outcomes_of(findings: Sequence[Finding]) -> dict[str, dict[str, int]]:
    """Return code -> outcome -> 1, as a cohort counts its studies; a run is one."""
    return {one.code: {str(one.outcome): 1} for one in findings}


def run_evidence(run: Mapping[str, Any], records: Sequence[StudyRecord]) -> RunEvidence:
    """Return what is known when a run is closed: no ledger and no report yet, and the day is that of its start."""
    today = datetime.fromisoformat(run["start"]).date()
    return RunEvidence(run=run, records=records, today=today, left_out=run.get("left_out", {}))


def settings_digest(configuration: Mapping[str, Any]) -> str:
    """Return the digest of the settings that decide what a study's record says, from the plain configuration."""
    deciding = {name: dict(configuration[name]) for name in ("explain", "checks")}
    deciding["level"] = configuration["audit"]["level"]
    deciding["input"] = {
        name: value for name, value in configuration["input"].items() if name not in {"paths", "labels"}
    }
    deciding["run"] = {name: configuration["run"][name] for name in ("precision", "seed")}
    deciding["checks"].pop("reference", None)
    return sha256(json_bytes(deciding))


def _judged(problems: Sequence[str], outcome: Outcome, fine: str, unit: str) -> Result:
    if not problems:
        return Result(Outcome.PASS, fine, 0.0, 0.0, unit)
    return Result(outcome, sentence(*problems[:4]), float(len(problems)), 0.0, unit)


@record_check(
    "F01",
    title="Not the declared model, settings or code",
    sentence="Weights, model card, settings or code of the run, or of one of its records, are not the declared ones.",
    severity=(5, 2, 5),
    reference="SHA-256 of weights, card, settings and code; PEP 376 for the list of a wheel",
    advice="Do not use the results; find out which model and which code made them, and run the audit again.",
)
def undeclared_parts(evidence: RunEvidence) -> Result:
    """Compare the digests of ``run.json`` with each other and with every record; see whether the code changed.

    Critical: a record or the run names other weights, another card or other settings than the identity of the run. A
    flag: the code changed while the run went on, or its files are not those of the wheel. A note: the card pins no
    digest of the network, as for a Python factory.
    """
    run = evidence.run
    identity, code = run["identity"], run.get("code", {})
    problems = list(_undeclared(evidence))
    if problems:
        return _judged(problems, Outcome.CRITICAL, "", "differences")
    if run.get("other_code"):
        problems.append("the code changed while the run went on, so its records are not all of one version")
    if code.get("altered"):
        problems.append(f"{counted(code['altered'], 'file')} of the installed code differ from those of its wheel")
    if problems:
        return _judged(problems, Outcome.FLAG, "", "differences")
    if not identity["weights"]:
        text = "The model card pins no digest of the weights, so nobody can tell later which ones were used."
        return Result(Outcome.NOTE, text, None, 0.0, "differences")
    told = counted(len(evidence.records), "record")
    text = f"Weights, model card and settings are the declared ones in the run and in {told}."
    if code.get("installed") == "working copy":
        text += " The code is a working copy, known by its digest alone."
    return _judged((), Outcome.FLAG, text, "differences")


def _undeclared(evidence: RunEvidence) -> Iterator[str]:
    run = evidence.run
    identity, model = run["identity"], run["model"]
    cards = {identity["model_card"], model["card_sha256"], run["configuration"]["model"]["card"]["sha256"]}
    for name, is_declared in (
        ("weights", identity["weights"] == model["weights_sha256"]),
        ("model card", len(cards) == 1),
        ("settings", settings_digest(run["configuration"]) == identity["settings"]),
    ):
        if not is_declared:
            yield f"the digest of the {name} is not the one that the run was started with"
    for what, own in (("weights", "weights_sha256"), ("model_card", "card_sha256")):
        count = sum(getattr(one.model, own) != identity[what] for one in evidence.records)
        if count:
            verb = "was" if count == 1 else "were"
            yield f"{counted(count, *STUDY)} {verb} audited with another {what.replace('_', ' ')}"


@record_check(
    "F02",
    title="Silent fallback",
    sentence="Something else worked than was asked for: another device, another arithmetic, fewer methods.",
    severity=(3, 4, 5),
    reference="The requested configuration, and what every record says it used",
    advice="Make the device, the arithmetic or the method available, and run the audit again.",
)
def silent_fallback(evidence: RunEvidence) -> Result:
    """Compare what the configuration asks for with what the records used: device, arithmetic, explanation methods."""
    run, audited = evidence.run, evidence.audited
    configuration = run["configuration"]
    if not audited:
        return not_evaluable("No study was audited, so nothing was used.")
    problems = []
    wanted, device = configuration["run"]["device"], run["device"]
    if wanted not in {"auto", device.partition(" ")[0]}:
        problems.append(f"{wanted} was asked for and {device} did the work")
    predictions = [one.prediction for one in audited if one.prediction is not None]
    elsewhere = sum(one.device != device for one in predictions)
    if elsewhere:
        problems.append(f"{counted(elsewhere, *STUDY)} used another device than {device}")
    precision = configuration["run"]["precision"]
    other = sum(one.precision != precision for one in predictions)
    if other:
        problems.append(f"{counted(other, *STUDY)} used another arithmetic than {precision}")
    methods = configuration["explain"]["methods"]
    for method in methods:
        without = sum(method not in {one.method for one in record.explanations} for record in audited)
        if without:
            problems.append(f"{counted(without, *STUDY)} {'has' if without == 1 else 'have'} no map by {method}")
    reader = run["identity"].get("text_reader", "")
    text = f"{counted(len(audited), *STUDY)} used {device}, {precision} and {listed(methods)} as asked"
    text += " (auto takes what there is)" if wanted == "auto" else ""
    text += f"; text in pixels was looked for by {reader}." if reader else "."
    return _judged(problems, Outcome.FLAG, text, "fallbacks")


@record_check(
    "F03",
    title="Skipped stage or partial batch",
    sentence="Studies, stages or checks are missing from what the run reports as a whole.",
    severity=(5, 3, 5),
    reference="Counts: found = audited + refused + failed + excluded; the planned checks and maps of every study",
    advice="Finish the run; do not read rates from a part as if it were the whole.",
)
def partial_batch(evidence: RunEvidence) -> Result:
    """Add up the counts, and see that every audited study has every stage, planned check and map.

    Critical when the counts do not add up; a flag when an audited study lacks something; a note when studies were left
    to another part of the audit on purpose.
    """
    run, audited = evidence.run, evidence.audited
    counts = run["counts"]
    own = Counter(str(one.status) for one in evidence.records)
    problems = [
        f"run.json counts {counts[status]} {status} studies and there are {own[status]}"
        for status in map(str, Status)
        if counts[status] != own[status]
    ]
    whole = sum(counts[status] for status in map(str, Status)) + counts["excluded"]
    if counts["found"] != whole:
        problems.append(f"{counts['found']} studies were found and {whole} are accounted for")
    if problems:
        return _judged(problems, Outcome.CRITICAL, "", "differences")
    planned = set(run.get("checks", ()))
    lacking: Mapping[str, Callable[[StudyRecord], bool]] = {
        "a stage": lambda one: not set(STAGES) <= set(one.timings_s),
        "a planned check": lambda one: not planned <= {finding.code for finding in one.findings},
        "its maps": lambda one: not one.explanations,
        "a verdict": lambda one: one.verdict is None,
    }
    for what, lacks in lacking.items():
        count = sum(lacks(one) for one in audited)
        if count:
            problems.append(f"{counted(count, 'audited study', 'audited studies')} without {what}")
    parts = {reason: count for reason, count in evidence.left_out.items() if reason.startswith(("belongs", "beyond"))}
    if parts and not problems:
        text = "; ".join(f"{counted(count, *STUDY)} left out: {reason}" for reason, count in sorted(parts.items()))
        return Result(
            Outcome.NOTE, f"This run is a part of the audit: {text}.", float(sum(parts.values())), 0.0, "studies"
        )
    verb = "is" if counts["found"] == 1 else "are"
    text = f"{counted(counts['found'], *STUDY)} found {verb} accounted for, and nothing that was planned is missing."
    return _judged(problems, Outcome.FLAG, text, "differences")


@record_check(
    "F04",
    title="Report does not match its data",
    sentence="A report says something else than the record it was made from.",
    severity=(5, 2, 5),
    reference="The record attached to every report (PDF/A-3), and the report rendered again from the record",
    advice="Use the record, throw the report away, and render it again with the command report.",
)
def report_differs(evidence: RunEvidence) -> Result:
    """Compare reports with records: what is attached, and for a few, whether they are rendered the same again."""
    if evidence.reports is None:
        return not_evaluable("The command verify compares the reports with the records once all files are written.")
    text = f"What is attached to {counted(evidence.compared, 'report')} is what is stored."
    if not evidence.compared:
        return not_evaluable("The run has no report.")
    return _judged(evidence.reports, Outcome.CRITICAL, text, "differences")


@record_check(
    "F05",
    title="Record altered",
    sentence="A file of the run is not as the run wrote it, or a signature does not hold.",
    severity=(5, 1, 5),
    reference="Hash chain over all files of the run; PDF signatures (PAdES)",
    advice="Do not rely on the run: find out who changed what, and restore it from a copy.",
)
def record_altered(evidence: RunEvidence) -> Result:
    """Report what differs from the ledger and from the signatures."""
    if evidence.ledger is None:
        return not_evaluable("The ledger is written last; the command verify compares every file with it.")
    return _judged(evidence.ledger, Outcome.CRITICAL, "Every file is as the run wrote it.", "differences")


@record_check(
    "F06",
    title="Audit overdue",
    sentence="The model is due to be audited again, or model, site or scanner changed since the last audit.",
    severity=(3, 4, 4),
    reference="The section reaudit of the model card; ACR-SIIM practice parameter 2026: inventory and monitoring",
    advice="Plan the next audit; until then treat the results as those of an unmonitored model.",
)
def audit_overdue(evidence: RunEvidence) -> Result:
    """Compare the date, the model, the sites and the scanners with what the card says about the last audit."""
    known = evidence.run.get("reaudit")
    if not known:
        return not_evaluable("The model card names no next audit (section reaudit: by, version, sites, scanners).")
    problems = []
    if known["by"] and evidence.today > date.fromisoformat(known["by"]):
        problems.append(f"the next audit was due by {known['by']}")
    model = evidence.run["model"]
    for what, own in (("version", model["version"]), ("weights_sha256", model["weights_sha256"])):
        if known[what] and known[what] != own:
            problems.append(f"the {'weights' if what != 'version' else what} of the model changed since the last audit")
    problems += _new(evidence, known)
    due = f"The next audit is due by {known['by']}" if known["by"] else "The card names no date of the next audit"
    return _judged(problems, Outcome.FLAG, f"{due}, and nothing it names has changed.", "changes")


def _new(evidence: RunEvidence, known: Mapping[str, Any]) -> Iterator[str]:
    sites = {one.facts.get("site", "") for one in evidence.records} - {"", *known["sites"]}
    if known["sites"] and sites:
        yield f"{counted(len(sites), 'site')} the last audit did not know ({listed(sorted(sites))})"
    models = {
        str(one.image.metadata.get("ManufacturerModelName") or one.image.metadata.get("Manufacturer") or "")
        for one in evidence.records
        if one.image is not None
    }
    models -= {"", *known["scanners"]}
    if known["scanners"] and models:
        yield f"{counted(len(models), 'scanner')} the last audit did not know ({listed(sorted(models))})"
