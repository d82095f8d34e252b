"""Stored values, units, padding, polarity and colour of single DICOM files."""

from __future__ import annotations

import struct

import imagecodecs
import numpy as np
import pytest
from dicom_bench import Bench, put_pixels
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    HTJ2K,
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from audit_pipeline.errors import CodecError, ColourError, HeaderError, LimitError, PixelDataError, RescaleError
from audit_pipeline.findings import Outcome
from audit_pipeline.load import LoadSettings, deliver, find_studies, load_study
from audit_pipeline.load.dicom_metadata import printable

RAMP = np.arange(8 * 16, dtype=np.uint16).reshape(8, 16)


def ct(stored: np.ndarray, *, bits_stored: int | None = None) -> Dataset:
    """Return one CT slice with identity rescale and `stored` pixels."""
    data = Bench(count=1).slices()[0]
    data.RescaleSlope, data.RescaleIntercept = "1", "0"
    put_pixels(data, stored, bits_stored=bits_stored)
    return data


def picture(stored: np.ndarray, modality: str = "DX", **attributes) -> Dataset:
    """Return a projection image without any geometry."""
    data = ct(stored)
    for keyword in (
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "RescaleSlope",
        "RescaleIntercept",
    ):
        delattr(data, keyword)
    data.Modality = modality
    for keyword, value in attributes.items():
        setattr(data, keyword, value)
    return data


def compressed(data: Dataset, stream: bytes, syntax: str) -> Dataset:
    data.PixelData = encapsulate([stream])
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID = syntax
    return data


def only_image(folder, **settings):
    (image,) = load_study(folder, **settings).images
    return image


def codes(image):
    return {finding.code: finding for finding in image.findings}


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian], ids=lambda uid: uid.name
)
@pytest.mark.parametrize("kind", ["i2", "u2", "u1"])
def test_native_encodings_give_the_same_values(syntax, kind, written):
    stored = (RAMP - (60 if kind == "i2" else 0)).astype(kind)
    data = ct(stored)
    data.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        data.PixelData = stored.astype(f">{kind}").tobytes()
        data["PixelData"].VR = "OW" if kind != "u1" else "OB"
    assert np.array_equal(only_image(written([data])).values, stored)


def test_unsigned_values_above_the_signed_range_stay_positive(written):
    stored = RAMP + 60_000
    assert np.array_equal(only_image(written([ct(stored)])).values, stored)


def test_rubbish_above_the_stored_bits_is_removed(written):
    data = ct(RAMP | 0xF000, bits_stored=12)
    assert np.array_equal(only_image(written([data])).values, RAMP)


def test_signed_twelve_bit_values_are_sign_extended(written):
    stored = RAMP.astype(np.int16) - 64
    data = ct((stored & 0x0FFF).astype(np.int16), bits_stored=12)
    assert np.array_equal(only_image(written([data])).values, stored)


def test_stored_bits_above_bit_zero_are_shifted_down(written):
    data = ct(RAMP << 4, bits_stored=12)
    data.HighBit = 15
    assert np.array_equal(only_image(written([data])).values, RAMP)


@pytest.mark.parametrize(
    ("syntax", "encode"),
    [
        (
            JPEG2000Lossless,
            lambda stored: imagecodecs.jpeg2k_encode(stored, codecformat="j2k", reversible=True, level=0),
        ),
        (JPEGLSLossless, imagecodecs.jpegls_encode),
    ],
    ids=["JPEG 2000", "JPEG-LS"],
)
def test_compressed_streams_deeper_than_the_stored_bits_are_masked_too(syntax, encode, written):
    data = compressed(ct(RAMP, bits_stored=12), encode(RAMP | 0xF000), syntax)
    assert np.array_equal(only_image(written([data])).values, RAMP)


def test_signed_jpeg_ls_is_sign_extended(written):
    stored = RAMP.astype(np.int16) - 64
    data = compressed(ct(stored), imagecodecs.jpegls_encode(stored.view(np.uint16)), JPEGLSLossless)
    assert np.array_equal(only_image(written([data])).values, stored)


def test_run_length_coded_slices_mix_with_native_ones(written):
    slices = Bench(count=4).slices()
    expected = only_image(written(slices)).values
    slices[2].compress(RLELossless)
    assert np.array_equal(only_image(written(slices)).values, expected)


def test_jpeg_baseline_is_read(written):
    stored = np.full((16, 16), 77, np.uint8)
    data = compressed(picture(stored), imagecodecs.jpeg8_encode(stored, level=100), JPEGBaseline8Bit)
    assert np.abs(only_image(written([data])).values - 77).max() <= 1


@pytest.mark.parametrize("syntax", [JPEGLossless, JPEGLosslessSV1], ids=lambda uid: uid.name)
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_lossless_jpeg_gives_the_same_values(syntax, bits, written):
    stored = (RAMP << (bits - 8)).astype(np.uint8 if bits == 8 else np.uint16)
    stream = imagecodecs.ljpeg_encode(stored, bitspersample=bits)
    data = compressed(ct(stored, bits_stored=bits), stream, syntax)
    assert np.array_equal(only_image(written([data])).values, stored)


def test_twelve_bit_extended_jpeg_is_read_and_flagged_as_lossy(written):
    stored = np.full((16, 16), 3000, np.uint16)
    stream = imagecodecs.jpeg8_encode(stored, level=95, bitspersample=12)
    image = only_image(written([compressed(ct(stored, bits_stored=12), stream, JPEGExtended12Bit)]))
    assert np.abs(image.values - 3000).max() <= 2
    assert codes(image)["A35"].outcome is Outcome.FLAG


@pytest.mark.parametrize("syntax", [HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K], ids=lambda uid: uid.name)
def test_high_throughput_jpeg_2000_gives_the_same_values(syntax, written):
    stored = np.random.default_rng(3).integers(0, 4096, (64, 48), dtype=np.uint16)
    data = compressed(ct(stored, bits_stored=12), imagecodecs.htj2k_encode(stored), syntax)
    assert np.array_equal(only_image(written([data])).values, stored)


def test_a_private_transfer_syntax_is_refused(written):
    folder = written([compressed(ct(RAMP), imagecodecs.jpegls_encode(RAMP), JPEGLSLossless)])
    path = next(folder.iterdir())
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.4.80", b"1.2.840.113619.5.2\0\0\0\0"))
    with pytest.raises(CodecError, match="private or retired"):
        load_study(folder)


def test_a_compressed_frame_of_another_size_is_refused_before_decoding(written):
    stream = imagecodecs.jpegls_encode(np.zeros((9, 16), np.uint16))
    with pytest.raises(PixelDataError, match="9 x 16 pixels of 1 samples, the header announces 8 x 16"):
        load_study(written([compressed(ct(RAMP), stream, JPEGLSLossless)]))


@pytest.mark.parametrize("kept", [40, 90])
def test_a_damaged_compressed_frame_is_refused(kept, written):
    noise = np.random.default_rng(0).integers(0, 60_000, (8, 16), dtype=np.uint16)
    stream = imagecodecs.jpeg2k_encode(noise, codecformat="j2k", reversible=True, level=0)
    data = compressed(ct(RAMP), stream[:kept] + b"\0" * (kept % 2), JPEG2000Lossless)
    with pytest.raises(PixelDataError):
        load_study(written([data]))


def test_a_native_syntax_around_encapsulated_pixels_is_refused(written):
    folder = written([compressed(ct(RAMP), imagecodecs.jpegls_encode(RAMP), JPEGLSLossless)])
    path = next(folder.iterdir())
    content = path.read_bytes()
    path.write_bytes(content.replace(b"1.2.840.10008.1.2.4.80", b"1.2.840.10008.1.2.1\0\0\0"))
    with pytest.raises(PixelDataError, match="encapsulated"):
        load_study(folder)


def test_a_deflated_bomb_is_refused(tmp_path):
    data = ct(RAMP)
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data.add_new(0x00091001, "OB", b"\0" * 3_000_000)
    data.save_as(tmp_path / "bomb", enforce_file_format=True)
    (source,) = find_studies([tmp_path])
    assert isinstance(deliver(source, LoadSettings(inflate_free_bytes=2**20)).error, LimitError)
    assert deliver(source).study is not None


def test_nonsense_image_formats_are_refused(written):
    data = ct(RAMP)
    data.BitsStored = 20
    with pytest.raises(HeaderError, match="makes no sense"):
        load_study(written([data]))


def test_many_trailing_bytes_are_noted(written):
    data = ct(RAMP)
    data.PixelData += b"\0" * 2000
    image = only_image(written([data]))
    assert np.array_equal(image.values, RAMP)
    assert "trailing bytes" in codes(image)["A29"].message


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, "1.2.840.10008.1.2.1"])
def test_a_file_without_preamble_and_meta_is_read_and_noted(syntax, written):
    data = ct(RAMP)
    data.file_meta.TransferSyntaxUID = syntax
    folder = written([data])
    path = next(folder.iterdir())
    content = path.read_bytes()
    (meta_bytes,) = struct.unpack_from("<I", content, 140)
    path.write_bytes(content[144 + meta_bytes :])
    image = only_image(folder)
    assert np.array_equal(image.values, RAMP)
    assert "no transfer syntax" in codes(image)["A29"].message


def test_rescale_is_applied_slice_by_slice(written):
    slices = Bench(count=4).slices()
    expected = only_image(written(slices)).values
    for number, data in enumerate(slices):
        stored = np.frombuffer(data.PixelData, np.int16).reshape(7, 9) // 2 * 2 + number
        data.PixelData = (stored - 5 * number).tobytes()
        data.RescaleIntercept = f"{10 + 0.02 * 5 * number - 0.02 * number:g}"
    image = only_image(written(slices))
    assert np.abs(image.values - expected).max() < 0.03
    assert image.metadata["RescaleIntercept"] is None
    assert image.metadata["RescaleSlope"] == 0.02


@pytest.mark.parametrize(
    ("slope", "intercept"),
    [
        ("0", "0"),
        ("1\\2", "0"),
        ("", "0"),
        ("1,5", "0"),
        ("NaN", "0"),
        ("inf", "0"),
        (None, "0"),
        ("1", None),
        ("1", ""),
    ],
)
def test_a_slope_or_intercept_without_one_meaning_is_refused(slope, intercept, written):
    data = ct(RAMP)
    del data.RescaleSlope, data.RescaleIntercept
    folder = written([data])
    path = next(folder.iterdir())
    extra = b""
    for element, value in ((0x1052, intercept), (0x1053, slope)):
        if value is not None:
            raw = value.encode() + b" " * (len(value) % 2)
            extra += struct.pack("<HH2sH", 0x0028, element, b"DS", len(raw)) + raw
    content = path.read_bytes()
    at = content.index(struct.pack("<HH", 0x7FE0, 0x0010))
    path.write_bytes(content[:at] + extra + content[at:])
    with pytest.raises(RescaleError):
        load_study(folder)


def test_ct_without_rescale_is_delivered_as_stored_values_and_flagged(written):
    data = ct(RAMP)
    del data.RescaleSlope, data.RescaleIntercept
    image = only_image(written([data]))
    assert image.unit == "stored value"
    assert codes(image)["A28"].outcome is Outcome.FLAG


def test_a_series_that_rescales_some_slices_only_is_refused(written):
    slices = Bench().slices()
    del slices[2].RescaleSlope, slices[2].RescaleIntercept
    with pytest.raises(RescaleError, match="do not share one unit"):
        load_study(written(slices))


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, "1.2.840.10008.1.2.1"])
def test_a_modality_table_wins_over_slope_and_intercept(syntax, written):
    data = ct(np.array([[0, 5, 6, 7, 8, 99]], np.uint16))
    data.file_meta.TransferSyntaxUID = syntax
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [3, 6, 16])
    item.add_new("ModalityLUTType", "LO", "HU")
    item.add_new("LUTData", "US", [100, 200, 300])
    data.ModalityLUTSequence = Sequence([item])
    image = only_image(written([data]))
    assert image.values.tolist() == [[100, 100, 100, 200, 300, 300]]
    assert image.unit == "HU"


def test_a_modality_table_shorter_than_announced_is_refused(written):
    data = ct(RAMP)
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [9, 0, 16])
    item.add_new("ModalityLUTType", "LO", "US")
    item.add_new("LUTData", "OW", b"\1\0\2\0")
    data.ModalityLUTSequence = Sequence([item])
    with pytest.raises(RescaleError):
        load_study(written([data]))


@pytest.mark.parametrize(
    ("modality", "rescale_type", "units", "unit"),
    [
        ("CT", None, None, "HU"),
        ("CT", "HU", None, "HU"),
        ("CT", "US", None, "stored value"),
        ("MR", None, None, "stored value"),
        ("MR", "HU_MOD", None, "HU_MOD"),
        ("PT", None, "BQML", "BQML"),
        ("PT", None, "JOHN DOE", "stored value"),
    ],
)
def test_units_are_those_the_file_names(modality, rescale_type, units, unit, written):
    data = ct(RAMP)
    data.Modality = modality
    if rescale_type:
        data.RescaleType = rescale_type
    if units:
        data.Units = units
    assert only_image(written([data])).unit == unit


def test_padding_is_masked_and_holds_the_lowest_valid_value(written):
    stored = RAMP.astype(np.int16) - 100
    stored[0, :4] = -2000
    data = ct(stored)
    data.add_new("PixelPaddingValue", "SS", -2000)
    image = only_image(written([data]))
    assert image.invalid[0, :4].all()
    assert image.invalid.sum() == 4
    assert (image.values[0, :4] == stored[0, 4]).all()
    assert codes(image)["A31"].value == pytest.approx(4 / stored.size)


def test_a_padding_range_is_masked(written):
    data = ct(RAMP)
    data.add_new("PixelPaddingValue", "US", 10)
    data.add_new("PixelPaddingRangeLimit", "US", 3)
    image = only_image(written([data]))
    assert np.array_equal(image.invalid, (RAMP >= 3) & (RAMP <= 10))


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, "1.2.840.10008.1.2.1"])
def test_padding_outside_the_stored_bits_is_found_in_the_raw_words(syntax, written):
    stored = RAMP.copy()
    stored[2, 2] = 63536  # -2000 as 16 bits
    data = ct(stored, bits_stored=12)
    data.file_meta.TransferSyntaxUID = syntax
    data.add_new("PixelPaddingValue", "US", 63536)
    image = only_image(written([data]))
    assert np.argwhere(image.invalid).tolist() == [[2, 2]]


@pytest.mark.parametrize(("first", "last"), [(63000, 63536), (63536, 63000)])
def test_a_padding_range_outside_the_stored_bits_is_found_too(first, last, written):
    stored = RAMP.copy()
    stored[2, 2:5] = 62999, 63000, 63536
    data = ct(stored, bits_stored=12)
    data.add_new("PixelPaddingValue", "US", first)
    data.add_new("PixelPaddingRangeLimit", "US", last)
    assert np.argwhere(only_image(written([data])).invalid).tolist() == [[2, 3], [2, 4]]


def test_negative_padding_ranges_below_the_stored_bits_are_found(written):
    stored = RAMP.astype(np.int16)
    stored[0, 0] = -3000
    data = ct(stored, bits_stored=12)
    data.add_new("PixelPaddingValue", "SS", -3000)
    data.add_new("PixelPaddingRangeLimit", "SS", -2900)
    assert np.argwhere(only_image(written([data])).invalid).tolist() == [[0, 0]]


def test_an_unreadable_padding_value_is_refused(written):
    data = ct(RAMP)
    data.add_new("PixelPaddingValue", "US", 77)
    folder = written([data])
    path = next(folder.iterdir())
    before = struct.pack("<HH2sHH", 0x0028, 0x0120, b"US", 2, 77)
    path.write_bytes(path.read_bytes().replace(before, before[:4] + b"LO\2\0xx"))
    with pytest.raises(HeaderError, match="padding"):
        load_study(folder)


def test_signed_modality_tables_start_below_zero(written):
    data = ct(np.array([[-2, -1, 0]], np.int16))
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [2, 65535, 16])
    item.add_new("ModalityLUTType", "LO", "US")
    item.add_new("LUTData", "OW", b"\7\0\10\0")
    data.ModalityLUTSequence = Sequence([item])
    image = only_image(written([data]))
    assert image.values.tolist() == [[7, 7, 8]]
    assert image.unit == "stored value"


def test_an_inverted_table_stays_within_its_own_range(written):
    data = picture(np.array([[0, 1, 2]], np.uint16), PhotometricInterpretation="MONOCHROME1")
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [3, 0, 16])
    item.add_new("ModalityLUTType", "LO", "OD")
    item.add_new("LUTData", "US", [10, 20, 50])
    data.ModalityLUTSequence = Sequence([item])
    image = only_image(written([data]))
    assert image.values.tolist() == [[50, 40, 10]]
    assert image.unit == "OD"


def test_a_series_without_decoder_is_refused_as_that_and_not_as_incomplete(written):
    slices = Bench(count=3).slices()
    for data in slices:
        stored = np.frombuffer(data.PixelData, np.int16).reshape(7, 9).view(np.uint16)
        compressed(data, imagecodecs.ljpeg_encode(stored, bitspersample=16), MPEG2MPML)
    with pytest.raises(CodecError, match="no decoder; export"):
        load_study(written(slices))


def test_a_slice_with_damaged_compressed_pixels_makes_its_series_incomplete(written):
    slices = Bench(count=3).slices()
    for data in slices:
        data.compress(RLELossless)
    slices[1].PixelData = encapsulate([b"\1" + b"\0" * 79])
    delivery = deliver(find_studies([written(slices)])[0])
    assert delivery.error.code == "IncompleteSeriesError"
    assert [refusal.code for refusal in delivery.refusals] == ["PixelDataError", "IncompleteSeriesError"]


def test_mostly_padding_is_flagged(written):
    stored = np.zeros((8, 16), np.uint16)
    stored[0] = 7
    data = ct(stored)
    data.add_new("PixelPaddingValue", "US", 0)
    image = only_image(written([data]))
    assert codes(image)["A31"].outcome is Outcome.FLAG
    assert (image.values == 7).all()


def test_monochrome1_projections_are_inverted_exactly_once(written):
    data = picture(RAMP, PhotometricInterpretation="MONOCHROME1")
    image = only_image(written([data]))
    assert np.array_equal(image.values, 65535 - RAMP.astype(np.float32))
    assert codes(image)["A25"].outcome is Outcome.NOTE
    assert image.metadata["PhotometricInterpretation"] == "MONOCHROME1"


def test_inversion_uses_the_stored_bits_and_follows_the_rescale(written):
    data = picture(RAMP, "CR", PhotometricInterpretation="MONOCHROME1", RescaleSlope="2", RescaleIntercept="-10")
    data.BitsStored, data.HighBit = 10, 9
    assert np.array_equal(only_image(written([data])).values, 2.0 * (1023 - RAMP.astype(np.float32)) - 10)


def test_monochrome1_may_be_kept_as_stored(written):
    image = only_image(written([picture(RAMP, PhotometricInterpretation="MONOCHROME1")]), polarity="stored")
    assert np.array_equal(image.values, RAMP)
    assert "A25" not in codes(image)


def test_monochrome1_of_a_calibrated_modality_is_kept(written):
    data = ct(RAMP)
    data.PhotometricInterpretation = "MONOCHROME1"
    assert np.array_equal(only_image(written([data])).values, RAMP)


@pytest.mark.parametrize(
    ("attributes", "spacing_mm"),
    [
        ({}, (None, None)),
        ({"ImagerPixelSpacing": [0.2, 0.1]}, (None, None)),
        ({"PixelSpacing": [0.3, 0.4]}, (0.3, 0.4)),
        ({"PixelSpacing": [0.2, 0.1], "ImagerPixelSpacing": [0.2, 0.1]}, (None, None)),
        ({"PixelSpacing": [0.15, 0.1], "ImagerPixelSpacing": [0.2, 0.1]}, (0.15, 0.1)),
        (
            {"PixelSpacing": [0.2, 0.1], "ImagerPixelSpacing": [0.2, 0.1], "PixelSpacingCalibrationType": "FIDUCIAL"},
            (0.2, 0.1),
        ),
        ({"PixelSpacing": [0.0, 0.0]}, (None, None)),
    ],
)
def test_projections_report_millimetres_only_when_calibrated(attributes, spacing_mm, written):
    image = only_image(written([picture(RAMP, **attributes)]))
    assert image.spacing_mm == spacing_mm
    assert image.affine is None
    if "ImagerPixelSpacing" in attributes:
        assert image.metadata["ImagerPixelSpacing"] == "0.2\\0.1"


def test_screen_captures_need_no_position_whatever_their_modality(written):
    data = picture(RAMP, "CT")
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    assert only_image(written([data])).affine is None


def test_each_projection_of_a_series_is_an_image_of_its_own(written):
    one, other = picture(RAMP), picture(RAMP[:, :10].copy())
    other.SOPInstanceUID = "2.25.7.1.99"
    assert [image.shape for image in load_study(written([one, other])).images] == [(8, 16), (8, 10)]


@pytest.mark.parametrize("planar", [0, 1])
def test_rgb_is_delivered_from_0_to_255(planar, written):
    colours = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    data = picture(
        colours[..., 0], "US", PhotometricInterpretation="RGB", SamplesPerPixel=3, PlanarConfiguration=planar
    )
    data.PixelData = (colours if planar == 0 else np.moveaxis(colours, 2, 0)).tobytes()
    image = only_image(written([data]))
    assert image.is_colour
    assert image.shape == (6, 8)
    assert np.array_equal(image.values, colours)


def test_sixteen_bit_rgb_is_scaled_to_0_to_255(written):
    colours = np.full((4, 4, 3), 65535, np.uint16)
    data = picture(colours[..., 0], "OT", PhotometricInterpretation="RGB", SamplesPerPixel=3, PlanarConfiguration=0)
    data.PixelData = colours.tobytes()
    assert (only_image(written([data])).values == 255).all()


def test_ybr_is_converted_to_rgb(written):
    # JFIF red: Y 76, Cb 85, Cr 255
    colours = np.tile(np.array([76, 85, 255], np.uint8), (4, 4, 1))
    data = picture(
        colours[..., 0], "US", PhotometricInterpretation="YBR_FULL", SamplesPerPixel=3, PlanarConfiguration=0
    )
    data.PixelData = colours.tobytes()
    assert np.abs(only_image(written([data])).values - [255, 0, 0]).max() <= 1.5


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", ExplicitVRBigEndian])
@pytest.mark.parametrize("bits", [8, 16])
def test_palette_colours_are_looked_up(syntax, bits, written):
    data = picture(np.array([[0, 1, 2, 3]], np.uint8), "US", PhotometricInterpretation="PALETTE COLOR")
    data.file_meta.TransferSyntaxUID = syntax
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    top = (1 << bits) - 1
    for colour, table in (("Red", [0, top, 0]), ("Green", [0, 0, top]), ("Blue", [top, 0, 0])):
        setattr(data, f"{colour}PaletteColorLookupTableDescriptor", [3, 1, bits])
        setattr(data, f"{colour}PaletteColorLookupTableData", np.array(table, f"{order}u2").tobytes())
    values = only_image(written([data])).values
    assert values.tolist() == [[[0, 0, 255], [0, 0, 255], [255, 0, 0], [0, 255, 0]]]


def test_colour_spaces_that_do_not_become_rgb_are_refused(written):
    colours = np.zeros((4, 4, 3), np.uint8)
    data = picture(colours[..., 0], "US", PhotometricInterpretation="HSV", SamplesPerPixel=3, PlanarConfiguration=0)
    data.PixelData = colours.tobytes()
    with pytest.raises((ColourError, PixelDataError)):
        load_study(written([data]))


def test_float_pixel_data_is_delivered_and_its_broken_values_masked(written):
    data = ct(RAMP)
    del data.PixelData, data.BitsStored, data.HighBit, data.PixelRepresentation
    values = RAMP.astype(np.float32) / 7
    values[3, 3] = np.nan
    data.BitsAllocated, data.FloatPixelData = 32, values.tobytes()
    image = only_image(written([data]))
    assert np.argwhere(image.invalid).tolist() == [[3, 3]]
    assert np.array_equal(image.values[~image.invalid], values[~image.invalid])
    assert np.isfinite(image.values).all()


def test_metadata_are_clean_scalars_without_identity(written):
    data = ct(RAMP)
    data.PatientAge, data.ContrastBolusAgent = "097Y", "Agent lot 4711"
    data.WindowCenter, data.WindowWidth = ["40", "300"], ["400", "2000"]
    data.KVP, data.StationName, data.InstitutionName = "120", "STATION", "HOSPITAL"
    metadata = only_image(written([data])).metadata
    assert metadata["PatientAge"] == 90
    assert metadata["ContrastBolusAgent"] == "yes"
    assert (metadata["WindowCenter"], metadata["WindowWidth"], metadata["KVP"]) == (40, 400, 120)
    assert (metadata["stored_min"], metadata["stored_max"]) == (0, 127)
    assert not {"StationName", "InstitutionName", "PatientID", "PatientName"} & set(metadata)
    assert all(isinstance(value, str | int | float | bool | None) for value in metadata.values())


def test_text_is_printable_and_short():
    assert printable("a\x1b\n" + "x" * 80) == "a??" + "x" * 61


def test_reading_leaves_the_state_of_pydicom_and_logging_alone(written, caplog, capsys):
    import logging

    from pydicom import config

    before = (config.settings.reading_validation_mode, logging.getLogger("pydicom").disabled)
    data = ct(RAMP)
    data.PixelData += b"\0" * 4
    load_study(written([data]))
    assert (config.settings.reading_validation_mode, logging.getLogger("pydicom").disabled) == before
    assert not caplog.records
    assert capsys.readouterr() == ("", "")
