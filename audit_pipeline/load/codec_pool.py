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

START_SECONDS, SECONDS_PER_MEGAPIXEL, MOST_SECONDS = 10.0, 1.0, 90.0
"""A frame that takes longer is refused; the slowest honest ones, of JPEG 2000, take about 0.25 s a megapixel."""
FRAMES_PER_WORKER = 20_000
_DTYPES = frozenset(("|u1", "|i1", "<u2", "<i2", "<u4", "<i4"))
_WORKER = Path(__file__).with_name("codec_worker.py")
_THREADS = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
# where an interpreter finds its own libraries; keys, tokens and names in the environment stay here
_PASSED_ON = ("PATH", "LANG", "SYSTEMROOT", "LD_LIBRARY_PATH")


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

    def request(self, number: int) -> bytes:
        """Return the head of the request; its answer must carry the same number."""
        head = {
            "number": number,
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
            env={**{name: os.environ[name] for name in _PASSED_ON if name in os.environ}, **_THREADS},
        )
        self.frames = 0
        self.has_died = False

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
        timer.daemon = True
        timer.start()
        try:
            samples = self._exchange(frame, most_bytes)
        except Exception as error:
            self.close()
            self.has_died = not expired.is_set()
            reason = "ended while it read them" if self.has_died else f"took longer than {seconds:g} s"
            raise PixelDataError(
                f"the compressed pixels are damaged or hostile: their decoder {reason}; transfer the file again"
            ) from error
        except BaseException:
            # an interrupted call leaves an answer in the pipe, which the next frame must never get
            self.close()
            raise
        finally:
            timer.cancel()
        if samples is None:
            raise PixelDataError(
                "the compressed pixels are damaged, their decoder refuses them; transfer the file again"
            )
        return samples

    def _expire(self, expired: threading.Event) -> None:
        expired.set()
        self._process.kill()

    def _exchange(self, frame: CompressedFrame, most_bytes: int) -> NDArray[Any] | None:
        """Return the samples that the process answers, None when its codec refuses the frame."""
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None
        assert answers is not None
        requests.write(frame.request(self.frames))
        requests.write(frame.content)
        requests.flush()
        line = answers.readline(4096)
        if not line.endswith(b"\n"):
            raise EOFError
        head = json.loads(line)
        if head["number"] != self.frames:
            raise ValueError
        if "error" in head:
            return None
        dtype, shape = _announced(head, most_bytes)
        size = dtype.itemsize * math.prod(shape)
        samples = answers.read(size)
        if len(samples) < size:
            raise EOFError
        return np.frombuffer(samples, dtype=dtype).reshape(shape)

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


def _announced(head: dict[str, Any], most_bytes: int) -> tuple[np.dtype[Any], list[int]]:
    """Return type and shape of the samples that follow the head of an answer; ``ValueError`` unless both may be."""
    dtype, shape = head["dtype"], head["shape"]
    # `type` and not `isinstance`: true is no size
    if dtype not in _DTYPES or not isinstance(shape, list) or not shape:
        raise ValueError
    if not all(type(size) is int and size > 0 for size in shape):
        raise ValueError
    kind = np.dtype(dtype)
    if kind.itemsize * math.prod(shape) > most_bytes:
        raise ValueError
    return kind, shape


def seconds_for(pixels: int) -> float:
    """Return how long the decoding of a frame of so many pixels may take, the start of the process included."""
    return min(START_SECONDS + SECONDS_PER_MEGAPIXEL * pixels / 1e6, MOST_SECONDS)


class CodecPool:
    """Decoding processes that are started when needed and kept; as many at once as threads ask for a frame."""

    def __init__(self) -> None:
        self._idle: queue.LifoQueue[Worker] = queue.LifoQueue()
        self._owner = os.getpid()

    def decode(self, frame: CompressedFrame, most_bytes: int, seconds: float = MOST_SECONDS) -> NDArray[Any]:
        """Return the samples of `frame`; see `Worker.decode`.

        A process that was used before and dies on this frame may have been killed, or spoilt by an earlier one: the
        frame gets a second, fresh one.
        """
        worker = self._borrow()
        is_reused = worker.frames > 0
        try:
            return self._decode(worker, frame, most_bytes, seconds)
        except PixelDataError:
            if not (is_reused and worker.has_died):
                raise
        return self._decode(Worker(), frame, most_bytes, seconds)

    def _decode(self, worker: Worker, frame: CompressedFrame, most_bytes: int, seconds: float) -> NDArray[Any]:
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
