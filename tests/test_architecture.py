"""The four laws of the house, read from the source."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "audit_pipeline"
MODULES = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text()) for path in MODULES}

FOUNDATION = {
    "errors": 0, "strict": 0, "proofs": 0, "findings": 0, "terms": 0, "wording": 0,
    "disclosure": 0, "multiplicity": 0, "declared": 1, "registry": 1, "records": 1, "geometry": 1, "selection": 1,
    "agreement": 2, "study_record": 2, "reviews": 3,
    "conclusion": 2, "promises": 2, "evidence": 2, "resampling": 2, "scales": 2, "config": 2, "card": 3,
}  # fmt: skip
STAGES = {"load", "prepare", "models", "predict", "explain", "checks", "cohort", "report", "store"}
ABOVE = {
    "beside": 5, "blanking": 5, "intake": 5, "dossier": 5, "examination": 5, "rendering": 5, "pipeline": 6,
    "execute": 7, "demo": 8, "inspection": 8, "listing": 8,
    "explaining": 9, "bench": 9, "cli": 10, "__main__": 11,
}  # fmt: skip
STAGE_LEVEL = 4

EDGES = {
    "pydicom": {"load"},
    "nibabel": {"load"},
    "reportlab": {"report"},
    "pikepdf": {"report"},
    "pyhanko": {"report"},
    "cryptography": {"report"},
    "cv2": {"report/overlay.py", "prepare.py"},
    "torch": {"models", "prepare.py", "predict.py", "explain", "demo", "bench"},
    "monai": {"models", "prepare.py", "predict.py", "explain", "demo"},
    "typer": {"cli"},
}
LAZY = {"__init__.py"}
FORBIDDEN_WORDS = {"utils", "helpers", "common", "misc", "core", "img", "vol", "arr", "cfg", "pred", "idx"}
LONGEST_MODULE, LONGEST_FUNCTION = 350, 50


def part_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


def level(part: str) -> int:
    return STAGE_LEVEL if part in STAGES else {**FOUNDATION, **ABOVE}[part]


def imported_modules(tree: ast.AST):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "only absolute imports"
            yield node.module, node


def inner_imports(path: Path):
    for name, _ in imported_modules(TREES[path]):
        if name.startswith("audit_pipeline."):
            yield name.split(".")[1]


@pytest.mark.parametrize("path", [p for p in MODULES if p.relative_to(PACKAGE).parts[0] not in LAZY], ids=str)
def test_arrows_run_one_way_and_stages_never_meet(path):
    own = part_of(path)
    for other in inner_imports(path):
        if other == own:
            continue
        assert not (own in STAGES and other in STAGES), f"stage {own} imports stage {other}"
        assert level(other) < level(own) or {own, other} <= {"records", "registry", "geometry"}, (
            f"{own} imports {other}"
        )


@pytest.mark.parametrize("library", EDGES)
def test_libraries_stay_at_their_edge(library):
    for path in MODULES:
        if any(name.split(".")[0] == library for name, _ in imported_modules(TREES[path])):
            relative = path.relative_to(PACKAGE)
            assert {relative.parts[0], relative.as_posix()} & EDGES[library], f"{relative} imports {library}"


def test_check_metadata_stands_once():
    codes = re.findall(r'@check\(\s*"([A-F]\d\d)"', "".join(p.read_text() for p in (PACKAGE / "checks").rglob("*.py")))
    assert len(codes) == len(set(codes)) >= 16


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_size_tells(path):
    assert len(path.read_text().splitlines()) <= LONGEST_MODULE
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.FunctionDef):
            doc = node.body[0] if ast.get_docstring(node) else None
            documented = doc.end_lineno - doc.lineno + 1 if doc else 0
            assert node.end_lineno - node.lineno + 1 - documented <= LONGEST_FUNCTION, node.name


def names_in(tree: ast.AST):
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def test_names_are_words():
    for path in MODULES:
        found = {path.stem, *names_in(TREES[path])} & FORBIDDEN_WORDS
        assert not found, f"{path.relative_to(PACKAGE)}: {found}"


def test_nothing_loads_code_or_unchecked_weights():
    for path in MODULES:
        text = path.read_text()
        assert "weights_only=False" not in text
        assert not re.search(r"\b(eval|exec)\(", text.replace(".eval(", "")), path.name
        assert "allow_pickle=True" not in text
        assert "yaml.load(" not in text


def test_the_package_is_typed():
    assert (PACKAGE / "py.typed").exists()
