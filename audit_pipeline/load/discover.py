"""Which files belong to which study: recognises files by content and unites what belongs together."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from audit_pipeline.errors import LoadError
from audit_pipeline.load.archive import ARCHIVE_SUFFIXES
from audit_pipeline.load.dicom_header import Header
from audit_pipeline.load.dicom_identity import read_identity
from audit_pipeline.load.dicom_index import read_header
from audit_pipeline.load.dicomdir import is_dicomdir, read_dicomdir
from audit_pipeline.load.files import blocks_of
from audit_pipeline.load.settings import LoadSettings
from audit_pipeline.load.sniff import FileKind, is_clutter
from audit_pipeline.load.tree import Tree, partner_of, place_of, tree_below

KNOWN_SUFFIXES = (".nii.gz", ".hdr.gz", ".img.gz", ".nii", ".hdr", ".img", ".dcm", ".dicom", ".ima")


@dataclass(frozen=True, kw_only=True, slots=True)
class StudySource:
    """The files of one study, before any of them is decoded.

    Attributes
    ----------
    kind : what the files are; "unknown" when none of them is an image
    files : absolute paths, sorted; a file in an archive lies below the path of the archive
    identity : the text that keys the pseudonym: ``dicom|issuer|PatientID|StudyInstanceUID``, ``nifti|SHA-256``,
        ``file|SHA-256``; it may identify a patient and belongs in no report
    name : path relative to `root` without suffixes of images and archives, for labels.csv and linkage.csv only
    root : the folder the caller named, or the archive
    absent : images that a DICOMDIR lists for this study and that are not there
    """

    kind: Literal["dicom", "nifti", "unknown"]
    files: tuple[Path, ...]
    identity: str
    name: str
    root: Path
    absent: int = 0

    @property
    def is_clutter(self) -> bool:
        """Whether nothing here claims to be an image: only text, a DICOMDIR, or what a desktop leaves behind."""
        return self.kind == "unknown" and all(is_clutter(file) for file in self.files)


def find_studies(paths: Sequence[Path], settings: LoadSettings | None = None) -> tuple[StudySource, ...]:
    """Return the studies in files, folders and archives; every file below `paths` is in exactly one of them.

    Folders and archives are searched as `tree.tree_below` says; an archive is a folder whose files are its members.
    DICOM files are united when they share a StudyInstanceUID or a SeriesInstanceUID, so that two patients in one
    series meet in one study, where they are refused. Files that are no image join the DICOM study of their folder when
    there is exactly one. An archive that cannot be opened is a source of its own, which `study.deliver` refuses.

    Raises
    ------
    NotAStudyError
        A path does not exist, or a folder holds no file.
    LoadError
        A path leads into an archive that is refused.
    """
    chosen = settings or LoadSettings()
    sources: list[StudySource] = []
    seen: set[Path] = set()
    for path in paths:
        tree = tree_below(Path(path), chosen)
        kinds = {file: kind for file, kind in tree.kinds.items() if file not in seen}
        seen.update(kinds)
        sources += _sources(replace(tree, kinds=kinds), chosen)
    return tuple(sorted(_uniquely_named(sources), key=lambda source: (str(source.root), source.name, source.files)))


def _sources(tree: Tree, settings: LoadSettings) -> list[StudySource]:
    claimed: set[Path] = set()
    sources = []
    for file, kind in tree.kinds.items():
        if kind is FileKind.NIFTI and file not in claimed:
            members = _nifti_members(file, tree.kinds)
            claimed.update(members)
            sources.append(_source("nifti", tree, members, identity=f"nifti|{digest_of(members)}"))
        elif file in tree.unopened:
            claimed.add(file)
            sources.append(_source("unknown", tree, [file], identity=f"file|{digest_of([file])}"))
    headers = [read_identity(file, settings) for file, kind in tree.kinds.items() if kind is FileKind.DICOM]
    studies, strays = _united(headers)
    strays += [file for file, kind in tree.kinds.items() if kind is not FileKind.DICOM and file not in claimed]
    return sources + _with_strays(tree, studies, strays, settings)


def _nifti_members(file: Path, kinds: Mapping[Path, FileKind]) -> tuple[Path, ...]:
    partner = partner_of(file) if file.name.lower().endswith((".hdr", ".hdr.gz")) else None
    return (file,) if partner is None or partner not in kinds else tuple(sorted((file, partner)))


def _united(headers: Sequence[Header]) -> tuple[list[list[Header]], list[Path]]:
    """Return headers grouped by shared study or series UID, and the files that carry neither.

    A disjoint-set forest over the UIDs, so the work is linear in the number of files.
    """
    parent: dict[str, str] = {}

    def top(key: str) -> str:
        parent.setdefault(key, key)
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for header in headers:
        if header.study_uid and header.series_uid:
            parent[top(f"series|{header.series_uid}")] = top(f"study|{header.study_uid}")
    groups: dict[str, list[Header]] = defaultdict(list)
    strays = []
    for header in headers:
        if header.study_uid or header.series_uid:
            kind, uid = ("study", header.study_uid) if header.study_uid else ("series", header.series_uid)
            groups[top(f"{kind}|{uid}")].append(header)
        elif header.pixel_keyword:
            groups[f"file|{header.path}"].append(header)
        else:
            strays.append(header.path)
    return list(groups.values()), strays


def _with_strays(
    tree: Tree, studies: Sequence[Sequence[Header]], strays: Iterable[Path], settings: LoadSettings
) -> list[StudySource]:
    by_folder: dict[Path, set[int]] = defaultdict(set)
    for number, headers in enumerate(studies):
        for header in headers:
            by_folder[header.path.parent].add(number)
    members = [[header.path for header in headers] for headers in studies]
    left: dict[Path, list[Path]] = defaultdict(list)
    for stray in strays:
        homes = by_folder.get(stray.parent, set())
        (members[next(iter(homes))] if len(homes) == 1 else left[stray.parent]).append(stray)
    missing = _missing_images(tree)
    found = [
        _source(
            "dicom",
            tree,
            files,
            identity=_dicom_identity(headers),
            anchor=headers,
            absent=_absent(headers, missing, settings),
        )
        for files, headers in zip(members, studies, strict=True)
    ]
    return found + [
        _source("unknown", tree, files, identity=f"file|{digest_of(sorted(files))}") for files in left.values()
    ]


def _missing_images(tree: Tree) -> Mapping[str, set[tuple[str, str]]]:
    """Return, by StudyInstanceUID, the images that a DICOMDIR lists where there is no file: (SOP UID, place)."""
    missing: dict[str, set[tuple[str, str]]] = defaultdict(set)
    places: set[str] = set()
    for file, kind in tree.kinds.items():
        if kind is not FileKind.DICOM or not is_dicomdir(file):
            continue
        places = places or {place_of(one) for one in tree.kinds}
        for one in read_dicomdir(file).listed:
            place = place_of(file.parent.joinpath(*one.parts))
            if one.is_image and one.study_uid and place not in places:
                missing[one.study_uid].add((one.sop_uid, "" if one.sop_uid else place))
    return missing


def _absent(headers: Sequence[Header], missing: Mapping[str, set[tuple[str, str]]], settings: LoadSettings) -> int:
    """Return how many listed images are nowhere among the files; copied media often have new file names."""
    wanted = set().union(*(missing.get(uid, set()) for uid in {header.study_uid for header in headers}))
    if not wanted:
        return 0
    there = {read_header(header.path, settings).sop_uid for header in headers}
    return sum(1 for sop_uid, _ in wanted if not sop_uid or sop_uid not in there)


def _dicom_identity(headers: Sequence[Header]) -> str:
    # the smallest, so that neither file names nor their order matter when a study is mixed
    issuer, patient, study = min((*header.identity[:2], header.study_uid) for header in headers)
    if study:
        return f"dicom|{issuer}|{patient}|{study}"
    return f"dicom|{issuer}|{patient}|{digest_of(sorted(header.path for header in headers))}"


def _source(
    kind: Literal["dicom", "nifti", "unknown"],
    tree: Tree,
    files: Sequence[Path],
    *,
    identity: str,
    anchor: Sequence[Header] = (),
    absent: int = 0,
) -> StudySource:
    named = [header.path for header in anchor] or list(files)
    return StudySource(
        kind=kind,
        files=tuple(sorted(files)),
        identity=identity,
        name=_name(tree, named),
        root=tree.root,
        absent=absent,
    )


def _name(tree: Tree, files: Sequence[Path]) -> str:
    """Return the path of a study relative to the root: its file when it has one, else the folder that holds it."""
    stems = {_without_suffix(file) for file in files}
    if len(stems) == 1:
        return _text(stems.pop().relative_to(tree.root))
    folder = Path(os.path.commonpath([str(file.parent) for file in files]))
    shown = _without_suffix(folder, ARCHIVE_SUFFIXES) if folder in tree.archives else folder
    return _text(Path(shown.name) if folder == tree.root else shown.relative_to(tree.root))


def _text(path: Path) -> str:
    """Return a path as text that can be written to a table; bytes that are no UTF-8 are shown as escapes."""
    return path.as_posix().encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _without_suffix(file: Path, suffixes: Sequence[str] = KNOWN_SUFFIXES) -> Path:
    lower = file.name.lower()
    suffix = next((one for one in suffixes if lower.endswith(one) and len(lower) > len(one)), "")
    return file.with_name(file.name[: len(file.name) - len(suffix)])


def _uniquely_named(sources: Sequence[StudySource]) -> list[StudySource]:
    """Name studies that share a name by their first file, and with its suffix if need be: a name means one study."""
    named = list(sources)
    for shorten in (_without_suffix, Path):
        counts = Counter((source.root, source.name) for source in named)
        named = [
            source
            if counts[source.root, source.name] == 1
            else replace(source, name=_text(shorten(source.files[0]).relative_to(source.root)))
            for source in named
        ]
    return named


def digest_of(files: Iterable[Path]) -> str:
    """Return the SHA-256 of all bytes of `files`, one after the other; an unreadable file counts as empty."""
    digest = hashlib.sha256()
    for file in files:
        try:
            for block in blocks_of(file):
                digest.update(block)
        except (OSError, LoadError):
            continue
    return digest.hexdigest()
