r"""The first principal component over channels, of the activations or of gradient times activation.

The cells of the grid are the observations, the channels the variables. The component comes from the smaller of the two
Gram matrices, (C, C) or (P, P) for C channels and P cells, on the device of the activations; nothing of size C x P is
decomposed. Its sign, which no decomposition fixes, is that of its correlation with the mean over the channels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from audit_pipeline.explain.krylov import LEAST_CELLS, first_pairs
from audit_pipeline.explain.method import EXPLAINERS, Explainer

SQUARINGS = 12
"""Most squarings of a Gram matrix: enough for a second eigenvalue of 99.7 % of the first."""

PURE = 1 - 2e-5
"""Share of the trace that the first eigenvalue has in what counts as a projector; float32 leaves about 1e-6."""


def first_component(values: Tensor) -> Tensor:
    """Return the centred values (M, C, P) projected on their first principal component, (M, P), float32.

    Constant values give zero. Should the projection be uncorrelated with the mean over channels, its largest absolute
    value is positive.
    """
    unit = values - values.mean(dim=2, keepdim=True)
    scale = _largest(unit)
    unit /= _not_zero(scale)
    return _signed(_projection(unit) * scale[:, 0], unit.mean(dim=1))


def _largest(values: Tensor) -> Tensor:
    """Return the largest absolute value, (M, 1, 1): squares of tiny gradients, divided by it, do not underflow."""
    return torch.maximum(values.amax(dim=(1, 2), keepdim=True), -values.amin(dim=(1, 2), keepdim=True))


def _not_zero(scale: Tensor) -> Tensor:
    return torch.where(scale > 0, scale, 1.0)


def _projection(unit: Tensor) -> Tensor:
    """Return the projection (M, P) of centred values (M, C, P) of size 1 on their first component, of either sign."""
    if unit.shape[1] <= unit.shape[2]:
        vectors, _ = leading(unit @ unit.mT)
        return (vectors.unsqueeze(1) @ unit)[:, 0]
    return _over_cells(unit.mT @ unit)


def _over_cells(gram: Tensor) -> Tensor:
    """Return the projection (M, P) from Gram matrices over the cells, (M, P, P)."""
    vectors, levels = leading(gram)
    return vectors * levels.clamp(min=0).sqrt().unsqueeze(1)


def _signed(projection: Tensor, mean: Tensor) -> Tensor:
    agreement = (projection * mean).sum(dim=1, keepdim=True)
    highest = projection.gather(1, projection.abs().argmax(dim=1, keepdim=True))
    component: Tensor = torch.where(agreement != 0, agreement, highest).sign() * projection
    return component.float()


def leading(gram: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return the first eigenvector (M, n) and eigenvalue (M,) of positive semidefinite matrices (M, n, n).

    Squared again and again, with its trace kept at 1, a matrix of eigenvalues :math:`\lambda_i` turns into the
    projector :math:`v_1 v_1^T`: after j squarings the others count :math:`(\lambda_i / \lambda_1)^{2^j}`. Products of
    matrices are many times faster than decompositions, most of all on a GPU. What has two leading eigenvalues too
    close to be told apart so is decomposed.
    """
    trace = _trace(gram)
    power = gram / _not_zero(trace)
    purity = torch.zeros_like(trace)
    for _ in range(SQUARINGS):
        power = power @ power
        purity = _trace(power)
        power /= _not_zero(purity)
        if bool((purity >= PURE).all()):
            break
    column = power.diagonal(dim1=1, dim2=2).argmax(dim=1).reshape(-1, 1, 1).expand(-1, len(power[0]), 1)
    # the product takes out most of the rounding of that column
    vectors = (power @ power.gather(2, column))[:, :, 0]
    vectors /= _not_zero(vectors.norm(dim=1, keepdim=True))
    levels = ((gram @ vectors.unsqueeze(2))[:, :, 0] * vectors).sum(dim=1)
    unsure = (purity < PURE).flatten() & (trace != 0).flatten()
    if bool(unsure.any()):
        found, exact = torch.linalg.eigh(_precise(gram[unsure]))
        vectors[unsure], levels[unsure] = exact[:, :, -1].to(gram.dtype), found[:, -1].to(gram.dtype)
    return vectors, levels


def _trace(matrices: Tensor) -> Tensor:
    return matrices.diagonal(dim1=1, dim2=2).sum(dim=1).reshape(-1, 1, 1)


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
    return first_component(product).reshape(*gradients.shape[:2], *gradients.shape[3:])


def eigengradcam_of_uniform(activations: Tensor, weights: Tensor) -> Tensor:
    r"""Return what `eigengradcam` does where the gradient is the same at every place, for weights (N, K, C).

    Then :math:`g \odot A` is :math:`A` with scaled channels, centred and measured once for all classes, and its Gram
    matrices are not formed where a few products with them do.
    """
    centred = activations.flatten(2)
    centred = centred - centred.mean(dim=2, keepdim=True)
    peaks = centred.abs().amax(dim=2, keepdim=True)
    centred /= _not_zero(peaks)
    # channels and weights of at most 1, whose squares do not leave the range of float32
    unit = weights * peaks.mT
    scale = unit.abs().amax(dim=2, keepdim=True)
    unit /= _not_zero(scale)
    mean = torch.bmm(unit, centred)
    is_small = min(centred.shape[1:]) < LEAST_CELLS
    projection = _of_products(unit, centred) if is_small else _proven(unit, centred, mean)
    component = _signed(projection.flatten(0, 1) * scale.reshape(-1, 1), mean.flatten(0, 1))
    return component.reshape(*weights.shape[:2], *activations.shape[2:])


def _of_products(unit: Tensor, centred: Tensor) -> Tensor:
    r"""Return the projections (N, K, P) of centred values (N, C, P) with channels scaled by weights (N, K, C)."""
    # image by image, so that products of all classes and images are never held at once
    products = (one.unsqueeze(2) * image for one, image in zip(unit, centred, strict=True))
    if centred.shape[1] <= centred.shape[2]:
        return torch.stack([_projection(product) for product in products])
    return _over_cells(torch.cat([product.mT @ product for product in products])).reshape(
        *unit.shape[:2], centred.shape[2]
    )


def _proven(unit: Tensor, centred: Tensor, start: Tensor) -> Tensor:
    r"""Return what `_of_products` does, without a product of gradient and activation where `krylov` proves it right."""
    squares, shape = unit.square(), start.shape

    def times(vectors: Tensor) -> Tensor:
        return torch.bmm(squares * torch.bmm(vectors.reshape(shape), centred.mT), centred).flatten(0, 1)

    trace = torch.bmm(squares, centred.square().sum(dim=2, keepdim=True))
    found = first_pairs(times, start.flatten(0, 1), trace.flatten())
    projection = (found.vectors * found.levels.clamp(min=0).sqrt().unsqueeze(1)).reshape(shape)
    is_proven = found.is_proven.reshape(shape[:2])
    for image in torch.nonzero(~is_proven.all(dim=1)).flatten().tolist():
        unsure = ~is_proven[image]
        projection[image, unsure] = _of_products(unit[image, unsure][None], centred[image][None])[0]
    return projection


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
