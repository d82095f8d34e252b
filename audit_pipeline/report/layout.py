"""Flowables that arrange others: columns of fixed width, a mark beside a paragraph, as many groups as fit."""

from __future__ import annotations

from collections.abc import Sequence

from reportlab.lib.units import mm
from reportlab.platypus import Flowable, Paragraph

from audit_pipeline.findings import Outcome
from audit_pipeline.report import links, marks, style

UNLIMITED = 1e6


def stack_height(items: Sequence[Flowable], width: float) -> float:
    """Return the height of flowables set one below the other in `width` points."""
    heights = (item.getSpaceBefore() + item.wrap(width, UNLIMITED)[1] + item.getSpaceAfter() for item in items)
    return float(sum(heights))


def fitting(groups: Sequence[Sequence[Flowable]], width: float, height: float) -> int:
    """Return how many of `groups`, from the first on, fit into `width` by `height` points."""
    used = 0.0
    for count, group in enumerate(groups):
        used += stack_height(group, width)
        if used > height:
            return count
    return len(groups)


class Columns(Flowable):  # type: ignore[misc]
    """Stacks of flowables side by side, all starting at the same height."""

    def __init__(self, stacks: Sequence[Sequence[Flowable]], widths: Sequence[float], gap: float) -> None:
        super().__init__()
        self.stacks, self.widths, self.gap = stacks, widths, gap

    def wrap(self, _available_width: float, _available_height: float) -> tuple[float, float]:
        """Return the total width and the height of the tallest stack."""
        self.width = sum(self.widths) + self.gap * (len(self.widths) - 1)
        heights = (stack_height(stack, width) for stack, width in zip(self.stacks, self.widths, strict=True))
        self.height = max(heights, default=0.0)
        return self.width, self.height

    def draw(self) -> None:
        """Draw every stack from the top down."""
        left = 0.0
        for stack, width in zip(self.stacks, self.widths, strict=True):
            top = self.height
            for item in stack:
                top -= item.getSpaceBefore() + item.wrap(width, UNLIMITED)[1]
                item.drawOn(self.canv, left, top)
                top -= item.getSpaceAfter()
            left += width + self.gap


class MarkedParagraph(Flowable):  # type: ignore[misc]
    """A paragraph with the mark of an outcome hanging to the left of its first line; `link` is where it leads."""

    def __init__(self, outcome: Outcome, paragraph: Paragraph, link: str = "") -> None:
        super().__init__()
        self.outcome, self.paragraph, self.link = outcome, paragraph, link
        self.indent = 1.35 * paragraph.style.fontSize

    def wrap(self, available_width: float, available_height: float) -> tuple[float, float]:
        """Return the size of the paragraph with its indent."""
        self.height = self.paragraph.wrap(available_width - self.indent, available_height)[1]
        return available_width, self.height

    def draw(self) -> None:
        """Draw mark and paragraph."""
        leading, size = self.paragraph.style.leading, self.paragraph.style.fontSize
        marks.draw_mark(self.canv, self.outcome, (size * 0.5, self.height - leading * 0.58), size * 0.85)
        self.paragraph.drawOn(self.canv, self.indent, 0)
        links.draw_link(self.canv, self.link, (0, 0, self.indent + self.paragraph.width, self.height))


def columns_mm(stacks: Sequence[Sequence[Flowable]], widths_mm: Sequence[float], gap_mm: float = 4) -> Columns:
    """Return `Columns` with widths in mm."""
    return Columns(stacks, [width * mm for width in widths_mm], gap_mm * mm)


def content_size(paper: str) -> tuple[float, float]:
    """Return width and height in points between the margins."""
    width, height = style.PAPERS[paper]
    return width - 2 * style.MARGIN, height - 2 * style.MARGIN
