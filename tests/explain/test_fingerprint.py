"""Whatever an explanation could change of a model or a program is noticed."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

from audit_pipeline import explain_batch
from audit_pipeline.errors import ExplainError
from audit_pipeline.explain.fingerprint import fingerprint, unchanged


def _write_a_weight(net):
    with torch.no_grad():
        net.fc.weight[0, 0] += 1e-7


def _write_past_the_version_counter(net):
    net.fc.bias.data.numpy()[0] += 1.0


CHANGES = {
    "weights fc.weight": _write_a_weight,
    "weights fc.bias": _write_past_the_version_counter,
    "buffer stage.1.running_mean": lambda net: net.stage[1].running_mean.add_(1),
    "gradient of fc.weight": lambda net: setattr(net.fc.weight, "grad", torch.zeros_like(net.fc.weight)),
    "flag of fc.weight": lambda net: net.fc.weight.requires_grad_(requires_grad=False),
    "mode of stage.1": lambda net: net.stage[1].train(),
    "hooks of act": lambda net: net.act.register_forward_hook(lambda *_: None),
    "inplace of act": lambda net: setattr(net.act, "inplace", True),
    "random state of torch": lambda _: torch.rand(1),
    "random state of NumPy": lambda _: np.random.rand(),  # noqa: NPY002
    "random state of Python": lambda _: random.random(),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_noticed_and_named(name, make_net):
    net = make_net()
    with pytest.raises(ExplainError, match=name), unchanged(net):
        CHANGES[name](net)


def test_an_error_inside_does_not_hide_a_change(make_net):
    net = make_net()

    def break_in_the_middle():
        with unchanged(net):
            net.train()
            raise ValueError("in the middle")

    with pytest.raises(ExplainError, match="mode of") as caught:
        break_in_the_middle()
    assert isinstance(caught.value.__context__, ValueError)


def test_nothing_is_noticed_where_nothing_changes(make_net, make_batch):
    net = make_net()
    before = fingerprint(net)
    with unchanged(net), torch.no_grad():
        net(make_batch())
    assert fingerprint(net) == before


def test_a_model_that_changes_itself_while_it_predicts_is_refused(make_batch):
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stage = nn.Conv3d(1, 2, 3)
            self.fc = nn.Linear(2, 2)
            self.register_buffer("calls", torch.zeros(1))

        def forward(self, images):
            self.calls += 1
            return self.fc(self.stage(images).mean(dim=(2, 3, 4)))

    with pytest.raises(ExplainError, match="buffer calls"):
        explain_batch(Counting(), make_batch())
