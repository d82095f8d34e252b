"""One DICOM study, step by step: index, screen, group, geometry, decode, values, deliver."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from audit_pipeline.errors import (
    IncompleteSeriesError,
    LoadError,
    NoGeometryError,
    NotAStudyError,
    OrientationError,
)
from audit_pipeline.load.account import Account
from audit_pipeline.load.dicom_geometry import frame_of
from audit_pipeline.load.dicom_group import Group, grids_of, is_projection, orientations_of, split_off, stacks_of
from audit_pipeline.load.dicom_image import projection_image, stack_image
from audit_pipeline.load.dicom_index import Header, read_header
from audit_pipeline.load.dicom_screen import each_object_once, of_one_patient, only_images, within_limits
from audit_pipeline.load.settings import LoadSettings
from audit_pipeline.load.sniff import FileKind, kind_of
from audit_pipeline.records import Disposition, Image

UNREADABLE_SHARE = 0.5
"""With more damaged DICOM files than this share a folder is not a study any more."""


def read_dicom(files: Sequence[Path], settings: LoadSettings, account: Account) -> list[Image]:
    """Return every image that the files of one study deliver; `account` holds what became of the others."""
    images_found = only_images(_index(files, settings, account), account)
    damaged = account.count(Disposition.UNREADABLE)
    if len(files) > 1 and damaged > UNREADABLE_SHARE * len(files):
        message = f"{damaged} of {len(files)} files cannot be read as DICOM; transfer the study again"
        account.refuse(NotAStudyError(message), [one.path for one in images_found])
        return []
    headers = of_one_patient(within_limits(images_found, settings, account), account)
    headers = each_object_once(headers, account)
    lost = {one.path.parent for one in headers if one.damage is not None and not one.series_uid}
    series: dict[tuple[str, str], list[Header]] = defaultdict(list)
    for header in headers:
        series[header.study_uid, header.series_uid].append(header)
    return [image for key in sorted(series) for image in _series_images(series[key], lost, settings, account)]


def _index(files: Sequence[Path], settings: LoadSettings, account: Account) -> list[Header]:
    headers = []
    for file in files:
        if kind_of(file) is FileKind.DICOM:
            headers.append(read_header(file, settings))
        else:
            account.settle([file], Disposition.NON_IMAGE, "not a DICOM file")
    return headers


def _series_images(headers: Sequence[Header], lost: set[Path], settings: LoadSettings, account: Account) -> list[Image]:
    """Return the images of one series; `lost` are folders with a damaged file of unknown series."""
    sound = [one for one in headers if one.damage is None]
    images = []
    for header in sound:
        if is_projection(header):
            images += _tried([header], account, partial(projection_image, header, settings))
    placed = [one for one in sound if not is_projection(one)]
    if not placed:
        return images
    is_damaged = any(one.damage is not None and not is_projection(one) for one in headers)
    if is_damaged or any(one.path.parent in lost for one in placed):
        message = (
            "a file of the series is damaged, so the volume would have a hole or end early; transfer the series again"
        )
        account.refuse(IncompleteSeriesError(message), [one.path for one in placed])
        return images
    return images + _placed_images(placed, settings, account)


def _placed_images(headers: Sequence[Header], settings: LoadSettings, account: Account) -> list[Image]:
    try:
        _refuse_without_geometry(headers)
        groups = grids_of(headers)
    except LoadError as error:
        account.refuse(error, [one.path for one in headers])
        return []
    aside = split_off(headers, groups)
    account.settle([one.path for one in aside], Disposition.OTHER_ORIENTATION, "another plane than most of its series")
    return [image for group in groups for image in _group_images(group, settings, account)]


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
    for header in headers:
        frame_of(header.orientation or ())


def _group_images(group: Group, settings: LoadSettings, account: Account) -> list[Image]:
    try:
        frame = frame_of(orientations_of(group))
        stacks = stacks_of(group, frame.normal)
    except LoadError as error:
        account.refuse(error, [one.path for one in group.headers])
        return []
    return [
        image
        for stack in stacks
        for image in _tried(stack.headers, account, partial(stack_image, stack, settings, account))
    ]


def _tried(headers: Sequence[Header], account: Account, deliver: Callable[[], Image]) -> list[Image]:
    """Return the image that `deliver` makes of the files, or refuse them."""
    paths = [one.path for one in headers]
    try:
        image = deliver()
    except LoadError as error:
        account.refuse(error, paths)
        return []
    account.settle(paths, Disposition.USED)
    return [image]
