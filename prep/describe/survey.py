"""A survey of an input: how many images lie in which folder, what else there is, and the MD5 of the file."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from prep.archives.units import IMAGE_SUFFIXES
from prep.describe.inputs import Kind, Member, inner_members, kind_of, members, reading_errors, size_of
from prep.progress import Progress

MOST_NAMES = 3  # of what is no image, for the user to see
Folder = tuple[str, ...]
"""The folders above an image, outermost first."""


@dataclass
class Survey:
    """What an input holds. `md5` is "" unless it is a plain tar, which may be used as it is.

    `bytes` are those of the file or, of a zip archive or a folder, of all members. `repeated` is the first
    `<folder>/<image>` of a plain tar that another of its images has too, or "": pack takes a name once.
    """

    path: Path
    kind: Kind
    bytes: int
    md5: str = ""
    folders: Counter[Folder] = field(default_factory=Counter)  # images
    inner: Counter[Folder] = field(default_factory=Counter)  # images of each inner tar, by its path
    others: int = 0
    other_names: list[str] = field(default_factory=list)
    repeated: str = ""

    @property
    def images(self) -> int:
        """How many images it holds."""
        return self.folders.total() + self.inner.total()

    @property
    def reads_in_order(self) -> bool:
        """Whether its bytes are told as its members are read; a zip and a folder list their members."""
        return self.kind in (Kind.TAR, Kind.COMPRESSED)

    def note_other(self, name: str) -> None:
        """Count a member that is no image."""
        self.others += 1
        if len(self.other_names) < MOST_NAMES:
            self.other_names.append(name)


def survey(path: Path, progress: Progress) -> Survey:
    """Read an input once, from its first byte to its last.

    Raises:
        DescriptionError: it is neither a tar nor a zip archive nor a folder.
        IntegrityError: it is damaged, or a name in it is not allowed.
    """
    kind = kind_of(path)
    found = Survey(path, kind, size_of(path, kind))
    digest = hashlib.md5(usedforsecurity=False)
    names: set[str] = set()
    task = f"read {path.name}"
    progress.add(task, found.bytes)

    def heard(data: memoryview | bytes) -> None:
        if kind is Kind.TAR:
            digest.update(data)
        progress.advance(task, len(data))

    with reading_errors(path):
        for member in members(path, kind, heard):
            for name in _count(found, member):
                if kind is Kind.TAR and not found.repeated:
                    found.repeated = name if name in names else ""
                    names.add(name)
            if not found.reads_in_order:
                progress.advance(task, member.size)
    if kind is Kind.TAR:
        found.md5 = digest.hexdigest()
    return found


def is_image(member: Member) -> bool:
    """Whether a member is an image: by its name, if it is not empty. What macOS adds has such names too."""
    name = member.name
    junk = name.name.startswith("._") or "__MACOSX" in name.parts
    return member.plain and member.size > 0 and not junk and name.suffix.lower() in IMAGE_SUFFIXES


def is_inner(member: Member) -> bool:
    """Whether a member is a tar archive of the images of a class."""
    return member.plain and member.name.suffix == ".tar"


def _count(found: Survey, member: Member) -> Iterator[str]:
    """Count a member; gives the `<folder>/<image>` of each image in it."""
    if is_image(member):
        found.folders[member.name.parent.parts] += 1
        yield f"{member.name.parent.name}/{member.name.name}".lstrip("/")
    elif is_inner(member):
        found.inner[member.name.parts] = 0
        for image in inner_members(member, f"archive {found.path}/{member.name}"):
            if is_image(image):
                found.inner[member.name.parts] += 1
                yield f"{member.name.stem}/{image.name.name}"
            else:
                found.note_other(str(PurePosixPath(member.name, image.name)))
    else:
        found.note_other(str(member.name))
