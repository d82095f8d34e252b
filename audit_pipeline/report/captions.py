"""Captions of pictures and colour bars."""

from __future__ import annotations

from collections.abc import Sequence

from audit_pipeline.records import Panel
from audit_pipeline.report import map_words, numbers, text
from audit_pipeline.report.evidence import Shown
from audit_pipeline.study_record import ExplanationFacts
from audit_pipeline.wording import counted

FAINT = 0.1
"""Of the end of the scale: a map whose peak lies lower has next to no colour, but has lines."""


def place(shown: Shown, panel: Panel, *, has_window: bool = True) -> str:
    """Return plane, slice, position and window, and where text was blanked."""
    words = [f"{text.capital(text.slice_place(panel))}.", window(shown) if has_window else "", blanked([panel])]
    return " ".join(filter(None, words))


def blanked(panels: Sequence[Panel]) -> str:
    """Return in how many regions of the slices text was blanked; "" for none."""
    count = sum(len(panel.blanked) for panel in panels)
    where = "this image" if len(panels) == 1 else "these images"
    return f"Text blanked in {counted(count, 'region')} of {where}." if count else ""


def window(shown: Shown) -> str:
    """Return the window, which is the same for every slice of the study."""
    look = shown.look
    named = "" if look.unit == "stored value" else text.cut(look.unit, text.LONGEST_NAME)
    return f"Window {text.window(look.window, named)}."


def peak(shown: Shown, panel: Panel, method: str) -> str:
    """Return what the cross-hair marks and where the map is highest, of a map that is evidence; "" otherwise.

    The cross-hair stands in the middle of the cells around the highest one that reach half its value, so it may lie
    beside the highest one.
    """
    facts = shown.facts(panel, method)
    if facts is None or method not in panel.peaks or facts.statistics.max <= 0 or text.rejection(facts):
        return ""
    statistics = facts.statistics
    image = shown.record.image
    centre = map_words.centre_place(facts, image.affine if image else None)
    height = f"{numbers.number(statistics.peak_value)} {text.map_unit(facts.unit)}"
    where = map_words.peak_place(facts)
    return f"Cross-hair: middle of the strongest evidence, {centre}. Peak: {height}, in the cell at {where}."


def faint(shown: Shown, panel: Panel, method: str) -> str:
    """Return that a map has lines but next to no colour, as its peak lies low on the scale; "" where it does not."""
    facts = shown.facts(panel, method)
    if facts is None or not peak(shown, panel, method):
        return ""
    end, highest = shown.scale(facts).high, facts.statistics.peak_value
    if not end or highest >= FAINT * end:
        return ""
    return (
        f"The peak is {numbers.short(100 * highest / end)} % of the end of the scale: the lines enclose faint evidence."
    )


def peak_of(shown: Shown, panels: Sequence[Panel], method: str) -> str:
    """Return the peak and the slice that it lies in; "" where none of `panels` shows it."""
    found = next(((panel, words) for panel in panels if (words := peak(shown, panel, method))), None)
    return "" if found is None else f"Slice {found[0].index}, {found[1][:1].lower()}{found[1][1:]}"


def cell(shown: Shown, panel: Panel, method: str) -> str:
    """Return the size of the map's cell."""
    facts = shown.facts(panel, method)
    return "" if facts is None else f"Cell of the map: {text.cell(facts)}."


def unit(shown: Shown, panel: Panel, method: str) -> str:
    """Return the unit of a map with a capital letter."""
    facts = shown.facts(panel, method)
    return text.capital(text.map_unit("logit" if facts is None else facts.unit))


def colour_bar(shown: Shown, panel: Panel, method: str) -> str:
    """Return the title of a colour bar."""
    return f"{unit(shown, panel, method)}, {text.method(method)} for {shown.target_name(panel)}"


def extremes(facts: ExplanationFacts) -> str:
    """Return the largest evidence for and against the class."""
    values = facts.statistics
    return (
        f"{text.capital(text.method(facts.method))}, whole map: at most {numbers.number(max(values.max, 0.0))} for and "
        f"{numbers.number(max(-values.min, 0.0))} against the class, in {text.map_unit(facts.unit)}."
    )


def scale(shown: Shown, panel: Panel, methods: Sequence[str]) -> str:
    """Return where the colours of the maps end and what they leave out, or why a map has no colour."""
    facts = {name: found for name in methods if (found := shown.facts(panel, name)) is not None}
    scales = {name: shown.scale(found) for name, found in facts.items()}
    rules = dict.fromkeys(one.rule for one in scales.values() if one.high is not None)
    is_signed = shown.context.settings.sign == "signed"
    meaning = "red speaks for the class, blue against it" if is_signed else "evidence against the class has no colour"
    parts = [f"Colours end at the {rule}; {meaning}." for rule in rules]
    parts += [
        f"{text.capital(text.method(name))} has no colour: {one.reason}." for name, one in scales.items() if one.reason
    ]
    return " ".join(parts)


def grid(shown: Shown, panel: Panel, methods: Sequence[str]) -> str:
    """Return the heading over the planes of one target."""
    names = text.listed([text.capital(text.method(one)) for one in methods]) if methods else "No map"
    return f"{names} for {shown.target_name(panel)}"


def evident_slices(shown: Shown, panels: Sequence[Panel], methods: Sequence[str]) -> str:
    """Return the heading over the slices with the most evidence, which keep half a cell of the map between them."""
    what = "The slice with the most evidence"
    if len(panels) > 1:
        what = f"The {len(panels)} slices with the most evidence that lie half a cell of the map apart"
    name = text.method(methods[0]) if methods else "no map"
    return f"{what}, {name} for {shown.target_name(panels[0])}"


def slices_above(count: int) -> str:
    """Return the sentence when the planes already show the slices with the most evidence.

    >>> slices_above(1), slices_above(2)
    ('The slice with the most evidence is shown above.', 'The 2 slices with the most evidence are shown above.')
    """
    if count == 1:
        return "The slice with the most evidence is shown above."
    return f"The {count} slices with the most evidence are shown above."


MORE_METHODS = "The maps of the other methods of this class lie in the folder of the study and on its HTML page."
CONTOURS = "Lines hold 50 % (solid) and 80 % (dashed) of the positive evidence of the whole map."
