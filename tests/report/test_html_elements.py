from __future__ import annotations

import base64
import hashlib
import re

import pytest
from html_reading import read
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from audit_pipeline.report import fonts
from audit_pipeline.report.html_elements import asset, joined, number, page, policy, tag


@given(st.text())
def test_any_text_stands_in_an_element_and_in_an_attribute_and_makes_no_other_element(text):
    with fonts.for_screen():
        document = read(f"<body>{tag('p', text, title=text)}</body>".encode())
        body = document.one("body")
        assert [one.name for one in body.all()] == ["p"]
        paragraph = body.one("p")
        assert "".join(paragraph.children) == fonts.clean(text)
        assert paragraph.attributes == {"title": fonts.clean(text)}


@pytest.mark.parametrize("hostile", ['"><script>alert(1)</script>', "' onload='x", "</style>", "&lt;b&gt;", "<!--"])
def test_markup_of_a_hostile_text_is_shown_as_text(hostile):
    drawn = str(tag("td", hostile, title=hostile))
    assert "<script" not in drawn
    assert drawn.count("<") == 2
    assert read(drawn.encode()).words == hostile


def test_only_markup_passes_unescaped_and_children_keep_their_order():
    assert joined([tag("b", "x"), Markup("&amp;")]) == "<b>x</b>&amp;"
    assert joined(("<", tag("i", "y"))) == "&lt;<i>y</i>"


def test_attributes_that_are_none_or_false_are_left_out():
    assert tag("input", type="range", hidden=False, disabled=True, class_=None) == '<input type="range" disabled>'


def test_coordinates_have_at_most_two_decimals():
    assert [number(value) for value in (1.0, 2.345, -0.001, 100.0)] == ["1", "2.35", "0", "100"]


def test_the_policy_allows_the_inline_script_and_style_by_digest_and_pictures_inside_the_file_only():
    document = read(page("title", "description", tag("main", "x")))
    stated = document.one("meta", http_equiv="Content-Security-Policy").attributes["content"]
    assert stated == policy()
    for kind in ("script", "style"):
        (element,) = document.all(kind)
        source = base64.b64encode(hashlib.sha256("".join(element.children).encode()).digest()).decode()
        assert re.search(rf"{kind}-src '([^']*)'(;|$)", stated)[1] == f"sha256-{source}"
        assert set(element.attributes) == set()
    assert "default-src 'none'" in stated
    assert "img-src data:;" in stated
    assert "unsafe" not in stated


def test_the_policy_stands_before_anything_it_rules():
    head = read(page("t", "d", tag("main"))).one("head")
    names = [one.name for one in head.all()]
    policy_place = next(n for n, one in enumerate(head.all()) if one.attributes.get("http-equiv"))
    assert policy_place < min(names.index("style"), names.index("link"))


def test_script_and_style_hold_no_address_and_cannot_end_their_element():
    for name in ("report.js", "report.css"):
        assert not re.search(r"https?:|//[a-z]|url\(|@import|</", asset(name).replace("// ", ""))
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|Function\(", asset("report.js"))
