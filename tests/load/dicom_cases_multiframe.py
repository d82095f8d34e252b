"""Enhanced multi-frame objects whose frames are the slices of a volume (rows 35 to 39)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from dicom_bench import Bench, expected_hu, put_pixels, save
from dicom_cases_geometry import oblique
from dicom_cases_register import ROUNDING, Truth, case
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import EnhancedCTImageStorage, EnhancedMRImageStorage, EnhancedPETImageStorage

CLASSES = {"CT": EnhancedCTImageStorage, "MR": EnhancedMRImageStorage, "PT": EnhancedPETImageStorage}


@dataclass(frozen=True, kw_only=True)
class FrameOf:
    """One frame: its place in steps along the stack, and what tells it from others at that place."""

    step: float
    offset: float = 0.0
    slope: float = 0.02
    intercept: float = 10.0
    content: dict[str, Any] = field(default_factory=dict)
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)


def frames_of(count: int, **same: Any) -> list[FrameOf]:
    """Return frames one step apart."""
    return [FrameOf(step=number, **same) for number in range(count)]


def item(**attributes: Any) -> Items:
    """Return a sequence of one item."""
    data = Dataset()
    for keyword, value in attributes.items():
        setattr(data, keyword, value)
    return Items([data])


def enhanced(
    frames: Sequence[FrameOf],
    bench: Bench | None = None,
    *,
    modality: str = "CT",
    shares_rescale: bool = False,
    shares_plane: bool = True,
    bits_stored: int | None = None,
) -> Dataset:
    """Return an enhanced object with one item of functional groups per frame."""
    chosen = bench or Bench()
    right, down = np.asarray(chosen.right, float), np.asarray(chosen.down, float)
    data = chosen.slices()[0]
    for keyword in (
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "RescaleSlope",
        "RescaleIntercept",
    ):
        delattr(data, keyword)
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = CLASSES[modality]
    data.Modality, data.NumberOfFrames = modality, len(frames)
    shared, items, pixels = Dataset(), [], []
    plane = {
        "PlaneOrientationSequence": {"ImageOrientationPatient": [round(float(one), 8) for one in (*right, *down)]},
        "PixelMeasuresSequence": {"PixelSpacing": list(chosen.spacing), "SliceThickness": "9"},
    }
    rescale = {"RescaleType": "HU" if modality == "CT" else "US"}
    row, column = np.mgrid[: chosen.rows, : chosen.columns]
    for number, frame in enumerate(frames):
        position = np.round(np.asarray(chosen.origin, float) + frame.step * np.asarray(chosen.step, float), 6)
        places = position + row[..., None] * down * chosen.spacing[0] + column[..., None] * right * chosen.spacing[1]
        pixels.append(np.rint((expected_hu(places) + frame.offset - frame.intercept) / frame.slope).astype("i2"))
        groups: dict[str, dict[str, Any]] = {
            "PlanePositionSequence": {"ImagePositionPatient": [float(one) for one in position]},
            "FrameContentSequence": {
                "StackID": "1",
                "InStackPositionNumber": number + 1,
                "DimensionIndexValues": [1, number + 1],
            }
            | frame.content,
        }
        groups |= {} if shares_plane else plane
        if not shares_rescale:
            groups["PixelValueTransformationSequence"] = rescale | {
                "RescaleSlope": f"{frame.slope:.10g}",
                "RescaleIntercept": f"{frame.intercept:.10g}",
            }
        items.append(_groups(groups | frame.groups))
    for name, attributes in (plane if shares_plane else {}).items():
        setattr(shared, name, item(**attributes))
    if shares_rescale:
        shared.PixelValueTransformationSequence = item(
            **rescale, RescaleSlope=f"{frames[0].slope:.10g}", RescaleIntercept=f"{frames[0].intercept:.10g}"
        )
    data.SharedFunctionalGroupsSequence = Items([shared])
    data.PerFrameFunctionalGroupsSequence = Items(items)
    stacked = np.stack(pixels)
    put_pixels(data, stacked[0], bits_stored=bits_stored)
    data.PixelData = stacked.tobytes() + b"\0" * (stacked.nbytes % 2)
    data["PixelData"].VR = "OW"
    return data


def _groups(groups: dict[str, dict[str, Any]]) -> Dataset:
    data = Dataset()
    for name, attributes in groups.items():
        setattr(data, name, item(**attributes))
    return data


def whole(data: Dataset, **changes: Any) -> Callable[[Path], Truth]:
    """Return a case of one file."""

    def write(folder: Path) -> Truth:
        save(folder, [data])
        return Truth(**changes)

    return write


def shuffled(frames: Sequence[FrameOf]) -> list[FrameOf]:
    """Return frames in an order that means nothing."""
    return [frames[number] for number in np.random.default_rng(5).permutation(len(frames))]


case("enhanced CT with its frames in order", 35)(whole(enhanced(frames_of(6)), unit="HU"))
case("enhanced CT with the rescale shared by all frames", 35)(whole(enhanced(frames_of(6), shares_rescale=True)))
case("enhanced CT with orientation and spacing in every frame")(whole(enhanced(frames_of(6), shares_plane=False)))
case("enhanced MR with its frames in order", 35)(whole(enhanced(frames_of(6), modality="MR")))
case("enhanced PET with its frames in order", 35)(whole(enhanced(frames_of(6), modality="PT")))
case("enhanced CT with its frames in random order", 36)(whole(enhanced(shuffled(frames_of(6)))))
case("enhanced CT with its frames from top to bottom")(whole(enhanced(frames_of(6), Bench(step=(0, 0, -2.5)))))
case("enhanced MR of an oblique volume, frames in random order")(
    whole(enhanced(shuffled(frames_of(6)), oblique(25, -40, 12), modality="MR"))
)
case("enhanced CT with a gantry tilt", flagged="A26")(whole(enhanced(frames_of(6), Bench(step=(0.0, 0.67, 2.5)))))
case("enhanced CT with a rescale of its own in every frame", 38)(
    whole(
        enhanced([FrameOf(step=n, slope=0.01 + 0.002 * n, intercept=-2.0 * n) for n in range(6)]),
        tolerance=ROUNDING,
    )
)
case("enhanced CT in random order with a rescale of its own in every frame", 38)(
    whole(enhanced(shuffled([FrameOf(step=n, slope=0.01 + 0.002 * n, intercept=-2.0 * n) for n in range(6)])))
)
case("enhanced CT with a missing frame", 39, refused="MissingSlicesError")(
    whole(enhanced([FrameOf(step=n) for n in (0, 1, 2, 4, 5, 6)]), shapes=None)
)
case("enhanced CT with uneven frames", refused="VariableSpacingError")(
    whole(enhanced([FrameOf(step=n) for n in (0, 1, 2, 3, 4.4, 5.8, 7.2)]), shapes=None)
)
case("enhanced CT with two frames at one place", refused="AmbiguousStackError")(
    whole(enhanced([*frames_of(6), FrameOf(step=2, offset=9.0)]), shapes=None)
)


def timed(time: int, **more: Any) -> dict[str, Any]:
    """Return the frame content of a time point."""
    return {"TemporalPositionIndex": time + 1, "DimensionIndexValues": [time + 1, 1]} | more


_TIMES = [FrameOf(step=n, offset=20.0 * time, content=timed(time)) for time in range(2) for n in range(6)]
_LABELS = (r"Temporal\w* 1 of 2", r"Temporal\w* 2 of 2")
_TWO = {"shapes": ((6, 7, 9),) * 2, "offsets": (0.0, 20.0)}
case("enhanced CT of two time points, one after the other", 37)(whole(enhanced(_TIMES), labels=_LABELS, **_TWO))
case("enhanced MR of two time points in random order", 37)(
    whole(enhanced(shuffled(_TIMES), modality="MR"), labels=_LABELS, **_TWO)
)
case(
    "enhanced MR of two time points, the second lacks a frame",
    refused="AmbiguousStackError MissingSlicesError IncompleteSeriesError",
    right=True,
    flagged="A30",
)(whole(enhanced(_TIMES[:-1], modality="MR"), shapes=((6, 7, 9), (5, 7, 9)), offsets=(0.0, 20.0)))
case("enhanced MR of two echoes", right=True)(
    whole(
        enhanced(
            [
                FrameOf(step=n, offset=20.0 * echo, groups={"MREchoSequence": {"EffectiveEchoTime": 10.0 + 70 * echo}})
                for n in range(6)
                for echo in range(2)
            ],
            modality="MR",
        ),
        **_TWO,
    )
)
case("enhanced MR of two b-values", right=True)(
    whole(
        enhanced(
            [
                FrameOf(
                    step=n,
                    offset=20.0 * strong,
                    groups={
                        "MRDiffusionSequence": {"DiffusionBValue": 1000.0 * strong, "DiffusionDirectionality": "NONE"}
                    },
                )
                for n in range(6)
                for strong in range(2)
            ],
            modality="MR",
        ),
        **_TWO,
    )
)
case("enhanced MR of two cardiac phases", right=True, refused="AmbiguousStackError")(
    whole(
        enhanced(
            [
                FrameOf(
                    step=n,
                    offset=20.0 * late,
                    groups={"CardiacSynchronizationSequence": {"NominalCardiacTriggerDelayTime": 10.0 + 400 * late}},
                )
                for n in range(6)
                for late in range(2)
            ],
            modality="MR",
        ),
        **_TWO,
    )
)
case("enhanced CT of two stacks at two places", right=True)(
    whole(
        enhanced(
            [
                FrameOf(step=n + 40.3 * stack, content={"StackID": str(stack + 1)})
                for stack in range(2)
                for n in range(6)
            ]
        ),
        shapes=((6, 7, 9),) * 2,
        offsets=(0.0, 0.0),
    )
)
case("enhanced CT of two stacks that run on from each other", right=True)(
    whole(
        enhanced([FrameOf(step=n, content={"StackID": "1" if n < 3 else "2"}) for n in range(6)]),
        shapes=None,
        offsets=(0.0, 0.0),
    )
)


@case("enhanced MR of two stacks in two planes", right=True, flagged="A30")
def _(folder: Path) -> Truth:
    first = enhanced(frames_of(6), shares_plane=False, modality="MR")
    second = enhanced(
        [FrameOf(step=n, content={"StackID": "2"}) for n in range(4)],
        Bench(right=(0, 1, 0), down=(0, 0, -1), step=(-3, 0, 0)),
        shares_plane=False,
        modality="MR",
    )
    first.PerFrameFunctionalGroupsSequence.extend(second.PerFrameFunctionalGroupsSequence)
    bytes_of = 7 * 9 * 2
    first.PixelData = first.PixelData[: 6 * bytes_of] + second.PixelData[: 4 * bytes_of]
    first.NumberOfFrames = 10
    save(folder, [first])
    return Truth(shapes=None, offsets=(0.0, 0.0))


@case(
    "enhanced MR with two pixel spacings",
    right=True,
    flagged="A30",
    refused="MissingSlicesError VariableSpacingError AmbiguousStackError",
)
def _(folder: Path) -> Truth:
    first = enhanced(frames_of(6), shares_plane=False, modality="MR")
    second = enhanced(
        [FrameOf(step=n + 6) for n in range(4)], Bench(spacing=(1.0, 1.0)), shares_plane=False, modality="MR"
    )
    first.PerFrameFunctionalGroupsSequence.extend(second.PerFrameFunctionalGroupsSequence)
    bytes_of = 7 * 9 * 2
    first.PixelData = first.PixelData[: 6 * bytes_of] + second.PixelData[: 4 * bytes_of]
    first.NumberOfFrames = 10
    save(folder, [first])
    return Truth(shapes=((6, 7, 9), (4, 7, 9)), offsets=(0.0, 0.0))


@case("enhanced CT that goes on in a second file, a concatenation")
def _(folder: Path) -> Truth:
    slices = Bench(count=12)
    parts = [enhanced([FrameOf(step=n) for n in group], slices) for group in (range(7), range(7, 12))]
    for number, data in enumerate(parts):
        data.SOPInstanceUID = f"2.25.7.1.{number + 1}"
        data.ConcatenationUID, data.InConcatenationNumber, data.InConcatenationTotalNumber = "2.25.7.5", number + 1, 2
        data.ConcatenationFrameOffsetNumber = 7 * number
        data.SOPInstanceUIDOfConcatenationSource = "2.25.7.1"
    save(folder, parts)
    return Truth(shapes=((12, 7, 9),))


@case(
    "a concatenation whose second file is missing", refused="IncompleteSeriesError MissingSlicesError", answerable=False
)
def _(folder: Path) -> Truth:
    data = enhanced(frames_of(6), Bench(count=12))
    data.ConcatenationUID, data.InConcatenationNumber, data.InConcatenationTotalNumber = "2.25.7.5", 1, 2
    data.ConcatenationFrameOffsetNumber = 0
    save(folder, [data])
    return Truth(shapes=((12, 7, 9),))


@case("enhanced CT beside a classic series of the same study")
def _(folder: Path) -> Truth:
    data = enhanced([FrameOf(step=n, offset=50.0) for n in range(6)])
    data.SeriesInstanceUID, data.SOPInstanceUID = "2.25.7.2", "2.25.7.2.1"
    save(folder / "classic", Bench().slices())
    save(folder / "enhanced", [data])
    return Truth(shapes=((6, 7, 9),) * 2, offsets=(0.0, 50.0))


@case("enhanced CT with a private colour map and real world values in its groups", objective=False)
def _(folder: Path) -> Truth:
    world = {
        "RealWorldValueMappingSequence": {
            "RealWorldValueFirstValueMapped": 0,
            "RealWorldValueLastValueMapped": 4000,
            "RealWorldValueIntercept": -7.0,
            "RealWorldValueSlope": 3.0,
            "LUTLabel": "OTHER",
        }
    }
    data = enhanced([FrameOf(step=n, groups=world) for n in range(6)])
    for frame in data.PerFrameFunctionalGroupsSequence:
        entry = frame.RealWorldValueMappingSequence[0]
        entry["RealWorldValueFirstValueMapped"].VR = entry["RealWorldValueLastValueMapped"].VR = "US"
    save(folder, [data])
    return Truth()
