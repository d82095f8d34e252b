from __future__ import annotations

import io

import numpy as np
import pytest
import report_cases
from html_reading import pixels, read
from PIL import Image

from audit_pipeline.errors import ReportError
from audit_pipeline.report import overlay
from audit_pipeline.report.figures import Layer, Look
from audit_pipeline.report.html_layers import Layers, indexed_png

LOOK = Look(window=(-1350.0, 150.0), unit="HU", colour_map="inferno", opacity=0.55)


def opened(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA")).astype(float)


@pytest.mark.parametrize("is_signed", [False, True])
@pytest.mark.parametrize("opacity", [0.2, 0.55, 1.0])
def test_the_layers_blend_to_the_pixels_of_the_pdf_within_a_grey_level(volume, opacity, is_signed):
    panel = volume[1][0]
    values = panel.maps["hirescam"]
    shape, scale = (200, 225), float(values.max())
    expected = overlay.overlay(
        panel.anatomy, values, window=LOOK.window, scale_max=scale, is_signed=is_signed, opacity=opacity, shape=shape
    )
    grey = overlay.grey_levels(panel.anatomy, LOOK.window, shape)[..., None].astype(float)
    share = overlay.evidence_share(values, scale, shape, is_signed=is_signed)
    above = opened(indexed_png(share, "inferno", is_signed=is_signed))
    weight = opacity * above[..., 3:] / 255
    assert np.abs(grey * (1 - weight) + above[..., :3] * weight - expected).max() <= 1.6


def test_where_there_is_no_evidence_the_layer_is_transparent():
    for is_signed in (False, True):
        layer = opened(indexed_png(np.zeros((3, 4), np.float32), "viridis", is_signed=is_signed))
        assert (layer[..., 3] == 0).all()


def test_the_strongest_evidence_is_opaque_and_has_the_last_colour():
    layer = opened(indexed_png(np.ones((1, 1), np.float32), "inferno"))
    assert layer[0, 0].tolist() == [*overlay.colour_table("inferno")[255].tolist(), 255]


def test_a_slice_shown_several_times_is_stored_once(volume):
    layers = Layers(2_700_000, 200)
    panel = volume[1][0]
    assert len({layers.anatomy(panel, LOOK) for _ in range(3)}) == 1
    first = layers.evidence(panel, Layer(method="hirescam", scale_max=1.0), LOOK)
    assert layers.evidence(panel, Layer(method="hirescam", scale_max=2.0), LOOK) != first
    assert layers.evidence(panel, Layer(method="gradcam", scale_max=1.0), LOOK) != first
    assert len(list(read(str(layers.definitions()).encode()).all("symbol"))) == 4


def test_small_pictures_are_jpeg_files_within_a_few_grey_levels(volume):
    panel = volume[1][0]
    kept = []
    for quality in (None, 92):
        layers = Layers(5_000_000, 180, quality=quality)
        name = layers.anatomy(panel, LOOK)
        text = str(layers.definitions())
        kept.append((len(text), pixels(read(text.encode()), name).astype(float)))
        assert ("data:image/jpeg" in text) is (quality is not None)
    (exact_size, exact), (size, near) = kept
    assert near.shape == exact.shape
    assert size < 0.6 * exact_size
    assert np.abs(near - exact).mean() < 2


def test_a_map_gets_no_more_pixels_than_its_cells_need(volume):
    panel = volume[1][0]
    assert panel.cell_mm is not None
    cells = max(
        count * pixel / cell
        for count, pixel, cell in zip(panel.anatomy.shape, panel.pixel_mm, panel.cell_mm, strict=True)
    )
    sides = []
    for most in (None, 4):
        layers = Layers(5_000_000, 180, cell_pixels=most)
        name = layers.evidence(panel, Layer(method="hirescam", scale_max=1.0), LOOK)
        sides.append(max(pixels(read(str(layers.definitions()).encode()), name).shape[:2]))
    assert sides == [180, min(180, int(np.ceil(4 * cells)))]
    assert sides[1] < 180


def test_pictures_have_the_physical_aspect_of_the_slice(volume):
    layers = Layers(5_000_000, 180)
    name = layers.anatomy(volume[1][1], LOOK)
    shown = pixels(read(str(layers.definitions()).encode()), name)
    assert shown.shape == (round(64 * 3.0 / (144 * 2.5) * 180), 180)


@pytest.mark.parametrize("most_bytes", [60_000, 150_000, 400_000])
def test_pictures_shrink_until_the_file_is_small_enough(volume, most_bytes):
    layers = Layers(most_bytes, 480)
    for panel in volume[1]:
        layers.anatomy(panel, LOOK)
        layers.evidence(panel, Layer(method="hirescam", scale_max=3.0), LOOK)
    text = str(layers.definitions())
    assert len(text) < most_bytes
    sides = {
        max(pixels(read(text.encode()), one.attributes["id"]).shape[:2]) for one in read(text.encode()).all("symbol")
    }
    assert len(sides) == 1
    assert 48 <= sides.pop() < 480


def test_a_colour_image_is_grey_below_a_map_and_in_colour_alone():
    anatomy = np.zeros((20, 30, 3), np.float32)
    anatomy[..., 0] = 200.0
    panel = report_cases.radiograph_panel(anatomy=anatomy, maps={"gradcam": np.zeros((20, 30), np.float32)}, peaks={})
    look = Look(window=(0.0, 255.0), unit="", colour_map="inferno", opacity=0.5)
    layers = Layers(1_000_000, 60)
    names = [layers.anatomy(panel, look, is_grey=is_grey) for is_grey in (False, True)]
    document = read(str(layers.definitions()).encode())
    assert pixels(document, names[0])[10, 10].tolist() == [200, 0, 0]
    assert pixels(document, names[1])[10, 10] == round(200 * 0.299)


def test_maps_on_other_pixels_are_refused():
    panel = report_cases.radiograph_panel(maps={"gradcam": np.zeros((5, 5), np.float32)}, peaks={})
    with pytest.raises(ReportError, match="same pixels"):
        Layers(1000, 10).evidence(panel, Layer(method="gradcam", scale_max=1.0), LOOK)
