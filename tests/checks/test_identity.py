"""Burned-in letters: drawn ones are found in 2D and 3D, anatomy, wires and clips are not."""

import cv2
import numpy as np
import PIL.Image
import PIL.ImageDraw
import pytest
from evidence_factories import disc, make_evidence, make_image
from real_images import CT_SLICES, MR_SLICES, RADIOGRAPHS, real_image
from scipy.ndimage import gaussian_filter

from audit_pipeline.checks.identity import burned_in_text, identity_left
from audit_pipeline.findings import Outcome


def chest(shape=(512, 512), seed=0):
    """A noisy radiograph with ribs and dark air, below the top of its range."""
    rows, columns = np.indices(shape)
    body = 600.0 * disc(shape, 0.45) + 500 * disc(shape, 0.2)
    ribs = 700 * (np.sin(rows / 14 + (columns - shape[1] / 2) ** 2 / 9000) > 0.75) * disc(shape, 0.4)
    return gaussian_filter(body + ribs, 1.5) + np.random.default_rng(seed).normal(0, 12, shape) + 100


def write(values, text, place, size=1.0, level=4095, line=cv2.LINE_8):
    """Blend text into the values like a workstation: opaque inside the strokes."""
    ink = cv2.putText(np.zeros(values.shape, dtype=np.uint8), text, place, cv2.FONT_HERSHEY_SIMPLEX, size, 255, 2, line)
    return values * (1 - ink / 255) + level * (ink / 255)


def judged(values, **changes):
    return burned_in_text(make_evidence(image=make_image(values, modality="DX", unit="stored value", **changes)))


@pytest.mark.parametrize("seed", range(4))
def test_anatomy_alone_has_no_text(seed):
    finding = judged(chest(seed=seed))
    assert (finding.outcome, finding.value) == (Outcome.PASS, 0.0)


@pytest.mark.parametrize("name", RADIOGRAPHS + CT_SLICES + MR_SLICES)
def test_real_images_without_workstation_text_pass(name):
    assert burned_in_text(make_evidence(image=real_image(name))).outcome is Outcome.PASS


@pytest.mark.parametrize("name", ["US1_UNCR.dcm"])
def test_the_text_of_a_real_ultrasound_screen_is_found(name):
    assert burned_in_text(make_evidence(image=real_image(name))).outcome is Outcome.NOTE


@pytest.mark.parametrize("size", [0.5, 1.0, 1.6])
@pytest.mark.parametrize("text", ["PORTABLE", "AP 12:30", "2026-01-31"])
@pytest.mark.parametrize("line", [cv2.LINE_8, cv2.LINE_AA])
def test_words_and_dates_are_found_at_several_sizes(text, size, line):
    finding = judged(write(chest(), text, (20, 50), size, line=line))
    assert finding.outcome is Outcome.NOTE
    assert finding.value > 0


@pytest.mark.parametrize("seed", range(3))
def test_small_smoothed_letters_of_a_common_font_are_found(seed):
    page = PIL.Image.new("L", (256, 256))
    PIL.ImageDraw.Draw(page).text((190, 12), "L  PORT", fill=255)
    ink = np.asarray(page) / 255
    assert judged(chest((256, 256), seed) * (1 - ink) + 4095 * ink).outcome is Outcome.NOTE


@pytest.mark.parametrize("letter", ["L", "R"])
def test_a_single_side_marker_is_found_when_it_is_large_enough(letter):
    assert judged(write(chest(), letter, (460, 60), 1.6)).outcome is Outcome.NOTE


def test_text_of_zeros_on_bright_ground_is_found():
    values = 3000.0 - chest()
    assert judged(write(values, "LEFT SIDE", (30, 60), 1.0, level=0)).outcome is Outcome.NOTE


def test_white_text_on_a_colour_image_is_found():
    grey = np.clip(chest() / 10, 0, 200)
    colour = np.dstack([write(grey, "ERECT", (20, 50), level=255)] * 3)
    assert judged(colour, is_colour=True).outcome is Outcome.NOTE


def blurred_metal(draw):
    """Metal as a detector sees it: as bright as the range allows, but with soft edges."""
    metal = np.zeros((512, 512), dtype=np.float32)
    draw(metal)
    return np.clip(chest() + gaussian_filter(9000 * metal, 1.6), 0, 4095)


def test_a_catheter_is_not_text():
    curve = np.asarray([[200 + 60 * np.sin(y / 70), y] for y in range(20, 480, 4)], dtype=np.int32)
    assert judged(blurred_metal(lambda metal: cv2.polylines(metal, [curve], False, 1.0, 3))).outcome is Outcome.PASS


def test_surgical_clips_are_not_text():
    def draw(metal):
        for column in (180, 200, 220, 300):
            cv2.line(metal, (column, 240), (column + 4, 254), 1.0, 2)

    assert judged(blurred_metal(draw)).outcome is Outcome.PASS


def test_sternal_wires_are_not_text():
    def draw(metal):
        for row in (150, 200, 250, 300):
            cv2.circle(metal, (256, row), 8, 1.0, 2)

    assert judged(blurred_metal(draw)).outcome is Outcome.PASS


def test_a_clipped_bright_bone_is_not_text():
    values = np.clip(chest() + 5000 * gaussian_filter(disc((512, 512), 0.1).astype(float), 6), 0, 4095)
    assert judged(values).outcome is Outcome.PASS


def test_saturated_noise_is_not_text():
    values = chest()
    values[np.random.default_rng(0).random((512, 512)) < 0.05] = 4095
    assert judged(values).outcome is Outcome.PASS


def test_text_in_a_volume_is_found_in_its_slices_only():
    volume = np.stack([chest((256, 256), seed) for seed in range(6)]).astype(np.float32)
    volume[[2, 4]] = [write(volume[index], "SCOUT", (20, 40), 0.8) for index in (2, 4)]
    finding = judged(volume)
    assert (finding.outcome, finding.slices) == (Outcome.NOTE, (2, 4))
    assert "in 2 slices" in finding.message


def test_a_header_that_declares_text_is_believed():
    assert judged(chest(), metadata={"BurnedInAnnotation": "YES"}).outcome is Outcome.NOTE
    assert judged(chest(), metadata={"BurnedInAnnotation": "NO"}).outcome is Outcome.PASS


def test_a_header_that_denies_text_in_the_pixels_is_contradicted():
    finding = judged(write(chest(), "PORTABLE", (20, 50)), metadata={"BurnedInAnnotation": "NO"})
    assert finding.outcome is Outcome.NOTE
    assert "although the header declares none" in finding.message


def test_constant_and_non_finite_images_have_no_text():
    assert judged(np.zeros((64, 64))).outcome is Outcome.PASS
    assert judged(np.full((64, 64), np.nan)).outcome is Outcome.PASS


def named(values=None, **header):
    image = make_image(chest() if values is None else values, modality="DX", metadata=header)
    return identity_left(make_evidence(image=image))


def test_an_image_without_text_and_with_a_plain_header_passes():
    plain = {"Manufacturer": "Vendor", "SoftwareVersions": "20240131", "PatientAge": 60, "ImageType": "ORIGINAL"}
    finding = named(**plain)
    assert finding.outcome is Outcome.PASS
    assert "text was looked for by strokes" in finding.message


@pytest.mark.parametrize(
    "text",
    ["DOE^JANE", "made on 2026-01-31", "19580314", "31.01.2026", "ID 12345678", "jane@example.org", "123-45-6789"],
)
def test_a_name_a_date_or_a_long_number_in_a_field_is_flagged_without_printing_it(text):
    finding = named(Manufacturer=text)
    assert finding.outcome is Outcome.FLAG
    assert "Manufacturer" in finding.message
    assert text not in finding.message


@pytest.mark.parametrize(("text", "outcome"), [("L", Outcome.PASS), ("DOE JANE 1958", Outcome.FLAG)])
def test_a_line_of_letters_may_be_a_name_and_a_side_marker_is_none(text, outcome):
    finding = named(write(chest(), text, (40, 80), 1.4))
    assert finding.outcome is outcome


def test_the_slices_with_the_line_are_named_and_declared_annotation_is_flagged():
    volume = np.stack([chest((256, 256), seed) for seed in range(4)]).astype(np.float32)
    volume[2] = write(volume[2], "JANE DOE", (20, 40), 0.8)
    assert named(volume).slices == (2,)
    assert named(BurnedInAnnotation="YES").outcome is Outcome.FLAG


def test_a_volume_of_the_head_holds_a_face():
    volume = np.stack([chest((64, 64), seed) for seed in range(3)])
    assert named(volume, BodyPartExamined="BRAIN").outcome is Outcome.NOTE
    assert named(chest((64, 64)), BodyPartExamined="BRAIN").outcome is Outcome.PASS
