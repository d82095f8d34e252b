"""Whether the map depends on what was learnt: on the stage it is read from (D18), on the parameters (D20)."""

from __future__ import annotations

import numpy as np

from audit_pipeline.agreement import spearman
from audit_pipeline.checks.declare import Result, check, not_evaluable
from audit_pipeline.checks.map_measures import coarsened
from audit_pipeline.checks.map_questions import far_shifts
from audit_pipeline.checks.per_map import first_map, label
from audit_pipeline.evidence import Evidence, Unanswered
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Floats
from audit_pipeline.wording import shown

SEEDS = 3
SHIFTS = 40


@check(
    "D18",
    title="Layers disagree",
    family="D",
    sentence="The map of the stage before points to other places, so the picture depends on the choice of the layer.",
    severity=(3, 4, 5),
    provenance="dom",
    reference="Rank correlation of the raw maps of two neighbouring stages",
    advice="Show the maps of both stages.",
    level="deep",
    direction="below",
    cost=1,
)
def layer_disagreement(evidence: Evidence, *, limit: float = 0.0) -> Result:
    """Measure Spearman's correlation of the map with that of the stage before, averaged to the coarser grid.

    The default limit asks for some agreement only: dense networks reach 0.05 to 0.7 on clean studies, so that a limit
    worth having comes from reference studies.
    """
    first = first_map(evidence)
    before = _map_again(evidence, layer="before")
    shape = tuple(min(sizes) for sizes in zip(first.grid, before.shape, strict=True))
    value = spearman(coarsened(first.values, shape), coarsened(before, shape))
    if value is None:
        return not_evaluable("The map of the stage before is constant, so it has no rank order.")
    text = f"{label(first)}: the rank correlation with the map of the stage before is {shown(value)} (limit "
    outcome = Outcome.FLAG if value < limit else Outcome.PASS
    return Result(outcome, f"{text}{shown(limit)}).", value=value, limit=limit, unit="Spearman correlation")


@check(
    "D20",
    title="Independent of the parameters",
    family="D",
    sentence="The map stays the same when the last block of the network is given random parameters.",
    severity=(5, 3, 5),
    provenance="dom",
    reference="Adebayo 2018 (arXiv:1810.03292); Arun 2021 (doi:10.1148/ryai.2021200267) for a baseline of unlike maps",
    advice="Do not use this method with this model: it shows the image, not what was learnt.",
    level="deep",
    direction="above",
    cost=SEEDS,
)
def parameter_independent(evidence: Evidence, *, limit: float = 0.80) -> Result:
    """Measure Spearman's correlation of the map with those of the network with a random last block.

    The value is the mean over three draws. It is flagged above `limit`, and above 95 % of the correlations of the map
    with its own cyclic shifts, which are the baseline of unlike maps with the same texture.
    """
    first = first_map(evidence)
    found = []
    for seed in range(1, SEEDS + 1):
        likeness = spearman(first.values, _map_again(evidence, reinitialised=seed))
        found.append(0.0 if likeness is None else likeness)
    value = float(np.mean(found))
    values = first.values.astype(np.float64)
    offsets = far_shifts(values, np.random.default_rng(evidence.seed), SHIFTS) if max(first.grid) > 1 else []
    shifted = [spearman(values, np.roll(values, offset, tuple(range(values.ndim)))) or 0.0 for offset in offsets]
    baseline = max(limit, float(np.quantile(shifted, 0.95))) if shifted else limit
    text = (
        f"{label(first)}: with random parameters in the last block the map keeps a rank correlation of {shown(value)} "
        f"(limit {shown(baseline)})."
    )
    outcome = Outcome.FLAG if value > baseline else Outcome.PASS
    return Result(outcome, text, value=value, limit=baseline, unit="Spearman correlation")


def _map_again(evidence: Evidence, *, layer: str = "", reinitialised: int | None = None) -> Floats:
    """Return the map (*grid) of the unchanged input from another layer or with random parameters.

    Raises
    ------
    Unanswered
        The model is not at hand or gives no finite map.
    """
    inputs = evidence.prepared.values[None]
    maps = evidence.witness().explain(inputs, layer=layer, reinitialised=reinitialised).maps
    if maps is None or not np.isfinite(maps).all():
        raise Unanswered("The model gave no finite map.")
    return np.asarray(maps[0])
