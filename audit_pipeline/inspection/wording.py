"""The facts in words: cells of a table and parts of a line, with nothing in them that a terminal would obey."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from audit_pipeline.records import Disposition

Facts = Mapping[str, Any]

SHOWN_NAMES = 5
"""Files of one kind, and studies of one refusal, are named up to this number; ``--json`` names all."""

REMARKABLE_MM = 0.01
REMARKABLE_DEGREES = 0.05
"""Where space is short, smaller residuals and tilts are not shown."""

_LEFT_TO_RIGHT_MARK = "\u200e"


def plain(text: object) -> str:
    r"""Return text that prints as it stands: control characters, escapes and direction marks become code points.

    Letters of right-to-left scripts stay readable; a mark after them keeps the numbers that follow in their order.

    Examples
    --------
    >>> print(plain("CHEST\x1b[2J\u202eTC"))
    CHEST\x1b[2J\u202eTC
    """
    found = str(text)
    written = "".join(one if one.isprintable() else _code_point(one) for one in found)
    is_reversed = any(unicodedata.bidirectional(one) in {"R", "AL"} for one in found)
    return written + _LEFT_TO_RIGHT_MARK if is_reversed else written


def _code_point(character: str) -> str:
    number = ord(character)
    if number <= 0xFF:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 file``, ``2 files``, ``3 studies``."""
    if number == 1:
        return f"{number:,} {noun}"
    return f"{number:,} {noun[:-1]}ies" if noun.endswith("y") else f"{number:,} {noun}s"


def summed(parts: Mapping[str, int]) -> str:
    """Return counts with their sum: ``6 used + 1 non-image = 7``."""
    return " + ".join(f"{number:,} {name}" for name, number in parts.items()) + f" = {sum(parts.values()):,}"


def size(image: Facts, cross: str = " x ") -> str:
    """Return the size along every axis, with the word colour when each point holds three values."""
    return cross.join(str(one) for one in image["shape"]) + (" colour" if image["colour"] else "")


def spacing(image: Facts, cross: str = " x ", digits: int = 4) -> str:
    """Return the spacing along every axis."""
    sides = image["spacing_mm"]
    return "unknown" if None in sides else cross.join(f"{side:.{digits}g}" for side in sides)


def plane(image: Facts) -> str:
    """Return the plane of the slices, or that it is unknown."""
    return image["plane"] or "no position"


def value_range(image: Facts) -> str:
    """Return the smallest and the largest value with their unit."""
    low, high = image["range"]
    return plain(f"{low:g} to {high:g} {image['unit']}")


def stack(image: Facts, *, only_remarkable: bool = False) -> list[str]:
    """Return what tells an image from others of its study, and what was measured about its slices."""
    found = _told_by(image)
    if image["stack"]:
        residual_mm, tilt = image["stack"]["residual_mm"], image["stack"]["tilt_degrees"]
        if residual_mm >= REMARKABLE_MM or not only_remarkable:
            found.append(f"residual {_short(residual_mm, 3)} mm")
        if tilt >= REMARKABLE_DEGREES or not only_remarkable:
            found.append(f"tilt {_short(tilt, 1)} degrees")
    if image["invalid_share"]:
        found.append(f"{image['invalid_share']:.1%} invalid")
    return found


def _told_by(one: Facts) -> list[str]:
    label = one.get("metadata", {}).get("Stack")
    named = {"Stack": label, **one["told_by"]} if label else one["told_by"]
    return [plain(word if keyword == "Stack" else f"{keyword} {word}") for keyword, word in named.items()]


def _short(number: float, digits: int) -> str:
    return f"{round(number, digits) + 0.0:g}"


def finding(one: Facts) -> str:
    """Return code, name, number with limit, and message of a finding."""
    number = ""
    if one["value"] is not None:
        limit = "" if one["limit"] is None else f", limit {one['limit']:g}"
        value = f"{one['value']:.4g} {plain(one['unit'])}".strip()
        number = f" ({value}{limit})"
    return f"{one['code']} {one['name']}{number}: {plain(one['message'])}"


def sentences(study: Facts) -> list[tuple[str, str]]:
    """Return everything that is to be said about a study beside its images, as pairs of a label and a sentence."""
    several = len(study["images"]) > 1
    found = [
        (one["outcome"], (f"image {number}, " if several else "") + finding(one))
        for number, image in enumerate(study["images"], 1)
        for one in image["findings"]
    ]
    found += [(one["outcome"], finding(one)) for one in study["findings"]]
    found += choice(study)
    if study["error"]:
        found.append(("refused", f"{study['error']['code']}: {plain(study['error']['message'])}"))
    found += [("left out", sentence) for sentence in left_out(study)]
    return found + [("files", sentence) for sentence in unused_files(study)]


def left_out(study: Facts) -> list[str]:
    """Return the refusals beside the one that decided about the study."""
    decided = study["error"]["message"] if study["error"] else None
    return [
        f"{one['code']} ({counted(len(one['files']), 'file')}): {plain(one['message'])}"
        for one in study["refusals"]
        if one["message"] != decided
    ]


def unused_files(study: Facts) -> list[str]:
    """Return the files that became no image, one entry per disposition and reason, with the first names."""
    explained = [one["message"] for one in study["refusals"]] + ([study["error"]["message"]] if study["error"] else [])
    groups: dict[tuple[str, str], list[str]] = {}
    for file in study["files"]:
        if file["disposition"] != Disposition.USED and not any(message in file["reason"] for message in explained):
            groups.setdefault((file["disposition"], file["reason"]), []).append(Path(file["path"]).name)
    return [
        f"{len(names):,} {disposition}{', ' if reason else ''}{plain(reason)}: {named(names)}"
        for (disposition, reason), names in groups.items()
    ]


def named(names: Sequence[str]) -> str:
    """Return the first names and how many follow."""
    more = f" and {len(names) - SHOWN_NAMES:,} more" if len(names) > SHOWN_NAMES else ""
    return ", ".join(plain(name) for name in names[:SHOWN_NAMES]) + more


def rules(found: Facts) -> str | None:
    """Return the rules of the choice in words; None when no choice was asked for."""
    selection = next((study["selection"] for study in found["studies"] if "selection" in study), None)
    if selection is None:
        return None
    return plain("; ".join(selection["rules"])) or "none, so a study must hold exactly one image"


def candidate(one: Facts) -> str:
    """Return what tells a candidate from the others."""
    parts = [
        "" if one["image"] is None else f"image {one['image'] + 1}",
        plain(one["description"]),
        one["plane"] or "",
        "" if None in one["spacing_mm"] else f"{spacing(one)} mm",
        *(plain(f"{keyword} {word}") for keyword, word in one["told_by"].items() if keyword != "Stack"),
    ]
    return ", ".join(part for part in parts if part)


def choice(study: Facts) -> list[tuple[str, str]]:
    """Return the choice of a study as pairs of a word and a sentence; [] when none was asked for."""
    if "selection" not in study:
        return []
    selection = study["selection"]
    fitting = "chosen" if selection["chosen"] is not None else "fits"
    lines = [
        ("fails" if one["reason"] else fitting, candidate(one) + (f": {plain(one['reason'])}" if one["reason"] else ""))
        for one in selection["candidates"]
    ]
    if selection["error"]:
        is_several = any(not one["reason"] for one in selection["candidates"])
        told = plain(selection["error"]["message"]) if is_several else "no image fits the rules; change input.select"
        lines.append(("refused", f"{selection['error']['code']}: {told}"))
    return lines


def advice(found: Facts) -> list[tuple[str, str, str]]:
    """Return code, title and advice of every kind of finding, each once, in the order of the codes."""
    every = (one for study in found["studies"] for image in (*study["images"], study) for one in image["findings"])
    kinds = {one["code"]: (one["code"], one["title"] or one["name"], one["advice"]) for one in every if one["advice"]}
    return [kinds[code] for code in sorted(kinds)]


def refused_kinds(found: Facts) -> list[tuple[str, list[str]]]:
    """Return the codes of refusals with the studies they struck, the most frequent first."""
    groups: dict[str, list[str]] = {}
    for study in found["studies"]:
        error = study["error"] or study.get("selection", {}).get("error")
        if error:
            groups.setdefault(error["code"], []).append(study["name"])
    return sorted(groups.items(), key=lambda group: -len(group[1]))


def foot(found: Facts) -> list[tuple[str, str]]:
    """Return what sums up all studies, as pairs of a label and a sentence."""
    lines = [
        ("refused", f"{counted(len(names), 'study')} with {code}: {named(names)}")
        for code, names in refused_kinds(found)
    ]
    if found["other_files"]:
        names = [Path(path).name for path in found["other_files"]]
        lines.append(("files", f"{counted(len(names), 'text or empty file')} beside any study: {named(names)}"))
    return lines


def totals(found: Facts) -> list[str]:
    """Return the last lines: how many studies can be delivered, and what became of every file."""
    sums = found["totals"]
    undecided = sums["undecided"]
    aside = f" ({undecided:,} of them without exactly one image that fits the rules)" if undecided else ""
    parts = dict(sums["dispositions"])
    if sums["other_files"]:
        parts["beside any study"] = sums["other_files"]
    ends = f"{sums['delivered']:,} can be delivered{aside}, {sums['refused']:,} refused"
    return [f"{counted(sums['studies'], 'study')}: {ends}", f"{counted(sums['files'], 'file')}: {summed(parts)}"]
