r"""Methods on the grid of the layer that need passes of their own: noisy copies, masked images, silenced channels.

Symbols as in `cam`: activations A, (N, C, \*S), gradients g, (N, T, C, \*S), at the target layer.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from audit_pipeline.errors import ExplainError
from audit_pipeline.explain.cam import plus_plus_weights, upsample, weighted
from audit_pipeline.explain.method import EXPLAINERS, Explainer, Request

CHUNK_VALUES = 2**24
"""Values held at once by the copies of one image or activation: 64 MiB in float32."""


def smoothgradcam_plus_plus(request: Request) -> Tensor:
    r"""Return Grad-CAM++ with the powers of the gradient averaged over noisy copies of the image.

    :math:`w_c = \sum_{ij} \alpha_{ij} \max(\overline{g}_{ij}, 0)` with
    :math:`\alpha = \overline{g^2} / (2 \overline{g^2} + \overline{g^3} \sum A)`, the bar being the mean over `samples`
    copies and A the activation of the clean image. The numerator of the paper is :math:`\overline{g}`, which does not
    lead back to Grad-CAM++ without noise; this one does, exactly.

    Settings: `samples` copies; `sigma`, the standard deviation of the noise as a share of the range of each image. All
    images of a batch get the same noise pattern, so no image depends on its neighbours.

    References
    ----------
    Omeiza et al., Smooth Grad-CAM++, 2019, arXiv:1908.01224, the section on the method, where the noisy copies are
    averaged in the first, second and third power of the gradient.
    """
    samples, sigma = int(request.settings["samples"]), float(request.settings["sigma"])
    if samples < 1 or sigma < 0:
        raise ExplainError(f"smoothgradcam++ needs samples >= 1 and sigma >= 0, found {samples} and {sigma}")
    scale = torch.tensor(0.0)
    first = second = third = scale
    for count, gradients in enumerate(_noisy_gradients(request, samples, sigma), start=1):
        if count == 1:
            # powers are taken of gradients of size 1, so that they do not underflow
            scale = (
                gradients.abs()
                .flatten(3)
                .amax(dim=(2, 3))
                .reshape(*gradients.shape[:2], 1, *[1] * (gradients.ndim - 3))
            )
            scale = torch.where(scale > 0, scale, 1.0)
            first = second = third = torch.zeros_like(gradients)
        unit = gradients / scale
        # running means, so that equal samples average to themselves to the last bit
        first = first + (unit - first) / count
        second = second + (unit**2 - second) / count
        third = third + (unit**2 * unit - third) / count
    product = second * first
    curvature = torch.where(product > 0, third / product, 1.0)
    activations = request.activations.float()
    return weighted(plus_plus_weights(activations, first * scale, curvature), activations)


def _noisy_gradients(request: Request, samples: int, sigma: float) -> Iterator[Tensor]:
    """Yield the gradients (N, T, C, *S) of one noisy copy of every image after the other."""
    images = request.images
    generator = torch.Generator().manual_seed(request.seed)
    flat = images.flatten(1)
    spread = (flat.amax(dim=1) - flat.amin(dim=1)).reshape(-1, *[1] * (images.ndim - 1)) * sigma
    for _ in range(samples):
        noise = torch.randn(images.shape[1:], generator=generator, dtype=torch.float32).to(images)
        yield torch.cat([request.at_layer(part)[1] for part in torch.split(images + spread * noise, request.batch)])


def scorecam(request: Request) -> Tensor:
    r"""Return :math:`\sum_c w_c A_c` with :math:`w = \mathrm{softmax}_c(y(X \odot H_c) - y(X_b))`.

    :math:`H_c` is channel c on the grid of the image, half-pixel (tri)linear, then stretched to 0..1; a constant
    channel masks everything. The score of the baseline :math:`X_b` is the same for all channels and cancels in the
    softmax, so it is not computed.

    References
    ----------
    Wang et al., Score-CAM, CVPR Workshops 2020, doi:10.1109/CVPRW50498.2020.00020: definition 4 with equations 6 (the
    score), 7 (the mask) and 8 (its stretch to 0..1), equation 9 (the map), section 3.2 and algorithm 1 (the softmax).
    """
    activations, targets = request.activations.float(), list(request.targets)
    chunk = max(1, CHUNK_VALUES // request.images[0].numel())
    weights = []
    for image, channels in zip(request.images, activations, strict=True):
        scores = [
            request.logits_of(image * _stretched(upsample(part.unsqueeze(1), image.shape[1:])).to(image.dtype))[
                :, targets
            ]
            for part in torch.split(channels, chunk)
        ]
        weights.append(torch.cat(scores).float().softmax(dim=0))
    return weighted(torch.stack(weights).mT, activations)


def _stretched(masks: Tensor) -> Tensor:
    """Return masks (M, 1, *S) from 0 to 1 each; constant ones become 0."""
    spatial = tuple(range(2, masks.ndim))
    lowest = masks.amin(dim=spatial, keepdim=True)
    spread = masks.amax(dim=spatial, keepdim=True) - lowest
    return (masks - lowest) / torch.where(spread > 0, spread, 1.0)


def ablationcam(request: Request) -> Tensor:
    r"""Return :math:`\sum_c w_c A_c` with :math:`w_c = y - y_{\setminus c}`, the drop of the logit without channel c.

    The channel is set to zero at the layer and the rest of the network runs again. The paper divides the drop by y,
    which scales a whole map, and turns it over where the logit is negative; here the drop stays in units of the logit.

    References
    ----------
    Desai and Ramaswamy, Ablation-CAM, WACV 2020, doi:10.1109/WACV45572.2020.9093360, the section on the method, where
    the weight is called a slope.
    """
    activations, targets = request.activations, list(request.targets)
    count = activations.shape[1]
    chunk = max(1, CHUNK_VALUES // activations[0].numel())
    weights = []
    for place, channels in enumerate(activations):
        scores = []
        for start in range(0, count, chunk):
            silenced = torch.arange(start, min(start + chunk, count), device=activations.device)
            given = channels.unsqueeze(0).repeat(len(silenced), *[1] * channels.ndim)
            given[torch.arange(len(silenced), device=given.device), silenced] = 0
            scores.append(request.replay(given, torch.full_like(silenced, place))[:, targets])
        weights.append(request.logits[place, targets] - torch.cat(scores))
    return weighted(torch.stack(weights).mT.float(), activations.float())


for _explainer in (
    Explainer(
        name="smoothgradcam++",
        kind="layer",
        function=smoothgradcam_plus_plus,
        sentence="Grad-CAM++ with the powers of the gradient averaged over noisy copies of the image.",
        reference="Omeiza et al. 2019, arXiv:1908.01224",
        unit="relative",
        passes="samples x (forward + one backward per class)",
        caution="Negative evidence is left out and the map does not scale with the logit; take a layer after its ReLU.",
        defaults={"samples": 8, "sigma": 0.1},
    ),
    Explainer(
        name="scorecam",
        kind="layer",
        function=scorecam,
        sentence="Activations weighted by how much each channel, used as a mask on the image, raises the logit.",
        reference="Wang et al. 2020, doi:10.1109/CVPRW50498.2020.00020, eq. 6-9 and alg. 1",
        unit="activation",
        passes="one forward per channel",
        caution="Masked images are unlike those the model knows; no weight is negative, so evidence against is lost.",
    ),
    Explainer(
        name="ablationcam",
        kind="layer",
        function=ablationcam,
        sentence="Activations weighted by how much the logit falls when the channel is silenced.",
        reference="Desai and Ramaswamy 2020, doi:10.1109/WACV45572.2020.9093360",
        unit="logit x activation",
        passes="one replay behind the layer per channel",
        caution="Channels that back each other up get little weight, because each is silenced alone.",
    ),
):
    EXPLAINERS.add(_explainer.name, _explainer)
