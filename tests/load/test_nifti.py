"""NIfTI files: value and position together, and a typed refusal for every header that leaves one of them open."""

from __future__ import annotations

import gzip
import hashlib
import runpy
import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit_pipeline.errors import (
    AffineConflictError,
    CorruptFileError,
    LimitError,
    NiftiHeaderError,
    RescaleError,
    SeriesChoiceError,
)
from audit_pipeline.findings import Outcome
from audit_pipeline.geometry import lps_to_ras, transform_points
from audit_pipeline.load import LoadSettings, deliver, find_studies, load_study
from audit_pipeline.load.encode_nifti import nifti_bytes

AFFINE = np.array([[2.0, 0.1, 0.0, -10.0], [-0.1, 1.5, 0.2, 20.0], [0.0, -0.2, 3.0, 5.0], [0.0, 0.0, 0.0, 1.0]])
RIGID = np.array([[0.0, -2.0, 0.0, 10.0], [1.5, 0.0, 0.0, -20.0], [0.0, 0.0, 3.0, 5.0], [0.0, 0.0, 0.0, 1.0]])
SHAPE = (4, 5, 6)
PLAIN = nibabel.Nifti1Image
SPEED = Path(__file__).parents[1] / "bench" / "nifti_speed.py"
OFFSETS = {"dim": 40, "datatype": 70, "pixdim": 76, "vox_offset": 108, "scl_slope": 112, "scl_inter": 116}
OFFSETS |= {"xyzt_units": 123, "qform_code": 252, "sform_code": 254, "quatern_b": 256, "srow_x": 280, "magic": 344}


def planted(affine_ras: np.ndarray, shape=SHAPE) -> np.ndarray:
    """Return an (i, j, k) array whose values are x + 10 y + 100 z of their RAS+ position."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return (transform_points(affine_ras, index) @ [1, 10, 100]).astype(np.float32)


def write(path: Path, data: np.ndarray, affine=AFFINE, *, sform=1, qform=0, kind=PLAIN, unit="mm", **fields) -> Path:
    image = kind(data, None)
    image.header.set_xyzt_units(unit)
    image.set_sform(affine, code=sform)
    if qform:
        image.set_qform(affine, code=qform)
    for name, value in fields.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


def patched(path: Path, **fields: tuple[str, object]) -> Path:
    """Overwrite header fields of an uncompressed NIfTI-1 file with packed values."""
    content = bytearray(path.read_bytes())
    for name, (kind, value) in fields.items():
        values = value if isinstance(value, tuple) else (value,)
        struct.pack_into("<" + kind, content, OFFSETS[name], *values)
    path.write_bytes(bytes(content))
    return path


def assert_planted(image):
    index = np.stack(np.meshgrid(*map(np.arange, image.shape), indexing="ij"), axis=-1)
    ras = transform_points(image.affine, index) * [-1, -1, 1]
    assert np.allclose(image.values, ras @ [1, 10, 100], atol=1e-3)


def codes(image):
    return {finding.code: finding for finding in image.findings}


@pytest.fixture
def plain(tmp_path):
    return write(tmp_path / "a.nii", planted(AFFINE))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.img"])
@pytest.mark.parametrize("version", [1, 2])
def test_every_container_gives_value_and_position(name, version, tmp_path):
    single = nibabel.Nifti1Image if version == 1 else nibabel.Nifti2Image
    pair = nibabel.Nifti1Pair if version == 1 else nibabel.Nifti2Pair
    path = write(tmp_path / name, planted(RIGID), RIGID, qform=1, kind=pair if name == "a.img" else single)
    image = load_study(path).images[0]
    assert image.shape == (6, 5, 4)
    assert image.values.flags.c_contiguous
    assert_planted(image)
    assert image.spacing_mm == pytest.approx(np.linalg.norm(RIGID[:3, [2, 1, 0]], axis=0))
    assert (image.format, image.modality, image.unit) == ("nifti", "", "stored value")
    assert image.metadata["dim"] == "4x5x6"
    assert not codes(image)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.img"])
def test_the_sources_are_the_digests_of_the_files_in_their_order(name, tmp_path):
    write(tmp_path / name, planted(RIGID), RIGID, qform=1, kind=nibabel.Nifti1Pair if ".img" in name else PLAIN)
    (source,) = find_studies([tmp_path])
    image = deliver(source).study.images[0]
    assert image.sources == tuple(hashlib.sha256(file.read_bytes()).hexdigest() for file in source.files)


@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", ">i2", ">f4"])
def test_every_real_data_type_is_read_in_both_byte_orders(kind, tmp_path):
    data = np.arange(120).reshape(SHAPE).astype(np.dtype(kind).newbyteorder("="))
    header = nibabel.Nifti1Header(endianness=">" if kind[0] == ">" else "<")
    header.set_data_dtype(data.dtype)
    image = nibabel.Nifti1Image(data, AFFINE, header, dtype=data.dtype)
    nibabel.save(image, tmp_path / "a.nii")
    assert np.array_equal(load_study(tmp_path / "a.nii").images[0].values, data.T)


def test_qform_alone_gives_position(tmp_path):
    image = load_study(write(tmp_path / "a.nii", planted(RIGID), RIGID, sform=0, qform=1)).images[0]
    assert image.metadata["affine_source"] == "qform"
    assert_planted(image)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.tuples(*[st.floats(-1, 1)] * 4), st.tuples(*[st.floats(0.2, 5)] * 3), st.sampled_from([-1, 1]))
def test_qform_gives_back_any_rotation_and_handedness(tmp_path, quaternion, sizes, handed):
    if np.linalg.norm(quaternion) < 0.1:
        return
    rotation = nibabel.quaternions.quat2mat(quaternion)
    affine = np.eye(4)
    affine[:3, :3] = rotation * [sizes[0], sizes[1], sizes[2] * handed]
    write(tmp_path / "a.nii", planted(affine), affine, sform=0, qform=1)
    image = load_study(tmp_path / "a.nii").images[0]
    # near a half turn the three stored 32 bit parts leave the angle open by up to 1e-3
    assert np.allclose(lps_to_ras(image.affine[:, [2, 1, 0, 3]]), affine, atol=1e-3 * max(sizes))


def test_agreeing_transforms_use_sform(tmp_path):
    image = load_study(write(tmp_path / "a.nii", planted(RIGID), RIGID, sform=1, qform=1)).images[0]
    assert image.metadata["affine_source"] == "sform"


def test_conflicting_transforms_are_refused_unless_one_is_preferred(tmp_path):
    path = write(tmp_path / "a.nii", planted(RIGID), RIGID, sform=1, qform=1)
    patched(path, srow_x=("4f", (0.0, -2.0, 0.0, 60.0)))
    with pytest.raises(AffineConflictError, match=r"up to 33\.3 voxels apart"):
        load_study(path)
    assert_planted(load_study(path, prefer_affine="qform").images[0])
    assert load_study(path, prefer_affine="sform").images[0].affine[0, 3] == -60


def test_neither_transform_leaves_the_position_unknown_and_flags_it(tmp_path):
    path = write(tmp_path / "a.nii", planted(AFFINE))
    patched(path, sform_code=("h", 0), qform_code=("h", 0), pixdim=("8f", (1, 2, 3, 4, 0, 0, 0, 0)))
    image = load_study(path).images[0]
    assert image.affine is None
    assert image.spacing_mm == (4, 3, 2)
    assert codes(image)["A28"].outcome is Outcome.FLAG


@pytest.mark.parametrize(("unit", "factor"), [("meter", 1000), ("micron", 0.001), ("unknown", 1)])
def test_units_are_converted_to_millimetres_and_flagged(unit, factor, tmp_path):
    image = load_study(write(tmp_path / "a.nii", planted(AFFINE), unit=unit)).images[0]
    assert image.spacing_mm == pytest.approx(factor * np.linalg.norm(AFFINE[:3, [2, 1, 0]], axis=0))
    assert codes(image)["A28"].outcome is Outcome.FLAG


@pytest.mark.parametrize(
    ("slope", "intercept", "expected"), [(2, 5, (2, 5)), (0, 5, (1, 0)), (np.nan, 5, (1, 0)), (-1, 0, (-1, 0))]
)
def test_slope_and_intercept(slope, intercept, expected, plain):
    patched(plain, scl_slope=("f", slope), scl_inter=("f", intercept))
    image = load_study(plain).images[0]
    assert np.allclose(image.values, expected[0] * planted(AFFINE).T + expected[1], rtol=1e-5)


@pytest.mark.parametrize(("slope", "intercept"), [(2, np.nan), (2, np.inf), (np.inf, 0)])
def test_a_slope_without_a_finite_intercept_is_refused(slope, intercept, plain):
    patched(plain, scl_slope=("f", slope), scl_inter=("f", intercept))
    with pytest.raises(RescaleError):
        load_study(plain)


@pytest.mark.parametrize(
    "fields",
    [
        {"magic": ("4s", b"abcd")},
        {"magic": ("4s", b"ni1\0")},
        {"vox_offset": ("f", 0.0)},
        {"vox_offset": ("f", 352.5)},
        {"vox_offset": ("f", np.nan)},
        {"dim": ("8h", (3, -4, 5, 6, 1, 1, 1, 1))},
        {"dim": ("8h", (0, 4, 5, 6, 1, 1, 1, 1))},
        {"dim": ("8h", (8, 4, 5, 6, 1, 1, 1, 1))},
        {"datatype": ("h", 32)},
        {"datatype": ("h", 1)},
        {"datatype": ("h", 2304)},
        {"xyzt_units": ("B", 7)},
        {"srow_x": ("4f", (np.nan, 0, 0, 0))},
        {"srow_x": ("4f", (0, 0, 0, 0))},
        {"sform_code": ("h", 0), "qform_code": ("h", 1), "pixdim": ("8f", (1, 0, 1, 1, 0, 0, 0, 0))},
        {"sform_code": ("h", 0), "qform_code": ("h", 1), "quatern_b": ("3f", (1, 1, 1))},
    ],
    ids="-".join,
)
def test_headers_that_leave_place_or_value_open_are_refused(fields, plain):
    with pytest.raises(NiftiHeaderError):
        load_study(patched(plain, **fields))


def test_absurd_sizes_are_refused_before_allocation(plain):
    with pytest.raises(LimitError, match="35181150961663 voxels"):
        load_study(patched(plain, dim=("8h", (3, 32767, 32767, 32767, 1, 1, 1, 1))))


def test_a_truncated_file_is_refused(plain):
    plain.write_bytes(plain.read_bytes()[:-3])
    with pytest.raises(CorruptFileError, match="832 bytes expected by its header, 829 found"):
        load_study(plain)


@pytest.mark.parametrize("kept", [-1, -9, -60])
def test_a_truncated_gzip_file_is_refused(kept, tmp_path):
    path = write(tmp_path / "a.nii.gz", planted(AFFINE))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CorruptFileError):
        load_study(path)


def test_a_wrong_checksum_is_refused(tmp_path):
    path = write(tmp_path / "a.nii.gz", planted(AFFINE))
    content = bytearray(path.read_bytes())
    content[-6] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(CorruptFileError, match="checksum"):
        load_study(path)


def test_one_flipped_bit_in_a_gzip_file_is_refused(tmp_path):
    path = write(tmp_path / "a.nii.gz", planted(AFFINE))
    raw = gzip.decompress(path.read_bytes())
    stored = bytearray(gzip.compress(raw, compresslevel=0))
    stored[600] ^= 0x10
    path.write_bytes(bytes(stored))
    with pytest.raises(CorruptFileError):
        load_study(path)


def test_gzip_members_and_padding_behind_them_are_read(tmp_path):
    path = write(tmp_path / "a.nii", planted(AFFINE))
    raw = path.read_bytes()
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(raw[:500]) + gzip.compress(raw[500:]) + b"\0" * 600)
    assert_planted(load_study(tmp_path / "b.nii.gz").images[0])


@pytest.mark.parametrize("trailing", [0, 3_000_000])
def test_a_gzip_bomb_is_refused(trailing, tmp_path):
    data = np.zeros((100, 100, 300 if not trailing else 2), np.uint8)
    path = write(tmp_path / "a.nii", data)
    zipped = tmp_path / "b.nii.gz"
    zipped.write_bytes(gzip.compress(path.read_bytes() + b"\0" * trailing))
    (source,) = find_studies([zipped])
    assert isinstance(deliver(source, LoadSettings(inflate_free_bytes=2**20)).error, LimitError)
    assert deliver(source).study is not None


def test_a_plain_file_named_gz_is_read_by_its_content(tmp_path):
    path = write(tmp_path / "a.nii", planted(AFFINE))
    assert_planted(load_study(path.rename(tmp_path / "a.nii.gz")).images[0])


def test_four_dimensions_need_a_volume(tmp_path):
    data = np.stack([planted(AFFINE), 7 + planted(AFFINE)], axis=-1)
    path = write(tmp_path / "a.nii.gz", data)
    with pytest.raises(SeriesChoiceError, match="2 volumes"):
        load_study(path)
    with pytest.raises(SeriesChoiceError, match="volume 2 does not exist"):
        load_study(path, volume=2)
    assert_planted(load_study(path, volume=0).images[0])
    image = load_study(path, volume=1).images[0]
    assert np.allclose(image.values - 7, planted(AFFINE).T, atol=1e-3)
    assert image.metadata["volume"] == 1


def test_volumes_are_counted_over_all_trailing_dimensions_in_storage_order(tmp_path):
    data = np.random.default_rng(0).normal(size=(3, 4, 5, 2, 3)).astype(np.float32)
    path = write(tmp_path / "a.nii.gz", data)
    with pytest.raises(SeriesChoiceError, match=r"6 volumes .*2 x 3"):
        load_study(path)
    image = load_study(path, volume=3).images[0]
    assert np.array_equal(image.values, data[..., 1, 1].T)
    assert image.metadata["dim"] == "3x4x5x2x3"


@pytest.mark.parametrize("part", ["real", "imaginary", "magnitude", "phase"])
@pytest.mark.parametrize("kind", ["c8", "c16"])
def test_a_part_of_complex_voxels_is_what_numpy_says(part, kind, tmp_path):
    random = np.random.default_rng(0)
    data = (random.normal(size=SHAPE) + 1j * random.normal(size=SHAPE)).astype(kind)
    path = write(tmp_path / "a.nii", data)
    with pytest.raises(NiftiHeaderError, match="set part to"):
        load_study(path)
    oracle = {"real": np.real, "imaginary": np.imag, "magnitude": np.abs, "phase": np.angle}[part]
    image = load_study(path, part=part).images[0]
    assert np.allclose(image.values, oracle(data).T, atol=1e-6)
    assert image.unit == ("rad" if part == "phase" else "stored value")
    assert image.metadata["part"] == part


def test_a_large_volume_is_the_same_as_nibabel_reads_it(tmp_path):
    data = np.random.default_rng(0).integers(-(2**15), 2**15, (61, 67, 71), dtype=np.int16)
    path = write(tmp_path / "a.nii.gz", data, scl_slope=np.nan)
    assert np.array_equal(load_study(path).images[0].values, data.T)


def test_the_lowest_valid_value_of_all_blocks_stands_at_invalid_places(tmp_path):
    data = np.random.default_rng(0).normal(size=(70, 71, 72)).astype(np.float32)
    data[3, 3, 3], data[60, 3, 70], data[5, 6, 40] = np.nan, np.inf, -77.0
    image = load_study(write(tmp_path / "a.nii.gz", data)).images[0]
    assert np.argwhere(image.invalid).tolist() == [[3, 3, 3], [70, 3, 60]]
    assert image.values[3, 3, 3] == image.values[70, 3, 60] == -77.0


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_peak_memory_stays_below_a_third_above_the_result(name, tmp_path):
    peak_factor = runpy.run_path(str(SPEED))["peak_factor"]
    small = write(tmp_path / f"small-{name}", np.zeros((4, 4, 4), np.int16))
    data = np.random.default_rng(0).integers(0, 900, (192, 192, 192), dtype=np.int16)
    assert peak_factor(write(tmp_path / name, data, scl_slope=np.nan), small) < 1.3


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 1, 1)])
def test_one_slice_is_an_image(shape, tmp_path):
    data = planted(AFFINE, (4, 5, 1)).reshape(shape)
    image = load_study(write(tmp_path / "a.nii", data)).images[0]
    assert image.shape == (5, 4)
    assert image.spacing_mm == pytest.approx(np.linalg.norm(AFFINE[:3, [1, 0]], axis=0))
    index = np.stack([*np.meshgrid(np.arange(5), np.arange(4), indexing="ij"), np.zeros((5, 4))], axis=-1)
    ras = transform_points(image.affine, index) * [-1, -1, 1]
    assert np.allclose(image.values, ras @ [1, 10, 100], atol=1e-3)
    assert np.linalg.norm(image.affine[:3, 2]) == pytest.approx(1)
    assert image.affine[:3, 2] @ image.affine[:3, :2] == pytest.approx([0, 0])
    assert image.affine[2, 2] > 0


def test_rgb_is_colour(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)
    data = colours.view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0]
    image = load_study(write(tmp_path / "a.nii", data)).images[0]
    assert image.is_colour
    assert np.array_equal(image.values, colours.transpose(2, 1, 0, 3))


def test_voxels_that_are_not_finite_are_masked(tmp_path):
    data = planted(AFFINE)
    data[1, 2, 3], data[0, 0, 0] = np.nan, np.inf
    image = load_study(write(tmp_path / "a.nii", data)).images[0]
    assert np.argwhere(image.invalid).tolist() == [[0, 0, 0], [3, 2, 1]]
    assert np.isfinite(image.values).all()
    assert image.values[3, 2, 1] == image.values[~image.invalid].min()
    assert codes(image)["A31"].value == pytest.approx(2 / 120)


def test_a_file_of_nothing_finite_is_all_masked(tmp_path):
    image = load_study(write(tmp_path / "a.nii", np.full(SHAPE, np.nan, np.float32))).images[0]
    assert image.invalid.all()
    assert not image.values.any()


def test_a_header_without_its_image_file_is_refused(tmp_path):
    write(tmp_path / "a.img", planted(AFFINE), kind=nibabel.Nifti1Pair)
    (tmp_path / "a.img").unlink()
    with pytest.raises(NiftiHeaderError, match="not beside it"):
        load_study(tmp_path)


def test_a_compressed_pair_is_read(tmp_path):
    write(tmp_path / "a.img.gz", planted(AFFINE), kind=nibabel.Nifti1Pair)
    (source,) = find_studies([tmp_path])
    assert [path.name for path in source.files] == ["a.hdr.gz", "a.img.gz"]
    assert_planted(load_study(tmp_path).images[0])


def test_analyze_files_have_no_known_orientation(tmp_path):
    nibabel.save(nibabel.AnalyzeImage(planted(AFFINE), AFFINE), tmp_path / "a.img")
    with pytest.raises(NiftiHeaderError, match="Analyze"):
        load_study(tmp_path)


def test_junk_named_nii_is_refused_as_nifti(tmp_path):
    (tmp_path / "a.nii").write_bytes(b"no image at all" * 40)
    with pytest.raises(NiftiHeaderError, match="348 or 540"):
        load_study(tmp_path)


def test_what_the_product_writes_it_reads_back(tmp_path):
    values = np.random.default_rng(0).normal(size=(6, 5, 4)).astype(np.float32)
    affine = np.array([[0, 0, 2.0, 1], [0, 1.5, 0, 2], [3.0, 0, 0, 3], [0, 0, 0, 1]])
    (tmp_path / "a.nii.gz").write_bytes(nifti_bytes(values, affine, (3.0, 1.5, 2.0)))
    image = load_study(tmp_path / "a.nii.gz").images[0]
    assert np.array_equal(image.values, values)
    assert np.allclose(image.affine, affine)
