"""Where the evidence lies: outside the body (D01), on the border of the input (D02)."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_dilation

from audit_pipeline.checks.declare import Result, check, not_evaluable
from audit_pipeline.checks.map_measures import border_band, enrichment, mass, share, toroidal_shares
from audit_pipeline.checks.null_limits import limits_for
from audit_pipeline.checks.per_map import judge_maps
from audit_pipeline.evidence import Evidence
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Explanation, Mask
from audit_pipeline.wording import percent, shown


@check(
    "D01",
    title="Evidence outside the body",
    family="D",
    sentence="The map puts its evidence where there is no patient: in air, on padding or on the table.",
    severity=(4, 4, 3),
    provenance="dom",
    reference="DeGrave 2021 (doi:10.1038/s42256-021-00338-7): shortcuts outside the anatomy",
    advice="Look for a shortcut: hide everything outside the body and predict again.",
    direction="above",
    version=2,
)
def outside_body(
    evidence: Evidence,
    *,
    share_limit: float = 0.30,
    p_limit: float = 0.05,
    majority: float = 0.50,
    shifts: int = 40,
) -> Result:
    """Flag a map with more than `share_limit` of its mass outside the body when chance does not explain it.

    Chance is the map's own cyclic shifts (`map_measures.toroidal_shares`): ``p = (1 + #{null >= observed}) /
    (1 + shifts)``. More than `majority` outside is flagged whatever chance says, because in an image with much air
    the shifts fall outside too. A share above `share_limit` that a shifted map would reach as well is a note: the
    map is no better placed than a random one. The body is widened by half a cell of the map's grid, the finest
    distance at which the map can place anything.
    """
    if evidence.body is None:
        return not_evaluable("The body could not be told from the background, so nothing can lie outside it.")
    body = evidence.body

    def judge(explanation: Explanation) -> Result:
        masses = mass(explanation)
        outside = ~widened(body, explanation.grid)
        found = share(masses, outside)
        null = toroidal_shares(masses, outside, shifts)
        p_value = (1 + int((null >= found - 1e-12).sum())) / (1 + shifts)
        outcome = _outside_outcome(found > share_limit, is_rare=p_value < p_limit, is_most=found > majority)
        message = (
            f"{percent(found)} of the evidence lies outside the body (limit {percent(share_limit)}); "
            f"shifted copies of the map reach this with p = {shown(p_value)}."
        )
        return Result(outcome, message, value=found, limit=share_limit, unit="share of evidence")

    return judge_maps(evidence, judge)


def _outside_outcome(is_high: bool, *, is_rare: bool, is_most: bool) -> Outcome:  # noqa: FBT001 - three facts
    if is_most or (is_high and is_rare):
        return Outcome.FLAG
    return Outcome.NOTE if is_high else Outcome.PASS


def widened(body: Mask, grid: tuple[int, ...]) -> Mask:
    """Return `body` grown by half a cell of `grid` along every axis."""
    for axis, (size, cells) in enumerate(zip(body.shape, grid, strict=True)):
        reach = size // (2 * cells)
        if reach:
            line = np.ones([2 * reach + 1 if other == axis else 1 for other in range(body.ndim)], dtype=np.bool_)
            body = binary_dilation(body, line)
    return body


@check(
    "D02",
    title="Evidence on the border",
    family="D",
    sentence="The map concentrates along the edge of the input, where zero padding and collimation leave traces.",
    severity=(4, 4, 3),
    provenance="sim",
    reference="Simulated null of smooth random maps, see null_limits",
    advice="Crop the border, predict again and compare.",
    direction="above",
    version=2,
)
def on_border(evidence: Evidence, *, slack: float = 1.0) -> Result:
    """Flag a map whose border enrichment exceeds the 99 % quantile of random maps of its grid.

    The enrichment is the share of the mass in the outer 10 % of every face, divided by the share of voxels there.
    `slack` multiplies the limit.
    """
    band = border_band(evidence.prepared.inside.shape)

    def judge(explanation: Explanation) -> Result:
        found = enrichment(mass(explanation), band)
        if found is None:
            return not_evaluable("the input is too small to have a border.")
        limit = slack * limits_for(explanation.grid).border_99
        message = (
            f"the border holds {shown(found)} times the evidence of an even map "
            f"(limit {shown(limit)} for a grid of {'x'.join(map(str, explanation.grid))})."
        )
        outcome = Outcome.FLAG if found > limit else Outcome.PASS
        return Result(outcome, message, value=found, limit=limit, unit="times an even map")

    return judge_maps(evidence, judge)
