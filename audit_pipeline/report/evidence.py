"""What the pages show of panels and maps: which panel is the key, how it is coloured, which maps were rejected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audit_pipeline.records import Panel
from audit_pipeline.report import text
from audit_pipeline.report.context import ReportContext
from audit_pipeline.report.figures import Layer, Look
from audit_pipeline.scales import Scale, Sign, study_scale
from audit_pipeline.study_record import ExplanationFacts, StudyRecord

STORED, FED, MOSAIC = INTAKE = ("stored", "fed", "mosaic")
"""Roles of the panels that show what went in: the slice as stored, the model input there, slices of the model input."""


def usable_window(window: tuple[float, float] | None, panel: Panel) -> tuple[float, float]:
    """Return the recorded window; where there is none or it is empty, the range of the panel."""
    if window is not None and window[0] < window[1]:
        return window
    if panel.anatomy.ndim == 3:
        return (0.0, 255.0)
    finite = panel.anatomy[np.isfinite(panel.anatomy)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return (low, high) if low < high else (low, low + 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """A record with its panels, and the questions the pages ask about them.

    panels : the evidence; intake : what went in, see `INTAKE`
    digest : SHA-256 of the record as the report carries it, "" where it is not known
    is_tight : whether pictures and type are smaller, so that much content takes fewer pages
    """

    record: StudyRecord
    panels: tuple[Panel, ...]
    context: ReportContext
    intake: tuple[Panel, ...] = ()
    digest: str = ""
    is_tight: bool = False

    @property
    def key(self) -> Panel | None:
        """The panel of page one: the axial plane through the evidence, else the first panel."""
        planes = [panel for panel in self.panels if panel.role == "plane" and panel.plane == "axial"]
        return next(iter([*planes, *self.panels]), None)

    @property
    def look(self) -> Look:
        """Window and colours, the same for every panel of the study."""
        image = self.record.image
        settings = self.context.settings
        window = usable_window(image.window if image else None, (*self.panels, *self.intake)[0])
        unit = image.unit if image else ""
        return Look(window=window, unit=unit, colour_map=settings.colour_map, opacity=settings.opacity)

    def facts(self, panel: Panel, method: str) -> ExplanationFacts | None:
        """Return what is recorded about the map of `method` on `panel`."""
        for facts in self.record.explanations:
            if facts.method == method and facts.target == panel.target:
                return facts
        return None

    def methods(self, panel: Panel) -> list[str]:
        """Return the methods with a map on `panel`, in the order of the record."""
        return methods_of(self.record, panel)

    def layer(self, panel: Panel, method: str) -> Layer:
        """Return how the map of `method` is laid over `panel`: contours of the whole map, colours of its scale."""
        facts = self.facts(panel, method)
        is_signed = self.context.settings.sign == "signed"
        if facts is None:
            return Layer(method=method, scale_max=_largest(panel, method), is_signed=is_signed)
        rejection, largest, scale = text.rejection(facts), facts.statistics.max, self.scale(facts)
        return Layer(
            method=method,
            scale_max=scale.high or 0.0,
            is_signed=is_signed,
            reason=scale.reason,
            rejection=rejection,
            cell_mm=panel.cell_mm,
            contours=None if rejection or largest <= 0 else facts.statistics.mass_levels,
        )

    def scale(self, facts: ExplanationFacts) -> Scale:
        """Return what the colours of a map run between, as ``report.scale`` and ``report.sign`` ask.

        study : the maximum over the classes that the method explains, so that a class with little evidence looks like
        little beside one with much; map : of this map alone; class : of this class over the cohort, and of the study
        as long as the run is not closed.
        """
        settings = self.context.settings
        if settings.scale == "map":
            return _scale([facts], settings.sign, "this map")
        cohort = self.context.cohort_scales.get((facts.method, facts.target))
        if settings.scale == "class" and cohort is not None:
            return cohort
        alike = [one for one in self.record.explanations if one.method == facts.method]
        missing = ", as the run is not closed and has no scale over the cohort" if settings.scale == "class" else ""
        return _scale(alike, settings.sign, f"all maps of this method in the study{missing}")

    def target_name(self, panel: Panel) -> str:
        """Return the class that the maps of `panel` explain."""
        named = [facts.target_name for facts in self.record.explanations if facts.target == panel.target]
        classes = self.record.model.classes
        name = named[0] if named else classes[panel.target] if panel.target < len(classes) else str(panel.target)
        return text.cut(name, text.LONGEST_NAME)

    def role(self, role: str, target: int) -> list[Panel]:
        """Return the panels of one role for one target class."""
        return [panel for panel in self.panels if panel.role == role and panel.target == target]

    @property
    def targets(self) -> list[int]:
        """Target classes of the panels, in the order of the panels, the key panel's first."""
        key = self.key
        return list(dict.fromkeys([*([key.target] if key else []), *(panel.target for panel in self.panels)]))


def methods_of(record: StudyRecord, panel: Panel) -> list[str]:
    """Return the methods with a map on `panel`, in the order of the record."""
    recorded = [facts.method for facts in record.explanations if facts.target == panel.target]
    return sorted(panel.maps, key=lambda name: recorded.index(name) if name in recorded else len(recorded))


def _largest(panel: Panel, method: str) -> float:
    finite = panel.maps[method][np.isfinite(panel.maps[method])]
    return float(finite.max()) if finite.size else 0.0


def _scale(alike: Sequence[ExplanationFacts], sign: Sign, scope: str) -> Scale:
    """Return the scale of maps from their recorded extremes, which decide it alone."""
    extremes = [np.asarray([one.statistics.min, one.statistics.max]) for one in alike]
    floors = [one.signal_floor for one in alike]
    return study_scale(extremes, floors, sign=sign, unit=alike[0].unit, scope=scope)


def shown(record: StudyRecord, panels: Sequence[Panel], context: ReportContext, digest: str = "") -> Shown:
    """Return record, panels, context and the digest of the record bound together."""
    return Shown(
        record=record,
        panels=tuple(panel for panel in panels if panel.role not in INTAKE),
        intake=tuple(panel for panel in panels if panel.role in INTAKE),
        context=context,
        digest=digest,
    )
