"""Slice and map to coloured pixels: pure functions on arrays, nothing here scales a map by its own extremes.

Both arrays lie on the same pixels. Pixel centres follow the half-pixel rule, so a fine image covers exactly the field
of the coarse one: anatomy is resampled with a Lanczos kernel (area averages when it shrinks), the map linearly.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import matplotlib as mpl
import numpy as np
from contourpy import LineType, contour_generator
from numpy.typing import NDArray

from audit_pipeline.errors import ReportError

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

SIGNED_COLOURS = "coolwarm"
"""Colours of a signed scale: blue speaks against the class, red for it; the middle is never seen, it is transparent."""

LABEL_SCALE = 0.4
"""Of the font of OpenCV, whose capitals are 21 pixels tall at 1."""

LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the grey picture under a map: ITU-R BT.601, section 2.5.1."""


@lru_cache(maxsize=8)
def colour_table(name: str) -> Bytes:
    """Return the 256 colours of a named colour map, (256, 3) uint8, from zero to the strongest evidence."""
    table = np.asarray(mpl.colormaps[name](np.arange(256), bytes=True))[:, :3].astype(np.uint8)
    table.setflags(write=False)
    return table


def grey_levels(anatomy: Floats, window: tuple[float, float], shape: tuple[int, int]) -> Bytes:
    """Return the anatomy in grey, black at the bottom of the window and white at its top.

    Parameters
    ----------
    anatomy : (h, w) in source units, or (h, w, 3) red, green, blue, shown by its luminance
    window : (low, high) in the unit of `anatomy`
    shape : (H, W) of the result

    Raises
    ------
    ReportError
        The window is empty or not finite.
    """
    low, high = window
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ReportError(f"a display window needs a finite low end below its high end, found {low:g} to {high:g}")
    plane = np.asarray(anatomy, dtype=np.float32)
    if plane.ndim == 3:
        plane = plane @ np.asarray(LUMINANCE, dtype=np.float32)
    plane = np.nan_to_num(plane, nan=low, posinf=high, neginf=low)
    shown = np.clip((plane - low) / (high - low), 0, 1).astype(np.float32)
    return np.rint(255 * np.clip(_resampled(shown, shape), 0, 1)).astype(np.uint8)


def colour_levels(anatomy: Floats, window: tuple[float, float], shape: tuple[int, int]) -> Bytes:
    """Return a colour image (h, w, 3) on `shape`, each channel through the window."""
    return np.stack([grey_levels(anatomy[..., channel], window, shape) for channel in range(3)], axis=-1)


def _resampled(plane: Floats, shape: tuple[int, int]) -> Floats:
    shrinks = shape[0] < plane.shape[0] or shape[1] < plane.shape[1]
    kernel = cv2.INTER_AREA if shrinks else cv2.INTER_LANCZOS4
    return np.asarray(cv2.resize(np.ascontiguousarray(plane), shape[::-1], interpolation=kernel), dtype=np.float32)


def evidence_share(map_values: Floats, scale_max: float, shape: tuple[int, int], *, is_signed: bool = False) -> Floats:
    """Return the positive part of the map over `scale_max`, clipped to 0 ... 1, on `shape`; to -1 ... 1 when signed.

    A `scale_max` of zero or below means that no evidence exists: the result is zero everywhere.
    """
    if not np.isfinite(scale_max) or scale_max <= 0:
        return np.zeros(shape, dtype=np.float32)
    finite = np.nan_to_num(np.asarray(map_values, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    fine = cv2.resize(np.ascontiguousarray(finite), shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(fine / np.float32(scale_max), -1 if is_signed else 0, 1), dtype=np.float32)


def colour_index(share: Floats, *, is_signed: bool = False) -> NDArray[np.intp]:
    """Return the entry of the colour table for each share of the scale: 0 ... 1, or -1 ... 1 when it is signed."""
    return np.rint(127.5 * (1 + share) if is_signed else 255 * share).astype(np.intp)


def overlay(
    anatomy: Floats,
    map_values: Floats,
    *,
    window: tuple[float, float],
    scale_max: float,
    is_signed: bool = False,
    colour_map: str = "inferno",
    opacity: float = 0.55,
    shape: tuple[int, int] | None = None,
) -> Bytes:
    """Blend evidence over grey anatomy; where there is none the anatomy stays exactly grey.

    The colour of a pixel is the table entry of ``value / scale_max``, its opacity ``opacity * |value| / scale_max``.
    Only positive evidence is coloured, unless the scale is signed: then the table is `SIGNED_COLOURS`, from
    -`scale_max` to `scale_max`.

    Parameters
    ----------
    anatomy : (h, w) in source units, or (h, w, 3) colour
    map_values : (h, w) float32, raw and signed, on the same pixels
    window : (low, high) in the unit of the anatomy
    scale_max : map value that gets the last colour and the full opacity, in the map's unit
    is_signed : whether evidence against the class is coloured as well
    colour_map : name of a sequential colour table
    opacity : 0 ... 1
    shape : (H, W) of the result; the shape of the anatomy when None

    Returns
    -------
    (H, W, 3) uint8, red, green, blue

    Raises
    ------
    ReportError
        The shapes differ or the window is empty.
    """
    if anatomy.shape[:2] != map_values.shape:
        raise ReportError(
            f"anatomy and map must lie on the same pixels, found {anatomy.shape[:2]} and {map_values.shape}"
        )
    size = shape or (int(anatomy.shape[0]), int(anatomy.shape[1]))
    grey = grey_levels(anatomy, window, size)[..., None].astype(np.float32)
    share = evidence_share(map_values, scale_max, size, is_signed=is_signed)
    table = colour_table(SIGNED_COLOURS if is_signed else colour_map)
    colours = table[colour_index(share, is_signed=is_signed)].astype(np.float32)
    weight = (opacity * np.abs(share))[..., None]
    return np.asarray(np.rint(grey * (1 - weight) + colours * weight), dtype=np.uint8)


def colour_strip(
    colour_map: str, opacity: float, shape: tuple[int, int] = (24, 256), *, is_signed: bool = False
) -> Bytes:
    """Return the colours an overlay gives to values from 0 to its scale, or from minus to plus when it is signed.

    Over bright anatomy in the upper half, over dark anatomy in the lower one.
    """
    height, width = shape
    anatomy = np.repeat(np.asarray([0.85, 0.2], dtype=np.float32), height // 2)[:, None].repeat(width, axis=1)
    values = np.tile(np.linspace(-1 if is_signed else 0, 1, width, dtype=np.float32), (anatomy.shape[0], 1))
    return overlay(
        anatomy,
        values,
        window=(0.0, 1.0),
        scale_max=1.0,
        is_signed=is_signed,
        colour_map=colour_map,
        opacity=opacity,
    )


def contour_lines(map_values: Floats, level: float) -> list[NDArray[np.float64]]:
    """Return the lines along which the linearly interpolated map equals `level`.

    Returns
    -------
    Lines of (n, 2) points (row, column); 0 is the centre of the first pixel.
    """
    if min(map_values.shape) < 2:
        return []
    finite = np.nan_to_num(np.asarray(map_values, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    lines = contour_generator(z=finite, line_type=LineType.Separate).lines(level)
    return [np.asarray(line, dtype=np.float64)[:, ::-1] for line in lines]


def label_size(words: str) -> tuple[int, int]:
    """Return height and width in pixels of words that `labelled` writes, with the white around them."""
    (width, height), base = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, LABEL_SCALE, 1)
    return height + base + 4, width + 6


def labelled(pixels: Bytes, place: tuple[float, float], words: str) -> Bytes:
    """Return (h, w, 3) pixels with black words on white, their middle at `place` (row, column)."""
    height, width = label_size(words)
    top, left = round(place[0] - height / 2), round(place[1] - width / 2)
    (_, tall), _ = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, LABEL_SCALE, 1)
    drawn = np.array(pixels)
    drawn[max(0, top) : top + height, max(0, left) : left + width] = 255
    origin = (left + 3, top + 2 + tall)
    cv2.putText(drawn, words, origin, cv2.FONT_HERSHEY_SIMPLEX, LABEL_SCALE, (0, 0, 0), 1, cv2.LINE_AA)
    return drawn


def jpeg(pixels: Bytes, quality: int = 92) -> bytes:
    """Return (h, w) grey or (h, w, 3) colour pixels as a JPEG file with full colour resolution."""
    ordered = pixels if pixels.ndim == 2 else pixels[..., ::-1]
    settings = [
        cv2.IMWRITE_JPEG_QUALITY, quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]  # fmt: skip
    _, encoded = cv2.imencode(".jpg", np.ascontiguousarray(ordered), settings)
    return bytes(encoded.tobytes())


def png(pixels: Bytes) -> bytes:
    """Return (h, w) grey or (h, w, 3) colour pixels as a PNG file."""
    ordered = pixels if pixels.ndim == 2 else pixels[..., ::-1]
    _, encoded = cv2.imencode(".png", np.ascontiguousarray(ordered))
    return bytes(encoded.tobytes())
