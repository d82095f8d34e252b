"""The pixels of a page: anatomy and evidence as separate pictures, each once, as large as the size of the file allows.

Figures refer to a picture by its name while the page is written; how many pixels it gets is known only at the end.
"""

from __future__ import annotations

import base64
import hashlib
import io
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup
from PIL import Image as Picture

from audit_pipeline.errors import ReportError
from audit_pipeline.records import Panel
from audit_pipeline.report import overlay
from audit_pipeline.report.aside import Put, held
from audit_pipeline.report.figures import Layer, Look, extent
from audit_pipeline.report.html_elements import tag

SAMPLE_SIDE, SMALLEST_SIDE = 192, 48
SHRINK = 0.85
SYMBOL_BYTES = 300
"""Of the elements around a picture; its text is a third larger than its bytes."""

Encode = Callable[[tuple[int, int]], bytes]
"""From height and width in pixels to a PNG or JPEG file."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    name: str
    size: tuple[float, float]
    encode: Encode
    most: int | None = None


@dataclass(slots=True)
class Layers:
    """The pictures of one page.

    Attributes
    ----------
    most_bytes : of the page, where pictures of `SMALLEST_SIDE` allow it
    largest_side : in pixels, of the longer side of a picture
    quality : of JPEG files of the slices, where many small ones stand on a page; None keeps every grey level
    cell_pixels : across a cell of a map's grid, more of which show nothing new; None for as many as a slice has
    put : keeps the pixels until the page is written
    """

    most_bytes: int
    largest_side: int
    quality: int | None = None
    cell_pixels: int | None = None
    put: Put = held
    wanted: dict[str, _Wanted] = field(default_factory=dict)
    lines: int = 0

    def line(self) -> str:
        """Return a name that no other line of the page has."""
        self.lines += 1
        return f"line-{self.lines}"

    def anatomy(self, panel: Panel, look: Look, *, is_grey: bool = True) -> str:
        """Return the name of the slice alone; a colour image is grey below a map."""
        values, window = panel.anatomy, look.window
        is_colour = values.ndim == 3 and not is_grey
        levels = overlay.colour_levels if is_colour else overlay.grey_levels
        key = f"{_digest(values)} {values.shape} {extent(panel)} {window} {is_colour}"

        kept = self.put(values)

        def encode(shape: tuple[int, int]) -> bytes:
            pixels = levels(kept(), window, shape)
            return overlay.png(pixels) if self.quality is None else jpeg(pixels, self.quality)

        return self._named("raw", key, extent(panel), encode)

    def evidence(self, panel: Panel, layer: Layer, look: Look) -> str:
        """Return the name of the map alone: the more evidence, the less transparent.

        Raises
        ------
        ReportError
            Anatomy and map do not lie on the same pixels.
        """
        values = panel.maps[layer.method]
        if values.shape != panel.anatomy.shape[:2]:
            raise ReportError(
                f"anatomy and map must lie on the same pixels, found {panel.anatomy.shape[:2]} and {values.shape}"
            )
        key = f"{_digest(values)} {values.shape} {extent(panel)} {layer.scale_max} {layer.is_signed} {look.colour_map}"

        kept = self.put(values)

        def encode(shape: tuple[int, int]) -> bytes:
            share = overlay.evidence_share(kept(), layer.scale_max, shape, is_signed=layer.is_signed)
            return indexed_png(share, look.colour_map, is_signed=layer.is_signed)

        return self._named("map", key, extent(panel), encode, self._most(panel))

    def _most(self, panel: Panel) -> int | None:
        """Return the pixels along the longer side of a map beyond which its cells show nothing new."""
        if self.cell_pixels is None or panel.cell_mm is None or panel.pixel_mm is None or min(panel.cell_mm) <= 0:
            return None
        sizes = zip(panel.anatomy.shape[:2], panel.pixel_mm, panel.cell_mm, strict=True)
        cells = max(float(count * pixel / cell) for count, pixel, cell in sizes)
        return math.ceil(self.cell_pixels * cells)

    def strip(self, layer: Layer, look: Look) -> str:
        """Return the name of the colours from the first to the last value of a scale."""
        share = np.linspace(-1 if layer.is_signed else 0, 1, 256, dtype=np.float32)[None]
        png = indexed_png(share, look.colour_map, is_signed=layer.is_signed)
        return self._named("strip", f"{look.colour_map} {layer.is_signed}", (0.0, 0.0), lambda _shape: png)

    def _named(self, kind: str, key: str, size: tuple[float, float], encode: Encode, most: int | None = None) -> str:
        full = f"{kind} {key}"
        if full not in self.wanted:
            self.wanted[full] = _Wanted(f"{kind}-{len(self.wanted)}", size, encode, most)
        return self.wanted[full].name

    def definitions(self, taken: int = 0) -> Markup:
        """Return the element that holds every picture, for `use` elements with the names handed out.

        taken : bytes of the page without its pictures
        """
        wanted = list(self.wanted.values())
        room = max(0.0, (self.most_bytes - taken - SYMBOL_BYTES * len(wanted)) * 3 / 4)
        side = self._side(wanted, room)
        drawn = _encoded(wanted, side)
        while sum(len(one) for one in drawn) > room and side > SMALLEST_SIDE:
            side = max(SMALLEST_SIDE, int(side * SHRINK))
            drawn = _encoded(wanted, side)
        symbols = [_symbol(one.name, content) for one, content in zip(wanted, drawn, strict=True)]
        return tag("svg", *symbols, class_="store", width=0, height=0, aria_hidden="true", focusable="false")

    def _side(self, wanted: list[_Wanted], room: float) -> int:
        """Return the longer side in pixels at which the files should fit, judged from the first of each kind."""
        expected = 0.0
        for kind in ("raw", "map"):
            alike = [one for one in wanted if one.name.startswith(kind)]
            if alike:
                expected += len(alike) * len(_encoded(alike[:1], SAMPLE_SIDE)[0])
        fitting = SAMPLE_SIDE * (0.95 * room / expected) ** 0.5 if expected else self.largest_side
        return int(min(self.largest_side, max(SMALLEST_SIDE, fitting)))


def _encoded(wanted: list[_Wanted], side: int) -> list[bytes]:
    return [one.encode(_shape(one.size, side if one.most is None else min(side, one.most))) for one in wanted]


def _shape(size: tuple[float, float], side: int) -> tuple[int, int]:
    longest = max(size) or 1.0
    return max(1, round(size[0] / longest * side)), max(1, round(size[1] / longest * side))


def _digest(values: np.ndarray) -> str:
    return hashlib.blake2b(np.ascontiguousarray(values).tobytes(), digest_size=16).hexdigest()


def jpeg(levels: overlay.Bytes, quality: int) -> bytes:
    """Return grey or colour levels as a JPEG file whose colours are as fine as its greys."""
    target = io.BytesIO()
    Picture.fromarray(levels).save(target, "JPEG", quality=quality, subsampling=0, optimize=True)
    return target.getvalue()


def _symbol(name: str, content: bytes) -> Markup:
    with Picture.open(io.BytesIO(content)) as picture_file:
        (width, height), kind = picture_file.size, str(picture_file.format).lower()
    source = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    picture = tag("image", width=width, height=height, preserveAspectRatio="none", href=Markup(source))  # noqa: S704 - base64
    return tag("symbol", picture, id=name, viewBox=f"0 0 {width} {height}", preserveAspectRatio="none")


def indexed_png(share: overlay.Floats, colour_map: str, *, is_signed: bool = False) -> bytes:
    """Return shares of a scale as a PNG file whose 256 colours grow from transparent to opaque.

    Blended over grey with the opacity of the report this gives the pixels of `overlay.overlay` within a grey level.
    """
    index = overlay.colour_index(share, is_signed=is_signed).astype(np.uint8)
    table = overlay.colour_table(overlay.SIGNED_COLOURS if is_signed else colour_map)
    levels = np.arange(256)
    alpha = np.where(abs(levels - 127.5) < 1, 0, abs(2 * levels - 255)) if is_signed else levels
    picture = Picture.fromarray(index)
    picture.putpalette(table.tobytes())
    target = io.BytesIO()
    picture.save(target, "PNG", transparency=bytes(alpha.astype(np.uint8)), compress_level=6)
    return target.getvalue()
