"""Evidence on padding and on letters, confirmed by asking the model again."""

import numpy as np
import pytest
from evidence_factories import focal, make_evidence, make_explanation, make_prediction

from audit_pipeline.checks.map_artefacts import on_padding, on_text
from audit_pipeline.evidence import Answer
from audit_pipeline.findings import Outcome

CASES = [(on_padding, "padding", "padding_changed"), (on_text, "text", "text_removed")]
SHAPES = [(64, 64), (40, 48, 48)]


def region(shape):
    mask = np.zeros(shape, dtype=bool)
    mask[..., :16] = True
    return mask


def judged(entry, shape, is_on, after=None):
    """Return the finding for a focal map on or off the region; `after` is the probability without it."""
    check, name, variant = entry
    grid = tuple(size // 8 for size in shape)
    cell = (*(size // 2 for size in grid[:-1]), 0 if is_on else grid[-1] - 1)
    answers = {}
    if after is not None:
        row = np.asarray([[after, 1 - after]])
        answers[variant] = Answer(logits=np.log(row), probabilities=row)
    facts = {name: region(shape), "answers": answers, "prediction": make_prediction((0.9, 0.1))}
    return check(make_evidence(make_explanation(focal(grid, cell)), **facts))


@pytest.mark.parametrize("entry", CASES)
@pytest.mark.parametrize("shape", SHAPES)
def test_evidence_there_is_critical_when_the_model_reacts_and_flagged_when_it_was_not_asked(entry, shape):
    assert judged(entry, shape, True, 0.2).outcome is Outcome.CRITICAL
    assert judged(entry, shape, True, 0.8).outcome is Outcome.CRITICAL
    assert judged(entry, shape, True).outcome is Outcome.FLAG
    assert judged(entry, shape, True, 0.9).outcome is Outcome.FLAG
    assert judged(entry, shape, True).value > 0.5


@pytest.mark.parametrize("entry", CASES)
@pytest.mark.parametrize("shape", SHAPES)
def test_evidence_elsewhere_passes_unless_the_model_reacts_strongly(entry, shape):
    assert judged(entry, shape, False).outcome is Outcome.PASS
    assert judged(entry, shape, False, 0.85).outcome is Outcome.PASS
    strongly = Outcome.NOTE if entry[1] == "padding" else Outcome.FLAG
    assert judged(entry, shape, False, 0.6).outcome is strongly
    assert judged(entry, shape, False).value < 0.05


@pytest.mark.parametrize("entry", CASES)
def test_a_small_share_without_a_reaction_is_a_note(entry):
    check, name, variant = entry
    values = np.zeros((16, 16))
    values[:, 12:] = 1.0
    values[8, 0] = 4.8
    row = np.asarray([[0.9, 0.1]])
    mask = np.zeros((128, 128), dtype=bool)
    mask[56:80, :16] = True
    facts = {name: mask, "answers": {variant: Answer(logits=np.log(row), probabilities=row)}}
    values[0, 15] = 10.0
    assert check(make_evidence(make_explanation(values), prediction=make_prediction((0.9, 0.1)), **facts)).outcome in {
        Outcome.NOTE,
        Outcome.PASS,
    }


@pytest.mark.parametrize(("check", "name", "variant"), CASES)
def test_where_there_is_none_nothing_can_lie_on_it(check, name, variant):
    one = make_explanation(focal((8, 8), (2, 2)))
    for mask in (None, np.zeros((64, 64), dtype=bool)):
        finding = check(make_evidence(one, **{name: mask}))
        assert (finding.outcome, finding.value) == (Outcome.PASS, 0)


@pytest.mark.parametrize(("check", "name", "variant"), CASES)
def test_a_blank_map_lies_nowhere(check, name, variant):
    blank = make_evidence(make_explanation(np.zeros((8, 8))), **{name: region((64, 64))})
    assert check(blank).outcome is Outcome.NOT_EVALUABLE
