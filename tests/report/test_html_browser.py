"""The pages in headless Chromium: what the script does, what the console says, what is asked of a network."""

from __future__ import annotations

import pytest
from browser import needs_browser, opened, reporting, result, with_test_script
from report_cases import cohort, context

from audit_pipeline.report import render_audit_html, render_study_html

pytestmark = needs_browser

SET = (
    "const set = (box, value, kind) => {"
    "box[kind === 'input' ? 'value' : 'checked'] = value; box.dispatchEvent(new Event(kind, {bubbles: true})); };"
)
SEEN = (
    "const seen = (selector) => [...document.querySelectorAll(selector)]"
    ".filter((one) => one.getClientRects().length > 0);"
)
LIGHT = (
    "const light = (text) => { const [r, g, b] = text.match(/[0-9.]+/g).slice(0, 3).map((v) => { const c = v / 255;"
    "return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; });"
    "return 0.2126 * r + 0.7152 * g + 0.0722 * b; };"
)
"""Relative luminance as WCAG 2.2 defines it."""


@pytest.fixture(scope="module")
def study(volume):
    return render_study_html(*volume, context())


@pytest.fixture(scope="module")
def audit():
    records, summary, thumbnails = cohort(12)
    return render_audit_html(records, summary, thumbnails, context())


def asked(page, folder, body):
    document, console, addresses = opened(with_test_script(page, reporting(SET + SEEN + body)), folder)
    assert console == []
    assert addresses == set()
    return result(document)


def test_pages_open_without_a_word_in_the_console_and_ask_no_network(study, audit, tmp_path):
    for name, page in (("study", study), ("audit", audit)):
        folder = tmp_path / name
        folder.mkdir()
        document, console, addresses = opened(page, folder)
        assert "</html>" in document
        assert console == []
        assert addresses == set()


def test_the_log_of_requests_would_show_one_and_the_policy_stops_it(study, tmp_path):
    wanting = study.decode().replace("<main", '<img src="https://elsewhere.invalid/a.png" alt=""><main', 1)
    free = wanting.replace("Content-Security-Policy", "no-policy", 1)
    found = []
    for name, page in (("ruled", wanting), ("free", free)):
        folder = tmp_path / name
        folder.mkdir()
        found.append(opened(page.encode(), folder)[2])
    assert found == [set(), {"https://elsewhere.invalid/a.png"}]


def test_a_script_that_the_policy_does_not_name_does_not_run(study, tmp_path):
    page = study.decode().replace("</body>", f"<script>{reporting('return 1;')}</script></body>").encode()
    document, console, _ = opened(page, tmp_path)
    assert '<pre id="result">' not in document
    assert any("Content Security Policy" in line or "content security policy" in line.lower() for line in console)


def test_the_slider_turns_the_opacity_of_every_evidence_layer(study, tmp_path):
    found = asked(
        study, tmp_path,
        "set(document.getElementById('opacity'), 20, 'input');"
        "const layers = [...document.querySelectorAll('.evidence')].map((one) => getComputedStyle(one).opacity);"
        "return {layers: [...new Set(layers)],"
        "said: document.querySelector('output[for=opacity]').value};",
    )  # fmt: skip
    assert found == {"layers": ["0.2"], "said": "20 %"}


def test_the_slice_slider_shows_one_slice_and_names_it(volume, study, tmp_path):
    found = asked(
        study, tmp_path,
        "const stack = document.querySelector('.stack'); const slider = stack.querySelector('[type=range]');"
        "const first = seen('.stack .one').map((one) => one.dataset.name);"
        "set(slider, 0, 'input'); const moved = seen('.stack .one').map((one) => one.dataset.name);"
        "const said = stack.querySelector('output').value;"
        "set(stack.querySelector('.all'), true, 'change');"
        "return {first, moved, said, all: seen('.stack .one').length};",
    )  # fmt: skip
    slices = [panel for panel in volume[1] if panel.role == "slice"]
    names = [f"Axial, slice {panel.index}, at H {panel.position_mm:.1f} mm" for panel in slices]
    assert found == {"first": [names[len(names) // 2]], "moved": [names[0]], "said": names[0], "all": len(names)}


def test_the_filter_leaves_the_rows_of_the_chosen_outcomes_and_hides_empty_families(study, tmp_path):
    found = asked(
        study, tmp_path,
        "const boxes = [...document.querySelectorAll('.filter input')];"
        "for (const box of boxes) if (!['critical', 'error'].includes(box.value)) set(box, false, 'change');"
        "const rows = seen('tr[data-outcomes]').map((one) => one.id);"
        "const said = document.querySelector('.filter output').value;"
        "const headings = seen('h3').map((one) => one.textContent);"
        "location.hash = '#check-A01'; return {rows, said, headings};",
    )  # fmt: skip
    assert found["rows"] == ["check-D19", "check-D21"]
    assert found["said"] == "2 of 8 rows shown"
    assert any("Explanation" in one for one in found["headings"])
    assert not any("Input and data integrity" in one for one in found["headings"])


def test_studies_of_an_audit_are_filtered_by_verdict(audit, tmp_path):
    found = asked(
        audit, tmp_path,
        "const filter = document.querySelector('.filter');"
        "set(filter.querySelector('[value=pass]'), false, 'change');"
        "return {rows: seen('table[data-region] tbody tr').length, said: filter.querySelector('output').value};",
    )  # fmt: skip
    assert found == {"rows": 4, "said": "4 of 11 rows shown"}


def test_without_script_every_slice_and_row_is_shown_and_no_idle_control(study, tmp_path):
    silent = study.decode().replace('"use strict";', '"use strict"; throw 0;', 1).encode()  # the policy now refuses it
    counted = (
        "return {slices: seen('.stack .one').length, rows: seen('tr[data-outcomes]').length,"
        "controls: seen('.controls').length};"
    )
    page = with_test_script(silent, reporting(SEEN + counted))
    found = result(opened(page, tmp_path)[0])
    assert found == {"slices": 8, "rows": 8, "controls": 0}


@pytest.mark.parametrize("size", ["1280,900", "520,900"])
def test_nothing_is_wider_than_the_window(study, audit, tmp_path, size):
    for name, page in (("study", study), ("audit", audit)):
        folder = tmp_path / name
        folder.mkdir()
        body = "return {wide: document.documentElement.scrollWidth - document.documentElement.clientWidth};"
        document, _, _ = opened(with_test_script(page, reporting(body)), folder, size=size)
        assert result(document) == {"wide": 0}


def test_text_stands_out_from_its_background_by_four_and_a_half_to_one(study, tmp_path):
    found = asked(
        study, tmp_path,
        LIGHT + "const words = seen('p, th, td, li, a, h1, h2, h3, label, caption, output, dt, legend');"
        "return {least: Math.min(...words.map((one) => 1.05 / (light(getComputedStyle(one).color) + 0.05)))};",
    )  # fmt: skip
    assert found["least"] >= 4.5
