"""The program that decodes compressed frames: run by `codec_pool` in a process of its own, never imported by it.

It reads requests from standard input and writes answers to standard output. A request is a line of JSON with
``number``, ``family`` (see `DECODERS`), ``bytes`` (length of the frame), and for RLE ``dtype``, followed by the frame.
An answer is a line of JSON with the same ``number``, ``dtype`` and ``shape``, followed by the samples in C order, or
with ``error``. Nothing else passes, so that the worst a frame can do is to give wrong samples or to end this process.

The process gives up what it does not need: opening files, writing to them, core dumps and memory beyond a limit (POSIX,
setrlimit).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
from numpy.typing import NDArray

MEMORY_BYTES = 6 * 2**30
"""What decoding may ask for beyond what the process holds at its start."""


def _jpeg(frame: bytes, request: dict[str, Any]) -> NDArray[Any]:
    """Return samples of a baseline, extended or lossless JPEG; lossy colour arrives as RGB."""
    space = request.get("colour_space")
    if space is None:
        return np.asarray(imagecodecs.jpeg8_decode(frame))
    return np.asarray(imagecodecs.jpeg8_decode(frame, colorspace=space, outcolorspace="RGB"))


def _rle(frame: bytes, request: dict[str, Any]) -> NDArray[Any]:
    """Return the samples of a run-length coded frame, plane by plane (PS3.5, annex G)."""
    kind = np.dtype(request["dtype"])
    room = bytearray(int(request["expected"]))
    return np.frombuffer(imagecodecs.dicomrle_decode(frame, kind, out=room), dtype=kind)


DECODERS: dict[str, Callable[[bytes, dict[str, Any]], NDArray[Any]]] = {
    "jpeg": _jpeg,
    "jpeg_ls": lambda frame, _: np.asarray(imagecodecs.jpegls_decode(frame)),
    "jpeg_2000": lambda frame, _: np.asarray(imagecodecs.jpeg2k_decode(frame, numthreads=1)),
    "htj2k": lambda frame, _: np.asarray(imagecodecs.htj2k_decode(frame)),
    "rle": _rle,
}


def confine() -> None:
    """Give up new files, core dumps and unlimited memory; does nothing where the system has no such limits.

    A limit that holds already is never raised, which the system would refuse.
    """
    try:
        import resource
    except ImportError:
        return
    try:
        held = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    except OSError:
        held = 0
    wanted = {
        resource.RLIMIT_AS: held + MEMORY_BYTES,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: 0,
    }
    for kind, most in wanted.items():
        hard = resource.getrlimit(kind)[1]
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (least, least))


def answer(request: dict[str, Any], frame: bytes) -> tuple[dict[str, Any], bytes | memoryview]:
    """Return the answer to one request: its head, and the samples."""
    try:
        samples = np.ascontiguousarray(DECODERS[request["family"]](frame, request))
    except Exception as error:  # noqa: BLE001 - whatever a codec raises is told to the caller
        return {"error": type(error).__name__}, b""
    return {"dtype": samples.dtype.str, "shape": samples.shape}, samples.view(np.uint8).reshape(-1).data


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more."""
    while line := requests.readline():
        request = json.loads(line)
        head, samples = answer(request, requests.read(request["bytes"]))
        answers.write(json.dumps({"number": request["number"], **head}).encode() + b"\n")
        answers.write(samples)
        answers.flush()


if __name__ == "__main__":
    # the codecs are loaded before the limits hold
    for _codec in ("jpeg8_decode", "jpegls_decode", "jpeg2k_decode", "htj2k_decode", "dicomrle_decode"):
        getattr(imagecodecs, _codec)
    confine()
    serve(sys.stdin.buffer, sys.stdout.buffer)
