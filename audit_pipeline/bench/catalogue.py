"""Every plant and every hand-written network: importing this module registers them."""

from __future__ import annotations

import importlib
import pkgutil

from audit_pipeline import bench
from audit_pipeline.bench.plants import PLANTS

__all__ = ["PLANTS"]

for _found in pkgutil.iter_modules(bench.__path__):
    if _found.name.startswith(("plants_", "oracles_")):
        importlib.import_module(f"{bench.__name__}.{_found.name}")
