r"""The CAM family: one short function per method, its formula above it.

Notation: :math:`A` is the activation of the target layer, (N, C, \*S) with any number of spatial axes S, and
:math:`g = \partial y_k / \partial A` the gradient of logit k, (N, K, C, \*S). Every function returns (N, K, \*S): raw,
signed, before ReLU and before any normalisation, in units of the logit. 2D and 3D are the same code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from audit_pipeline.errors import ExplainError
from audit_pipeline.registry import Registry

Pooling = str | int
CamFunction = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class Explainer:
    """One method with what the reader of a report must know about it."""

    name: str
    function: CamFunction
    sentence: str
    reference: str
    caution: str = ""


EXPLAINERS: Registry[Explainer] = Registry("explainer", group="audit_pipeline.explainers")


def _spatial(tensor: Tensor, leading: int) -> tuple[int, ...]:
    return tuple(range(leading, tensor.ndim))


def gradcam(activations: Tensor, gradients: Tensor) -> Tensor:
    r"""Return :math:`\sum_c \bar g_c A_c` with :math:`\bar g_c` the mean of the gradient over all spatial axes.

    For a volume the mean runs over depth, height and width: the pooling is volumetric.

    References
    ----------
    Selvaraju et al., Grad-CAM, ICCV 2017, equations 1 and 2 (without the final ReLU). doi:10.1109/ICCV.2017.74
    """
    weights = gradients.mean(dim=_spatial(gradients, 3), keepdim=True)
    return (weights * activations.unsqueeze(1)).sum(dim=2)


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

    The gradient is averaged over blocks of `pooling` cells along each axis: ``"none"`` or 1 is HiResCAM, ``"global"``
    is Grad-CAM. Blocks at the far edge are smaller where the grid is not a multiple.
    """
    if pooling == "global":
        return gradcam(activations, gradients)
    if pooling in {"none", 1}:
        return hirescam(activations, gradients)
    return hirescam(activations, _block_mean(gradients, block_size(pooling)))


def block_size(pooling: Pooling) -> int:
    """Return the block edge in cells.

    Raises
    ------
    ExplainError
        `pooling` is neither a known word nor a whole number of cells above zero.
    """
    if isinstance(pooling, bool) or not isinstance(pooling, int) or pooling < 1:
        raise ExplainError(f"pooling must be 'global', 'none' or a number of cells above zero, found {pooling!r}")
    return pooling


def _block_mean(gradients: Tensor, block: int) -> Tensor:
    for axis in _spatial(gradients, 3):
        pieces = torch.split(gradients, block, dim=axis)
        gradients = torch.cat([piece.mean(dim=axis, keepdim=True).expand_as(piece) for piece in pieces], dim=axis)
    return gradients


def upsample(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    r"""Return maps (N, K, \*grid) on `size` by half-pixel (tri)linear interpolation."""
    modes = {1: "linear", 2: "bilinear", 3: "trilinear"}
    return functional.interpolate(maps, size=size, mode=modes[len(size)], align_corners=False)


EXPLAINERS.add(
    "gradcam",
    Explainer(
        name="gradcam",
        function=gradcam,
        sentence="Activations weighted by their spatially averaged gradient; the pooling covers the whole volume.",
        reference="Selvaraju et al. 2017, doi:10.1109/ICCV.2017.74, eq. 1-2",
        caution="Averaging the gradient can light up places the model did not use; compare with HiResCAM.",
    ),
)
EXPLAINERS.add(
    "hirescam",
    Explainer(
        name="hirescam",
        function=hirescam,
        sentence="Gradient times activation at every place; complete for networks that end in one linear layer.",
        reference="Draelos and Carin 2020, arXiv:2011.08891, eq. 4",
    ),
)
