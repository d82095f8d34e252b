"""The embedded demonstration: phantoms, two classifiers trained on them, and a cohort with planted faults."""
