"""Compressed frames are decoded in other processes: a codec that crashes, hangs or eats memory costs one study.

The codecs are C libraries that read untrusted bytes. Each process runs `codec_worker` with nothing but a pipe; what
comes back is checked against what was announced before it is used.
"""

from __future__ import annotations

import atexit
import json
import math
import os
import queue
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit_pipeline.errors import PixelDataError

FRAME_SECONDS = 60.0
"""A frame that takes longer is refused; the slowest honest one, 64 megapixels of JPEG 2000, takes about 15 s."""
FRAMES_PER_WORKER = 20_000
_DTYPES = frozenset(("|u1", "|i1", "<u2", "<i2", "<u4", "<i4"))
_WORKER = Path(__file__).with_name("codec_worker.py")


@dataclass(frozen=True, kw_only=True, slots=True)
class CompressedFrame:
    """One compressed frame and what it must become.

    family : "jpeg", "jpeg_ls", "jpeg_2000", "htj2k" or "rle"
    expected_bytes, dtype : of all samples and of one; only RLE needs to be told
    colour_space : what a lossy JPEG holds, "RGB" or "YCBCR"; None for grey and for lossless colour
    """

    family: str
    content: bytes
    expected_bytes: int
    dtype: str
    colour_space: str | None = None

    def request(self) -> bytes:
        """Return the head of the request."""
        head = {
            "family": self.family,
            "bytes": len(self.content),
            "dtype": self.dtype,
            "expected": self.expected_bytes,
            "colour_space": self.colour_space,
        }
        return json.dumps(head).encode() + b"\n"


class Worker:
    """One decoding process, started at once and ended by `close`."""

    def __init__(self) -> None:
        # -I: neither the working directory nor the user's site packages can put code in its way
        self._process = subprocess.Popen(  # noqa: S603 - a program of this package, on no shell
            [sys.executable, "-I", str(_WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        self.frames = 0

    def decode(self, frame: CompressedFrame, most_bytes: int, seconds: float) -> NDArray[Any]:
        """Return the samples of `frame`, at most `most_bytes` of them.

        Raises
        ------
        PixelDataError
            The codec refuses the frame, takes longer than `seconds`, ends, or answers nonsense.
        """
        self.frames += 1
        expired = threading.Event()
        timer = threading.Timer(seconds, self._expire, [expired])
        timer.start()
        try:
            head, samples = self._exchange(frame, most_bytes)
        except (OSError, EOFError, ValueError) as error:
            self.close()
            reason = f"took longer than {seconds:g} s" if expired.is_set() else "ended while it read them"
            raise PixelDataError(
                f"the compressed pixels are damaged or hostile: their decoder {reason}; transfer the file again"
            ) from error
        finally:
            timer.cancel()
        if "error" in head:
            raise PixelDataError(
                "the compressed pixels are damaged, their decoder refuses them; transfer the file again"
            )
        return np.frombuffer(samples, dtype=head["dtype"]).reshape(head["shape"])

    def _expire(self, expired: threading.Event) -> None:
        expired.set()
        self._process.kill()

    def _exchange(self, frame: CompressedFrame, most_bytes: int) -> tuple[dict[str, Any], bytes]:
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None
        assert answers is not None
        requests.write(frame.request())
        requests.write(frame.content)
        requests.flush()
        line = answers.readline(4096)
        if not line.endswith(b"\n"):
            raise EOFError
        head = json.loads(line)
        if "error" in head:
            return head, b""
        size = np.dtype(head["dtype"]).itemsize * math.prod(head["shape"])
        if head["dtype"] not in _DTYPES or not 0 < size <= most_bytes:
            raise ValueError
        samples = answers.read(size)
        if len(samples) < size:
            raise EOFError
        return head, samples

    @property
    def is_alive(self) -> bool:
        """Whether the process can take another frame."""
        return self._process.poll() is None and self.frames < FRAMES_PER_WORKER

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue
        self._process.wait()


class CodecPool:
    """Decoding processes that are started when needed and kept; as many at once as threads ask for a frame."""

    def __init__(self) -> None:
        self._idle: queue.LifoQueue[Worker] = queue.LifoQueue()
        self._owner = os.getpid()

    def decode(self, frame: CompressedFrame, most_bytes: int, seconds: float = FRAME_SECONDS) -> NDArray[Any]:
        """Return the samples of `frame`; see `Worker.decode`."""
        worker = self._borrow()
        try:
            return worker.decode(frame, most_bytes, seconds)
        finally:
            if worker.is_alive:
                self._idle.put(worker)
            else:
                worker.close()

    def _borrow(self) -> Worker:
        if self._owner != os.getpid():
            # a forked copy of this process must not talk into the pipes of its parent
            self._idle, self._owner = queue.LifoQueue(), os.getpid()
        while True:
            try:
                worker = self._idle.get_nowait()
            except queue.Empty:
                return Worker()
            if worker.is_alive:
                return worker
            worker.close()

    def close(self) -> None:
        """End every idle process."""
        while self._owner == os.getpid() and not self._idle.empty():
            self._idle.get_nowait().close()


POOL = CodecPool()
"""The decoding processes of this program."""
atexit.register(POOL.close)
