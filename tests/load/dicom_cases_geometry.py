"""Where the slices lie: spacing, gaps, jitter, tilt, orientation, single slices (rows 4 to 11, 18 to 32)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from dicom_bench import Bench, plant, raw, save
from dicom_cases_register import ROUNDING, Truth, case, truth_of, write_bench
from pydicom.dataset import Dataset


def turned(*degrees: float) -> np.ndarray:
    """Return the rotation by angles about x, y and z, one after the other."""
    rotation = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        one, other = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[one, one] = turn[other, other] = np.cos(angle)
        turn[one, other], turn[other, one] = -np.sin(angle), np.sin(angle)
        rotation = turn @ rotation
    return rotation


def oblique(*degrees: float, step_mm: float = 2.5, **changes: Any) -> Bench:
    """Return a bench whose slices are turned by angles about the three axes."""
    right, down, normal = turned(*degrees).T
    return Bench(right=right, down=down, step=normal * step_mm, **changes)


def at(heights_mm: Sequence[float], bench: Bench | None = None) -> list[Dataset]:
    """Return slices at heights along z, whose values belong there."""
    chosen = bench or Bench()
    x, y, z = chosen.origin
    return [chosen.slice_at(np.array([x, y, z + height]), number) for number, height in enumerate(heights_mm)]


def shifted(slices: Sequence[Dataset], errors_mm: Sequence[float], decimals: int = 6) -> list[Dataset]:
    """Return slices whose position in the header is off the true one, as rounding makes it."""
    for data, error in zip(slices, errors_mm, strict=True):
        x, y, z = (float(one) for one in data.ImagePositionPatient)
        data.ImagePositionPatient = [x, y, round(z + error, decimals)]
    return list(slices)


@case("one slice is missing in the middle", 4, refused="MissingSlicesError")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    del slices[3]
    save(folder, slices)
    return Truth(shapes=None)


@case("the last but one slice is missing", 4, refused="MissingSlicesError")
def _(folder: Path) -> Truth:
    slices = Bench(count=12).slices()
    del slices[10]
    save(folder, slices)
    return Truth(shapes=None)


@case("a block of four slices is missing", 4, refused="MissingSlicesError")
def _(folder: Path) -> Truth:
    slices = Bench(count=14).slices()
    del slices[5:9]
    save(folder, slices)
    return Truth(shapes=None)


@case("every other slice is missing in the upper half", refused="MissingSlicesError VariableSpacingError")
def _(folder: Path) -> Truth:
    slices = Bench(count=16).slices()
    del slices[9:15:2]
    save(folder, slices)
    return Truth(shapes=None)


@case("one of three slices is missing, which leaves an even pair")
def _(folder: Path) -> Truth:
    slices = Bench(count=3).slices()
    del slices[1]
    save(folder, slices)
    return Truth(shapes=((2, 7, 9),))


@case("one slice of three hundred is missing", 4, refused="MissingSlicesError")
def _(folder: Path) -> Truth:
    slices = Bench(count=300, rows=2, columns=2, step=(0, 0, 0.5)).slices()
    del slices[150]
    save(folder, slices)
    return Truth(shapes=None)


@case("one slice is missing and gaps are to be filled", flagged="A31 A34", gaps="fill", objective=False)
def _(folder: Path) -> Truth:
    slices = Bench(count=8).slices()
    del slices[3]
    save(folder, slices)
    return Truth(shapes=((8, 7, 9),), invalid=0.13)


@case("most slices are missing and gaps are to be filled", refused="MissingSlicesError", gaps="fill", objective=False)
def _(folder: Path) -> Truth:
    slices = Bench(count=30).slices()
    save(folder, [*slices[:3], slices[29]])
    return Truth(shapes=None)


@case("an image of another series at the position of a slice", 5, refused="AmbiguousStackError")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    intruder = Bench().slice_at(np.array([-20.0, -15.0, 12.0]), 40)
    plant(intruder, offset=9.0)
    save(folder, [*slices, intruder])
    return Truth(shapes=None)


@case("two different images at every position with nothing to tell them apart", 5, refused="AmbiguousStackError")
def _(folder: Path) -> Truth:
    first, second = Bench().slices(), Bench().slices()
    for number, data in enumerate(second):
        data.SOPInstanceUID = f"2.25.7.1.{number + 50}"
        plant(data, offset=30.0)
    save(folder, [*first, *second])
    return Truth(shapes=None, offsets=(0.0, 30.0))


@case("two slices 0.02 mm apart in a stack of 2.5 mm", refused="VariableSpacingError AmbiguousStackError")
def _(folder: Path) -> Truth:
    save(folder, at([0, 2.5, 5, 5.02, 7.5, 10]))
    return Truth(shapes=None)


@case("the spacing changes midway", 7, refused="VariableSpacingError")
def _(folder: Path) -> Truth:
    save(folder, at([0, 2.5, 5, 7.5, 11, 14.5, 18]))
    return Truth(shapes=None)


@case("the spacing doubles midway", 7, refused="VariableSpacingError MissingSlicesError")
def _(folder: Path) -> Truth:
    save(folder, at([0, 2, 4, 6, 10, 14, 18]))
    return Truth(shapes=None)


@case("the spacing grows slowly from slice to slice", refused="VariableSpacingError")
def _(folder: Path) -> Truth:
    save(folder, at(np.cumsum(2.5 * 1.06 ** np.arange(14))))
    return Truth(shapes=None)


@case("the spacing changes midway and the series may be resampled", flagged="A34", uneven="resample", objective=False)
def _(folder: Path) -> Truth:
    save(folder, at([0, 2, 4, 6, 9, 12, 15]))
    return Truth(shapes=None)


@case(
    "uneven spacing with an irrational ratio that may be resampled", flagged="A34", uneven="resample", objective=False
)
def _(folder: Path) -> Truth:
    save(folder, at([0, 2.5, 5, 7.5, 11.37, 15.1, 18.9]))
    return Truth(shapes=None)


@case("an oblique series of uneven spacing that may be resampled", flagged="A34", uneven="resample", objective=False)
def _(folder: Path) -> Truth:
    bench = oblique(20, -35, 10)
    normal = np.asarray(bench.step) / 2.5
    heights = (0, 2.0, 4.1, 7.0, 9.9, 13.5)
    save(folder, [bench.slice_at(np.asarray(bench.origin) + normal * h, n) for n, h in enumerate(heights)])
    return Truth(shapes=None)


@case("an even series is not touched where resampling is allowed", uneven="resample")
def _(folder: Path) -> Truth:
    return write_bench(folder)


@case("positions with a jitter of one per cent of the step", 8, right=True, flagged="A33")
def _(folder: Path) -> Truth:
    heights = np.arange(6) * 2.5 + np.array([0.0, 0.025, -0.025, 0.02, -0.02, 0.0])
    save(folder, at(heights))
    return Truth(tolerance=ROUNDING + 2 * 0.05)


@case("positions rounded to tenths of a millimetre in a step of 7 mm", 9, right=True, flagged="A33")
def _(folder: Path) -> Truth:
    bench = Bench(step=(0, 0, 7.031), count=20)
    save(folder, shifted(bench.slices(), [0.0] * 20, decimals=1))
    return truth_of(bench, tolerance=ROUNDING + 2 * 0.1)


@case("positions off by 0.07 mm in a step of 7 mm, as a real scanner rounds", 9, right=True, flagged="A33")
def _(folder: Path) -> Truth:
    bench = Bench(step=(0, 0, 7.0), count=20)
    save(folder, shifted(bench.slices(), np.random.default_rng(4).uniform(-0.07, 0.07, 20)))
    return truth_of(bench, tolerance=ROUNDING + 2 * 0.1)


@case("an oblique series with all coordinates rounded to tenths of a millimetre", 9, right=True, flagged="A33")
def _(folder: Path) -> Truth:
    bench = oblique(12, 31, -7, step_mm=6.6, count=16)
    slices = bench.slices()
    for data in slices:
        data.ImagePositionPatient = [round(float(one), 1) for one in data.ImagePositionPatient]
    save(folder, slices)
    return truth_of(bench, tolerance=ROUNDING + 0.4)


@case("an oblique tilted series with positions and cosines rounded to three decimals", flagged="A26 A27")
def _(folder: Path) -> Truth:
    right, down, normal = turned(15, 20, 25).T
    bench = Bench(right=right, down=down, step=normal * 2.5 + down * 0.6, rows=5, columns=4)
    slices = bench.slices()
    for data in slices:
        data.ImagePositionPatient = [round(float(one), 3) for one in data.ImagePositionPatient]
        data.ImageOrientationPatient = [round(float(one), 3) for one in data.ImageOrientationPatient]
    save(folder, slices)
    return truth_of(bench, tolerance=ROUNDING + 0.05)


@case("a jitter of five per cent of the step", flagged="A33")
def _(folder: Path) -> Truth:
    save(folder, at(np.arange(8) * 2.5 + np.array([0.0, 0.12, -0.1, 0.08, -0.12, 0.1, -0.05, 0.0])))
    return Truth(shapes=((8, 7, 9),), tolerance=ROUNDING + 2 * 0.26)


@case("a jitter of twenty per cent of the step", refused="VariableSpacingError")
def _(folder: Path) -> Truth:
    save(folder, at(np.arange(8) * 2.5 + np.array([0.0, 0.5, -0.5, 0.4, -0.5, 0.5, -0.3, 0.0])))
    return Truth(shapes=None)


@case("slices 0.3 mm apart with a jitter of 0.01 mm", right=True, flagged="A33")
def _(folder: Path) -> Truth:
    jitter = np.random.default_rng(7).uniform(-0.01, 0.01, 30)
    save(folder, at(np.arange(30) * 0.3 + jitter, Bench(rows=3, columns=4)))
    return Truth(shapes=((30, 3, 4),), tolerance=ROUNDING + 2 * 0.03)


@case("slices 0.05 mm apart")
def _(folder: Path) -> Truth:
    return write_bench(folder, Bench(step=(0, 0, 0.05), spacing=(0.05, 0.05)))


@case("slices 0.009 mm apart", right=True, refused="AmbiguousStackError")
def _(folder: Path) -> Truth:
    return write_bench(folder, Bench(step=(0, 0, 0.009), spacing=(0.009, 0.009)))


@case("a gantry tilt of 15 degrees", 10, flagged="A26")
def _(folder: Path) -> Truth:
    return write_bench(folder, Bench(step=(0.0, 2.5 * np.tan(np.radians(15)), 2.5)))


@case("a gantry tilt of -8 degrees with slices from top to bottom", 10, flagged="A26")
def _(folder: Path) -> Truth:
    return write_bench(folder, Bench(step=(0.0, 2.5 * np.tan(np.radians(8)), -2.5)))


@case("a tilt of 40 degrees in an oblique plane", 10, flagged="A26")
def _(folder: Path) -> Truth:
    right, down, normal = turned(-30, 15, 60).T
    step = normal * 2.0 + right * 2.0 * np.tan(np.radians(40))
    return write_bench(folder, Bench(right=right, down=down, step=step))


@case("a gantry tilt with a missing slice", refused="MissingSlicesError")
def _(folder: Path) -> Truth:
    slices = Bench(step=(0.0, 0.67, 2.5), count=9).slices()
    del slices[4]
    save(folder, slices)
    return Truth(shapes=None)


@case("slices that step sideways by more than upwards", refused="OrientationError", answerable=False)
def _(folder: Path) -> Truth:
    return write_bench(folder, Bench(step=(0.0, 4.0, 2.0)))


@case("one slice is shifted sideways by 5 mm", refused="VariableSpacingError OrientationError NoGeometryError")
def _(folder: Path) -> Truth:
    slices = Bench(count=9).slices()
    slices[4] = Bench().slice_at(np.array([-15.0, -15.0, 17.0]), 4)
    save(folder, slices)
    return Truth(shapes=None)


@case("the upper half is shifted sideways by 3 mm", refused="VariableSpacingError OrientationError NoGeometryError")
def _(folder: Path) -> Truth:
    bench = Bench(count=10)
    save(
        folder,
        [bench.slice_at(np.array([-20.0 + 3 * (n > 4), -15.0, 7 + 2.5 * n]), n) for n in range(10)],
    )
    return Truth(shapes=None)


@case("a localizer inside the series", 11, flagged="A30")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    localizer = Bench(right=(1, 0, 0), down=(0, 0, -1), count=1, rows=12, columns=10).slices()[0]
    localizer.SOPInstanceUID, localizer.ImageType = "2.25.7.1.99", ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    save(folder, [*slices, localizer])
    return Truth()


@case(
    "a localizer of the same matrix and a single slice",
    right=True,
    flagged="A30",
    refused="SeriesChoiceError AmbiguousStackError",
)
def _(folder: Path) -> Truth:
    one = Bench(count=1).slices()[0]
    localizer = Bench(down=(0, 0, -1), count=1).slices()[0]
    localizer.SOPInstanceUID, localizer.ImageType = "2.25.7.1.99", ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    save(folder, [one, localizer])
    return Truth(shapes=None, offsets=(0.0, 0.0))


@case("three localizers in three planes", right=True, flagged="A30")
def _(folder: Path) -> Truth:
    planes = [((1, 0, 0), (0, 1, 0)), ((0, 1, 0), (0, 0, -1)), ((1, 0, 0), (0, 0, -1))]
    slices = []
    for number, (right, down) in enumerate(planes):
        data = Bench(right=right, down=down, count=1).slices()[0]
        data.SOPInstanceUID = f"2.25.7.1.{number}"
        slices.append(data)
    save(folder, slices)
    return Truth(shapes=None, offsets=(0.0,) * 3)


@case("PixelSpacing differs in one slice inside the stack", 19, refused="MissingSlicesError")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    slices[2] = Bench(spacing=(1.5, 0.80)).slice_at(np.array([-20.0, -15.0, 12.0]), 2)
    save(folder, slices)
    return Truth(shapes=None)


@case("PixelSpacing of one end slice is half that of the others", 19, flagged="A30")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    slices[5] = Bench(spacing=(0.75, 0.375)).slice_at(np.array([-20.0, -15.0, 19.5]), 5)
    save(folder, slices)
    return Truth(shapes=((5, 7, 9), (7, 9)), offsets=(0.0, 0.0))


@case("PixelSpacing differs in the seventh decimal")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for number, data in enumerate(slices):
        data.PixelSpacing = [1.5 + number * 1e-7, 0.75]
    save(folder, slices)
    return Truth()


@case("Rows differs in one slice inside the stack", 20, refused="MissingSlicesError")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    slices[2] = Bench(rows=6).slice_at(np.array([-20.0, -15.0, 12.0]), 2)
    save(folder, slices)
    return Truth(shapes=None)


@case("Rows differs in the last slice", 20, flagged="A30")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    slices[5] = Bench(rows=6).slice_at(np.array([-20.0, -15.0, 19.5]), 5)
    save(folder, slices)
    return Truth(shapes=((5, 7, 9), (6, 9)), offsets=(0.0, 0.0))


@case("orientation with a jitter of one in ten thousand", 21, flagged="A27")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    random = np.random.default_rng(1)
    for data in slices:
        data.ImageOrientationPatient = list(np.round(np.array([1, 0, 0, 0, 1, 0]) + random.uniform(-1e-4, 1e-4, 6), 6))
    save(folder, slices)
    return Truth(tolerance=ROUNDING + 0.01)


@case("direction cosines that are not of unit length", 22, refused="OrientationError", answerable=False)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        data.ImageOrientationPatient = [1.02, 0, 0, 0, 1, 0]
    save(folder, slices)
    return Truth(shapes=None)


@case("direction cosines that are not perpendicular", 22, refused="OrientationError", answerable=False)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        data.ImageOrientationPatient = [1, 0, 0, 0.05, 0.99875, 0]
    save(folder, slices)
    return Truth(shapes=None)


@case("direction cosines that are all zero", 23, refused="OrientationError", answerable=False)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        data.ImageOrientationPatient = [0, 0, 0, 0, 0, 0]
    save(folder, slices)
    return Truth(shapes=None)


@case("twice the same direction cosine", 23, refused="OrientationError", answerable=False)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        data.ImageOrientationPatient = [1, 0, 0, 1, 0, 0]
    save(folder, slices)
    return Truth(shapes=None)


@case("no orientation in any slice", 23, refused="OrientationError", answerable=False)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        del data.ImageOrientationPatient
    save(folder, slices)
    return Truth(shapes=None)


@case("five of six direction cosines", 23, refused="OrientationError", answerable=False)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        raw(data, "ImageOrientationPatient", b"1\\0\\0\\0\\1", "DS")
    save(folder, slices)
    return Truth(shapes=None)


@case("no position in any slice", 24, refused="NoGeometryError", answerable=False)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        del data.ImagePositionPatient
    save(folder, slices)
    return Truth(shapes=None)


@case("no position in one slice", 25, refused="NoGeometryError", answerable=False)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    del slices[3].ImagePositionPatient
    save(folder, slices)
    return Truth(shapes=None)


@case("a position that is empty, in one slice", 25, refused="NoGeometryError", answerable=False)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    slices[5].ImagePositionPatient = None
    save(folder, slices)
    return Truth(shapes=None)


@case("a position that is no number, in one slice", 25, refused="NoGeometryError HeaderError", answerable=False)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    raw(slices[5], "ImagePositionPatient", b"-20\\-15\\nan", "DS")
    save(folder, slices)
    return Truth(shapes=None)


PLANES = {
    "sagittal slices": Bench(right=(0, 1, 0), down=(0, 0, -1), step=(-3, 0, 0)),
    "coronal slices": Bench(right=(1, 0, 0), down=(0, 0, -1), step=(0, 4, 0)),
    "sagittal slices from left to right": Bench(right=(0, 1, 0), down=(0, 0, -1), step=(3, 0, 0)),
    "double oblique slices": oblique(25, -40, 12),
    "triple oblique slices from top to bottom": oblique(75, 50, -160, step_mm=-1.3),
    "axial slices from top to bottom": Bench(step=(0, 0, -2.5)),
    "axial slices of a patient who lies prone": Bench(right=(-1, 0, 0), down=(0, -1, 0)),
    "axial slices of a patient on the left side": Bench(right=(0, 1, 0), down=(-1, 0, 0)),
    "slices seen from above, with rows and columns exchanged": Bench(right=(0, 1, 0), down=(1, 0, 0)),
    "coronal slices upside down": Bench(right=(-1, 0, 0), down=(0, 0, 1), step=(0, -2, 0)),
    "pixels four times as wide as high": Bench(spacing=(0.5, 2.0)),
    "pixels four times as high as wide in an oblique plane": oblique(10, 70, -35, spacing=(2.0, 0.5)),
    "three slices": Bench(count=3),
    "two slices": Bench(count=2),
    "two slices of one pixel each": Bench(count=2, rows=1, columns=1),
    "slices of one row": Bench(rows=1),
    "slices of one column": Bench(columns=1),
    "slices with an odd number of bytes": Bench(rows=5, columns=5),
    "slices far from the origin of the frame of reference": Bench(origin=(-150.5, 212.25, -199.75)),
    "a step of a seventh of a millimetre": Bench(step=(0, 0, 1 / 7), count=20),
    "an oblique step of a third of a millimetre": oblique(33.3, -12.1, 171, step_mm=1 / 3, count=20),
}
ROWS = {
    "sagittal slices": (26,),
    "coronal slices": (26,),
    "double oblique slices": (26,),
    "axial slices from top to bottom": (26,),
    "pixels four times as wide as high": (27,),
    "three slices": (31,),
}


def _plain(bench: Bench) -> Callable[[Path], Truth]:
    def write(folder: Path) -> Truth:
        return write_bench(folder, replace(bench))

    return write


for _sentence, _bench in PLANES.items():
    case(_sentence, *ROWS.get(_sentence, ()))(_plain(_bench))


@case("SliceThickness differs from the spacing", 28)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        data.SliceThickness = "5"
    save(folder, slices)
    return Truth()


@case("SliceThickness is zero or absent, in turn")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices[::2]:
        data.SliceThickness = "0"
    save(folder, slices)
    return Truth()


@case("SpacingBetweenSlices is negative", 29)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        data.SpacingBetweenSlices = "-2.5"
    save(folder, slices)
    return Truth()


@case("SliceLocation contradicts the positions")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for number, data in enumerate(slices):
        data.SliceLocation = str(-7 * number)
    save(folder, slices)
    return Truth()


@case("a single slice, which is an image without a depth", 30)
def _(folder: Path) -> Truth:
    save(folder, oblique(10, 20, 30, count=1).slices())
    return Truth(shapes=((7, 9),))


@case("position and spacing with 20 to 30 characters", 32)
def _(folder: Path) -> Truth:
    slices = Bench(step=(0, 0, 2.5000001)).slices()
    for data in slices:
        position = [float(one) for one in data.ImagePositionPatient]
        raw(data, "ImagePositionPatient", "\\".join(f"{one:.24f}" for one in position).encode(), "DS")
        raw(data, "PixelSpacing", b"1.50000000000000000000\\0.7500000000000000000000", "DS")
        raw(data, "ImageOrientationPatient", b"1.0000000000000000000\\0\\0\\0\\1.0000000000000000000000\\0", "DS")
    save(folder, slices)
    return Truth()


@case("positions with exponents, plus signs, spaces and minus zero")
def _(folder: Path) -> Truth:
    bench = Bench(origin=(0.0, -15.0, -5.0))
    slices = bench.slices()
    for data in slices:
        z = float(data.ImagePositionPatient[2])
        raw(data, "ImagePositionPatient", f"-0.0\\ -1.5E+01 \\{z:+.5e}".encode(), "DS")
        raw(data, "ImageOrientationPatient", b"+1\\-0\\0.\\-0.0\\1.e0\\.0", "DS")
        raw(data, "PixelSpacing", b" 15e-1\\+.75", "DS")
    save(folder, slices)
    return Truth()


@case("positions with seven decimals in an oblique plane")
def _(folder: Path) -> Truth:
    bench = oblique(3.3, 4.4, 5.5, step_mm=0.6249999)
    slices = [bench.slice_at(np.asarray(bench.origin) + k * np.asarray(bench.step), k) for k in range(6)]
    for k, data in enumerate(slices):
        position = np.asarray(bench.origin) + k * np.asarray(bench.step)
        raw(data, "ImagePositionPatient", "\\".join(f"{one:.7f}" for one in position).encode(), "DS")
    save(folder, slices)
    return Truth()


@case("PixelSpacing is zero", refused="NoGeometryError", answerable=False, objective=False)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        data.PixelSpacing = [0.0, 0.75]
    save(folder, slices)
    return Truth(shapes=None)


@case("PixelSpacing is absent in a CT", refused="NoGeometryError", answerable=False, objective=False)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        del data.PixelSpacing
    save(folder, slices)
    return Truth(shapes=None)


@case(
    "PixelSpacing is written with a decimal comma",
    refused="NoGeometryError HeaderError",
    answerable=False,
    objective=False,
)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        raw(data, "PixelSpacing", b"1,5\\0,75", "DS")
    save(folder, slices)
    return Truth(shapes=None)


@case("PixelSpacing holds three numbers", refused="NoGeometryError HeaderError", answerable=False, objective=False)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        data.PixelSpacing = [1.5, 0.75, 2.5]
    save(folder, slices)
    return Truth(shapes=None)


@case(
    "slices that go around: radial planes about one axis",
    right=True,
    flagged="A30",
    refused="OrientationError VariableSpacingError AmbiguousStackError",
)
def _(folder: Path) -> Truth:
    slices = []
    for number, angle in enumerate(np.radians(np.arange(0, 180, 30))):
        bench = Bench(right=(np.cos(angle), np.sin(angle), 0), down=(0, 0, -1))
        slices.append(bench.slice_at(np.array([-20.0, -15.0, 7.0]), number))
    save(folder, slices)
    return Truth(shapes=None, offsets=(0.0,) * 6)


@case(
    "a stack in which one slice is turned by 180 degrees",
    refused="MissingSlicesError OrientationError",
    right=True,
    flagged="A30",
)
def _(folder: Path) -> Truth:
    slices = Bench(count=7).slices()
    x, y, z = (float(one) for one in slices[3].ImagePositionPatient)
    turned_bench = Bench(right=(-1, 0, 0), down=(0, -1, 0))
    slices[3] = turned_bench.slice_at(np.array([x + 8 * 0.75, y + 6 * 1.5, z]), 3)
    save(folder, slices)
    return Truth(shapes=None)


@case(
    "a stack whose upper half runs on from another table height",
    refused="VariableSpacingError MissingSlicesError OrientationError",
)
def _(folder: Path) -> Truth:
    save(folder, at([0, 2.5, 5, 7.5, 37.6, 40.1, 42.6, 45.1]))
    return Truth(shapes=None)
