"""NIfTI written and read back: by the loader, and by nibabel as an independent judge of places."""

from __future__ import annotations

import gzip
import io

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_pipeline import load_study
from audit_pipeline.errors import CorruptFileError
from audit_pipeline.geometry import transform_points
from audit_pipeline.load.encode_nifti import nifti_bytes

AXIAL = np.array([[0, 0, 0.8, -31.5], [0, 1.2, 0, -20.25], [2.5, 0, 0, 107.3], [0, 0, 0, 1.0]])
UNKNOWN = (None, None, None)


def rotation(degrees):
    turned = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        plane = [other for other in range(3) if other != axis]
        single = np.eye(3)
        single[np.ix_(plane, plane)] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        turned = turned @ single
    return turned


def oblique(degrees=(12, -9, 25), spacing=(2.5, 1.2, 0.8), flip=1):
    affine = np.eye(4)
    affine[:3, :3] = rotation(degrees)[:, [2, 1, 0]] * np.array(spacing) * [flip, 1, 1]
    affine[:3, 3] = -31.5, -20.25, 107.3
    return affine


def sheared():
    """A gantry tilt of 10 degrees: the slice step leans against the slice normal."""
    affine = AXIAL.copy()
    affine[1, 0] = 2.5 * np.tan(np.deg2rad(10))
    return affine


def volume(shape=(5, 6, 7)):
    return np.random.default_rng(5).normal(0, 500, shape).astype(np.float32)


def loaded(folder, content):
    path = folder / "image.nii.gz"
    path.write_bytes(content)
    return load_study(path).images[0]


def judged(content):
    """The image as nibabel reads it."""
    return nibabel.Nifti1Image.from_bytes(gzip.decompress(content))


@pytest.mark.parametrize(
    "affine", [AXIAL, oblique(), oblique(flip=-1), sheared()], ids=["axial", "oblique", "left-handed", "sheared"]
)
def test_a_volume_comes_back_with_the_same_values_at_the_same_places(tmp_path, affine):
    values = volume()
    image = loaded(tmp_path, nifti_bytes(values, affine, UNKNOWN))
    assert np.array_equal(image.values, values)
    assert np.allclose(image.affine, affine, atol=1e-4)
    assert image.spacing_mm == pytest.approx(tuple(np.linalg.norm(affine[:3, :3], axis=0)), rel=1e-6)


@given(st.tuples(*[st.floats(-180, 180)] * 3), st.tuples(*[st.floats(0.3, 6)] * 3), st.sampled_from([1, -1]))
@settings(max_examples=40, deadline=None)
def test_sform_and_qform_agree_for_every_rotation(degrees, spacing, flip):
    """Near half a turn the quaternion's first part is the root of a difference of float32: 2 sqrt(2.4e-7) rad."""
    read = judged(nifti_bytes(volume((2, 3, 4)), oblique(degrees, spacing, flip), UNKNOWN))
    assert (int(read.header["sform_code"]), int(read.header["qform_code"])) == (1, 1)
    assert np.allclose(read.get_sform(), read.get_qform(), atol=1e-3 * max(spacing))


@pytest.mark.parametrize("affine", [AXIAL, oblique(), sheared()], ids=["axial", "oblique", "sheared"])
def test_nibabel_finds_every_value_at_its_place_in_the_patient(affine):
    values = volume()
    read = judged(nifti_bytes(values, affine, UNKNOWN))
    stored = np.asarray(read.dataobj)
    for index in ((0, 0, 0), (4, 5, 6), (1, 3, 2)):
        x, y, z = transform_points(affine, index)
        ijk = transform_points(np.linalg.inv(read.affine), (-x, -y, z))
        assert np.allclose(ijk, np.rint(ijk), atol=1e-4)
        assert stored[tuple(np.rint(ijk).astype(int))] == values[index]


def test_the_last_array_axis_is_the_first_of_the_file():
    assert judged(nifti_bytes(volume(), AXIAL, UNKNOWN)).shape == (7, 6, 5)


def test_a_sheared_affine_is_kept_by_the_sform_alone():
    read = judged(nifti_bytes(volume(), sheared(), UNKNOWN))
    assert int(read.header["qform_code"]) == 0
    assert int(read.header["sform_code"]) == 1
    assert read.header.get_zooms() == pytest.approx(np.linalg.norm(sheared()[:3, [2, 1, 0]], axis=0), rel=1e-6)


@pytest.mark.parametrize("affine", [AXIAL, oblique()], ids=["axial", "oblique"])
def test_a_slice_comes_back_as_an_image_at_its_place(tmp_path, affine):
    values = volume()[0]
    # a slice has its two in-plane axes first and its normal last
    placed = affine[:, [1, 2, 0, 3]].copy()
    placed[:3, 2] /= np.linalg.norm(placed[:3, 2])
    image = loaded(tmp_path, nifti_bytes(values, placed, (None, None)))
    assert np.array_equal(image.values, values)
    assert np.allclose(image.affine, placed, atol=1e-4)
    assert image.spacing_mm == pytest.approx((1.2, 0.8), rel=1e-6)


def test_an_unknown_position_stays_unknown_and_the_spacing_known(tmp_path):
    values = volume()
    content = nifti_bytes(values, None, (2.5, 1.2, 0.8))
    read = judged(content)
    assert (int(read.header["sform_code"]), int(read.header["qform_code"])) == (0, 0)
    image = loaded(tmp_path, content)
    assert image.affine is None
    assert image.spacing_mm == pytest.approx((2.5, 1.2, 0.8))
    assert np.array_equal(image.values, values)


def test_an_unknown_spacing_is_written_as_one(tmp_path):
    image = loaded(tmp_path, nifti_bytes(volume(), None, UNKNOWN))
    assert image.spacing_mm == (1.0, 1.0, 1.0)


def test_a_slice_of_unknown_position_comes_back(tmp_path):
    values = volume()[0]
    image = loaded(tmp_path, nifti_bytes(values, None, (1.3, 1.2)))
    assert image.affine is None
    assert np.array_equal(image.values, values)
    assert image.spacing_mm == pytest.approx((1.3, 1.2))


def test_lengths_are_declared_in_millimetres():
    for affine in (AXIAL, None):
        assert judged(nifti_bytes(volume(), affine, UNKNOWN)).header.get_xyzt_units()[0] == "mm"


def test_values_are_32_bit_floats_without_scaling():
    read = judged(nifti_bytes(volume(), AXIAL, UNKNOWN))
    assert read.get_data_dtype() == np.float32
    assert (read.dataobj.slope, read.dataobj.inter) == (1, 0)


def test_the_same_numbers_give_the_same_bytes_without_a_time():
    content = nifti_bytes(volume(), oblique(), UNKNOWN)
    assert content == nifti_bytes(volume(), oblique(), UNKNOWN)
    # the four bytes of the time of a gzip member (RFC 1952, 2.3.1), and no file name
    assert content[4:8] == bytes(4)
    assert not content[3] & 0b1000


def test_the_given_arrays_are_left_alone():
    values, affine = volume(), oblique()
    before = values.copy(), affine.copy()
    nifti_bytes(values, affine, UNKNOWN)
    assert np.array_equal(values, before[0])
    assert np.array_equal(affine, before[1])


def test_a_cut_file_is_noticed(tmp_path):
    content = nifti_bytes(volume((20, 30, 40)), AXIAL, UNKNOWN)
    with pytest.raises(CorruptFileError):
        loaded(tmp_path, content[: len(content) // 2])


def test_nibabel_reads_the_stream_as_a_file():
    content = nifti_bytes(volume(), AXIAL, UNKNOWN)
    with gzip.open(io.BytesIO(content)) as stream:
        assert np.array_equal(np.asarray(nibabel.Nifti1Image.from_stream(stream).dataobj).T, volume())
