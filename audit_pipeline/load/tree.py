"""Which files there are: folders, archives and media with a DICOMDIR, walked without stepping into a trap."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from audit_pipeline.errors import LoadError, NotAStudyError
from audit_pipeline.load.archive import archive_around, archive_at
from audit_pipeline.load.dicomdir import is_dicomdir, read_dicomdir
from audit_pipeline.load.files import is_file
from audit_pipeline.load.settings import LoadSettings
from audit_pipeline.load.sniff import FileKind, kind_of

LOG = logging.getLogger("audit_pipeline")
_IMAGE_OF_HEADER = {".hdr": ".img", ".hdr.gz": ".img.gz"}
_ABSENT = "a path that was given does not exist; check its spelling and that its disk is there"
_NO_FILE = "a path that was given is neither a file nor a folder; name image files or their folder"


@dataclass(frozen=True, kw_only=True, slots=True)
class Tree:
    """The files below one path that the caller named.

    Attributes
    ----------
    root : the folder, or the archive that acts as one
    kinds : what each file claims to be, by absolute path, in order of path
    archives : files that act as folders; they are not among `kinds`, what is in them is
    unopened : archives that were refused; they are among `kinds`
    """

    root: Path
    kinds: dict[Path, FileKind]
    archives: frozenset[Path] = frozenset()
    unopened: frozenset[Path] = frozenset()


@dataclass(slots=True)
class _Found:
    """What a walk has met so far."""

    files: list[Path] = field(default_factory=list)
    links: int = 0
    closed: int = 0

    def take(self, entry: os.DirEntry[str]) -> str | None:
        """Take note of what one entry of a folder is; return the folder that is still to be searched, if it is one."""
        if entry.is_dir(follow_symlinks=False):
            return entry.path
        if entry.is_symlink():
            self.links += 1
        elif entry.is_file(follow_symlinks=False):
            self.files.append(Path(entry.path))
        return None


def tree_below(path: Path, settings: LoadSettings) -> Tree:
    """Return the regular files of a file, folder, archive, folder inside an archive, or DICOMDIR.

    Folders are searched to any depth. Symbolic links below what was named are not followed: inside they would count a
    file twice, outside they leave what the caller named. Pipes, sockets and devices are never opened. A folder that may
    not be searched is left out with a warning. An archive inside an archive stays a file. A DICOMDIR stands for the
    files it lists; the file of a NIfTI pair stands for both.

    Raises
    ------
    NotAStudyError
        The path does not exist, or there is no file.
    LoadError
        The path leads into an archive that is refused.
    """
    resolved = _resolved(path)
    # unlike those of pathlib these two never raise, whatever may not be looked into
    if os.path.isdir(resolved):  # noqa: PTH112
        return _tree(resolved, _walk(resolved), settings)
    if not os.path.isfile(resolved):  # noqa: PTH113
        return _tree_inside(resolved, settings) if archive_around(resolved) else _missing(resolved)
    kind = kind_of(resolved)
    if kind is FileKind.ARCHIVE:
        tree = _opened_tree(resolved, settings)
        if tree is not None:
            return tree
    return _tree(resolved.parent, _Found(_named(resolved, settings)), settings)


def partner_of(path: Path) -> Path | None:
    """Return the image file of a NIfTI header file, or the header of an image file, when it lies beside it."""
    lower = path.name.lower()
    for head, image in _IMAGE_OF_HEADER.items():
        for suffix, other in ((head, image), (image, head)):
            if lower.endswith(suffix):
                stem = path.name[: -len(suffix)]
                candidates = (path.with_name(stem + other), path.with_name(stem + other.upper()))
                return next((one for one in candidates if is_file(one)), None)
    return None


def listed_files(dicomdir: Path, files: Iterable[Path]) -> set[Path]:
    """Return which of `files` the DICOMDIR lists; names are compared without regard to case.

    File IDs are upper case (PS3.10, 8.5), and many systems show them in lower case. Only files that a walk found can
    be meant, so no reference leads out of the folder.
    """
    by_place = {place_of(file): file for file in files}
    places = (place_of(dicomdir.parent.joinpath(*one.parts)) for one in read_dicomdir(dicomdir).listed)
    return {by_place[place] for place in places if place in by_place}


def place_of(path: Path) -> str:
    """Return the text by which a reference of a DICOMDIR finds its file."""
    return str(path).casefold()


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise NotAStudyError(_ABSENT) from error


def _missing(path: Path) -> Tree:
    try:
        path.lstat()
    except (OSError, ValueError) as error:
        raise NotAStudyError(_ABSENT) from error
    raise NotAStudyError(_NO_FILE)


def _walk(root: Path) -> _Found:
    """Return the regular files below a folder; iterative, because folders may be deeper than Python recurses."""
    found = _Found()
    waiting = [str(root)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                waiting += [folder for entry in entries if (folder := found.take(entry))]
        except OSError:
            found.closed += 1
    if found.closed:
        LOG.warning("%d folders could not be searched; check who may read them", found.closed)
    if not found.files:
        raise NotAStudyError(f"a folder that was given holds no file{_hint(found)}")
    return found


def _hint(found: _Found) -> str:
    links = f"; {found.links} symbolic links were not followed, name their targets instead" if found.links else ""
    return links + (f"; {found.closed} folders could not be searched" if found.closed else "")


def _tree(root: Path, found: _Found, settings: LoadSettings) -> Tree:
    """Return the tree of files of the file system, with what is in their archives."""
    kinds: dict[Path, FileKind] = {}
    archives, unopened = set(), set()
    for file in sorted(found.files):
        kind = kind_of(file)
        inside = _opened_tree(file, settings) if kind is FileKind.ARCHIVE else None
        if inside is not None:
            archives.add(file)
            kinds.update(inside.kinds)
            continue
        kinds[file] = kind
        if kind is FileKind.ARCHIVE and not _is_document(file, settings):
            unopened.add(file)
    return Tree(root=root, kinds=kinds, archives=frozenset(archives), unopened=frozenset(unopened))


def _opened_tree(file: Path, settings: LoadSettings) -> Tree | None:
    """Return what is in an archive; None when it cannot be opened, is empty, or is an office file."""
    try:
        archive = archive_at(file, settings)
    except (LoadError, OSError):
        return None
    if archive.is_document or not archive.members:
        return None
    members = sorted(file / name for name in archive.members)
    return Tree(root=file, kinds={one: kind_of(one) for one in members}, archives=frozenset({file}))


def _is_document(file: Path, settings: LoadSettings) -> bool:
    try:
        return archive_at(file, settings).is_document
    except (LoadError, OSError):
        return False


def _tree_inside(path: Path, settings: LoadSettings) -> Tree:
    """Return the part of an archive that `path` leads to."""
    archive_file, name = archive_around(path) or (path, "")
    if kind_of(archive_file) is not FileKind.ARCHIVE:
        raise NotAStudyError(_ABSENT)
    members = archive_at(archive_file, settings).members
    if name in members:
        files, root = _named(path, settings), path.parent
    else:
        files, root = [archive_file / one for one in members if one.startswith(f"{name}/")], path
    if not files:
        raise NotAStudyError(_ABSENT)
    return Tree(root=root, kinds={one: kind_of(one) for one in sorted(files)})


def _named(file: Path, settings: LoadSettings) -> list[Path]:
    """Return the files that one named file stands for."""
    if is_dicomdir(file):
        beside = _files_beside(file, settings)
        return sorted({file, *listed_files(file, beside)})
    partner = partner_of(file)
    return sorted({file, partner} if partner else {file})


def _files_beside(file: Path, settings: LoadSettings) -> Sequence[Path]:
    """Return the files below the folder of `file`, which may be inside an archive."""
    found = archive_around(file)
    if found is None:
        return _walk(file.parent).files
    archive_file, name = found
    folder = name.rpartition("/")[0]
    return [
        archive_file / one
        for one in archive_at(archive_file, settings).members
        if not folder or one.startswith(f"{folder}/")
    ]
