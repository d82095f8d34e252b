r"""The CAM family: one short function per method, its formula above it.

Notation: :math:`A` is the activation of the target layer, (N, C, \*S) with any number of spatial axes S and P cells,
and :math:`g = \partial y_k / \partial A` the gradient of logit k, (N, K, C, \*S). Every function returns (N, K, \*S):
signed as its definition gives, before the ReLU for display and before any normalisation. 2D and 3D are the same code.
The first-component methods stand in `eigen`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from audit_pipeline.errors import ExplainError
from audit_pipeline.explain.method import EXPLAINERS, Explainer

Pooling = str | int | tuple[int, ...]

UNIFORM_GRADIENT = 1e-5
"""Largest spatial deviation of the gradient, relative to its largest value, that still counts as uniform."""

FUSION_GAIN = 2.0
"""Gain of the tanh that lifts the maps of shallow layers in `fused`."""


def _spatial(tensor: Tensor, leading: int) -> tuple[int, ...]:
    return tuple(range(leading, tensor.ndim))


def weighted(weights: Tensor, activations: Tensor) -> Tensor:
    r"""Return :math:`\sum_c w_c A_c`, (N, K, \*S), for weights (N, K, C) and activations (N, C, \*S)."""
    return torch.bmm(weights, activations.flatten(2)).reshape(*weights.shape[:2], *activations.shape[2:])


def uniform(gradients: Tensor) -> Tensor:
    """Return (N, K) bool: whether each gradient is constant over space, as behind global average pooling."""
    flat = gradients.flatten(3)
    deviation = (flat - flat.mean(dim=3, keepdim=True)).abs().amax(dim=(2, 3))
    return deviation <= UNIFORM_GRADIENT * flat.abs().amax(dim=(2, 3))


def cam(activations: Tensor, gradients: Tensor) -> Tensor:
    r"""Return :math:`\sum_c w_c A_c` with :math:`w_c = P \bar g_c`, the weight of channel c in a pooled linear head.

    The mean of the map over space is the logit minus the bias of the head.

    Raises
    ------
    ExplainError
        The gradient is not uniform over space, so the head is not a global average followed by a linear layer.

    References
    ----------
    Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016, equation 2.
    doi:10.1109/CVPR.2016.319
    """
    if not bool(uniform(gradients).all()):
        raise ExplainError(
            "cam is defined for a head of global average pooling and one linear layer, whose gradient is the same at "
            "every place; at this layer it is not; use hirescam, which answers the same question for every head"
        )
    return weighted(gradients.flatten(3).sum(dim=3), activations)


def gradcam(activations: Tensor, gradients: Tensor) -> Tensor:
    r"""Return :math:`\sum_c \bar g_c A_c` with :math:`\bar g_c` the mean of the gradient over all spatial axes.

    For a volume the mean runs over depth, height and width: the pooling is volumetric.

    References
    ----------
    Selvaraju et al., Grad-CAM, ICCV 2017, equations 1 and 2 (without the final ReLU). doi:10.1109/ICCV.2017.74
    """
    return weighted(gradients.flatten(3).mean(dim=3), activations)


def hirescam(activations: Tensor, gradients: Tensor) -> Tensor:
    r"""Return :math:`\sum_c g_c \odot A_c`: no pooling, so a place is lit only if the model used it.

    For networks that end in one linear layer the sum of the map over space is the logit minus its bias.

    References
    ----------
    Draelos and Carin, Use HiResCAM instead of Grad-CAM, arXiv:2011.08891, equation 4.
    """
    return (gradients * activations.unsqueeze(1)).sum(dim=2)


def pooled_gradcam(activations: Tensor, gradients: Tensor, *, pooling: Pooling) -> Tensor:
    """Return the member of the pooled-gradient family between HiResCAM and Grad-CAM.

    The gradient is averaged over blocks of `pooling` cells: one number for all axes or one per axis, at least 1 each.
    ``"none"`` or 1 is HiResCAM, ``"global"`` is Grad-CAM. Blocks at the far edge are smaller where the grid is not a
    multiple.

    Raises
    ------
    ExplainError
        `pooling` is none of these, or names a number of axes that the grid does not have.
    """
    if pooling == "global":
        return gradcam(activations, gradients)
    if pooling == "none":
        return hirescam(activations, gradients)
    blocks = block_size(pooling)
    axes = _spatial(gradients, 3)
    sizes = (blocks,) * len(axes) if isinstance(blocks, int) else blocks
    if len(sizes) != len(axes):
        raise ExplainError(f"pooling must give one block for each of the {len(axes)} axes, found {pooling!r}")
    for axis, size in zip(axes, sizes, strict=True):
        gradients = _block_mean(gradients, axis, size)
    return hirescam(activations, gradients)


def block_size(pooling: Pooling) -> int | tuple[int, ...]:
    """Return the block edge in cells, one for all axes or one per axis.

    Raises
    ------
    ExplainError
        `pooling` is neither a known word nor whole numbers of cells above zero.
    """
    sizes = pooling if isinstance(pooling, tuple) else (pooling,)
    if not sizes or any(isinstance(size, bool) or not isinstance(size, int) or size < 1 for size in sizes):
        raise ExplainError(
            f"pooling must be 'global', 'none' or a number of cells above zero, one or one per axis, found {pooling!r}"
        )
    return pooling if isinstance(pooling, tuple) else int(pooling)


def _block_mean(gradients: Tensor, axis: int, block: int) -> Tensor:
    if block == 1:
        return gradients
    pieces = torch.split(gradients, block, dim=axis)
    return torch.cat([piece.mean(dim=axis, keepdim=True).expand_as(piece) for piece in pieces], dim=axis)


def gradcam_plus_plus(activations: Tensor, gradients: Tensor) -> Tensor:
    r"""Return :math:`\sum_c w_c A_c` with :math:`w_c = \sum_{ij} \alpha_{ij} \max(g_{ij}, 0)`.

    For an exponential output, :math:`\alpha = g^2 / (2 g^2 + g^3 \sum_{ab} A_{ab})`, and 0 where g is 0. The factor
    exp(logit) that this output brings to w scales a whole map and is left out. The product
    :math:`\alpha g = g / (2 + g \sum A)` is formed at once: no power of g is taken that could under- or overflow.

    References
    ----------
    Chattopadhyay et al., Grad-CAM++, WACV 2018, equation 19. doi:10.1109/WACV.2018.00097
    """
    return weighted(plus_plus_weights(activations, gradients), activations)


def plus_plus_weights(activations: Tensor, first: Tensor, curvature: Tensor | None = None) -> Tensor:
    r"""Return the Grad-CAM++ weights (N, K, C).

    Parameters
    ----------
    first : (N, K, C, \*S) mean of g over noisy copies of the image
    curvature : the same shape, mean of :math:`g^3` over the product of the means of :math:`g^2` and g; None means 1,
        its value without noise

    Places whose denominator vanishes, which takes negative activations, are left out.
    """
    sums = activations.flatten(2).sum(dim=2).reshape(activations.shape[0], 1, -1, *(1 for _ in activations.shape[2:]))
    positive = first.relu()
    denominator = positive * (sums if curvature is None else sums * curvature)
    denominator += 2
    if bool((sums < 0).any()):
        denominator[denominator == 0] = torch.inf
    positive /= denominator
    return positive.flatten(3).sum(dim=3)


def xgradcam(activations: Tensor, gradients: Tensor) -> Tensor:
    r"""Return :math:`\sum_c w_c A_c` with :math:`w_c = \sum_{ij} g A / \sum_{ij} A`, and 0 where that sum is 0.

    The sum of the map over space is that of HiResCAM.

    References
    ----------
    Fu et al., Axiom-based Grad-CAM, BMVC 2020. arXiv:2008.02312
    """
    evidence = (gradients * activations.unsqueeze(1)).flatten(3).sum(dim=3)
    sums = activations.flatten(2).sum(dim=2).unsqueeze(1)
    return weighted(torch.where(sums == 0, 0.0, evidence / sums), activations)


def layercam(activations: Tensor, gradients: Tensor) -> Tensor:
    r"""Return :math:`\sum_c \max(g_c, 0) \odot A_c`.

    References
    ----------
    Jiang et al., LayerCAM, IEEE TIP 2021. doi:10.1109/TIP.2021.3089943
    """
    return (gradients.relu() * activations.unsqueeze(1)).sum(dim=2)


def elementwise(activations: Tensor, gradients: Tensor) -> Tensor:
    r"""Return :math:`\sum_c \max(g_c \odot A_c, 0)`: the supporting half of HiResCAM, channel by channel.

    Behind a ReLU, where no activation is negative, it is LayerCAM.
    """
    return (gradients * activations.unsqueeze(1)).relu().sum(dim=2)


def fused(maps: Sequence[Tensor], size: tuple[int, ...], *, deep: int = 1) -> Tensor:
    r"""Return maps of several layers as one, (N, K, \*size), 0 to 1: where any layer sees evidence.

    Every map is rectified and divided by its own maximum. Maps of shallow layers pass :math:`\tanh(2 M / \max M)`,
    which lifts their weak responses; then all are brought to `size` and the largest value counts. A map without
    positive evidence stays zero.

    Parameters
    ----------
    maps : (N, K, \*grid) each, from the shallowest layer to the deepest, signed
    deep : how many of the last maps are not scaled by tanh

    Raises
    ------
    ExplainError
        There is no map, or `deep` is not between 0 and their number.

    References
    ----------
    Jiang et al., LayerCAM, IEEE TIP 2021, equation 9. doi:10.1109/TIP.2021.3089943
    """
    if not maps or not 0 <= deep <= len(maps):
        raise ExplainError(f"fusion needs maps, and 0 to {len(maps)} deep ones among them, found deep={deep}")
    result = None
    for position, values in enumerate(maps):
        positive = values.relu()
        peak = positive.amax(dim=_spatial(values, 2), keepdim=True)
        share = positive / torch.where(peak > 0, peak, 1.0)
        scaled = upsample(share if position >= len(maps) - deep else torch.tanh(FUSION_GAIN * share), size)
        result = scaled if result is None else torch.maximum(result, scaled)
    assert result is not None
    return result


def upsample(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    r"""Return maps (N, K, \*grid) on `size` by half-pixel (tri)linear interpolation."""
    modes = {1: "linear", 2: "bilinear", 3: "trilinear"}
    return functional.interpolate(maps, size=size, mode=modes[len(size)], align_corners=False)


for _explainer in (
    Explainer(
        name="gradcam",
        kind="cam",
        function=gradcam,
        sentence="Activations weighted by their spatially averaged gradient; the pooling covers the whole volume.",
        reference="Selvaraju et al. 2017, doi:10.1109/ICCV.2017.74, eq. 1-2",
        caution="Averaging the gradient can light up places the model did not use; compare with HiResCAM.",
    ),
    Explainer(
        name="hirescam",
        kind="cam",
        function=hirescam,
        sentence="Gradient times activation at every place; complete for networks that end in one linear layer.",
        reference="Draelos and Carin 2020, arXiv:2011.08891, eq. 4",
    ),
    Explainer(
        name="cam",
        kind="cam",
        function=cam,
        sentence="Activations weighted by the pooled linear head; the mean of the map is the logit minus its bias.",
        reference="Zhou et al. 2016, doi:10.1109/CVPR.2016.319, eq. 2",
        caution="Only for networks that end in global average pooling and one linear layer.",
    ),
    Explainer(
        name="gradcam++",
        kind="cam",
        function=gradcam_plus_plus,
        sentence="Activations weighted by their positive gradient, places counted by the curvature of exp(logit).",
        reference="Chattopadhyay et al. 2018, doi:10.1109/WACV.2018.00097, eq. 19",
        unit="relative",
        caution="Negative evidence is left out and the map does not scale with the logit; take a layer after its ReLU.",
    ),
    Explainer(
        name="xgradcam",
        kind="cam",
        function=xgradcam,
        sentence="Activations weighted by the mean gradient where the channel is active; sums to the same as HiResCAM.",
        reference="Fu et al. 2020, arXiv:2008.02312",
        caution="Weights are unstable where the activations of a channel sum to about 0; take a layer after its ReLU.",
    ),
    Explainer(
        name="layercam",
        kind="cam",
        function=layercam,
        sentence="Activations weighted place by place by their positive gradient; also for shallow layers.",
        reference="Jiang et al. 2021, doi:10.1109/TIP.2021.3089943",
        caution="Negative gradients are left out, so the map does not add up to the logit.",
    ),
    Explainer(
        name="elementwise",
        kind="cam",
        function=elementwise,
        sentence="The positive part of gradient times activation, channel by channel.",
        reference="pytorch-grad-cam 1.5, GradCAMElementWise",
        caution="Evidence against the class is left out, so the map does not add up to the logit.",
    ),
):
    EXPLAINERS.add(_explainer.name, _explainer)
