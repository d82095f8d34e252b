"""The result of the bench as a page of text: gates first, then rates by check, then which check fires for what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit_pipeline.bench.catalogue import failure_modes
from audit_pipeline.checks import rates_of
from audit_pipeline.wording import counted

MOST = 12
"""Lines of one gate that are printed; the file holds all."""


def bench_text(result: Mapping[str, Any]) -> str:
    """Return the page."""
    lines = [_amount(result), ""]
    for gate, missed in result["gates"].items():
        lines.append(f"{gate}: {'holds' if not missed else f'{len(missed)} listed'}")
        lines += [f"    {one}" for one in missed[:MOST]]
        lines += [f"    and {len(missed) - MOST} more"] if len(missed) > MOST else []
    for name, one in result["clean_studies_with_a_flag"].items():
        lines.append(f"clean studies with any flag, {name}: {one['k']} of {one['n']} ({_interval(one)})")
    return "\n".join([*lines, "", *_by_check(result), "", *_by_plant(result)])


def _amount(result: Mapping[str, Any]) -> str:
    amount = result["amount"]
    planted = counted(amount["planted"], "planted study", "planted studies")
    cohorts, runs = counted(amount["cohorts"], "cohort"), counted(amount["runs"], "run")
    return (
        f"{planted} per severity, {amount['clean']} clean and {amount['reference']} for the reference per dimension, "
        f"{cohorts} and {runs} on disk per severity, seed {amount['seed']}"
    )


def _by_check(result: Mapping[str, Any]) -> list[str]:
    titles = {mode.code: mode.title for mode in failure_modes()}
    lines = ["code  found by severity 1 to 5 (of planted)        quiet on clean   check"]
    for code, rates in rates_of(result).items():
        found = " ".join(f"{k}/{n}" for k, n in rates.by_severity.values())
        quiet = f"{rates.quiet[0]}/{rates.quiet[1]}" if rates.quiet[1] else "-"
        lines.append(f"{code:<5} {found:<46} {quiet:<16} {titles.get(code, '')}")
    return lines


def _by_plant(result: Mapping[str, Any]) -> list[str]:
    lines = ["plant (severity 3 to 5): share of studies on which each check raised a flag"]
    for name, fired in result["cross_talk"].items():
        shares = ", ".join(f"{code} {share:g}" for code, share in sorted(fired.items(), key=lambda pair: -pair[1]))
        lines.append(f"    {name}: {shares or 'none'}")
    return lines


def _interval(one: Mapping[str, Any]) -> str:
    return f"95 % interval {100 * one['low']:.1f} to {100 * one['high']:.1f} %"
