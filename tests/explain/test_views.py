"""Views: the slice a reader sees is the slice it claims to be, the right way round."""

from __future__ import annotations

import numpy as np
import pytest

from audit_pipeline.explain import views
from audit_pipeline.explain.views import evident_slices, panels, slice_mass
from audit_pipeline.geometry import transform_points
from audit_pipeline.records import Explanation, MapStatistics, sealed


def explanation(values, to_source, centre, *, method="gradcam", target=1):
    numbers = {"min": 0.0, "max": 1.0, "mean": 0.0, "std": 0.0, "peak_value": 1.0}
    numbers |= {"positive_share": 0.1, "mass_levels": None}
    places = {"peak_index": tuple(round(part) for part in centre or (0, 0, 0)), "peak_position_mm": None}
    return Explanation(
        method=method, target=target, target_name="nodule", layer="stage", values=sealed(values.astype(np.float32)),
        on_input=sealed(values.astype(np.float32)), to_source=to_source, affine=None, cell_mm=(None,) * values.ndim,
        statistics=MapStatistics(**numbers, **places, centre_index=centre), signal_floor=0.0,
    )  # fmt: skip


AXIAL = np.array([[0, 0, 0.8, -10], [0, 0.9, 0, -20], [2.0, 0, 0, 5], [0, 0, 0, 1.0]])
SAGITTAL_FEET_FIRST = np.array([[-3.0, 0, 0, 40], [0, 0, 1.0, -30], [0, -1.0, 0, 90], [0, 0, 0, 1]])


@pytest.mark.parametrize("affine", [AXIAL, SAGITTAL_FEET_FIRST], ids=["axial", "sagittal"])
def test_every_displayed_pixel_is_the_source_voxel_it_claims(make_image, affine):
    values = np.random.default_rng(0).normal(size=(8, 9, 10))
    image = make_image(values, affine=affine)
    found = panels(image, [explanation(np.ones((2, 3, 2)), np.diag([4.0, 3, 5, 1]), (3.0, 4.0, 6.0))])
    assert [panel.plane for panel in found[:3]] == ["axial", "coronal", "sagittal"]
    for panel in found:
        rows, columns = np.indices(panel.anatomy.shape)
        source = np.einsum("ij,jrc->irc", panel.to_source, np.stack([rows, columns, np.ones_like(rows)]))
        index = tuple(np.rint(source[:3]).astype(int))
        np.testing.assert_allclose(panel.anatomy, image.values[index])


@pytest.mark.parametrize("affine", [AXIAL, SAGITTAL_FEET_FIRST, np.diag([1.0, 1, 1, 1])])
def test_pages_follow_the_radiological_convention(make_image, affine):
    image = make_image(np.zeros((8, 9, 10)), affine=affine)
    found = {p.plane: p for p in panels(image, [explanation(np.ones((2, 3, 2)), np.eye(4), (3.0, 4.0, 6.0))])[:3]}
    assert found["axial"].letters == ("R", "L", "A", "P")
    assert found["coronal"].letters == ("R", "L", "H", "F")
    assert found["sagittal"].letters == ("A", "P", "H", "F")
    for panel in found.values():
        corner, right, down = (
            transform_points(affine, panel.to_source[:3] @ (r, c, 1)) for r, c in ((0, 0), (0, 5), (5, 0))
        )
        world = {"L": (0, 1), "P": (1, 1), "F": (2, -1), "H": (2, 1)}
        axis, sign = world[panel.letters[1]]
        assert (right - corner)[axis] * sign > 0
        axis, sign = world[panel.letters[3]]
        assert (down - corner)[axis] * sign > 0


def test_the_map_lies_on_the_same_pixels_as_the_anatomy(make_image):
    image = make_image(np.zeros((8, 12, 12)), affine=AXIAL)
    values = np.zeros((4, 6, 6))
    values[1, 1, 4] = 1.0
    to_source = np.array([[2.0, 0, 0, 0.5], [0, 2, 0, 0.5], [0, 0, 2, 0.5], [0, 0, 0, 1]])
    found = panels(image, [explanation(values, to_source, (2.5, 2.5, 8.5))])[0]
    row, column = np.unravel_index(int(np.argmax(found.maps["gradcam"])), found.anatomy.shape)
    assert (row, column) in {(2, 8), (2, 9), (3, 8), (3, 9)}
    assert found.peaks["gradcam"] == pytest.approx((2.5, 8.5))


def test_slice_position_is_measured_along_the_normal(make_image):
    image = make_image(np.zeros((8, 9, 10)), affine=AXIAL)
    found = {p.plane: p for p in panels(image, [explanation(np.ones((2, 3, 2)), np.eye(4), (3.0, 4.0, 6.0))])[:3]}
    assert found["axial"].position_mm == pytest.approx(5 + 2.0 * 3)
    assert found["coronal"].position_mm == pytest.approx(-20 + 0.9 * 4)
    assert found["sagittal"].position_mm == pytest.approx(-10 + 0.8 * 6)


def test_pixels_carry_their_physical_size_row_first(make_image):
    image = make_image(np.zeros((8, 9, 10)), affine=AXIAL)
    found = {p.plane: p for p in panels(image, [explanation(np.ones((2, 3, 2)), np.eye(4), None)])[:3]}
    assert found["axial"].pixel_mm == pytest.approx((0.9, 0.8))
    assert found["coronal"].pixel_mm == pytest.approx((2.0, 0.8))
    assert found["sagittal"].pixel_mm == pytest.approx((2.0, 0.9))


def test_an_oblique_image_has_compound_letters(make_image):
    turn = np.deg2rad(30)
    affine = AXIAL.copy()
    affine[:2, 2] = 0.8 * np.cos(turn), 0.8 * np.sin(turn)
    affine[:2, 1] = -0.9 * np.sin(turn), 0.9 * np.cos(turn)
    image = make_image(np.zeros((8, 9, 10)), affine=affine)
    assert panels(image, [explanation(np.ones((2, 3, 2)), np.eye(4), None)])[0].letters == ("RA", "LP", "AL", "PR")


def test_a_large_slice_is_averaged_over_whole_blocks_and_still_placed_right(make_image, monkeypatch):
    monkeypatch.setattr(views, "LONGEST_SIDE", 4)
    values = np.arange(64.0).reshape(8, 8)
    image = make_image(values, spacing_mm=(0.5, 0.5), modality="DX")
    found = panels(image, [explanation(np.ones((2, 2)), np.diag([4.0, 4, 1]), (1.0, 1.0))])[0]
    assert found.anatomy.shape == (4, 4)
    np.testing.assert_allclose(found.anatomy[1, 2], values[2:4, 4:6].mean())
    np.testing.assert_allclose(found.to_source @ (1, 2, 1), (2.5, 4.5, 1))
    assert found.pixel_mm == pytest.approx((1.0, 1.0))


def test_a_radiograph_takes_its_letters_from_patient_orientation(make_image):
    image = make_image(np.zeros((8, 8)), spacing_mm=(1.0, 1.0), metadata={"PatientOrientation": "L\\F"})
    maps = [explanation(np.ones((2, 2)), np.diag([4.0, 4, 1]), (1.0, 1.0))]
    assert panels(image, maps)[0].letters == ("R", "L", "H", "F")
    silent = make_image(np.zeros((8, 8)), spacing_mm=(1.0, 1.0))
    assert panels(silent, maps)[0].letters == ("", "", "", "")


def test_without_an_affine_slices_keep_their_stored_order_and_carry_no_letters(make_image):
    image = make_image(np.random.default_rng(0).normal(size=(4, 5, 6)), spacing_mm=(None,) * 3)
    found = panels(image, [explanation(np.ones((2, 2, 2)), np.eye(4), (1.0, 2.0, 3.0))])
    assert [panel.plane for panel in found[:3]] == ["axis 0", "axis 1", "axis 2"]
    assert all(panel.letters == ("", "", "", "") and panel.position_mm is None for panel in found)
    np.testing.assert_array_equal(found[0].anatomy, image.values[1])


def test_each_target_has_its_planes_and_only_the_first_its_slices(make_image):
    image = make_image(np.zeros((8, 9, 10)), affine=AXIAL)
    maps = [
        explanation(np.ones((2, 3, 2)), np.diag([4.0, 3, 5, 1]), (1.0, 1.0, 1.0), target=2, method=method)
        for method in ("gradcam", "hirescam")
    ] + [explanation(np.ones((2, 3, 2)), np.diag([4.0, 3, 5, 1]), (5.0, 5.0, 5.0), target=0)]
    found = panels(image, maps)
    assert [panel.target for panel in found if panel.role == "plane"] == [2, 2, 2, 0, 0, 0]
    assert {panel.target for panel in found if panel.role == "slice"} == {2}
    assert set(found[0].maps) == {"gradcam", "hirescam"}


def test_the_most_evident_slices_follow_the_mass_and_keep_their_distance():
    values = np.zeros((4, 2, 2))
    values[0], values[2], values[3] = 1.0, 5.0, -3.0
    to_source = np.array([[4.0, 0, 0, 1.5], [0, 4, 0, 1.5], [0, 0, 4, 1.5], [0, 0, 0, 1]])
    one = explanation(values, to_source, (9.5, 1.0, 1.0))
    profile = slice_mass((16, 8, 8), one)
    assert int(np.argmax(profile)) in {9, 10}
    assert profile[15] == 0
    chosen = evident_slices((16, 8, 8), one)
    assert list(chosen) == sorted(chosen)
    assert min(np.diff(chosen)) >= 2
    assert 9 in chosen or 10 in chosen


def test_a_map_without_positive_evidence_has_no_evident_slices():
    assert evident_slices((8, 8, 8), explanation(-np.ones((2, 2, 2)), np.diag([4.0, 4, 4, 1]), None)) == ()
