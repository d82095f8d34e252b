"""From stored to real values: rescale, bits, signs, tables, padding, units, uptake (rows 42 to 56)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from dicom_bench import Bench, plant, planted, put_pixels, raw, save
from dicom_cases_register import Truth, case, truth_of
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import MRImageStorage, PositronEmissionTomographyImageStorage

_ONE = Bench(count=1)


def each(write: Callable[[Dataset], Any], **changes: Any) -> Callable[[Path], Truth]:
    """Return a case that changes every slice of the bench in the same way."""

    def change(folder: Path) -> Truth:
        slices = Bench().slices()
        for data in slices:
            write(data)
        save(folder, slices)
        return Truth(**changes)

    return change


def pet(data: Dataset, **attributes: Any) -> None:
    """Make a slice of activity in Bq/ml of it, with all that the body-weight uptake needs."""
    data.SOPClassUID, data.Modality = PositronEmissionTomographyImageStorage, "PT"
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.Units, data.DecayCorrection, data.CorrectedImage = "BQML", "START", ["ATTN", "DECY"]
    data.SeriesDate, data.SeriesTime, data.AcquisitionDate, data.AcquisitionTime = ("20200101", "110000") * 2
    data.PatientWeight = "70"
    dose = Dataset()
    dose.RadionuclideTotalDose, dose.RadionuclideHalfLife = "350000000", "6586.2"
    dose.RadiopharmaceuticalStartTime = "100000"
    data.RadiopharmaceuticalInformationSequence = Sequence([dose])
    for keyword, value in attributes.items():
        setattr(data, keyword, value)


@case("another rescale in every slice of a CT", 42)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for number, data in enumerate(slices):
        plant(data, slope=0.01 + 0.002 * number, intercept=-3.0 * number)
    save(folder, slices)
    return Truth(unit="HU")


@case("another slope in every slice of a PET", 42)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for number, data in enumerate(slices):
        plant(data, slope=0.0173 - 0.0015 * number, intercept=0.0, dtype="u2")
        pet(data)
    save(folder, slices)
    return Truth(unit="BQML")


case("12 of 16 bits with rubbish in the unused ones", 43)(
    each(lambda data: put_pixels(data, plant(data, dtype="u2") | 0xF000, bits_stored=12))
)


@case("10 of 16 bits that end at bit 11, with rubbish on both sides")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        stored = plant(data, dtype="u2", slope=0.1)
        assert stored.max() < 1024
        put_pixels(data, (stored << 2) | 0xF003, bits_stored=10)
        data.HighBit = 11
    save(folder, slices)
    return Truth(tolerance=0.051)


def _signed_12(data: Dataset) -> None:
    stored = plant(data, intercept=30.0)
    put_pixels(data, (stored & 0x0FFF).astype("i2"), bits_stored=12)


case("signed 12 of 16 bits without sign extension", 45)(each(_signed_12))


def _signed_12_high(data: Dataset) -> None:
    stored = plant(data, intercept=30.0)
    put_pixels(data, (stored << 4).astype("i2") | 0x7, bits_stored=12)
    data.HighBit = 15


case("signed 12 bits in the upper part of 16, with rubbish below")(each(_signed_12_high))
case("unsigned values above 32767", 46)(each(lambda data: plant(data, dtype="u2", slope=0.001, intercept=0.0)))
case("8-bit CT")(each(lambda data: plant(data, dtype="u1", slope=0.2, intercept=10.0), tolerance=0.101))
case("signed 8-bit CT")(each(lambda data: plant(data, dtype="i1", slope=0.25, intercept=35.0), tolerance=0.126))
case("32-bit signed pixels")(each(lambda data: plant(data, dtype="i4", slope=0.00001, intercept=0.0)))
case("32-bit unsigned pixels above two thousand million")(
    each(lambda data: plant(data, dtype="u4", slope=2e-8, intercept=-20.0), tolerance=0.001)
)
case("20 of 32 bits with rubbish above")(
    each(
        lambda data: put_pixels(
            data, plant(data, dtype="u4", slope=0.0001, intercept=10.0) | np.uint32(0xFFF00000), bits_stored=20
        )
    )
)
case("a negative slope")(each(lambda data: plant(data, slope=-0.01, intercept=40.0)))
case("a slope with an exponent")(
    each(lambda data: (plant(data, slope=0.002, intercept=10.0), raw(data, "RescaleSlope", b"+2.0E-03", "DS")))
)
case("a slope of 30 characters", 32)(
    each(lambda data: raw(data, "RescaleSlope", b"0.0200000000000000004163336342344", "DS"))
)


def _without(*keywords: str) -> Callable[[Dataset], None]:
    def drop(data: Dataset) -> None:
        for keyword in keywords:
            delattr(data, keyword)

    return drop


case("RescaleSlope only", refused="RescaleError", answerable=False, objective=False)(each(_without("RescaleIntercept")))
case("RescaleIntercept only", refused="RescaleError", answerable=False, objective=False)(each(_without("RescaleSlope")))


@case("a CT without slope and intercept", flagged="A28", objective=False)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        plant(data, slope=1.0, intercept=0.0)
        del data.RescaleSlope, data.RescaleIntercept
    save(folder, slices)
    return Truth(tolerance=0.51, unit="stored value")


@case(
    "a CT of which some slices have no slope and intercept", refused="RescaleError", answerable=False, objective=False
)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    del slices[2].RescaleSlope, slices[2].RescaleIntercept
    save(folder, slices)
    return Truth(shapes=None)


case("RescaleType of a CT says US, unspecified", right=True, flagged="A28", objective=False)(
    each(lambda data: setattr(data, "RescaleType", "US"), unit="stored value")
)


@case("a modality table instead of slope and intercept", 48, objective=False)
def _(folder: Path) -> Truth:
    return _with_table(folder)


@case("a modality table beside a slope, where the table wins", 48, objective=False)
def _(folder: Path) -> Truth:
    return _with_table(folder, RescaleSlope="3", RescaleIntercept="-1024")


def _with_table(folder: Path, **beside: str) -> Truth:
    """Write slices whose table holds whole values of the field, and entries out of order."""
    slices = Bench().slices()
    for data in slices:
        whole = np.rint(planted(data)).astype(int)
        order = np.random.default_rng(8).permutation(128)
        stored = np.argsort(order)[whole]
        put_pixels(data, (stored + 1000).astype("u2"))
        item = Dataset()
        item.add_new(0x00283002, "US", [128, 1000, 16])
        item.ModalityLUTType = "HU"
        item.add_new(0x00283006, "OW", order.astype("<u2").tobytes())
        data.ModalityLUTSequence = Sequence([item])
        del data.RescaleSlope, data.RescaleIntercept
        for keyword, value in beside.items():
            setattr(data, keyword, value)
    save(folder, slices)
    return Truth(tolerance=0.51)


case("a slope of zero", 49, refused="RescaleError", answerable=False)(
    each(lambda data: setattr(data, "RescaleSlope", "0"), shapes=None)
)
for _text, _name in (
    (b"1\\2", "of two numbers"),
    (b"", "that is empty"),
    (b"1,5", "with a decimal comma"),
    (b"NaN", "that is not a number"),
    (b"inf", "that is infinite"),
    (b"1e400", "beyond all floating point numbers"),
    (b"0x10", "in hexadecimal"),
):
    case(f"a slope {_name}", 50, refused="RescaleError HeaderError", answerable=False)(
        each(lambda data, text=_text: raw(data, "RescaleSlope", text, "DS"), shapes=None)
    )
case("a slope of zero in one slice only", refused="RescaleError", answerable=False)(
    lambda folder: _slope_in_one(folder, "0")
)


def _slope_in_one(folder: Path, slope: str) -> Truth:
    slices = Bench().slices()
    slices[4].RescaleSlope = slope
    save(folder, slices)
    return Truth(shapes=None)


def _windows(data: Dataset) -> None:
    data.WindowCenter, data.WindowWidth = [40, 600, -400], [80, 2000, 1500]
    data.WindowCenterWidthExplanation = ["BRAIN", "BONE", "LUNG"]


case("several display windows, none of which changes the values", 51)(each(_windows, unit="HU"))


def _voi_table(data: Dataset) -> None:
    item = Dataset()
    item.add_new(0x00283002, "US", [4, 0, 16])
    item.add_new(0x00283006, "US", [0, 100, 1000, 4000])
    data.VOILUTSequence = Sequence([item])


case("a display table that does not change the values")(each(_voi_table))


def _padded(data: Dataset, value: int = -2000) -> np.ndarray:
    stored = plant(data)
    stored[0, :] = value
    put_pixels(data, stored)
    return stored


@case("a padding value in the first row", 52, right=True, flagged="A31", objective=False)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        _padded(data)
        data.PixelPaddingValue = -2000
        data["PixelPaddingValue"].VR = "SS"
    save(folder, slices)
    return Truth(invalid=1 / 7 + 1e-6)


@case("a padding range", 52, right=True, flagged="A31", objective=False)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for number, data in enumerate(slices):
        _padded(data, -2000 + number * 7)
        data.PixelPaddingValue, data.PixelPaddingRangeLimit = -2000, -1960
        data["PixelPaddingValue"].VR = data["PixelPaddingRangeLimit"].VR = "SS"
    save(folder, slices)
    return Truth(invalid=1 / 7 + 1e-6)


@case(
    "a padding value in signed data that the header writes as unsigned, 63536",
    52,
    right=True,
    flagged="A31",
    objective=False,
)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        _padded(data)
        data.PixelPaddingValue = 63536
        data["PixelPaddingValue"].VR = "US"
    save(folder, slices)
    return Truth(invalid=1 / 7 + 1e-6)


@case("a padding value that no pixel has")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        data.PixelPaddingValue = -32768
        data["PixelPaddingValue"].VR = "SS"
    save(folder, slices)
    return Truth()


@case("a padding value of 63 and an overlay in the unused bits", right=True, flagged="A31", objective=False)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        stored = plant(data, dtype="u2")
        stored[0] = 63
        overlay = (np.indices(stored.shape).sum(0) % 2).astype("u2") << 15
        put_pixels(data, stored | overlay, bits_stored=12)
        data.PixelPaddingValue = 63
        data["PixelPaddingValue"].VR = "US"
    save(folder, slices)
    return Truth(invalid=1 / 7 + 1e-6)


def _float(data: Dataset, keyword: str, kind: str) -> None:
    values = planted(data).astype(kind)
    del data.PixelData, data.BitsStored, data.HighBit, data.PixelRepresentation
    data.RescaleSlope, data.RescaleIntercept = "1", "0"
    data.BitsAllocated = values.dtype.itemsize * 8
    setattr(data, keyword, values.tobytes())


case("Float Pixel Data", 53)(each(lambda data: _float(data, "FloatPixelData", "<f4"), tolerance=1e-4))
case("Double Float Pixel Data", 53)(each(lambda data: _float(data, "DoubleFloatPixelData", "<f8"), tolerance=1e-4))


@case("Float Pixel Data with NaN and infinity", 53, right=True, flagged="A31", objective=False)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        values = planted(data).astype("<f4")
        values[2, 3], values[4, 4] = np.nan, np.inf
        _float(data, "FloatPixelData", "<f4")
        data.FloatPixelData = values.tobytes()
    save(folder, slices)
    return Truth(invalid=2 / 63 + 1e-6, tolerance=1e-4)


def _monochrome1(data: Dataset) -> None:
    data.PhotometricInterpretation = "MONOCHROME1"


case("a CT in MONOCHROME1, whose units do not turn around", 47, right=True, flagged="A25", objective=False)(
    each(_monochrome1, unit="HU")
)


@case(
    "a series of which half is MONOCHROME1",
    refused="MissingSlicesError VariableSpacingError RescaleError ColourError",
    right=True,
    flagged="A30 A25",
    objective=False,
)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices[::2]:
        _monochrome1(data)
    save(folder, slices)
    return Truth(shapes=None, offsets=(0.0, 0.0))


@case("a single slice of which the last bit is the sign")
def _(folder: Path) -> Truth:
    data = _ONE.slices()[0]
    stored = plant(data, intercept=30.0)
    put_pixels(data, (stored & 0x7FF).astype("i2"), bits_stored=11)
    save(folder, [data])
    return truth_of(_ONE, shapes=((7, 9),))


case("PET counts keep their unit")(
    each(lambda data: (plant(data, dtype="u2", slope=0.02, intercept=0.0), pet(data, Units="CNTS")), unit="CNTS")
)


# 350 MBq, 70 kg, one hour after injection: g/ml per Bq/ml (body weight in g over the activity left)
_UPTAKE = 70_000 / (350e6 * 0.5 ** (3600 / 6586.2))


def _activity(data: Dataset, **attributes: Any) -> None:
    """Plant the field divided by the uptake factor, so that the uptake is the field."""
    values = planted(data) / _UPTAKE
    slope = values.max() / 60_000
    put_pixels(data, np.rint(values / slope).astype("u2"))
    data.RescaleSlope, data.RescaleIntercept = f"{slope:.12g}", "0"
    pet(data, **attributes)


case("PET turned into uptake by body weight on request", objective=False, suv="body_weight")(
    each(_activity, tolerance=0.002)
)
for _sentence, _change in {
    "no weight": {"PatientWeight": None},
    "a weight of zero": {"PatientWeight": "0"},
    "counts": {"Units": "CNTS"},
    "no dose": {"RadiopharmaceuticalInformationSequence": Sequence()},
    "an unknown decay correction": {"DecayCorrection": "NONE"},
}.items():
    case(f"uptake asked for and {_sentence}", refused="SuvError", answerable=False, objective=False, suv="body_weight")(
        each(lambda data, change=_change: _activity(data, **change), shapes=None)
    )


def _no_half_life(data: Dataset) -> None:
    _activity(data)
    del data.RadiopharmaceuticalInformationSequence[0].RadionuclideHalfLife


case("uptake asked for and no half life", refused="SuvError", answerable=False, objective=False, suv="body_weight")(
    each(_no_half_life, shapes=None)
)


def _injection_corrected(data: Dataset) -> None:
    factor = 70_000 / 350e6
    values = planted(data) / factor
    slope = values.max() / 60_000
    put_pixels(data, np.rint(values / slope).astype("u2"))
    data.RescaleSlope, data.RescaleIntercept = f"{slope:.12g}", "0"
    pet(data, DecayCorrection="ADMIN")


case("PET decay-corrected to the injection, turned into uptake", objective=False, suv="body_weight")(
    each(_injection_corrected, tolerance=0.002)
)


@case("an MR with real world values beside a rescale", objective=False)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        data.SOPClassUID, data.Modality = MRImageStorage, "MR"
        item = Dataset()
        item.RealWorldValueFirstValueMapped, item.RealWorldValueLastValueMapped = 0, 4000
        item["RealWorldValueFirstValueMapped"].VR = item["RealWorldValueLastValueMapped"].VR = "US"
        item.RealWorldValueIntercept, item.RealWorldValueSlope = -7.0, 3.0
        data.RealWorldValueMappingSequence = Sequence([item])
    save(folder, slices)
    return Truth()


@case("BitsStored differs between slices, 12 and 16")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for number, data in enumerate(slices):
        plant(data, dtype="u2", bits_stored=12 if number % 2 else 16)
    save(folder, slices)
    return Truth()


@case(
    "signed and unsigned slices in one series",
    right=True,
    flagged="A30",
    refused="MissingSlicesError VariableSpacingError RescaleError",
)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for number, data in enumerate(slices):
        plant(data, dtype="u2" if number % 2 else "i2")
    save(folder, slices)
    return Truth(shapes=None, offsets=(0.0, 0.0))


@case("BitsStored larger than BitsAllocated", refused="HeaderError PixelDataError NotAStudyError", answerable=False)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        data.BitsStored, data.HighBit = 20, 19
    save(folder, slices)
    return Truth(shapes=None)


@case(
    "HighBit below BitsStored - 1",
    refused="HeaderError PixelDataError NotAStudyError",
    answerable=False,
    right=True,
    flagged="A29",
)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        plant(data, dtype="u2", bits_stored=12)
        data.HighBit = 7
    save(folder, slices)
    return Truth(shapes=None)


@case(
    "12 bits packed without gaps, BitsAllocated 12",
    refused="HeaderError PixelDataError CodecError NotAStudyError",
    answerable=False,
)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        stored = plant(data, dtype="u2", bits_stored=12)
        bits = np.unpackbits(stored.astype(">u2").view("u1").reshape(-1, 2), axis=1)[:, 4:]
        data.BitsAllocated = 12
        packed = np.packbits(bits).tobytes()
        data.PixelData = packed + b"\0" * (len(packed) % 2)
    save(folder, slices)
    return Truth(shapes=None)


@case("a large negative intercept")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        plant(data, dtype="u2", slope=0.05, intercept=-1024.0)
    save(folder, slices)
    return Truth(tolerance=0.026, unit="HU")
