"""Series to volume: value and position must be right together, or the refusal must have the right type."""

from __future__ import annotations

import random
import shutil

import numpy as np
import pytest
from dicom_bench import SLOPE, Bench, largest_error, put_pixels, save
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit_pipeline.errors import (
    AmbiguousStackError,
    IncompleteSeriesError,
    MissingSlicesError,
    MosaicError,
    MultiFrameError,
    NoGeometryError,
    NotAStudyError,
    OrientationError,
    PatientMixError,
    SopConflictError,
    VariableSpacingError,
)
from audit_pipeline.findings import Outcome
from audit_pipeline.geometry import axis_codes
from audit_pipeline.load import LoadSettings, deliver, find_studies, load_study
from audit_pipeline.records import Disposition

ROUNDING = SLOPE / 2 + 1e-3
SIN, COS = np.sin(np.radians(25)), np.cos(np.radians(25))

PLANES = {
    "axial": ((1, 0, 0), (0, 1, 0), (0, 0, 2.5), "HPL"),
    "sagittal": ((0, 1, 0), (0, 0, -1), (-3, 0, 0), "RFP"),
    "coronal": ((1, 0, 0), (0, 0, -1), (0, 4, 0), "PFL"),
    "oblique": (
        (COS, SIN, 0),
        (-SIN * COS, COS * COS, -SIN),
        tuple(2 * np.cross((COS, SIN, 0), (-SIN * COS, COS * COS, -SIN))),
        "HPL",
    ),
}


def codes(finding_owner):
    return {finding.code: finding for finding in finding_owner.findings}


def dispositions(study):
    return [one.disposition for one in study.files]


@pytest.mark.parametrize("plane", PLANES)
def test_every_voxel_has_the_value_planted_at_its_position(plane, written):
    right, down, step, letters = PLANES[plane]
    image = load_study(written(Bench(right=right, down=down, step=step).slices())).images[0]
    assert image.shape == (6, 7, 9)
    assert largest_error(image) < ROUNDING
    assert axis_codes(image.affine) == letters
    assert image.spacing_mm == pytest.approx((np.linalg.norm(step), 1.5, 0.75))
    assert (image.unit, image.modality, image.format) == ("HU", "CT", "dicom")


def test_slices_are_ordered_along_the_normal_whatever_names_and_numbers_say(written):
    slices = Bench(step=(0, 0, -2.5)).slices()
    names = [f"x{number}" for number in range(6)]
    random.Random(3).shuffle(names)
    for number, data in enumerate(slices):
        data.InstanceNumber = 100 - number
    image = load_study(written(slices, names)).images[0]
    assert image.affine[2, 0] == pytest.approx(2.5)
    assert largest_error(image) < ROUNDING


def test_instance_number_is_not_needed(written):
    slices = Bench().slices()
    for data in slices:
        del data.InstanceNumber
    assert largest_error(load_study(written(slices)).images[0]) < ROUNDING


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.tuples(*[st.floats(-3, 3)] * 3), st.floats(0.5, 7), st.booleans(), st.integers(2, 5))
def test_any_rotation_keeps_values_at_their_positions(tmp_path, angles, step_mm, descending, count):
    rotation = np.eye(3)
    for axis, angle in enumerate(angles):
        one, other = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[[one, one, other, other], [one, other, one, other]] = (
            np.cos(angle),
            -np.sin(angle),
            np.sin(angle),
            np.cos(angle),
        )
        rotation = turn @ rotation
    normal = np.cross(rotation[0], rotation[1]) * (-1 if descending else 1)
    bench = Bench(right=rotation[0], down=rotation[1], step=normal * step_mm, count=count, rows=4, columns=3)
    folder = tmp_path / "study"
    shutil.rmtree(folder, ignore_errors=True)
    save(folder, bench.slices())
    image = load_study(folder).images[0]
    assert largest_error(image) < ROUNDING
    assert image.affine[:3, 0] @ np.cross(image.affine[:3, 2], image.affine[:3, 1]) > 0
    assert image.stack.tilt_degrees < 0.01


def test_thickness_and_spacing_between_slices_are_not_used_for_geometry(written):
    slices = Bench().slices()
    for data in slices:
        data.SliceThickness, data.SpacingBetweenSlices = "9", "-4"
    image = load_study(written(slices)).images[0]
    assert image.spacing_mm[0] == pytest.approx(2.5)
    assert image.metadata["SliceThickness"] == 9
    assert image.metadata["SpacingBetweenSlices"] == -4


def test_positions_rounded_in_the_header_are_fitted_by_a_line(written):
    bench = Bench(step=(0, 0, 7.0), count=12)
    slices = bench.slices()
    for data, error in zip(slices, np.random.default_rng(0).uniform(-0.07, 0.07, 12), strict=True):
        data.ImagePositionPatient[2] = round(float(data.ImagePositionPatient[2]) + error, 1)
    image = load_study(written(slices)).images[0]
    assert image.spacing_mm[0] == pytest.approx(7.0, abs=0.02)
    assert 0.01 < image.stack.residual_mm < 0.15
    assert largest_error(image) < 2 * 0.1


def test_a_missing_slice_is_refused_with_its_place(written):
    slices = Bench().slices()
    del slices[2]
    with pytest.raises(MissingSlicesError, match="1 slice is missing after slice 2 of 5: gaps of up to 5 mm"):
        load_study(written(slices))


@pytest.mark.parametrize("lost", [1, 6])
def test_one_slice_missing_near_an_end_of_a_stack_is_seen(lost, written):
    slices = Bench(count=8).slices()
    del slices[lost]
    with pytest.raises(MissingSlicesError):
        load_study(written(slices))


def test_a_missing_slice_may_be_filled_as_invalid(written):
    slices = Bench().slices()
    del slices[2]
    image = load_study(written(slices), gaps="fill").images[0]
    assert image.shape == (6, 7, 9)
    assert image.invalid[2].all()
    assert not np.delete(image.invalid, 2, axis=0).any()
    assert largest_error(image) < ROUNDING
    assert np.isfinite(image.values).all()
    assert image.stack.largest_gap_ratio == pytest.approx(2)
    assert codes(image)["A31"].value == pytest.approx(1 / 6)


def test_a_stack_of_mostly_missing_slices_is_refused_even_when_gaps_are_filled(written):
    slices = Bench(count=20).slices()
    with pytest.raises(MissingSlicesError):
        load_study(written([slices[0], slices[1], slices[2], slices[19]]), gaps="fill")


def test_variable_spacing_is_refused(written):
    bench = Bench()
    slices = [bench.slice_at(np.array([0, 0, z]), number) for number, z in enumerate((0, 1, 2, 3.5, 5, 6.5))]
    with pytest.raises(VariableSpacingError, match=r"gaps from 1 to 1\.5 mm"):
        load_study(written(slices))


def test_two_images_at_one_position_that_nothing_tells_apart_are_refused(written):
    bench = Bench()
    slices = [*bench.slices(), bench.slice_at(np.asarray(bench.origin), 50)]
    with pytest.raises(AmbiguousStackError, match="up to 2 different images"):
        load_study(written(slices))


@pytest.mark.parametrize(
    ("keyword", "values"),
    [
        ("EchoTime", ("10", "80")),
        ("EchoNumbers", ("1", "2")),
        ("TemporalPositionIdentifier", ("1", "2")),
        ("AcquisitionNumber", ("1", "2")),
        ("ConvolutionKernel", ("B30f", "B70f")),
        ("ContentTime", ("101010", "111111")),
        ("DiffusionBValue", (0.0, 1000.0)),
    ],
)
def test_interleaved_images_become_one_volume_per_value_of_the_telling_attribute(keyword, values, written):
    slices = []
    for number, value in enumerate(values):
        for data in Bench(origin=(-20.0, -15.0, 7.0)).slices():
            data.SOPInstanceUID += f".{number}"
            data.InstanceNumber = len(slices)
            setattr(data, keyword, value)
            slices.append(data)
    study = load_study(written(slices))
    assert [image.shape for image in study.images] == [(6, 7, 9)] * 2
    assert [image.metadata["Stack"] for image in study.images] == [f"{keyword} 1 of 2", f"{keyword} 2 of 2"]
    assert all(largest_error(image) < ROUNDING for image in study.images)


def test_two_attributes_together_tell_four_stacks_apart(written):
    slices = []
    for echo in "12":
        for time in "12":
            for data in Bench(count=3).slices():
                data.SOPInstanceUID += f".{len(slices)}"
                data.EchoNumbers, data.TemporalPositionIdentifier = echo, time
                slices.append(data)
    labels = {image.metadata["Stack"] for image in load_study(written(slices)).images}
    assert labels == {f"EchoNumbers {e} of 2, TemporalPositionIdentifier {t} of 2" for e in (1, 2) for t in (1, 2)}


def test_the_same_object_twice_is_used_once(written):
    slices = Bench().slices()
    folder = written(slices)
    save(folder, [slices[3]], ["copy"])
    study = load_study(folder)
    assert study.images[0].shape == (6, 7, 9)
    assert sorted(dispositions(study)) == ["duplicate", *["used"] * 6]


def test_a_copy_with_trailing_padding_is_still_a_duplicate(written):
    slices = Bench().slices()
    folder = written(slices)
    original = next(folder.iterdir())
    (folder / "copy").write_bytes(original.read_bytes() + bytes.fromhex("fcfffcff") + b"OB\0\0\x02\0\0\0\0\0")
    assert Disposition.DUPLICATE in dispositions(load_study(folder))


def test_different_objects_under_one_uid_are_refused(written):
    slices = Bench().slices()
    slices[3].SOPInstanceUID = slices[2].SOPInstanceUID
    with pytest.raises(SopConflictError):
        load_study(written(slices))


@pytest.mark.parametrize(
    ("keyword", "value"), [("PatientID", "BENCH-2"), ("PatientBirthDate", "19600101"), ("IssuerOfPatientID", "B")]
)
def test_two_patients_in_one_series_are_refused(keyword, value, written):
    slices = Bench().slices()
    for data in slices[3:]:
        setattr(data, keyword, value)
    with pytest.raises(PatientMixError) as caught:
        load_study(written(slices))
    assert len(caught.value.files) == 6
    assert "BENCH" not in str(caught.value)


def test_two_studies_in_one_series_meet_in_one_source_and_are_refused(written):
    slices = Bench().slices()
    for data in slices[3:]:
        data.StudyInstanceUID = "2.25.8"
    folder = written(slices)
    assert len(find_studies([folder])) == 1
    with pytest.raises(PatientMixError):
        load_study(folder)


def test_two_patients_in_two_series_of_one_study_are_refused(written):
    other = Bench(series_uid="2.25.7.2").slices()
    for data in other:
        data.PatientID = "BENCH-2"
    with pytest.raises(PatientMixError, match="more than one patient ID"):
        load_study(written([*Bench().slices(), *other]))


def test_a_localizer_inside_the_series_is_split_off(written):
    bench = Bench()
    scout = Bench(right=(0, 1, 0), down=(0, 0, -1)).slice_at(np.zeros(3), 77)
    study = load_study(written([*bench.slices(), scout]))
    assert [image.shape for image in study.images] == [(6, 7, 9)]
    assert sorted(dispositions(study)) == ["other-orientation", *["used"] * 6]
    assert codes(study.images[0])["A30"].value == 1


def test_slices_of_another_matrix_are_their_own_group_and_noted(written):
    odd = Bench(rows=5).slice_at(np.array([-20.0, -15.0, 22.0]), 60)
    study = load_study(written([*Bench().slices(), odd]))
    assert [image.shape for image in study.images] == [(6, 7, 9), (5, 9)]
    assert codes(study.images[0])["A30"].value == 1


def test_a_slice_with_another_pixel_spacing_inside_the_stack_leaves_a_gap_that_is_refused(written):
    slices = Bench().slices()
    slices[2].PixelSpacing = [1.5, 0.8]
    delivery = deliver(find_studies([written(slices)])[0])
    assert delivery.study is None
    assert [refusal.code for refusal in delivery.refusals] == ["MissingSlicesError", "IncompleteSeriesError"]


def test_two_frames_of_reference_become_two_volumes(written):
    slices = Bench(count=8).slices()
    for data in slices[4:]:
        data.FrameOfReferenceUID = "2.25.100"
    assert [image.shape for image in load_study(written(slices)).images] == [(4, 7, 9)] * 2


def test_two_series_become_two_images_largest_first(written):
    small = Bench(series_uid="2.25.7.2", count=3).slices()
    names = [f"{number}" for number in range(9)]
    study = load_study(written([*small, *Bench().slices()], names))
    assert [image.shape[0] for image in study.images] == [6, 3]


def test_gantry_tilt_is_delivered_sheared_with_right_positions(written):
    angle = np.radians(15)
    step = 3.0 * np.array([0.0, np.sin(angle), np.cos(angle)])
    image = load_study(written(Bench(step=step).slices())).images[0]
    assert largest_error(image) < ROUNDING
    assert codes(image)["A26"].outcome is Outcome.FLAG
    assert codes(image)["A26"].value == pytest.approx(15, abs=0.01)
    assert image.stack.tilt_degrees == pytest.approx(15, abs=0.01)


def test_slices_that_step_sideways_are_refused(written):
    with pytest.raises(OrientationError, match="sideways"):
        load_study(written(Bench(step=(0.0, 5.0, 1.0)).slices()))


def test_orientation_jitter_below_a_thousandth_is_averaged_and_noted(written):
    slices = Bench().slices()
    for number, data in enumerate(slices):
        data.ImageOrientationPatient = [1, 1e-4 * (-1) ** number, 0, 0, 1, 0]
    image = load_study(written(slices)).images[0]
    assert largest_error(image) < 0.02
    assert codes(image)["A27"].outcome is Outcome.NOTE
    assert np.allclose(np.linalg.norm(image.affine[:3, :3], axis=0), image.spacing_mm)


@pytest.mark.parametrize("cosines", [[0, 0, 0, 0, 0, 0], [1, 0, 0, 0.1, 1, 0], [1.01, 0, 0, 0, 1, 0]])
def test_cosines_that_are_no_rotation_are_refused(cosines, written):
    slices = Bench().slices()
    slices[3].ImageOrientationPatient = cosines
    with pytest.raises(OrientationError):
        load_study(written(slices))


def test_a_slice_without_orientation_is_refused(written):
    slices = Bench().slices()
    del slices[1].ImageOrientationPatient
    with pytest.raises(OrientationError, match="1 of 6 slices"):
        load_study(written(slices))


@pytest.mark.parametrize("lacking", [range(6), [4]])
def test_a_slice_without_position_is_refused(lacking, written):
    slices = Bench().slices()
    for number in lacking:
        del slices[number].ImagePositionPatient
    with pytest.raises(NoGeometryError, match=f"{len(lacking)} of 6 slices"):
        load_study(written(slices))


@pytest.mark.parametrize("spacing", [None, [0, 1], [-1.0, 1.0]])
def test_a_series_without_pixel_spacing_is_refused(spacing, written):
    slices = Bench().slices()
    for data in slices:
        del data.PixelSpacing
        if spacing:
            data.PixelSpacing = spacing
    with pytest.raises(NoGeometryError):
        load_study(written(slices))


def test_a_truncated_file_makes_its_series_incomplete(written):
    folder = written(Bench().slices())
    victim = folder / "003"
    victim.write_bytes(victim.read_bytes()[:-40])
    (source,) = find_studies([folder])
    delivery = deliver(source)
    assert isinstance(delivery.error, IncompleteSeriesError)
    assert [refusal.code for refusal in delivery.refusals] == ["PixelDataError", "IncompleteSeriesError"]
    assert "126 bytes expected, 86 found" in delivery.refusals[0].message
    assert len(delivery.files) == 6


@pytest.mark.parametrize("kept", [300, *range(500, 700, 20)])
def test_a_file_cut_inside_its_header_makes_its_series_incomplete(kept, written):
    folder = written(Bench().slices())
    victim = folder / "003"
    victim.write_bytes(victim.read_bytes()[:kept])
    (source,) = [one for one in find_studies([folder]) if one.kind == "dicom"]
    delivery = deliver(source)
    assert isinstance(delivery.error, IncompleteSeriesError)
    assert len(delivery.files) == 6
    found = sorted(one.disposition for one in delivery.files)
    assert found in ([*["refused"] * 5, "unreadable"], ["refused"] * 6)


def test_a_slice_without_pixel_data_makes_its_series_incomplete(written):
    slices = Bench().slices()
    del slices[2].PixelData
    with pytest.raises(IncompleteSeriesError):
        load_study(written(slices))


def test_more_damaged_files_than_sound_ones_are_no_study(written):
    folder = written(Bench().slices())
    for name in ("001", "002", "003", "004"):
        (folder / name).write_bytes((folder / name).read_bytes()[:500])
    with pytest.raises(NotAStudyError, match="4 of 6 files"):
        load_study(folder)


def test_other_files_beside_the_slices_are_listed_and_harm_nothing(written):
    folder = written(Bench().slices())
    (folder / "notes.txt").write_text("hello")
    (folder / ".DS_Store").write_bytes(b"")
    (folder / "junk").write_bytes(bytes(range(256)) * 9)
    study = load_study(folder)
    assert sorted(dispositions(study)) == [*["non-image"] * 3, *["used"] * 6]


def test_multi_frame_objects_are_refused(written):
    data = Bench().slices()[0]
    data.NumberOfFrames = 2
    put_pixels(data, np.zeros((2, 4), np.int16))
    data.PixelData *= 2
    with pytest.raises(MultiFrameError, match="2 frames"):
        load_study(written([data]))


def test_a_multi_frame_object_of_one_frame_is_a_single_image(written):
    data = Bench().slices()[0]
    data.NumberOfFrames = 1
    assert load_study(written([data])).images[0].shape == (7, 9)


def test_mosaics_are_refused(written):
    slices = Bench().slices()
    for data in slices:
        data.ImageType = ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]
    folder = written(slices)
    with pytest.raises(MosaicError) as caught:
        load_study(folder)
    assert len(caught.value.files) == 6
    (refusal,) = deliver(find_studies([folder])[0]).refusals
    assert len(refusal.files) == 6


def test_one_slice_is_an_image_with_a_unit_normal(written):
    image = load_study(written(Bench(count=1).slices())).images[0]
    assert image.shape == (7, 9)
    assert image.spacing_mm == (1.5, 0.75)
    assert largest_error(image) < ROUNDING
    assert image.affine[:3, 2] == pytest.approx([0, 0, 1])
    assert image.stack is None


@pytest.mark.parametrize(
    ("limits", "match"),
    [
        ({"voxels": 300}, "6 x 7 x 9 voxels"),
        ({"frame_pixels": 60}, "7 x 9 pixels"),
        ({"series_files": 5}, "6 files"),
        ({"inflate_bytes": 100}, "bytes of pixels"),
        ({"file_bytes": 500}, "damaged|bytes"),
        ({"elements": 3}, "damaged|elements"),
    ],
)
def test_limits_hold_before_memory_is_asked_for(limits, match, written):
    (source,) = find_studies([written(Bench().slices())])
    delivery = deliver(source, LoadSettings(**limits))
    assert any(refusal.code == "LimitError" for refusal in delivery.refusals)
    assert delivery.study is None


def test_a_header_that_announces_a_huge_picture_is_refused_without_allocating_it(written):
    data = Bench().slices()[0]
    data.Rows = data.Columns = 65535
    (source,) = find_studies([written([data])])
    assert deliver(source).error.code in {"PixelDataError", "LimitError"}


def test_decimal_strings_longer_than_the_standard_allows_are_read(written):
    folder = written(Bench().slices())
    for path in folder.iterdir():
        content = path.read_bytes()
        at = content.index(b"-20.0\\-15.0\\")
        length = int.from_bytes(content[at - 2 : at], "little")
        old = content[at : at + length]
        parts = [f"{float(one):.20f}" for one in old.decode().strip().split("\\")]
        new = "\\".join(parts).encode()
        new += b" " * (len(new) % 2)
        path.write_bytes(content[: at - 2] + len(new).to_bytes(2, "little") + new + content[at + length :])
    image = load_study(folder).images[0]
    assert largest_error(image) < ROUNDING


def test_sources_are_in_slice_order_and_metadata_hold_no_identity(written):
    import hashlib

    folder = written(Bench().slices())
    image = load_study(folder).images[0]
    expected = [hashlib.sha256((folder / f"{6 - k:03d}").read_bytes()).hexdigest() for k in range(6)]
    assert list(image.sources) == expected
    assert "BENCH" not in repr(image.metadata)
    assert not any(value == 19500101 for value in image.metadata.values())


def test_a_damaged_second_series_does_not_hide_the_first(written):
    broken = Bench(series_uid="2.25.7.2").slices()
    del broken[2]
    study = load_study(written([*Bench().slices(), *broken], [f"{number}" for number in range(11)]))
    assert len(study.images) == 1
    assert [refusal.code for refusal in study.refusals] == ["MissingSlicesError"]
    assert len(study.files) == 11
    assert codes(study)["A30"].value == 5


def test_a_series_with_a_damaged_file_says_how_many_are(written):
    folder = written(Bench().slices())
    files = sorted(folder.iterdir())
    for file in files[2:4]:
        file.write_bytes(file.read_bytes()[:700])
    with pytest.raises(IncompleteSeriesError, match=f"2 of {len(files)} files of the series are damaged"):
        load_study(folder)
