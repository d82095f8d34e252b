"""What ``list`` shows: explainers, checks and networks as plain data, derived from their own metadata."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Entry = dict[str, Any]


def explainers() -> list[Entry]:
    """Return every explanation method."""
    from audit_pipeline.explain.methods import EXPLAINERS

    return [
        {
            "name": one.name,
            "sentence": one.sentence,
            "keywords": {"pooling": "global"} if one.name == "gradcam" else {},
            "reference": one.reference,
            "caution": one.caution,
        }
        for one in EXPLAINERS.values()
    ]


def checks() -> list[Entry]:
    """Return every check of a study, of the cohort and of the record, and the findings that the loader makes.

    ``not_built`` names what the catalogue asks of a mode beyond its check, with the reason why it is not there.
    """
    from audit_pipeline.checks import UNBUILT, catalogue
    from audit_pipeline.cohort.catalogue import cohort_catalogue
    from audit_pipeline.execute.record_checks import record_modes
    from audit_pipeline.load import NOTES

    found = [(check.mode, dict(check.defaults)) for check in catalogue().values()]
    found += [(check.mode, dict(check.defaults)) for check in cohort_catalogue().values()]
    found += [(mode, {}) for mode in (*NOTES, *record_modes())]
    return [
        {
            "code": mode.code,
            "name": mode.name,
            "title": mode.title,
            "sentence": mode.sentence,
            "keywords": keywords,
            "severity": list(mode.severity),
            "provenance": mode.provenance,
            "level": mode.level,
            "variants": list(mode.variants),
            "forward_passes": mode.cost,
            "reference": mode.reference,
            "advice": mode.advice,
            "error_rates": _rates(mode.code),
            "not_built": [{"part": one.part, "reason": one.reason} for one in UNBUILT if one.code == mode.code],
        }
        for mode, keywords in sorted(found, key=lambda pair: pair[0].code)
    ]


def _rates(code: str) -> Entry | None:
    from audit_pipeline.checks import error_rates

    rates = error_rates().get(code)
    if rates is None:
        return None
    by_severity = {str(grade): list(pair) for grade, pair in rates.by_severity.items()}
    return {
        "sentence": rates.sentence,
        "found": list(rates.found),
        "found_by_severity": by_severity,
        "quiet_on_clean": list(rates.quiet),
    }


def networks() -> list[Entry]:
    """Return every network that a card can name, with the keywords of its constructor."""
    from audit_pipeline.models.networks import NETWORKS, describe

    return [
        {
            "name": one.name,
            "sentence": one.sentence,
            "keywords": {name: _plain(default) for name, default in describe(one).items()},
        }
        for one in NETWORKS.values()
    ]


def schema() -> Entry:
    """Return the JSON schema of the configuration."""
    from audit_pipeline.config import json_schema

    return json_schema()


LISTINGS: Mapping[str, Callable[[], Any]] = {
    "explainers": explainers,
    "checks": checks,
    "networks": networks,
    "schema": schema,
}


def listing_text(entries: Sequence[Entry]) -> str:
    """Return one block per entry: name and sentence, then the facts that are there."""
    return "\n\n".join("\n".join(_block(entry)) for entry in entries)


def _block(entry: Entry) -> list[str]:
    code = f"{entry['code']} " if "code" in entry else ""
    lines = [f"{code}{entry['name']}: {entry['sentence']}"]
    keywords = ", ".join(f"{name}={default}" for name, default in entry["keywords"].items())
    facts = {
        "keywords": keywords,
        "severity S O D": " ".join(str(grade) for grade in entry.get("severity", ())),
        "reference": entry.get("reference", ""),
        "caution": entry.get("caution", ""),
        "advice": entry.get("advice", ""),
    }
    if "error_rates" in entry:
        rates = entry["error_rates"]
        facts["level"] = entry["level"]
        facts["changed inputs"] = ", ".join(entry["variants"])
        facts["error rates"] = rates["sentence"] if rates else "not measured"
        facts["not built"] = "; ".join(f"{one['part']} ({one['reason']})" for one in entry["not_built"])
    return lines + [f"    {name}: {fact}" for name, fact in facts.items() if fact]


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else str(value)
