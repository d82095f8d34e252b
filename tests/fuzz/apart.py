"""A folder loaded in a process of its own, with limits on its time and memory.

The process is forked from a server that runs nothing else: a fork of the test process would inherit the locks of its
other threads, and wait for them for ever.
"""

from __future__ import annotations

import multiprocessing
import re
import resource
import signal
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from audit_pipeline.load import LoadSettings
from tests.fuzz.invariants import SECONDS, check_folder

MEMORY_BYTES, GROWTH_BYTES = 3 * 2**30, 2**29
"""What the process may take at all, and what it may take more than before."""

HUNG_SECONDS = 60.0
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload([__name__])


@dataclass(frozen=True)
class Answer:
    """How a folder ended in a process of its own: as a word or by a defect; processor time; memory above the start."""

    end: str
    defect: str
    seconds: float
    grown_bytes: int


class _TooLong(BaseException):
    """Raised by the timer, so that no reader can take it for its own."""


def apart(folder: Path, load_settings: LoadSettings, seconds: float = SECONDS) -> Answer:
    """Load a folder in a process of its own."""
    reading, writing = _SERVER.Pipe(duplex=False)
    process = _SERVER.Process(target=_tell, args=(writing, folder, load_settings, seconds))
    process.start()
    writing.close()
    told = None
    try:
        told = reading.recv() if reading.poll(HUNG_SECONDS) else None
    except EOFError:
        pass
    finally:
        reading.close()
        process.kill()
        process.join()
        process.close()
    return Answer("", "the process died or hung", 0.0, 0) if told is None else told


def _tell(pipe: Connection, folder: Path, load_settings: LoadSettings, seconds: float) -> None:
    try:
        told = _judged(folder, load_settings, seconds)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the test must hear of it
        told = Answer("", repr(error)[:500], 0.0, 0)
    pipe.send(told)
    pipe.close()


def _judged(folder: Path, load_settings: LoadSettings, seconds: float) -> Answer:
    def too_long(*_):
        raise _TooLong

    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    Path("/proc/self/clear_refs").write_text("5")
    before, started = peak_bytes(), time.process_time()
    signal.signal(signal.SIGPROF, too_long)
    signal.setitimer(signal.ITIMER_PROF, seconds + 0.5)
    end, defect = "", ""
    try:
        end = check_folder(folder, load_settings, seconds=seconds)
    except (Exception, _TooLong) as error:  # noqa: BLE001 - any of them is a defect
        defect = f"{type(error).__name__}: {error}"[:500]
    signal.setitimer(signal.ITIMER_PROF, 0)
    return Answer(end, defect, time.process_time() - started, peak_bytes() - before)


def peak_bytes() -> int:
    """Return the largest resident memory of this process since it was last asked to forget it."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0
