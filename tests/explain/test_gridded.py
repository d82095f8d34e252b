"""The engine on transformers: the automatic layer holds tokens, and its maps lie on their verified grid."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import nn

from audit_pipeline import explain_batch
from audit_pipeline.errors import LayerError
from audit_pipeline.explain.methods import EXPLAINERS
from audit_pipeline.explain.receptive import receptive_fields
from audit_pipeline.explain.token_layers import choose_token_layer, is_transformer
from audit_pipeline.explain.tokens import TokenGrid
from tests.explain import peers
from tests.explain.test_attention import CONVOLUTIONS, GRIDS, PATCH, SIZES, Block, Tokens, at_layer, batch_of
from tests.explain.test_engine import assert_unchanged, state_of
from tests.planted_transformers import bright_patch_swin, bright_patch_vit, last_grid

pytest.importorskip("einops", reason="MONAI's transformers need einops")

from audit_pipeline.models.transformers import SwinClassifier, vit

pytestmark = pytest.mark.filterwarnings("ignore:dropout2d")
both = pytest.mark.parametrize("dimensions", [2, 3])
CAMS = [name for name, one in EXPLAINERS.items() if one.kind in {"cam", "layer"} and name != "cam"]
SMOOTH = {"smoothgradcam++": {"samples": 2}}


def small_vit(dimensions, layers=2, **more):
    torch.manual_seed(0)
    return vit(
        1, 3, dimensions, SIZES[dimensions], patch_size=PATCH[dimensions], hidden_size=12, mlp_dim=16,
        num_layers=layers, num_heads=3, **more,
    ).eval()  # fmt: skip


def small_swin(dimensions, **more):
    torch.manual_seed(0)
    return SwinClassifier(
        1, 3, dimensions, feature_size=12, window_size=3, num_heads=(2, 2, 2, 2), **more
    ).eval()  # fmt: skip


@both
@pytest.mark.parametrize("proj_type", ["conv", "perceptron"])
def test_every_cam_of_a_vision_transformer_lies_on_its_patches_without_naming_a_layer(dimensions, proj_type):
    net, images = small_vit(dimensions, proj_type=proj_type), batch_of(dimensions)
    maps = explain_batch(net, images, methods=CAMS, settings=SMOOTH)
    assert maps.layer == "blocks.1.norm1"
    for method, values in maps.values.items():
        assert values.shape == (2, 3, *GRIDS[dimensions]), method
    assert maps.values["hirescam"].abs().max() > 0


@both
@pytest.mark.parametrize("extra", ["first", "last", "none"])
def test_the_engine_maps_are_the_formulas_on_patch_tokens_wherever_the_class_token_stands(dimensions, extra):
    net, images = (
        Tokens(dimensions, extra=extra, reads="class" if extra != "none" else "mean").eval(),
        batch_of(dimensions),
    )
    patches = {"first": slice(1, None), "last": slice(0, -1), "none": slice(None)}[extra]
    layer = "norm" if extra == "none" else "blocks.1.norm"
    maps = explain_batch(net, images, methods=["gradcam", "hirescam", "layercam", "xgradcam"], targets=[2, 0])
    assert maps.layer == layer
    for column, target in enumerate([2, 0]):
        activations, gradients = (part[:, patches] for part in at_layer(net, layer, images, target))
        share = (gradients * activations).sum(1, keepdim=True) / activations.sum(1, keepdim=True)
        for method, weights in (
            ("hirescam", gradients),
            ("gradcam", gradients.mean(1, keepdim=True)),
            ("layercam", gradients.relu()),
            ("xgradcam", share),
        ):
            expected = (weights * activations).sum(2)
            scale = float(expected.abs().max())
            torch.testing.assert_close(
                maps.values[method][:, column].flatten(1), expected, rtol=0, atol=1e-4 * scale + 1e-8, msg=method
            )


@both
def test_token_cam_and_the_cam_of_the_engine_are_the_same_map(dimensions):
    net, images = small_vit(dimensions), batch_of(dimensions)
    maps = explain_batch(net, images, methods=["gradcam", "token_gradcam", "hirescam", "token_hirescam"]).values
    torch.testing.assert_close(maps["gradcam"], maps["token_gradcam"], rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(maps["hirescam"], maps["token_hirescam"], rtol=1e-5, atol=1e-8)


@both
def test_a_bright_patch_is_the_peak_of_the_class_that_reads_it_and_the_trough_of_the_other(dimensions):
    net = bright_patch_vit(small_vit(dimensions, 1))
    grid, side = GRIDS[dimensions], PATCH[dimensions]
    for cell in itertools.product(*map(range, grid)):
        images = torch.zeros(1, 1, *SIZES[dimensions])
        images[(0, 0, *(slice(at * side, (at + 1) * side) for at in cell))] = 1
        maps = explain_batch(net, images, methods=["gradcam", "hirescam", "attention_rollout"]).values
        for method in ("gradcam", "hirescam", "attention_rollout"):
            assert np.unravel_index(int(maps[method][0, 0].argmax()), grid) == cell, method
        assert np.unravel_index(int(maps["hirescam"][0, 1].argmin()), grid) == cell


@both
def test_maps_of_a_swin_classifier_are_the_closed_form_of_its_pooled_head(dimensions):
    net, images = small_swin(dimensions), batch_of(dimensions, shape=(32, 64, 32)[:dimensions])
    maps = explain_batch(net, images, methods=["gradcam", "hirescam", "layercam"], prove=True)
    assert maps.layer == "norm"
    with torch.no_grad():
        tokens = net.norm(net.encoder(images, normalize=False)[-1].movedim(1, -1))
        closed = torch.einsum("kc,n...c->nk...", net.head.weight, tokens) / tokens[0, ..., 0].numel()
    for method in ("gradcam", "hirescam"):
        torch.testing.assert_close(maps.values[method], closed, rtol=1e-4, atol=1e-7)
    evidence = maps.values["hirescam"].flatten(2).sum(2) + net.head.bias.detach()
    torch.testing.assert_close(evidence, maps.logits, rtol=1e-4, atol=1e-6)
    assert bool(maps.gradient_is_uniform.all())
    for proofs in itertools.chain(*maps.verification.proofs):
        assert [proof.holds for proof in proofs] == [True, True, True]


@both
def test_a_swin_classifier_shows_the_cell_that_is_bright(dimensions):
    size = (64, 64, 32)[:dimensions]
    net = bright_patch_swin(small_swin(dimensions), size, (0,) * dimensions)
    cells = list(itertools.product(*map(range, last_grid(size))))
    images = torch.zeros(len(cells), 1, *size)
    for place, cell in enumerate(cells):
        images[(place, 0, *(slice(at * 32, (at + 1) * 32) for at in cell))] = 1
    found = explain_batch(net, images, methods=["hirescam"]).values["hirescam"]
    for maps, cell in zip(found, cells, strict=True):
        assert np.unravel_index(int(maps[0].argmax()), last_grid(size)) == cell
        assert np.unravel_index(int(maps[1].argmin()), last_grid(size)) == cell


@both
def test_a_replay_of_patch_tokens_gives_the_logits_of_a_vision_transformer_again(dimensions):
    maps = explain_batch(small_vit(dimensions), batch_of(dimensions), prove=True)
    for proofs in itertools.chain(*maps.verification.proofs):
        assert proofs[2].kind == "replay"
        assert proofs[2].holds is True


@both
def test_ablation_of_tokens_silences_a_channel_of_the_patches_and_leaves_the_class_token(dimensions):
    net, images = Tokens(dimensions, reads="class").eval(), batch_of(dimensions, 1)
    maps = explain_batch(net, images, methods=["ablationcam"], targets=[1])
    inner = dict(net.named_modules())[maps.layer]
    kept: list[torch.Tensor] = []

    def silence(channel):
        def hook(_module, _inputs, output):
            kept.append(output.detach())
            changed = output.clone()
            changed[:, 1:, channel] = 0
            return changed

        return hook

    drops = []
    for channel in range(8):
        handle = inner.register_forward_hook(silence(channel))
        with torch.no_grad():
            drops.append(maps.logits[0, 1] - net(images)[0, 1])
        handle.remove()
    expected = (kept[0][0, 1:] * torch.stack(drops)).sum(1)
    torch.testing.assert_close(maps.values["ablationcam"][0, 0].flatten(), expected, rtol=1e-4, atol=1e-7)


@both
@pytest.mark.parametrize("make", [small_vit, small_swin])
def test_a_replay_runs_only_what_lies_behind_the_layer_of_tokens(dimensions, make):
    net = make(dimensions)
    images = batch_of(dimensions, shape=SIZES[dimensions] if make is small_vit else (32, 64, 32)[:dimensions])
    expected = explain_batch(net, images, methods=["gradcam"])
    calls = []
    trunk = net.patch_embedding if make is small_vit else net.encoder.patch_embed
    handle = trunk.register_forward_hook(lambda *_: calls.append(1))
    explain_batch(net, images, methods=["gradcam"])
    once = len(calls)
    maps = explain_batch(net, images, methods=["gradcam", "ablationcam"], targets=[1], batch=4)
    handle.remove()
    assert len(calls) - once <= 2 * once + 2
    torch.testing.assert_close(maps.values["gradcam"][:, 0], expected.values["gradcam"][:, 1], rtol=1e-5, atol=1e-8)


def test_a_layer_with_channels_first_behind_one_of_tokens_is_replayed_too():
    net, images = small_swin(2), batch_of(2, shape=(64, 32))
    names = ["encoder.layers3.0.blocks.1", "encoder.layers3.0"]
    maps = explain_batch(net, images, methods=["layercam", "hirescam", "ablationcam"], layer=names, prove=True)
    assert maps.values["layercam"].shape == (2, 3, 8, 4)
    assert maps.values["hirescam"].shape == (2, 3, 4, 2)
    assert all(proofs[2].holds for proofs in itertools.chain(*maps.verification.proofs))


@both
def test_several_layers_of_tokens_are_fused(dimensions):
    net, images = small_vit(dimensions), batch_of(dimensions)
    names = ["blocks.0.norm1", "blocks.1.norm1"]
    maps = explain_batch(net, images, methods=["layercam", "gradcam"], layer=names).values
    assert maps["layercam"].shape == (2, 3, *GRIDS[dimensions])
    alone = explain_batch(net, images, methods=["layercam", "gradcam"], layer=names[1]).values
    torch.testing.assert_close(maps["gradcam"], alone["gradcam"], rtol=1e-5, atol=1e-8)
    assert (maps["layercam"] >= alone["layercam"] - 1e-6).all()


@both
@pytest.mark.parametrize("make", [small_vit, small_swin])
def test_the_layer_does_not_depend_on_the_images(dimensions, make):
    shape = SIZES[dimensions] if make is small_vit else (32, 64, 32)[:dimensions]
    names = [
        explain_batch(make(dimensions), images).layer
        for images in (torch.zeros(1, 1, *shape), batch_of(dimensions, shape=shape), torch.full((1, 1, *shape), 1e3))
    ]
    assert len(set(names)) == 1


def test_a_layer_whose_class_token_alone_is_read_is_refused():
    with pytest.raises(LayerError, match="the head reads only its class token"):
        explain_batch(small_vit(2), batch_of(2), layer="norm")


def test_an_unknown_layer_of_a_transformer_is_answered_with_its_layers_of_tokens():
    with pytest.raises(LayerError, match=r"did you mean 'blocks.1.norm1'"):
        explain_batch(small_vit(2), batch_of(2), layer="block.1.norm1")


@pytest.mark.parametrize("order", ["transposed", "swapped"])
def test_an_order_of_tokens_that_the_probe_contradicts_is_refused_and_never_shown(order):
    net = Tokens(2, order=order).eval()
    for _ in range(2):
        with pytest.raises(LayerError, match="position probe contradicts the grid"):
            explain_batch(net, batch_of(2))


@pytest.mark.parametrize("shape", [(54, 118), (96, 80)])
def test_an_input_that_the_stages_of_a_swin_pad_is_refused_with_what_to_do(shape):
    with pytest.raises(LayerError, match=r"does not tile an input of .* evenly.*multiples of the stride"):
        explain_batch(small_swin(2), batch_of(2, shape=shape))


def test_a_named_stage_of_a_swin_with_its_channels_last_has_its_own_grid():
    net, images = small_swin(2), batch_of(2, shape=(64, 32))
    maps = explain_batch(net, images, methods=["hirescam"], layer="encoder.layers2.0.blocks.1", targets=[1])
    activations, gradients = at_layer(net, "encoder.layers2.0.blocks.1", images, 1)
    expected = (activations * gradients).sum(-1)
    assert maps.values["hirescam"].shape == (2, 1, 16, 8)
    torch.testing.assert_close(maps.values["hirescam"][:, 0], expected, rtol=1e-3, atol=1e-6)


class Mixed(nn.Module):
    """Attention over the cells of a convolution, and on request a convolution behind it."""

    def __init__(self, dimensions, *, ends_in_convolution):
        super().__init__()
        torch.manual_seed(2)
        self.stem = nn.Sequential(CONVOLUTIONS[dimensions](1, 8, 4, 4), nn.ReLU())
        self.block = Block(8)
        self.last = CONVOLUTIONS[dimensions](8, 8, 1) if ends_in_convolution else None
        self.fc = nn.Linear(8, 2)

    def forward(self, images):
        cells = self.stem(images)
        tokens = self.block(cells.flatten(2).transpose(1, 2))
        if self.last is None:
            return self.fc(tokens.mean(1))
        return self.fc(self.last(tokens.transpose(1, 2).reshape(cells.shape)).flatten(2).mean(2))


@both
@pytest.mark.parametrize(("ends_in_convolution", "layer"), [(True, "last"), (False, "block")])
def test_a_convolution_behind_the_attention_keeps_the_convolutional_stage(dimensions, ends_in_convolution, layer):
    net, images = Mixed(dimensions, ends_in_convolution=ends_in_convolution).eval(), batch_of(dimensions)
    assert is_transformer(net, images) != ends_in_convolution
    maps = explain_batch(net, images, methods=["gradcam", "hirescam"])
    assert maps.layer == layer
    evidence = maps.values["hirescam"].flatten(2).sum(2) + net.fc.bias.detach()
    torch.testing.assert_close(evidence, maps.logits, rtol=1e-4, atol=1e-5)


@both
def test_a_convolutional_network_is_no_transformer(make_net, make_batch, dimensions):
    assert not is_transformer(make_net(dimensions), make_batch(dimensions))


def test_torchvisions_transformers_are_placed_without_naming_a_layer():
    peers.need("pytorch_grad_cam")  # makes torchvision importable
    models = peers.need("torchvision.models")
    torch.manual_seed(0)
    plain = models.VisionTransformer(32, 8, 2, 2, 16, 24, num_classes=3).eval()
    nn.init.normal_(plain.heads.head.weight)
    windowed = models.SwinTransformer(
        [4, 4], 8, [1, 1], [2, 2], [2, 2], num_classes=3, stochastic_depth_prob=0.0
    ).eval()
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for net, layer, grid in ((plain, "encoder.layers.encoder_layer_1.ln_1", (4, 4)), (windowed, "permute", (4, 4))):
        maps = explain_batch(net, images, methods=["gradcam", "hirescam"])
        assert (maps.layer, maps.values["gradcam"].shape) == (layer, (2, 3, *grid))
        assert maps.values["hirescam"].abs().max() > 0


@both
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("wrap", ["frozen", "training", "parallel", "compiled"])
def test_every_caller_and_state_of_a_transformer_gets_the_same_maps(dimensions, context, wrap):
    net, images = small_vit(dimensions, dropout_rate=0.2), batch_of(dimensions)
    expected = explain_batch(net, images, methods=["gradcam", "ablationcam"])
    given = copy.deepcopy(net)
    given = {
        "frozen": lambda: given.requires_grad_(requires_grad=False),
        "training": given.train,
        "parallel": lambda: nn.DataParallel(given),
        "compiled": lambda: torch.compile(given, backend="eager"),
    }[wrap]()
    before = state_of(given)
    with context():
        found = explain_batch(given, images * 1.0, methods=["gradcam", "ablationcam"])
    assert_unchanged(before, given)
    for method, values in expected.values.items():
        torch.testing.assert_close(found.values[method].clone(), values, rtol=1e-5, atol=1e-8)


@both
def test_a_transformer_in_bfloat16_is_placed_and_its_maps_stay_near_those_of_float32(dimensions):
    net, images = bright_patch_vit(small_vit(dimensions, 1)), batch_of(dimensions).abs()
    expected = explain_batch(net, images, methods=["gradcam", "hirescam"], targets=[0]).values
    found = explain_batch(copy.deepcopy(net).bfloat16(), images, methods=["gradcam", "hirescam"], targets=[0]).values
    for method, values in found.items():
        assert values.dtype == torch.float32
        assert float((values - expected[method]).norm() / expected[method].norm()) < 0.05


@pytest.mark.parametrize("is_broken", [False, True])
@pytest.mark.parametrize("make", [small_vit, small_swin])
def test_the_model_leaves_as_it_came_also_after_an_error_in_the_middle(make, is_broken):
    net = make(2)
    images = batch_of(2, shape=SIZES[2] if make is small_vit else (32, 64))
    calls = []

    def fail_late(*_):
        calls.append(1)
        if is_broken and len(calls) > 3:
            raise IndexError("in the head")

    head = net.classification_head if make is small_vit else net.head
    handle = head.register_forward_hook(fail_late)
    before = state_of(net)
    if is_broken:
        with pytest.raises(IndexError, match="in the head"):
            explain_batch(net, images, methods=["gradcam", "ablationcam"], prove=True)
    else:
        explain_batch(net, images, methods=["gradcam", "ablationcam"], prove=True)
    assert_unchanged(before, net)
    handle.remove()


@pytest.mark.parametrize(
    ("tokens", "shape"),
    [
        (TokenGrid(layout="sequence", grid=(2, 3), first=1, length=8), (2, 8, 4)),
        (TokenGrid(layout="sequence", grid=(2, 3, 2), first=0, length=12), (2, 12, 4)),
        (TokenGrid(layout="channels last", grid=(2, 3)), (2, 2, 3, 4)),
        (TokenGrid(layout="channels last", grid=(2, 3, 5)), (2, 2, 3, 5, 4)),
        (TokenGrid(layout="channels first", grid=(2, 3)), (2, 4, 2, 3)),
    ],
)
def test_tokens_return_from_their_grid_to_where_they_stood(tokens, shape):
    output = torch.randn(shape)
    grid = tokens.to_grid(output)
    assert grid.shape == (2, 4, *tokens.grid)
    assert torch.equal(tokens.from_grid(grid, output), output)


def test_the_choice_is_remembered_for_each_size_of_the_input():
    net = small_swin(2)
    calls = []
    handle = net.encoder.register_forward_hook(lambda *_: calls.append(1))
    first = batch_of(2, shape=(32, 64))
    choose_token_layer(net, first, 8)
    count = len(calls)
    choose_token_layer(net, first + 1, 8)
    assert len(calls) == count
    choose_token_layer(net, batch_of(2, shape=(64, 64)), 8)
    assert len(calls) > count
    handle.remove()


@both
def test_the_cells_of_tokens_are_as_far_apart_as_the_patches(dimensions):
    torch.manual_seed(0)
    swin = SwinClassifier(1, 3, dimensions, feature_size=12, window_size=3, num_heads=(2, 2, 2, 2)).eval()
    size = SIZES[dimensions]
    for net in (small_vit(dimensions), swin):
        images = batch_of(dimensions)[:1] if net is not swin else torch.zeros(1, 1, *(64,) * dimensions)
        layer = choose_token_layer(net, images, 4).name
        found = receptive_fields(net, layer, images, draws=1)
        sides = size if net is not swin else (64,) * dimensions
        assert found.grid == tuple(explain_batch(net, images, layer=layer).values["gradcam"].shape[2:])
        assert found.stride == pytest.approx(
            [side / cells for side, cells in zip(sides, found.grid, strict=True)], rel=0.2
        )
