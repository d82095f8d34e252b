"""Which layer the maps come from and why: the layers of the network with what speaks for each."""

from __future__ import annotations

from reportlab.platypus import Flowable

from audit_pipeline.report import numbers, tables
from audit_pipeline.report.document import Heading
from audit_pipeline.study_record import LayerChoice, LayerFacts
from audit_pipeline.wording import counted

HEAD = ("Rank", "Layer", "Grid", "Cell", "Logit missed", "Gain", "Stability", "Mean rank")
WIDTHS_MM = (11.0, 56.0, 27.0, 20.0, 18.0, 14.0, 16.0, 16.0)
NEGLIGIBLE = 1e-4
"""Shares of the logit below this are printed as 0: they are rounding."""

NOTE = (
    "Cell: side of a square or cube as large as a cell, mean of these studies. Logit missed: share of the logit "
    "that the layer's HiResCAM does not account for. Gain: area between the insertion and the deletion curve, less "
    "that of shifted maps, in logits. Stability: rank correlation with the maps of noisy copies. Layers that miss at "
    "most 1 % come first; then the mean of the ranks in cell size and these three decides."
)


def layer_story(choice: LayerChoice | None, type_style: str = "dense") -> list[Flowable]:
    """Return the section on the choice of the layer; nothing for records that do not tell."""
    if choice is None:
        return []
    items: list[Flowable] = [Heading("Why this layer", level=1), tables.words(choice.reason, "table")]
    if not choice.ranking:
        return items
    rows = [_row(one, is_chosen=one.layer == choice.layer) for one in choice.ranking]
    studies = counted(len(choice.studies), "study", "studies")
    note = f"Compared once for the whole run on {studies}: {', '.join(choice.studies)}. {NOTE}"
    return [
        *items,
        tables.table(HEAD, rows, WIDTHS_MM, numeric=(4, 5, 6, 7), type_style=type_style),
        tables.words(note, "caption"),
    ]


def _row(one: LayerFacts, *, is_chosen: bool) -> list[tables.Cell]:
    cell = f"{numbers.number(one.cell_pixels)} pixels" if one.cell_mm is None else f"{numbers.number(one.cell_mm)} mm"
    missed = 0.0 if one.unaccounted < NEGLIGIBLE else one.unaccounted
    return [
        str(one.rank),
        f"{one.layer} (chosen)" if is_chosen else one.layer,
        numbers.sizes(one.grid, ""),
        cell,
        numbers.short(missed),
        numbers.short(one.gain),
        numbers.short(one.stability),
        numbers.short(one.mean_rank),
    ]
