r"""Transformers: attention rollout, and CAM on the tokens of a layer put back on their grid.

The grid comes from `tokens`: it is verified by changing the image, never inferred from a name or a square root. Where
that is not possible, or the attention does not lead from all tokens to all tokens, the method refuses with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from audit_pipeline.errors import ExplainError, LayerError
from audit_pipeline.explain.cam import gradcam, hirescam
from audit_pipeline.explain.method import EXPLAINERS, CamFunction, Explainer, Request
from audit_pipeline.explain.token_layers import (
    SMALLEST_SHARE,
    WINDOWED,
    attention_kinds,
    choose_token_layer,
    full_attention,
    is_transformer,
    named_token_layer,
    placed,
    sequences,
)
from audit_pipeline.explain.tokens import Seen, TokenGrid, graph_at, modules_seen

RECOMPUTED_TOLERANCE = 1e-3
"""Largest deviation of a block's output from its recomputation, relative to the largest output."""


def attention_rollout(request: Request) -> Tensor:
    r"""Return how much of each patch reaches the tokens that the head reads, (N, T, \*grid); the same for every class.

    With :math:`A_l` the attention of block l, averaged over heads, the rollout is
    :math:`\tilde A_L \cdots \tilde A_1` with :math:`\tilde A_l = (A_l + I) / 2`, the identity for the residual path.
    The rows are those of the tokens with a gradient at the last layer: the class token, or all patches, averaged.

    Raises
    ------
    ExplainError
        The attention is windowed, absent, of an unknown kind, or recomputing it does not give the block's own output.
    LayerError
        The position probe contradicts the grid of the tokens.

    References
    ----------
    Abnar and Zuidema, Quantifying attention flow in transformers, ACL 2020, arXiv:2005.00928, section 3, equations
    in "Attention rollout".
    """
    _refuse_windows(request.model)
    blocks = _full_attention(request.model)
    sequence = sequences(modules_seen(request.model, request.images), request.layer)
    tokens = placed(request.model, sequence[0], request.images, request.batch)
    rows = _read_rows(request, sequence, tokens)
    parts = []
    for part in torch.split(request.images, request.batch):
        flow = _rolled(request.model, blocks, part)
        if flow.shape[1] != tokens.length:
            raise ExplainError(
                f"the attention blocks work on {flow.shape[1]} tokens and the layers on {tokens.length}; attention "
                "rollout needs one sequence through the whole network, choose token_gradcam"
            )
        parts.append(tokens.to_grid(flow[:, rows].mean(dim=1).unsqueeze(2)))
    return torch.cat(parts).expand(-1, len(request.targets), *tokens.grid).clone()


def token_gradcam(request: Request) -> Tensor:
    r"""Return Grad-CAM of the patch tokens on their grid, (N, T, \*grid); class tokens take no part.

    ``layer`` names the module; "auto" takes the last one whose patch tokens the logits still depend on: behind the last
    attention a head that reads only the class token gives every patch a gradient of zero.

    References
    ----------
    Selvaraju et al., Grad-CAM, ICCV 2017, equations 1 and 2, with tokens in the place of cells.
    """
    return _token_cam(request, gradcam)


def token_hirescam(request: Request) -> Tensor:
    r"""Return HiResCAM of the patch tokens on their grid, (N, T, \*grid); ``layer`` as for `token_gradcam`.

    In front of a layer normalisation the sum over channels is zero whatever the model does, because the logit does not
    change when a token is scaled (Euler's theorem for degree 0). "auto" passes over such layers; if one is named, the
    method refuses.

    References
    ----------
    Draelos and Carin, Use HiResCAM instead of Grad-CAM, arXiv:2011.08891, equation 4, with tokens as cells.
    """
    return _token_cam(request, hirescam)


def _token_cam(request: Request, method: CamFunction) -> Tensor:
    seen = _token_layer(request, complete=method is hirescam)
    tokens = placed(request.model, seen, request.images, request.batch)
    parts = []
    for part in torch.split(request.images, request.batch):
        found, logits = graph_at(request.model, [seen.name], part)
        values = found[seen.name]
        gradients = torch.stack([tokens.to_grid(one) for one in _gradients(logits, request.targets, values)], dim=1)
        parts.append(method(tokens.to_grid(values.detach()).float(), gradients.float()))
    return torch.cat(parts)


def _gradients(logits: Tensor, targets: Sequence[int], values: Tensor) -> list[Tensor]:
    columns = []
    for target in targets:
        (gradient,) = torch.autograd.grad(logits[:, target].sum(), values, retain_graph=True, allow_unused=True)
        columns.append(torch.zeros_like(values) if gradient is None else gradient)
    return columns


def _token_layer(request: Request, *, complete: bool) -> Seen:
    """Return the layer that is named, or the last one whose patch tokens the logits depend on.

    complete : whether the sum of gradient x activation over channels must not cancel
    """
    name = request.settings["layer"]
    if name != "auto":
        return named_token_layer(request.model, str(name), request.images, request.batch, complete=complete)
    if not attention_kinds(request.model) and not is_transformer(request.model, request.images):
        raise LayerError(
            "no attention block was found (known are MONAI's SABlock and WindowAttention and PyTorch's "
            "MultiheadAttention), so there are no tokens to choose; name the layer, or use gradcam or hirescam"
        )
    return choose_token_layer(request.model, request.images, request.batch, complete=complete)


def _read_rows(request: Request, sequence: Sequence[Seen], tokens: TokenGrid) -> list[int]:
    """Return the tokens that the head reads, seen by their gradient at the last layer that has one."""
    found, logits = graph_at(request.model, [one.name for one in sequence], request.images[:1])
    gradients = torch.autograd.grad(
        (logits[0] * torch.arange(1, logits.shape[1] + 1, device=logits.device)).sum(),
        list(found.values()), allow_unused=True,
    )  # fmt: skip
    by_name = dict(zip(found, gradients, strict=True))
    for one in reversed(sequence):
        gradient = by_name.get(one.name)
        if gradient is None or not bool((gradient != 0).any()):
            continue
        strengths = gradient[0].abs().sum(dim=1)
        rows = torch.nonzero(strengths > SMALLEST_SHARE * strengths.max()).flatten().tolist()
        if len(rows) == 1 or set(range(tokens.patches.start, tokens.patches.stop)) <= set(rows):
            return rows if len(rows) == 1 else list(range(tokens.patches.start, tokens.patches.stop))
        raise ExplainError(
            f"the head reads {len(rows)} of {tokens.length} tokens, neither one class token nor all patches, so "
            "attention rollout has no row to show; choose token_gradcam"
        )
    raise ExplainError("the logits depend on no layer of tokens, so attention rollout has no row to show")


def _rolled(model: nn.Module, blocks: Sequence[tuple[str, Any]], images: Tensor) -> Tensor:
    """Return the product of the attention matrices of all blocks in the order in which they run, (N, L, L)."""
    flow: list[Tensor] = []

    def rolling(name: str) -> Callable[..., None]:
        def roll(block: Any, inputs: tuple[Tensor, ...], keywords: dict[str, Any], output: Tensor) -> None:
            if len(inputs) != 1 or any(value is not None for value in keywords.values()):
                raise ExplainError(f"attention block {name!r} gets a mask; attention rollout is not defined for it")
            weights = _attention(name, block, inputs[0], output).float().mean(dim=1)
            mixed = (weights + torch.eye(weights.shape[-1], device=weights.device)) / 2
            flow[:] = [mixed if not flow else mixed @ flow[0]]

        return roll

    handles = [block.register_forward_hook(rolling(name), with_kwargs=True) for name, block in blocks]
    try:
        with torch.no_grad():
            model(images)
    finally:
        for handle in handles:
            handle.remove()
    if not flow:
        raise ExplainError("no attention block runs in a forward pass; choose token_gradcam")
    return flow[0]


def _attention(name: str, block: Any, tokens: Tensor, output: Tensor) -> Tensor:
    """Return the attention (N, heads, L, L) of a block, recomputed and held against the block's own output."""
    if block.rel_positional_embedding is not None:
        raise ExplainError(f"attention block {name!r} adds relative positions; attention rollout does not know them")
    if block.use_combined_linear:
        parts = block.qkv(tokens).chunk(3, dim=-1)
    else:
        parts = (block.to_q(tokens), block.to_k(tokens), block.to_v(tokens))
    heads = [part.reshape(*part.shape[:2], block.num_heads, -1).transpose(1, 2) for part in parts]
    query, key, value = heads
    scores = query @ key.transpose(2, 3) * block.scale
    if block.causal:
        length = scores.shape[-1]
        scores = scores.masked_fill(~torch.ones(length, length, device=scores.device).tril().bool(), -torch.inf)
    weights: Tensor = scores.softmax(dim=-1)
    again = block.out_proj((weights @ value).transpose(1, 2).flatten(2))
    if not float((again - output).abs().max()) <= RECOMPUTED_TOLERANCE * float(output.abs().max()):
        raise ExplainError(
            f"attention recomputed from query and key does not give the output of block {name!r}, so the rollout would "
            "not be that of this network; choose token_gradcam"
        )
    return weights


def _refuse_windows(model: nn.Module) -> None:
    if attention_kinds(model) & set(WINDOWED):
        raise ExplainError(
            "attention rollout multiplies attention from all tokens to all tokens, and this network attends inside "
            "shifted windows and merges tokens between stages: it is undefined; choose token_gradcam or token_hirescam"
        )


def _full_attention(model: nn.Module) -> list[tuple[str, Any]]:
    blocks = full_attention(model)
    if not blocks:
        raise ExplainError(
            "attention rollout reads MONAI's attention blocks (SABlock), and the network has none; choose token_gradcam"
        )
    return blocks


CHOICE: dict[str, Any] = {"layer": "auto"}

EXPLAINERS.add(
    "attention_rollout",
    Explainer(
        name="attention_rollout",
        kind="attention",
        function=attention_rollout,
        sentence="The share of each patch in the tokens that the head reads, if attention alone moved information.",
        reference="Abnar and Zuidema 2020, arXiv:2005.00928, sec. 3",
        unit="share of attention",
        passes="1 forward per image, and the position probe once per network",
        caution="The same for every class and never negative: it shows where the network looked, not what for.",
    ),
)
for _method, _name, _sentence, _reference in (
    (token_gradcam, "token_gradcam", "Grad-CAM of the patch tokens on their verified grid.",
     "Selvaraju et al. 2017, doi:10.1109/ICCV.2017.74, eq. 1-2"),
    (token_hirescam, "token_hirescam", "HiResCAM of the patch tokens on their verified grid.",
     "Draelos and Carin 2020, arXiv:2011.08891, eq. 4"),
):  # fmt: skip
    EXPLAINERS.add(
        _name,
        Explainer(
            name=_name,
            kind="attention",
            function=_method,
            sentence=_sentence,
            reference=_reference,
            passes="1 forward per image, 1 partial backward per target, and the position probe once per network",
            caution="Attention has mixed the tokens before the layer: a token carries more than its own patch.",
            defaults=CHOICE,
        ),
    )
