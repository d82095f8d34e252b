"""Planted faults of the chain and the record: golden cases, other series, and a run that is not what it says."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch

from audit_pipeline.bench.case import Case
from audit_pipeline.bench.oracles_prediction import Grainy, Wrapped, roughness
from audit_pipeline.bench.plants import plant
from audit_pipeline.beside import asked_about
from audit_pipeline.evidence import Evidence, GoldenCase
from audit_pipeline.execute.record_checks import RunEvidence
from audit_pipeline.models.classifier import Classifier
from audit_pipeline.predict import forward
from audit_pipeline.prepare import prepare
from audit_pipeline.records import Image, sealed
from audit_pipeline.registry import Registry
from audit_pipeline.store.ledger import write_ledger
from audit_pipeline.study_record import StudyRecord

CPU = torch.device("cpu")
TOLERANCE = 1e-3
"""Of the planted golden cases, in logits."""

Generator = np.random.Generator
RunPlanter = Callable[[RunEvidence, int, Generator], RunEvidence]
FilePlanter = Callable[[Path, int, Generator], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunPlant:
    """One planted fault of a run in memory; `has_severity`: whether it comes in degrees."""

    name: str
    code: str
    sentence: str
    plant: RunPlanter
    has_severity: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class FilePlant:
    """One planted fault in the files of a finished run."""

    name: str
    code: str
    sentence: str
    plant: FilePlanter


RUN_PLANTS: Registry[RunPlant] = Registry("run plant", group="audit_pipeline.run_plants")
FILE_PLANTS: Registry[FilePlant] = Registry("file plant", group="audit_pipeline.file_plants")


def run_plant(code: str, sentence: str, *, has_severity: bool = True) -> Callable[[RunPlanter], RunPlanter]:
    """Return a decorator that registers a function under its own name as a planted fault of a run."""

    def decorate(planter: RunPlanter) -> RunPlanter:
        name = planter.__name__
        RUN_PLANTS.add(
            name, RunPlant(name=name, code=code, sentence=sentence, plant=planter, has_severity=has_severity)
        )
        return planter

    return decorate


def file_plant(code: str, sentence: str) -> Callable[[FilePlanter], FilePlanter]:
    """Return a decorator that registers a function under its own name as a planted fault in the files of a run."""

    def decorate(planter: FilePlanter) -> FilePlanter:
        name = planter.__name__
        FILE_PLANTS.add(name, FilePlant(name=name, code=code, sentence=sentence, plant=planter))
        return planter

    return decorate


def _sized(severity: int, sizes: tuple[float, float, float, float, float]) -> float:
    return sizes[severity - 1]


def _logits(network: torch.nn.Module, values: np.ndarray[Any, np.dtype[np.float32]]) -> tuple[float, ...]:
    return tuple(float(one) for one in forward(network.eval(), CPU, values[None])[0])


def _with_golden(case: Case, golden: GoldenCase) -> Case:
    def spoil(evidence: Evidence) -> Evidence:
        return replace(case.spoil(evidence), golden=(golden,))

    return replace(case, spoil=spoil)


@plant("C09", sentence="The golden case has its logits in another order.", network="brightness",
       accompanied=("C02",))  # fmt: skip
def golden_exchanged(case: Case, severity: int, random: Generator) -> Case:
    """State the logits of the network under exchanged names, farther apart at higher severity."""
    values = prepare(case.image, case.card).values
    network = Wrapped(len(case.card.network_size))
    first, second = _logits(network, values)
    apart = _sized(severity, (0.5, 0.9, 20.0, 200.0, 2000.0)) * TOLERANCE
    network.offset = float(random.choice([-1, 1])) * apart - (second - first)
    found = _logits(network, values)
    golden = GoldenCase(name="golden case 1", expected=found[::-1], tolerance=TOLERANCE, found=found)
    return _with_golden(replace(case, network=network), golden)


@plant("A24", sentence="The chain that made the golden logits is another one.", network="brightness")
def golden_of_another_chain(case: Case, severity: int, random: Generator) -> Case:
    """State the logits of the input before its values were scaled by some thousandths to some tenths."""
    values = prepare(case.image, case.card).values
    network = Wrapped(len(case.card.network_size), gain=4.0)
    scale = 1 - _sized(severity, (1e-6, 1e-5, 0.02, 0.1, 0.3)) * float(random.uniform(1, 1.5))
    expected, found = (_logits(network, np.float32(factor) * values) for factor in (scale, 1.0))
    golden = GoldenCase(name="golden case 1", expected=expected, tolerance=TOLERANCE, found=found, is_input_equal=False)
    return _with_golden(replace(case, network=network), golden)


@plant("C15", sentence="The answer depends on which series of the study is taken.", network="grainy",
       accompanied=("C03", "C04", "C02", "C01"))  # fmt: skip
def sharper_series(case: Case, severity: int, random: Generator) -> Case:
    """Add a series of a sharper kernel, whose noise a network that reads noise takes for a finding."""
    network = Grainy(len(case.card.network_size))
    sharp = sharpened(case.image, random)
    soft_input, sharp_input = (
        torch.from_numpy(np.array(prepare(image, case.card).values[None])) for image in (case.image, sharp)
    )
    rise = float(roughness(sharp_input) - roughness(soft_input))
    network.level = float(roughness(soft_input))
    first, second = _logits(network, soft_input[0].numpy())
    network.offset = first - second
    network.strength = _sized(severity, (0.1, 0.4, 1.8, 3.0, 6.0)) / rise
    return with_series(replace(case, network=network), sharp)


def sharpened(image: Image, random: Generator) -> Image:
    """Return the image with the noise of a sharper kernel."""
    sigma = 0.05 * float(np.ptp(image.values))
    values = image.values + random.normal(0, sigma, image.values.shape)
    return replace(image, values=sealed(values.astype(np.float32)))


def with_series(case: Case, other: Image) -> Case:
    """Return the case with another image of its study, which its network is really asked about."""

    def spoil(evidence: Evidence) -> Evidence:
        classifier = Classifier(
            network=case.network.eval(), card=case.card, device=CPU, device_name="cpu", weights_sha256=""
        )
        found = asked_about(iter([("ConvolutionKernel B60f instead of B30f", other)]), classifier, 1)
        return replace(case.spoil(evidence), siblings=tuple(found))

    return replace(case, spoil=spoil)


def _some(evidence: RunEvidence, severity: int, random: Generator) -> set[str]:
    """Return the keys of 1, 2, 4, 8 or 16 audited studies."""
    audited = [one.study for one in evidence.audited]
    count = min(len(audited), 2 ** (severity - 1))
    return {str(one) for one in random.choice(audited, count, replace=False)}


def _changed(
    evidence: RunEvidence, keys: set[str], change: Callable[[StudyRecord], StudyRecord]
) -> tuple[StudyRecord, ...]:
    return tuple(change(one) if one.study in keys else one for one in evidence.records)


def _with_run(evidence: RunEvidence, **change: Any) -> RunEvidence:
    return replace(evidence, run={**evidence.run, **change})


@run_plant("F01", "Some studies were audited with other weights.")
def other_weights(evidence: RunEvidence, severity: int, random: Generator) -> RunEvidence:
    """Give some records the digest of other weights."""
    keys = _some(evidence, severity, random)
    return replace(
        evidence,
        records=_changed(evidence, keys, lambda one: replace(one, model=replace(one.model, weights_sha256="d" * 64))),
    )


@run_plant("F01", "The code changed while the run went on.", has_severity=False)
def changed_code(evidence: RunEvidence, severity: int, random: Generator) -> RunEvidence:  # noqa: ARG001
    """Note a start with another code."""
    return _with_run(evidence, other_code="e" * 64)


@run_plant("F01", "Files of the installed code were edited.")
def edited_code(evidence: RunEvidence, severity: int, random: Generator) -> RunEvidence:  # noqa: ARG001
    """Let 1 to 16 files differ from their wheel."""
    return _with_run(evidence, code={**evidence.run["code"], "altered": 2 ** (severity - 1)})


@run_plant("F01", "The settings of the run were edited afterwards.", has_severity=False)
def edited_settings(evidence: RunEvidence, severity: int, random: Generator) -> RunEvidence:  # noqa: ARG001
    """Change a setting of the stored configuration."""
    configuration = evidence.run["configuration"]
    explain = {**configuration["explain"], "targets": "all"}
    return _with_run(evidence, configuration={**configuration, "explain": explain})


@run_plant("F02", "Some studies fell back from the graphics processor.")
def fell_back(evidence: RunEvidence, severity: int, random: Generator) -> RunEvidence:
    """Let some records name another device."""
    keys = _some(evidence, severity, random)

    def on_cpu(one: StudyRecord) -> StudyRecord:
        return one if one.prediction is None else replace(one, prediction=replace(one.prediction, device="cpu"))

    return replace(evidence, records=_changed(evidence, keys, on_cpu))


@run_plant("F02", "A method of explanation was dropped for some studies.")
def dropped_method(evidence: RunEvidence, severity: int, random: Generator) -> RunEvidence:
    """Remove the maps of one method from some records."""
    keys = _some(evidence, severity, random)
    return replace(
        evidence, records=_changed(evidence, keys, lambda one: replace(one, explanations=one.explanations[:1]))
    )


@run_plant("F03", "Records are missing from a run that reports a whole.")
def lost_records(evidence: RunEvidence, severity: int, random: Generator) -> RunEvidence:
    """Take some records away and leave the counts."""
    keys = _some(evidence, severity, random)
    return replace(evidence, records=tuple(one for one in evidence.records if one.study not in keys))


@run_plant("F03", "A planned check was skipped for some studies.")
def skipped_check(evidence: RunEvidence, severity: int, random: Generator) -> RunEvidence:
    """Remove one finding from some records."""
    keys = _some(evidence, severity, random)
    return replace(evidence, records=_changed(evidence, keys, lambda one: replace(one, findings=one.findings[1:])))


@run_plant("F03", "A stage did not run for some studies.")
def skipped_stage(evidence: RunEvidence, severity: int, random: Generator) -> RunEvidence:
    """Remove one stage from some records."""
    keys = _some(evidence, severity, random)

    def without(one: StudyRecord) -> StudyRecord:
        return replace(one, timings_s={name: spent for name, spent in one.timings_s.items() if name != "check"})

    return replace(evidence, records=_changed(evidence, keys, without))


@run_plant("F06", "The next audit is overdue.")
def overdue(evidence: RunEvidence, severity: int, random: Generator) -> RunEvidence:
    """Let the next audit have been due some days ago."""
    days = 4 ** (severity - 1) + int(random.integers(0, 3))
    due = (evidence.today - timedelta(days=days)).isoformat()
    return _with_run(evidence, reaudit={**evidence.run["reaudit"], "by": due})


@run_plant("F06", "A scanner the last audit did not know delivers studies.")
def new_scanner(evidence: RunEvidence, severity: int, random: Generator) -> RunEvidence:
    """Let some studies come from another scanner."""
    keys = _some(evidence, severity, random)

    def elsewhere(one: StudyRecord) -> StudyRecord:
        metadata = {"ManufacturerModelName": "South Two"}
        return one if one.image is None else replace(one, image=replace(one.image, metadata=metadata))

    return replace(evidence, records=_changed(evidence, keys, elsewhere))


@run_plant("F06", "The model was replaced since the last audit.", has_severity=False)
def new_model(evidence: RunEvidence, severity: int, random: Generator) -> RunEvidence:  # noqa: ARG001
    """Raise the version that the last audit did not see."""
    return _with_run(evidence, reaudit={**evidence.run["reaudit"], "version": "0"})


@file_plant("F05", "Bytes of a file were changed after the run.")
def flipped_bytes(run: Path, severity: int, random: Generator) -> None:
    """Change 1, 4, 16, 64 or 256 bytes of one file of the run."""
    files = sorted(path for path in run.rglob("*") if path.is_file() and path.suffix in {".json", ".pdf", ".parquet"})
    place = files[int(random.integers(0, len(files)))]
    content = bytearray(place.read_bytes())
    for at in random.choice(len(content), min(len(content), 4 ** (severity - 1)), replace=False):
        content[at] ^= 1
    place.write_bytes(bytes(content))


@file_plant("F04", "A record was changed and the chain continued, so that its report says something else.")
def report_left_behind(run: Path, severity: int, random: Generator) -> None:
    """Move a probability of one record by a millionth to a tenth, and continue the ledger as if it were right."""
    records: Sequence[Path] = sorted(run.glob("studies/*/record.json"))
    place = records[int(random.integers(0, len(records)))]
    content = json.loads(place.read_bytes())
    name = next(iter(content["prediction"]["probabilities"]))
    content["prediction"]["probabilities"][name] += 10.0 ** (severity - 6)
    place.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    write_ledger(run)
