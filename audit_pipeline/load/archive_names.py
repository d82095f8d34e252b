"""The names of an archive's members: one bad name condemns the archive, because it says who made it."""

from __future__ import annotations

import re

from audit_pipeline.errors import ArchiveError

LONGEST_NAME = 4096
DEEPEST_NAME = 128
_DRIVE = re.compile(r"[A-Za-z]:")
_SEPARATORS = re.compile(r"[/\\]")


class Names:
    """The names seen so far in one archive; each may be taken once, and a file is no folder.

    Names are compared as they stand. Folders may be listed any number of times, or not at all.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._folders: set[str] = set()

    def add_folder(self, name: str) -> None:
        """Take note of a folder.

        Raises
        ------
        ArchiveError
            See `member_name`.
        """
        cleaned = member_name(name)
        if cleaned:
            self._add_folders(cleaned)

    def add(self, name: str) -> str:
        """Take the name of a file, link or device and return it as `member_name` does.

        Raises
        ------
        ArchiveError
            The name leads outside, or is taken already.
        """
        cleaned = member_name(name)
        if not cleaned:
            raise ArchiveError("the archive holds a member without a name; it was not made by a sound packer")
        if cleaned in self._taken:
            raise ArchiveError(
                "the archive holds two members of one name, so it is unknown which is meant; pack it again"
            )
        self._taken.add(cleaned)
        self._add_folders(cleaned.rpartition("/")[0])
        return cleaned

    def finish(self) -> None:
        """Check what can only be seen at the end.

        Raises
        ------
        ArchiveError
            A name is both a file and a folder.
        """
        if self._taken & self._folders:
            raise ArchiveError("the archive holds a name that is both a file and a folder; pack it again")

    def _add_folders(self, folder: str) -> None:
        while folder and folder not in self._folders:
            self._folders.add(folder)
            folder = folder.rpartition("/")[0]


def member_name(name: str) -> str:
    """Return the name without empty parts and ``.``, or "" when nothing is left.

    Raises
    ------
    ArchiveError
        The name is absolute, climbs with ``..``, names a drive, holds a NUL, or is longer or deeper than any path.

    Examples
    --------
    >>> member_name("./study//1.dcm"), member_name("study/")
    ('study/1.dcm', 'study')
    """
    parts = _SEPARATORS.split(name)
    if "\0" in name:
        raise ArchiveError("the archive holds a name with a NUL character; it was not made by a sound packer")
    if parts[0] == "" and len(parts) > 1:
        raise ArchiveError("the archive holds an absolute name; pack it again with names relative to its folder")
    if ".." in parts or _DRIVE.match(name):
        raise ArchiveError("the archive holds a name that leads outside of it; do not trust where it comes from")
    if len(name) > LONGEST_NAME or len(parts) > DEEPEST_NAME:
        raise ArchiveError(
            f"the archive holds a name of more than {LONGEST_NAME} characters or {DEEPEST_NAME} folders; pack it again"
        )
    return "/".join(part for part in name.split("/") if part not in {"", "."})
