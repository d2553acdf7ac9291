"""Names from outside: what may become a file name, a class, or a part of an S3 key.

Archives, manifests, devkits, lists and folders name files. A name is data until `plain_name` has passed it;
only then may it be joined to a path or a key.
"""

import re
from pathlib import PurePosixPath

from prep.errors import IntegrityError

# Control characters and line ends would break lists and logs; lone surrogates stand for bytes not UTF-8.
UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
LONGEST = 255  # bytes, on ext4


def plain_name(name: object, where: str) -> str:
    """The name itself, if it is the name of one file or folder and nothing more.

    Args:
        name: what was read from outside.
        where: what was read, for the message, such as "archive /data/archives/train.tar".

    Raises:
        IntegrityError: it is no text, is empty or too long, holds a slash or a control character, or is "."
            or "..".
    """
    if not isinstance(name, str) or not is_plain(name):
        raise IntegrityError(f"{where}: {name!r} is no name for a file in a data set: don't trust it")
    return name


def relative_path(name: str, where: str) -> PurePosixPath:
    """The name as a path below some folder, each of its parts a plain name.

    Raises:
        IntegrityError: it is absolute, climbs out with "..", or a part of it is no plain name.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or not all(map(is_plain, path.parts)):
        raise IntegrityError(f"{where}: {name!r} is no name for a file in a data set: don't trust it")
    return path


def is_plain(name: str) -> bool:
    """Whether this is the name of one file or folder and nothing more."""
    return (
        name not in ("", ".", "..")
        and "/" not in name
        and not UNFIT.search(name)
        and len(name.encode()) <= LONGEST
    )


def plain_text(text: str, where: str) -> str:
    """The text itself, if it fits into one column of a table.

    Raises:
        IntegrityError: it holds a tab, a line end or another control character.
    """
    if UNFIT.search(text):
        raise IntegrityError(f"{where}: {text!r} holds control characters: don't trust it")
    return text
