"""Several images at every position: echoes, times, phases, gradients, energies, agents (rows 13 to 15)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from dicom_bench import Bench, plant, save
from dicom_cases_register import ROUNDING, Truth, case
from pydicom.dataset import Dataset


def stack(uid: int, offset: float, bench: Bench | None = None, **attributes: Any) -> list[Dataset]:
    """Return slices of the one series, `offset` above the field, with attributes of their own."""
    slices = (bench or Bench()).slices()
    for number, data in enumerate(slices):
        data.SOPInstanceUID = f"2.25.7.1.{uid}.{number + 1}"
        plant(data, offset=offset)
        for keyword, value in attributes.items():
            setattr(data, keyword, value)
    return slices


def interleaved(*stacks: Sequence[Dataset]) -> list[Dataset]:
    """Return the slices of all stacks, position by position."""
    return [data for together in zip(*stacks, strict=True) for data in together]


def together(count: int, **changes: Any) -> Truth:
    """Return the truth of `count` stacks, each 20 above the one before."""
    return Truth(
        **({"shapes": ((6, 7, 9),) * count, "offsets": tuple(20.0 * number for number in range(count))} | changes)
    )


def named(keyword: str, count: int) -> tuple[str, ...]:
    """Return patterns for the names of `count` stacks told apart by `keyword`; without one their order is free."""
    numbers = range(1, count + 1)
    return tuple(rf"{keyword}\w* {number if keyword else '[0-9]+'} of {count}" for number in numbers)


TELLING: dict[str, tuple[tuple[int, ...], str, Sequence[dict[str, Any]]]] = {
    "two echoes": (
        (13,),
        "Echo",
        ({"EchoNumbers": 1, "EchoTime": "10"}, {"EchoNumbers": 2, "EchoTime": "80"}),
    ),
    "two echoes told by their echo time alone, 9 and 110": ((), "EchoTime", ({"EchoTime": "9"}, {"EchoTime": "110"})),
    "two time points": (
        (14,),
        "TemporalPosition",
        ({"TemporalPositionIdentifier": 1}, {"TemporalPositionIdentifier": 2}),
    ),
    "eleven time points, whose numbers sort as numbers": (
        (14,),
        "TemporalPositionIdentifier",
        tuple({"TemporalPositionIdentifier": number} for number in range(1, 12)),
    ),
    "two acquisitions of the same place": ((15,), "Acquisition", ({"AcquisitionNumber": 3}, {"AcquisitionNumber": 4})),
    "two acquisitions at two times of the day": (
        (15,),
        "AcquisitionTime",
        ({"AcquisitionTime": "101010"}, {"AcquisitionTime": "101530.250"}),
    ),
    "two b-values": (
        (),
        "DiffusionBValue",
        ({"DiffusionBValue": 0.0}, {"DiffusionBValue": 1000.0}),
    ),
    "one b-value in three directions": (
        (),
        "",
        tuple(
            {"DiffusionBValue": 800.0, "DiffusionGradientOrientation": [float(axis == n) for n in range(3)]}
            for axis in (0, 1, 2)
        ),
    ),
    "dual energy told by ImageType": (
        (),
        "ImageType",
        (
            {"ImageType": ["DERIVED", "PRIMARY", "AXIAL", "MONO_40"]},
            {"ImageType": ["DERIVED", "PRIMARY", "AXIAL", "MONO_70"]},
        ),
    ),
    "magnitude and phase told by ImageType": (
        (),
        "ImageType",
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M"]}, {"ImageType": ["ORIGINAL", "PRIMARY", "P"]}),
    ),
    "dynamic contrast told by ContentTime": (
        (),
        "ContentTime",
        tuple({"ContentTime": f"1000{second:02d}"} for second in (0, 20, 40)),
    ),
    "before and after contrast agent": (
        (),
        "ContrastBolus",
        ({"ContrastBolusAgent": ""}, {"ContrastBolusAgent": "GADO"}),
    ),
    "four cardiac phases told by TriggerTime": (
        (),
        "TriggerTime",
        tuple({"TriggerTime": str(time)} for time in (0, 62.5, 125, 1000)),
    ),
    "ten cardiac phases in per cent": (
        (),
        "NominalPercentageOfCardiacPhase",
        tuple({"NominalPercentageOfCardiacPhase": float(phase)} for phase in range(0, 100, 10)),
    ),
    "two reconstruction kernels": (
        (),
        "ConvolutionKernel",
        ({"ConvolutionKernel": "B30f"}, {"ConvolutionKernel": "B70f"}),
    ),
}


def _telling(keyword: str, values: Sequence[dict[str, Any]]) -> Callable[[Path], Truth]:
    def write(folder: Path) -> Truth:
        stacks = [stack(number, 20.0 * number, **attributes) for number, attributes in enumerate(values)]
        save(folder, interleaved(*stacks))
        return together(len(values), labels=named(keyword, len(values)))

    return write


for _sentence, (_rows, _keyword, _values) in TELLING.items():
    case(_sentence, *_rows)(_telling(_keyword, _values))


@case("two echoes of two time points each")
def _(folder: Path) -> Truth:
    stacks = [
        stack(2 * echo + time, 20.0 * (2 * echo + time), EchoTime=str(10 + echo), TemporalPositionIdentifier=time)
        for echo in (0, 1)
        for time in (0, 1)
    ]
    save(folder, interleaved(*stacks))
    return together(4, labels=(r"1 of 2.* 1 of 2", r"1 of 2.* 2 of 2", r"2 of 2.* 1 of 2", r"2 of 2.* 2 of 2"))


@case("two time points with an acquisition number that counts all slices")
def _(folder: Path) -> Truth:
    slices = interleaved(stack(0, 0.0, TemporalPositionIdentifier=1), stack(1, 20.0, TemporalPositionIdentifier=2))
    for number, data in enumerate(slices):
        data.AcquisitionNumber = data.InstanceNumber = number
    save(folder, slices)
    return together(2)


@case(
    "two time points one after the other, each slice with its own AcquisitionTime",
    right=True,
    flagged="A28 A30",
    refused="AmbiguousStackError",
)
def _(folder: Path) -> Truth:
    slices = [*stack(0, 0.0), *stack(1, 20.0)]
    for number, data in enumerate(slices):
        data.AcquisitionTime = f"1010{number:02d}"
        data.InstanceNumber = number + 1
    save(folder, slices)
    return together(2)


@case(
    "the last slice of the second echo is missing",
    refused="AmbiguousStackError MissingSlicesError IncompleteSeriesError",
    right=True,
    flagged="A30",
)
def _(folder: Path) -> Truth:
    slices = [*stack(0, 0.0, EchoNumbers=1, EchoTime="10"), *stack(1, 20.0, EchoNumbers=2, EchoTime="80")]
    save(folder, slices[:-1])
    return Truth(shapes=((6, 7, 9), (5, 7, 9)), offsets=(0.0, 20.0))


@case(
    "a slice in the middle of the second echo is missing",
    refused="AmbiguousStackError MissingSlicesError IncompleteSeriesError",
    objective=False,
)
def _(folder: Path) -> Truth:
    slices = [*stack(0, 0.0, EchoNumbers=1, EchoTime="10"), *stack(1, 20.0, EchoNumbers=2, EchoTime="80")]
    del slices[9]
    save(folder, slices)
    return Truth(shapes=None, offsets=(0.0, 20.0))


@case(
    "the last time point was cut short after two slices",
    refused="AmbiguousStackError MissingSlicesError IncompleteSeriesError",
    right=True,
    flagged="A30",
)
def _(folder: Path) -> Truth:
    stacks = [stack(number, 20.0 * number, TemporalPositionIdentifier=number + 1) for number in range(3)]
    save(folder, [*stacks[0], *stacks[1], *stacks[2][:2]])
    return Truth(shapes=((6, 7, 9), (6, 7, 9), (2, 7, 9)), offsets=(0.0, 20.0, 40.0))


@case(
    "the same echo time in other words: 10, 10.0 and 1.0E1", right=True, refused="AmbiguousStackError", objective=False
)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data, text in zip(slices, ("10", "10.0", "1.0E1") * 2, strict=True):
        data.EchoTime = text
    save(folder, slices)
    return Truth()


@case("echo times that jitter within each of two echoes", right=True, flagged="A28", refused="AmbiguousStackError")
def _(folder: Path) -> Truth:
    first, second = stack(0, 0.0), stack(1, 20.0)
    for number, (one, other) in enumerate(zip(first, second, strict=True)):
        one.EchoTime, other.EchoTime = f"{10 + number * 1e-4:.4f}", f"{80 + number * 1e-4:.4f}"
    save(folder, interleaved(first, second))
    return together(2)


@case("two echoes whose positions were rounded differently", right=True, flagged="A33", refused="AmbiguousStackError")
def _(folder: Path) -> Truth:
    first, second = stack(0, 0.0, EchoTime="10"), stack(1, 20.0, EchoTime="80")
    for data in second:
        data.ImagePositionPatient = [float(one) + 0.004 for one in data.ImagePositionPatient]
    save(folder, interleaved(first, second))
    return together(2, tolerance=ROUNDING + 0.02)


@case(
    "two time points between which the table moved by half a step",
    refused="AmbiguousStackError VariableSpacingError",
    right=True,
)
def _(folder: Path) -> Truth:
    first = stack(0, 0.0, TemporalPositionIdentifier=1)
    second = stack(1, 0.0, Bench(origin=(-20, -15, 8.25)), TemporalPositionIdentifier=2)
    for data in second:
        plant(data, offset=20.0)
    save(folder, [*first, *second])
    return together(2)


@case("two interleaved packages of one volume, each an acquisition of its own")
def _(folder: Path) -> Truth:
    slices = Bench(count=10).slices()
    for number, data in enumerate(slices):
        data.AcquisitionNumber, data.InstanceNumber = number % 2 + 1, (number % 2) * 5 + number // 2
    save(folder, slices)
    return Truth(shapes=((10, 7, 9),))


@case("upper and lower half of the body as two acquisitions of one series")
def _(folder: Path) -> Truth:
    slices = Bench(count=10).slices()
    for number, data in enumerate(slices):
        data.AcquisitionNumber = 1 + (number >= 5)
    save(folder, slices)
    return Truth(shapes=((10, 7, 9),))


@case("two acquisitions that overlap by two slices with different values", refused="AmbiguousStackError", right=True)
def _(folder: Path) -> Truth:
    lower = stack(0, 0.0, AcquisitionNumber=1)
    upper = stack(1, 0.0, Bench(origin=(-20, -15, 7 + 4 * 2.5)), AcquisitionNumber=2)
    for data in upper:
        plant(data, offset=20.0)
    save(folder, [*lower, *upper])
    return together(2)


@case("two frames of reference with two time points each", right=True, flagged="A30")
def _(folder: Path) -> Truth:
    stacks = [stack(number, 20.0 * number, TemporalPositionIdentifier=number % 2 + 1) for number in range(4)]
    for data in (*stacks[2], *stacks[3]):
        data.FrameOfReferenceUID = "2.25.98"
    save(folder, [data for one in stacks for data in one])
    return together(4)


@case("a single position at five times", right=True, refused="SeriesChoiceError")
def _(folder: Path) -> Truth:
    bench = Bench(count=1)
    slices = [stack(number, 20.0 * number, bench, TemporalPositionIdentifier=number + 1)[0] for number in range(5)]
    save(folder, slices)
    return together(5, shapes=((7, 9),) * 5)


@case("mono-energetic images of one position that differ only in a private element", refused="AmbiguousStackError")
def _(folder: Path) -> Truth:
    first, second = stack(0, 0.0), stack(1, 20.0)
    for number, data in enumerate((*first, *second)):
        block = data.private_block(0x0009, "BENCH ENERGY", create=True)
        block.add_new(0x01, "DS", "40" if number < 6 else "70")
    save(folder, interleaved(first, second))
    return together(2)


@case("a subtraction image beside both of its parents, told by ImageType", right=True)
def _(folder: Path) -> Truth:
    types = (["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "M", "LATE"], ["DERIVED", "SECONDARY", "SUB"])
    save(folder, interleaved(*(stack(n, 20.0 * n, ImageType=kind) for n, kind in enumerate(types))))
    return together(3)


@case(
    "a stack of both values, with a slice of another phase hidden in the middle",
    refused="AmbiguousStackError",
    right=True,
)
def _(folder: Path) -> Truth:
    # the phases change places at one position: the telling attribute still says which is which
    first, second = stack(0, 0.0, TriggerTime="0"), stack(1, 20.0, TriggerTime="500")
    first[3].InstanceNumber, second[3].InstanceNumber = second[3].InstanceNumber, first[3].InstanceNumber
    first[3].AcquisitionNumber, second[3].AcquisitionNumber = 9, 1
    save(folder, [*first, *second])
    return together(2)


@case("positions of one echo in random order of time")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for number, data in zip(np.random.default_rng(3).permutation(6), slices, strict=True):
        data.ContentTime = data.AcquisitionTime = f"1000{number:02d}"
        data.TriggerTime, data.AcquisitionNumber = str(number * 10), int(number)
    save(folder, slices)
    return Truth()
