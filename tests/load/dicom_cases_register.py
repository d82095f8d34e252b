"""The bench of DICOM cases: what a case is, what it may end as, and the judge.

A case writes a folder. It may end as *right* (every delivered voxel has the value planted at its position, and
everything is delivered), as *flagged* (right, and a finding with a number says what is unusual), or as *refused* (a
typed error). A delivery that is wrong anywhere is a failure whatever was declared.
"""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from dicom_bench import SLOPE, Bench, excess, save
from pydicom import config as pydicom_config

from audit_pipeline.errors import LoadError, SeriesChoiceError
from audit_pipeline.findings import Finding, Outcome
from audit_pipeline.load import Delivery, LoadSettings, StudySource, choose_image, deliver, find_studies, load_study
from audit_pipeline.records import Image, Study

THEMES = (
    "series",
    "geometry",
    "stacks",
    "values",
    "encoding",
    "headers",
    "codecs",
    "streams",
    "multiframe",
    "frames",
    "projection",
    "limits",
)
ROUNDING = SLOPE / 2 + 1e-3
"""What storing a value as a whole number of 0.02 HU costs at most."""
_WITHOUT_NUMBER = frozenset(("A25", "A28", "A35"))
_IDENTITY = re.compile(r"BENCH|1950\d\d\d\d|2\.25\.\d|/tmp|/study")
Verdict = Literal["right", "flagged", "refused", "wrong"]


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What a reader must find in the folder of a case.

    shapes : of the images, in any order; None where any number of slices may be right
    offsets : how far the values of each image lie above the planted field; each image matches one of them
    labels : patterns for the name of each stack, in the order of `offsets`
    tolerance : largest difference of a value from the field at its position
    invalid : largest share of voxels of an image that may be masked
    pixels : exact values of images without a place in the patient, instead of the field
    spacing_mm : of those images
    refusals : codes that must stand in the study beside its images
    sources : how many studies are found
    pictures : how many further images have no place in the patient, or are in colour
    """

    shapes: Sequence[tuple[int, ...]] | None = ((6, 7, 9),)
    offsets: Sequence[float] = (0.0,)
    labels: Sequence[str] = ()
    tolerance: float = ROUNDING
    invalid: float = 0.0
    pixels: Sequence[np.ndarray] = ()
    spacing_mm: tuple[float | None, ...] | None = None
    unit: str | None = None
    refusals: Sequence[str] = ()
    sources: int = 1
    pictures: int = 0
    also: Callable[[Study], Iterator[str]] | None = None


@dataclass(frozen=True, kw_only=True)
class Case:
    """One folder and its allowed ends.

    sentence : what is special, as the name of the test
    rows : of tables 1a and 1b of the comparison of readers
    ends : allowed among "right", "flagged", "refused"
    codes : findings of which a flagged delivery has one; errors of which a refusal is one
    is_answerable : whether the folder has one right answer
    is_objective : whether the delivery of any reader can be judged by value and position alone
    """

    sentence: str
    write: Callable[[Path], Truth | None]
    rows: tuple[int, ...] = ()
    ends: frozenset[str] = frozenset(("right",))
    codes: frozenset[str] = frozenset()
    is_answerable: bool = True
    is_objective: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """How a case ended and why that is not what it should be; no problems when it is."""

    verdict: Verdict
    problems: tuple[str, ...]


CASES: list[Case] = []


def case(
    sentence: str,
    *rows: int,
    right: bool = False,
    flagged: str = "",
    refused: str = "",
    answerable: bool | None = None,
    objective: bool = True,
    **settings: Any,
) -> Callable[[Callable[[Path], Truth | None]], Callable[[Path], Truth | None]]:
    """Register a function that writes a folder; without any end declared the case must be delivered right."""
    ends = {name for name, given in (("right", right), ("flagged", flagged), ("refused", refused)) if given}
    ends = ends or {"right"}

    def register(write: Callable[[Path], Truth | None]) -> Callable[[Path], Truth | None]:
        CASES.append(
            Case(
                sentence=sentence,
                write=write,
                rows=rows,
                ends=frozenset(ends),
                codes=frozenset((*flagged.split(), *refused.split())),
                is_answerable=ends != {"refused"} if answerable is None else answerable,
                is_objective=objective,
                settings=settings,
            )
        )
        return write

    return register


def all_cases() -> list[Case]:
    """Return the cases of all themes."""
    for theme in THEMES:
        importlib.import_module(f"dicom_cases_{theme}")
    return CASES


def truth_of(bench: Bench, **changes: Any) -> Truth:
    """Return the truth of one stack of a bench."""
    return Truth(**({"shapes": ((bench.count, bench.rows, bench.columns),)} | changes))


@contextmanager
def as_is() -> Iterator[None]:
    """Let pydicom write what it is given, without a word."""
    before = pydicom_config.settings.writing_validation_mode, pydicom_config.settings.reading_validation_mode
    pydicom_config.settings.writing_validation_mode = pydicom_config.IGNORE
    pydicom_config.settings.reading_validation_mode = pydicom_config.IGNORE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        pydicom_config.settings.writing_validation_mode, pydicom_config.settings.reading_validation_mode = before


def write_case(one: Case, folder: Path) -> Truth:
    """Write the folder of a case and return what is in it."""
    with as_is():
        folder.mkdir(parents=True, exist_ok=True)
        return one.write(folder) or Truth()


def judge(one: Case, truth: Truth, folder: Path) -> Judgement:
    """Load the folder of a case through the public interface and judge what comes back."""
    settings = LoadSettings(**one.settings)
    try:
        sources = [source for source in find_studies([folder]) if not source.is_clutter]
        deliveries = [(source, deliver(source, settings)) for source in sources]
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001  a decoder written in Rust panics with no Exception
        return Judgement(verdict="wrong", problems=(f"a bare {type(error).__name__} leaks: {error}",))
    problems = [text for source, delivery in deliveries for text in _accounting(source, delivery)]
    if len(sources) != truth.sources:
        problems.append(f"{len(sources)} studies found, {truth.sources} expected")
    studies = [delivery.study for _, delivery in deliveries if delivery.study is not None]
    images = [image for study in studies for image in study.images]
    if not images:
        errors = [delivery.error for _, delivery in deliveries] or [_error_of(folder)]
        return _refusal(one, errors, problems)
    wrong = [*problems, *_differences(images, truth), *_choosing(studies)]
    for study in studies:
        wrong += truth.also(study) if truth.also else ()
    found = {refusal.code for _, delivery in deliveries for refusal in delivery.refusals}
    wrong += [f"no {code} among the refusals {sorted(found)}" for code in truth.refusals if code not in found]
    if wrong:
        return Judgement(verdict="wrong", problems=(*wrong, *_said(deliveries)))
    return _delivered(
        one, [*(f for study in studies for f in study.findings), *(f for i in images for f in i.findings)]
    )


def _error_of(folder: Path) -> LoadError | None:
    """Return what a caller is told who names a folder in which nothing is a study."""
    try:
        load_study(folder)
    except LoadError as error:
        return error
    return None


def _accounting(source: StudySource, delivery: Delivery) -> Iterator[str]:
    if sorted(one.path for one in delivery.files) != sorted(source.files):
        yield "the dispositions do not list every file once"
    messages = [refusal.message for refusal in delivery.refusals] + [one.reason for one in delivery.files]
    messages += [
        finding.message for image in (delivery.study.images if delivery.study else ()) for finding in image.findings
    ]
    for message in messages:
        if _IDENTITY.search(message):
            yield f"a message identifies: {message}"


def _said(deliveries: Sequence[tuple[StudySource, Delivery]]) -> Iterator[str]:
    for _, delivery in deliveries:
        yield from (f"refusal {one.code}: {one.message}" for one in delivery.refusals)


def _refusal(one: Case, errors: Sequence[LoadError | None], problems: Sequence[str]) -> Judgement:
    codes = [error.code for error in errors if error is not None]
    if "refused" not in one.ends:
        problems = [*problems, "refused, but there is a right answer to deliver"]
    elif not set(codes) & one.codes:
        problems = [*problems, f"refused as {codes}, expected {sorted(one.codes)}"]
    shown = tuple(f"{error.code}: {error}" for error in errors if error is not None)
    return Judgement(verdict="refused", problems=(*problems, *shown) if problems else ())


def _delivered(one: Case, findings: Sequence[Finding]) -> Judgement:
    found = {finding.code: finding for finding in findings}
    asked = sorted(set(found) & one.codes)
    problems = [f"{code} has no number" for code in asked if code not in _WITHOUT_NUMBER and found[code].value is None]
    verdict: Verdict = "flagged" if asked else "right"
    if verdict not in one.ends:
        problems.append(
            f"delivered {verdict} with findings {sorted(found)}, allowed are {sorted(one.ends)}: {sorted(one.codes)}"
        )
    noise = [code for code, finding in found.items() if finding.outcome is Outcome.FLAG and code not in one.codes]
    if noise:
        problems.append(f"findings {noise} flag what is in order: {[found[code].message for code in noise]}")
    return Judgement(verdict=verdict, problems=tuple(problems))


def _choosing(studies: Sequence[Study]) -> Iterator[str]:
    from audit_pipeline.selection import SelectRules

    for study in studies:
        try:
            choose_image(study, SelectRules())
        except SeriesChoiceError:
            if len(study.images) == 1:
                yield "the only image is not chosen"
        else:
            if len(study.images) > 1:
                yield "one of several images is chosen without a rule"


def _differences(images: Sequence[Image], truth: Truth) -> Iterator[str]:
    if truth.pixels:
        yield from _pixel_differences(images, truth)
    else:
        yield from _field_differences(images, truth)
    units = {image.unit for image in images}
    if truth.unit is not None and units != {truth.unit}:
        yield f"units {units}, expected {truth.unit}"


def _pixel_differences(images: Sequence[Image], truth: Truth) -> Iterator[str]:
    left = list(truth.pixels)
    for image in images:
        match = next((n for n, one in enumerate(left) if _same_pixels(image.values, one, truth.tolerance)), None)
        if match is None:
            yield f"an image of shape {image.values.shape} has other pixels than any that was written"
        else:
            del left[match]
        if truth.spacing_mm is not None and image.spacing_mm != truth.spacing_mm:
            yield f"spacing {image.spacing_mm}, expected {truth.spacing_mm}"
        if image.affine is not None:
            yield "a picture without a place in the patient was given one"
    if left:
        yield f"{len(left)} images are missing"


def _same_pixels(values: np.ndarray, expected: np.ndarray, tolerance: float) -> bool:
    return values.shape == expected.shape and bool(np.abs(values - expected).max() <= tolerance)


def _field_differences(images: Sequence[Image], truth: Truth) -> Iterator[str]:
    left = list(range(len(truth.offsets)))
    pictures = [image for image in images if image.affine is None or image.is_colour]
    if len(pictures) != truth.pictures:
        yield f"{len(pictures)} images have no place in the patient or are in colour, expected {truth.pictures}"
    images = [image for image in images if image.affine is not None and not image.is_colour]
    for image in images:
        assert image.affine is not None
        above = excess(image.values, image.affine)
        share = 0.0 if image.invalid is None else float(image.invalid.mean())
        if share > truth.invalid:
            yield f"{share:.0%} of the voxels are masked"
        above = above if image.invalid is None else above[~image.invalid]
        match = next((n for n in left if np.abs(above - truth.offsets[n]).max() <= truth.tolerance), None)
        if match is None:
            yield f"values are {above.min():.3f} to {above.max():.3f} off their positions in a stack of {image.shape}"
            continue
        left.remove(match)
        label = str(image.metadata.get("Stack", ""))
        if truth.labels and not re.search(truth.labels[match], label):
            yield f"the stack is called {label!r}, expected {truth.labels[match]!r}"
    if left and truth.shapes is not None:
        yield f"{len(left)} of {len(truth.offsets)} images are missing"
    found = sorted(image.shape for image in images)
    if truth.shapes is not None and found != sorted(truth.shapes):
        yield f"shapes {found}, expected {sorted(truth.shapes)}"


def write_bench(folder: Path, bench: Bench | None = None, **changes: Any) -> Truth:
    """Write a bench without any oddity and return its truth."""
    chosen = bench or Bench()
    save(folder, chosen.slices())
    return truth_of(chosen, **changes)
