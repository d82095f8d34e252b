"""What stands on the flat blocks where text was blanked, and where there is room for it."""

from __future__ import annotations

from audit_pipeline.records import Panel

BLANKED = "text blanked"


def label_places(panel: Panel, size: tuple[float, float], label: tuple[float, float]) -> list[tuple[float, float]]:
    """Return the middles (down, across) of the words on the blocks of a picture, from its upper left corner.

    Words stay inside the picture and never meet; where they are larger than the picture there are none.

    Parameters
    ----------
    size : height and width of the picture
    label : height and width of the words, in the same unit
    """
    if label[0] > size[0] or label[1] > size[1]:
        return []
    taken: list[tuple[float, float]] = []
    for top, bottom, left, right in panel.blanked:
        rows, columns = panel.anatomy.shape[:2]
        down = _inside((top + bottom) / 2 / rows * size[0], label[0], size[0])
        across = _inside((left + right) / 2 / columns * size[1], label[1], size[1])
        if all(abs(down - one[0]) >= label[0] or abs(across - one[1]) >= label[1] for one in taken):
            taken.append((down, across))
    return taken


def _inside(middle: float, length: float, most: float) -> float:
    return min(max(middle, length / 2), most - length / 2)
