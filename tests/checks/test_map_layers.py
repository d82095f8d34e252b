"""Maps of the stage before, and of a network with a random last block."""

import numpy as np
import pytest
from evidence_factories import make_evidence, make_explanation

from audit_pipeline.checks.map_layers import layer_disagreement, parameter_independent
from audit_pipeline.evidence import Answer
from audit_pipeline.findings import Outcome

VALUES = np.random.default_rng(0).normal(size=(6, 6)).astype(np.float32)


class Second:
    """A model that answers with given maps."""

    def __init__(self, maps):
        self.maps = maps

    def explain(self, inputs, *, method="", layer="", reinitialised=None):
        logits = np.zeros((len(inputs), 2))
        found = self.maps if layer else self.maps + np.random.default_rng(reinitialised).normal(size=self.maps.shape)
        return Answer(logits=logits, probabilities=logits, maps=None if self.maps.size == 0 else found[None])


@pytest.mark.parametrize(("sign", "outcome"), [(1, Outcome.PASS), (-1, Outcome.FLAG)])
def test_the_stage_before_is_averaged_to_the_grid_of_the_map(sign, outcome):
    finer = sign * np.kron(VALUES, np.ones((2, 2)))
    finding = layer_disagreement(make_evidence(make_explanation(VALUES), model=Second(finer)))
    assert (finding.outcome, finding.value) == (outcome, pytest.approx(sign))


@pytest.mark.parametrize(("scale", "outcome"), [(100.0, Outcome.FLAG), (0.01, Outcome.PASS)])
def test_a_map_that_random_parameters_leave_alone_is_flagged(scale, outcome):
    finding = parameter_independent(make_evidence(make_explanation(VALUES), model=Second(scale * VALUES)))
    assert finding.outcome is outcome


def test_without_a_model_or_a_map_nothing_is_judged():
    evidence = make_evidence(make_explanation(VALUES))
    assert layer_disagreement(evidence).outcome is Outcome.NOT_EVALUABLE
    assert parameter_independent(evidence).outcome is Outcome.NOT_EVALUABLE
    silent = make_evidence(make_explanation(VALUES), model=Second(np.zeros((0, 0))))
    assert layer_disagreement(silent).outcome is Outcome.NOT_EVALUABLE
    even = make_evidence(make_explanation(VALUES), model=Second(np.ones((6, 6))))
    assert layer_disagreement(even).outcome is Outcome.NOT_EVALUABLE
