r"""Does the map depend on what the model learnt? Randomised parameters, another target, edges, other seeds.

A map that stays when the weights are thrown away explains the image, not the model. Similarity alone proves little, as
smooth maps resemble each other by chance: every result stands beside the mean similarity of random map pairs of the
same smoothness. The model given is never touched; parameters are drawn anew in a deep copy.

Maps are (N, \*grid), raw and signed, of one target per image. 2D and 3D are the same code.

References
----------
J. Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018, arXiv:1810.03292: cascading and independent
randomisation, rank correlation with and without sign, SSIM, edge detector.
L. Sixt et al., When explanations lie, ICML 2020, arXiv:1912.09818: random logit test.
N. Arun et al., Assessing the trustworthiness of saliency maps, Radiol AI 2021, doi:10.1148/ryai.2021200267: baseline of
50 random map pairs, repeatability.
A. Hedstrom et al., Sanity checks revisited, 2024, arXiv:2405.02383: smooth (sMPRT) and efficient (eMPRT) versions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from audit_pipeline.agreement import STRONGEST, top_overlap
from audit_pipeline.errors import ExplainError
from audit_pipeline.explain.faithfulness import require_finite
from audit_pipeline.explain.intervals import Estimate, mean_estimate, no_estimate
from audit_pipeline.explain.similarity import histogram_entropy, pairwise_scores, surrogate

ExplainModel = Callable[[nn.Module], Tensor]
"""Model -> maps (N, \\*grid) of the same images and targets every time."""

BASELINE_PAIRS = 50
NOISE_SHARE, NOISY_IMAGES = 0.1, 10
"""Of sMPRT: deviation of the noise as a share of the image's range, and noisy images per map."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Similarity:
    """How alike maps are, each over images or pairs with its interval.

    spearman : rank correlation of the signed maps; spearman_absolute : of their magnitudes; ssim : structural
    similarity, see `ssim`
    """

    spearman: Estimate
    spearman_absolute: Estimate
    ssim: Estimate


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """Similarity to the maps of the trained model when these layers, and no others, have random parameters."""

    layers: tuple[str, ...]
    similarity: Similarity


@dataclass(frozen=True, kw_only=True, slots=True)
class Randomisation:
    """The steps in order, the first nearest the output, and the baseline of random pairs."""

    order: Literal["cascading", "independent"]
    steps: tuple[Step, ...]
    baseline: Similarity

    def is_at_chance(self, measure: str) -> bool | None:
        """Return whether the last step's similarity has come down to the baseline; None when it has no value.

        That is so when the lower end of its interval, or the value itself where there is none, does not lie above the
        upper end of the baseline's.
        """
        last, chance = getattr(self.steps[-1].similarity, measure), getattr(self.baseline, measure)
        if last.value is None or chance.value is None:
            return None
        low = last.value if last.low is None else last.low
        high = chance.value if chance.high is None else chance.high
        return bool(low <= high)


def parameter_randomisation(
    model: nn.Module,
    explain: ExplainModel,
    *,
    order: Literal["cascading", "independent"] = "cascading",
    steps: int = 10,
    pairs: int = BASELINE_PAIRS,
    seed: int = 0,
) -> Randomisation:
    """Return how the maps change as parameters are drawn anew, from the output to the input.

    Layers are the modules with parameters of their own in the order in which they run, in at most `steps` groups.
    Cascading keeps what was randomised before, independent randomises one group at a time. The maps of noisy inputs
    averaged (`denoised`) in place of `explain` make it the sMPRT.

    Parameters
    ----------
    explain : called with randomised copies of the model, and once with an unchanged copy
    pairs : random map pairs behind the baseline

    Raises
    ------
    ExplainError
        The model cannot be copied or has no parameters, or a map is not finite.
    """
    trained = _maps(explain, _copied(model))
    found = []
    for layers, changed in randomised(model, explain, order=order, steps=steps, seed=seed):
        maps = _maps(explain, changed)
        if maps.shape != trained.shape:
            raise ExplainError(f"maps must keep their shape {trained.shape}, found {maps.shape} after randomisation")
        found.append(Step(layers=layers, similarity=similarity(trained, maps, seed=seed)))
    return Randomisation(order=order, steps=tuple(found), baseline=chance_similarity(trained, pairs=pairs, seed=seed))


def _maps(explain: ExplainModel, model: nn.Module) -> np.ndarray:
    maps = explain(model)
    require_finite(maps)
    return maps.detach().double().cpu().numpy()


def _copied(model: nn.Module) -> nn.Module:
    try:
        return deepcopy(model)
    except (RuntimeError, TypeError) as error:
        raise ExplainError(
            f"randomisation works on a copy of the model, which cannot be copied ({type(error).__name__}); "
            "detach the tensors it keeps from earlier passes"
        ) from error


def randomised(
    model: nn.Module, explain: ExplainModel, *, order: str, steps: int, seed: int
) -> Iterator[tuple[tuple[str, ...], nn.Module]]:
    """Yield the names of the layers with random parameters and the copy of the model that has them."""
    names = layers_in_order(model, explain)[::-1]
    bounds = np.linspace(0, len(names), min(steps, len(names)) + 1).round().astype(int)
    changed, done = _copied(model), tuple[str, ...]()
    for first, last in pairwise(bounds):
        if order == "independent":
            changed, done = _copied(model), ()
        done += tuple(names[first:last])
        modules = dict(changed.named_modules())
        for place in range(first, last):
            draw_parameters(modules[names[place]], torch.Generator().manual_seed(seed * 100_003 + place))
        yield done, changed


def layers_in_order(model: nn.Module, explain: ExplainModel) -> list[str]:
    """Return the modules with parameters of their own in the order in which they first run when maps are made.

    A module that is never called, because its parent uses its parameters, stands where its nearest caller does.

    Raises
    ------
    ExplainError
        No module has parameters.
    """
    copy, ran = _copied(model), list[str]()

    def noting(name: str) -> Callable[..., None]:
        return lambda *_given: ran.append(name)

    for name, module in copy.named_modules():
        module.register_forward_hook(noting(name))
    explain(copy)
    first = {name: place for place, name in reversed(list(enumerate(ran)))}
    owners = [name for name, module in model.named_modules() if any(True for _ in module.parameters(recurse=False))]
    if not owners:
        raise ExplainError("the model has no parameters to draw anew; randomisation says nothing about it")

    def place(name: str) -> int:
        while name and name not in first:
            name = name.rpartition(".")[0]
        return first.get(name, len(ran))

    return sorted(owners, key=place)


def draw_parameters(module: nn.Module, generator: torch.Generator) -> None:
    """Draw the parameters of one module anew, in place.

    Weights of two or more axes are normal with variance 2 / fan-in (He et al. 2015), which keeps the scale of the
    activations whatever the depth; other weights, as of a normalisation, become 1 and biases 0, and its running
    statistics become those of standard activations.
    """
    with torch.no_grad():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.ndim > 1:
                deviation = (2 * parameter.shape[0] / parameter.numel()) ** 0.5
                parameter.copy_(deviation * torch.randn(parameter.shape, generator=generator))
            else:
                parameter.fill_(0.0 if "bias" in name else 1.0)
        for name, buffer in module.named_buffers(recurse=False):
            if name in {"running_mean", "running_var"}:
                buffer.fill_(0.0 if name == "running_mean" else 1.0)


def similarity(one: np.ndarray, other: np.ndarray, *, seed: int = 0, over: str = "images") -> Similarity:
    r"""Return the mean similarity of pairs of maps (N, \*grid), with intervals."""
    columns = [pairwise_scores(first, second) for first, second in zip(one, other, strict=True)]
    spearman, absolute, ssim = (
        mean_estimate(list(column), seed=seed, over=over) for column in zip(*columns, strict=True)
    )
    return Similarity(spearman=spearman, spearman_absolute=absolute, ssim=ssim)


def chance_similarity(maps: np.ndarray, *, pairs: int = BASELINE_PAIRS, seed: int = 0) -> Similarity:
    """Return the mean similarity of random map pairs with the smoothness and the values of the maps given."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randint(len(maps), (2, pairs), generator=generator).tolist()
    drawn = [np.stack([surrogate(maps[row], generator) for row in rows]) for rows in chosen]
    return similarity(drawn[0], drawn[1], seed=seed, over="random pairs")


def denoised(
    explain: Callable[[nn.Module, Tensor], Tensor],
    images: Tensor,
    *,
    noise_share: float = NOISE_SHARE,
    draws: int = NOISY_IMAGES,
    seed: int = 0,
) -> ExplainModel:
    r"""Return model -> mean map of noisy copies of the images, the same noise for every model: for the sMPRT.

    Parameters
    ----------
    explain : (model, images (N, C, \*S)) -> maps (N, \*grid)
    noise_share : deviation of the noise over the range of each image
    """
    axes = tuple(range(1, images.ndim))
    reach = noise_share * (images.amax(dim=axes, keepdim=True) - images.amin(dim=axes, keepdim=True))

    def averaged(model: nn.Module) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        noisy = (images + reach * torch.randn(images.shape, generator=generator).to(images) for _ in range(draws))
        return torch.stack([explain(model, given).detach() for given in noisy]).mean(dim=0)

    return averaged


def complexity_rise(model: nn.Module, explain: ExplainModel, *, bins: int = 100, seed: int = 0) -> Estimate:
    r"""Return the eMPRT: :math:`(\xi(\hat e) - \xi(e)) / \xi(e)` of maps before and after full randomisation.

    :math:`\xi` is the entropy of the histogram of a map over its own range. A map of the trained model should be
    simpler than one of noise, so a value above 0 is better.
    """
    trained = _maps(explain, _copied(model))
    ((_, changed),) = randomised(model, explain, order="cascading", steps=1, seed=seed)
    after = _maps(explain, changed)
    rises = []
    for one, other in zip(trained, after, strict=True):
        before = histogram_entropy(one, bins)
        rises.append((histogram_entropy(other, bins) - before) / before if before > 0 else None)
    return mean_estimate(rises, seed=seed, over="images")


def random_logit(maps: Tensor, *, own: int = 0, seed: int = 0) -> Similarity:
    r"""Return how alike the map of one target is to that of another one, drawn at random for every image.

    Parameters
    ----------
    maps : (N, T, \*grid), one map for each target; own : the column that is explained

    Notes
    -----
    Of two classes whose logits mirror each other the maps do too: signed correlation -1, absolute 1.
    """
    require_finite(maps)
    others = [column for column in range(maps.shape[1]) if column != own]
    if not others:
        none = no_estimate(0, len(maps), "the model has one target, there is no other to compare with")
        return Similarity(spearman=none, spearman_absolute=none, ssim=none)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(others), (len(maps),), generator=generator).tolist()
    values = maps.detach().double().cpu().numpy()
    other = np.stack([values[row, others[column]] for row, column in enumerate(drawn)])
    return similarity(values[:, own], other, seed=seed)


def sobel(images: Tensor) -> Tensor:
    r"""Return the edge magnitude of images (N, C, \*S), (N, \*S): the control that no explanation may lose against.

    Along every axis the central difference, smoothed by (1, 2, 1) / 4 along the others, edges repeated; the Euclidean
    norm over axes and channels. On a ramp of slope 1 it is 1.
    """
    total = torch.zeros_like(images)
    axes = range(2, images.ndim)
    for along in axes:
        part = images
        for axis in axes:
            before, after = (_neighbour(part, axis, step) for step in (-1, 1))
            part = (after - before) / 2 if axis == along else (before + 2 * part + after) / 4
        total = total + part.square()
    return total.sum(dim=1).sqrt()


def _neighbour(values: Tensor, axis: int, step: int) -> Tensor:
    length = values.shape[axis]
    places = (torch.arange(length, device=values.device) + step).clamp(0, length - 1)
    return values.index_select(axis, places)


def edge_similarity(maps: Tensor, images: Tensor, *, seed: int = 0) -> Similarity:
    r"""Return how alike maps (N, \*grid) are to the edges of their images (N, C, \*S), averaged over the cells."""
    require_finite(maps)
    edges = functional.interpolate(sobel(images.float())[:, None], size=tuple(maps.shape[1:]), mode="area")[:, 0]
    return similarity(*(one.detach().double().cpu().numpy() for one in (maps, edges)), seed=seed)


def repeatability(runs: Sequence[Tensor], *, share: float = STRONGEST, seed: int = 0) -> Estimate:
    r"""Return the overlap of the strongest parts of the same images' maps from several seeds or models.

    For every image the mean over pairs of runs of the intersection over union of the strongest `share` of places:
    equal areas, ties as drawn at random, constant maps left out. About share / (2 - share) is chance; on radiographs
    0.55 was found between networks and 0.61 between readers (Venkatesh et al. 2024, doi:10.1007/s10278-024-01136-4).

    Parameters
    ----------
    runs : maps (N, \*grid) of each run
    """
    if len(runs) < 2:
        raise ExplainError(f"repeatability compares runs: at least 2 are needed, found {len(runs)}")
    for one in runs:
        require_finite(one)
    values = np.stack([one.detach().double().cpu().numpy() for one in runs])
    found: list[float | None] = []
    for row in range(values.shape[1]):
        pairs = combinations([one for one in values[:, row] if np.ptp(one) > 0], 2)
        known = [top_overlap(one, other, share) for one, other in pairs]
        found.append(float(np.mean(known)) if known else None)
    return mean_estimate(found, seed=seed, over="images")
