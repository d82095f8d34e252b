"""Whether two images are the same (A23): a digest of the pixels, a perceptual hash, and a likeness that confirms it.

Nothing here is reported per study, since a duplicate needs a second one: the cohort compares the prints of its studies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.fft import dctn
from scipy.ndimage import uniform_filter

from audit_pipeline.checks.map_measures import resampled
from audit_pipeline.checks.source_slices import grey_of
from audit_pipeline.geometry import closest_axes
from audit_pipeline.records import Floats, Image, Matrix, sealed

NEAR_BITS, NEAR_LIKENESS = 4, 0.95
"""Catalogue, A23: at most so many of 64 bits differ, and the structural similarity confirms it."""

EDGE = {2: 32, 3: 16}
LOW = {2: 8, 3: 4}
"""Cells per axis of the thumbnail, and low frequencies per axis of which the hash is made: 64 bits in all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelPrint:
    """What an image is recognised by.

    digest : SHA-256 of shape and values along the patient's axes; equal for the same pixels under other headers
    bits : the 64-bit perceptual hash; thumbnail : block means in 0 to 1, (32, 32) or (16, 16, 16) float32
    """

    digest: str
    bits: int
    thumbnail: Floats


def print_of(image: Image) -> PixelPrint:
    """Return the print of an image."""
    oriented = canonical(image)
    small = thumbnail(oriented)
    return PixelPrint(digest=pixel_digest(oriented), bits=perceptual_hash(small), thumbnail=sealed(small))


def canonical(image: Image) -> Floats:
    """Return the grey values with axes toward Head, Posterior and Left where the position is known, else as stored."""
    grey = grey_of(image)
    if grey.ndim != 3 or image.affine is None:
        return grey
    axes = closest_axes(image.affine)
    order = [next(place for place, (world, _) in enumerate(axes) if world == wanted) for wanted in (2, 1, 0)]
    turned = tuple(slice(None, None, axes[place][1]) for place in order)
    return np.asarray(grey.transpose(order)[turned])


def pixel_digest(values: Floats) -> str:
    """Return the SHA-256 of the shape and the values as little-endian float32, -0 counted as 0."""
    plain = np.ascontiguousarray(values + np.float32(0), dtype="<f4")
    return hashlib.sha256(str(plain.shape).encode() + plain.tobytes()).hexdigest()


def thumbnail(values: Floats) -> Floats:
    """Return block means on 32 x 32 or 16 x 16 x 16 cells, from the 1st to the 99th percentile scaled to 0 to 1."""
    edge = EDGE[values.ndim]
    small = np.nan_to_num(values.astype(np.float64))
    for axis in range(values.ndim):
        small = _block_means(small, axis, edge)
    low, high = (float(level) for level in np.percentile(small, (1, 99)))
    return np.asarray(np.clip((small - low) / (high - low), 0, 1) if high > low else 0 * small, dtype=np.float32)


def _block_means(values: Matrix, axis: int, count: int) -> Matrix:
    size = values.shape[axis]
    if size < count:
        shape = [count if place == axis else other for place, other in enumerate(values.shape)]
        return resampled(values, shape)
    starts = np.floor(np.arange(count) * size / count).astype(int)
    widths = np.diff(np.append(starts, size))
    sums = np.add.reduceat(values, starts, axis=axis)
    return np.asarray(sums / widths.reshape([-1 if place == axis else 1 for place in range(values.ndim)]))


def perceptual_hash(small: Floats) -> int:
    """Return 64 bits: which low frequencies of the cosine transform lie above their median, the mean left out of it.

    References
    ----------
    C. Zauner, Implementation and benchmarking of perceptual image hash functions, 2010 (the DCT-based hash).
    """
    low = dctn(small.astype(np.float64), norm="ortho")[tuple(slice(0, LOW[small.ndim]) for _ in small.shape)].ravel()
    above = low > np.median(low[1:])
    return int(sum(1 << place for place, one in enumerate(above.tolist()) if one))


def hamming(one: int, other: int) -> int:
    """Return how many bits differ.

    >>> hamming(0b1011, 0b0010)
    2
    """
    return (one ^ other).bit_count()


def likeness(one: Floats, other: Floats) -> float:
    """Return the mean structural similarity of two thumbnails in 0 to 1, windows of seven (2D) or five (3D) cells.

    References
    ----------
    Z. Wang et al., Image quality assessment, 2004, doi:10.1109/TIP.2003.819861.
    """
    if one.shape != other.shape:
        return 0.0
    width = 7 if one.ndim == 2 else 5
    first, second = one.astype(np.float64), other.astype(np.float64)
    means = uniform_filter(first, width), uniform_filter(second, width)
    spread = [uniform_filter(raw * raw, width) - mean * mean for raw, mean in zip((first, second), means, strict=True)]
    both = uniform_filter(first * second, width) - means[0] * means[1]
    c1, c2 = 0.01**2, 0.03**2
    similar = (2 * means[0] * means[1] + c1) * (2 * both + c2)
    similar /= (means[0] ** 2 + means[1] ** 2 + c1) * (spread[0] + spread[1] + c2)
    return float(similar.mean())


def is_near(one: PixelPrint, other: PixelPrint, *, bits: int = NEAR_BITS, least: float = NEAR_LIKENESS) -> bool:
    """Tell whether two prints are of the same image, pixel by pixel or nearly."""
    if one.digest == other.digest:
        return True
    return hamming(one.bits, other.bits) <= bits and likeness(one.thumbnail, other.thumbnail) >= least


def duplicates(prints: Sequence[PixelPrint]) -> tuple[tuple[int, int], ...]:
    """Return the pairs of indices whose prints are of the same image, the lower index first."""
    return tuple(
        (one, other)
        for one in range(len(prints))
        for other in range(one + 1, len(prints))
        if is_near(prints[one], prints[other])
    )
