"""The classifier of a card: networks by name, code only when allowed, devices without fallback."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from audit_pipeline import explain_batch
from audit_pipeline.card import read_card
from audit_pipeline.errors import ConfigError, ExplainError, ModelError
from audit_pipeline.models.classifier import choose_device, load_classifier
from audit_pipeline.models.networks import NETWORKS, build_network, describe
from audit_pipeline.models.weights import digest_of
from audit_pipeline.predict import forward

BASE = {
    "name": "net",
    "version": "1",
    "task": "multiclass",
    "classes": ["clear", "nodule"],
    "input": {"size": [32, 32], "intensity": {"zscore": {}}},
    "spatial_dims": 2,
}
SMALL = {"init_features": 8, "growth_rate": 4, "block_config": [2, 2]}


def factory():
    torch.manual_seed(5)
    return torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())


def not_a_network():
    return 3


def card(**change):
    pinned = {"path": "w.safetensors", "sha256": "0" * 64}
    return read_card(BASE | {"network": {"name": "densenet", "args": SMALL}, "weights": pinned} | change)


@pytest.mark.parametrize("name", list(NETWORKS))
@pytest.mark.parametrize("dimensions", [2, 3])
def test_every_listed_network_can_be_built_and_run_in_2d_and_3d(name, dimensions):
    slim = {
        "densenet": SMALL,
        "resnet": {"block": "basic", "layers": [1, 1, 1, 1], "block_inplanes": [4, 8, 8, 8]},
        "vit": {"hidden_size": 12, "mlp_dim": 16, "num_layers": 1, "num_heads": 3},
        "swin": {"feature_size": 12, "num_heads": [2, 2, 2, 2], "window_size": 3},
    }
    if name in {"vit", "swin"}:
        pytest.importorskip("einops", reason="MONAI's transformers need einops")
    args = slim.get(name, {"widen_factor": 0.125} if name.startswith("resnet") else {})
    size = {"input": {"size": [32] * dimensions, "intensity": {"zscore": {}}}, "spatial_dims": dimensions}
    network = build_network(card(network={"name": name, "args": args}, **size)).eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 1, *[32 if name != "seresnet50" else 64] * dimensions)).shape == (1, 2)


def test_keywords_of_a_network_are_listed_with_defaults():
    assert describe(NETWORKS["densenet"])["growth_rate"] == 32


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        ({"name": "densnet"}, "did you mean 'densenet'"),
        ({"name": "densenet", "args": {"growth": 4}}, "did you mean 'growth_rate'"),
        ({"name": "densenet", "args": {"out_channels": 4}}, "the card's own fields already say this"),
    ],
)
def test_a_wrong_name_or_argument_is_a_configuration_error(network, expected):
    with pytest.raises(ConfigError, match=expected):
        build_network(card(network=network))


def test_arguments_the_network_refuses_are_a_model_error():
    with pytest.raises(ModelError, match="'densenet' cannot be built"):
        build_network(card(network={"name": "densenet", "args": {"act": "no-such-activation"}}))


def test_a_classifier_is_in_evaluation_mode_with_its_weights_and_digest(tmp_path):
    place = tmp_path / "w.safetensors"
    torch.manual_seed(1)
    source = build_network(card())
    save_file(source.state_dict(), place)
    loaded = load_classifier(card(weights={"path": place, "sha256": digest_of(place)}), device="cpu")
    assert not any(module.training for module in loaded.network.modules())
    assert loaded.weights_sha256 == digest_of(place)
    assert loaded.device_name == "cpu"
    for name, value in source.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[name], value)


def test_a_factory_runs_only_when_code_is_allowed():
    described = card(network=None, weights=None, factory=f"{__name__}:factory")
    with pytest.raises(ConfigError, match="--allow-code"):
        load_classifier(described, device="cpu")
    loaded = load_classifier(described, device="cpu", allow_code=True)
    assert loaded.network(torch.zeros(1, 1, 8, 8)).shape == (1, 2)


@pytest.mark.parametrize(
    ("name", "error", "expected"),
    [
        ("no_such_package:make", ModelError, "cannot be imported"),
        (f"{__name__}:missing", ModelError, "cannot be imported"),
        (f"{__name__}:not_a_network", ModelError, r"not a torch\.nn\.Module"),
        ("just.a.name", ConfigError, "package.module:function is needed"),
    ],
)
def test_a_wrong_factory_is_named(name, error, expected):
    with pytest.raises(error, match=expected):
        load_classifier(card(network=None, weights=None, factory=name), device="cpu", allow_code=True)


class Several(torch.nn.Module):
    """A network that returns its logits in a tuple or a mapping, beside its features."""

    def __init__(self, kind):
        super().__init__()
        torch.manual_seed(6)
        self.stage = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU())
        self.fc = torch.nn.Linear(4, 2)
        self.kind = kind

    def forward(self, images):
        features = self.stage(images)
        logits = self.fc(features.mean(dim=(2, 3)))
        returned = {"tuple": (logits, features), "list": [features, logits], "mapping": {"logits": logits, "n": 3}}
        return returned.get(self.kind, logits)


def several_tuple():
    return Several("tuple")


def several_list():
    return Several("list")


def several_mapping():
    return Several("mapping")


def several_alone():
    return Several("alone")


def of_several(kind, **change):
    described = card(network=None, weights=None, factory=f"{__name__}:several_{kind}", **change)
    return load_classifier(described, device="cpu", allow_code=True).network


@pytest.mark.parametrize(("kind", "output"), [("tuple", 0), ("list", 1), ("mapping", "logits")])
def test_the_card_names_the_entry_of_a_tuple_or_mapping_that_holds_the_logits(kind, output):
    images = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    network = of_several(kind, output=output)
    assert torch.equal(network(images), Several("alone")(images))
    assert set(dict(network.named_modules())) == {"", "stage", "stage.0", "stage.1", "fc"}
    maps = explain_batch(network, images, methods=["gradcam", "hirescam", "ablationcam"], prove=True)
    alone = explain_batch(Several("alone"), images, methods=["gradcam", "hirescam", "ablationcam"], prove=True)
    for method, values in maps.values.items():
        torch.testing.assert_close(values, alone.values[method], rtol=1e-5, atol=1e-7)
    assert [proof.holds for proof in maps.verification.proofs[0][0]] == [True, True, True]
    torch.testing.assert_close(forward(network, torch.device("cpu"), images.numpy()), alone.logits.double().numpy())


@pytest.mark.parametrize(
    ("kind", "output", "expected"),
    [
        ("tuple", 2, r"entry 2 of the network's output is missing; its entries are 0 to 1"),
        ("tuple", "logits", r"entry 'logits' of the network's output is missing"),
        ("mapping", "logit", r"entry 'logit' .* is missing; its entries are 'logits', 'n'"),
        ("mapping", "n", "holds int, not logits"),
        ("alone", 0, "returns Tensor, not a tuple; remove the key"),
    ],
)
def test_an_entry_that_is_not_there_is_named(kind, output, expected):
    with pytest.raises(ModelError, match=expected):
        of_several(kind, output=output)(torch.zeros(1, 1, 8, 8))


@pytest.mark.parametrize("kind", ["tuple", "list", "mapping"])
def test_several_outputs_without_the_key_are_refused_with_what_to_do(kind):
    with pytest.raises(ExplainError, match=r"logits of shape \(1, K\).*name the one .* in model.output"):
        explain_batch(of_several(kind), torch.zeros(1, 1, 8, 8))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_an_error_and_never_a_silent_fallback():
    with pytest.raises(ModelError, match="no usable GPU"):
        choose_device("cuda")
    assert choose_device("auto") == (torch.device("cpu"), "cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_auto_takes_the_gpu_and_names_it():
    device, name = choose_device("auto")
    assert device.type == "cuda"
    assert name.startswith("cuda (")
