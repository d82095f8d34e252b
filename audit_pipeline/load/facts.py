"""What may be kept of the labels file: identity leaves here, dates become quarters, ages bands, numbers ranges."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from audit_pipeline.disclosure import age_band, may_identify
from audit_pipeline.errors import ConfigError

LOG = logging.getLogger("audit_pipeline")
RESERVED = ("study", "label", "split", "patient", "site", "period", "mask")
MOST_VALUES = 20
"""A column of texts with more different values identifies studies rather than grouping them."""

LONGEST_VALUE = 40
SHORTEST_WORD = 3
IDENTITY = re.compile(
    r"(^|[_ ])(name|surname|birth|dob|born|mrn|ssn|address|street|phone|email|accession|uid|id|physician|doctor"
    r"|radiologist|operator|technician|technologist|referrer|nurse|surgeon|author|postcode|zip|insurance|passport)"
    r"([_ ]|$)"
)
DATE = re.compile(r"^((?:19|20)\d\d)-?(0[1-9]|1[0-2])(-?[0-3]\d)?([T ].*)?$")
HARMLESS_SITE = re.compile(
    r"^(((site|centre|center|hospital|clinic)[ _-]?)?([a-z]|\d{1,3})|[a-z]\d{1,3})$", re.IGNORECASE
)
LONGEST_NUMBER = 6
"""Digits of a whole number from which on it may be a record number."""

Secret = Callable[[str], str]
"""Turns a text into a pseudonym that only the holder of the site key can find again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyFacts:
    """What is known of one study beside its images; `facts` hold no identity, `mask` is the reference segmentation."""

    label: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    mask: Path | None = None


def facts_of(
    rows: Mapping[str, Mapping[str, str]], pseudonym: Secret, folder: Path | None = None
) -> Mapping[str, StudyFacts]:
    """Return the label, the harmless facts and the mask of every row of the labels file.

    The columns split and period are kept, patient becomes a pseudonym, site too unless it is a letter or a number.
    A label that looks like a name, a date or a record number is left out. Every other column is a subgroup when it
    groups: names of persons and record numbers, what repeats the column patient, dates, and texts with more than
    `MOST_VALUES` values are left out with a warning; ages become bands of ten years with 90 and above pooled, and other
    numbers quarters of their range by count. What is left is what the site wrote into its columns, sex among it.

    Parameters
    ----------
    rows : study -> column -> text, see `labels.read_labels`
    pseudonym : keyed hash
    folder : where relative paths of the column mask start; None leaves the masks out

    Raises
    ------
    ConfigError
        A mask lies in no existing file.
    """
    columns = dict.fromkeys(column for row in rows.values() for column in row)
    patients = frozenset(word for row in rows.values() for word in _words_of(row.get("patient", "")))
    kept = {column: _harmless(column, [row.get(column, "") for row in rows.values()], patients) for column in columns}
    kept = {column: words for column, words in kept.items() if words is not None}
    return {
        study: StudyFacts(
            label=_label(row.get("label", "")),
            facts=_facts(row, {column: words[place] for column, words in kept.items() if words}, pseudonym),
            mask=_mask(row.get("mask", ""), folder),
        )
        for place, (study, row) in enumerate(rows.items())
    }


def _label(given: str) -> str | None:
    if may_identify("label", given):
        LOG.warning("a label of the labels file is left out: it looks like a name, a date or a record number")
        return None
    return given or None


def _facts(row: Mapping[str, str], subgroups: Mapping[str, str], pseudonym: Secret) -> dict[str, str]:
    found = {
        "split": _word(row.get("split", "")),
        "patient": pseudonym(f"patient|{row['patient']}") if row.get("patient") else "",
        "site": site_name(row.get("site", ""), pseudonym),
        "period": _period(row.get("period", "")),
        **subgroups,
    }
    return {column: value for column, value in found.items() if value}


def site_name(given: str, pseudonym: Secret) -> str:
    """Return a site that is a letter or a number as it is, any other name as a pseudonym.

    >>> site_name("B", str), site_name("site-2", str), site_name("St Mary", lambda text: "f00d" * 3)
    ('B', 'site-2', 'site f00d')
    """
    return given if not given or HARMLESS_SITE.match(given) else f"site {pseudonym(f'site|{given}')[:4]}"


def _period(given: str) -> str:
    """Return a date as its quarter, any other text as it is.

    >>> _period("2026-03-14"), _period("20261101"), _period("before upgrade")
    ('2026-Q1', '2026-Q4', 'before upgrade')
    """
    found = DATE.match(given)
    return f"{found[1]}-Q{(int(found[2]) + 2) // 3}" if found else _word(given)


def _word(given: str) -> str:
    """Return a text cut to its length; "" for one that may be a name, a date or a number.

    >>> _word("test"), _word("MUELLER^ANNA")
    ('test', '')
    """
    return "" if may_identify("", given) else given[:LONGEST_VALUE]


def _mask(given: str, folder: Path | None) -> Path | None:
    if not given or folder is None:
        return None
    place = folder / given
    if not place.is_file():
        raise ConfigError("the column mask of the labels file names a file that does not exist")
    return place


def _words_of(given: str) -> list[str]:
    """Return the words of a patient's name or number that a column must not repeat; short ones repeat by chance.

    >>> _words_of("MUELLER^Anna Li"), _words_of("7")
    (['mueller', 'anna'], [])
    """
    return [word for word in re.findall(r"[^\W_]+", given.casefold()) if len(word) >= SHORTEST_WORD]


def _harmless(column: str, values: Sequence[str], patients: frozenset[str] = frozenset()) -> list[str] | None:
    """Return a subgroup column as it may be kept, None where it may not or is not one."""
    given = [value for value in values if value]
    if column in RESERVED or not given:
        return None
    if column.casefold() == "age":
        return [_age_band(value) for value in values]
    reason = _why_not(column, given, patients)
    if reason:
        LOG.warning("a column of the labels file is not used as a subgroup: %s", reason)
        return None
    if len(set(given)) > MOST_VALUES:
        numbers = sorted(one for value in given if (one := _number(value)) is not None)
        return [_quarter(value, numbers) for value in values]
    counts = Counter(given)
    return [value if counts[value] > 1 else ("other" if value else "") for value in values]


def _why_not(column: str, given: Sequence[str], patients: frozenset[str]) -> str:
    """Return why a column is no subgroup, "" where it is one."""
    values = len(set(given))
    is_numeric = all(_number(value) is not None for value in given)
    reasons = {
        "its title speaks of identity": IDENTITY.search(column.casefold()) is not None,
        "it holds dates": any(DATE.match(value) for value in given),
        "it holds long numbers, which may be record numbers": is_numeric
        and any(len(value) >= LONGEST_NUMBER and value.isdigit() for value in given),
        "it holds names or long texts": any(
            (_number(value) is None and may_identify(column, value)) or len(value) > LONGEST_VALUE for value in given
        ),
        "it repeats what the column patient says": any(not patients.isdisjoint(_words_of(value)) for value in given),
        "no value stands there twice": len(given) == values <= MOST_VALUES,
        f"it holds more than {MOST_VALUES} different texts": not is_numeric and values > MOST_VALUES,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _number(value: str) -> float | None:
    try:
        found = float(value)
    except ValueError:
        return None
    return found if abs(found) < 1e12 else None


def _age_band(value: str) -> str:
    """Return an age in years, also as DICOM writes it, as its band of ten years.

    >>> _age_band("47"), _age_band("093Y"), _age_band("008M"), _age_band("unknown")
    ('40-49', '90+', '0-9', '')
    """
    found = re.fullmatch(r"(\d{1,3})(?:\.\d+)?([YMWD]?)", value.strip().upper())
    if not found:
        return ""
    years = int(found[1]) if found[2] in {"", "Y"} else 0
    return age_band(years)


def _quarter(value: str, ordered: Sequence[float]) -> str:
    found = _number(value) if value else None
    if found is None:
        return ""
    cuts = [ordered[len(ordered) * part // 4] for part in (1, 2, 3)]
    return f"quarter {1 + sum(found >= cut for cut in cuts)}"
