"""From a plan to an `Image`: the slices are decoded side by side, straight into the volume."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from audit_pipeline.errors import CodecError, IncompleteSeriesError, LoadError, PixelDataError, RescaleError
from audit_pipeline.findings import Finding, Outcome
from audit_pipeline.load.account import Account
from audit_pipeline.load.dicom_geometry import Stack
from audit_pipeline.load.dicom_plan import Plan
from audit_pipeline.load.dicom_slice import Slice, write_slice
from audit_pipeline.load.notes import (
    ASSUMED_POSITION_OR_UNIT,
    LOSSY_COMPRESSION,
    POLARITY_INVERTED,
    REPAIRED_HEADER,
    noted,
)
from audit_pipeline.load.pixel_file import PixelFiles, encoded_frame
from audit_pipeline.load.settings import LoadSettings
from audit_pipeline.load.values import filled, value_findings
from audit_pipeline.records import Floats, Image, Mask, Scalar, sealed


def image_of(plan: Plan, settings: LoadSettings, account: Account) -> Image:
    """Return the image of a plan.

    Raises
    ------
    LoadError
        The values of a slice are not known, see `dicom_pixels` and `dicom_values`.
    IncompleteSeriesError
        The pixels of one slice of several are damaged; its file is refused with its own reason.
    """
    slices, digests, values, invalid = _decoded(plan, settings, account)
    _refuse_mixed_units(slices)
    if plan.stack is None:
        values, invalid = values[0], None if invalid is None else invalid[0]
    elif plan.stack.depth > len(slices):
        values, invalid = _spread(values, invalid, plan.stack)
    metadata: dict[str, Scalar] = dict(plan.metadata)
    metadata["stored_min"] = min(one.stored_range[0] for one in slices)
    metadata["stored_max"] = max(one.stored_range[1] for one in slices)
    return Image(
        values=sealed(filled(values, invalid)),
        affine=None if plan.affine is None else sealed(plan.affine),
        spacing_mm=plan.spacing_mm,
        modality=plan.modality,
        unit=slices[0].unit,
        format="dicom",
        invalid=None if invalid is None else sealed(invalid),
        metadata=metadata,
        stack=None if plan.stack is None else plan.stack.facts,
        findings=(
            *plan.findings,
            *_slice_findings(slices, plan),
            *value_findings(invalid, plan.spacing_mm),
        ),
        sources=tuple(dict.fromkeys(digests)),
        selectors=plan.selectors,
    )


def _decoded(
    plan: Plan, settings: LoadSettings, account: Account
) -> tuple[list[Slice], list[str], Floats, Mask | None]:
    """Return what is known of each slice, the digests of their files, and the pixels of all as one array."""
    first = plan.headers[0]
    size = (len(plan.headers), first.rows, first.columns)
    values = np.empty((*size, 3) if plan.is_colour else size, dtype=np.float32)
    files = PixelFiles(settings)
    masks: list[Mask] = []
    lock = threading.Lock()

    def decode(place: int) -> tuple[Slice, str]:
        header = plan.headers[place]
        try:
            file = files.of(header)
            encoded = encoded_frame(header, file)
            found = write_slice(values[place], encoded, header, settings, suv_factor=plan.suv_factor)
        except LoadError as error:
            error.files = (header.path,)
            raise
        if found.invalid is not None:
            with lock:
                if not masks:
                    masks.append(np.zeros(size, dtype=bool))
            masks[0][place] = found.invalid
        return replace(found, invalid=None), file.digest

    try:
        # one more than cores: while a worker decodes, the thread that feeds it waits
        decoded = _side_by_side(decode, len(plan.headers), settings.workers or _cores() + 1)
    except PixelDataError as error:
        if len(plan.headers) == 1 or isinstance(error, CodecError):
            raise
        account.refuse(error, error.files)
        raise IncompleteSeriesError(
            "the pixels of a slice are damaged, so the volume would have a hole; transfer the series again"
        ) from error
    return [one for one, _ in decoded], [digest for _, digest in decoded], values, masks[0] if masks else None


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _side_by_side(decode: Callable[[int], tuple[Slice, str]], count: int, workers: int) -> list[tuple[Slice, str]]:
    """Return what `decode` makes of each slice, in order; of several failures, that of the lowest slice is raised."""
    if min(count, workers) == 1:
        return [decode(place) for place in range(count)]
    with ThreadPoolExecutor(min(count, workers)) as executor:
        try:
            return list(executor.map(decode, range(count)))
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise


def _spread(values: Floats, invalid: Mask | None, stack: Stack) -> tuple[Floats, Mask | None]:
    """Return the slices at their places in the volume; what lies between is interpolated, or empty and invalid."""
    spread = np.zeros((stack.depth, *values.shape[1:]), dtype=np.float32)
    mask = np.ones((stack.depth, *values.shape[1:3]), dtype=bool)
    if not stack.is_resampled:
        slots = [round(place) for place in stack.places]
        spread[slots], mask[slots] = values, False if invalid is None else invalid
        return spread, mask
    places = np.asarray(stack.places)
    for slot in range(stack.depth):
        above = int(np.clip(np.searchsorted(places, slot), 1, len(places) - 1))
        share = float(np.clip((slot - places[above - 1]) / (places[above] - places[above - 1]), 0.0, 1.0))
        spread[slot] = (1.0 - share) * values[above - 1] + share * values[above]
        mask[slot] = False if invalid is None else invalid[above - 1] | invalid[above]
    return spread, mask if invalid is not None else None


def _refuse_mixed_units(slices: Sequence[Slice]) -> None:
    kinds = {(one.unit, one.mapping) for one in slices}
    if len(kinds) > 1:
        raise RescaleError(
            f"the slices of one series do not share one unit and one kind of rescaling, found {len(kinds)}; "
            "export the series again"
        )


def _slice_findings(slices: Sequence[Slice], plan: Plan) -> list[Finding]:
    found = []
    if slices[0].is_inverted:
        message = "The file stores MONOCHROME1; the values were inverted once, so that bright is dense."
        found.append(noted(POLARITY_INVERTED, Outcome.NOTE, message))
    if plan.modality == "CT" and slices[0].mapping == "none":
        message = "The CT states no RescaleSlope and RescaleIntercept; its values are stored values, not HU."
        found.append(noted(ASSUMED_POSITION_OR_UNIT, Outcome.FLAG, message))
    repairs = Counter(repair for one in slices for repair in one.repairs)
    if repairs:
        listed = ", ".join(f"{repair} ({count} of {len(slices)})" for repair, count in sorted(repairs.items()))
        message = f"Files were read with a repair: {listed}."
        found.append(
            noted(REPAIRED_HEADER, Outcome.NOTE, message, value=float(max(repairs.values())), limit=0.0, unit="files")
        )
    return found + _lossy_findings(slices, plan)


def _lossy_findings(slices: Sequence[Slice], plan: Plan) -> list[Finding]:
    lossy = sum(one.is_lossy for one in slices)
    if not lossy:
        return []
    ratio = plan.metadata.get("LossyImageCompressionRatio")
    said = f"at a ratio of {ratio:g} to 1" if isinstance(ratio, float) else "at a ratio that the file does not state"
    message = f"{lossy} of {len(slices)} images were compressed with loss, {said}."
    value = ratio if isinstance(ratio, float) else None
    return [noted(LOSSY_COMPRESSION, Outcome.FLAG, message, value=value, unit="ratio")]
