"""Text in the pixels is covered in every slice that shows it, and nothing else is touched."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from audit_pipeline.blanking import blank_input, blanked, text_boxes
from audit_pipeline.explain.views import panels
from audit_pipeline.records import Explanation, MapStatistics, Prepared, sealed

AXIAL = np.array([[0, 0, 0.8, -10], [0, 0.9, 0, -20], [2.0, 0, 0, 5], [0, 0, 0, 1.0]])
MIRRORED = np.array([[0, 0, -0.8, 60], [0, 0.9, 0, -20], [-2.0, 0, 0, 45], [0, 0, 0, 1.0]])
LEVEL = -77.0


def explanation(centre):
    numbers = {"min": 0.0, "max": 1.0, "mean": 0.0, "std": 0.0, "peak_value": 1.0, "positive_share": 0.1}
    places = {"peak_index": (0,) * len(centre), "peak_position_mm": None, "mass_levels": None, "centre_index": centre}
    values = sealed(np.ones((2,) * len(centre), np.float32))
    return Explanation(
        method="gradcam", target=0, target_name="a", layer="l", values=values, on_input=values,
        to_source=np.eye(len(centre) + 1), affine=None, cell_mm=(None,) * len(centre), signal_floor=0.0,
        statistics=MapStatistics(**numbers, **places),
    )  # fmt: skip


def written(shape, text, place, size=0.6):
    """A quiet plane with letters, and where these are."""
    plane = np.random.default_rng(1).normal(300, 20, shape).astype(np.float32)
    ink = cv2.putText(np.zeros(shape, np.uint8), text, place, cv2.FONT_HERSHEY_SIMPLEX, size, 255, 1, cv2.LINE_8) > 0
    plane[ink] = 4000
    return plane, ink


def volume():
    """Twelve slices with a line of letters in the second and in the sixth, and where these are."""
    values = np.random.default_rng(2).normal(300, 20, (12, 120, 150)).astype(np.float32)
    ink = np.zeros(values.shape, bool)
    for index, text, place in ((1, "JANE DOE", (20, 30)), (5, "SCOUT", (40, 100))):
        values[index], ink[index] = written((120, 150), text, place)
    return values, ink


def shown_at(values, panel):
    """The values of the source at the pixels of a panel of single voxels."""
    rows, columns = np.indices(panel.anatomy.shape)
    source = np.einsum("ij,jrc->irc", panel.to_source, np.stack([rows, columns, np.ones_like(rows)]))
    return values[tuple(np.rint(source[:-1]).astype(int))]


def covered(panel):
    mask = np.zeros(panel.anatomy.shape[:2], bool)
    for top, bottom, left, right in panel.blanked:
        mask[top:bottom, left:right] = True
    return mask


@pytest.mark.parametrize("affine", [AXIAL, MIRRORED, None], ids=["axial", "mirrored", "no place"])
@pytest.mark.parametrize("centre", [(1.0, 24.0, 60.0), (5.0, 96.0, 50.0)])
def test_letters_are_covered_in_every_plane_that_cuts_them_whichever_way_it_lies(make_image, affine, centre):
    values, ink = volume()
    image = make_image(values, affine=affine)
    raw = panels(image, [explanation(centre)])
    found = blanked(raw, image, LEVEL)
    assert len(found) == len(raw) >= 3
    for before, after in zip(raw, found, strict=True):
        mask = covered(after)
        assert mask[shown_at(ink, after)].all()
        assert (after.anatomy[mask] == LEVEL).all()
        np.testing.assert_array_equal(after.anatomy[~mask], before.anatomy[~mask])
    assert sum(bool(one.blanked) for one in found[:3]) == 3


def test_a_slice_without_letters_stays_the_same_panel(make_image):
    values, _ = volume()
    image = make_image(values, affine=AXIAL)
    raw = panels(image, [explanation((9.0, 60.0, 5.0))])
    axial, after = raw[0], blanked(raw, image, LEVEL)[0]
    assert after is axial
    assert after.blanked == ()


def test_an_image_without_letters_keeps_its_panels(make_image):
    image = make_image(np.random.default_rng(0).normal(300, 20, (200, 200)))
    raw = panels(image, [explanation((50.0, 60.0))])
    assert blanked(raw, image, LEVEL) == raw
    assert text_boxes(image) == {}


def test_of_a_large_image_every_stored_pixel_that_a_letter_touches_is_covered(make_image):
    values, ink = written((1400, 1300), "JANE DOE 1958", (311, 733), 2.5)
    image = make_image(values)
    (panel,) = blanked(panels(image, [explanation((50.0, 60.0))]), image, LEVEL)
    height, width = panel.anatomy.shape
    touched = ink[: height * 3, : width * 3].reshape(height, 3, width, 3).any(axis=(1, 3))
    assert touched.any()
    assert covered(panel)[touched].all()
    assert covered(panel).mean() < 0.1


def test_lines_apart_have_their_own_blocks_and_blocks_never_meet(make_image):
    first, ink = written((300, 300), "JANE DOE", (20, 40))
    second, more = written((300, 300), "1958 MARCH", (120, 250))
    first[more] = second[more]
    boxes = text_boxes(make_image(first))[0]
    assert len(boxes) == 2
    (_, bottom, _, _), (top, _, _, _) = sorted(boxes)
    assert bottom < top
    for mask in (ink, more):
        rows, columns = np.nonzero(mask)
        assert any(
            one[0] <= rows.min() and rows.max() < one[1] and one[2] <= columns.min() and columns.max() < one[3]
            for one in boxes
        )


def test_colour_is_covered_in_every_channel(make_image):
    grey, ink = written((200, 200), "JANE DOE", (20, 60))
    grey = np.clip(grey / 20, 0, 255)
    grey[ink] = 255
    image = make_image(np.dstack([grey] * 3), spacing_mm=(None, None), unit="RGB")
    (panel,) = blanked(panels(image, [explanation((50.0, 60.0))]), image, 128.0)
    assert covered(panel)[ink].all()
    assert (panel.anatomy[covered(panel)] == 128.0).all()


def test_what_is_stored_of_the_input_is_even_where_letters_were_and_the_input_itself_stays(make_image):
    values, ink = written((128, 128), "JANE DOE", (10, 60))
    image = make_image(values)
    prepared = Prepared(
        values=sealed(values[None].copy()), to_source=np.eye(3), affine=None, spacing_mm=(1.0, 1.0),
        inside=np.ones((128, 128), bool), steps=(), display_window=(0.0, 4000.0),
    )  # fmt: skip
    hidden = blank_input(prepared, image)
    assert np.unique(hidden.values[0][ink]).size == 1
    assert abs(hidden.values[0][ink][0] - 300) < 5
    np.testing.assert_array_equal(prepared.values[0], values)
    np.testing.assert_array_equal(hidden.values[0][100:], values[100:])


def test_letters_that_touch_each_other_and_upright_lines_are_covered_whole(make_image):
    plane, ink = written((128, 128), "JANE DOE", (10, 60))
    for values, strokes in ((plane, ink), (np.ascontiguousarray(np.rot90(plane)), np.rot90(ink))):
        (box,) = text_boxes(make_image(values))[0]
        assert strokes[box[0] : box[1], box[2] : box[3]].sum() == strokes.sum()


def test_a_bright_organ_beside_a_line_of_text_stays(make_image):
    plane, ink = written((256, 256), "JANE DOE", (10, 60), 0.8)
    rows, columns = np.indices(plane.shape)
    organ = (rows - 80) ** 2 + (columns - 200) ** 2 < 50**2
    plane[organ & ~ink] = 4000
    (box,) = text_boxes(make_image(plane))[0]
    assert box[3] <= 150
