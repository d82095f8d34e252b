from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_pipeline.report import bidi, fonts


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=40))
def test_every_text_can_be_drawn_with_the_fonts_chosen_for_it(given_text):
    drawn = fonts.clean(given_text)
    for name, piece in fonts.runs(drawn):
        assert all(ord(character) in fonts._glyphs(name) for character in piece)
    assert "".join(piece for _, piece in fonts.runs(drawn)) == drawn


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60), st.floats(10, 200))
def test_a_fitted_text_is_never_wider_than_asked(given_text, width):
    assert fonts.width_of(fonts.fitted(given_text, width, 8.0), 8.0) <= width + 1e-6


def test_markup_escapes_what_a_paragraph_would_take_for_a_tag():
    assert fonts.markup("<img src='x'/> & more") == "&lt;img src='x'/&gt; &amp; more"
    assert fonts.bold("<b>").count("<font") == 1


def test_hidden_and_unknown_characters_are_printed_as_code_points():
    assert fonts.clean("a\u202eb\u0000\u200b") == "a\\u202Eb\\u0000\\u200B"
    assert fonts.clean("\u1780 \U0001f9e0") == "\\u1780 \\U0001F9E0"


def test_line_ends_become_blanks_and_accents_are_composed():
    assert fonts.clean("one\r\ntwo e\u0301") == "one  two \u00e9"


def test_a_very_long_text_says_how_much_is_left_out():
    assert fonts.clean("x" * (fonts.LONGEST + 5)).endswith("\u2026 (5 more characters)")


def test_a_character_source_sans_lacks_is_drawn_with_dejavu():
    assert ("DejaVuSans", "\u0645") in fonts.runs("\u0645")
    assert ("DejaVuSans-Bold", "\u2602") in fonts.runs("\u2602", fonts.BOLD)
    assert 'font name="DejaVuSans"' in fonts.markup("a\u2602")


def test_figures_have_one_width_so_columns_line_up():
    assert len({fonts.width_of(digit, 8.0) for digit in "0123456789"}) == 1


def test_hebrew_is_drawn_from_right_to_left_and_numbers_in_it_are_not():
    assert bidi.visual("\u05d0\u05d1\u05d2 12") == "12 \u05d2\u05d1\u05d0"
    assert bidi.visual("(\u05d0)") == "(\u05d0)"


def test_hebrew_inside_an_english_line_turns_only_its_own_words():
    assert bidi.visual("see \u05d0\u05d1 \u05d2\u05d3 now") == "see \u05d3\u05d2 \u05d1\u05d0 now"


def test_marks_stay_behind_their_letter_when_a_word_is_turned():
    assert bidi.visual("\u05d0\u05b0\u05d1") == "\u05d1\u05d0\u05b0"


def test_arabic_letters_take_the_shape_of_their_place():
    assert bidi.joined("\u0628") == "\ufe8f"
    assert bidi.joined("\u0628\u0627") == "\ufe91\ufe8e"
    assert bidi.joined("\u0627\u0628") == "\ufe8d\ufe8f"
    assert bidi.joined("\u0644\u0627") == "\ufefb"
    assert bidi.joined("\u0628\u0644\u0627") == "\ufe91\ufefc"


@pytest.mark.parametrize("plain", ["", "abc 12", "\u00e9", "\u4e2d"])
def test_text_without_right_to_left_letters_is_unchanged(plain):
    assert bidi.visual(plain) == plain
