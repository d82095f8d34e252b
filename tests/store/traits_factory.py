"""Traits of one study, every field filled."""

import numpy as np

from audit_pipeline.evidence import Traits

TRAITS = Traits(
    features=np.arange(3, dtype=np.float32),
    moments=np.asarray([0.5, 0.1, 0, 1], dtype=np.float32),
    quantiles=np.linspace(0, 1, 64, dtype=np.float32),
    thumbnail=np.zeros(9, dtype=np.float32),
    logits=np.asarray([1.5, -1.5], dtype=np.float32),
    header={"Modality": "CT", "KVP": 120.0, "Rows": 5, "Lossy": None},
    values={"near_threshold": 0.25},
    label="nodule",
)
