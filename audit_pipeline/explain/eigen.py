r"""The first principal component over channels, of the activations or of gradient times activation.

The cells of the grid are the observations, the channels the variables. The component comes from the smaller of the two
Gram matrices, (C, C) or (P, P) for C channels and P cells, on the device of the activations; nothing of size C x P is
decomposed. Its sign, which no decomposition fixes, is that of its correlation with the mean over the channels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from audit_pipeline.explain.method import EXPLAINERS, Explainer


def first_component(values: Tensor) -> Tensor:
    """Return the centred values (M, C, P) projected on their first principal component, (M, P), float32.

    Constant values give zero. Should the projection be uncorrelated with the mean over channels, its largest absolute
    value is positive.
    """
    return _leading(values - values.mean(dim=2, keepdim=True))


def _leading(unit: Tensor) -> Tensor:
    """Return the projection of centred values on their first component; the values are overwritten."""
    # scaled to 1, so that squares of tiny gradients do not underflow
    scale = torch.maximum(unit.amax(dim=(1, 2), keepdim=True), -unit.amin(dim=(1, 2), keepdim=True))
    unit /= torch.where(scale > 0, scale, 1.0)
    if unit.shape[1] <= unit.shape[2]:
        _, vectors = torch.linalg.eigh(_precise(unit @ unit.mT))
        projection = (vectors[:, :, -1:].mT.to(unit.dtype) @ unit)[:, 0]
    else:
        levels, vectors = torch.linalg.eigh(_precise(unit.mT @ unit))
        projection = (vectors[:, :, -1] * levels[:, -1:].clamp(min=0).sqrt()).to(unit.dtype)
    agreement = (projection * unit.mean(dim=1)).sum(dim=1, keepdim=True)
    highest = projection.gather(1, projection.abs().argmax(dim=1, keepdim=True))
    sign = torch.where(agreement != 0, agreement, highest).sign()
    component: Tensor = sign * projection * scale[:, 0]
    return component.float()


def _precise(gram: Tensor) -> Tensor:
    """Return the matrix in double precision, where the device has it; Apple's GPUs do not."""
    return gram if gram.device.type == "mps" else gram.double()


def eigencam(activations: Tensor, gradients: Tensor) -> Tensor:
    r"""Return :math:`(A - \bar A) v_1`, the same map for every class; only the number of gradients is used.

    The activations are centred over space, as for principal components; the paper's factorisation does not say.

    References
    ----------
    Muhammad and Yeasin, Eigen-CAM, IJCNN 2020. doi:10.1109/IJCNN48605.2020.9206626
    """
    component = first_component(activations.flatten(2)).reshape(len(activations), *activations.shape[2:])
    return component.unsqueeze(1).expand(-1, gradients.shape[1], *component.shape[1:])


def eigengradcam(activations: Tensor, gradients: Tensor) -> Tensor:
    r"""Return the first principal component of :math:`g \odot A`, with the sign of its correlation with HiResCAM."""
    product = (gradients * activations.unsqueeze(1)).flatten(0, 1).flatten(2)
    product -= product.mean(dim=2, keepdim=True)
    return _leading(product).reshape(*gradients.shape[:2], *gradients.shape[3:])


EXPLAINERS.add(
    "eigencam",
    Explainer(
        name="eigencam",
        kind="cam",
        function=eigencam,
        sentence="First principal component of the activations over channels, positive where the mean activation is.",
        reference="Muhammad and Yeasin 2020, doi:10.1109/IJCNN48605.2020.9206626",
        unit="relative",
        caution="The same map for every class: it shows what the layer responds to, not evidence for a class.",
    ),
)
EXPLAINERS.add(
    "eigengradcam",
    Explainer(
        name="eigengradcam",
        kind="cam",
        function=eigengradcam,
        sentence="First principal component of gradient times activation over channels, positive where HiResCAM is.",
        reference="pytorch-grad-cam 1.5, EigenGradCAM, after doi:10.1109/IJCNN48605.2020.9206626",
        unit="relative",
        caution="The spread of the evidence over channels, centred over space: its sum is zero and not the logit.",
    ),
)
