"""How fast DICOM series load, beside their usual readers in one process: ``python tests/bench/dicom_speed.py``.

The slices look like a chest to a compressor: smooth anatomy with the noise of a CT. Ours does more than the others:
it looks for studies, hashes every file, checks patient, geometry, dispositions and values, and delivers float32 HU.
SimpleITK names and reads the series; MONAI reads the folder with ITK and with pydicom; pydicom decodes each file with
its default plug-ins, sorts by position and rescales.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless

from audit_pipeline.inspection import inspect_paths
from audit_pipeline.load import deliver, find_studies

sys.path[:0] = [str(Path(__file__).parents[1] / "load"), str(Path(__file__).parent)]
from dicom_bench import Bench, put_pixels, save  # noqa: E402 - found by the line above
from timing import medians_s, peak_factor, print_table  # noqa: E402

ROUNDS = 7
NATIVE_SLICES, COMPRESSED_SLICES, SIDE = 200, 60, 512
INSPECTED_FILES, INSPECTED_SIDE = 5000, 256
ENCODERS: dict[str, tuple[str, Callable[[np.ndarray], bytes]]] = {
    "JPEG 2000": (
        JPEG2000Lossless,
        lambda stored: imagecodecs.jpeg2k_encode(stored, codecformat="j2k", reversible=True, level=0),
    ),
    "JPEG-LS": (JPEGLSLossless, imagecodecs.jpegls_encode),
}


def anatomy(number: int, side: int, random: np.random.Generator) -> np.ndarray:
    """Return one (side, side) uint16 slice."""
    y, x = np.mgrid[:side, :side] * (512 / side)
    smooth = 1000 + 700 * np.sin(x / 40 + number / 30) * np.cos(y / 33)
    return np.rint(smooth + random.normal(0, 12, smooth.shape)).clip(0, 4095).astype(np.uint16)


def series(folder: Path, count: int, side: int, kind: str = "", uid: str = "2.25.7") -> Path:
    """Write a CT series, native or compressed."""
    random = np.random.default_rng(0)
    slices = Bench(count=count, rows=4, columns=4, spacing=(0.7, 0.7), step=(0, 0, 1.25), series_uid=f"{uid}.1",
                   study_uid=uid).slices()  # fmt: skip
    for number, data in enumerate(slices):
        stored = anatomy(number, side, random)
        data.RescaleSlope, data.RescaleIntercept = "1", "-1024"
        put_pixels(data, stored, bits_stored=16)
        if kind:
            syntax, encode = ENCODERS[kind]
            data.file_meta.TransferSyntaxUID = syntax
            data.PixelData = encapsulate([bytes(encode(stored))])
            data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
    save(folder, slices)
    return folder


def ours(folder: Path) -> None:
    """Find and deliver, as the product does."""
    assert deliver(find_studies([folder])[0]).study is not None


def with_pydicom(folder: Path) -> np.ndarray:
    """Decode every file, sort by position, rescale."""
    slices = [pydicom.dcmread(path) for path in folder.iterdir()]
    slices.sort(key=lambda data: data.ImagePositionPatient[2])
    return np.stack(
        [data.pixel_array.astype(np.float32) * data.RescaleSlope + data.RescaleIntercept for data in slices]
    )


def peers(folder: Path) -> dict[str, Callable[[], object]]:
    """Return the readers that are installed."""
    from monai.transforms import LoadImage

    readers: dict[str, Callable[[], object]] = {
        "ours": lambda: ours(folder),
        "pydicom, one core": lambda: with_pydicom(folder),
        "MONAI PydicomReader": lambda: LoadImage("PydicomReader")(folder),
    }
    try:
        import SimpleITK as sitk  # noqa: N813 - its usual name
    except ImportError:
        sys.stdout.write("SimpleITK is not installed and left out\n")
        return readers

    def simple_itk() -> object:
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
        return sitk.GetArrayViewFromImage(reader.Execute())

    return readers | {"SimpleITK ImageSeriesReader": simple_itk}


def main() -> None:
    """Measure, and print the tables."""
    warnings.simplefilter("ignore")
    sys.stdout.write(f"{len(os.sched_getaffinity(0))} cores; medians of {ROUNDS} turns\n")
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        small = series(root / "small", 2, 16)
        native = series(root / "native", NATIVE_SLICES, SIDE)
        megabytes = 2 * NATIVE_SLICES * SIDE**2 / 1e6
        print_table(f"native CT, {NATIVE_SLICES} x {SIDE} x {SIDE}", medians_s(peers(native), ROUNDS), megabytes)
        sys.stdout.write(f"  peak memory: {peak_factor(str(native), str(small)):.2f} x the float32 volume\n")
        for kind in ENCODERS:
            folder = series(root / kind.replace(" ", ""), COMPRESSED_SLICES, SIDE, kind)
            title = f"{kind}, {COMPRESSED_SLICES} x {SIDE} x {SIDE}"
            print_table(title, medians_s(peers(folder), 3), 2 * COMPRESSED_SLICES * SIDE**2 / 1e6)
        per_study = INSPECTED_FILES // 20
        for number in range(20):
            series(root / "many" / f"{number:02d}", per_study, INSPECTED_SIDE, uid=f"2.25.{number + 100}")
        start = time.perf_counter()
        found = inspect_paths([root / "many"])
        taken = time.perf_counter() - start
        assert len(found["studies"]) == 20
        sys.stdout.write(
            f"\ninspect of {INSPECTED_FILES} files of {INSPECTED_SIDE} x {INSPECTED_SIDE}: {taken:.1f} s\n"
        )


if __name__ == "__main__":
    main()
