"""What is kept of one study: the content of ``record.json``, schema ``audit-pipeline/study/1``.

Plain tuples, mappings and numbers only; `store.record_file` turns it into JSON and back without loss, and the reports
are rendered from it alone. No time of day, no path of the machine and no identity has a place here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from audit_pipeline.findings import Finding, Outcome, Verdict
from audit_pipeline.proofs import Proof
from audit_pipeline.records import MapStatistics, PartScores, Scalar, StackFacts, Status

SCHEMA = "audit-pipeline/study/1"


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageFacts:
    """The audited image without its voxels.

    orientation : direction in which each array axis grows, for example "HPL"; "" when unknown
    source_digests : SHA-256 of the contributing files, in slice order
    steps : what was done to make the model input; window : (low, high) in `unit` shown and fed to the model
    """

    shape: tuple[int, ...]
    spacing_mm: tuple[float | None, ...]
    affine: tuple[tuple[float, ...], ...] | None
    orientation: str
    modality: str
    unit: str
    format: str
    source_digests: tuple[str, ...]
    metadata: Mapping[str, Scalar] = field(default_factory=dict)
    stack: StackFacts | None = None
    invalid_share: float = 0.0
    input_shape: tuple[int, ...] = ()
    input_spacing_mm: tuple[float | None, ...] = ()
    input_digest: str = ""
    padding_share: float = 0.0
    steps: tuple[str, ...] = ()
    window: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictionFacts:
    """Numbers by class name, in the class order of the model card; `parts` as in `records.Prediction`."""

    task: str
    logits: Mapping[str, float]
    probabilities: Mapping[str, float]
    predicted: tuple[str, ...]
    thresholds: Mapping[str, float]
    device: str
    precision: str
    parts: PartScores | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerFacts:
    """What the model said to one changed input that a check asked about.

    Attributes
    ----------
    group : "harmless" (changes that leave the label as it is), "corruption" (mild loss of quality), "falsification"
        (what it should need, or should not need, is taken away) or "repeat" (the same input again)
    name : of the kind of change: rows of one name differ in their amount; sentence : what was changed
    probabilities : class -> 0..1, empty where the model was not asked, and then `reason` says why
    amount, unit : how much was changed, None and "" where that is no number; unchanged : the amount of no change
    """

    group: str
    name: str
    sentence: str
    probabilities: Mapping[str, float] = field(default_factory=dict)
    amount: float | None = None
    unit: str = ""
    unchanged: float | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExplanationFacts:
    """One map without its values; `map` is the path of the NIfTI file relative to the study folder.

    unit : what a value means; blank : why the map shows nothing, "" where it shows something
    signal_floor : below this absolute value the map is numerically zero
    proofs : what the map owes and whether it holds
    checks : code -> outcome of the findings that judge this map
    slice_shares : share of the positive evidence in every source slice along axis 0, in order, rounded to 5 decimals;
        empty for 2D images and for maps without positive evidence
    """

    method: str
    target: int
    target_name: str
    layer: str
    grid: tuple[int, ...]
    cell_mm: tuple[float | None, ...]
    statistics: MapStatistics
    map: str
    map_sha256: str = ""
    caution: str = ""
    unit: str = "logit"
    blank: str = ""
    signal_floor: float = 0.0
    proofs: tuple[Proof, ...] = ()
    checks: Mapping[str, Outcome] = field(default_factory=dict)
    slice_shares: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerFacts:
    """What speaks for one layer, 1 the best `rank`: means over the studies of a `LayerChoice`.

    cell_mm : mean edge of a cell, None where the spacing is unknown; cell_pixels : the same in pixels of the input
    unaccounted : share of the logit, less its value for empty activations, that the sum of HiResCAM misses; 0 is best
    gain : area between insertion and deletion, less that of shifted maps, in logits; None without a null
    stability : mean Spearman correlation with the maps of noisy copies; None where a map is constant
    mean_rank : mean of the ranks in these four columns, 1 is best in all of them
    """

    layer: str
    rank: int
    mean_rank: float
    grid: tuple[int, ...]
    channels: int
    cell_pixels: float
    cell_mm: float | None
    unaccounted: float
    gain: float | None
    stability: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerChoice:
    """Which layer the maps of a run come from.

    layer : "" where each study's maps come from the last convolutional stage; reason : why it was chosen, a sentence
    studies : keys of the studies behind the evidence; ranking : the layers, best first, empty where none were compared
    """

    layer: str
    reason: str
    studies: tuple[str, ...] = ()
    ranking: tuple[LayerFacts, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFacts:
    """Which model spoke: name and version of the card, digests of the card and of the weights, the layer explained."""

    name: str
    version: str
    task: str
    classes: tuple[str, ...]
    card_sha256: str
    weights_sha256: str
    network: str
    intended_use: str = ""
    layer_choice: LayerChoice | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why a study was refused or failed, and in which stage."""

    code: str
    message: str
    stage: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyRecord:
    """The whole record. Refused studies have `error` and no prediction; `files` counts files by disposition.

    facts : column of the labels file -> value, made harmless: ``patient`` is a keyed hash, ``site`` a pseudonym, dates
    are quarters, ages bands; the other columns are subgroups
    answers : what the model said to every changed input, group after group; a reason where it was not asked
    """

    study: str
    status: Status
    model: ModelFacts
    files: Mapping[str, int] = field(default_factory=dict)
    image: ImageFacts | None = None
    prediction: PredictionFacts | None = None
    explanations: tuple[ExplanationFacts, ...] = ()
    answers: tuple[AnswerFacts, ...] = ()
    findings: tuple[Finding, ...] = ()
    verdict: Verdict | None = None
    error: Failure | None = None
    label: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    timings_s: Mapping[str, float] = field(default_factory=dict)
    schema: str = SCHEMA
