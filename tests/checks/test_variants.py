"""Changed inputs are made once, asked once, in common batches, and never twice."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from evidence_factories import focal, make_evidence, make_explanation

from audit_pipeline.checks import variants
from audit_pipeline.checks.variants import VARIANTS, Variant, asked
from audit_pipeline.evidence import Answer, Unanswered


@dataclass
class Counting:
    """A model whose logit is the mean of its input; it counts what it is asked."""

    calls: list = field(default_factory=list)

    def predict(self, inputs):
        self.calls.append(("predict", len(inputs)))
        return self.answer(inputs)

    def explain(self, inputs, **_):
        self.calls.append(("explain", len(inputs)))
        maps = inputs.mean(axis=1)
        return Answer(**{**self.fields(inputs), "maps": maps})

    def answer(self, inputs):
        return Answer(**self.fields(inputs))

    @staticmethod
    def fields(inputs):
        logits = inputs.reshape(len(inputs), -1).mean(axis=1)[:, None].astype(np.float64)
        return {"logits": logits, "probabilities": 1 / (1 + np.exp(-logits))}


@pytest.fixture
def made(monkeypatch):
    """Three variants of a registry of their own."""
    calls = []

    def brighter(evidence, generator):
        calls.append("brighter")
        return evidence.prepared.values[None] + np.arange(3, dtype=np.float32)[:, None, None, None]

    def noisy(evidence, generator):
        calls.append("noisy")
        return evidence.prepared.values[None] + generator.normal(size=(2, *evidence.prepared.values.shape))

    def impossible(evidence, generator):
        raise Unanswered("There is no such thing.")

    known = {
        one.__name__: Variant(name=one.__name__, sentence="", count=3, make=one, is_explained=one is noisy)
        for one in (brighter, noisy, impossible)
    }
    monkeypatch.setattr(variants, "VARIANTS", known)
    return calls


def evidence_with(model, seed=0):
    return make_evidence(make_explanation(focal((4, 4), (1, 1))), model=model, seed=seed)


def test_each_variant_gets_its_own_rows_of_the_common_batch(made):
    model = Counting()
    found = asked(evidence_with(model), ["brighter", "noisy"])
    base = float(found.prepared.values.mean())
    assert found.answer("brighter").logits[:, 0] == pytest.approx([base, base + 1, base + 2], abs=1e-5)
    assert found.answer("noisy").logits.shape == (2, 1)
    assert found.answer("noisy").maps.shape == (2, *found.prepared.inside.shape)
    assert sorted(model.calls) == [("explain", 2), ("predict", 3)]


def test_what_is_known_is_not_asked_again(made):
    model = Counting()
    once = asked(evidence_with(model), ["brighter"])
    twice = asked(once, ["brighter", "noisy"])
    assert made == ["brighter", "noisy"]
    assert twice.answer("brighter") is once.answer("brighter")


def test_an_impossible_variant_says_why(made):
    found = asked(evidence_with(Counting()), ["impossible"])
    with pytest.raises(Unanswered, match="no such thing"):
        found.answer("impossible")


def test_without_a_model_every_answer_says_so(made):
    with pytest.raises(Unanswered, match="not at hand"):
        asked(evidence_with(None), ["brighter"]).answer("brighter")


def test_a_variant_that_nobody_asked_for_is_not_invented():
    with pytest.raises(Unanswered, match="was not asked for"):
        evidence_with(Counting()).answer("brighter")


def test_random_variants_repeat_with_the_seed_and_differ_between_seeds(made):
    logits = [asked(evidence_with(Counting(), seed), ["noisy"]).answer("noisy").logits for seed in (1, 1, 2)]
    assert np.array_equal(logits[0], logits[1])
    assert not np.array_equal(logits[0], logits[2])


def test_large_variants_are_asked_in_several_batches(made, monkeypatch):
    monkeypatch.setattr(variants, "BATCH_BYTES", 1)
    model = Counting()
    variants.VARIANTS["again"] = Variant(
        name="again", sentence="", count=1, make=lambda evidence, _: evidence.prepared.values[None]
    )
    found = asked(evidence_with(model), ["brighter", "again"])
    assert sorted(model.calls) == [("predict", 1), ("predict", 3)]
    assert found.answer("again").logits[0, 0] == pytest.approx(float(found.prepared.values.mean()), abs=1e-6)


def test_every_variant_of_the_product_says_what_it_is_and_what_it_costs():
    assert all(one.sentence.endswith(".") and one.count > 0 for one in VARIANTS.values())
