"""The page of one explained image: complete, escaped, self-contained."""

from __future__ import annotations

import re

import pytest

from audit_pipeline.report import Explained, Subject, render_explanation_html
from audit_pipeline.report.html_explanation import plots_of

HOSTILE = "<script>alert(1)</script>"


def trial(*curve, null=True):
    band = list(curve) if null else []
    return {"curve": list(curve), "null_low": band, "null_middle": band, "null_high": band}


def likeness(value):
    return {"similarity": {"spearman": {"value": value}}}


@pytest.fixture
def facts():
    return {
        "method": "gradcam",
        "target": 1,
        "faithfulness": {
            "shares": [0.0, 0.1, 0.2],
            "deletion": trial(2.0, 1.0, 0.5),
            "insertion": trial(-1.0, 0.0, 1.5),
            "settings": {"nulls": 9},
        },
        "sanity": {
            "cascading": {
                "reason": "",
                "steps": [likeness(0.4), likeness(None), likeness(-0.2)],
                "limits": {"spearman": 0.3},
            }
        },
    }


def rendered(facts, title="gradcam of nodule"):
    subject = Subject(title="Maps", heads=["map of", "max"], rows=[[title, "1.5"]], notes=[title])
    shown = Explained(title=title, facts=facts, pictures={"overlays/gradcam-nodule-axial.png": b"\x89PNG"})
    return render_explanation_html("One image explained", [subject], [shown]).decode()


def test_curves_and_randomisation_are_drawn_and_told_in_numbers(facts):
    deletion, insertion, randomised = (plot.alternative for plot in plots_of(facts))
    assert "removed, the strongest first, the logit is 2, 1, 0.500" in deletion
    assert "kept, the strongest first" in insertion
    assert "0.400, \u22120.200 after 1 to 3 groups of layers" in randomised
    assert "95 of 100 random maps stay below 0.300" in randomised


def test_what_was_not_measured_is_not_drawn(facts):
    facts["faithfulness"] = {"reason": "the map is blank"}
    facts["sanity"] = {"reason": "the map is blank"}
    assert plots_of(facts) == []
    assert "Grey:" not in rendered(facts)


def test_the_page_holds_pictures_table_and_key_and_asks_no_network_for_anything(facts):
    page = rendered(facts)
    assert "data:image/png;base64,iVBORw==" in page
    assert 'alt="The axial plane through the evidence, and the same with the map of gradcam of nodule over it"' in page
    assert '<th scope="col" class="n">max</th>' in page
    assert '<td class="n">1.5</td>' in page
    assert "Grey: what shifted copies of the map reach" in page
    assert not re.search(r"(src|href)=.https?:", page)
    assert "default-src" in page


def test_words_from_outside_are_escaped(facts):
    assert HOSTILE not in rendered(facts, HOSTILE)
