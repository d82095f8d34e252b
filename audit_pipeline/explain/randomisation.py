r"""Does the map depend on what the model learnt? Its similarity to maps of the same model with random parameters.

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

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from audit_pipeline.errors import ExplainError
from audit_pipeline.explain.faithfulness import require_finite
from audit_pipeline.explain.intervals import Estimate, mean_estimate
from audit_pipeline.explain.similarity import histogram_entropy, pairwise_scores, surrogate

Order = Literal["cascading", "independent"]
Key = TypeVar("Key")

ExplainModel = Callable[[nn.Module], Tensor]
"""Model -> maps (N, \\*grid) of the same images and targets every time."""

MEASURES = ("spearman", "spearman_absolute", "ssim")
"""The fields of `Similarity`."""

BASELINE_PAIRS, ENTROPY_BINS = 50, 100
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
    """The steps in order, the first nearest the output, and the baseline of random pairs.

    limits : measure -> 95th percentile of single random pairs; a measure without a value is missing
    complexity_rise : the eMPRT, see `complexity_rise`, of the last step; for cascading that is the whole model
    """

    order: Order
    steps: tuple[Step, ...]
    baseline: Similarity
    limits: Mapping[str, float]
    complexity_rise: Estimate

    def is_at_chance(self, measure: str) -> bool | None:
        """Return whether the last step's similarity has come down to the baseline, see `is_chance`."""
        return self.is_chance(getattr(self.steps[-1].similarity, measure), measure)

    def is_chance(self, one: Estimate, measure: str) -> bool | None:
        """Return whether a similarity is no more than that of random pairs; None when it has no value.

        That is so when the lower end of its interval does not lie above the upper end of the baseline's. A single map
        has no interval: it is at chance when it is no more alike than 95 of 100 random pairs are.
        """
        chance: Estimate = getattr(self.baseline, measure)
        if one.value is None or chance.value is None:
            return None
        if one.low is None:
            return bool(one.value <= self.limits[measure])
        return bool(one.low <= (chance.value if chance.high is None else chance.high))


def parameter_randomisation(
    model: nn.Module,
    explain: ExplainModel,
    *,
    order: Order = "cascading",
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
    return parameter_randomisations(
        model, lambda one: {0: explain(one)}, order=order, steps=steps, pairs=pairs, seed=seed
    )[0]


def parameter_randomisations(
    model: nn.Module,
    explain: Callable[[nn.Module], Mapping[Key, Tensor]],
    *,
    order: Order = "cascading",
    steps: int = 10,
    pairs: int = BASELINE_PAIRS,
    seed: int = 0,
) -> dict[Key, Randomisation]:
    """Return `parameter_randomisation` of several families of maps, which all see the same randomised copies."""
    trained = {key: _values(maps) for key, maps in explain(copied(model)).items()}
    changed = dict(trained)
    found: dict[Key, list[Step]] = {key: [] for key in trained}
    for layers, copy in randomised(model, explain, order=order, steps=steps, seed=seed):
        changed = {key: _values(maps) for key, maps in explain(copy).items()}
        for key, own in trained.items():
            if changed[key].shape != own.shape:
                raise ExplainError(
                    f"maps must keep their shape {own.shape}, found {changed[key].shape} after randomisation"
                )
            found[key].append(Step(layers=layers, similarity=similarity(own, changed[key], seed=seed)))
    return {
        key: Randomisation(
            order=order,
            steps=tuple(found[key]),
            **_chance(own, pairs, seed),
            complexity_rise=_rise(own, changed[key], ENTROPY_BINS, seed),
        )
        for key, own in trained.items()
    }


def _chance(maps: np.ndarray, pairs: int, seed: int) -> dict[str, Any]:
    columns = dict(zip(MEASURES, zip(*_random_pairs(maps, pairs, seed), strict=True), strict=True))
    known = {name: [one for one in column if one is not None] for name, column in columns.items()}
    return {
        "baseline": _similarity(columns, seed, "random pairs"),
        "limits": {name: float(np.quantile(column, 0.95)) for name, column in known.items() if column},
    }


def _values(maps: Tensor) -> np.ndarray:
    require_finite(maps)
    return maps.detach().double().cpu().numpy()


def copied(model: nn.Module) -> nn.Module:
    """Return a deep copy of a model.

    Raises
    ------
    ExplainError
        It cannot be copied.
    """
    try:
        return deepcopy(model)
    except (RuntimeError, TypeError) as error:
        raise ExplainError(
            f"randomisation works on a copy of the model, which cannot be copied ({type(error).__name__}); "
            "detach the tensors it keeps from earlier passes"
        ) from error


def randomised(
    model: nn.Module, explain: Callable[[nn.Module], object], *, order: str, steps: int, seed: int
) -> Iterator[tuple[tuple[str, ...], nn.Module]]:
    """Yield the names of the layers with random parameters and the copy of the model that has them."""
    names = layers_in_order(model, explain)[::-1]
    bounds = np.linspace(0, len(names), min(steps, len(names)) + 1).round().astype(int)
    changed, done = copied(model), tuple[str, ...]()
    for first, last in pairwise(bounds):
        if order == "independent":
            changed, done = copied(model), ()
        done += tuple(names[first:last])
        modules = dict(changed.named_modules())
        for place in range(first, last):
            draw_parameters(modules[names[place]], torch.Generator().manual_seed(seed * 100_003 + place))
        yield done, changed


def layers_in_order(model: nn.Module, explain: Callable[[nn.Module], object]) -> list[str]:
    """Return the modules with parameters of their own in the order in which they first run when maps are made.

    A module that is never called, because its parent uses its parameters, stands where its nearest caller does.

    Raises
    ------
    ExplainError
        No module has parameters.
    """
    copy, ran = copied(model), list[str]()

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
    rows = [pairwise_scores(first, second) for first, second in zip(one, other, strict=True)]
    return _similarity(dict(zip(MEASURES, zip(*rows, strict=True), strict=True)), seed, over)


def _similarity(columns: Mapping[str, Sequence[float | None]], seed: int, over: str) -> Similarity:
    return Similarity(**{name: mean_estimate(column, seed=seed, over=over) for name, column in columns.items()})


def chance_similarity(maps: np.ndarray, *, pairs: int = BASELINE_PAIRS, seed: int = 0) -> Similarity:
    """Return the mean similarity of random map pairs with the smoothness and the values of the maps given."""
    baseline: Similarity = _chance(maps, pairs, seed)["baseline"]
    return baseline


def _random_pairs(maps: np.ndarray, pairs: int, seed: int) -> list[tuple[float | None, ...]]:
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randint(len(maps), (2, pairs), generator=generator).tolist()
    drawn = [[surrogate(maps[row], generator) for row in rows] for rows in chosen]
    return [pairwise_scores(first, second) for first, second in zip(*drawn, strict=True)]


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

    def averaged(model: nn.Module) -> Tensor:
        noisy = noisy_copies(images, noise_share=noise_share, draws=draws, seed=seed)
        return torch.stack([explain(model, given).detach() for given in noisy]).mean(dim=0)

    return averaged


def noisy_copies(images: Tensor, *, noise_share: float, draws: int, seed: int) -> Iterator[Tensor]:
    """Yield copies of the images with normal noise; the same seed gives the same copies."""
    axes = tuple(range(1, images.ndim))
    reach = noise_share * (images.amax(dim=axes, keepdim=True) - images.amin(dim=axes, keepdim=True))
    generator = torch.Generator().manual_seed(seed)
    for _ in range(draws):
        yield images + reach * torch.randn(images.shape, generator=generator).to(images)


def complexity_rise(model: nn.Module, explain: ExplainModel, *, bins: int = ENTROPY_BINS, seed: int = 0) -> Estimate:
    r"""Return the eMPRT: :math:`(\xi(\hat e) - \xi(e)) / \xi(e)` of maps before and after full randomisation.

    :math:`\xi` is the entropy of the histogram of a map over its own range. A map of the trained model should be
    simpler than one of noise, so a value above 0 is better.
    """
    trained = _values(explain(copied(model)))
    ((_, changed),) = randomised(model, explain, order="cascading", steps=1, seed=seed)
    return _rise(trained, _values(explain(changed)), bins, seed)


def _rise(trained: np.ndarray, after: np.ndarray, bins: int, seed: int) -> Estimate:
    rises = []
    for one, other in zip(trained, after, strict=True):
        before = histogram_entropy(one, bins)
        rises.append((histogram_entropy(other, bins) - before) / before if before > 0 else None)
    return mean_estimate(rises, seed=seed, over="images")
