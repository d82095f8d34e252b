"""A small picture without letters or scale."""

from __future__ import annotations

from reportlab.platypus import Flowable

from audit_pipeline.report.figures import Picture


class Thumbnail(Flowable):  # type: ignore[misc]
    """The pixels of a picture alone, hatched when its map was rejected."""

    def __init__(self, picture: Picture) -> None:
        super().__init__()
        self.picture = picture

    def wrap(self, _available_width: float, _available_height: float) -> tuple[float, float]:
        """Return the size of the pixels."""
        return self.picture.picture_width, self.picture.picture_height

    def draw(self) -> None:
        """Draw the pixels."""
        self.picture.draw_bare(self.canv)
