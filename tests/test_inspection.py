"""``inspect`` as a person and a program see it: through the real command line, over real files."""

from __future__ import annotations

import gc
import json
import os
import re
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent / "load"))

from dicom_bench import Bench, save

from audit_pipeline import cli
from audit_pipeline.inspection import facts, inspect_paths, inspection_text, page
from audit_pipeline.inspection.wording import plain, unused_files

SECRET = "DOE^JANE LUNG"
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
HOSTILE = "a\x1b[2J\x07\u202egpj.\u2066b[/bold]"


def invoke(*arguments):
    return CliRunner().invoke(cli.app, ["inspect", *map(str, arguments)])


def put(folder, *benches, **fields):
    """Write series into one folder; every field is a list with one value per series."""
    slices = []
    for number, bench in enumerate(benches):
        for data in bench.slices():
            for keyword, values in fields.items():
                setattr(data, keyword, values[number])
            slices.append(data)
    save(folder, slices)
    return folder


def bench(study=1, series=1, **shape):
    return Bench(study_uid=f"2.25.70{study}", series_uid=f"2.25.70{study}.{series}", **shape)


@pytest.fixture
def three(tmp_path):
    """A study with a thin soft, a thin sharp and a thick soft reconstruction."""
    series = [
        bench(9, 1, count=12, step=(0, 0, 1.25)),
        bench(9, 2, count=12, step=(0, 0, 1.25)),
        bench(9, 3, count=4, step=(0, 0, 5.0)),
    ]
    kernels, names = ["B30f", "B60f", "B30f"], [f"{SECRET} {number}" for number in range(3)]
    return put(tmp_path / "three", *series, ConvolutionKernel=kernels, SeriesDescription=names)


@pytest.fixture
def ward(tmp_path):
    """A folder as a ward sends it: a good study, a gap, a tilted gantry, a broken file, a table."""
    put(tmp_path / "good", bench(1))
    gap = bench(2).slices()
    del gap[2]
    save(tmp_path / "gap", gap)
    lean = np.deg2rad(15)
    put(tmp_path / "tilted", bench(3, step=(0, 2.5 * np.sin(lean), 2.5 * np.cos(lean))))
    (tmp_path / "good" / "report.bin").write_bytes(b"\0\1\2\3")
    (tmp_path / "broken.nii.gz").write_bytes(b"\x1f\x8b broken")
    (tmp_path / "labels.csv").write_text("study,label\n")
    return tmp_path


def test_an_image_is_shown_with_size_spacing_plane_letters_values_and_stack(tmp_path):
    result = invoke(put(tmp_path / "good", bench()))
    assert result.exit_code == 0, result.output
    line = next(line for line in result.stdout.splitlines() if line.startswith("  image 1"))
    assert line == (
        "  image 1  CT  6 x 7 x 9  2.5 x 1.5 x 0.75 mm  axial, axes HPL  16.5 to 52 HU  residual 0 mm, tilt 0 degrees"
    )


def test_the_dispositions_are_shown_with_their_sum(ward):
    result = invoke(ward)
    assert "good  [dicom, 7 files: 1 non-image + 6 used = 7]" in result.stdout
    assert "files  1 non-image, not a DICOM file: report.bin" in result.stdout
    last = result.stdout.strip().splitlines()
    assert last[-2] == "4 studies: 2 can be delivered, 2 refused"
    assert last[-1] == "20 files: 1 non-image + 6 refused + 12 used + 1 beside any study = 20"


def test_refusals_say_what_to_do_and_findings_carry_numbers(ward):
    result = invoke(ward)
    assert result.exit_code == 1
    refused = next(line for line in result.stdout.splitlines() if line.startswith("  refused  MissingSlicesError"))
    assert "find the missing files" in refused
    assert "  flag  A26 tilted_stack (15 degrees, limit 0.5): " in result.stdout
    assert "tilt 15 degrees" in result.stdout
    assert "advice  A26 Tilted stack of slices: Read positions through the affine" in result.stdout
    assert "refused  1 study with MissingSlicesError: gap" in result.stdout


def test_json_keeps_its_keys_and_sums(ward):
    result = invoke(ward, "--json")
    assert result.exit_code == 1
    found = json.loads(result.output)
    assert set(found) == {"studies", "other_files", "totals"}
    for study in found["studies"]:
        assert {"name", "kind", "files", "dispositions", "images", "findings", "refusals", "error"} <= set(study)
        assert sum(study["dispositions"].values()) == len(study["files"])
        for image in study["images"]:
            assert {
                "shape", "colour", "spacing_mm", "orientation", "affine", "modality", "unit", "range", "stack",
                "metadata", "findings",
            } <= set(image)  # fmt: skip
            assert image["plane"] == "axial"
    assert found["totals"]["files"] == 20
    assert found["totals"]["delivered"] + found["totals"]["refused"] == found["totals"]["studies"] == 4


def test_several_paths_are_one_list(ward):
    result = invoke(ward / "good", ward / "tilted", "--json")
    assert [study["name"] for study in json.loads(result.output)["studies"]] == ["good", "tilted"]


def test_the_choice_is_explained_candidate_by_candidate(three):
    rules = ["--set", "input.select.modality=CT", "--set", "input.select.slice_spacing_mm=[1, 3]"]
    kernel = "input.select.tags=[{tag: ConvolutionKernel, matches: ^B6}]"
    result = invoke(three, "--explain-selection", *rules, "--set", kernel)
    assert result.exit_code == 0, result.output
    assert "rules  modality CT; slice spacing 1 to 3 mm; ConvolutionKernel like '^B6'" in result.stdout
    lines = [line.strip() for line in result.stdout.splitlines()]
    chosen = [line for line in lines if line.startswith("chosen")]
    assert len(chosen) == 1
    assert "ConvolutionKernel B60f" in chosen[0]
    fails = [line for line in lines if line.startswith("fails")]
    assert any("ConvolutionKernel is B30f, not like '^B6'" in line for line in fails)
    assert any("slice spacing 5 mm is not 1 to 3 mm, and ConvolutionKernel is B30f" in line for line in fails)


def test_without_rules_several_images_are_undecided_and_the_separating_rule_is_named(three):
    result = invoke(three, "--explain-selection")
    assert result.exit_code == 1
    assert "rules  none, so a study must hold exactly one image" in result.stdout
    assert result.stdout.count("  fits  ") == 3
    assert "refused  SeriesChoiceError: 3 images fit the rules" in result.stdout
    assert "1 can be delivered (1 of them without exactly one image that fits the rules)" in result.stdout


def test_without_being_asked_nothing_is_chosen(three):
    result = invoke(three, "--set", "input.select.modality=MR")
    assert result.exit_code == 0
    assert "selection" not in json.loads(invoke(three, "--json").output)["studies"][0]


def test_rules_that_fit_nothing_say_so_once(three):
    result = invoke(three, "--explain-selection", "--set", "input.select.modality=MR")
    assert result.stdout.count("modality CT is not MR") == 3
    assert "refused  SeriesChoiceError: no image fits the rules; change input.select" in result.stdout


def test_fields_outside_the_allow_list_choose_and_are_never_shown(three):
    rule = "input.select.tags=[{tag: SeriesDescription, matches: '2$'}]"
    text = invoke(three, "--explain-selection", "--set", rule)
    assert text.exit_code == 0, text.output
    document = invoke(three, "--explain-selection", "--set", rule, "--json")
    selection = json.loads(document.output)["studies"][0]["selection"]
    assert [one["reason"] == "" for one in selection["candidates"]].count(True) == 1
    assert selection["candidates"][selection["chosen"]]["spacing_mm"][0] == 5.0
    assert "JANE" not in text.output + document.output


def test_an_image_whose_values_are_refused_is_still_a_candidate_as_it_is_in_a_run(tmp_path):
    folder = put(tmp_path / "two", bench(series=1), bench(series=2, count=4), RescaleSlope=["0.02", "0"])
    found = json.loads(invoke(folder, "--explain-selection", "--json").output)["studies"][0]
    assert len(found["images"]) == 1
    assert [one["image"] for one in found["selection"]["candidates"]] == [0, None]
    assert found["selection"]["error"]["code"] == "SeriesChoiceError"


def test_a_configuration_brings_its_paths_and_its_rules(three, tmp_path):
    place = tmp_path / "audit.yaml"
    select = {"modality": "CT", "max_slices": 5}
    place.write_text(yaml.safe_dump({"input": {"paths": ["three"], "select": select}, "model": {"card": "none.yaml"}}))
    found = json.loads(invoke("--config", place, "--explain-selection", "--json").output)
    selection = found["studies"][0]["selection"]
    assert selection["rules"] == ["modality CT", "at most 5 slices"]
    assert selection["candidates"][selection["chosen"]]["image"] == 2


def test_no_path_at_all_is_wrong_usage():
    result = invoke()
    assert result.exit_code == 2
    assert "name a file or folder" in result.output


def test_a_wrong_rule_is_one_sentence_and_exit_code_2(three):
    rule = "input.select.tags=[{tag: ConvolutionKernal, equals: B30f}]"
    command = [sys.executable, "-m", "audit_pipeline", "inspect", str(three), "--set", rule]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 2
    assert result.stdout == ""
    assert "did you mean 'ConvolutionKernel'" in result.stderr
    assert "Traceback" not in result.stderr


def test_progress_goes_to_standard_error_study_by_study(ward):
    result = invoke(ward)
    assert "[4/4] tilted 1 image" in result.stderr
    assert "[2/4] gap refused: MissingSlicesError" in result.stderr
    assert "[4/4]" not in result.stdout
    assert invoke(ward, "--json").stderr == ""


def test_voxels_of_a_finished_study_are_let_go(tmp_path, monkeypatch):
    from tests.audit_fixtures import write_studies

    write_studies(tmp_path, 3)
    kept = []
    deliver = facts.deliver

    def watched(*arguments):
        gc.collect()
        assert not [one for one in kept if one() is not None], "an earlier study is still in memory"
        delivery = deliver(*arguments)
        kept.extend(weakref.ref(image.values) for image in delivery.study.images)
        return delivery

    monkeypatch.setattr(facts, "deliver", watched)
    assert len(inspect_paths([tmp_path])["studies"]) == len(kept) == 3


def test_a_study_that_breaks_the_reader_is_listed_and_the_others_go_on(ward, monkeypatch):
    deliver = facts.deliver

    def breaking(source, *rest):
        if source.name == "good":
            raise KeyError(SECRET)
        return deliver(source, *rest)

    monkeypatch.setattr(facts, "deliver", breaking)
    found = inspect_paths([ward])
    broken = next(study for study in found["studies"] if study["name"] == "good")
    assert broken["error"]["code"] == "KeyError"
    assert broken["dispositions"] == {"refused": 7}
    assert SECRET not in inspection_text(found)
    assert found["totals"]["files"] == 20


@pytest.fixture
def hostile(tmp_path):
    """Names and header fields that a terminal would obey."""
    folder = put(tmp_path / "place" / HOSTILE.replace("/", "-"), bench(), ConvolutionKernel=["B\x1b[31m30"])
    (folder / "x\x1b]0;owned\x07.bin").write_bytes(b"\0\1")
    return tmp_path / "place"


@pytest.mark.parametrize("width", [None, 80, 160])
def test_nothing_in_a_file_or_its_name_is_obeyed_by_the_terminal(hostile, width):
    found = inspect_paths([hostile], explain=True)
    text = inspection_text(found) if width is None else ESCAPES.sub("", page(found, width))
    assert not [one for one in text if not one.isprintable() and one != "\n"]
    assert "\\x1b" in text
    assert "\\u202e" in "".join(text.split())


def test_the_whole_command_prints_no_hostile_character(hostile):
    for more in ([], ["--json"]):
        result = invoke(hostile, "--explain-selection", *more)
        assert not [one for one in result.output if not one.isprintable() and one != "\n"]


def test_right_to_left_letters_stay_readable_and_numbers_after_them_in_order():
    assert plain("שלום") + " 12" == "שלום\u200e 12"
    assert plain("lung 1") == "lung 1"
    assert plain("\udc80\U000e0001") == "\\udc80\\U000e0001"


def test_a_terminal_that_lacks_a_letter_gets_its_code_point(tmp_path):
    folder = put(tmp_path / "肺", bench())
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "audit_pipeline", "inspect", str(folder.parent)]
    result = subprocess.run(command, capture_output=True, env=environment, check=False, timeout=60)
    assert result.returncode == 0, result.stderr
    assert b"\\u80ba" in result.stdout


@pytest.mark.parametrize("width", [80, 100, 160])
def test_the_page_fits_the_terminal_and_its_columns_line_up(ward, three, width):
    text = ESCAPES.sub("", page(inspect_paths([ward], explain=True), width))
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    header = next(line for line in lines if "mod." in line and "spacing mm" in line)
    rows = [line for line in lines if re.match(r">? +\d+ +CT ", line)]
    assert len(rows) == 5
    assert all(line.index("CT") == header.index("mod.") for line in rows)
    assert all(line.index("axial") == header.index("plane") for line in rows)
    assert ("stack" in header) is (width >= 120)


def test_the_page_marks_the_chosen_image(three):
    from audit_pipeline.config import InputSection

    found = inspect_paths([three], section=InputSection(select={"max_slices": 5}), explain=True)
    rows = [line for line in ESCAPES.sub("", page(found, 100)).splitlines() if re.match(r"[> ] +\d+ +CT ", line)]
    assert [line[0] for line in rows] == [" ", " ", ">"]
    assert "12\u00d77\u00d79" in rows[0]


def test_a_hundred_studies_stay_readable(tmp_path):
    for number in range(100):
        put(tmp_path / f"patient {number:03d}", bench(number, count=1, rows=4, columns=4))
    (tmp_path / "patient 007" / "broken").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 9)
    lines = ESCAPES.sub("", page(inspect_paths([tmp_path]), 80)).splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) < 330
    assert lines[-2].startswith("100 studies: ")
    assert lines[-1].startswith("101 files: ")


def test_files_of_one_kind_are_named_once_and_shortened():
    files = [{"path": f"/x/{n}.txt", "disposition": "non-image", "reason": "not a DICOM file"} for n in range(1200)]
    study = {"files": files, "refusals": [], "error": None}
    assert unused_files(study) == [
        "1,200 non-image, not a DICOM file: 0.txt, 1.txt, 2.txt, 3.txt, 4.txt and 1,195 more"
    ]


def test_a_real_terminal_gets_the_page_and_a_pipe_the_plain_text(ward):
    pty = pytest.importorskip("pty", reason="pseudo-terminals exist on POSIX systems only")
    fcntl, termios = pytest.importorskip("fcntl"), pytest.importorskip("termios")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, b"\x32\0\x64\0\0\0\0\0")  # 50 lines of 100 columns
    environment = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
    process = subprocess.Popen(
        [sys.executable, "-m", "audit_pipeline", "inspect", str(ward)],
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env=environment | {"TERM": "xterm"},
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            block = os.read(ours, 65536)
        except OSError:
            break
        if not block:
            break
        written += block
    os.close(ours)
    assert process.wait(timeout=60) == 1
    text = written.decode()
    assert "\x1b[1m" in text
    assert "plane, axes" in ESCAPES.sub("", text)
    assert "image 1  CT" not in text
