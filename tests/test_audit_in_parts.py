"""Audits of models that read slices or windows: what is planted is found in its slice and at its place."""

from __future__ import annotations

import csv
import json

import nibabel
import numpy as np
import pytest

from audit_pipeline import run_audit
from audit_pipeline.execute.closing import render_reports
from audit_pipeline.load.encode_nifti import nifti_bytes
from audit_pipeline.store.record_file import read_record
from tests.audit_fixtures import BARE
from tests.report.pdf_reading import words as words_of

SHAPE, SPACING = (12, 20, 24), (4.0, 3.0, 2.0)
TILT = np.radians(8)
AFFINE = np.array(
    [
        [0, 0, 2.0, -30],
        [-4.0 * np.sin(TILT), 3.0 * np.cos(TILT), 0, -40],
        [4.0 * np.cos(TILT), 3.0 * np.sin(TILT), 0, 10],
        [0, 0, 0, 1],
    ]
)
"""Array axes toward head, posterior and left, tilted by 8 degrees about the left-right axis."""

SLAB = (slice(6, 8), slice(8, 10), slice(16, 20))
CENTRE = np.array([6.5, 8.5, 17.5])
BIAS = -0.1
UNIT = {"range": {"low": 0, "high": 1}}


def planted(value=1.0, shape=SHAPE, slab=SLAB):
    values = np.zeros(shape, np.float32)
    values[slab] = value
    return values


def audited(folder, card, *volumes, spacing=SPACING, affine=AFFINE, **sections):
    """Run an audit of volumes and return its folder and the records, in the order of the volumes."""
    studies = folder / "studies"
    studies.mkdir(exist_ok=True)
    for number, values in enumerate(volumes):
        (studies / f"study-{number}.nii.gz").write_bytes(nifti_bytes(values, affine, spacing))
    whole = {
        "name": "bright", "version": "1", "task": "multiclass", "classes": ["dark", "bright"], "layer": "features",
        **card,
    }  # fmt: skip
    config = {
        "audit": {"level": "screen"},
        "input": {"paths": [str(studies)]},
        "model": {"card": whole},
        "explain": {"methods": ["gradcam", "hirescam"], "targets": ["bright"]},
        "report": BARE,
        "run": {"device": "cpu", "output": str(folder / "run")},
    } | sections
    result = run_audit(config, allow_code=True)
    assert result.exit_code == 0, [record.error for record in result.records]
    with (folder / "run" / "linkage.csv").open() as lines:
        keys = [row["study"] for row in sorted(csv.DictReader(lines), key=lambda row: row["name"])]
    return folder / "run", [read_record(folder / "run" / "studies" / key / "record.json") for key in keys]


def of_slices(orientation="HPL", aggregate="mean", slices="each", **more):
    size = {"HPL": [20, 24], "PHL": [12, 24], "LFA": [12, 20]}[orientation]
    factory = "neighbours" if slices == "stack" else "slices"
    return {
        "spatial_dims": 2,
        "channels": 3 if slices == "stack" else 1,
        "factory": f"tests.part_networks:{factory}",
        "input": {"orientation": orientation, "size": size, "slices": slices, "intensity": UNIT,
                  "spacing_mm": {"HPL": [3, 2], "PHL": [4, 2], "LFA": [4, 3]}[orientation]},
        "aggregate": aggregate,
    } | more  # fmt: skip


def map_of(run, record, method):
    facts = next(one for one in record.explanations if one.method == method)
    file = nibabel.load(run / "studies" / record.study / facts.map)
    return facts, np.asarray(file.dataobj), file.affine


@pytest.mark.parametrize(("orientation", "axis"), [("HPL", 0), ("PHL", 1), ("LFA", 2)])
@pytest.mark.parametrize("slices", ["each", "stack"])
@pytest.mark.parametrize("aggregate", [pytest.param("mean", marks=pytest.mark.untraced), "topk"])
def test_a_planted_slab_raises_its_slices_and_lights_its_place(tmp_path, orientation, axis, slices, aggregate):
    run, (record,) = audited(tmp_path, of_slices(orientation, aggregate, slices, topk=2), planted())
    parts = record.prediction.parts
    assert (parts.kind, parts.axis) == ("slice", axis)
    numbers = [round(centre[axis]) for centre in parts.centres]
    assert sorted(numbers) == list(range(SHAPE[axis]))
    bright = [number for number, value in zip(numbers, parts.logits["bright"], strict=True) if value > BIAS + 1e-6]
    assert sorted(bright) == list(range(SLAB[axis].start, SLAB[axis].stop))
    counted = [numbers[place] for place in parts.counted["bright"]]
    assert len(counted) == (2 if aggregate == "topk" else SHAPE[axis])
    expected = CENTRE.copy()
    if aggregate == "topk":
        assert set(counted) <= set(bright)
        expected[axis] = np.mean(counted)
    for method in ("gradcam", "hirescam"):
        facts, values, affine = map_of(run, record, method)
        cells = [size if other == axis else size * 2 for other, size in enumerate(SPACING)]
        assert sorted(facts.cell_mm) == pytest.approx(sorted(cells))
        centre = np.average(np.indices(values.shape).reshape(3, -1), axis=1, weights=np.maximum(values, 0).ravel())
        np.testing.assert_allclose(facts.statistics.centre_index, expected, atol=0.5)
        in_patient = np.diag([-1, -1, 1, 1]) @ affine @ [*centre, 1]  # NIfTI is RAS, the record LPS
        off = np.linalg.inv(AFFINE) @ in_patient - [*expected, 1]
        assert (np.abs(off) <= 0.5 + 1e-6).all()
        assert values[0, 0, 0] == values[-1, -1, -1] == 0
        lit = np.argwhere(values > 0)
        extent = np.prod(np.ptp(lit, axis=0) + 1)
        assert extent <= np.prod([part.stop - part.start + 2 for part in SLAB])


def test_the_logit_of_the_volume_is_that_of_its_highest_slice(tmp_path):
    volume = planted(0.6)
    volume[3, 2:12, 4:12] = 1.0
    _, (record,) = audited(tmp_path, of_slices(aggregate="max"), volume)
    parts = record.prediction.parts
    assert parts.rule == "highest of 12 slices"
    assert parts.counted["bright"] == (3,)
    assert record.prediction.logits["bright"] == pytest.approx(max(parts.logits["bright"]))
    assert record.prediction.logits["bright"] == pytest.approx(4 * 0.5 * (10 * 8) / (20 * 24) - 0.1, abs=1e-5)


def test_the_map_of_a_mean_over_slices_adds_up_to_the_logit(tmp_path):
    _, (record,) = audited(tmp_path, of_slices(), planted())
    facts = next(one for one in record.explanations if one.method == "hirescam")
    complete = next(proof for proof in facts.proofs if proof.kind == "completeness")
    assert complete.holds
    assert "In each of the 12 slices that count" in complete.sentence
    added = facts.statistics.mean * np.prod(facts.grid)
    assert added == pytest.approx(record.prediction.logits["bright"] + 0.1, rel=1e-4)


def test_the_report_shows_the_profile_and_what_made_the_logit(tmp_path):
    run, (record,) = audited(tmp_path, of_slices(aggregate="topk", topk=2), planted(), report={"html": "none"})
    words = words_of((run / "studies" / record.study / "report.pdf").read_bytes())
    assert "Scores of the slices" in words
    assert "the mean of the 2 highest of 12 slices" in words
    assert "2 slices of 12 count, 6 and 7" in words
    assert "12 slices kept as stored" in words


def windows(**more):
    return {"size": [8, 8, 8], "overlap": 0.5} | more


def of_windows(factory="volumes", **more):
    return {
        "spatial_dims": 3,
        "factory": f"tests.part_networks:{factory}",
        "input": {"orientation": "HPL", "spacing_mm": [4, 3, 2], "windows": windows(**more), "intensity": UNIT},
    }


@pytest.mark.parametrize("rule", ["mean", "max"])
def test_windows_find_a_planted_block_at_its_place(tmp_path, rule):
    _, (record,) = audited(tmp_path, of_windows(aggregate=rule), planted())
    parts = record.prediction.parts
    combine = np.mean if rule == "mean" else np.max
    assert (parts.kind, parts.axis) == ("window", None)
    assert record.prediction.logits["bright"] == pytest.approx(combine(parts.logits["bright"]), abs=1e-5)
    brightest = np.asarray(parts.centres)[int(np.argmax(parts.logits["bright"]))]
    assert (np.abs(brightest - CENTRE) <= 4).all()
    for facts in record.explanations:
        np.testing.assert_allclose(facts.statistics.centre_index, CENTRE, atol=0.5)
        assert "logit of a window" in facts.caution


@pytest.mark.untraced
def test_windows_leave_no_seam_against_the_whole_volume(tmp_path):
    shape = (48, 48, 32)
    volume = np.random.default_rng(2).random(shape).astype(np.float32)
    isotropic = {"spacing": (2.0, 2.0, 2.0), "affine": np.diag([2.0, 2, 2, 1])[[2, 1, 0, 3]]}
    inputs = {"orientation": "HPL", "spacing_mm": [2, 2, 2], "intensity": UNIT}
    card = {"spatial_dims": 3, "factory": "tests.part_networks:wide"}
    found = {}
    for name, more in (
        ("whole", {"size": list(shape)}),
        ("windows", {"windows": {"size": [32, 32, 32], "overlap": 0.5, "margin": 2}}),
    ):
        folder = tmp_path / name
        folder.mkdir()
        run, (record,) = audited(folder, card | {"input": inputs | more}, volume, **isotropic)
        found[name] = map_of(run, record, "hirescam")
    np.testing.assert_array_equal(found["whole"][2], found["windows"][2])
    whole = found["whole"][1]
    np.testing.assert_allclose(found["windows"][1], whole, rtol=0, atol=1e-4 * np.abs(whole).max())


def test_a_scale_over_the_cohort_is_the_same_for_every_study_and_said_on_the_page(tmp_path):
    report = {"scale": "class", "sign": "signed", "html": "none"}
    run, records = audited(tmp_path, of_slices(), planted(0.7), planted(1.0), report=report)
    pages = {record.study: (run / "studies" / record.study / "report.pdf").read_bytes() for record in records}
    highest = max(one.statistics.max for record in records for one in record.explanations if one.method == "gradcam")
    for content in pages.values():
        words = words_of(content)
        assert "Colours end at the largest absolute value of 2 maps of bright over the cohort" in words
        assert f"{highest:.3g}".lstrip("0") in words
    render_reports(run)
    again = {record.study: (run / "studies" / record.study / "report.pdf").read_bytes() for record in records}
    assert again == pages


def test_the_record_of_slices_can_be_read_again(tmp_path):
    run, (record,) = audited(tmp_path, of_slices(), planted())
    stored = json.loads((run / "studies" / record.study / "record.json").read_text())
    assert stored["prediction"]["parts"]["rule"] == "mean of 12 slices"
    assert len(stored["prediction"]["parts"]["logits"]["bright"]) == 12
