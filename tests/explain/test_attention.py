"""Transformers: tokens are shown where the image says they are, or the method refuses with the reason."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import nn

from audit_pipeline import explain_batch
from audit_pipeline.errors import ConfigError, ExplainError, LayerError
from audit_pipeline.explain.attention import _attention as recomputed
from audit_pipeline.explain.methods import EXPLAINERS
from audit_pipeline.explain.tokens import TokenGrid, modules_seen, probe_grid, probe_sequence

pytestmark = pytest.mark.filterwarnings("ignore:dropout2d")

both = pytest.mark.parametrize("dimensions", [2, 3])
TOKEN_CAMS = ("token_gradcam", "token_hirescam")
SIZES = {2: (16, 24), 3: (8, 16, 12)}
PATCH = {2: 8, 3: 4}
GRIDS = {2: (2, 3), 3: (2, 4, 3)}
CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}


def values_of(model, images, method, targets=None, at=None, batch=8):
    settings = {} if at is None else {method: {"layer": at}}
    return explain_batch(model, images, methods=[method], targets=targets, settings=settings, batch=batch).values[
        method
    ]


def batch_of(dimensions, count=2, shape=None):
    return torch.randn(count, 1, *(shape or SIZES[dimensions]), generator=torch.Generator().manual_seed(3))


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)

    def forward(self, tokens):
        normed = self.norm(tokens)
        return tokens + self.attention(normed, normed, normed, need_weights=False)[0]


class Tokens(nn.Module):
    """A small transformer whose order of tokens, class token and reading the test chooses."""

    def __init__(self, dimensions: int, *, order: str = "raster", extra: str = "first", reads: str = "class") -> None:
        super().__init__()
        torch.manual_seed(5)
        self.embed = CONVOLUTIONS[dimensions](1, 8, PATCH[dimensions], PATCH[dimensions])
        self.blocks = nn.ModuleList([Block(8), Block(8)])
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 3)
        self.extra = nn.Parameter(torch.randn(1, 1, 8))
        self.order, self.place, self.reads = order, extra, reads

    def forward(self, images):
        grid = self.embed(images)
        if self.order == "transposed":
            grid = grid.transpose(2, 3)
        tokens = grid.flatten(2).transpose(1, 2)
        if self.order == "swapped":
            tokens = tokens[:, [0, 2, 1, *range(3, tokens.shape[1])]]
        extra = self.extra.expand(len(images), -1, -1)
        parts = {"first": [extra, tokens], "last": [tokens, extra], "none": [tokens]}[self.place]
        tokens = torch.cat(parts, dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        row = 0 if self.place == "first" else -1
        read = {"class": tokens[:, row], "mean": tokens.mean(1), "two": tokens[:, 1:3].mean(1)}
        return self.head(read[self.reads])


@both
@pytest.mark.parametrize(("extra", "first", "others"), [("first", 1, [0]), ("last", 0, [-1]), ("none", 0, [])])
def test_the_probe_finds_grid_order_and_place_of_the_class_token(dimensions, extra, first, others):
    net = Tokens(dimensions, extra=extra, reads="mean").eval()
    length = int(np.prod(GRIDS[dimensions])) + len(others)
    tokens = probe_sequence(net, "blocks.0.norm", length, batch_of(dimensions, 1), 4)
    assert tokens == TokenGrid(layout="sequence", grid=GRIDS[dimensions], first=first, length=length)
    assert tokens.others == tuple(other % length for other in others)


@pytest.mark.parametrize("order", ["transposed", "swapped"])
@pytest.mark.parametrize("method", TOKEN_CAMS)
def test_an_order_of_tokens_that_the_probe_contradicts_is_refused(order, method):
    with pytest.raises(LayerError, match="position probe contradicts the grid"):
        values_of(Tokens(2, order=order).eval(), batch_of(2), method)


def test_patches_that_do_not_tile_the_image_are_refused():
    net = Tokens(2, reads="mean").eval()
    with pytest.raises(LayerError, match="do not tile axis 1 of the image evenly"):
        values_of(net, batch_of(2, shape=(16, 28)), "token_gradcam")


def test_a_constant_image_is_probed_as_well():
    assert values_of(Tokens(2).eval(), torch.zeros(1, 1, 16, 24), "token_gradcam").shape == (1, 3, 2, 3)


def at_layer(net, name, images, target):
    """Return activations and gradients of a layer by an ordinary backward pass through a copy."""
    twin = copy.deepcopy(net)
    kept = []

    def keep(_module, _inputs, output):
        output.retain_grad()
        kept.append(output)

    dict(twin.named_modules())[name].register_forward_hook(keep)
    twin(images)[:, target].sum().backward()
    return kept[0].detach(), kept[0].grad


@both
@pytest.mark.parametrize("extra", ["first", "last", "none"])
def test_token_cams_are_their_formulas_on_the_patch_tokens(dimensions, extra):
    net, images = Tokens(dimensions, extra=extra, reads="mean").eval(), batch_of(dimensions)
    patches = slice(1, None) if extra == "first" else slice(0, -1) if extra == "last" else slice(None)
    found = {method: values_of(net, images, method, [2, 0], at="blocks.1.norm", batch=1) for method in TOKEN_CAMS}
    for column, target in enumerate([2, 0]):
        activations, gradients = (part[:, patches] for part in at_layer(net, "blocks.1.norm", images, target))
        hires = (activations * gradients).sum(2)
        grad = (activations * gradients.mean(1, keepdim=True)).sum(2)
        for method, expected in (("token_hirescam", hires), ("token_gradcam", grad)):
            torch.testing.assert_close(found[method][:, column].flatten(1), expected, rtol=1e-4, atol=1e-7)
            assert found[method].shape == (2, 2, *GRIDS[dimensions])


def test_the_automatic_layer_is_the_last_whose_patches_the_logits_depend_on():
    by_class, by_mean = Tokens(2).eval(), Tokens(2, reads="mean").eval()
    images = batch_of(2)
    for net, layer in ((by_class, "blocks.1.norm"), (by_mean, "norm")):
        expected = values_of(net, images, "token_gradcam", at=layer)
        assert expected.abs().max() > 0
        torch.testing.assert_close(values_of(net, images, "token_gradcam"), expected, rtol=0, atol=0)


def test_a_layer_behind_the_last_attention_has_no_places_for_a_class_token_and_is_refused():
    with pytest.raises(LayerError, match="do not depend on the places of layer 'norm'"):
        values_of(Tokens(2).eval(), batch_of(2), "token_gradcam", at="norm")


def test_hirescam_in_front_of_a_layer_normalisation_is_refused_because_it_vanishes():
    net, images = Tokens(2, reads="mean").eval(), batch_of(2)
    with pytest.raises(LayerError, match="layer normalisation right behind it"):
        values_of(net, images, "token_hirescam", at="blocks.1")
    assert values_of(net, images, "token_gradcam", at="blocks.1").abs().max() > 0


@pytest.mark.parametrize("method", TOKEN_CAMS)
def test_unknown_layers_and_networks_without_attention_are_refused(make_net, make_batch, method):
    with pytest.raises(LayerError, match=r"unknown layer of tokens 'block.1'; did you mean 'blocks.1'"):
        values_of(Tokens(2).eval(), batch_of(2), method, at="block.1")
    with pytest.raises(LayerError, match="no attention block was found"):
        values_of(make_net(2), make_batch(2), method)


def test_rollout_refuses_attention_that_it_does_not_know(make_net, make_batch):
    for net, images in ((Tokens(2).eval(), batch_of(2)), (make_net(2), make_batch(2))):
        with pytest.raises(ExplainError, match="reads MONAI's attention blocks"):
            values_of(net, images, "attention_rollout")


class Logits(nn.Module):
    """The logits of a network that also returns its hidden states."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images):
        return self.net(images)[0]


def vit(dimensions, layers=3, **more):
    pytest.importorskip("einops", reason="MONAI's transformers need einops")
    from monai.networks.nets import ViT

    torch.manual_seed(0)
    return Logits(
        ViT(
            1, SIZES[dimensions], PATCH[dimensions], hidden_size=12, mlp_dim=16, num_layers=layers, num_heads=3,
            classification=True, num_classes=3, spatial_dims=dimensions, post_activation="", **more,
        )
    ).eval()  # fmt: skip


@both
@pytest.mark.parametrize("layers", [1, 3])
def test_rollout_is_the_product_of_the_attention_that_monai_saves(dimensions, layers):
    net, images = vit(dimensions, layers), batch_of(dimensions)
    saving = vit(dimensions, layers, save_attn=True)
    saving.load_state_dict(net.state_dict())
    saving(images)
    flow = torch.eye(1 + int(np.prod(GRIDS[dimensions]))).expand(2, -1, -1)
    for block in saving.net.blocks:
        weights = block.attn.att_mat.mean(1)
        flow = (weights + torch.eye(weights.shape[-1])) / 2 @ flow
    found = values_of(net, images, "attention_rollout", [1, 0])
    expected = flow[:, 0, 1:].reshape(2, 1, *GRIDS[dimensions]).expand(-1, 2, *GRIDS[dimensions])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert (found.flatten(2).sum(2) < 1).all()


@both
def test_a_class_token_that_attends_to_the_hot_patch_makes_it_win(dimensions):
    net = vit(dimensions, 1)
    inner, block = net.net, net.net.blocks[0]
    for parameter in inner.parameters():
        nn.init.zeros_(parameter)
    block.norm1, block.norm2, inner.norm = nn.Identity(), nn.Identity(), nn.Identity()
    width, each = 12, 4
    embedding = inner.patch_embedding.patch_embeddings.weight
    embedding.data[1] = 1 / embedding[1].numel()
    inner.cls_token.data[..., 0] = 1
    for head in range(3):
        block.attn.qkv.weight.data[head * each, 0] = 4.0
        block.attn.qkv.weight.data[width + head * each, 1] = 1.0
        block.attn.qkv.weight.data[2 * width + head * each, 1] = 1.0
    block.attn.out_proj.weight.data[2, 0] = 1.0
    inner.classification_head.weight.data[0, 2] = 1.0
    grid, sides = GRIDS[dimensions], PATCH[dimensions]
    for cell in itertools.product(*map(range, grid)):
        images = torch.rand(1, 1, *SIZES[dimensions], generator=torch.Generator().manual_seed(0))
        images[(0, 0, *(slice(at * sides, (at + 1) * sides) for at in cell))] += 3
        for method in ("attention_rollout", *TOKEN_CAMS):
            found = values_of(net, images, method, [0])[0, 0]
            assert np.unravel_index(int(found.argmax()), grid) == cell, method


@pytest.mark.parametrize("method", ["attention_rollout", *TOKEN_CAMS])
@both
def test_monais_vision_transformer_has_a_map_of_its_grid_per_class(dimensions, method):
    net, images = vit(dimensions), batch_of(dimensions, 3)
    found = values_of(net, images, method)
    assert found.shape == (3, 3, *GRIDS[dimensions])
    torch.testing.assert_close(found[1:2], values_of(net, images[1:2], method), rtol=1e-4, atol=1e-6)
    assert torch.equal(found[:, 0], found[:, 1]) == (method == "attention_rollout")


def test_rollout_refuses_a_block_whose_output_its_weights_do_not_explain():
    net = vit(2)
    attention = net.net.blocks[1].attn
    plain = attention.forward
    attention.forward = lambda tokens, attn_mask=None: 1.5 * plain(tokens, attn_mask)
    with pytest.raises(ExplainError, match=r"does not give the output of block 'net.blocks.1.attn'"):
        values_of(net, batch_of(2), "attention_rollout")


@pytest.mark.parametrize("use_combined_linear", [True, False])
@pytest.mark.parametrize("causal", [True, False])
def test_recomputed_attention_is_that_which_every_kind_of_block_saves(use_combined_linear, causal):
    pytest.importorskip("einops", reason="MONAI's transformers need einops")
    from monai.networks.blocks.selfattention import SABlock

    torch.manual_seed(0)
    block = SABlock(
        12, 3, qkv_bias=True, save_attn=True, causal=causal, sequence_length=5, use_combined_linear=use_combined_linear
    ).eval()
    tokens = torch.randn(2, 5, 12)
    with torch.no_grad():
        weights = recomputed("block", block, tokens, block(tokens))
    torch.testing.assert_close(weights, block.att_mat, rtol=1e-5, atol=1e-7)


def test_relative_positions_are_refused():
    pytest.importorskip("einops", reason="MONAI's transformers need einops")
    from monai.networks.blocks.selfattention import SABlock

    block = SABlock(12, 3, rel_pos_embedding="decomposed", input_size=(2, 3)).eval()
    tokens = torch.randn(1, 6, 12)
    with torch.no_grad(), pytest.raises(ExplainError, match="adds relative positions"):
        recomputed("block", block, tokens, block(tokens))


def test_rollout_refuses_a_head_that_reads_some_patches_only():
    class Some(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = vit(2).net
            self.net.classification_head = nn.Identity()
            self.fc = nn.Linear(12, 2)

        def forward(self, images):
            return self.fc(self.net(images)[1][-1][:, 2:4].mean(1))

    with pytest.raises(ExplainError, match="reads 2 of 7 tokens"):
        values_of(Some().eval(), batch_of(2), "attention_rollout")


def swin(dimensions, depths=(2, 2, 2, 2), window=3):
    pytest.importorskip("einops", reason="MONAI's transformers need einops")
    from monai.networks.nets.swin_unetr import SwinTransformer

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.swin = SwinTransformer(
                1, 6, [window] * dimensions, [2] * dimensions, depths, [2] * 4, spatial_dims=dimensions
            )
            self.fc = nn.Linear(96, 3)

        def forward(self, images):
            return self.fc(self.swin(images)[-1].flatten(2).mean(2))

    torch.manual_seed(0)
    return Classifier().eval()


def test_rollout_refuses_windows_and_offers_token_cam():
    with pytest.raises(ExplainError, match=r"shifted windows .* choose token_gradcam or token_hirescam"):
        values_of(swin(2), batch_of(2, shape=(64, 64)), "attention_rollout")


@both
def test_every_stage_of_a_swin_transformer_keeps_its_places_and_the_probe_tells_the_layout(dimensions):
    net = swin(dimensions)
    shape = {2: (64, 32), 3: (32, 64, 32)}[dimensions]
    images = batch_of(dimensions, 1, shape)
    seen = {one.name: one for one in modules_seen(net, images)}
    for name, factor, layout in (
        ("swin.patch_embed", 2, "channels first"),
        ("swin.layers1.0.blocks.1", 2, "channels last"),
        ("swin.layers2.0", 8, "channels first"),
        ("swin.layers4.0.blocks.1", 16, "channels last"),
    ):
        tokens = probe_grid(net, seen[name], images, 8)
        assert tokens == TokenGrid(layout=layout, grid=tuple(size // factor for size in shape))


@both
def test_token_cam_of_a_swin_transformer_is_its_formula_at_a_named_block(dimensions):
    net, images = swin(dimensions), batch_of(dimensions, 1, (32,) * dimensions)
    name = "swin.layers3.0.blocks.1"
    activations, gradients = at_layer(net, name, images, 1)
    hires = (activations * gradients).sum(-1)
    weights = gradients.mean(tuple(range(1, gradients.ndim - 1)), keepdim=True)
    found = values_of(net, images, "token_hirescam", [1], at=name)
    torch.testing.assert_close(found[:, 0], hires, rtol=1e-3, atol=1e-6)
    found = values_of(net, images, "token_gradcam", [1], at=name)
    torch.testing.assert_close(found[:, 0], (activations * weights).sum(-1), rtol=1e-3, atol=1e-6)


@both
@pytest.mark.parametrize("method", TOKEN_CAMS)
def test_a_swin_transformer_has_token_cams_without_naming_a_layer(dimensions, method):
    net, images = swin(dimensions), batch_of(dimensions, 1, (32,) * dimensions)
    found = values_of(net, images, method)
    assert found.shape[:2] == (1, 3)
    assert max(found.shape[2:]) == 2
    assert found.abs().max() > 1e-4


def test_a_hot_patch_changes_the_map_of_a_swin_transformer_at_its_token():
    net = swin(2)
    for block in (module for module in net.swin.modules() if hasattr(module, "attn")):
        nn.init.zeros_(block.attn.proj.weight)
        nn.init.zeros_(block.mlp.linear2.weight)
    images = torch.zeros(2, 1, 64, 64)
    images[1, 0, 40:48, 16:24] = 3.0
    blank, hot = values_of(net, images, "token_hirescam", at="swin.layers2.0.blocks.1")
    change = (hot - blank).abs().amax(0)
    peak = np.unravel_index(int(change.argmax()), (16, 16))
    assert peak in set(itertools.product([10, 11], [4, 5]))
    change[8:, :8] = 0  # what the last stage merges with the hot patch into one token
    assert change.max() <= 1e-6


def state_of(net):
    return (
        [value.clone() for value in net.state_dict().values()],
        [parameter.grad for parameter in net.parameters()],
        [parameter.requires_grad for parameter in net.parameters()],
        [(module.training, getattr(module, "save_attn", None), id(getattr(module, "att_mat", None)))
         for module in net.modules()],
        [len(hooks) for module in net.modules() for hooks in (module._forward_hooks, module._forward_pre_hooks)],
        torch.get_rng_state().tolist(),
        torch.is_grad_enabled(),
    )  # fmt: skip


@pytest.mark.parametrize("is_broken", [False, True])
@pytest.mark.parametrize("method", ["attention_rollout", *TOKEN_CAMS])
def test_the_model_leaves_as_it_came_also_after_an_error(method, is_broken):
    net = vit(2, save_attn=True, dropout_rate=0.3)
    net.net.blocks[0].train()
    net.net.norm.weight.requires_grad_(False)
    calls = []

    def fail_late(*_):
        calls.append(1)
        if is_broken and len(calls) > 4:
            raise IndexError("in the head")

    net.net.classification_head.register_forward_hook(fail_late)
    net.net.blocks[0].attn.save_attn = False
    before = state_of(net)
    if is_broken:
        with pytest.raises(IndexError, match="in the head"):
            values_of(net, batch_of(2, 8), method, batch=1)
    else:
        values_of(net, batch_of(2, 8), method, batch=1)
    after = state_of(net)
    assert all(torch.equal(one, other) for one, other in zip(before[0], after[0], strict=True))
    assert before[1:3] == after[1:3]
    assert before[4:] == after[4:]
    assert [one[:2] for one in before[3]] == [one[:2] for one in after[3]]


def test_every_method_says_what_it_is():
    for method in ("attention_rollout", *TOKEN_CAMS):
        explainer = EXPLAINERS[method]
        assert explainer.kind == "attention"
        assert explainer.caution
    with pytest.raises(ConfigError):
        EXPLAINERS["token_cam"]
