"""``python -m audit_pipeline`` and the ``audit-pipeline`` command."""

from audit_pipeline.cli import main

if __name__ == "__main__":
    main()
