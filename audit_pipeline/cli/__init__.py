"""The command line: the only place that prints or sets exit codes. Heavy imports wait until a command needs them."""

from audit_pipeline.cli import auditing, benching, looking, signing
from audit_pipeline.cli.application import app, main

__all__ = ["app", "auditing", "benching", "looking", "main", "signing"]
