"""Every method of this package, registered by importing the modules that define them, in the order of the lists."""

from audit_pipeline.explain import attention, cam, eigen, gradient, perturbation, scored
from audit_pipeline.explain.method import EXPLAINERS

__all__ = ["EXPLAINERS", "attention", "cam", "eigen", "gradient", "is_on_layer", "perturbation", "scored"]


def is_on_layer(method: str) -> bool:
    """Return whether the maps of a method lie on the grid of the explained layer."""
    return EXPLAINERS[method].kind in {"cam", "layer"}
