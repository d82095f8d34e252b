"""Every method of this package, registered by importing the modules that define them, in the order of the lists."""

from audit_pipeline.explain import attention, cam, eigen, gradient, perturbation, scored
from audit_pipeline.explain.method import EXPLAINERS

__all__ = ["EXPLAINERS", "attention", "cam", "eigen", "gradient", "perturbation", "scored"]
