"""MONAI's transformers as classifiers: their own logits and names, the head of the paper, what is refused."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("einops", reason="MONAI's transformers need einops")

from monai.networks.nets import ViT
from monai.networks.nets.swin_unetr import SwinTransformer

from audit_pipeline.card import read_card
from audit_pipeline.errors import ConfigError, ModelError
from audit_pipeline.models.networks import build_network
from audit_pipeline.models.transformers import SwinClassifier, vit

both = pytest.mark.parametrize("dimensions", [2, 3])
SMALL_VIT = {"patch_size": 8, "hidden_size": 12, "mlp_dim": 16, "num_layers": 2, "num_heads": 3}
SMALL_SWIN = {"feature_size": 12, "window_size": 3, "num_heads": [2, 2, 2, 2]}


def card(name, args, dimensions=2, size=None):
    return read_card(
        {
            "name": "net",
            "version": "1",
            "task": "multiclass",
            "classes": ["clear", "nodule"],
            "spatial_dims": dimensions,
            "input": {"size": size or [16, 24, 8][:dimensions], "intensity": {"zscore": {}}},
            "network": {"name": name, "args": args},
            "weights": {"path": "w.safetensors", "sha256": "0" * 64},
        }
    )


@both
@pytest.mark.parametrize("post_activation", ["", "Tanh"])
def test_the_vision_transformer_is_monais_with_its_names_and_its_logits_alone(dimensions, post_activation):
    args = SMALL_VIT | {"post_activation": post_activation}
    network = build_network(card("vit", args, dimensions)).eval()
    size = [16, 24, 8][:dimensions]
    peer = ViT(1, size, 8, 12, 16, 2, 3, classification=True, num_classes=2, spatial_dims=dimensions,
               post_activation=post_activation).eval()  # fmt: skip
    peer.load_state_dict(network.state_dict(), strict=True)
    images = torch.randn(2, 1, *size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(network(images), peer(images)[0])


def test_the_size_of_a_vision_transformer_is_that_of_the_card():
    with pytest.raises(ConfigError, match=r"img_size: the card's own fields already say this"):
        build_network(card("vit", SMALL_VIT | {"img_size": [16, 24]}))
    with pytest.raises(ModelError, match=r"patches of \(8, 8\) do not tile an input of \(18, 24\)"):
        build_network(card("vit", SMALL_VIT, size=[18, 24]))


@both
def test_the_swin_classifier_is_monais_encoder_with_norm_mean_and_linear(dimensions):
    network = build_network(card("swin", SMALL_SWIN, dimensions)).eval()
    encoder = SwinTransformer(
        1, 12, [3] * dimensions, [2] * dimensions, [2, 2, 2, 2], [2, 2, 2, 2], patch_norm=True, spatial_dims=dimensions
    ).eval()
    encoder.load_state_dict(network.encoder.state_dict(), strict=True)
    images = torch.randn(2, 1, *[64, 32, 32][:dimensions], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        tokens = encoder(images, normalize=False)[-1].flatten(2).transpose(1, 2)
        expected = network.head(network.norm(tokens).mean(1))
        torch.testing.assert_close(network(images), expected, rtol=1e-5, atol=1e-6)


def test_a_swin_with_another_number_of_stages_is_refused():
    with pytest.raises(ModelError, match="has 4 stages, found 3 depths and 4 numbers of heads"):
        SwinClassifier(1, 2, 2, depths=(2, 2, 2))


def test_without_einops_the_package_to_install_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for build in (lambda: vit(1, 2, 2, (16, 16)), lambda: SwinClassifier(1, 2, 2)):
        with pytest.raises(ModelError, match=r"install audit-pipeline\[transformers\]"):
            build()
