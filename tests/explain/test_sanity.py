"""Every test of the maps of one input together: planted failures, reasons, and no trace in the model."""

from __future__ import annotations

import pytest
import torch

from audit_pipeline.errors import ExplainError
from audit_pipeline.explain.controls import sobel
from audit_pipeline.explain.engine import explain_batch
from audit_pipeline.explain.sanity import TESTS, SanitySettings, sanity

FEW = SanitySettings(steps=2, smooth_steps=1, pairs=10, networks=3, noisy=2, draws=3, runs=2)


def asking(model, images, methods, targets, seed):
    """Answer for two methods: HiResCAM, and an edge detector that calls itself an explanation."""
    found = explain_batch(model, images, methods=["hirescam"], targets=list(targets), layer="stem", seed=seed)
    maps = {
        "hirescam": found.values["hirescam"],
        "edges": sobel(images)[:, None].expand(-1, len(targets), *[-1] * (images.ndim - 2)),
    }
    return {(method, target): maps[method][:, row] for method in methods for row, target in enumerate(targets)}


@pytest.mark.parametrize("dimensions", [2, 3])
def test_an_edge_detector_fails_where_a_map_of_the_model_passes(make_net, make_batch, dimensions):
    net, image = make_net(dimensions), make_batch(dimensions)[0]
    said = []
    found = sanity(
        net, image, asking, ["hirescam", "edges"], [1], classes=3, settings=FEW, on_test=said.append
    )  # fmt: skip
    true, edges = found["hirescam", 1], found["edges", 1]
    assert said == list(TESTS)
    assert edges.redrawn.spearman.value == pytest.approx(1)
    assert edges.edges.spearman.value == pytest.approx(1)
    assert edges.random_logit.spearman.value == pytest.approx(1)
    assert edges.cascading.is_chance(edges.redrawn.spearman, "spearman") is False
    assert true.redrawn.spearman.value < 0.9
    assert true.random_logit.spearman.value < 0.99
    assert true.redrawn.spearman.n == 3
    assert true.repeatability.value == edges.repeatability.value == 1
    assert not true.reasons
    assert true.other in {0, 2}


def test_what_one_method_cannot_stand_leaves_the_others_their_result(make_net, make_batch):
    def ask(model, images, methods, targets, seed):
        if "fragile" in methods and len(images) > 1:
            raise ExplainError("one image at a time")
        found = asking(model, images, ["edges"], targets, seed)
        return {(method, target): found["edges", target] for method in methods for target in targets}

    found = sanity(make_net(2), make_batch(2)[0], ask, ["edges", "fragile"], [0], classes=3, settings=FEW)
    assert found["fragile", 0].sensitivity is None
    assert found["fragile", 0].reasons == {"sensitivity": "one image at a time"}
    assert found["edges", 0].sensitivity.largest > 0
    assert found["fragile", 0].cascading.steps[-1].similarity.spearman.value == pytest.approx(1)


def test_a_test_that_would_cost_too_many_passes_says_so(make_net, make_batch):
    def ask(model, images, methods, targets, seed):
        for _ in range(5):
            found = asking(model, images, ["hirescam"], targets, seed)
        return {(method, target): found["hirescam", target] for method in methods for target in targets}

    given = SanitySettings(steps=2, smooth_steps=1, pairs=5, networks=2, noisy=2, draws=3, runs=2, forwards=20)
    found = sanity(make_net(2), make_batch(2)[0], ask, ["hirescam"], [0], classes=3, settings=given)["hirescam", 0]
    assert found.smooth is None
    assert found.reasons["smooth"].startswith("a map takes 5 forward passes and this test 6 maps: more than 20")
    assert found.repeatability.value == 1


def test_a_model_of_one_class_has_no_other(make_net, make_batch):
    found = sanity(make_net(2), make_batch(2)[0], asking, ["edges"], [0], classes=1, settings=FEW)["edges", 0]
    assert found.other is None
    assert "one target" in found.random_logit.spearman.reason


def test_the_model_is_left_as_it_was(make_net, make_batch):
    net, image = make_net(3), make_batch(3)[0]
    before, state = {name: value.clone() for name, value in net.state_dict().items()}, torch.get_rng_state()
    sanity(net, image, asking, ["hirescam"], [0, 1], classes=3, settings=FEW)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert not any(one._forward_hooks or one._forward_pre_hooks for one in net.modules())
    assert torch.equal(state, torch.get_rng_state())
