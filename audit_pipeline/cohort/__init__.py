"""Statistics over the records of a run: proportions, discrimination, and the summary of the cohort."""

from audit_pipeline.cohort.summary import CohortSummary, summarise, worst_first

__all__ = ["CohortSummary", "summarise", "worst_first"]
