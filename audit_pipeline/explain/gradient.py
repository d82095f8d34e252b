r"""Gradients down to the image: what a small change of each voxel does to the logit.

Every method returns (N, T, \*S) on the grid of the image: signed, and summed over the input channels, so a voxel of an
image with several channels carries the sum of their values. The parameters receive no gradients; random numbers come
from the seed of the request, every image starts from the same one, and the global random state is put back.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from audit_pipeline.errors import ExplainError
from audit_pipeline.explain.baselines import baseline_of
from audit_pipeline.explain.cam import gradcam, upsample
from audit_pipeline.explain.method import EXPLAINERS, Explainer, Request
from audit_pipeline.explain.rectifiers import Rule, rectifiers_replaced

MOST_STEPS = 1024
"""Integration steps after which integrated gradients that are still incomplete are refused."""

PAIRED_ELEMENTS = 2**19
"""Elements of the images whose graphs are held at once; a graph down to the image takes about 1 KiB for each."""

NUMPY_SEEDS = 2**32
SANITY_CAUTION = (
    "Fails parameter-randomisation checks: it draws edges of the image almost independently of what the network "
    "learned (Adebayo et al. 2018, arXiv:1810.03292); not evidence for a prediction."
)

Attribute = Callable[[Tensor, int], Tensor]


def saliency(request: Request) -> Tensor:
    r"""Return :math:`\sum_c \partial y_k / \partial x_c`: the signed gradient, summed over input channels.

    References
    ----------
    Simonyan, Vedaldi and Zisserman, Deep inside convolutional networks, arXiv:1312.6034, section 3 (there the largest
    absolute value over channels; here the signed sum).
    """
    method = _captum("Saliency")(request.differentiable)
    return _paired(request, lambda images, targets: method.attribute(images, target=targets, abs=False))


def inputxgradient(request: Request) -> Tensor:
    r"""Return :math:`\sum_c x_c \, \partial y_k / \partial x_c`; for a linear model it sums to logit - bias.

    References
    ----------
    Shrikumar et al., Not just a black box, arXiv:1605.01713, section 3.2.
    """
    method = _captum("InputXGradient")(request.differentiable)
    return _paired(request, lambda images, targets: method.attribute(images, target=targets))


def smoothgrad(request: Request) -> Tensor:
    """Return the mean signed gradient over noisy copies of the image.

    The noise is Gaussian; ``sigma`` is its standard deviation as a share of the value range of each image.

    References
    ----------
    Smilkov et al., SmoothGrad, arXiv:1706.03825, section 3.
    """
    method = _captum("NoiseTunnel")(_captum("Saliency")(request.differentiable))
    sigma, samples = _non_negative(request, "sigma"), _count(request, "samples")

    def attribute(image: Tensor, target: int) -> Tensor:
        with _seeded(request.seed, image.device):
            found: Tensor = method.attribute(
                image,
                nt_type="smoothgrad",
                nt_samples=samples,
                nt_samples_batch_size=min(request.batch, samples),
                stdevs=sigma * _value_range(image),
                target=target,
                abs=False,
            )
            return found

    return _attributed(request, attribute)


def gradient_shap(request: Request) -> Tensor:
    r"""Return the mean of :math:`(x - b) \, \partial y_k / \partial x` at random places between baseline and image.

    It estimates integrated gradients without a fixed path grid: the sum approaches logit(x) - logit(b) as ``samples``
    grows. ``sigma`` adds Gaussian noise to the image, as a share of its value range.

    References
    ----------
    Lundberg and Lee, NeurIPS 2017, arXiv:1705.07874; Erion et al., Expected gradients, arXiv:1906.10670, equation 3.
    """
    method = _captum("GradientShap")(request.differentiable)
    sigma, samples = _non_negative(request, "sigma"), _count(request, "samples")

    def attribute(image: Tensor, target: int) -> Tensor:
        baseline = baseline_of(image.detach(), request.settings["baseline"])
        noise = sigma * _value_range(image)
        total = torch.zeros_like(image)
        with _seeded(request.seed, image.device):
            for first in range(0, samples, request.batch):
                drawn = min(request.batch, samples - first)
                part = method.attribute(image, baseline, n_samples=drawn, stdevs=noise, target=target)
                total = total + part.detach() * (drawn / samples)
        return total

    return _attributed(request, attribute)


def integrated_gradients(request: Request) -> Tensor:
    r"""Return :math:`(x - b) \int_0^1 \partial y_k(b + a (x - b)) / \partial x \; da`, summed over input channels.

    The sum of a map is logit(x) - logit(b). That is checked for every map: where the residual exceeds ``tolerance``
    times the largest absolute logit of image and baseline, the number of steps is doubled, up to `MOST_STEPS`.

    Raises
    ------
    ExplainError
        A map is still incomplete after the most steps.

    References
    ----------
    Sundararajan, Taly and Yan, Axiomatic attribution for deep networks, ICML 2017, arXiv:1703.01365, equation 1 and
    proposition 1 (completeness).
    """
    method = _captum("IntegratedGradients")(request.differentiable)
    steps, tolerance = _count(request, "steps"), _non_negative(request, "tolerance")

    def attribute(image: Tensor, target: int) -> Tensor:
        baseline = baseline_of(image.detach(), request.settings["baseline"])
        both = request.logits_of(torch.cat([image.detach(), baseline]))
        allowed = tolerance * both.abs().max()
        taken = steps
        while True:
            found: Tensor = method.attribute(
                image, baseline, target=target, n_steps=taken, internal_batch_size=request.batch
            ).detach()
            residual = (found.double().sum() - (both[0, target] - both[1, target]).double()).abs()
            if residual <= allowed:
                return found
            if taken >= MOST_STEPS:
                raise ExplainError(
                    f"integrated gradients of target {target} miss logit(image) - logit(baseline) by "
                    f"{float(residual):.3g} after {taken} steps, allowed is {float(allowed):.3g}; choose another "
                    "baseline or a larger tolerance"
                )
            taken = min(2 * taken, MOST_STEPS)

    return _attributed(request, attribute)


def guided_backprop(request: Request) -> Tensor:
    """Return the gradient that passes a ReLU only where it is positive and the unit was active.

    References
    ----------
    Springenberg et al., Striving for simplicity, arXiv:1412.6806, section 3.4.
    """
    return _rectified_gradients(request, "guided")


def deconvolution(request: Request) -> Tensor:
    """Return the gradient that passes a ReLU only where it is positive, whether or not the unit was active.

    References
    ----------
    Zeiler and Fergus, Visualizing and understanding convolutional networks, arXiv:1311.2901, section 2.1.
    """
    return _rectified_gradients(request, "deconvolution")


def guided_gradcam(request: Request) -> Tensor:
    """Return guided backpropagation times the positive part of Grad-CAM on the grid of the image (half-pixel linear).

    References
    ----------
    Selvaraju et al., Grad-CAM, ICCV 2017, section 3.2. doi:10.1109/ICCV.2017.74
    """
    cams = torch.cat([gradcam(*request.at_layer(part)) for part in torch.split(request.images, request.batch)])
    return guided_backprop(request) * upsample(cams.clamp(min=0), tuple(request.images.shape[2:]))


def _rectified_gradients(request: Request, rule: Rule) -> Tensor:
    parts = []
    for part in torch.split(request.images, request.batch):
        images = part.detach().clone().requires_grad_()
        with rectifiers_replaced(request.model, rule):
            logits = request.differentiable(images)
            columns = [
                torch.autograd.grad(logits[:, target].sum(), images, retain_graph=True, allow_unused=True)[0]
                for target in request.targets
            ]
        found = [torch.zeros_like(images) if column is None else column for column in columns]
        parts.append(torch.stack([column.float().sum(dim=1) for column in found], dim=1))
    return torch.cat(parts)


def _paired(request: Request, attribute: Callable[[Tensor, list[int]], Tensor]) -> Tensor:
    """Return the attributions of every image and target, summed over channels: many pairs of them in one call."""
    images, targets = request.images, request.targets
    pairs = [(place, target) for place in range(len(images)) for target in targets]
    together = max(1, min(request.batch, PAIRED_ELEMENTS // images[0].numel()))
    parts = []
    for start in range(0, len(pairs), together):
        places, chosen = zip(*pairs[start : start + together], strict=True)
        given = images.detach()[list(places)].requires_grad_()
        parts.append(attribute(given, list(chosen)).detach().float().sum(dim=1))
    return torch.cat(parts).reshape(len(images), len(targets), *images.shape[2:])


def _attributed(request: Request, attribute: Attribute) -> Tensor:
    """Return the attributions of every image and target, summed over channels: one image and target in one call.

    These methods make a batch of each: of noisy copies or of steps, which for every target must be the same.
    """
    parts = []
    for part in torch.split(request.images, 1):
        columns = []
        for target in request.targets:
            images = part.detach().clone().requires_grad_()
            columns.append(attribute(images, target).detach().float().sum(dim=1))
        parts.append(torch.stack(columns, dim=1))
    return torch.cat(parts)


def _captum(name: str) -> Callable[..., Any]:
    try:
        methods = importlib.import_module("captum.attr")
    except ImportError as error:
        raise ExplainError(
            f"the method {name} needs the package captum; install it or choose another method"
        ) from error
    method: Callable[..., Any] = getattr(methods, name)
    return method


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global generators that captum draws from, and put their states back, also after an error."""
    before = np.random.get_state()  # noqa: NPY002 - captum draws from the global state
    accelerators = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=accelerators):
        torch.default_generator.manual_seed(seed)
        for accelerator in accelerators:
            torch.cuda.default_generators[accelerator.index or 0].manual_seed(seed)
        try:
            np.random.seed(seed % NUMPY_SEEDS)  # noqa: NPY002 - as above
            yield
        finally:
            np.random.set_state(before)  # noqa: NPY002 - as above


def _value_range(image: Tensor) -> float:
    return float(image.detach().max() - image.detach().min())


def _count(request: Request, name: str) -> int:
    value = request.settings[name]
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ExplainError(f"{name} must be a whole number above zero, found {value!r}")
    return value


def _non_negative(request: Request, name: str) -> float:
    value = request.settings[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise ExplainError(f"{name} must be a number of at least zero, found {value!r}")
    return float(value)


def _register(
    function: Callable[[Request], Tensor],
    sentence: str,
    reference: str,
    passes: str,
    *,
    unit: str,
    caution: str = "",
    defaults: Mapping[str, Any] | None = None,
) -> None:
    name = function.__name__
    EXPLAINERS.add(
        name,
        Explainer(
            name=name, kind="input", function=function, sentence=sentence, reference=reference, unit=unit,
            passes=passes, caution=caution, defaults=defaults or {},
        ),
    )  # fmt: skip


PER_TARGET = "1 forward and 1 backward per image and target, many in one batch"
SLOPE = "logit per unit of intensity"

_register(
    saliency, "The signed gradient of the logit, summed over the input channels.",
    "Simonyan et al. 2013, arXiv:1312.6034, sec. 3", PER_TARGET, unit=SLOPE,
)  # fmt: skip
_register(
    smoothgrad, "The signed gradient, averaged over noisy copies of the image and summed over the input channels.",
    "Smilkov et al. 2017, arXiv:1706.03825, sec. 3", "`samples` forwards and backwards per image and target",
    unit=SLOPE, defaults={"samples": 16, "sigma": 0.15},
)  # fmt: skip
_register(
    inputxgradient, "Intensity times gradient, summed over the input channels.",
    "Shrikumar et al. 2016, arXiv:1605.01713, sec. 3.2", PER_TARGET, unit="logit",
    caution="Depends on where the intensity scale has its zero: a voxel of value 0 is never lit.",
)  # fmt: skip
_register(
    integrated_gradients,
    "Gradients integrated from a baseline to the image; the map sums to logit(image) - logit(baseline), checked.",
    "Sundararajan et al. 2017, arXiv:1703.01365, eq. 1", "`steps` forwards and backwards per image and target, more "
    "until complete", unit="logit", defaults={"baseline": "lowest", "steps": 32, "tolerance": 0.01},
)  # fmt: skip
_register(
    gradient_shap,
    "Gradients at random places between a baseline and the image, times their difference; sums to about the same.",
    "Lundberg and Lee 2017, arXiv:1705.07874; Erion et al. 2019, arXiv:1906.10670, eq. 3",
    "`samples` forwards and backwards per image and target", unit="logit",
    defaults={"baseline": "lowest", "samples": 16, "sigma": 0.0},
)  # fmt: skip
_register(
    guided_backprop, "The gradient with only positive parts through active ReLUs, summed over the input channels.",
    "Springenberg et al. 2014, arXiv:1412.6806, sec. 3.4", "1 forward per image, 1 backward per target",
    unit="none: not a derivative", caution=SANITY_CAUTION,
)  # fmt: skip
_register(
    deconvolution, "The gradient with only positive parts through every ReLU, summed over the input channels.",
    "Zeiler and Fergus 2013, arXiv:1311.2901, sec. 2.1", "1 forward per image, 1 backward per target",
    unit="none: not a derivative", caution=SANITY_CAUTION,
)  # fmt: skip
_register(
    guided_gradcam, "Guided backpropagation times the positive part of Grad-CAM on the grid of the image.",
    "Selvaraju et al. 2017, doi:10.1109/ICCV.2017.74, sec. 3.2", "2 forwards per image, 2 backwards per target",
    unit="none: a product", caution=SANITY_CAUTION,
)  # fmt: skip
