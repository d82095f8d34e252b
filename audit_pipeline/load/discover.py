"""Which files belong to which study: walks folders, recognises files by content, unites what belongs together."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from audit_pipeline.errors import NotAStudyError
from audit_pipeline.load.dicom_index import Header, read_header
from audit_pipeline.load.settings import LoadSettings
from audit_pipeline.load.sniff import FileKind, is_text, kind_of

KNOWN_SUFFIXES = (".nii.gz", ".hdr.gz", ".img.gz", ".nii", ".hdr", ".img", ".dcm", ".dicom", ".ima")
_IMAGE_OF_HEADER = {".hdr": ".img", ".hdr.gz": ".img.gz"}


@dataclass(frozen=True, kw_only=True, slots=True)
class StudySource:
    """The files of one study, before any of them is decoded.

    Attributes
    ----------
    kind : what the files are; "unknown" when none of them is an image
    files : absolute paths, sorted
    identity : the text that keys the pseudonym: ``dicom|issuer|PatientID|StudyInstanceUID``, ``nifti|SHA-256``,
        ``file|SHA-256``; it may identify a patient and belongs in no report
    name : path relative to `root` without image suffixes, for labels.csv and linkage.csv only
    root : the folder the caller named
    """

    kind: Literal["dicom", "nifti", "unknown"]
    files: tuple[Path, ...]
    identity: str
    name: str
    root: Path

    @property
    def is_clutter(self) -> bool:
        """Whether nothing here claims to be an image: only text and empty files, such as a table of labels."""
        return self.kind == "unknown" and all(is_text(file) for file in self.files)


def find_studies(paths: Sequence[Path]) -> tuple[StudySource, ...]:
    """Return the studies in files and folders; every regular file below `paths` is in exactly one of them.

    Folders are searched to any depth. Symbolic links below a folder are not followed: inside the folder they would
    count a file twice, outside they leave what the caller named. DICOM files are united when they share a
    StudyInstanceUID or a SeriesInstanceUID, so that two patients in one series meet in one study, where they are
    refused. Files that are no image join the DICOM study of their folder when there is exactly one.

    Raises
    ------
    NotAStudyError
        A path does not exist, or a folder holds no file.
    """
    sources: list[StudySource] = []
    seen: set[Path] = set()
    for path in paths:
        root, files = _files_below(Path(path))
        fresh = [file for file in files if file not in seen]
        seen.update(fresh)
        sources += _sources(root, fresh)
    return tuple(sorted(_uniquely_named(sources), key=lambda source: (str(source.root), source.name, source.files)))


def _files_below(path: Path) -> tuple[Path, list[Path]]:
    """Return the folder the caller named and the regular files in it, sorted."""
    if not path.exists():
        raise NotAStudyError("a path that was given does not exist; check its spelling and that its disk is there")
    resolved = path.resolve()
    if not resolved.is_dir():
        if resolved.is_file():
            partner = _partner(resolved)
            return resolved.parent, sorted({resolved, partner} if partner else {resolved})
        raise NotAStudyError("a path that was given is neither a file nor a folder; name image files or their folder")
    files, links = [], 0
    for folder, folders, names in os.walk(resolved):
        links += sum(os.path.islink(os.path.join(folder, name)) for name in folders)  # noqa: PTH114, PTH118
        for name in names:
            file = Path(folder, name)
            links += file.is_symlink()
            if file.is_file() and not file.is_symlink():
                files.append(file)
    if not files:
        hint = f"; {links} symbolic links were not followed, name their targets instead" if links else ""
        raise NotAStudyError(f"a folder that was given holds no file{hint}")
    return resolved, sorted(files)


def _partner(path: Path) -> Path | None:
    """Return the image file of a NIfTI header file, or the header of an image file, when it lies beside it."""
    lower = path.name.lower()
    for head, image in _IMAGE_OF_HEADER.items():
        for suffix, other in ((head, image), (image, head)):
            if lower.endswith(suffix):
                stem = path.name[: -len(suffix)]
                candidates = (path.with_name(stem + other), path.with_name(stem + other.upper()))
                return next((one for one in candidates if one.is_file()), None)
    return None


def _sources(root: Path, files: Sequence[Path]) -> list[StudySource]:
    kinds = {file: kind_of(file) for file in files}
    claimed: set[Path] = set()
    sources = []
    for file in files:
        if kinds[file] is FileKind.NIFTI and file not in claimed:
            members = _nifti_members(file, kinds)
            claimed.update(members)
            sources.append(_source("nifti", root, members, identity=f"nifti|{digest_of(members)}"))
    headers = [read_header(file, LoadSettings()) for file in files if kinds[file] is FileKind.DICOM]
    studies, strays = _united(headers)
    strays += [file for file in files if kinds[file] is FileKind.OTHER and file not in claimed]
    return sources + _with_strays(root, studies, strays)


def _nifti_members(file: Path, kinds: Mapping[Path, FileKind]) -> tuple[Path, ...]:
    partner = _partner(file) if file.name.lower().endswith((".hdr", ".hdr.gz")) else None
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


def _with_strays(root: Path, studies: Sequence[Sequence[Header]], strays: Iterable[Path]) -> list[StudySource]:
    by_folder: dict[Path, set[int]] = defaultdict(set)
    for number, headers in enumerate(studies):
        for header in headers:
            by_folder[header.path.parent].add(number)
    members = [[header.path for header in headers] for headers in studies]
    left: dict[Path, list[Path]] = defaultdict(list)
    for stray in strays:
        homes = by_folder.get(stray.parent, set())
        (members[next(iter(homes))] if len(homes) == 1 else left[stray.parent]).append(stray)
    found = [
        _source("dicom", root, files, identity=_dicom_identity(headers), anchor=headers)
        for files, headers in zip(members, studies, strict=True)
    ]
    return found + [
        _source("unknown", root, files, identity=f"file|{digest_of(sorted(files))}") for files in left.values()
    ]


def _dicom_identity(headers: Sequence[Header]) -> str:
    # the smallest, so that neither file names nor their order matter when a study is mixed
    issuer, patient, study = min((*header.identity[:2], header.study_uid) for header in headers)
    if study:
        return f"dicom|{issuer}|{patient}|{study}"
    return f"dicom|{issuer}|{patient}|{digest_of(sorted(header.path for header in headers))}"


def _source(
    kind: Literal["dicom", "nifti", "unknown"],
    root: Path,
    files: Sequence[Path],
    *,
    identity: str,
    anchor: Sequence[Header] = (),
) -> StudySource:
    named = [header.path for header in anchor] or list(files)
    return StudySource(kind=kind, files=tuple(sorted(files)), identity=identity, name=_name(root, named), root=root)


def _name(root: Path, files: Sequence[Path]) -> str:
    """Return the path of a study relative to `root`: its file when it has one, else the folder that holds it."""
    stems = {_without_suffix(file) for file in files}
    if len(stems) == 1:
        return stems.pop().relative_to(root).as_posix()
    folder = Path(os.path.commonpath([str(file.parent) for file in files]))
    return root.name if folder == root else folder.relative_to(root).as_posix()


def _without_suffix(file: Path) -> Path:
    lower = file.name.lower()
    suffix = next((one for one in KNOWN_SUFFIXES if lower.endswith(one) and len(lower) > len(one)), "")
    return file.with_name(file.name[: len(file.name) - len(suffix)])


def _uniquely_named(sources: Sequence[StudySource]) -> list[StudySource]:
    """Name studies that share a folder by their first file, so that a name means one study."""
    counts = Counter((source.root, source.name) for source in sources)
    return [
        source
        if counts[source.root, source.name] == 1
        else replace(source, name=_without_suffix(source.files[0]).relative_to(source.root).as_posix())
        for source in sources
    ]


def digest_of(files: Iterable[Path]) -> str:
    """Return the SHA-256 of all bytes of `files`, one after the other; an unreadable file counts as empty."""
    digest = hashlib.sha256()
    for file in files:
        try:
            with file.open("rb") as stream:
                while block := stream.read(2**20):
                    digest.update(block)
        except OSError:
            continue
    return digest.hexdigest()
