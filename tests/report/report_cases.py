"""Realistic records and panels for the report tests: phantoms with known places, no model behind them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from audit_pipeline.config import ReportSection
from audit_pipeline.findings import FailureMode, Finding, Outcome, Verdict
from audit_pipeline.records import MapStatistics, Panel, StackFacts, Status, sealed
from audit_pipeline.report import ReportContext
from audit_pipeline.study_record import (
    ExplanationFacts,
    Failure,
    ImageFacts,
    ModelFacts,
    PredictionFacts,
    StudyRecord,
)  # fmt: skip

SPACING_MM = (3.0, 2.5, 2.5)
SHAPE = (64, 128, 144)
PEAK = (40, 70, 100)
ORIGIN_MM = (-180.0, -150.0, 20.0)
GRID = (6, 8, 8)

MODES = {
    code: FailureMode(
        code=code, name=name, title=title, family=code[0], sentence="", severity=severity, provenance="dom",
        reference="", advice=advice,
    )
    for code, name, title, severity, advice in (
        ("A01", "missing_slices", "Missing or unevenly spaced slices", (4, 3, 4), "Request the series again."),
        ("A17", "low_contrast", "Less contrast than the reference", (3, 3, 3), "Compare with the protocol."),
        ("B07", "confident_outlier", "Confident on an outlier", (5, 3, 4), "Do not use the prediction."),
        ("C04", "near_threshold", "Close to the threshold", (3, 3, 2), "Read the study without the model."),
        ("D02", "border_evidence", "Evidence on the border", (4, 3, 3), "Crop the border and run again."),
        ("D05", "empty_map", "Empty map", (4, 3, 4), "Use another class or layer."),
        ("D19", "method_disagreement", "Methods disagree", (4, 4, 5), "Trust HiResCAM over Grad-CAM."),
        ("D21", "unfaithful", "Unfaithful map", (5, 4, 5), "Do not cite the map as evidence."),
    )
}  # fmt: skip


def context(**changes):
    given = {
        "run": "5f0c9a7be312",
        "audit_name": "Lung nodule classifier, spring review",
        "intended_use": "Flag chest CT with a solid nodule for a second reading",
        "versions": {"audit-pipeline": "0.1.0", "torch": "2.13.0", "monai": "1.6.1", "numpy": "2.4.6"},
        "settings": ReportSection(),
        "failure_modes": MODES,
        "disabled_checks": ("C11",),
    }
    return ReportContext(**{**given, **changes})


def finding(code, outcome, message, **more):
    mode = MODES[code]
    return Finding(
        code=code, name=mode.name, family=mode.family, outcome=outcome, message=message, title=mode.title,
        provenance=more.pop("provenance", mode.provenance), advice=mode.advice, **more,
    )  # fmt: skip


def chest():
    """A chest in HU: body, two lungs with vessels, spine, heart and one nodule at PEAK; array axes toward H, P, L."""
    z, y, x = np.meshgrid(*[np.arange(size, dtype=np.float32) for size in SHAPE], indexing="ij")
    noise = np.random.default_rng(7).normal(0, 12, SHAPE).astype(np.float32)
    values = np.full(SHAPE, -1000, np.float32)

    def ellipse(cy, cx, ry, rx, cz=32.0, rz=1e9):
        return ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 + ((z - cz) / rz) ** 2 < 1

    values[ellipse(66, 72, 46, 64)] = -90
    values[ellipse(66, 72, 42, 60)] = 40
    values[ellipse(64, 42, 32, 22, 34, 34) | ellipse(64, 102, 32, 22, 34, 34)] = -850
    values[ellipse(56, 78, 18, 16, 24, 22)] = 50
    values[ellipse(98, 72, 7, 7)] = 350
    values[ellipse(PEAK[1], PEAK[2], 5, 5, PEAK[0], 4)] = 60
    vessels = cv2.GaussianBlur(np.random.default_rng(3).normal(0, 1, SHAPE[1:]).astype(np.float32), (0, 0), 2)
    values = np.where((values == -850) & (vessels > 0.18), -500, values)
    return values + noise


def coarse_map(peak=PEAK, strength=4.2, width=12.0):
    """A signed map on GRID that is highest in the cell over `peak`, and the same map on the voxels of the chest."""
    centres = [(np.arange(cells) + 0.5) * size / cells - 0.5 for cells, size in zip(GRID, SHAPE, strict=True)]
    distance = sum(
        ((axis - place) * spacing / (width * 2.5)) ** 2
        for axis, place, spacing in zip(np.meshgrid(*centres, indexing="ij"), peak, SPACING_MM, strict=True)
    )
    ripple = np.random.default_rng(5).normal(0, 0.12, GRID)
    grid = (strength * np.exp(-distance / 2) - 0.25 + ripple).astype(np.float32)
    return grid, enlarged(grid, SHAPE)


def enlarged(grid, shape):
    """Half-pixel trilinear enlargement, written here so that the tests do not lean on the code under test."""
    values = np.asarray(grid, np.float64)
    for axis, size in enumerate(shape):
        cells = values.shape[axis]
        place = np.clip((np.arange(size) + 0.5) * cells / size - 0.5, 0, cells - 1)
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, cells - 1)
        share = (place - low).reshape([-1 if one == axis else 1 for one in range(len(shape))])
        values = np.take(values, low, axis) * (1 - share) + np.take(values, high, axis) * share
    return values.astype(np.float32)


def plane_panel(name, index, anatomy, maps, *, role="plane", target=1):
    """One display plane of the chest, turned as a radiologist sees it."""
    cut, step, letters = {
        "axial": (lambda one: one[index], (2.5, 2.5), ("R", "L", "A", "P")),
        "coronal": (lambda one: one[::-1, index], (3.0, 2.5), ("R", "L", "H", "F")),
        "sagittal": (lambda one: one[::-1, :, index], (3.0, 2.5), ("A", "P", "H", "F")),
    }[name]
    axis = {"axial": 0, "coronal": 1, "sagittal": 2}[name]
    position = {
        "axial": ORIGIN_MM[2] + 3.0 * index,
        "coronal": ORIGIN_MM[1] + 2.5 * index,
        "sagittal": ORIGIN_MM[0] + 2.5 * index,
    }[name]
    shown = {method: np.ascontiguousarray(cut(values)) for method, values in maps.items()}
    peaks = {}
    if index == PEAK[axis]:
        down = SHAPE[0] - 1 - PEAK[0]
        place = {"axial": PEAK[1:], "coronal": (down, PEAK[2]), "sagittal": (down, PEAK[1])}[name]
        peaks = {method: (float(place[0]), float(place[1])) for method in maps}
    return Panel(
        role=role, plane=name, axis=axis, index=index, position_mm=position,
        anatomy=sealed(np.ascontiguousarray(cut(anatomy))), maps={m: sealed(v) for m, v in shown.items()},
        target=target, pixel_mm=step, cell_mm=(40.0, 45.0), letters=letters, peaks=peaks, to_source=np.eye(3),
    )  # fmt: skip


def mass_levels(values):
    """Levels above which half and four fifths of the positive mass lie, by counting up from the highest value."""
    ordered = sorted(float(value) for value in values.ravel() if value > 0)[::-1]
    sums = [sum(ordered[: count + 1]) for count in range(len(ordered))]
    found = [next(value for value, held in zip(ordered, sums, strict=True) if held >= share * sums[-1])
             for share in (0.5, 0.8)] if ordered else None  # fmt: skip
    return tuple(found) if found else None


AFFINE = ((0, 0, 2.5, -180), (0, 2.5, 0, -150), (3, 0, 0, 20), (0, 0, 0, 1))


def statistics(grid, *, peak=PEAK, is_placed=True):
    place = tuple(ORIGIN_MM[world] + SPACING_MM[axis] * peak[axis] for world, axis in ((0, 2), (1, 1), (2, 0)))
    return MapStatistics(
        min=float(grid.min()), max=float(grid.max()), mean=float(grid.mean()), std=float(grid.std()),
        peak_value=float(grid.max()), peak_index=tuple(peak), peak_position_mm=place if is_placed else None,
        centre_index=tuple(float(one) for one in peak), mass_levels=mass_levels(grid),
        positive_share=float((grid > 0).mean()),
    )  # fmt: skip


def explanation(method, target_name, values, /, **changes):
    given = {
        "method": method, "target": 1, "target_name": target_name, "layer": "features.denseblock4",
        "grid": tuple(values.shape), "cell_mm": (32.0, 40.0, 45.0), "statistics": statistics(values),
        "map": f"maps/{method}-{target_name}.nii.gz", "map_sha256": "ab12" * 16,
        "checks": {"D02": Outcome.PASS, "D05": Outcome.PASS, "D21": Outcome.PASS},
    }  # fmt: skip
    return ExplanationFacts(**{**given, **changes})


MODEL = ModelFacts(
    name="nodule-densenet", version="2.1", task="multiclass", classes=("no nodule", "nodule"),
    card_sha256="c0ffee" * 10 + "abcd", weights_sha256="0123456789abcdef" * 4, network="DenseNet121",
    intended_use="Flag chest CT with a solid nodule for a second reading",
)  # fmt: skip

VOLUME_FINDINGS = (
    finding("A01", Outcome.PASS, "The largest gap is 1.00 of the median gap; the limit is 1.5.", value=1.0, limit=1.5,
            unit="ratio"),
    finding("A17", Outcome.NOTE, "The contrast is 0.82 of the reference; the limit is 0.75.", value=0.82, limit=0.75,
            unit="ratio", provenance="sim"),
    finding("B07", Outcome.NOT_EVALUABLE, "No reference was given, so the distance cannot be judged.",
            provenance="cal"),
    finding("C04", Outcome.FLAG, "The probability lies 0.031 from the threshold; a distance of 0.05 is needed.",
            value=0.031, limit=0.05, unit="probability"),
    finding("D02", Outcome.PASS, "0.12 of the evidence lies on the border; the limit is 0.30.", value=0.12, limit=0.30,
            unit="share"),
    finding("D05", Outcome.PASS, "The map holds positive evidence.", value=4.1, limit=1e-6, unit="logit"),
    finding("D19", Outcome.CRITICAL, "Grad-CAM and HiResCAM for nodule correlate with 0.21; the limit is 0.50.",
            value=0.21, limit=0.5, unit="rank correlation", slices=(38, 39, 40)),
    finding("D21", Outcome.ERROR, "The check stopped: the model returned a value that is not finite."),
)  # fmt: skip


def volume_case(**changes):
    """A two-class CT study with two methods, and its panels."""
    anatomy = chest()
    grid, fine = coarse_map()
    other_grid, other = coarse_map(strength=3.1, width=20.0)
    maps = {"hirescam": fine, "gradcam": other}
    panels = [
        plane_panel(name, PEAK[axis], anatomy, maps) for axis, name in enumerate(("axial", "coronal", "sagittal"))
    ]
    panels += [plane_panel("axial", index, anatomy, maps, role="slice") for index in range(33, 49, 2)]
    image = ImageFacts(
        shape=SHAPE, spacing_mm=SPACING_MM, affine=AFFINE,
        orientation="HPL", modality="CT", unit="HU", format="dicom",
        source_digests=tuple(f"{number:064x}" for number in range(64)),
        metadata={"Manufacturer": "Phantom Works", "KVP": 120.0, "SliceThickness": 3.0, "BodyPartExamined": "CHEST"},
        stack=StackFacts(slices=64, step_mm=3.0, residual_mm=0.0004, largest_gap_ratio=1.0, smallest_gap_ratio=1.0),
        input_shape=(1, 96, 128, 128), input_spacing_mm=(2.0, 2.5, 2.8125), input_digest="77aa" * 16,
        padding_share=0.013,
        steps=("turned so that the axes grow toward H, P, L", "resampled linearly to 2 x 2.5 x 2.8125 mm",
               "window -600 +- 800 HU mapped to 0 ... 1", "padded to 96 x 128 x 128"),
        window=(-1350.0, 150.0),
    )  # fmt: skip
    second, _ = coarse_map(peak=(20, 60, 40), strength=1.2)
    given = {
        "study": "3fa2c19b77e0", "status": Status.AUDITED, "model": MODEL,
        "files": {"used": 64, "duplicate": 1, "non-image": 2, "other-series": 0}, "image": image,
        "prediction": PredictionFacts(
            task="multiclass", logits={"no nodule": -0.9137, "nodule": 1.2481},
            probabilities={"no nodule": 0.1033, "nodule": 0.8967}, predicted=("nodule",), thresholds={"nodule": 0.5},
            device="cpu", precision="fp32",
        ),
        "explanations": (
            explanation("hirescam", "nodule", grid),
            explanation("gradcam", "nodule", other_grid, checks={"D19": Outcome.CRITICAL, "D05": Outcome.PASS}),
            explanation("hirescam", "no nodule", second, target=0, statistics=statistics(second, peak=(20, 60, 40))),
        ),
        "findings": VOLUME_FINDINGS,
        "verdict": Verdict(prediction=Outcome.FLAG, explanation=Outcome.CRITICAL, prediction_code="C04",
                           explanation_code="D19"),
        "label": "nodule",
    }  # fmt: skip
    return StudyRecord(**{**given, **changes}), panels


def two_targets_case():
    """The CT study with both methods for both classes, eight slices, three planes for each class."""
    record, panels = volume_case()
    others, fine = zip(*(coarse_map(peak=(20, 60, 40), strength=strength) for strength in (1.2, 0.9)), strict=True)
    maps = dict(zip(("hirescam", "gradcam"), fine, strict=True))
    planes = [
        plane_panel(name, (20, 60, 40)[axis], chest(), maps, target=0)
        for axis, name in enumerate(("axial", "coronal", "sagittal"))
    ]
    second = tuple(
        explanation(method, "no nodule", grid, target=0, statistics=statistics(grid, peak=(20, 60, 40)))
        for method, grid in zip(maps, others, strict=True)
    )
    return replace(record, explanations=(*record.explanations[:2], *second)), [*panels, *planes]


def radiograph_panel(**changes):
    """A 2D chest picture, 200 x 160 pixels of 2 mm, whose maps are hottest in the upper left lung."""
    volume = chest()
    flat = volume[::-1].max(axis=1) * 0.3 + volume[::-1].mean(axis=1)
    picture = cv2.resize(flat.astype(np.float32), (160, 200), interpolation=cv2.INTER_CUBIC)
    rows, columns = np.meshgrid(np.arange(200), np.arange(160), indexing="ij")
    hot = 2.4 * np.exp(-(((rows - 60) / 30) ** 2 + ((columns - 112) / 30) ** 2)) - 0.2
    given = {
        "role": "image", "plane": "image", "axis": None, "index": None, "position_mm": None,
        "anatomy": sealed(picture), "target": 0, "pixel_mm": (2.0, 2.0),
        "cell_mm": (28.6, 29.1), "letters": ("R", "L", "H", "F"),
        "maps": {"gradcam": sealed(hot.astype(np.float32)), "hirescam": sealed((0.8 * hot - 0.1).astype(np.float32)),
                 "layercam": sealed((1.3 * hot).astype(np.float32))},
        "peaks": {"gradcam": (60.0, 112.0), "hirescam": (60.0, 112.0)}, "to_source": np.eye(3),
    }  # fmt: skip
    return Panel(**{**given, **changes})


def radiograph_case(panel=None, **changes):
    """A binary radiograph below its threshold, position unknown."""
    panel = panel or radiograph_panel()
    window = (float(panel.anatomy.min()), float(panel.anatomy.max()))
    cell = (28.6, 28.6)
    facts = tuple(
        explanation(
            method, "pneumothorax", values, target=0, grid=(14, 11), cell_mm=cell,
            statistics=replace(statistics(values, is_placed=False), peak_index=(60, 112)), layer="layer4.2",
        )
        for method, values in panel.maps.items()
    )  # fmt: skip
    base, _ = volume_case()
    image = replace(
        base.image, shape=(200, 160), spacing_mm=(2.0, 2.0), affine=None, orientation="", modality="DX",
        unit="stored value", stack=None, input_shape=(1, 224, 224), input_spacing_mm=(1.8, 1.8), window=window,
        source_digests=("d1" * 32,),
    )  # fmt: skip
    model = replace(MODEL, name="ptx-resnet", task="binary", classes=("pneumothorax",), network="resnet50")
    given = {
        "study": "9b20d4417c55", "model": model, "files": {"used": 1}, "image": image, "explanations": facts,
        "prediction": PredictionFacts(
            task="binary", logits={"pneumothorax": -1.1}, probabilities={"pneumothorax": 0.2497}, predicted=(),
            thresholds={"pneumothorax": 0.31}, device="cuda", precision="fp32",
        ),
        "findings": VOLUME_FINDINGS[:4], "label": None,
        "verdict": Verdict(prediction=Outcome.PASS, explanation=Outcome.NOTE, explanation_code="D02"),
    }  # fmt: skip
    return replace(base, **{**given, **changes}), [panel]


def many_classes_case(count=60):
    """A multi-label study with `count` classes, some with very long names."""
    names = tuple(
        f"finding {number:02d} of a long list" + (" with a name that goes on and on" if number % 7 == 0 else "")
        for number in range(count)
    )
    strength = np.random.default_rng(11).normal(-1.5, 1.5, count)
    probability = 1 / (1 + np.exp(-strength))
    predicted = tuple(name for name, value in zip(names, probability, strict=True) if value > 0.5)
    record, panels = radiograph_case()
    prediction = PredictionFacts(
        task="multilabel", logits=dict(zip(names, strength.tolist(), strict=True)),
        probabilities=dict(zip(names, probability.tolist(), strict=True)), predicted=predicted,
        thresholds=dict.fromkeys(names, 0.5), device="cpu", precision="fp32",
    )  # fmt: skip
    model = replace(record.model, classes=names, task="multilabel")
    return replace(record, prediction=prediction, model=model, study="60c1a55e5000"), panels


def refused_record(**changes):
    given = {
        "study": "0badbadbad00", "status": Status.REFUSED, "model": MODEL,
        "files": {"refused": 38, "non-image": 2},
        "error": Failure(
            code="MissingSlicesError", stage="load",
            message="The slice positions leave 2 gaps of twice the step of 3 mm; a complete series of evenly spaced "
            "slices was expected. Send the series again.",
        ),
    }  # fmt: skip
    return StudyRecord(**{**given, **changes})


def cohort(count):
    """`count` records worst first, their summary and thumbnails."""
    record, panels = volume_case()
    quiet = replace(
        record, findings=VOLUME_FINDINGS[:3],
        verdict=Verdict(prediction=Outcome.PASS, explanation=Outcome.PASS),
        explanations=tuple(replace(one, checks={"D05": Outcome.PASS}) for one in record.explanations),
    )  # fmt: skip
    records = []
    for number in range(count):
        key = f"{number:012x}"
        if number % 9 == 8:
            records.append(refused_record(study=key))
        else:
            records.append(replace(record if number < count // 3 else quiet, study=key))
    audited = sum(one.status is Status.AUDITED for one in records)
    summary = {
        "counts": {"found": count, "audited": audited, "refused": count - audited, "failed": 0, "excluded": 0},
        "outcomes": outcome_table(records),
        "verdicts": {
            kind: counts([getattr(one.verdict, kind) for one in records if one.verdict])
            for kind in ("prediction", "explanation")
        },
        "performance": [
            {"class": "nodule", "n": audited, "positives": audited // 2, "auroc": 0.9137, "auroc_low": 0.8402,
             "auroc_high": 0.9611, "reason": "", "threshold": 0.5,
             "sensitivity": {"k": 7, "n": 9, "low": 0.45, "high": 0.937},
             "specificity": {"k": 87, "n": 100, "low": 0.790, "high": 0.9224}},
            {"class": "no nodule", "n": audited, "positives": 0, "auroc": None, "auroc_low": None, "auroc_high": None,
             "reason": "no negative case", "threshold": None, "sensitivity": None,
             "specificity": {"k": 0, "n": 0, "low": None, "high": None}},
        ] if audited else [],
        "confidence": 0.95,
        "refusals": {"MissingSlicesError": count - audited} if count - audited else {},
    }  # fmt: skip
    thumbnails = {one.study: panels[0] for one in records if one.status is Status.AUDITED}
    return records, summary, thumbnails


def counts(outcomes):
    return {outcome.value: outcomes.count(outcome) for outcome in Outcome if outcome in outcomes}


def outcome_table(records):
    codes = sorted({one.code for record in records for one in record.findings})
    return {
        code: counts([one.outcome for record in records for one in record.findings if one.code == code])
        for code in codes
    }
