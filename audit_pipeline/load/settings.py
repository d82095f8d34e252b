"""What a caller may choose about loading, and the limits that hold before any memory is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadSettings:
    """Choices and limits of the load stage; the defaults suit clinical images on a workstation.

    Attributes
    ----------
    volume : index of the volume to take from a NIfTI file of more than three dimensions, or of the picture to take
        from a DICOM loop; None refuses such files
    polarity : "display" shows MONOCHROME1 projection images with bright = dense, "stored" leaves them as they are
    gaps : "refuse" a stack with missing slices, or "fill" it with slices marked invalid
    prefer_affine : which NIfTI transform counts when both are set and differ; None refuses such files
    uneven : "refuse" slices on no even grid, or "resample" them linearly to the smallest step, marked as such
    suv : "body_weight" turns PET activity into the standardised uptake value or refuses; None leaves it
    part : which real part of complex voxels is taken; None refuses them
    selector_tags : keywords of header fields that only the choice among images may see, see `Image.selectors`
    workers : processes that decode compressed pixels; None takes one more than there are cores
    archive_members, archive_bytes : most files, and most bytes unpacked, of one archive
    file_bytes : largest file
    frame_pixels : most pixels of one slice
    voxels : most voxels of one volume
    series_files : most files of one series
    elements : most data elements of one DICOM header, those inside of sequences and their items included; values of
        eight bytes count too, and frames may have 512 more each
    header_bytes : most bytes of a DICOM file that are read before its pixels
    inflate_ratio, inflate_free_bytes, inflate_bytes : decompressed data may be `inflate_ratio` times as large as the
        file, or `inflate_free_bytes` if that is more, and never more than `inflate_bytes`
    """

    volume: int | None = None
    polarity: Literal["display", "stored"] = "display"
    gaps: Literal["refuse", "fill"] = "refuse"
    prefer_affine: Literal["sform", "qform"] | None = None
    uneven: Literal["refuse", "resample"] = "refuse"
    suv: Literal["body_weight"] | None = None
    part: Literal["real", "imaginary", "magnitude", "phase"] | None = None
    selector_tags: tuple[str, ...] = ()
    workers: int | None = None
    archive_members: int = 200_000
    archive_bytes: int = 64 * 2**30
    file_bytes: int = 4 * 2**30
    frame_pixels: int = 64 * 10**6
    voxels: int = 2 * 10**9
    series_files: int = 20_000
    elements: int = 65_536
    header_bytes: int = 64 * 2**20
    inflate_ratio: int = 200
    inflate_free_bytes: int = 64 * 2**20
    inflate_bytes: int = 2 * 2**30

    def inflated_limit(self, compressed_bytes: int) -> int:
        """Return how many bytes `compressed_bytes` may become."""
        return min(max(self.inflate_ratio * compressed_bytes, self.inflate_free_bytes), self.inflate_bytes)
