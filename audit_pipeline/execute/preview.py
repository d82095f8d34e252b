"""What a run would do, before it does it: the studies, the checks of the level, and the forward passes per study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from audit_pipeline.checks import planned
from audit_pipeline.config import AuditConfig
from audit_pipeline.execute.local import resolved
from audit_pipeline.execute.plan import plan
from audit_pipeline.load import find_studies, read_labels
from audit_pipeline.store.pseudonym import site_key

Preview = dict[str, Any]


def preview(
    config: AuditConfig | Mapping[str, Any] | Path | str,
    *,
    inputs: Sequence[Path | str] = (),
    output: Path | str | None = None,
    level: str | None = None,
    sets: Sequence[str] = (),
    shard: tuple[int, int] = (1, 1),
    limit: int | None = None,
    is_searched: bool = True,
) -> Preview:
    """Return what `run_audit` would do with the same arguments; no model is loaded and nothing is written.

    Parameters
    ----------
    is_searched : whether the inputs are searched for studies, which takes a while for many files

    Raises
    ------
    ConfigError
        The configuration is impossible, or names settings of unknown checks.
    """
    settings = resolved(config, inputs=inputs, output=output, level=level, sets=sets)
    chosen = planned(settings.checks, settings.audit.level)
    found: Preview = {
        "level": settings.audit.level,
        "checks": dict(sorted(Counter(one.mode.family for one in chosen.checks).items())),
        "variants": dict(chosen.variants),
        "checks_of_their_own_cost": {one.mode.code: one.mode.cost for one in chosen.checks if one.mode.cost},
        "forward_passes_per_study": chosen.cost,
        "output": str(settings.run.output),
    }
    if is_searched:
        labels = read_labels(settings.input.labels) if settings.input.labels else {}
        work = plan(find_studies(settings.input.paths), site_key(settings.run.site_key), labels, shard, limit)
        found |= {
            "studies": len(work.work),
            "files": sum(len(one.source.files) for one in work.work),
            "left_out": dict(Counter(reason for _, reason in (*work.excluded, *work.clutter))),
            "forward_passes": chosen.cost * len(work.work),
        }
    return found


def preview_text(found: Preview) -> str:
    """Return a preview as a page of sentences."""
    checks = ", ".join(f"{count} of family {family}" for family, count in found["checks"].items())
    asked = ", ".join(f"{name} {count}" for name, count in found["variants"].items()) or "none"
    lines = []
    if "studies" in found:
        left_out = "".join(f"; {count} left out: {reason}" for reason, count in found["left_out"].items())
        lines.append(f"{found['studies']} studies in {found['files']} files{left_out}.")
    lines += [
        f"Level {found['level']}: {sum(found['checks'].values())} checks ({checks}).",
        f"Each study costs at most {found['forward_passes_per_study']} forward passes; changed inputs: {asked}.",
    ]
    own = ", ".join(f"{code} {cost}" for code, cost in found["checks_of_their_own_cost"].items())
    lines += [f"Of these, asked by one check alone: {own}."] if own else []
    lines += [f"{found['forward_passes']} forward passes in all."] if "forward_passes" in found else []
    return "\n".join([*lines, f"Run folder: {found['output']}"])
