"""Classifiers out of MONAI's transformers, which alone return tuples and lists of features instead of logits."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from monai.networks.nets import ViT
from monai.networks.nets.swin_unetr import SwinTransformer
from torch import Tensor, nn

from audit_pipeline.errors import ModelError

STAGES = 4
"""MONAI's Swin Transformer has four stages, each of which halves the grid at its end."""


class VisionTransformer(ViT):  # type: ignore[misc]  # MONAI carries no types
    """MONAI's ViT with its classification head, returning the logits alone; parameters keep MONAI's names."""

    def forward(self, images: Tensor) -> Tensor:
        r"""Return the logits (N, K) of images (N, C, \*S)."""
        logits: Tensor = super().forward(images)[0]
        return logits


def vit(  # noqa: PLR0913 - MONAI's own keywords
    in_channels: int,
    num_classes: int,
    spatial_dims: int,
    img_size: Sequence[int],
    *,
    patch_size: int | Sequence[int] = 16,
    hidden_size: int = 768,
    mlp_dim: int = 3072,
    num_layers: int = 12,
    num_heads: int = 12,
    proj_type: str = "conv",
    pos_embed_type: str = "learnable",
    dropout_rate: float = 0.0,
    qkv_bias: bool = False,
    post_activation: str = "",
) -> VisionTransformer:
    r"""Return a vision transformer that classifies by its class token.

    Parameters
    ----------
    img_size : of the input, one entry per axis, in pixels; a multiple of `patch_size`
    patch_size : one number, or one per axis
    post_activation : "Tanh" where the weights were trained with MONAI's default, which bounds the outputs to -1 ... 1;
        otherwise the outputs are plain logits

    Raises
    ------
    ModelError
        The patches do not tile the input, or the package einops is missing.

    References
    ----------
    Dosovitskiy et al., An image is worth 16x16 words, ICLR 2021, arXiv:2010.11929, section 3.1, equations 1-4.
    """
    _require_einops()
    patch = _per_axis(patch_size, spatial_dims)
    if any(side % edge for side, edge in zip(img_size, patch, strict=True)):
        raise ModelError(
            f"patches of {patch} do not tile an input of {tuple(img_size)}, and the voxels left over would not "
            "be seen; give sides that are multiples of the patch"
        )
    return VisionTransformer(
        in_channels=in_channels,
        img_size=tuple(img_size),
        patch_size=patch,
        hidden_size=hidden_size,
        mlp_dim=mlp_dim,
        num_layers=num_layers,
        num_heads=num_heads,
        proj_type=proj_type,
        pos_embed_type=pos_embed_type,
        classification=True,
        num_classes=num_classes,
        dropout_rate=dropout_rate,
        spatial_dims=spatial_dims,
        post_activation=post_activation,
        qkv_bias=qkv_bias,
    )


def _require_einops() -> None:
    if importlib.util.find_spec("einops") is None:
        raise ModelError("MONAI's transformers need the package einops; install audit-pipeline[transformers]")


class SwinClassifier(nn.Module):
    r"""MONAI's Swin Transformer, which is an encoder, with the head of the paper: norm, mean over tokens, linear.

    The output of ``norm`` is the last grid of tokens, (N, \*S / (16 patch), C): behind it the head is pooled and
    linear, so Grad-CAM and HiResCAM agree there in closed form.

    Parameters
    ----------
    patch_size, window_size : one number, or one per axis
    feature_size : channels of the first stage; they double from stage to stage and once more at the end

    References
    ----------
    Liu et al., Swin Transformer, ICCV 2021, doi:10.1109/ICCV48922.2021.00986, section 3.1 and, for the head, the
    paragraph on image classification in its appendix.
    """

    def __init__(  # noqa: PLR0913 - the architecture, each by keyword
        self,
        in_channels: int,
        num_classes: int,
        spatial_dims: int,
        *,
        feature_size: int = 48,
        patch_size: int | Sequence[int] = 2,
        window_size: int | Sequence[int] = 7,
        depths: Sequence[int] = (2, 2, 2, 2),
        num_heads: Sequence[int] = (3, 6, 12, 24),
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        _require_einops()
        if len(depths) != STAGES or len(num_heads) != STAGES:
            raise ModelError(
                f"a Swin Transformer has {STAGES} stages, found {len(depths)} depths and {len(num_heads)} numbers of "
                f"heads; give {STAGES} of each"
            )
        self.encoder = SwinTransformer(
            in_channels,
            feature_size,
            _per_axis(window_size, spatial_dims),
            _per_axis(patch_size, spatial_dims),
            tuple(depths),
            tuple(num_heads),
            mlp_ratio=mlp_ratio,
            qkv_bias=qkv_bias,
            drop_rate=drop_rate,
            attn_drop_rate=attn_drop_rate,
            drop_path_rate=drop_path_rate,
            patch_norm=True,
            spatial_dims=spatial_dims,
        )
        channels = feature_size * 2**STAGES
        self.norm = nn.LayerNorm(channels)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        r"""Return the logits (N, K) of images (N, C, \*S)."""
        tokens = self.encoder(images, normalize=False)[-1].movedim(1, -1)
        logits: Tensor = self.head(self.norm(tokens).flatten(1, -2).mean(dim=1))
        return logits


def _per_axis(size: int | Sequence[int], axes: int) -> tuple[int, ...]:
    return (size,) * axes if isinstance(size, int) else tuple(size)
