"""``reviews.csv``: lines for people to fill in, read back strictly, never changed where people wrote."""

from __future__ import annotations

import pytest

from audit_pipeline.errors import StoreError
from audit_pipeline.reviews import Review, ReviewVerdict
from audit_pipeline.store.reviews import read_reviews, write_reviews

KNOWN = {"aaa", "bbb", "ccc"}


def fill(folder, text):
    (folder / "reviews.csv").write_text(text, encoding="utf-8")


def test_the_run_writes_a_line_for_every_study_that_asks_and_nobody_has_spoken_yet(tmp_path):
    write_reviews(tmp_path, {"bbb": ["B07", "D21"], "aaa": ["B07"]})
    assert (tmp_path / "reviews.csv").read_text() == (
        "study,raised,verdict,reviewer,note\nbbb,B07 D21,,,\naaa,B07,,,\n"
    )
    assert read_reviews(tmp_path, KNOWN) == ()


def test_a_run_in_which_no_study_asks_has_a_file_with_its_titles(tmp_path):
    write_reviews(tmp_path, {})
    assert (tmp_path / "reviews.csv").read_text() == "study,raised,verdict,reviewer,note\n"


def test_a_file_that_nobody_filled_in_follows_the_order_of_the_later_closing(tmp_path):
    write_reviews(tmp_path, {"bbb": ["B07"]})
    write_reviews(tmp_path, {"aaa": ["C04"], "bbb": ["B07"]})
    assert (tmp_path / "reviews.csv").read_text().splitlines()[1:] == ["aaa,C04,,,", "bbb,B07,,,"]


def test_what_people_wrote_stays_and_new_studies_are_appended(tmp_path):
    fill(tmp_path, 'study,raised,verdict,reviewer,note,seen\nbbb,B07,agree,R1,"a, b",yes\n')
    write_reviews(tmp_path, {"aaa": ["C04"], "bbb": ["B07"]})
    lines = (tmp_path / "reviews.csv").read_text().splitlines()
    assert lines == ["study,raised,verdict,reviewer,note,seen", 'bbb,B07,agree,R1,"a, b",yes', "aaa,C04,,,,"]


def test_a_complete_file_is_not_touched_byte_for_byte(tmp_path):
    content = b"\xef\xbb\xbfstudy;verdict\r\nbbb;agree\r\n"
    (tmp_path / "reviews.csv").write_bytes(content)
    write_reviews(tmp_path, {"bbb": ["B07"]})
    assert (tmp_path / "reviews.csv").read_bytes() == content


def test_lines_are_read_with_their_words_whatever_their_case_and_separator(tmp_path):
    fill(tmp_path, "study;verdict;reviewer;note\nbbb; Agree, but the map is no evidence ;Dr A;see D21\naaa;;;\n")
    assert read_reviews(tmp_path, KNOWN) == (
        Review(study="bbb", verdict=ReviewVerdict.NO_EVIDENCE, reviewer="Dr A", note="see D21"),
    )


def test_a_study_may_be_read_twice_by_two_reviewers(tmp_path):
    fill(tmp_path, "study,verdict,reviewer\naaa,agree,A\naaa,disagree,B\n")
    assert [one.verdict for one in read_reviews(tmp_path, KNOWN)] == [ReviewVerdict.AGREE, ReviewVerdict.DISAGREE]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("study,verdict\naaa,fine\n", "line 2: the verdict has to be one of: agree; agree, but"),
        ("study,verdict\nzzz,agree\n", "line 2 speaks about a study that is not in this run"),
        ("study,verdict,reviewer\naaa,agree,A\naaa,disagree,A\n", "line 3: the same reviewer speaks twice"),
        ("study,note\naaa,x\n", "needs the columns study and verdict"),
        ("study,verdict\naaa,agree,more\n", "line 2 has more cells than there are titles"),
        ('study,verdict\naaa,"agree\n', "cannot be read as a table in UTF-8"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_its_line(tmp_path, text, expected):
    fill(tmp_path, text)
    with pytest.raises(StoreError, match=expected):
        read_reviews(tmp_path, KNOWN)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "reviews.csv").write_bytes(b"study,verdict\n\xff\xfe\n")
    with pytest.raises(StoreError, match="save it as CSV"):
        read_reviews(tmp_path, KNOWN)


def test_a_run_without_the_file_has_no_reviews(tmp_path):
    assert read_reviews(tmp_path, KNOWN) == ()
