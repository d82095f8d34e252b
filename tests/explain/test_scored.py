"""Methods with passes of their own: closed forms on linear heads, loops over the papers, seeds, and refusals."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from audit_pipeline import explain_batch
from audit_pipeline.errors import ExplainError
from audit_pipeline.explain import scored

both = pytest.mark.parametrize("dimensions", [2, 3])
heads = pytest.mark.parametrize("head", ["pooled", "flat"])
METHODS = ["smoothgradcam++", "scorecam", "ablationcam"]


def activations_of(net, images):
    with torch.no_grad():
        return net.act(net.stage(net.stem(images)))


@both
@heads
@pytest.mark.parametrize("samples", [1, 3])
def test_without_noise_smooth_gradcam_plus_plus_is_gradcam_plus_plus(make_net, make_batch, dimensions, head, samples):
    net, images = make_net(dimensions, head), make_batch(dimensions)
    settings = {"smoothgradcam++": {"sigma": 0.0, "samples": samples}}
    maps = explain_batch(net, images, methods=["smoothgradcam++", "gradcam++"], layer="act", settings=settings).values
    assert maps["gradcam++"].any()
    torch.testing.assert_close(maps["smoothgradcam++"], maps["gradcam++"], rtol=1e-6, atol=1e-9)


def test_smooth_gradcam_plus_plus_is_its_formula_over_the_noisy_copies(make_net, make_batch):
    net, images = make_net(2, "flat"), make_batch(2)
    chosen = {"smoothgradcam++": {"sigma": 0.5, "samples": 3}}
    found = explain_batch(net, images, methods=["smoothgradcam++"], layer="stem", settings=chosen, seed=4)
    generator = torch.Generator().manual_seed(4)
    spread = (images.flatten(1).amax(1) - images.flatten(1).amin(1)).reshape(2, 1, 1, 1) * 0.5
    noise = [torch.randn(1, 16, 16, generator=generator) for _ in range(3)]
    powers = [torch.zeros(2, 3, 6, 8, 8, dtype=torch.float64) for _ in range(3)]
    for one in noise:
        leaf = net.stem(images + spread * one).detach().requires_grad_()
        logits = net.fc(net.act(net.stage(leaf)).flatten(1))
        gradients = [torch.autograd.grad(logits[:, k].sum(), leaf, retain_graph=True)[0] for k in range(3)]
        for order in (1, 2, 3):
            powers[order - 1] += torch.stack(gradients, dim=1).double() ** order / 3
    activations = net.stem(images).detach().double()
    sums = activations.sum(dim=(2, 3)).reshape(2, 1, 6, 1, 1)
    alpha = powers[1] / (2 * powers[1] + sums * powers[2])
    weights = (alpha * powers[0].relu()).nansum(dim=(3, 4))
    expected = torch.einsum("nkc,nchw->nkhw", weights, activations).float()
    torch.testing.assert_close(
        found.values["smoothgradcam++"], expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max())
    )


def test_seeds_decide_the_noise_and_the_global_state_does_not(make_net, make_batch):
    net, images = make_net(head="flat"), make_batch()

    def smooth(seed, state):
        torch.manual_seed(state)
        return explain_batch(net, images, methods=["smoothgradcam++"], layer="stem", seed=seed).values[
            "smoothgradcam++"
        ]

    assert torch.equal(smooth(1, state=5), smooth(1, state=6))
    assert not torch.equal(smooth(1, state=5), smooth(2, state=5))


@pytest.mark.parametrize("settings", [{"samples": 0}, {"sigma": -0.1}])
def test_noise_that_cannot_be_drawn_is_refused(make_net, make_batch, settings):
    with pytest.raises(ExplainError, match="samples >= 1 and sigma >= 0"):
        explain_batch(make_net(), make_batch(), methods=["smoothgradcam++"], settings={"smoothgradcam++": settings})


@both
def test_scorecam_is_the_papers_algorithm_with_its_baseline(make_net, make_batch, dimensions):
    net, images = make_net(dimensions, "flat"), make_batch(dimensions)
    found = explain_batch(net, images, methods=["scorecam"], layer="act").values["scorecam"]
    activations = activations_of(net, images)
    mode = {2: "bilinear", 3: "trilinear"}[dimensions]
    for n, image in enumerate(images):
        with torch.no_grad():
            baseline = net(torch.zeros_like(image)[None])[0]
            rises = []
            for channel in activations[n]:
                mask = functional.interpolate(channel[None, None], image.shape[1:], mode=mode, align_corners=False)[0]
                mask = (mask - mask.min()) / (mask.max() - mask.min()) if mask.max() > mask.min() else mask * 0
                rises.append(net((image * mask)[None])[0] - baseline)
        weights = torch.stack(rises).softmax(dim=0)
        expected = torch.einsum("ck,c...->k...", weights, activations[n])
        torch.testing.assert_close(found[n], expected, rtol=1e-5, atol=1e-6)


def test_a_constant_channel_masks_the_whole_image(make_net, make_batch):
    masks = scored._stretched(torch.stack([torch.full((1, 4, 4), 3.0), torch.arange(16.0).reshape(1, 4, 4)]))
    assert not masks[0].any()
    torch.testing.assert_close(masks[1].flatten(), torch.arange(16.0) / 15)


@both
def test_ablation_of_a_pooled_head_is_the_channels_share_of_the_logit(make_net, make_batch, dimensions):
    net, images = make_net(dimensions), make_batch(dimensions)
    found = explain_batch(net, images, methods=["ablationcam"], layer="act").values["ablationcam"]
    activations = activations_of(net, images)
    weights = net.fc.weight.detach() * activations.flatten(2).mean(2).unsqueeze(1)
    expected = torch.einsum("nkc,nc...->nk...", weights, activations)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


@both
def test_ablation_of_a_flat_head_is_the_channels_share_of_the_logit(make_net, make_batch, dimensions):
    net, images = make_net(dimensions, "flat"), make_batch(dimensions)
    found = explain_batch(net, images, methods=["ablationcam"], layer="act", targets=[2, 0]).values["ablationcam"]
    activations = activations_of(net, images)
    head = net.fc.weight.detach()[[2, 0]].reshape(2, 8, -1)
    weights = torch.einsum("kcp,ncp->nkc", head, activations.flatten(2))
    expected = torch.einsum("nkc,nc...->nk...", weights, activations)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_ablation_of_a_negative_logit_keeps_its_sign(make_net, make_batch):
    net, images = make_net(), make_batch()
    before = explain_batch(net, images, methods=["ablationcam"], layer="act").values["ablationcam"]
    net.fc.bias.data -= 100
    after = explain_batch(net, images, methods=["ablationcam"], layer="act").values["ablationcam"]
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
@heads
def test_images_of_a_batch_do_not_influence_each_other(make_net, make_batch, method, head):
    net, images = make_net(head=head), make_batch(count=3)
    together = explain_batch(net, images, methods=[method], layer="act").values[method]
    alone = explain_batch(net, images[1:2], methods=[method], layer="act").values[method]
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_the_size_of_the_chunks_does_not_change_a_map(make_net, make_batch, method, monkeypatch):
    net, images = make_net(head="flat"), make_batch()
    expected = explain_batch(net, images, methods=[method], layer="act", batch=8).values[method]
    monkeypatch.setattr(scored, "CHUNK_VALUES", 1)
    found = explain_batch(net, images, methods=[method], layer="act", batch=3).values[method]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_permuting_channels_changes_nothing(make_net, make_batch, method):
    net, images = make_net(), make_batch()
    expected = explain_batch(net, images, methods=[method], layer="stem").values[method]
    order = torch.tensor([3, 0, 5, 4, 1, 2])
    first, second = net.stem[0], net.stage[0]
    first.weight.data, first.bias.data = first.weight.data[order], first.bias.data[order]
    second.weight.data = second.weight.data[:, order]
    found = explain_batch(net, images, methods=[method], layer="stem").values[method]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6 * float(expected.abs().max() + 1))


@pytest.mark.parametrize("method", METHODS)
def test_a_volume_of_one_slice_gives_the_2d_map(method):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        flat = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 64, 2))
        deep = nn.Sequential(nn.Conv3d(1, 4, (1, 3, 3), padding=(0, 1, 1)), nn.ReLU(), nn.Flatten(), nn.Linear(256, 2))
    deep[0].weight.data, deep[0].bias.data = flat[0].weight.data[:, :, None], flat[0].bias.data
    deep[3].load_state_dict(flat[3].state_dict())
    image = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    two = explain_batch(flat, image, methods=[method], layer="1").values[method]
    three = explain_batch(deep, image[:, :, None], methods=[method], layer="1").values[method]
    torch.testing.assert_close(three[:, :, 0], two, rtol=1e-4, atol=1e-6)
