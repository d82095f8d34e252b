"""What the tests of the maps found, in columns with a key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from audit_pipeline.explaining.columns import UNKNOWN, Block, Facts, named, number, reasons
from audit_pipeline.inspection.wording import plain

Cell = Callable[[Facts], str]


def sanity_block(found: Facts) -> Block:
    """Return a row per map, the key of its columns, and why a test found nothing."""
    tested = [one for one in found["maps"] if "infidelity" in one["sanity"]]
    rows = [[*named(one), *(cell(one["sanity"]) for cell, _ in COLUMNS.values())] for one in tested]
    keys = [f"{name}: {key}" for name, (_, key) in COLUMNS.items()] if tested else []
    return Block(
        title="Tests of the maps",
        heads=["sanity of", "target", *COLUMNS],
        rows=rows,
        notes=[*keys, *reasons(found, "sanity"), *_untested(tested)],
    )


def _untested(tested: Sequence[Facts]) -> list[str]:
    """Return why a test found nothing, each test and reason once with the methods it struck."""
    struck: dict[tuple[str, str], list[str]] = {}
    for one in tested:
        for test, facts in one["sanity"].items():
            if isinstance(facts, dict) and "value" not in facts and facts.get("reason"):
                methods = struck.setdefault((test.replace("_", " "), facts["reason"]), [])
                methods += [] if one["method"] in methods else [one["method"]]
    return [f"{test}: {plain(reason)} ({', '.join(methods)})" for (test, reason), methods in struck.items()]


def _of(test: str, *path: str) -> Cell:
    """Return the cell that shows one number of a test."""

    def cell(facts: Facts) -> str:
        value: Any = facts[test]
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        return number(value)

    return cell


def _smooth(facts: Facts) -> str:
    if facts["smooth"]["reason"]:
        return UNKNOWN
    last = facts["smooth"]["steps"][-1]["similarity"]["spearman"]["value"]
    return number(last)


def _redrawn(facts: Facts) -> str:
    """Return the cell with the mean likeness to random networks, its interval, and whether that is chance."""
    if facts["redrawn"]["reason"]:
        return UNKNOWN
    mean = facts["redrawn"]["spearman"]
    interval = "" if mean["low"] is None else f" ({number(mean['low'])} to {number(mean['high'])})"
    words = {True: " ok", False: " ABOVE", None: ""}
    return number(mean["value"]) + interval + words[facts["redrawn"].get("at_chance", {}).get("spearman")]


def _each(facts: Facts) -> str:
    """Return the cell with the least and the largest likeness when one group of layers is random."""
    if facts["independent"]["reason"]:
        return UNKNOWN
    known = [step["similarity"]["spearman"]["value"] for step in facts["independent"]["steps"]]
    known = [one for one in known if one is not None]
    return f"{number(min(known))} to {number(max(known))}" if known else UNKNOWN


COLUMNS: dict[str, tuple[Cell, str]] = {
    "ROAD": (
        _of("road", "between", "area"),
        "mean logit with the strongest places kept less that with them removed, the rest imputed; higher is better",
    ),
    "infidelity": (
        _of("infidelity", "value", "value"),
        "mean squared error of the changes of the logit that the map predicts, squared logits",
    ),
    "unexplained": (
        _of("infidelity", "unexplained", "value"),
        "share of those changes that no multiple of the map predicts, 0 best, 1 useless",
    ),
    "sensitivity": (
        _of("sensitivity", "largest"),
        "largest relative change of the map within the noise of the image, 0 best",
    ),
    "all random": (
        _redrawn,
        "mean rank correlation with the maps of 5 random networks; ABOVE chance the image is explained, not the model",
    ),
    "one random": (_each, "the same with one group of layers random at a time, least to largest"),
    "sMPRT": (_smooth, "rank correlation with one random network of maps averaged over noisy images"),
    "eMPRT": (
        _of("cascading", "complexity_rise", "value"),
        "rise of the entropy of the map when all parameters are random, above 0 is better",
    ),
    "other class": (
        _of("random_logit", "spearman", "value"),
        "rank correlation with the map of another class, 1 does not tell them apart",
    ),
    "edges": (_of("edges", "spearman", "value"), "rank correlation with the edges of the image, 1 is an edge detector"),
    "seeds": (
        _of("repeatability", "value"),
        "overlap of the strongest tenth of the map from several seeds, 1 best, 0.05 chance",
    ),
}
"""Head -> what the cell shows, and the key below the table."""
