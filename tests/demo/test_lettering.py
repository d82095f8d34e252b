"""The burned-in marker: letters a reader can read, at one place, and nothing else changed."""

from __future__ import annotations

import numpy as np
import pytest

from audit_pipeline.demo.lettering import FONT, MARGIN_PIXELS, write_marker


def image(shape=(60, 200)):
    return np.random.default_rng(3).uniform(0, 3000, shape).astype(np.float32)


def dots(text, scale):
    """What was written, as rows of 0 and 1, one character a dot."""
    marked = write_marker(np.zeros((60, 200), dtype=np.float32), text, scale)
    box = marked[MARGIN_PIXELS:, MARGIN_PIXELS:][: 7 * scale : scale, : len(text) * 6 * scale : scale]
    return ["".join(str(int(dot)) for dot in row) for row in box > 0]


def test_every_letter_is_five_by_seven_dots():
    assert all(len(rows) == 7 and all(len(row) == 5 for row in rows) for rows in FONT.values())


@pytest.mark.parametrize("letter", [letter for letter in FONT if letter != " "])
def test_letters_differ_from_each_other(letter):
    assert sum(rows == FONT[letter] for rows in FONT.values()) == 1


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_a_letter_stands_upright_and_is_not_mirrored(scale):
    assert dots("L", scale) == [row + "0" for row in FONT["L"]]


def test_letters_follow_each_other_from_left_to_right():
    rows = dots("PL", 2)
    assert [row[:5] for row in rows] == list(FONT["P"])
    assert [row[6:11] for row in rows] == list(FONT["L"])


def test_dots_are_squares_of_the_scale():
    marked = write_marker(np.zeros((40, 40), dtype=np.float32), "L", 3)
    assert (marked > 0).sum() == 9 * sum(row.count("1") for row in FONT["L"])


def test_dots_have_the_highest_stored_value_and_the_rest_stays():
    values = image()
    marked = write_marker(values, "PORTABLE L")
    changed = marked != values
    assert set(marked[changed]) == {4095.0}
    assert changed.sum() == 4 * sum(row.count("1") for letter in "PORTABLE L" for row in FONT[letter])
    rows, columns = np.nonzero(changed)
    assert (rows.min(), columns.min()) == (MARGIN_PIXELS, MARGIN_PIXELS)
    assert rows.max() == MARGIN_PIXELS + 13
    assert columns.max() < MARGIN_PIXELS + 10 * 12


def test_the_given_image_is_left_alone_and_the_result_is_sealed():
    values = image()
    before = values.copy()
    marked = write_marker(values, "AB")
    assert np.array_equal(values, before)
    assert not marked.flags.writeable


def test_a_letter_without_a_bitmap_is_an_error():
    with pytest.raises(KeyError):
        write_marker(image(), "Z")
