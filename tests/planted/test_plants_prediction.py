"""Every planted fault of families B and C is answered by its detector, in 2D and in 3D, on small images."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import torch

from audit_pipeline.bench.case import Case, evidence_of
from audit_pipeline.bench.clean import oracle_card
from audit_pipeline.bench.oracles import ORACLES
from audit_pipeline.bench.plants import PLANTS
from audit_pipeline.bench.plants_prediction import at_the_threshold
from audit_pipeline.bench.plants_shift import other_anatomy
from audit_pipeline.checks import catalogue, quantiles_of, thumbnail_of
from audit_pipeline.checks.variants import asked
from audit_pipeline.evidence import Reference
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Image, sealed

MODULES = {at_the_threshold.__module__, other_anatomy.__module__}
OWN = sorted(name for name, one in PLANTS.items() if one.plant.__module__ in MODULES)
FOUND = {Outcome.NOTE, Outcome.FLAG, Outcome.CRITICAL}
STUDIES = 100


def made(seed, dimensions):
    """A bright body with a brighter finding in dark, noisy air."""
    random = np.random.default_rng(seed)
    shape = (48, 56) if dimensions == 2 else (20, 40, 40)
    places = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij")
    axes = random.uniform(0.6, 0.7, dimensions)
    body = sum((place / axis) ** 2 for place, axis in zip(places, axes, strict=True)) < 1
    finding = sum((place - random.uniform(-0.3, 0.3)) ** 2 for place in places) < 0.06
    values = -1000 + 850 * body + 300 * finding + random.normal(0, 12, shape)
    values += 40 * body * np.sin(3 * places[-1] + random.normal())
    affine = None if dimensions == 2 else np.array(
        [[0, 0, 1.0, 0], [0, 1.0, 0, 0], [1.0, 0, 0, 0], [0, 0, 0, 1]]
    )  # fmt: skip
    return Image(
        values=sealed(values.astype(np.float32)), affine=affine, spacing_mm=(1.0,) * dimensions,
        modality="DX" if dimensions == 2 else "CT", unit="HU", format="dicom",
    )  # fmt: skip


def clean(seed, dimensions, network):
    return Case(
        image=made(seed, dimensions), card=oracle_card(dimensions), network=ORACLES[network](dimensions), seed=seed,
        methods=("gradcam",),
    )  # fmt: skip


@lru_cache
def reference(dimensions):
    rows = [evidence_of(clean(seed, dimensions, "brightness")) for seed in range(1000, 1000 + STUDIES)]
    return Reference(
        features=np.asarray([row.prediction.features for row in rows], dtype=np.float32),
        intensities=np.zeros((STUDIES, 4), dtype=np.float32),
        quantiles=np.stack([quantiles_of(row.prepared, row.body) for row in rows]),
        thumbnails=np.stack([thumbnail_of(row.prepared) for row in rows]),
        logits=np.asarray([row.prediction.logits for row in rows], dtype=np.float32),
        digest="",
    )


def judged(case, code):
    entry = next(one for one in catalogue().values() if one.mode.code == code)
    return entry.function(asked(evidence_of(case), entry.mode.variants))


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("name", "dimensions"), [(name, dimensions) for name in OWN for dimensions in PLANTS[name].dimensions]
)
def test_a_grave_fault_is_found(name, dimensions):
    plant = PLANTS[name]
    for seed in (1, 2):
        case = clean(seed, dimensions, plant.network or "brightness")
        if not plant.network:
            case = replace(case, reference=reference(dimensions))
        finding = judged(plant.plant(case, 5, np.random.default_rng(seed)), plant.code)
        assert finding.outcome in FOUND, finding.message


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("code", ["C01", "C03", "C04", "C07", "C08", "C10", "C11"])
def test_the_same_image_without_a_fault_passes(code, dimensions):
    card = oracle_card(dimensions).model_copy(update={"thresholds": {"present": 0.9}})
    finding = judged(replace(clean(3, dimensions, "brightness"), card=card), code)
    assert finding.outcome is Outcome.PASS, finding.message


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("code", ["B01", "B02", "B03", "B05", "B06", "B07"])
def test_studies_like_those_of_the_reference_pass(code, dimensions):
    cases = [replace(clean(seed, dimensions, "brightness"), reference=reference(dimensions)) for seed in (4, 5, 6)]
    found = [judged(case, code).outcome for case in cases]
    assert found.count(Outcome.PASS) >= 2
