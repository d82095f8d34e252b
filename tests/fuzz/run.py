"""Fuzzing at length: ``python -m tests.fuzz.run --target headers --seconds 240``.

Without atheris every input is a fresh mutation of a seed; with ``--guided`` atheris keeps what reaches new code of the
loader and of pydicom and mutates that. Each defect is kept once, by where it comes from, with the smallest input that
shows it. The process runs with 3 GiB of address space beyond its start, and an input may take ten seconds.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from types import FrameType

MEMORY_BYTES = 3 * 2**30
GROWTH_BYTES = 2**30
"""What a small input may take at most while it is being loaded."""
HANG_SECONDS = 10


class _Hang(BaseException):
    """Raised by the alarm, so that no reader can take it for its own."""


class Findings:
    """Defects by their signature, kept in a folder; and how the inputs ended."""

    def __init__(self, kept: Path) -> None:
        self.kept = kept
        self.kept.mkdir(parents=True, exist_ok=True)
        self.ends: Counter[str] = Counter()
        self.sizes: dict[str, int] = {}

    def judge(self, one, data: bytes, folder: Path) -> None:
        """Run one input and keep it when it shows a defect."""
        (self.kept / "current").write_bytes(data)
        _reset_peak()
        before = _peak_bytes()
        try:
            self.ends[one(data, folder)] += 1
        except (Exception, _Hang) as error:  # noqa: BLE001 - a fuzzer wants them all
            self._keep(_signature(error), data, "".join(traceback.format_exception(error)[-12:]))
        grown = _peak_bytes() - before
        if grown > GROWTH_BYTES:
            self._keep("memory", data, f"{grown / 2**20:.0f} MiB more than before")

    def _keep(self, signature: str, data: bytes, told: str) -> None:
        self.ends[f"DEFECT {signature}"] += 1
        if len(data) < self.sizes.get(signature, sys.maxsize):
            self.sizes[signature] = len(data)
            name = re.sub(r"\W+", "_", signature)[:80]
            (self.kept / f"{name}.bin").write_bytes(data)
            (self.kept / f"{name}.txt").write_text(f"{signature}\n\n{told}", encoding="utf-8", errors="replace")

    def report(self) -> None:
        """Write the counts where the parent process reads them."""
        (self.kept / "counts.json").write_text(json.dumps(dict(self.ends)), encoding="utf-8")


def _signature(error: BaseException) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "audit_pipeline" in frame.filename]
    place = f"{Path(frames[-1].filename).name}:{frames[-1].name}" if frames else ""
    said = re.sub(r"\d[\d.e+-]*", "N", str(error).partition(":")[0])[:60]
    return f"{type(error).__name__} {place} {said}"


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak_bytes() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    found = re.search(r"VmHWM:\s+(\d+)", status)
    return int(found[1]) * 1024 if found else 0


def confine() -> None:
    """Limit the address space of this process, but not of the decoders it starts."""
    held = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _hung(_: int, __: FrameType | None) -> None:
    raise _Hang


def plain(name: str, seconds: float, start: int, kept: Path) -> None:
    """Run fresh mutations until the time is over."""
    from tests.fuzz.targets import TARGETS

    target, findings = TARGETS[name], Findings(kept)
    confine()
    signal.signal(signal.SIGALRM, _hung)
    end, number = time.monotonic() + seconds, start
    with tempfile.TemporaryDirectory(prefix="QFOLDERQ") as folder:
        while time.monotonic() < end:
            data = target.made(random.Random(number))
            signal.alarm(HANG_SECONDS)
            findings.judge(target.one, data, Path(folder) / "FOLDERQ")
            signal.alarm(0)
            number += 1
            if number % 50 == 0:
                findings.report()
    findings.report()


def guided(name: str, seconds: float, start: int, kept: Path) -> None:
    """Let atheris choose what to mutate, by the code that it reaches."""
    import atheris

    with atheris.instrument_imports(include=["audit_pipeline.load", "pydicom"]):
        from tests.fuzz.targets import TARGETS
    target, findings = TARGETS[name], Findings(kept)
    corpus = kept / "corpus"
    corpus.mkdir(exist_ok=True)
    for number, content in enumerate(target.seeds().values()):
        (corpus / f"seed{number}").write_bytes(content)
    confine()
    folder = Path(tempfile.mkdtemp(prefix="QFOLDERQ")) / "FOLDERQ"

    def one(data: bytes) -> None:
        findings.judge(target.one, data, folder)
        if sum(findings.ends.values()) % 50 == 0:
            findings.report()

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        try:
            return target.mutate(rng, data)[:most] if rng.random() < 0.7 else atheris.Mutate(data, most)
        except Exception:  # noqa: BLE001 - what is no longer well-formed is mutated byte by byte
            return atheris.Mutate(data, most)

    options = [f"-max_total_time={seconds:.0f}", "-timeout=30", "-rss_limit_mb=0", "-max_len=65536", "-close_fd_mask=0"]
    options += [f"-artifact_prefix={kept}/", f"-seed={start + 1}", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one, custom_mutator=mutate)
    atheris.Fuzz()


def main() -> int:
    """Run one target in a process of its own, again after each death, and tell what came of it."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    asked.add_argument("--target", default="all")
    asked.add_argument("--seconds", type=float, default=60)
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--guided", action="store_true")
    asked.add_argument("--kept", type=Path, default=Path(tempfile.gettempdir()) / "fuzz")
    asked.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = asked.parse_args()
    if given.child:
        (guided if given.guided else plain)(given.target, given.seconds, given.seed, given.kept)
        return 0
    from tests.fuzz.targets import TARGETS

    names = list(TARGETS) if given.target == "all" else [given.target]
    return max(_supervised(name, given) for name in names)


def _supervised(name: str, given: argparse.Namespace) -> int:
    kept = given.kept / f"{name}{'-guided' if given.guided else ''}"
    end, seed = time.monotonic() + given.seconds, given.seed
    ends: Counter[str] = Counter()
    while (left := end - time.monotonic()) > 1:
        command = [sys.executable, "-m", "tests.fuzz.run", "--child", "--target", name, "--kept", str(kept)]
        command += ["--seconds", str(left), "--seed", str(seed), *(["--guided"] if given.guided else [])]
        kept.mkdir(parents=True, exist_ok=True)
        (kept / "counts.json").unlink(missing_ok=True)
        with (kept / "log").open("ab") as log:
            try:
                ended = subprocess.run(command, stdout=log, stderr=log, timeout=left + 60, check=False).returncode
            except subprocess.TimeoutExpired:
                ended = -9
        if (kept / "counts.json").exists():
            ends.update(json.loads((kept / "counts.json").read_text(encoding="utf-8")))
        if ended:
            # what it was reading is the reason, and the next process goes on behind it
            ends[f"DEFECT process ended with {ended}"] += 1
            (kept / "current").replace(kept / f"death-{seed}.bin")
        seed += 1_000_003
    total = sum(ends.values())
    told = [f"{name}{' guided' if given.guided else ''}: {total} inputs in {given.seconds:.0f} s, kept in {kept}"]
    told += [f"  {count:8d}  {end_word}" for end_word, count in ends.most_common()]
    sys.stdout.write("\n".join(told) + "\n")
    return int(any(one.startswith("DEFECT") for one in ends))


if __name__ == "__main__":
    sys.exit(main())
