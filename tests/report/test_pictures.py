"""Overlay files: raw beside overlay, square pixels, hatched when the map failed its tests."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import report_cases
from PIL import Image

from audit_pipeline.findings import Outcome
from audit_pipeline.report.pictures import GAP_PIXELS, overlay_pictures


def pixels(content):
    return np.asarray(Image.open(io.BytesIO(content))).astype(int)


def halves(picture):
    width = (picture.shape[1] - GAP_PIXELS) // 2
    return picture[:, :width], picture[:, width + GAP_PIXELS :]


def test_every_method_and_plane_has_a_file_named_after_its_map(volume):
    record, panels = volume
    files = overlay_pictures(record, panels, report_cases.context())
    planes = {panel.plane for panel in panels if panel.role == "plane"}
    assert {name.rsplit("-", 1)[1].removesuffix(".png") for name in files} == planes
    assert all(any(one.method in name for one in record.explanations) for name in files)


def test_the_raw_half_is_grey_and_the_map_lights_its_own_place(radiograph):
    record, panels = radiograph
    files = overlay_pictures(record, panels, report_cases.context())
    picture = pixels(next(content for name, content in files.items() if "gradcam-" in name))
    raw, blended = halves(picture)
    assert (raw.max(axis=2) == raw.min(axis=2)).all()
    colour = blended.max(axis=2) - blended.min(axis=2)
    hot = np.argwhere(colour > 0.7 * colour.max()).mean(axis=0) / colour.shape
    values = panels[0].maps["gradcam"]
    peak = (np.array(np.unravel_index(int(values.argmax()), values.shape)) + 0.5) / values.shape
    np.testing.assert_allclose(hot, peak, atol=0.08)


def test_pixels_become_square(volume):
    record, panels = volume
    coronal = next(panel for panel in panels if panel.role == "plane" and panel.plane == "coronal")
    files = overlay_pictures(record, panels, report_cases.context())
    raw, _ = halves(pixels(next(content for name, content in files.items() if name.endswith("coronal.png"))))
    height, width = (size * step for size, step in zip(coronal.anatomy.shape, coronal.pixel_mm, strict=True))
    assert abs(raw.shape[0] / raw.shape[1] - height / width) < 0.01
    assert min(raw.shape[:2]) >= 256


def test_a_map_that_failed_its_tests_is_hatched(radiograph):
    record, panels = radiograph
    failed = tuple(replace(one, checks={"D05": Outcome.CRITICAL}) for one in record.explanations)
    before = overlay_pictures(record, panels, report_cases.context())
    after = overlay_pictures(replace(record, explanations=failed), panels, report_cases.context())
    for name, content in after.items():
        assert (halves(pixels(content))[1] == 255).all(axis=2).mean() > 0.15
        assert np.array_equal(halves(pixels(content))[0], halves(pixels(before[name]))[0])


def test_a_refused_study_has_no_pictures():
    assert overlay_pictures(report_cases.refused_record(), (), report_cases.context()) == {}


def test_a_class_with_little_evidence_stays_pale_beside_one_with_much(radiograph):
    record, panels = radiograph
    weak = record.explanations[0]
    strong = replace(weak, target=weak.target + 1, statistics=replace(weak.statistics, max=100 * weak.statistics.max))
    before = overlay_pictures(record, panels, report_cases.context())
    after = overlay_pictures(
        replace(record, explanations=(*record.explanations, strong)), panels, report_cases.context()
    )
    name = next(name for name in before if f"{weak.method}-" in name)

    def strongest_colour(content):
        blended = halves(pixels(content))[1]
        return (blended.max(axis=2) - blended.min(axis=2)).max()

    assert strongest_colour(after[name]) < 0.2 * strongest_colour(before[name])
