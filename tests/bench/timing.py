"""How the benchmarks measure: readers take turns in one process, memory is that of a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping

import numpy as np

_PEAK = """
import re, sys
from pathlib import Path
from audit_pipeline.load import deliver, find_studies

def peak():
    # ru_maxrss would begin with the memory of the process that started this one
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

deliver(find_studies([Path(sys.argv[1])])[0])
before = peak()
image = deliver(find_studies([Path(sys.argv[2])])[0]).study.images[0]
print((peak() - before) / image.values.nbytes)
"""


def medians_s(readers: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each reader; they take turns, so that a busy machine slows them alike."""
    taken: dict[str, list[float]] = {name: [] for name in readers}
    for turn in range(rounds + 1):
        for name, read in readers.items():
            start = time.perf_counter()
            read()
            if turn:  # the first turn fills caches and starts processes
                taken[name].append(time.perf_counter() - start)
    return {name: float(np.median(times)) for name, times in taken.items()}


def peak_factor(path: str, small: str) -> float:
    """Return peak memory of loading `path` over the bytes of its float32 volume, in a process of its own.

    `small` is loaded before, so that code and tables of the libraries do not count.
    """
    done = subprocess.run([sys.executable, "-c", _PEAK, small, path], check=True, capture_output=True, text=True)
    return float(done.stdout)


def print_table(title: str, seconds: Mapping[str, float], megabytes: float, reference: str = "ours") -> None:
    """Print what each reader took, and how often the reference fits into it."""
    sys.stdout.write(f"\n{title}\n")
    for name, taken in seconds.items():
        ratio = taken / seconds[reference]
        sys.stdout.write(f"  {name:32}{taken * 1e3:9.1f} ms{megabytes / taken:8.0f} MB/s{ratio:8.2f} x {reference}\n")
    sys.stdout.flush()
