"""What the checks may ask of one study: the records of the stages before, and the model to ask again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audit_pipeline.card import ModelCard
from audit_pipeline.checks import masks_of, quantiles_of, thumbnail_of
from audit_pipeline.config import ExplainSection
from audit_pipeline.errors import ExplainError
from audit_pipeline.evidence import Answer, Evidence, Reference, Traits, Unanswered
from audit_pipeline.explain.asking import dropout_draws, input_gradient, maps_of, stage_before, with_random_block
from audit_pipeline.explain.engine import Maps
from audit_pipeline.findings import Finding, Outcome
from audit_pipeline.models.classifier import Classifier
from audit_pipeline.predict import forward, probabilities
from audit_pipeline.records import Explanation, Floats, Image, Matrix, Prediction, Prepared


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelWitness:
    """The model of an audit, to be asked again; see `evidence.Witness`.

    method, layer, target : of the explanation that repeated maps are compared with
    """

    classifier: Classifier
    settings: ExplainSection
    method: str
    layer: str
    target: int
    seed: int = 0

    def predict(self, inputs: Floats) -> Answer:
        """Return logits and probabilities, without maps."""
        return self._answer(forward(self.classifier.network, self.classifier.device, inputs))

    def explain(self, inputs: Floats, *, method: str = "", layer: str = "", reinitialised: int | None = None) -> Answer:
        """Return logits and maps of the target; see `evidence.Witness.explain`."""
        network = self.classifier.network
        try:
            if layer == "before":
                layer = stage_before(network, inputs, self.layer)
            if reinitialised is not None:
                network = with_random_block(network, inputs, reinitialised)
            logits, maps = maps_of(
                network,
                inputs,
                method=method or self.method,
                layer=layer or self.layer,
                target=self.target,
                pooling=self.settings.pooling,
                settings=self.settings.settings,
                seed=self.seed,
            )
        except ExplainError as error:
            raise Unanswered(f"The model could not be explained again: {error}.") from error
        return self._answer(logits.astype(np.float64), maps)

    def gradient(self, inputs: Floats, target: int) -> Floats:
        """Return the gradient of the logit of `target` by the input, (n, C, *S)."""
        return input_gradient(self.classifier.network, inputs, target)

    def sample(self, inputs: Floats, draws: int) -> Answer:
        """Return answers with the dropout layers at work; see `evidence.Witness.sample`."""
        try:
            logits = dropout_draws(self.classifier.network, inputs, draws, self.seed)
        except ExplainError as error:
            raise Unanswered(f"The model cannot be asked with dropout: {error}.") from error
        return self._answer(logits.astype(np.float64))

    def _answer(self, logits: Matrix, maps: Floats | None = None) -> Answer:
        task = self.classifier.card.task
        chances = np.asarray([probabilities(row, task) for row in logits.tolist()], dtype=np.float64)
        return Answer(logits=logits, probabilities=chances, maps=maps)


def examined(  # noqa: PLR0913 - the records of a study, and what is the same for a whole run
    image: Image,
    prepared: Prepared,
    prediction: Prediction,
    explanations: tuple[Explanation, ...],
    maps: Maps,
    *,
    classifier: Classifier,
    settings: ExplainSection,
    reference: Reference | None,
    label: str = "",
    seed: int = 0,
) -> Evidence:
    """Return the evidence of one study, its masks found and its model ready to be asked again."""
    card: ModelCard = classifier.card
    first = explanations[0] if explanations else None
    model = ModelWitness(
        classifier=classifier,
        settings=settings,
        method=first.method if first else "gradcam",
        layer=first.layer if first else "",
        target=first.target if first else 0,
        seed=seed,
    )
    masks = masks_of(image, prepared)
    return Evidence(
        image=image,
        prepared=prepared,
        prediction=prediction,
        explanations=explanations,
        intended=card.intended,
        body=masks.body,
        padding=masks.padding,
        border=masks.border,
        text=masks.text,
        model=model,
        reference=reference,
        head_is_pooled=bool(maps.gradient_is_uniform[0]),
        label=label,
        seed=seed,
    )


def traits_of(evidence: Evidence, findings: Sequence[Finding]) -> Traits:
    """Return what the study looked like to the model, and what every measure found on it."""
    values = evidence.prepared.values
    measured = {
        one.name: one.value
        for one in findings
        if one.direction and one.value is not None and one.outcome is not Outcome.ERROR
    }
    return Traits(
        features=np.asarray(evidence.prediction.features, dtype=np.float32),
        moments=np.asarray([values.mean(), values.std(), values.min(), values.max()], dtype=np.float32),
        quantiles=quantiles_of(evidence.prepared, evidence.body),
        thumbnail=thumbnail_of(evidence.prepared),
        logits=np.asarray(evidence.prediction.logits, dtype=np.float32),
        header=evidence.image.metadata,
        values=measured,
        label=evidence.label,
    )
