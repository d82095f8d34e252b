"""Every check of a study in one picture: a line per family, a mark and a code per check."""

from __future__ import annotations

from collections.abc import Sequence

from reportlab.lib.units import mm
from reportlab.platypus import Flowable

from audit_pipeline.findings import Finding
from audit_pipeline.report import fonts, links, marks, style, text
from audit_pipeline.report.document import Heading

LINE = 4.3 * mm
STEP = 11.5 * mm
NAMES = 40 * mm


class CheckMarks(Flowable):  # type: ignore[misc]
    """The mark of every finding before its code, sorted by code, one group of lines per family."""

    def __init__(self, findings: Sequence[Finding], width: float) -> None:
        super().__init__()
        self.width = width
        per_line = max(1, int((width - NAMES) / STEP))
        families: dict[str, list[Finding]] = {}
        for finding in sorted(findings, key=lambda one: one.code):
            families.setdefault(finding.family, []).append(finding)
        self.lines: list[tuple[str, list[Finding]]] = []
        for name, members in families.items():
            for start in range(0, len(members), per_line):
                self.lines.append((text.family(name) if start == 0 else "", members[start : start + per_line]))
        self.height = len(self.lines) * LINE

    def wrap(self, _available_width: float, _available_height: float) -> tuple[float, float]:
        """Return the fixed size."""
        return self.width, self.height

    def draw(self) -> None:
        """Draw line after line from the top."""
        size = style.CAPTION
        for place, (name, members) in enumerate(self.lines):
            base = self.height - (place + 1) * LINE + 1.3 * mm
            drawn = fonts.fitted(name, NAMES - 2 * mm, size)
            fonts.draw(self.canv, (0, base), drawn, size, colour=style.INK)
            for column, finding in enumerate(members):
                x = NAMES + column * STEP
                marks.draw_mark(self.canv, finding.outcome, (x, base + size * 0.33), size * 0.85)
                code = fonts.fitted(finding.code, STEP - size - 2, size)
                fonts.draw(self.canv, (x + size * 0.75, base), code, size, colour=style.INK)
                place_of_code = (x - size * 0.5, base - size * 0.3, x + STEP - size, base + size)
                links.draw_link(self.canv, links.check(finding.code), place_of_code)


def story(findings: Sequence[Finding], width: float) -> list[Flowable]:
    """Return the heading and the marks; nothing without findings."""
    if not findings:
        return []
    return [Heading("Every check at a glance", level=1), CheckMarks(findings, width)]
