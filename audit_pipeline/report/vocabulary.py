"""The fixed words of the reports: outcomes, states, families, methods, instructions."""

from __future__ import annotations

from audit_pipeline.findings import Outcome
from audit_pipeline.records import Status
from audit_pipeline.reviews import ReviewVerdict

OUTCOME_WORDS = {
    Outcome.PASS: "pass",
    Outcome.NOTE: "note",
    Outcome.FLAG: "flag",
    Outcome.CRITICAL: "critical",
    Outcome.NOT_EVALUABLE: "not evaluable",
    Outcome.ERROR: "error",
}
STATUS_WORDS = {Status.AUDITED: "audited", Status.REFUSED: "refused", Status.FAILED: "failed"}
PROFILE_WORDS = {"deidentified": "de-identified", "clinical": "CLINICAL: contains identity"}
IDENTITY_WORDS = {
    "patient_name": "Patient", "patient_id": "Patient ID", "birth_date": "Born", "sex": "Sex",
    "accession": "Accession", "study_date": "Examined", "name": "Source",
}  # fmt: skip
"""What the clinical profile shows of a study, in this order."""

PROVENANCE_WORDS = {
    "std": "standard",
    "lit": "published",
    "sim": "simulated null",
    "dom": "engineering judgement",
    "cal": "calibrated here",
}
PROVENANCE_LETTERS = {"std": "S", "lit": "P", "sim": "N", "dom": "J", "cal": "C"}
"""The same in a letter, for the table of every check, which explains them."""

FAMILY_WORDS = {
    "A": "A  Input and data integrity",
    "B": "B  Out of distribution",
    "C": "C  Prediction",
    "D": "D  Explanation",
    "E": "E  Cohort",
    "F": "F  Process and record",
}
FORMAT_WORDS = {"dicom": "DICOM", "nifti": "NIfTI"}
REVIEW_VERDICTS = tuple(str(verdict) for verdict in ReviewVerdict)
AT_MOST, AT_LEAST = "\u2264", "\u2265"
CAUTION = "for review, not for diagnosis"

WORST_FIRST = (
    Outcome.CRITICAL, Outcome.ERROR, Outcome.FLAG, Outcome.NOTE, Outcome.NOT_EVALUABLE, Outcome.PASS,
)  # fmt: skip
MATTERING = (Outcome.CRITICAL, Outcome.ERROR, Outcome.FLAG)

WHAT_TO_DO = {
    "load": "Correct or export the study again at its source, then start the run again: only this study is repeated.",
    "prepare": "Compare the image with the input that the model card describes; correct the one that is wrong.",
    "predict": "Check that the model fits this image; the other studies of the run are not affected.",
    "explain": "Check the target layer of the model card; the prediction of this study was not judged.",
}
WHAT_TO_DO_ELSE = "Start the run again; if it fails in the same way, report the code and the message above."

VERIFY = (
    "Run \u201caudit-pipeline verify RUN\u201d: it checks digests, chain and signatures, and names any difference.",
    "Run \u201caudit-pipeline report RUN\u201d: the same records and code give the same bytes again.",
    "Compare the digests of weights and source files with those of your files (\u201csha256sum FILE\u201d).",
)

DATES = (
    "In run.json of the run folder and in signatures; pages carry none, so that the same input gives the same report."
)
NO_MESSAGE = "No message was recorded."
LIMITS = (
    "A limit with a sign names the allowed side; without a sign the outcome does not tell it. A value without a limit: "
    "another check decides. "
    "Where a limit is from: S a standard or physics, P published, N a null of simulated maps, J engineering judgement, "
    "C clean studies of this site. Fig.: the figure that shows it."
)
