"""Nobody is named: identity planted in headers, pixels, file names and labels, searched in every byte of the runs."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pikepdf
import pyarrow as pa
import pytest
import yaml
from pyarrow import parquet
from pydicom.config import disable_value_validation
from reportlab.pdfgen.canvas import Canvas
from typer.testing import CliRunner

from audit_pipeline.errors import StoreError
from audit_pipeline.load.encode_dicom import Identity, ct_files, dx_file
from audit_pipeline.load.encode_nifti import nifti_bytes
from audit_pipeline.store.figures import read_figures
from audit_pipeline.store.traits import read_traits
from tests import planted_identity as planted
from tests.audit_fixtures import AFFINE, configuration, tiny_card, tiny_volume

SHAPE = (160, 144)
TEXT, PLACE, LETTER_SIZE = "ZQ JANE 1875", (14, 34), 0.55
ODD = (
    "Modality", "PhotometricInterpretation", "ImageType", "RescaleType", "PresentationLUTShape", "PatientOrientation",
    "BurnedInAnnotation", "LossyImageCompression", "PixelSpacing", "ImagePositionPatient", "WindowCenter",
    "NumberOfFrames", "Rows", "RescaleSlope", "PixelSpacingCalibrationType", "TransferSyntaxUID", "SOPClassUID",
)  # fmt: skip
"""Fields that say what the pixels are: in them a name makes a study odd, which is refused and told in words."""

SOMEBODY = Identity(seed="planted", patient_id="replaced", patient_name="REPLACED^LATER")

DRIVER = """
import json, sys, torch
from audit_pipeline import cli
torch.set_num_threads(1)
for arguments in json.load(open(sys.argv[1])):
    sys.argv = ["audit-pipeline", *arguments]
    try:
        cli.main()
    except SystemExit as ended:
        print("ended with", ended.code)
"""


def radiograph():
    """Stored values of a chest-like picture, and the same with a name burned in."""
    rows, columns = np.indices(SHAPE)
    body = 1500 + 900 * np.exp(-(((rows - 90) / 50) ** 2) - ((columns - 72) / 45) ** 2)
    body = body + np.random.default_rng(3).normal(0, 25, SHAPE)
    ink = cv2.putText(np.zeros(SHAPE, np.uint8), TEXT, PLACE, cv2.FONT_HERSHEY_SIMPLEX, LETTER_SIZE, 255, 1, cv2.LINE_8)
    return body.astype(np.float32), np.where(ink > 0, 4095, body).astype(np.float32), ink > 0


def written(place, content):
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)


def plant_studies(root):
    """Write a volume, the same with a hole, and a NIfTI file; and a radiograph with a name in its pixels."""
    folder = planted.FOLDER
    files = ct_files(tiny_volume(1)[:14], AFFINE, SOMEBODY)
    for index, content in enumerate(files):
        dataset, planted_file = planted.with_identity(content)
        written(root / "volumes" / folder / "1873-12-24" / f"{planted.MARK}{index}.dcm", planted_file)
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{planted.UID_ROOT}77", f"{planted.UID_ROOT}78"
        stream = io.BytesIO()
        with disable_value_validation():
            dataset.save_as(stream, enforce_file_format=True)
        if index != 7:
            written(root / "volumes" / f"{planted.GIVEN} broken" / f"{index}.dcm", stream.getvalue())
    for number, keyword in enumerate(ODD):
        content = planted.with_identity_in(dx_file(radiograph()[0], (0.9, 0.9), SOMEBODY), keyword, number)
        written(root / "volumes" / f"{planted.MARK} {keyword}" / f"{planted.FAMILY}.dcm", content)
    named = planted.nifti_with_identity(nifti_bytes(tiny_volume(2), AFFINE, (3.0, 2.5, 2.0)))
    written(root / "volumes" / f"{planted.FAMILY} {planted.RECORD_NUMBER}.nii.gz", named)
    written(root / "volumes" / folder / "1873-12-24" / "note.txt", planted.NAME.encode())
    _, content = planted.with_identity(dx_file(radiograph()[1], (0.9, 0.9), SOMEBODY))
    written(root / "films" / folder / f"{planted.MARK}.dcm", content)
    studies = [f"{folder}/1873-12-24", f"{planted.GIVEN} broken", f"{planted.FAMILY} {planted.RECORD_NUMBER}"]
    planted.write_labels(root / "labels.csv", [*studies, f"{planted.FAMILY} nobody"])
    planted.write_labels(root / "films.csv", [f"{folder}/{planted.MARK}"])


def write_configurations(root):
    """Write the three audits: of volumes, of films, of films with the clinical profile."""
    report = {"pdf": "all", "html": "all"}
    volumes = configuration(root, root / "volumes", "run-volumes", report=report)
    volumes["explain"] = {"methods": ["gradcam"]}
    volumes["input"]["labels"] = str(root / "labels.csv")
    flat = tiny_card(
        root, name="flat net", spatial_dims=2,
        input={"size": [48, 48], "spacing_mm": [2.7, 2.7], "intensity": {"window": {"center": 2048, "width": 4096}}},
    )  # fmt: skip
    films = configuration(root, root / "films", "run-films", report=report)
    films["input"]["labels"], films["model"] = str(root / "films.csv"), {"card": flat}
    clinical = {**films, "report": {**report, "profile": "clinical"}}
    clinical["run"] = {**films["run"], "output": str(root / "run-clinical")}
    for name, content in {"volumes": volumes, "films": films, "clinical": clinical}.items():
        content["audit"] = {**content["audit"], "level": "screen" if name == "clinical" else "standard"}
        (root / f"{name}.yaml").write_text(yaml.safe_dump(content))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three audits through the command line, each rendered again; what was printed stands beside them."""
    root = tmp_path_factory.mktemp("runs")
    plant_studies(root)
    write_configurations(root)
    commands = [["run", str(root / f"{name}.yaml")] for name in ("volumes", "films", "clinical")]
    commands += [["report", str(root / "run-films")], ["verify", str(root / "run-clinical")]]
    (root / "commands.json").write_text(json.dumps(commands))
    ended = subprocess.run(
        [sys.executable, "-c", DRIVER, str(root / "commands.json")], capture_output=True, check=False, cwd=root,
        env={**os.environ, "AUDIT_PIPELINE_SITE_KEY": "a site key for tests"},
    )  # fmt: skip
    (root / "stdout").write_bytes(ended.stdout)
    (root / "stderr").write_bytes(ended.stderr)
    assert ended.returncode == 0, ended.stderr.decode()
    return root


def outputs(run):
    return sorted(path for path in run.rglob("*") if path.is_file() and path.name != "linkage.csv")


def records(run):
    return [json.loads(path.read_bytes()) for path in sorted(run.glob("studies/*/record.json"))]


def leaked(run):
    found = [leak for path in outputs(run) for leak in planted.leaks(path.name, path.read_bytes())]
    found += [leak for path in outputs(run) for leak in planted.leaks("path", str(path.relative_to(run)).encode())]
    return sorted(set(found))


@pytest.mark.untraced
def test_identity_stands_in_every_text_of_the_header_and_nothing_of_it_is_needed_to_read_the_study():
    dataset, _ = planted.with_identity(dx_file(radiograph()[1], (0.9, 0.9), SOMEBODY))
    filled = planted.filled_keywords(dataset)
    texts = {
        one[4] for tag, one in planted.DicomDictionary.items() if one[0] in planted.TEXTS and tag >> 16 not in (0, 2)
    }
    kept = {*planted.NEEDED, *planted.TEXT_FIELDS, ""}
    assert texts - filled <= kept
    assert len(filled & texts) > 1800
    assert {"PN", "LO", "DA", "TM", "DT", "UI", "ST", "LT", "UT"} <= {element.VR for element in dataset}


@pytest.mark.untraced
@pytest.mark.parametrize("run", ["run-volumes", "run-films"])
def test_no_byte_of_a_deidentified_run_holds_what_was_planted(runs, run):
    assert leaked(runs / run) == []


@pytest.mark.untraced
def test_what_the_commands_print_and_log_names_nobody(runs):
    for name in ("stdout", "stderr"):
        printed = (runs / name).read_bytes().replace(str(runs).encode(), b"")
        assert planted.leaks(name, printed) == []
    assert b"labels name no study" in (runs / "stderr").read_bytes()


def test_the_volumes_were_audited_and_the_one_with_a_hole_and_the_odd_ones_refused(runs):
    found = records(runs / "run-volumes")
    assert [one["status"] for one in found].count("audited") == 2
    assert [one["status"] for one in found].count("refused") == 1 + len(ODD)
    assert len({one["error"]["code"] for one in found if one["error"]}) > 3
    assert len(outputs(runs / "run-volumes")) > 20


def test_ages_are_told_in_bands_and_identity_in_allowed_fields_is_withheld_by_name_only(runs):
    (record,) = records(runs / "run-films")
    metadata = record["image"]["metadata"]
    assert metadata["PatientAge"] == "40-49"
    assert set(metadata["Withheld"].split(", ")) == {*planted.REPEATING}
    (finding,) = [one for one in record["findings"] if one["code"] == "A20"]
    assert finding["outcome"] == "flag"
    assert "Manufacturer" in finding["message"]


def test_of_the_labels_only_groups_are_kept(runs):
    facts = next(one["facts"] for one in records(runs / "run-volumes") if one["facts"])
    assert set(facts) == {"split", "patient", "site", "age", "sex", "scanner"}
    assert (facts["age"], facts["sex"], facts["site"][:5]) == ("40-49", "F", "site ")


def test_the_linkage_alone_tells_who_it_was_and_only_its_owner_may_read_it(runs):
    for run in ("run-volumes", "run-films", "run-clinical"):
        place = runs / run / "linkage.csv"
        assert place.stat().st_mode & 0o777 == 0o600
        assert planted.leaks("linkage", place.read_bytes())


def picture_files(run):
    """Every picture that a run shows: overlays, and those inside of its PDF files and pages."""
    for path in outputs(run):
        content = path.read_bytes()
        if path.suffix == ".png":
            yield decoded(content)
        elif path.suffix == ".html":
            yield from (decoded(part) for place, part in planted.opened(path.name, content) if "picture" in place)
        elif path.suffix == ".pdf":
            yield from drawn_in(content)


def decoded(content):
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)


def drawn_in(content):
    with pikepdf.open(io.BytesIO(content)) as document:
        streams = [one for one in document.objects if isinstance(one, pikepdf.Stream)]
        for one in streams:
            if one.get("/Subtype") == "/Image":
                yield np.asarray(pikepdf.PdfImage(one).as_pil_image().convert("RGB"))


def likeness(picture, ink):
    """How well a picture, or the raw one on its left, agrees with the letters where they were burned in, -1 to 1."""
    best = -1.0
    for part in (picture, picture[:, : (picture.shape[1] - 8) // 2]):
        if min(part.shape[:2]) < 24 or abs(part.shape[0] / part.shape[1] - SHAPE[0] / SHAPE[1]) > 0.05:
            continue
        wanted = cv2.resize(ink.astype(np.float32), part.shape[1::-1], interpolation=cv2.INTER_AREA)
        rows, columns = np.nonzero(wanted)
        place = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
        seen = part[place].astype(np.float32).mean(axis=2)
        if seen.std() > 0:
            best = max(best, float(np.corrcoef(seen.ravel(), wanted[place].ravel())[0, 1]))
    return best


@pytest.mark.untraced
def test_the_name_in_the_pixels_can_be_read_in_no_picture_of_a_deidentified_run_and_in_those_of_a_clinical_one(runs):
    ink = radiograph()[2]
    shown = {run: [likeness(one, ink) for one in picture_files(runs / run)] for run in ("run-films", "run-clinical")}
    assert min(len(shown["run-films"]), len(shown["run-clinical"])) > 10
    assert max(shown["run-films"]) < 0.4
    assert max(shown["run-clinical"]) > 0.8


def test_of_the_stored_slices_only_the_text_is_flat_and_the_file_says_where(runs):
    _, burned, ink = radiograph()
    (place,) = (runs / "run-films").glob("studies/*/figures.npz")
    panels = read_figures(place)
    assert {panel.role for panel in panels} == {"image", "stored", "fed"}
    for panel in panels:
        covered = np.zeros(panel.anatomy.shape, bool)
        for top, bottom, left, right in panel.blanked:
            covered[top:bottom, left:right] = True
        assert 0 < covered.mean() < 0.12
        assert np.unique(panel.anatomy[covered]).size == 1
        if panel.role != "fed":  # the model reads another grid
            assert covered[ink].all()
            assert np.unique(panel.anatomy[covered]).tolist() == [2048.0]
            np.testing.assert_allclose(panel.anatomy[~covered], np.rint(burned)[~covered])


def test_the_thumbnail_of_the_model_input_holds_no_text_and_is_told_from_the_input_with_it(runs):
    (place,) = (runs / "run-films").glob("studies/*/traits.npz")
    traits = read_traits(place)
    small = traits.thumbnail.reshape(24, 24)
    assert traits.header["PatientAge"] == "40-49"
    beside = small[8:12, 2:20].mean()
    assert abs(small[2:6, 2:20] - beside).max() < 0.1
    (record,) = records(runs / "run-films")
    (clinical,) = records(runs / "run-clinical")
    assert record["prediction"]["logits"] == clinical["prediction"]["logits"]
    assert record["image"]["input_digest"] == clinical["image"]["input_digest"]


def told(path):
    return subprocess.run(["pdftotext", "-layout", str(path), "-"], capture_output=True, check=True).stdout.decode()


def test_the_reports_say_on_the_block_and_in_the_caption_that_text_was_blanked(runs):
    (folder,) = (runs / "run-films").glob("studies/*")
    text, page = " ".join(told(folder / "report.pdf").split()), (folder / "report.html").read_text()
    for shown in (text, page):
        assert "text blanked" in shown
        assert "Text blanked in 1 region of this image." in shown
    assert "A flat grey block: text blanked." in " ".join(told(runs / "run-films" / "report.pdf").split())
    assert "text blanked" not in told(next((runs / "run-clinical").glob("studies/*/report.pdf")))


def test_every_page_of_a_clinical_report_is_stamped_and_no_other(runs):
    for run, is_stamped in (("run-clinical", True), ("run-films", False)):
        for path in [*(runs / run).glob("studies/*/report.pdf"), runs / run / "report.pdf"]:
            pages = told(path).split("\f")[:-1]
            assert pages
            assert {"CLINICAL: contains identity" in page for page in pages} == {is_stamped}
        for path in (runs / run).rglob("report.html"):
            assert ('<p class="stamp">CLINICAL: contains identity</p>' in path.read_text()) is is_stamped


def test_a_clinical_study_report_names_the_patient_and_nothing_else_of_the_run_does(runs):
    run = runs / "run-clinical"
    (folder,) = run.glob("studies/*")
    for shown in (" ".join(told(folder / "report.pdf").split()), (folder / "report.html").read_text()):
        assert f"Patient: {planted.FAMILY}, {planted.GIVEN}" in shown
        assert f"Patient ID: {planted.RECORD_NUMBER}" in shown
        assert "Born: 1875-03-12" in shown
        assert f"Accession: {planted.ACCESSION}" in shown
    others = [path for path in outputs(run) if path.parent != folder or path.suffix not in {".pdf", ".html"}]
    assert [leak for path in others for leak in planted.leaks(path.name, path.read_bytes())] == []
    assert run.stat().st_mode & 0o077 == 0


def command(*arguments):
    from audit_pipeline.cli.application import app

    return CliRunner().invoke(app, [str(one) for one in arguments])


def test_a_clinical_run_is_rendered_again_with_its_profile_and_refused_without_its_linkage(runs, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(runs / "run-clinical", run)
    (page,) = run.glob("studies/*/report.pdf")
    before = page.read_bytes()
    page.unlink()
    assert command("report", run).exit_code == 0
    assert page.read_bytes() == before
    (run / "linkage.csv").unlink()
    refused = command("report", run).exception
    assert isinstance(refused, StoreError)
    assert "linkage.csv of this run is missing" in str(refused)


def test_a_run_keeps_its_profile(runs):
    refused = command("run", runs / "films.yaml", "--set", "report.profile=clinical").exception
    assert isinstance(refused, StoreError)
    assert "a run keeps its profile" in str(refused)
    assert leaked(runs / "run-films") == []


HIDING = {
    "text.txt": lambda word: word.encode(),
    "wide.bin": lambda word: word.encode("utf-16-be"),
    "old.bin": lambda word: word.encode("latin-1", "ignore") if word.isascii() else word.encode("utf-16-le"),
    "told.json": lambda word: json.dumps({"x": [word]}).encode(),
    "packed.gz": lambda word: gzip.compress(word.encode()),
    "arrays.npz": lambda word: _npz([word]),
    "table.parquet": lambda word: _parquet([word, ""]),
    "page.html": lambda word: "".join(f"&#{ord(one)};" for one in word).encode(),
    "drawn.pdf": lambda word: _pdf(word, "Title"),
    "named.pdf": lambda word: _pdf("x", word),
}  # fmt: skip


def _npz(words):
    stream = io.BytesIO()
    np.savez_compressed(stream, words=np.frombuffer(json.dumps(words).encode(), np.uint8))
    return stream.getvalue()


def _parquet(column):
    stream = io.BytesIO()
    parquet.write_table(pa.table({"x": column}), stream, compression="zstd")
    return stream.getvalue()


def _pdf(drawn, title):
    stream = io.BytesIO()
    canvas = Canvas(stream, pageCompression=1)
    canvas.setTitle(title)
    canvas.drawString(50, 50, drawn)
    canvas.save()
    return stream.getvalue()


@pytest.mark.parametrize("name", HIDING)
@pytest.mark.parametrize(
    "word", [planted.MARK, planted.GIVEN, planted.IDEOGRAPHS[0]], ids=["mark", "accents", "ideographs"]
)
def test_the_search_finds_identity_wherever_it_is_hidden(name, word):
    if name == "drawn.pdf" and not word.isascii():
        word = planted.MARK.lower()
    assert planted.leaks(name, HIDING[name](word))


@pytest.mark.parametrize("written", ["18731224", "1873-12-24", "1873/12/24", "24.12.1873"])
def test_the_search_finds_dates_however_they_are_written(written):
    assert planted.leaks("x.txt", f"on {written} ".encode())
    assert planted.leaks("x.txt", b"in 1873 or 187312 or 318731224") == []
