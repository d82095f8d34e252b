"""Whether the model input is what the model card promises: scale (A08), clipping (A09), padding (A14), place (A24)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from audit_pipeline.checks.declare import Result, check, not_evaluable
from audit_pipeline.checks.golden import golden_chain
from audit_pipeline.evidence import Evidence, Reference
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Matrix
from audit_pipeline.wording import percent, shown

LEAST_STUDIES = 20
"""Reference studies that the spread of a moment is known from."""

LEAST_SPREAD = 0.02
"""Of a moment between studies, as a share of the mean standard deviation of the input: references that are almost the
same must not turn a harmless difference into a large one."""

POINTS, LEAST_PLACES = 4096, 64
"""Places at which the model input is compared with the source, and how many are needed."""

Places = NDArray[np.intp]


@check(
    "A08",
    title="Wrong normalisation",
    family="A",
    sentence="The model input is not scaled as the model knows it, so every value means something else to it.",
    severity=(5, 4, 5),
    provenance="dom",
    reference="The reference studies of the model card",
    advice="Compare the intensity step of the model card with the preprocessing the model was trained with.",
    direction="above",
)
def wrong_normalisation(evidence: Evidence, *, deviations: float = 5.0, ratio: float = 2.0) -> Result:
    """Compare mean and standard deviation of the model input with those of the reference studies.

    Value: the larger of |mean - reference mean| / (`deviations` robust standard deviations of it between studies) and
    |log2(standard deviation / its reference median)| / log2(`ratio`); flagged above 1.
    """
    values = evidence.prepared.values
    if not np.isfinite(values).all():
        return Result(
            Outcome.CRITICAL, "The model input holds values that are not finite.", None, 1.0, "times the limit"
        )
    reference = evidence.reference
    if reference is None or len(reference.intensities) < LEAST_STUDIES:
        return not_evaluable(f"The scale of the input is judged against at least {LEAST_STUDIES} reference studies.")
    known = reference.intensities.astype(np.float64)
    mean, spread = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
    usual_mean, usual_spread = float(np.median(known[:, 0])), float(np.median(known[:, 1]))
    scatter = 1.4826 * float(np.median(np.abs(known[:, 0] - usual_mean)))
    distance = abs(mean - usual_mean) / max(scatter, LEAST_SPREAD * usual_spread, 1e-12)
    change = abs(math.log2(max(spread, 1e-12) / max(usual_spread, 1e-12)))
    value = max(distance / deviations, change / math.log2(ratio))
    text = (
        f"The input has mean {shown(mean)} and standard deviation {shown(spread)}; that of reference studies is "
        f"{shown(usual_mean)} and {shown(usual_spread)}, which is {shown(value)} times the limit of "
        f"{shown(deviations)} deviations or a factor of {shown(ratio)}."
    )
    return Result(Outcome.FLAG if value > 1 else Outcome.PASS, text, value, 1.0, "times the limit")


@check(
    "A09",
    title="Clipping inside the body",
    family="A",
    sentence="Much of the body lies at the floor or ceiling of the model input, where nothing can be told apart.",
    severity=(3, 3, 4),
    provenance="dom",
    reference="The intensity step of the model card",
    advice="Check the window of the model input against the tissue that matters.",
    direction="above",
)
def clipped_body(evidence: Evidence, *, limit: float = 0.30, more: float = 0.05) -> Result:
    """Measure the share of the body whose input is the lowest or the highest value there is.

    The limit is `limit`, or where reference studies hold their quantiles, `more` above what 99 % of them show.
    """
    body = evidence.body
    if body is None or not body.any():
        return not_evaluable("The body was not found on the model input.")
    values = evidence.prepared.values
    low, high = float(values.min()), float(values.max())
    if not high > low:
        return not_evaluable("The model input is constant, see A15.")
    inside = values[:, body]
    value = float(((inside <= low) | (inside >= high)).mean())
    allowed = _reference_clipping(evidence.reference, low, high)
    bound = limit if allowed is None else allowed + more
    told = "" if allowed is None else f", {percent(more)} more than 99 % of the reference studies"
    text = f"{percent(value)} of the body is clipped in the model input (limit {percent(bound)}{told})."
    return Result(Outcome.FLAG if value > bound else Outcome.PASS, text, value, bound, "share of the body")


def _reference_clipping(reference: Reference | None, low: float, high: float) -> float | None:
    if reference is None or reference.quantiles is None or len(reference.quantiles) < LEAST_STUDIES:
        return None
    margin = 1e-4 * (high - low)
    shares = ((reference.quantiles <= low + margin) | (reference.quantiles >= high - margin)).mean(axis=1)
    return float(np.quantile(shares, 0.99))


@check(
    "A14",
    title="Mostly padding",
    family="A",
    sentence="Much of the model input is padding: little of the network's field is patient.",
    severity=(3, 3, 4),
    provenance="dom",
    reference="The mask of padding, carried through every transform",
    advice="Crop closer, or scale the image to fill the input.",
    direction="above",
)
def mostly_padding(evidence: Evidence, *, note_share: float = 0.30, flag_share: float = 0.50) -> Result:
    """Measure the share of padding: what no source voxel covers, what the source marks invalid, and added frames."""
    if evidence.padding is None:
        return not_evaluable("The padding of the model input is not known.")
    value = float(evidence.padding.mean())
    limits = f"note above {percent(note_share)}, limit {percent(flag_share)}"
    text = f"{percent(value)} of the model input is padding ({limits})."
    outcome = Outcome.FLAG if value > flag_share else Outcome.NOTE if value > note_share else Outcome.PASS
    return Result(outcome, text, value, flag_share, "share of the input")


@check(
    "A24",
    title="Input is not its source",
    family="A",
    sentence="The model input does not show what its index map says: a transform is missing, doubled or out of order.",
    severity=(5, 3, 5),
    provenance="dom",
    reference="The index map from the model input to the source, and linear interpolation by an independent code",
    advice="Stop: neither prediction nor map can be related to the patient. Fix the preprocessing.",
    direction="below",
)
def transform_chain(evidence: Evidence, *, least: float = 0.80, limit: float = 0.0) -> Result:
    """Read the source again at random places of the input and compare with what the model was given.

    Value: correlation of the input with the source at the places that the index map names, less the best of the
    correlations one voxel beside them along any axis or mirrored along it. It is above 0 when the index map holds,
    whatever the noise; an input that is shifted, mirrored, permuted or of another study fits better elsewhere.
    Flagged below `limit`, or when the correlation itself is below `least`. Golden cases of the model card come first:
    one that does not give the stated logits means that the chain or the model is not the declared one.
    """
    golden = golden_chain(evidence)
    if golden is not None and golden.outcome is not Outcome.NOTE:
        return golden
    result = _read_from_the_source(evidence, least, limit)
    return golden if golden is not None and result.outcome is Outcome.PASS else result


def _read_from_the_source(evidence: Evidence, least: float, limit: float) -> Result:
    prepared = evidence.prepared
    inside = np.argwhere(prepared.inside if evidence.padding is None else ~evidence.padding)
    if len(inside) < LEAST_PLACES or not np.isfinite(prepared.values).all():
        return not_evaluable("Too little of the input is covered by the source.")
    chosen = inside[np.random.default_rng(evidence.seed).permutation(len(inside))[:POINTS]]
    given = prepared.values.mean(axis=0, dtype=np.float64)[tuple(chosen.T)]
    right = _agreement(given, _read_again(evidence, chosen))
    if right is None:
        return not_evaluable("The input or the source is constant where they overlap, see A15.")
    others = [_agreement(given, _read_again(evidence, places)) for places in _beside(chosen, prepared.inside.shape)]
    value = right - max((one for one in others if one is not None), default=0.0)
    text = f"The input correlates by {shown(right)} with the source read through its index map (limit {shown(least)}), "
    text += f"and by {shown(abs(value))} {'less' if value > 0 else 'more'} beside it (limit {shown(limit)} less)."
    outcome = Outcome.FLAG if right < least or value < limit else Outcome.PASS
    return Result(outcome, text, value, limit, "difference of correlations")


def _beside(chosen: Places, shape: tuple[int, ...]) -> Iterator[Places]:
    """Yield the places moved by one voxel either way, and mirrored, along every axis."""
    for axis, size in enumerate(shape):
        step = np.zeros(len(shape), dtype=chosen.dtype)
        step[axis] = 1
        yield chosen + step
        yield chosen - step
        mirrored = chosen.copy()
        mirrored[:, axis] = size - 1 - chosen[:, axis]
        yield mirrored


def _agreement(one: Matrix, other: Matrix) -> float | None:
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(np.corrcoef(one, other)[0, 1])


def _read_again(evidence: Evidence, chosen: Places) -> Matrix:
    """Return the source at places of the input, averaged over the cell, in the window of the intensity step."""
    image, prepared = evidence.image, evidence.prepared
    grey = image.values.mean(axis=-1) if image.is_colour else image.values
    linear, start = prepared.to_source[:-1, :-1], prepared.to_source[:-1, -1]
    offsets = [np.zeros(grey.ndim)]
    for axis in range(grey.ndim):
        offsets += [side * np.eye(grey.ndim)[axis] for side in (-1 / 3, 1 / 3)]
    total = np.zeros(len(chosen))
    for offset in offsets:
        places = (chosen + offset) @ linear.T + start
        total += map_coordinates(grey, places.T, order=1, mode="nearest", output=np.float64)
    low, high = prepared.display_window
    return np.asarray(np.clip(total / len(offsets), low, high) if high > low else total)
