"""Networks that read an image in parts: every method, exact aggregates, the model untouched."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from audit_pipeline import explain_batch
from audit_pipeline.card import read_card
from audit_pipeline.explain.asking import input_gradient, maps_of, stage_before, with_random_block
from audit_pipeline.explain.fingerprint import fingerprint
from audit_pipeline.explain.methods import EXPLAINERS
from audit_pipeline.explain.over_parts import OverParts, one_part, over_parts
from audit_pipeline.explain.part_proofs import verified_over_parts
from audit_pipeline.explain.parts import explain_input, explain_whole
from audit_pipeline.explain.receptive import receptive_fields
from audit_pipeline.explain.slicewise import Slices
from audit_pipeline.explain.verification import Verification
from audit_pipeline.explain.windows import Windows
from audit_pipeline.proofs import Proof

CARD = {
    "name": "net", "version": "1", "task": "multiclass", "classes": ["a", "b"], "spatial_dims": 2,
    "input": {"size": [16, 16], "intensity": {"range": {"low": 0, "high": 1}}},
    "weights": {"path": "w.safetensors", "sha256": "0" * 64}, "network": {"name": "densenet"},
}  # fmt: skip
FEW = {
    "occlusion": {"window": 8, "stride": 8}, "rise": {"samples": 8}, "kernel_shap": {"samples": 64, "n_segments": 4},
    "lime": {"samples": 32, "n_segments": 4}, "smoothgrad": {"samples": 2}, "gradient_shap": {"samples": 2},
    "smoothgradcam++": {"samples": 2},
}  # fmt: skip
OF_TOKENS = {"attention_rollout", "token_gradcam", "token_hirescam"}


@pytest.fixture
def volume(make_batch):
    return make_batch(2, count=5).transpose(0, 1)[None]


def sliced(net, aggregation="mean", k=1):
    return OverParts(net, Slices(), aggregation, k)


@pytest.mark.parametrize("method", [name for name in EXPLAINERS if name not in OF_TOKENS])
def test_every_method_explains_a_stack_of_slices(make_net, volume, method):
    net = make_net(2, "pooled")
    before = fingerprint(net)
    settings = {method: FEW[method]} if method in FEW else {}
    found = explain_whole(sliced(net), volume, methods=[method], layer="act", targets=(1,), settings=settings)
    values = found.values[method]
    assert values.shape[:3] == (1, 1, 5)
    assert bool(torch.isfinite(values).all())
    assert values.abs().max() > 0
    assert fingerprint(net) == before


@pytest.mark.parametrize("method", ["occlusion", "inputxgradient", "integrated_gradients", "kernel_shap"])
def test_methods_of_the_image_ask_about_the_whole_volume(make_net, volume, method):
    """The mean of slices is a plain network over volumes; asking that one must give the same map."""

    class Mean(nn.Module):
        def __init__(self, net):
            super().__init__()
            self.tap = nn.Conv3d(1, 1, 1)  # first, so that the engine takes this for a network over volumes
            self.net = net
            nn.init.ones_(self.tap.weight)
            nn.init.zeros_(self.tap.bias)

        def forward(self, images):
            return torch.stack([self.net(image.transpose(0, 1)).mean(0) for image in self.tap(images)])

    net = make_net(2, "flat")
    settings = {method: FEW.get(method, {})}
    parts = explain_whole(sliced(net), volume, methods=[method], layer="act", targets=(1, 2), settings=settings)
    plain = Mean(net).eval()
    whole = explain_batch(plain, volume, methods=[method], layer="tap", targets=(1, 2), settings=settings)
    torch.testing.assert_close(parts.values[method], whole.values[method], rtol=1e-4, atol=1e-6)


def test_occlusion_asks_again_only_about_the_slices_that_a_window_touches(make_net, volume):
    net = make_net(2, "flat")
    seen = []
    hook = net.register_forward_pre_hook(lambda _module, given: seen.append(len(given[0])))
    settings = {"occlusion": {"window": 2, "stride": 2, "baseline": "zero"}}
    model = sliced(net, "topk", 3)
    found = explain_whole(model, volume, methods=["occlusion"], layer="act", targets=(1,), settings=settings)
    hook.remove()
    places = 3 * 8 * 8  # of the window: slices 0-1, 2-3 and 4
    assert sum(seen) < 20 + places // 3 * volume.shape[2]
    hidden = volume.clone()
    hidden[:, :, 2:4, :2, 4:6] = 0
    drop = (model(volume) - model(hidden))[0, 1].detach()
    torch.testing.assert_close(found.values["occlusion"][0, 0, 3, 1, 5], drop, rtol=1e-4, atol=1e-6)


def test_targets_may_be_chosen_from_the_logits_of_the_whole(make_net, volume):
    net = make_net(2, "flat")
    model = sliced(net, "max")
    seen = []

    def highest(logits):
        seen.append(logits)
        return (int(logits[0].argmax()),)

    found = explain_whole(model, volume, layer="act", targets=highest)
    torch.testing.assert_close(seen[0], model(volume).detach())
    assert found.targets == (int(model(volume)[0].argmax()),)


def test_a_batch_of_volumes_is_explained_volume_by_volume(make_net, volume):
    net = make_net(2, "flat")
    both = explain_whole(sliced(net), torch.cat([volume, -volume]), layer="act", prove=True)
    for place, one in enumerate((volume, -volume)):
        alone = explain_whole(sliced(net), one, layer="act", prove=True)
        torch.testing.assert_close(both.values["gradcam"][place], alone.values["gradcam"][0])
        torch.testing.assert_close(both.part_logits[place], alone.part_logits[0])
        assert both.verification.proofs[place] == alone.verification.proofs[0]


def test_a_plain_network_is_explained_by_the_engine(make_net, make_batch):
    net, images = make_net(3), make_batch(3, count=1)
    torch.testing.assert_close(
        explain_input(net, images[0].numpy(), layer="act").values["gradcam"],
        explain_batch(net, images, layer="act").values["gradcam"],
    )
    assert one_part(net, images) == (net, images)


def test_a_card_says_how_the_image_is_read():
    net = nn.Identity()
    assert over_parts(net, read_card(CARD)) is net
    stack = {**CARD["input"], "slices": "stack", "orientation": "HPL"}
    model = over_parts(net, read_card(CARD | {"input": stack, "aggregate": "topk", "topk": 4, "channels": 5}))
    assert (model.cutting.neighbours, model.aggregation, model.k) == (2, "topk", 4)
    assert model.rule(30) == "mean of the 4 highest of 30 slices"
    assert model.rule(1) == "highest of 1 slice"
    windows = {**CARD["input"], "size": None, "windows": {"size": [64, 48], "overlap": 0.25, "aggregate": "max"}}
    model = over_parts(net, read_card(CARD | {"input": windows}))
    assert (model.cutting.size, model.cutting.overlap, model.aggregation) == ((64, 48), 0.25, "max")
    assert model.cutting.step == (16, 4)
    assert model.cutting.starts((64 + 48, 48)) == [(0, 0), (48, 0)]
    assert model.rule(9) == "highest of 9 windows"


class FullyConvolutional(nn.Module):
    """Stride 4, padded, mean over all places: any input size is a valid one."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv3d(1, 4, 3, 2, 1), nn.ReLU(), nn.Conv3d(4, 6, 3, 2, 1), nn.ReLU())
        self.classes = nn.Conv3d(6, 3, 1)

    def forward(self, images):
        return self.classes(self.features(images)).flatten(2).mean(2)


def windowed(net, **more):
    return OverParts(net, Windows(size=(32, 32, 32), step=(32, 32, 32), **more), more.get("rule", "mean"))


def test_maps_of_windows_have_no_seam_against_the_whole_volume():
    torch.manual_seed(5)
    net = FullyConvolutional().eval()
    volume = torch.randn(1, 1, 64, 64, 32, generator=torch.Generator().manual_seed(1))
    field = receptive_fields(net, "features", volume[..., :32, :32, :32], draws=1)
    margin = max(-(-int(size) // (2 * int(step))) for size, step in zip(field.theoretical, field.stride, strict=True))
    whole = explain_batch(net, volume, methods=["hirescam"], layer="features").values["hirescam"]
    model = OverParts(net, Windows(size=(32,) * 3, overlap=0.75, step=(8,) * 3, margin=margin), "mean")
    found = explain_whole(model, volume, methods=["hirescam"], layer="features").values["hirescam"]
    assert found.shape == whole.shape
    share = 32**3 / (64 * 64 * 32)  # a mean over all places of a window, not of the volume
    torch.testing.assert_close(found * share, whole, rtol=0, atol=1e-4 * float(whole.abs().max()))


@pytest.mark.parametrize("rule", ["mean", "max"])
def test_the_logit_of_a_windowed_volume_is_the_aggregate_of_its_windows(rule):
    torch.manual_seed(5)
    net, volume = FullyConvolutional().eval(), torch.randn(1, 1, 64, 32, 64)
    model = windowed(net, overlap=0.0, rule=rule)
    found = explain_whole(model, volume, layer="features", prove=True)
    cuts = [volume[:, :, a : a + 32, :, b : b + 32] for a in (0, 32) for b in (0, 32)]
    logits = torch.cat([net(cut).detach() for cut in cuts])
    expected = logits.mean(0) if rule == "mean" else logits.amax(0)
    torch.testing.assert_close(found.part_logits[0], logits)
    torch.testing.assert_close(found.logits[0], expected)
    torch.testing.assert_close(model(volume)[0].detach(), expected)
    assert all(proof.holds for row in found.verification.proofs[0] for proof in row if proof.kind == "replay")


def proof(holds, residual=1.0):
    return Proof(
        kind="completeness", residual=residual, relative=0.1, tolerance=2.0, holds=holds, sentence="said of one"
    )


def verification(*holds):
    return Verification(proofs=tuple(((proof(one),),) for one in holds), facts=())


@pytest.mark.parametrize(
    ("holds", "expected", "words"),
    [
        ((True, True), True, "In each of the 2 slices that count, the sum of the map plus the bias is the output"),
        ((True, False), False, "In 1 of the 2 slices that count it is NOT true that the sum"),
        ((True, None), None, "In 1 of the 2 slices that count the head behind the layer is not linear"),
    ],
)
def test_the_proof_of_the_whole_is_no_stronger_than_that_of_its_parts(holds, expected, words, monkeypatch):
    monkeypatch.setattr("audit_pipeline.explain.part_proofs._facts", lambda *_given: None)
    given = Verification(proofs=verification(*holds).proofs, facts=((None,), (None,)))
    found = verified_over_parts([given], torch.full((2, 1), 0.5), "slice")
    ((whole,),) = found.proofs[0]
    assert whole.holds is expected
    assert whole.sentence.startswith(words)
    assert (whole.residual, whole.tolerance) == (1.0, 2.0)


def test_parts_that_do_not_count_owe_nothing(monkeypatch):
    monkeypatch.setattr("audit_pipeline.explain.part_proofs._facts", lambda *_given: None)
    given = Verification(proofs=verification(False, True).proofs, facts=((None,), (None,)))
    found = verified_over_parts([given], torch.tensor([[0.0], [1.0]]), "slice")
    assert found.proofs[0][0] == (proof(True),)
    assert verified_over_parts([given, None], torch.ones(2, 1), "slice") is None


def test_checks_can_ask_the_model_over_slices_again(make_net, volume):
    net = make_net(2, "flat")
    model = sliced(net)
    inputs = volume.numpy()
    logits, maps = maps_of(model, inputs, method="hirescam", layer="act", target=1)
    expected = explain_whole(model, volume, methods=["hirescam"], layer="act", targets=(1,))
    torch.testing.assert_close(torch.from_numpy(maps), expected.values["hirescam"][:, 0])
    torch.testing.assert_close(torch.from_numpy(logits), expected.logits)
    assert stage_before(model, inputs, "act") == "stem"
    changed = with_random_block(model, inputs, seed=3)
    assert not torch.equal(changed.network.fc.weight, net.fc.weight)
    assert input_gradient(model, inputs, 1).shape == inputs.shape
