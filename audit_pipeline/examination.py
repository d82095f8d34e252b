"""What the checks may ask of one study: the records of the stages before, and the model to ask again."""

from __future__ import annotations

from audit_pipeline.checks import body_mask
from audit_pipeline.evidence import Evidence, IntendedUse, Reference
from audit_pipeline.explain.engine import Maps
from audit_pipeline.models.classifier import Classifier
from audit_pipeline.predict import forward
from audit_pipeline.records import Explanation, Image, Prediction, Prepared


def examined(
    image: Image,
    prepared: Prepared,
    prediction: Prediction,
    explanations: tuple[Explanation, ...],
    maps: Maps,
    *,
    classifier: Classifier,
    intended: IntendedUse,
    reference: Reference | None,
) -> Evidence:
    """Return the evidence of one study; its functions run the model of `classifier` again."""
    return Evidence(
        image=image,
        prepared=prepared,
        prediction=prediction,
        explanations=explanations,
        intended=intended,
        predict=lambda inputs: forward(classifier.network, classifier.device, inputs),
        body=body_mask(prepared),
        reference=reference,
        head_is_pooled=bool(maps.gradient_is_uniform[0]),
    )
