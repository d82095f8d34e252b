"""What a check may see of one study: the records of the stages before it, the model to ask again, clean references."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from audit_pipeline.records import Explanation, Floats, Image, Mask, Matrix, Prediction, Prepared, Scalar

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class IntendedUse:
    """What the model card allows: allow-lists and ranges; an empty list, mapping or None allows everything.

    header : allow-lists of further header fields by DICOM keyword, for example ``ContrastBolusAgent``
    ranges : closed intervals of further numeric header fields by DICOM keyword, for example ``KVP``
    target_mm : diameter of the smallest thing the model is meant to find
    sides : class -> ``left`` or ``right``, for classes that name a side of the patient
    """

    modality: tuple[str, ...] = ()
    body_part: tuple[str, ...] = ()
    view: tuple[str, ...] = ()
    age: Range | None = None
    spacing_mm: Range | None = None
    header: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ranges: Mapping[str, Range] = field(default_factory=dict)
    target_mm: float | None = None
    sides: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Traits:
    """What one study looked like to the model and to the checks: one row of a reference.

    features : (C,) float32, spatial means of the activations at `layer`
    moments : (4,) float32, mean, standard deviation, minimum and maximum of the model input
    quantiles : (64,) float32, of the model input inside the body, at probabilities (i + 1/2) / 64
    thumbnail : (T,) float32, the model input averaged over channels and over blocks, flattened
    logits : (K,) float32; header : allow-listed header fields; values : what each check measured, by name
    label : the reference label, "" when unknown
    """

    features: Floats
    moments: Floats
    quantiles: Floats
    thumbnail: Floats
    logits: Floats
    header: Mapping[str, Scalar] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    label: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """Clean reference studies a model was characterised on, R of them.

    Attributes
    ----------
    features : (R, C) float32; intensities : (R, 4) float32, the moments of `Traits`
    digest : SHA-256 over the files of the reference
    layer : module whose spatial means the features are; "" when the file does not say
    model : SHA-256 of the weights that were characterised; "" when the file does not say
    quantiles : (R, 64), thumbnails : (R, T), logits : (R, K); None in a reference that does not hold them
    header : keyword -> one entry per study, None where the study has none
    values : name of a check -> (n,) float64, what it measured on the n studies where it could be evaluated
    labels : one per study, "" when unknown
    """

    features: Floats
    intensities: Floats
    digest: str
    layer: str = ""
    model: str = ""
    quantiles: Floats | None = None
    thumbnails: Floats | None = None
    logits: Floats | None = None
    header: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)
    values: Mapping[str, Matrix] = field(default_factory=dict)
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What the model said to n changed inputs: logits and probabilities (n, K) float64, maps (n, *grid) or None."""

    logits: Matrix
    probabilities: Matrix
    maps: Floats | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class GoldenCase:
    """What the model says to one golden case of its card, beside what it must say; see `card.GoldenCard`.

    expected, found : (K,) logits in class order; `found` is None where the case could not be run, and `reason` says why
    tolerance : largest difference of a logit that counts as none
    is_input_equal : whether the model input has the digest that the card names; None where it names none
    """

    name: str
    expected: tuple[float, ...]
    tolerance: float
    found: tuple[float, ...] | None = None
    is_input_equal: bool | None = None
    reason: str = ""

    @property
    def difference(self) -> float | None:
        """Largest absolute difference of a logit; None where the case could not be run."""
        if self.found is None:
            return None
        return max(abs(one - other) for one, other in zip(self.expected, self.found, strict=True))


@dataclass(frozen=True, kw_only=True, slots=True)
class Sibling:
    """Another image of the same study that the model takes as well.

    difference : what tells it from the audited image, in words
    probabilities : (K,) in class order; None where the model could not be asked, and `reason` says why
    """

    difference: str
    probabilities: tuple[float, ...] | None = None
    reason: str = ""


class Unanswered(Exception):  # noqa: N818 - no error: the study cannot be asked this, and the sentence says why
    """A detector lacks something it needs; it ends as ``not_evaluable`` with this sentence."""


class Witness(Protocol):
    """The model, to be asked again about prepared inputs (n, C, *S); it is left as it was."""

    def predict(self, inputs: Floats) -> Answer:
        """Return logits and probabilities, without maps."""

    def explain(self, inputs: Floats, *, method: str = "", layer: str = "", reinitialised: int | None = None) -> Answer:
        """Return logits, and raw signed maps for the class that is explained first.

        Parameters
        ----------
        method, layer : those of the first explanation when ""; layer ``before`` is the stage before it
        reinitialised : seed of new random parameters for the last block of layers, in a copy of the network
        """

    def gradient(self, inputs: Floats, target: int) -> Floats:
        """Return the gradient of the logit of `target` by the input, (n, C, *S)."""

    def sample(self, inputs: Floats, draws: int) -> Answer:
        """Return `draws` answers to one input (1, C, *S) with the dropout layers at work.

        Raises
        ------
        Unanswered
            The network has no dropout.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What a check may see of one study. All arrays are read-only.

    Attributes
    ----------
    body, padding, border, text : (*S) bool
        Masks on the prepared grid: the patient, None when it could not be found; what no source voxel covers or the
        source marks as invalid; the outer 10 % of every face; letters and markers.
    model : the model, to be asked again; None when it is not at hand
    answers : name of a variant -> what the model said to it, see `answer`
    head_is_pooled : the gradient is constant over space, as behind global average pooling, so that Grad-CAM and
        HiResCAM must agree
    reference_mask : (*S) bool, where a reader marked the finding, on the prepared grid; None where there is no mask, or
        it cannot be used, and then `mask_reason` says why
    golden : the golden cases of the model card, run before the first study
    siblings : other images of the study that the model takes as well; None where nobody looked for any
    label : the reference label of the study, "" when unknown
    seed : of everything a check draws
    """

    image: Image
    prepared: Prepared
    prediction: Prediction
    explanations: tuple[Explanation, ...]
    intended: IntendedUse
    body: Mask | None = None
    padding: Mask | None = None
    border: Mask | None = None
    text: Mask | None = None
    model: Witness | None = None
    answers: Mapping[str, Answer | str] = field(default_factory=dict)
    reference: Reference | None = None
    head_is_pooled: bool = False
    reference_mask: Mask | None = None
    mask_reason: str = ""
    golden: tuple[GoldenCase, ...] = ()
    siblings: tuple[Sibling, ...] | None = None
    label: str = ""
    seed: int = 0

    def answer(self, variant: str) -> Answer:
        """Return what the model said to a variant.

        Raises
        ------
        Unanswered
            The variant could not be made for this study, or nobody asked for it.
        """
        found = self.answers.get(variant, f"The variant {variant} was not asked for.")
        if isinstance(found, str):
            raise Unanswered(found)
        return found

    def witness(self) -> Witness:
        """Return the model to be asked again.

        Raises
        ------
        Unanswered
            The model is not at hand.
        """
        if self.model is None:
            raise Unanswered("The model is not at hand to be asked again.")
        return self.model
