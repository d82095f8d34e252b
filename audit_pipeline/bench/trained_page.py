"""The result of the trained models as a page of text: gates, then a line per model, then what else was raised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEAD = ("cue", "dim", "model", "accuracy with/against the cue", "named", "with reference", "cohort", "raised")


def trained_text(result: Mapping[str, Any]) -> str:
    """Return the page."""
    amount = result["amount"]
    said = (
        f"{amount['studies']} studies audited per model, {amount['reference']} of the reference, seed {amount['seed']}"
    )
    lines = [f"{said}; named: studies that bear the cue on which a check that names it raised a flag", ""]
    for gate, missed in result["gates"].items():
        lines.append(f"{gate}: {'holds' if not missed else f'{len(missed)} listed'}")
        lines += [f"    {one}" for one in missed]
    rows = [HEAD, *(_row(one) for one in result["models"])]
    widths = [max(len(row[place]) for row in rows) for place in range(len(HEAD))]
    table = ["  ".join(part.ljust(width) for part, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, "", *table])


def _row(one: Mapping[str, Any]) -> tuple[str, ...]:
    accuracy, plain, known = one["accuracy"], one["default"], one["calibrated"]
    cohort = " ".join(f"{code} {outcome}" for code, outcome in one["cohort"].items() if outcome in {"flag", "critical"})
    raised = ", ".join(f"{code} {count}" for code, count in sorted(plain["raised"].items(), key=lambda pair: -pair[1]))
    return (
        one["cue"],
        f"{one['dimensions']}D",
        one["model"],
        f"{accuracy['agreeing']:.2f} / {accuracy['opposing']:.2f}",
        _named(plain),
        "-" if known is None else _named(known),
        cohort or "-",
        raised or "-",
    )


def _named(found: Mapping[str, Any]) -> str:
    named, loud = found["named"], found["any"]
    return f"{named['k']}/{named['n']} (any flag {loud['k']}/{loud['n']})"
