"""What ``explain`` shows: one image with every map, where each lies, what it owes and whether the model follows it."""

from audit_pipeline.explaining.image import Wanted, explain_image
from audit_pipeline.explaining.plain import explanation_text

__all__ = ["Wanted", "explain_image", "explanation_text"]
