"""DICOM written and read back: by pydicom for what the file says, by the loader for what it means."""

from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    MRImageStorage,
)

from audit_pipeline import load_study
from audit_pipeline.geometry import axis_codes, transform_points
from audit_pipeline.load.encode_dicom import Identity, ct_files, dx_file, uid

IDENTITY = Identity(seed="round trip", patient_id="PHANTOM-7", patient_name="PHANTOM^SEVEN")
AXIAL = np.array([[0, 0, 0.8, -31.5], [0, 1.2, 0, -20.25], [2.5, 0, 0, 107.3], [0, 0, 0, 1.0]])


def turned(spacing=(2.5, 1.2, 0.8), origin=(-31.5, -20.25, 107.3), degrees=(12, -9, 25)):
    """An oblique affine: axial axes turned about all three, slice axis still the normal of the slices."""
    rotation = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        plane = [other for other in range(3) if other != axis]
        single = np.eye(3)
        single[np.ix_(plane, plane)] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        rotation = rotation @ single
    affine = np.eye(4)
    affine[:3, :3] = rotation[:, [2, 1, 0]] * np.array(spacing)
    affine[:3, 3] = origin
    return affine


def volume(shape=(5, 6, 7), seed=1):
    return np.random.default_rng(seed).integers(-1024, 3072, shape).astype(np.float32)


def radiograph(shape=(20, 30), seed=2):
    return np.random.default_rng(seed).integers(0, 4096, shape).astype(np.float32)


def read(content):
    return pydicom.dcmread(io.BytesIO(content))


def write(folder, files):
    """Write the files so that the order of names is the reverse of the order of slices."""
    folder.mkdir()
    for number, content in enumerate(files):
        (folder / f"{len(files) - number:03d}").write_bytes(content)
    return folder


def loaded(folder, files, **settings):
    study = load_study(write(folder / "study", files), **settings)
    assert len(study.images) == 1
    return study.images[0]


@pytest.mark.parametrize("affine", [AXIAL, turned()], ids=["axial", "oblique"])
def test_a_volume_comes_back_with_the_same_values_at_the_same_places(tmp_path, affine):
    values = volume()
    image = loaded(tmp_path, ct_files(values, affine, IDENTITY))
    assert image.modality == "CT"
    assert image.unit == "HU"
    assert np.array_equal(image.values, values)
    assert np.allclose(image.affine, affine, atol=1e-6)
    assert image.spacing_mm == pytest.approx((2.5, 1.2, 0.8))


def test_slices_given_from_head_to_feet_come_back_at_the_same_places(tmp_path):
    values, affine = volume(), AXIAL.copy()
    affine[2, 0] = -2.5
    image = loaded(tmp_path, ct_files(values, affine, IDENTITY))
    given = np.stack(np.meshgrid(*map(np.arange, values.shape), indexing="ij"), axis=-1)
    places = transform_points(np.linalg.inv(image.affine), transform_points(affine, given))
    found = image.values[tuple(np.rint(places).astype(int).transpose(3, 0, 1, 2))]
    assert np.abs(places - np.rint(places)).max() < 1e-6
    assert np.array_equal(found, values)


@pytest.mark.parametrize("degrees", [(90, 0, 0), (0, 90, 0)], ids=["coronal", "sagittal"])
def test_other_planes_keep_their_directions(tmp_path, degrees):
    affine = turned(degrees=degrees)
    image = loaded(tmp_path, ct_files(volume(), affine, IDENTITY))
    assert axis_codes(image.affine) == axis_codes(affine)
    assert np.allclose(image.affine, affine, atol=1e-6)


def test_fractions_of_a_hu_are_rounded(tmp_path):
    values = volume() + np.float32(0.3)
    image = loaded(tmp_path, ct_files(values.clip(-1024, 3071), AXIAL, IDENTITY))
    assert np.abs(image.values - values.clip(-1024, 3071)).max() <= 0.5


def test_values_beyond_twelve_bits_stop_at_their_ends(tmp_path):
    values = volume()
    values[0, 0, :2] = -3000, 9000
    image = loaded(tmp_path, ct_files(values, AXIAL, IDENTITY))
    assert image.values[0, 0, :2].tolist() == [-1024, 3071]


def test_a_reader_of_headers_alone_finds_the_geometry_of_the_standard():
    files = [read(content) for content in ct_files(volume(), turned(), IDENTITY)]
    affine = turned()
    for index, data in enumerate(files):
        assert np.allclose(data.ImagePositionPatient, affine[:3, 3] + index * affine[:3, 0], atol=1e-6)
        row, column = np.array(data.ImageOrientationPatient).reshape(2, 3)
        assert np.allclose(row * data.PixelSpacing[1], affine[:3, 2], atol=1e-6)
        assert np.allclose(column * data.PixelSpacing[0], affine[:3, 1], atol=1e-6)
        assert data.SliceThickness == pytest.approx(2.5)
        assert data.InstanceNumber == index + 1


def test_ct_pixels_are_hu_after_the_rescale_of_the_header():
    values = volume()
    data = read(ct_files(values, AXIAL, IDENTITY)[3])
    assert (data.RescaleSlope, data.RescaleIntercept, data.RescaleType) == (1, -1024, "HU")
    assert (data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation) == (16, 12, 11, 0)
    assert np.array_equal(data.pixel_array.astype(np.float32) - 1024, values[3])


def test_every_file_has_the_class_of_its_kind():
    kinds = [
        (ct_files(volume(), AXIAL, IDENTITY)[0], CTImageStorage, "CT"),
        (ct_files(volume(), AXIAL, IDENTITY, modality="MR")[0], MRImageStorage, "MR"),
        (dx_file(radiograph(), (1.3, 1.3), IDENTITY), DigitalXRayImageStorageForPresentation, "DX"),
    ]
    for content, storage, modality in kinds:
        data = read(content)
        assert data.SOPClassUID == data.file_meta.MediaStorageSOPClassUID == storage
        assert data.SOPInstanceUID == data.file_meta.MediaStorageSOPInstanceUID
        assert data.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        assert data.Modality == modality
        assert data.BodyPartExamined == "CHEST"


def test_an_mr_series_has_no_rescale_and_stored_values(tmp_path):
    values = volume()
    files = ct_files(values, AXIAL, IDENTITY, modality="MR")
    assert not {"RescaleSlope", "RescaleIntercept", "RescaleType", "KVP"} & set(read(files[0]).dir())
    image = loaded(tmp_path, files)
    assert image.modality == "MR"
    assert image.unit != "HU"
    assert np.array_equal(image.values, values + 1024)


def test_the_identity_stands_where_the_standard_has_it():
    identity = Identity(seed="s", patient_id="ID-1", patient_name="A^B", birth_date="19500101")
    for content in (*ct_files(volume(), AXIAL, identity), dx_file(radiograph(), (1, 1), identity)):
        data = read(content)
        assert (data.PatientID, data.PatientName, data.PatientBirthDate) == ("ID-1", "A^B", "19500101")


def test_no_file_holds_a_date_or_time():
    for content in (ct_files(volume(), AXIAL, IDENTITY)[0], dx_file(radiograph(), (1, 1), IDENTITY)):
        dated = [element for element in read(content).iterall() if element.VR in {"DA", "TM", "DT"}]
        assert dated
        assert all(element.is_empty for element in dated)


def test_the_slices_of_a_series_share_it_and_differ_in_instance():
    files = [read(content) for content in ct_files(volume(), AXIAL, IDENTITY)]
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        assert len({data[keyword].value for data in files}) == 1
    assert len({data.SOPInstanceUID for data in files}) == len(files)


def test_unique_identifiers_differ_between_seeds_and_levels():
    ids = []
    for seed in ("one", "two"):
        data = read(ct_files(volume(), AXIAL, Identity(seed=seed, patient_id="P", patient_name="P"))[0])
        ids += [data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID, data.SOPInstanceUID]
    assert len(set(ids)) == 8
    assert all(one.is_valid and one.startswith("2.25.") and len(one) <= 64 for one in ids)


@given(st.text(max_size=30), st.integers())
def test_a_unique_identifier_is_valid_and_depends_on_its_parts_only(text, number):
    assert uid(text, number) == uid(text, number)
    assert pydicom.uid.UID(uid(text, number)).is_valid


def test_the_same_numbers_give_the_same_bytes():
    assert ct_files(volume(), turned(), IDENTITY) == ct_files(volume(), turned(), IDENTITY)
    assert dx_file(radiograph(), (1.3, 1.2), IDENTITY) == dx_file(radiograph(), (1.3, 1.2), IDENTITY)


def test_the_preamble_is_empty():
    for content in (ct_files(volume(), AXIAL, IDENTITY)[0], dx_file(radiograph(), (1, 1), IDENTITY)):
        assert content[:128] == bytes(128)
        assert content[128:132] == b"DICM"


def test_a_radiograph_comes_back_as_stored_and_with_its_spacing(tmp_path):
    values = radiograph()
    image = loaded(tmp_path, [dx_file(values, (1.3, 1.2), IDENTITY)])
    assert image.modality == "DX"
    assert image.spacing_mm == pytest.approx((1.3, 1.2))
    assert image.affine is None
    assert np.array_equal(image.values, values)


def test_a_radiograph_declared_inverse_is_inverted_once_for_display(tmp_path):
    values = radiograph()
    image = loaded(tmp_path, [dx_file(values, (1.3, 1.2), IDENTITY, photometric="MONOCHROME1")])
    assert np.array_equal(image.values, 4095 - values)


def test_a_radiograph_declared_inverse_can_be_read_as_stored(tmp_path):
    values = radiograph()
    content = dx_file(values, (1.3, 1.2), IDENTITY, photometric="MONOCHROME1")
    assert np.array_equal(loaded(tmp_path, [content], polarity="stored").values, values)


@pytest.mark.parametrize(("photometric", "shape"), [("MONOCHROME1", "INVERSE"), ("MONOCHROME2", "IDENTITY")])
def test_the_presentation_agrees_with_the_photometric_interpretation(photometric, shape):
    # PS3.3, C.8.11.3.1.2 and table C.8-71: INVERSE with MONOCHROME1, IDENTITY with MONOCHROME2
    data = read(dx_file(radiograph(), (1, 1), IDENTITY, photometric=photometric))
    assert (data.PhotometricInterpretation, data.PresentationLUTShape) == (photometric, shape)


def test_a_radiograph_says_which_way_it_lies_and_how_it_was_taken(tmp_path):
    content = dx_file(radiograph(), (1.3, 1.2), IDENTITY, view_position="AP")
    data = read(content)
    # rows run to the patient's left, columns to the feet (PS3.3, C.7.6.1.1.1)
    assert list(data.PatientOrientation) == ["L", "F"]
    assert data.ViewPosition == "AP"
    assert list(data.PixelSpacing) == [1.3, 1.2]
    assert list(data.ImagerPixelSpacing) == pytest.approx([1.43, 1.32])
    assert data.PixelSpacingCalibrationType == "GEOMETRY"
    assert loaded(tmp_path, [content]).metadata["ViewPosition"] == "AP"


@given(st.floats(min_value=-2000, max_value=2000))
def test_positions_are_decimal_strings_of_the_standard_and_keep_their_value(x_mm):
    affine = AXIAL.copy()
    affine[0, 3] = x_mm
    data = read(ct_files(np.zeros((1, 2, 2), dtype=np.float32), affine, IDENTITY)[0])
    assert float(data.ImagePositionPatient[0]) == pytest.approx(x_mm, rel=1e-9, abs=1e-12)
    assert len(str(data.ImagePositionPatient[0])) <= 16
