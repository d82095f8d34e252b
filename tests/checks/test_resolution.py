"""Grey levels, blocks of lossy codecs, and resampling beyond the source."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from evidence_factories import make_evidence, make_image, make_prepared
from real_images import CT_SLICES, MR_SLICES, RADIOGRAPHS, real_image
from scipy.ndimage import gaussian_filter

from audit_pipeline.checks.resolution import compression_blocks, few_levels, resampled_beyond
from audit_pipeline.evidence import IntendedUse
from audit_pipeline.findings import Outcome
from audit_pipeline.geometry import index_map


def texture(shape=(200, 240), seed=0):
    smooth = gaussian_filter(np.random.default_rng(seed).normal(0, 1, shape), 2.0)
    return np.clip(2000 + 500 * smooth / smooth.std(), 0, 4095)


def judged(check, values, **changes):
    return check(make_evidence(image=make_image(values, **changes)))


@pytest.mark.parametrize("name", CT_SLICES + MR_SLICES + RADIOGRAPHS)
def test_real_images_have_their_levels_and_no_blocks(name):
    evidence = make_evidence(image=real_image(name))
    assert few_levels(evidence).outcome is not Outcome.FLAG
    assert compression_blocks(evidence).outcome is Outcome.PASS


@pytest.mark.parametrize(("bits", "outcome"), [(12, Outcome.PASS), (8, Outcome.PASS), (5, Outcome.FLAG)])
def test_levels_are_counted(bits, outcome):
    step = 4096 / 2**bits
    finding = judged(few_levels, np.rint(np.rint(texture() / step) * step), metadata={"BitsStored": 12})
    assert finding.outcome is outcome


def test_an_image_of_few_bits_cannot_lose_levels():
    assert judged(few_levels, np.rint(texture() / 64), metadata={"BitsStored": 8}).outcome is Outcome.NOT_EVALUABLE
    assert judged(few_levels, np.rint(texture() / 64)).outcome is Outcome.NOT_EVALUABLE
    assert judged(few_levels, np.zeros((32, 32))).outcome is Outcome.NOT_EVALUABLE
    assert judged(few_levels, np.zeros((8, 8, 3)), is_colour=True).outcome is Outcome.NOT_EVALUABLE


@pytest.mark.parametrize("quality", [30, 12])
@pytest.mark.parametrize("cut", [(0, 0), (3, 5)])
def test_jpeg_is_found_wherever_its_blocks_begin(quality, cut):
    grey = np.clip(texture() / 16, 0, 255).astype(np.uint8)
    packed = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    values = cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE).astype(float)[cut[0] :, cut[1] :]
    header = {"LossyImageCompression": "00"}
    finding = judged(compression_blocks, values, metadata=header)
    assert finding.outcome is Outcome.FLAG
    assert "the header declares none" in finding.message
    assert judged(compression_blocks, grey.astype(float)).outcome is Outcome.PASS


def test_jpeg_in_the_slices_of_a_volume_is_found():
    grey = [np.clip(texture(seed=seed) / 16, 0, 255).astype(np.uint8) for seed in range(4)]
    packed = [cv2.imencode(".jpg", one, [cv2.IMWRITE_JPEG_QUALITY, 12])[1] for one in grey]
    values = np.stack([cv2.imdecode(one, cv2.IMREAD_GRAYSCALE) for one in packed]).astype(float)
    assert judged(compression_blocks, values).outcome is Outcome.FLAG


def test_a_frame_of_one_value_makes_no_blocks():
    assert judged(compression_blocks, np.pad(texture(), 203)).outcome is Outcome.PASS


def test_small_and_constant_images_have_no_blocks_to_look_for():
    assert judged(compression_blocks, np.zeros((64, 64))).outcome is Outcome.NOT_EVALUABLE
    assert judged(compression_blocks, np.zeros((128, 128))).outcome is Outcome.NOT_EVALUABLE


def resampling(scale, *, target=None, spacing=1.0, order=None):
    shape = (32,) * len(scale)
    prepared = make_prepared(np.zeros((1, *shape)))
    matrix = index_map(scale, (0.0,) * len(scale))
    if order is not None:
        matrix[: len(scale), : len(scale)] = matrix[: len(scale), : len(scale)][:, order]
    prepared = replace(prepared, to_source=matrix, spacing_mm=(spacing,) * len(scale))
    image = make_image(np.zeros(shape))
    return resampled_beyond(make_evidence(image=image, prepared=prepared, intended=IntendedUse(target_mm=target)))


@pytest.mark.parametrize(
    ("scale", "outcome"),
    [
        ((1.0, 1.0), Outcome.PASS),
        ((0.6, 0.6), Outcome.PASS),
        ((0.4, 0.4), Outcome.FLAG),
        ((3.0, 3.0), Outcome.NOTE),
        ((0.4, 1.0, 1.0), Outcome.PASS),
        ((0.3, 1.0, 1.0), Outcome.FLAG),
        ((1.0, 1.0, 0.4), Outcome.FLAG),
    ],
)
def test_finer_input_than_source_is_flagged_and_much_coarser_is_noted(scale, outcome):
    finding = resampling(scale)
    assert finding.outcome is outcome
    if outcome is Outcome.FLAG:
        assert finding.value == pytest.approx(1 / min(scale))


def test_the_slice_axis_is_that_of_the_source():
    assert resampling((0.4, 1.0, 1.0), order=[1, 0, 2]).outcome is Outcome.PASS
    assert resampling((1.0, 0.4, 1.0), order=[1, 0, 2]).outcome is Outcome.FLAG


def test_a_target_smaller_than_two_voxels_is_flagged():
    assert resampling((3.0, 3.0), target=5.0, spacing=3.0).outcome is Outcome.FLAG
    assert resampling((3.0, 3.0), target=6.0, spacing=3.0).outcome is Outcome.NOTE
