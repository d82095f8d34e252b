"""Transformers with weights set by hand or by one matched filter: what they look at is known, so maps can be judged."""

from __future__ import annotations

import torch
from torch import Tensor, nn

ANCHOR = 4.0
"""Size of the constant channels, so that a layer normalisation divides every patch by about the same."""


@torch.no_grad()
def bright_patch_vit(network: nn.Module) -> nn.Module:
    """Make MONAI's ViT (12 channels, 3 heads, 1 block) give class 0 what its class token attends to: bright patches.

    Channel 1 of a patch is its mean, channels 3 and 4 are constants of opposite sign. The class token asks with its
    channel 0 for channel 1, and what comes back is written to channel 5, which class 0 reads; class 1 reads its
    negative.
    """
    width, each = 12, 4
    for parameter in network.parameters():
        parameter.zero_()
    block = network.blocks[0]
    for norm in (block.norm1, block.norm2, network.norm):
        norm.weight.fill_(1)
    (embedding,) = [
        one for name, one in network.patch_embedding.named_parameters() if one.ndim > 1 and "pos" not in name
    ]
    embedding[1] = 1 / embedding[1].numel()
    network.patch_embedding.position_embeddings[..., 3] = ANCHOR
    network.patch_embedding.position_embeddings[..., 4] = -ANCHOR
    network.cls_token[..., 0] = ANCHOR
    network.cls_token[..., 4] = -ANCHOR
    for head in range(3):
        block.attn.qkv.weight[head * each, 0] = 4.0
        block.attn.qkv.weight[width + head * each, 1] = 1.0
        block.attn.qkv.weight[2 * width + head * each, 1] = 1.0
    block.attn.out_proj.weight[5, 0] = 1.0
    network.classification_head.weight[0, 5] = 4.0
    network.classification_head.weight[1, 5] = -4.0
    return network


@torch.no_grad()
def bright_patch_swin(network: nn.Module, size: tuple[int, ...], cell: tuple[int, ...]) -> nn.Module:
    """Make a Swin classifier see each token of its last grid alone, and give class 0 the tokens of bright cells.

    Attention and perceptrons add nothing, so a token is a function of its own cell of the image. The head is the
    matched filter of one example: the token of a cell of ones less that of a cell of zeros.
    """
    for module in network.modules():
        if hasattr(module, "attn") and hasattr(module, "mlp"):
            for linear in (module.attn.proj, module.mlp.linear2):
                linear.weight.zero_()
                linear.bias.zero_()
    tokens: list[Tensor] = []
    handle = network.norm.register_forward_hook(lambda _module, _inputs, output: tokens.append(output[0]))
    example = torch.zeros(1, 1, *size)
    sides = [whole // cells for whole, cells in zip(size, last_grid(size), strict=True)]
    example[(0, 0, *(slice(at * side, (at + 1) * side) for at, side in zip(cell, sides, strict=True)))] = 1
    network(example)
    handle.remove()
    hot = tokens[0][cell]
    cold = tokens[0][tuple((at + 1) % cells for at, cells in zip(cell, last_grid(size), strict=True))]
    network.head.weight[0], network.head.weight[1] = hot - cold, cold - hot
    network.head.bias.zero_()
    return network


def last_grid(size: tuple[int, ...]) -> tuple[int, ...]:
    """The grid of the last stage with patches of 2: the input divided by 32."""
    return tuple(side // 32 for side in size)
