"""How readers end on the bench of DICOM cases: right, refused, or silently wrong.

Run ``python tests/bench/reader_verdicts.py``. Only cases count whose delivery can be judged by value and position
alone. Every reader gets every folder as this package does, in a process of its own; a crash, an exception or a time-out
is a refusal of that case. Readers that are not installed are named and skipped. A delivery is right when every voxel of
every volume has the value planted at its position, nothing is missing without an error, and no voxel was dropped.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "load"))
from dicom_bench import excess
from dicom_cases_register import Case, Truth, all_cases, write_case

SECONDS_A_CASE = 60
LPS_OF_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Volume:
    """Values with one axis per column of the affine, which maps the index to mm in LPS+."""

    values: np.ndarray
    affine: np.ndarray


@dataclass(frozen=True)
class Delivered:
    """What a reader made of a folder; `said` tells whether it reported that something is missing."""

    volumes: list[Volume]
    said: bool = False


def ours(folder: Path, case: Case) -> Delivered:
    """Read with this package."""
    from audit_pipeline.load import LoadSettings, deliver, find_studies

    volumes, said = [], False
    for source in find_studies([folder]):
        delivery = deliver(source, LoadSettings(**case.settings))
        said |= delivery.error is not None or bool(delivery.refusals)
        images = delivery.study.images if delivery.study else ()
        volumes += [Volume(image.values, image.affine) for image in images if image.affine is not None]
    return Delivered(volumes, said)


def simple_itk(folder: Path, _: Case) -> Delivered:
    """Read every series that GDCM names, in every folder, with the ImageSeriesReader; single files with ReadImage."""
    import SimpleITK as sitk  # noqa: N813

    reader = sitk.ImageSeriesReader()
    folders = [str(folder), *(str(path) for path in folder.rglob("*") if path.is_dir() and not path.is_symlink())]
    names = dict.fromkeys(uid for one in folders for uid in reader.GetGDCMSeriesIDs(one))
    volumes, said = [], False
    for uid in names:
        files = reader.GetGDCMSeriesFileNames(str(folder), uid, False, True)
        try:
            reader.SetFileNames(files)
            image = sitk.ReadImage(files[0]) if len(files) == 1 else reader.Execute()
        except RuntimeError:
            said = True
            continue
        affine = np.eye(4)
        size = image.GetDimension()
        columns = np.array(image.GetDirection()).reshape(size, size) * image.GetSpacing()
        affine[:3, :size] = columns[:, ::-1][:3, :]
        affine[:3, 3] = image.GetOrigin()[:3]
        volumes.append(Volume(sitk.GetArrayFromImage(image), affine))
    return Delivered(volumes, said)


def monai(folder: Path, _: Case) -> Delivered:
    """Read the folder with LoadImage and its PydicomReader; MONAI falls back to its other readers as it does."""
    from monai.transforms import LoadImage

    loaded = LoadImage(reader="PydicomReader", image_only=True)(str(folder))
    return Delivered([Volume(np.asarray(loaded), LPS_OF_RAS @ np.asarray(loaded.affine))])


def highdicom(folder: Path, _: Case) -> Delivered:
    """Read each series with get_volume_from_series, multi-frame files with imread; other files are left out."""
    import highdicom as hd

    volumes, said = [], False
    for files in _series(folder).values():
        try:
            if len(files) == 1 and "NumberOfFrames" in files[0][1]:
                volume = hd.imread(files[0][0]).get_volume()
            else:
                volume = hd.get_volume_from_series([data for _, data in files])
        except Exception:  # noqa: BLE001
            said = True
            continue
        volumes.append(Volume(np.asarray(volume.array), np.asarray(volume.affine)))
    return Delivered(volumes, said)


def plain_pydicom(folder: Path, _: Case) -> Delivered:
    """Read as scripts do: sort by position along the normal, stack, rescale; the step is the first gap."""
    volumes = []
    for files in _series(folder).values():
        slices = [data for _, data in files]
        cosines = np.array(slices[0].ImageOrientationPatient, float)
        normal = np.cross(cosines[:3], cosines[3:])
        slices.sort(key=lambda data: float(np.array(data.ImagePositionPatient, float) @ normal))
        values = np.stack([one.pixel_array * float(one.RescaleSlope) + float(one.RescaleIntercept) for one in slices])
        places = np.array([one.ImagePositionPatient for one in slices], float)
        rows, columns = (float(one) for one in slices[0].PixelSpacing)
        affine = np.eye(4)
        affine[:3, 0] = places[1] - places[0] if len(places) > 1 else normal
        affine[:3, 1], affine[:3, 2], affine[:3, 3] = cosines[3:] * rows, cosines[:3] * columns, places[0]
        volumes.append(Volume(values, affine))
    return Delivered(volumes)


def _series(folder: Path) -> dict[str, list[tuple[Path, object]]]:
    """Return what pydicom reads without force, by series, as any script would gather it."""
    import pydicom

    series: dict[str, list[tuple[Path, object]]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with contextlib.suppress(pydicom.errors.InvalidDicomError):
                data = pydicom.dcmread(path)
                if "PixelData" in data or "FloatPixelData" in data or "DoubleFloatPixelData" in data:
                    series[str(data.get("SeriesInstanceUID"))].append((path, data))
    return series


READERS: dict[str, tuple[str, Callable[[Path, Case], Delivered]]] = {
    "audit_pipeline": ("audit_pipeline", ours),
    "SimpleITK": ("SimpleITK", simple_itk),
    "MONAI LoadImage": ("monai", monai),
    "highdicom": ("highdicom", highdicom),
    "pydicom, sorted": ("pydicom", plain_pydicom),
}


def verdict_of(delivered: Delivered, truth: Truth) -> str:
    """Return "right", "refused" or "wrong"."""
    if not delivered.volumes:
        return "refused"
    left = list(range(len(truth.offsets)))
    for volume in delivered.volumes:
        match = next((number for number in left if _fits(volume, truth, truth.offsets[number])), None)
        if match is None:
            return "wrong"
        left.remove(match)
    return "wrong" if left and truth.shapes is not None and not delivered.said else "right"


def _fits(volume: Volume, truth: Truth, offset: float) -> bool:
    values = np.asarray(volume.values, np.float64)
    while values.ndim > 2 and values.shape[-1] == 1 and values.ndim > 3:
        values = values[..., 0]
    if values.ndim not in {2, 3} or not np.isfinite(volume.affine).all():
        return False
    sizes = None if truth.shapes is None else {int(np.prod(shape)) for shape in truth.shapes}
    if sizes is not None and values.size not in sizes:
        return False
    return bool(np.abs(excess(values, volume.affine) - offset).max() <= truth.tolerance)


def worker(reader: str, folder: Path, skipped: int) -> None:
    """Read the cases after the first `skipped`, and write a line before and after each."""
    read = READERS[reader][1]
    truths = {case.sentence: case for case in objective()}
    listed = json.loads((folder / "cases.json").read_text("utf-8"))
    with (folder / "out.jsonl").open("a", encoding="utf-8") as out:
        for number, sentence in enumerate(listed[skipped:], start=skipped):
            case = truths[sentence]
            truth = _truths(folder)[sentence]
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    verdict = verdict_of(read(folder / f"{number:04d}" / "study", case), truth)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException:  # noqa: BLE001  an exception is a refusal, whatever its type
                verdict = "refused"
            out.write(json.dumps([sentence, verdict]) + "\n")
            out.flush()


def objective() -> list[Case]:
    """Return the cases that any reader can be judged on."""
    return [case for case in all_cases() if case.is_objective]


def _truths(folder: Path) -> dict[str, Truth]:
    stored = json.loads((folder / "truths.json").read_text("utf-8"))
    return {sentence: Truth(**fields) for sentence, fields in stored.items()}


def _prepare(folder: Path) -> list[Case]:
    cases, truths = objective(), {}
    for number, case in enumerate(cases):
        truth = write_case(case, folder / f"{number:04d}" / "study")
        truths[case.sentence] = {"shapes": truth.shapes, "offsets": truth.offsets, "tolerance": truth.tolerance}
    (folder / "cases.json").write_text(json.dumps([case.sentence for case in cases]), "utf-8")
    (folder / "truths.json").write_text(json.dumps(truths), "utf-8")
    return cases


def verdicts(reader: str, folder: Path, count: int) -> Iterator[tuple[str, str]]:
    """Return the verdict on every case; the process is started again behind a case that ends or stops it."""
    out = folder / "out.jsonl"
    out.unlink(missing_ok=True)
    listed = json.loads((folder / "cases.json").read_text("utf-8"))
    while (done := _lines(out)) < count:
        command = [sys.executable, __file__, "--worker", reader, str(folder), str(done)]
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                command,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=SECONDS_A_CASE * 10,
                check=False,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
        if (reached := _lines(out)) < count:
            with out.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps([listed[reached], "refused"]) + "\n")
    for line in out.read_text("utf-8").splitlines():
        sentence, verdict = json.loads(line)
        yield sentence, verdict


def _lines(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines()) if path.exists() else 0


def table(arguments: argparse.Namespace) -> None:
    """Print the table, and the wrong cases of each reader when asked."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = _prepare(folder)
        answerable = sum(case.is_answerable for case in cases)
        _say(f"{len(cases)} cases with an objective verdict, {answerable} with a right answer\n")
        _say("| reader | right | refused | silently wrong |\n|---|---|---|---|")
        wrong: dict[str, Sequence[str]] = {}
        for reader, (module, _) in READERS.items():
            if importlib.util.find_spec(module) is None:
                _say(f"| {reader} | not installed | | |")
                continue
            ends = list(verdicts(reader, folder, len(cases)))
            counts = Counter(verdict for _, verdict in ends)
            _say(f"| {reader} | {counts['right']} | {counts['refused']} | {counts['wrong']} |")
            wrong[reader] = [sentence for sentence, verdict in ends if verdict == "wrong"]
    for reader, sentences in wrong.items():
        if arguments.list:
            _say("\n  ".join([f"\n{reader}, silently wrong:", *(sentences or ["none"])]))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true", help="name the cases that each reader delivers wrong")
    parser.add_argument("--worker", nargs=3, metavar=("READER", "FOLDER", "SKIPPED"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        reader, folder, skipped = arguments.worker
        worker(reader, Path(folder), int(skipped))
    else:
        table(arguments)


if __name__ == "__main__":
    main()
