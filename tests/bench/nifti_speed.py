"""How fast NIfTI files load, beside nibabel in one process: ``python tests/bench/nifti_speed.py``.

The volume looks like a head to the compressor: smooth tissue with noise inside, weak noise in the air around. The
readers take turns, so that a busy machine slows them alike; the median of each is compared. Ours does more: it hashes
the file twice (pseudonym and provenance), verifies every checksum to the end of the stream, checks the header, and ends
with float32; nibabel's array of an uncompressed file is a memory map that has read nothing yet.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import nibabel
import numpy as np
from scipy import ndimage

from audit_pipeline.load import deliver, find_studies

# tests run this file from elsewhere
sys.path.insert(0, str(Path(__file__).parent))
from timing import medians_s, peak_factor, print_table

SHAPE = (256, 256, 180)
ROUNDS = 9


def head_like(shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Return an (i, j, k) int16 volume of smooth tissue and noise."""
    random = np.random.default_rng(0)
    axes = np.meshgrid(*(np.linspace(-1, 1, size, dtype=np.float32) for size in shape), indexing="ij", sparse=True)
    radius = np.sqrt((axes[0] / 0.7) ** 2 + (axes[1] / 0.85) ** 2 + (axes[2] / 0.75) ** 2)
    coarse = random.normal(size=tuple(max(2, size // 10) for size in shape)).astype(np.float32)
    lumps = ndimage.zoom(coarse, [size / small for size, small in zip(shape, coarse.shape, strict=True)], order=1)
    tissue = (radius < 1) * (600 + 150 * lumps + 80 * np.cos(9 * radius) + random.normal(0, 12, shape))
    return np.rint(tissue + np.abs(random.normal(0, 4, shape))).astype(np.int16)


def write(path: Path, values: np.ndarray) -> Path:
    """Write a volume of 1 x 1 x 1.2 mm in millimetres."""
    image = nibabel.Nifti1Image(values, np.diag([1.0, 1.0, 1.2, 1.0]))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path


def ours(path: Path) -> None:
    """Find and deliver, as the product does."""
    assert deliver(find_studies([path])[0]).study is not None


def digest_twice(path: Path) -> None:
    """What of `ours` is hashing."""
    for _ in range(2):
        hashlib.sha256(path.read_bytes()).digest()


READERS: dict[str, Callable[[Path], object]] = {
    "ours": ours,
    "of it SHA-256": digest_twice,
    "nibabel dataobj": lambda path: np.asanyarray(nibabel.load(path).dataobj),
    "nibabel get_fdata float32": lambda path: nibabel.load(path).get_fdata(dtype=np.float32),
}


def main() -> None:
    """Measure, and print the table."""
    with tempfile.TemporaryDirectory() as folder:
        values = head_like()
        cube = head_like((256, 256, 256))
        for suffix in (".nii.gz", ".nii"):
            path = write(Path(folder, f"head{suffix}"), values)
            times = medians_s({name: partial(read, path) for name, read in READERS.items()}, ROUNDS)
            title = f"{suffix}: {values.shape} int16, {path.stat().st_size / 1e6:.1f} MB of file"
            print_table(title, times, values.nbytes / 1e6)
            small = write(Path(folder, f"small{suffix}"), values[:8, :8, :8])
            factor = peak_factor(str(write(Path(folder, f"cube{suffix}"), cube)), str(small))
            sys.stdout.write(f"  peak memory of a 256 x 256 x 256 volume: {factor:.2f} x its float32 values\n")


if __name__ == "__main__":
    main()
