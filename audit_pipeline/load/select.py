"""Which image of a study goes to the model: exactly one, or a reason for each that does not.

The choice looks at modality, size, spacing, position and header fields, never at pixels, so that it can be made before
any image is decoded. Values of fields outside the allow-list may identify a patient: messages quote the rule instead.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from pydicom.datadict import DicomDictionary, dictionary_VR, tag_for_keyword

from audit_pipeline.errors import ConfigError, SeriesChoiceError
from audit_pipeline.load.candidate import ALLOWED, STACK, Candidate, described, slices_of
from audit_pipeline.load.criteria import failures, joined, worded
from audit_pipeline.load.separation import separating_rule
from audit_pipeline.records import Image, Study
from audit_pipeline.selection import SelectRules, TagCondition

__all__ = [
    "Candidate",
    "choose",
    "choose_image",
    "described",
    "reasons",
    "requested_tags",
    "rules_in_words",
    "slices_of",
    "validate_rules",
]

WITHOUT_TEXT = frozenset({"SQ", "OB", "OD", "OF", "OL", "OV", "OW", "UN", "AT"})
"""Value representations that hold no text or number to compare (PS3.5, 6.2)."""

MOST_SHOWN, FEWER_SHOWN = 6, 3
"""A message lists at most so many groups of candidates, and so many kinds of candidates in a group."""


def choose_image(study: Study, rules: SelectRules) -> Image:
    """Return the one image of `study` that fits `rules`.

    Raises
    ------
    SeriesChoiceError
        No image fits, with the reason for each; or several do, with the rule that would separate them.

    Examples
    --------
    >>> import numpy as np
    >>> from audit_pipeline.records import Image, Study
    >>> image = Image(
    ...     values=np.zeros((4, 8, 8), np.float32), affine=None, spacing_mm=(None,) * 3, modality="CT", unit="HU",
    ...     format="dicom",
    ... )
    >>> choose_image(Study(images=(image,), files=()), SelectRules(modality=["CT"])) is image
    True
    """
    return study.images[choose(study.images, rules)]


def choose(candidates: Sequence[Candidate], rules: SelectRules) -> int:
    """Return the index of the one candidate that fits `rules`.

    Raises
    ------
    SeriesChoiceError
        No candidate fits, with the reason for each; or several do, with the rule that would separate them.
    """
    against = reasons(candidates, rules)
    fitting = [number for number, reason in enumerate(against) if not reason]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        several = [candidates[number] for number in fitting]
        raise SeriesChoiceError(f"{len(several)} images fit the rules ({_listed(several)}); {separating_rule(several)}")
    if len(candidates) == 1:
        raise SeriesChoiceError(
            f"the only image does not fit the rules ({described(candidates[0])}: {against[0]}); change input.select"
        )
    raise SeriesChoiceError(
        f"none of {len(candidates)} images fits the rules ({_explained(candidates, rules)}); change input.select, with "
        "the help of inspect --explain-selection"
    )


def reasons(candidates: Sequence[Candidate], rules: SelectRules) -> tuple[str, ...]:
    """Return, for each candidate, why it does not fit `rules`; "" for those that fit."""
    return tuple(joined(failures(candidate, rules)) for candidate in candidates)


def rules_in_words(rules: SelectRules) -> tuple[str, ...]:
    """Return what the rules ask for, in words, one entry per rule; all of them must hold.

    Examples
    --------
    >>> rules_in_words(SelectRules(modality="CT", slice_spacing_mm=[None, 3], tags=[{"tag": "KVP", "equals": 120}]))
    ('modality CT', 'slice spacing at most 3 mm', 'KVP 120')
    """
    return tuple(worded(rules))


def requested_tags(rules: SelectRules) -> tuple[str, ...]:
    """Return the keywords outside the allow-list that `rules` ask for: what the loader must read beside it."""
    asked = (condition.tag for _, condition in _conditions(rules))
    return tuple(dict.fromkeys(tag for tag in asked if tag not in ALLOWED))


def validate_rules(rules: SelectRules) -> None:
    """Check what the configuration alone cannot: that keywords exist and hold something to compare.

    Raises
    ------
    ConfigError
        One sentence per problem, with the path of the key and the nearest keyword.
    """
    problems = [problem for path, one in _conditions(rules) for problem in _problems(path, one)]
    if problems:
        raise ConfigError("\n".join(problems))


def _conditions(rules: SelectRules, path: str = "input.select") -> Iterator[tuple[str, TagCondition]]:
    for number, condition in enumerate(rules.tags):
        yield f"{path}.tags.{number}", condition
    levels: Mapping[str, Sequence[SelectRules]] = {"all": rules.all, "any": rules.any, "none": rules.none}
    for name, inner in levels.items():
        for number, one in enumerate(inner):
            yield from _conditions(one, f"{path}.{name}.{number}")


def _problems(path: str, condition: TagCondition) -> Iterator[str]:
    if condition.tag != STACK:
        tag = tag_for_keyword(condition.tag)
        if tag is None:
            yield f"{path}.tag: {condition.tag!r} is no keyword of DICOM PS3.6{_nearest(condition.tag)}"
        elif dictionary_VR(tag).split(" ")[0] in WITHOUT_TEXT:
            yield f"{path}.tag: {condition.tag} holds no text or number that a rule could compare"


def _nearest(keyword: str) -> str:
    known = {entry[4].casefold(): entry[4] for entry in DicomDictionary.values() if entry[4]}
    near = difflib.get_close_matches(keyword.casefold(), known, n=1)
    return f"; did you mean {known[near[0]]!r}?" if near else "; keywords are written like SeriesDescription"


def _listed(candidates: Sequence[Candidate]) -> str:
    return _shortened(_named(candidates), "; ", MOST_SHOWN)


def _explained(candidates: Sequence[Candidate], rules: SelectRules) -> str:
    """Return the candidates with their reasons; those with the same reasons share them.

    When that leaves too many, those share a line that fail for the same first reason.
    """
    against = [failures(candidate, rules) for candidate in candidates]
    if len({joined(reasons) for reasons in against}) > MOST_SHOWN:
        against = [[reasons[0], "more"] if len(reasons) > 1 else reasons for reasons in against]
    groups: dict[str, list[Candidate]] = {}
    for candidate, found in zip(candidates, against, strict=True):
        groups.setdefault(joined(found), []).append(candidate)
    ordered = sorted(groups.items(), key=lambda group: -len(group[1]))
    lines = [f"{_shortened(_named(members), ' and ', FEWER_SHOWN)}: {reason}" for reason, members in ordered]
    return _shortened(lines, "; ", MOST_SHOWN)


def _named(candidates: Sequence[Candidate]) -> list[str]:
    counts = Counter(map(described, candidates))
    return [description if count == 1 else f"{count} times {description}" for description, count in counts.items()]


def _shortened(parts: Sequence[str], between: str, most: int) -> str:
    if len(parts) <= most:
        return between.join(parts)
    return between.join([*parts[:most], f"{len(parts) - most} more kinds"])
