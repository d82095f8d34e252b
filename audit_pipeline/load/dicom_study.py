"""One DICOM study, step by step: index, screen, frames, group, plan; then decode what was chosen of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from audit_pipeline.errors import (
    HeaderError,
    IncompleteSeriesError,
    LoadError,
    NoGeometryError,
    NotAStudyError,
    OrientationError,
)
from audit_pipeline.load.account import Account
from audit_pipeline.load.archive import refusal_of
from audit_pipeline.load.dicom_frames import frames_of, refuse_part_of_concatenation
from audit_pipeline.load.dicom_geometry import frame_of
from audit_pipeline.load.dicom_group import (
    Group,
    grids_of,
    has_no_place,
    is_projection,
    orientations_of,
    split_off,
    stacks_of,
)
from audit_pipeline.load.dicom_header import Header
from audit_pipeline.load.dicom_image import image_of
from audit_pipeline.load.dicom_index import read_header
from audit_pipeline.load.dicom_plan import Plan, plan_picture, plan_stack
from audit_pipeline.load.dicom_screen import each_object_once, of_one_patient, only_images, within_limits
from audit_pipeline.load.files import is_member
from audit_pipeline.load.settings import LoadSettings
from audit_pipeline.load.sniff import FileKind, kind_of
from audit_pipeline.records import Disposition, Image

UNREADABLE_SHARE = 0.5
"""With more damaged DICOM files than this share a folder is not a study any more."""


def plan_dicom(files: Sequence[Path], settings: LoadSettings, account: Account) -> list[Plan]:
    """Return every image that the files of one study could deliver; `account` holds what became of the others."""
    images_found = only_images(_index(files, settings, account), account)
    damaged = account.count(Disposition.UNREADABLE)
    if len(files) > 1 and damaged > UNREADABLE_SHARE * len(files):
        message = f"{damaged} of {len(files)} files cannot be read as DICOM; transfer the study again"
        account.refuse(NotAStudyError(message), [one.path for one in images_found])
        return []
    headers = of_one_patient(within_limits(images_found, settings, account), account)
    headers = each_object_once(headers, settings, account)
    lost = {one.path.parent for one in headers if one.damage is not None and not one.series_uid}
    series: dict[tuple[str, str], list[Header]] = defaultdict(list)
    for header in headers:
        series[header.study_uid, header.series_uid].append(header)
    return [plan for key in sorted(series) for plan in _series_plans(series[key], lost, settings, account)]


def _index(files: Sequence[Path], settings: LoadSettings, account: Account) -> list[Header]:
    return [header for file in files if (header := _indexed(file, settings, account)) is not None]


def _indexed(file: Path, settings: LoadSettings, account: Account) -> Header | None:
    """Return the header of a DICOM file, or of one that cannot be opened and may be anything; None for the others."""
    kind = kind_of(file)
    if kind is FileKind.DICOM:
        return read_header(file, settings)
    if kind is FileKind.UNREADABLE:
        damage = HeaderError("the file cannot be opened or read; check its permissions and its disk")
        return Header(path=file, damage=damage)
    refused = refusal_of(file, settings) if kind is FileKind.ARCHIVE else None
    if refused is not None:
        account.refuse(refused, [file])
        return None
    is_nested = kind is FileKind.ARCHIVE and is_member(file)
    reason = "an archive inside an archive, not opened" if is_nested else "not a DICOM file"
    account.settle([file], Disposition.NON_IMAGE, reason)
    return None


def _series_plans(headers: Sequence[Header], lost: set[Path], settings: LoadSettings, account: Account) -> list[Plan]:
    """Return the images of one series; `lost` are folders with a damaged file of unknown series."""
    damaged = sum(one.damage is not None and not is_projection(one) for one in headers)
    frames, is_short = _frames([one for one in headers if one.damage is None], settings, account)
    plans = []
    for header in frames:
        if is_projection(header):
            plans += _tried([header], account, partial(plan_picture, header, settings))
    placed = [one for one in frames if not is_projection(one)]
    if not placed:
        return plans
    if damaged or is_short or any(one.path.parent in lost for one in placed):
        found = f"{damaged} of {len(headers)} files" if damaged else "a file"
        message = (
            f"{found} of the series {'are' if damaged > 1 else 'is'} damaged, so the volume would have a hole or end "
            "early; transfer the series again"
        )
        account.refuse(IncompleteSeriesError(message), [one.path for one in placed])
        return plans
    return plans + _placed_plans(placed, settings, account)


def _frames(headers: Sequence[Header], settings: LoadSettings, account: Account) -> tuple[list[Header], bool]:
    """Return the frames of all files, and whether a file has frames with a place that cannot be used."""
    frames: list[Header] = []
    is_short = False
    for header in headers:
        try:
            frames += frames_of(header, settings)
        except LoadError as error:
            account.refuse(error, [header.path])
            is_short = is_short or not has_no_place(header)
    return frames, is_short


def _placed_plans(headers: Sequence[Header], settings: LoadSettings, account: Account) -> list[Plan]:
    try:
        _refuse_without_geometry(headers)
        refuse_part_of_concatenation(headers)
        groups = grids_of(headers)
    except LoadError as error:
        account.refuse(error, [one.path for one in headers])
        return []
    aside = split_off(headers, groups)
    account.settle([one.path for one in aside], Disposition.OTHER_ORIENTATION, "another plane than most of its series")
    main, *others = groups
    plans = _group_plans(main, settings, account)
    if others and not plans:
        message = "the main stack of the series was refused, so what is left of it is not delivered; see its reason"
        account.refuse(IncompleteSeriesError(message), [one.path for group in others for one in group.headers])
        return []
    return plans + [plan for group in others for plan in _group_plans(group, settings, account)]


def _refuse_without_geometry(headers: Sequence[Header]) -> None:
    without = sum(1 for one in headers if one.position is None)
    if without:
        raise NoGeometryError(
            f"{without} of {len(headers)} slices have no ImagePositionPatient, so no voxel has a known place; "
            "export the series with its geometry"
        )
    without = sum(1 for one in headers if one.orientation is None)
    if without:
        raise OrientationError(
            f"{without} of {len(headers)} slices have no ImageOrientationPatient; export the series with its geometry"
        )
    for orientation in {one.orientation for one in headers}:
        frame_of(orientation or ())


def _group_plans(group: Group, settings: LoadSettings, account: Account) -> list[Plan]:
    try:
        frame = frame_of(orientations_of(group))
        stacks = stacks_of(group, frame.normal)
    except LoadError as error:
        account.refuse(error, [one.path for one in group.headers])
        return []
    return [plan for stack in stacks for plan in _tried(stack.headers, account, partial(plan_stack, stack, settings))]


ResultT = TypeVar("ResultT", Plan, Image)


def _tried(headers: Sequence[Header], account: Account, make: Callable[[], ResultT]) -> list[ResultT]:
    """Return what `make` makes of the files, or refuse them."""
    try:
        return [make()]
    except LoadError as error:
        account.refuse(error, [one.path for one in headers])
        return []


def decode_plans(plans: Sequence[Plan], settings: LoadSettings, account: Account) -> list[Image]:
    """Return the images of plans whose pixels can be decoded; the files of the others are refused."""
    images: list[Image] = []
    for plan in plans:
        made = _tried(plan.headers, account, partial(image_of, plan, settings, account))
        if made:
            account.settle([one.path for one in plan.headers], Disposition.USED)
        images += made
    return images
