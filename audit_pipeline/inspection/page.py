"""The facts as a page for a terminal: columns that line up over all studies, colours, wrapped sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from io import StringIO

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from audit_pipeline.inspection import wording
from audit_pipeline.inspection.wording import Facts

NARROWEST = 72
"""On a narrower terminal the columns do not fit and the plain text is better."""

WIDE = 120
"""From this width on, what was measured about the stack has a column of its own."""

STYLES = {
    "note": "cyan",
    "flag": "yellow",
    "critical": "bold red",
    "refused": "bold red",
    "left out": "yellow",
    "chosen": "bold green",
    "fits": "yellow",
    "fails": "dim",
    "files": "dim",
    "stack": "dim",
    "rules": "bold",
    "advice": "cyan",
}
TIMES = "\u00d7"
_LABEL_WIDTH = 9
_MARK_WIDTH = 6
WIDEST_CELL, NARROWEST_CELL = 26, 10

Column = tuple[str, Callable[[Facts], str]]


def page(found: Facts, width: int) -> str:
    """Return the page for a terminal of `width` columns, with its escape codes; NO_COLOR is honoured."""
    console = Console(file=StringIO(), width=width, force_terminal=True, highlight=False, markup=False, emoji=False)
    columns = _columns(width)
    widths = _widths(found, columns, width)
    for part in _parts(found, columns, widths):
        console.print(part)
    assert isinstance(console.file, StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().rstrip("\n").split("\n"))


def _columns(width: int) -> list[Column]:
    is_wide = width >= WIDE
    columns: list[Column] = [
        ("mod.", lambda image: wording.plain(image["modality"] or "none")),
        ("size", lambda image: wording.size(image, TIMES)),
        ("spacing mm", lambda image: wording.spacing(image, TIMES, digits=4 if is_wide else 3)),
        ("plane, axes", lambda image: f"{wording.plane(image)} {image['orientation'] or ''}".strip()),
        ("values", wording.value_range),
    ]
    return [*columns, ("stack", lambda image: ", ".join(wording.stack(image)))] if is_wide else columns


def _widths(found: Facts, columns: Sequence[Column], width: int) -> list[int]:
    """Return the width of every column over all studies, so that the eye can run down the page.

    The last column takes what is left; a cell that is wider than `WIDEST_CELL` folds.
    """
    images = [image for study in found["studies"] for image in study["images"]]
    widths = [
        min(WIDEST_CELL, max([len(title), *(cell_len(cell(image)) for image in images)])) for title, cell in columns
    ]
    rest = width - _MARK_WIDTH - sum(widths[:-1]) - len(widths)
    return [*widths[:-1], max(rest, NARROWEST_CELL)]


def _parts(found: Facts, columns: Sequence[Column], widths: Sequence[int]) -> Iterator[RenderableType]:
    rules = wording.rules(found)
    if rules is not None:
        yield _sentence("rules", rules, indent=0)
    if found["totals"]["images"]:
        titles = _grid(widths)
        titles.add_row("", "", *(Text(title, style="bold") for title, _ in columns))
        yield titles
    for study in found["studies"]:
        yield from _study(study, columns, widths)
    yield from _foot(found)


def _study(study: Facts, columns: Sequence[Column], widths: Sequence[int]) -> Iterator[RenderableType]:
    count = wording.counted(len(study["files"]), "file")
    yield Text.assemble(
        (wording.plain(study["name"]), "bold"),
        (f"  {study['kind']}, {count}: {wording.summed(study['dispositions'])}", "dim"),
    )
    if study["images"]:
        yield _images(study, columns, widths)
    if columns[-1][0] != "stack":
        several = len(study["images"]) > 1
        for number, image in enumerate(study["images"], 1):
            if facts := ", ".join(wording.stack(image, only_remarkable=True)):
                yield _sentence("stack", f"image {number}, {facts}" if several else facts)
    for label, sentence in wording.sentences(study):
        yield _sentence(label, sentence)
    yield ""


def _images(study: Facts, columns: Sequence[Column], widths: Sequence[int]) -> Table:
    table = _grid(widths)
    chosen = _chosen(study)
    for number, image in enumerate(study["images"]):
        mark = Text(">", style=STYLES["chosen"]) if number == chosen else Text("")
        table.add_row(mark, str(number + 1), *(Text(cell(image)) for _, cell in columns))
    return table


def _chosen(study: Facts) -> int | None:
    selection = study.get("selection")
    if selection is None or selection["chosen"] is None:
        return None
    number: int | None = selection["candidates"][selection["chosen"]]["image"]
    return number


def _grid(widths: Sequence[int]) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=1)
    table.add_column(width=3, justify="right", style="dim")
    for width in widths:
        table.add_column(min_width=width, max_width=width, overflow="fold")
    return table


def _sentence(label: str, sentence: str, indent: int = 2) -> Padding:
    """Return a labelled sentence that wraps under itself."""
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=_LABEL_WIDTH, no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(Text(label, style=STYLES.get(label, "")), Text(sentence))
    return Padding(table, (0, 0, 0, indent))


def _foot(found: Facts) -> Iterator[RenderableType]:
    advice = wording.advice(found)
    if advice:
        yield Text("What the findings ask for", style="bold")
        for code, title, sentence in advice:
            yield _sentence(code, f"{title}: {sentence}")
        yield ""
    for label, sentence in wording.foot(found):
        yield _sentence(label, sentence, 0)
    for line in wording.totals(found):
        yield Text(line, style="bold")
