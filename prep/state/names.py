"""Names from outside: checks of names that become a file name, a class, or a part of an S3 key.

Archives, manifests, devkits, lists and folders name files. A name must not be joined to a path or to
a key before `plain_name` has accepted it.
"""

import re
from pathlib import PurePosixPath

from prep.errors import IntegrityError

# Control characters and line ends would break lists and logs; lone surrogates stand for bytes that are not
# UTF-8.
UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
LONGEST = 255  # bytes, on ext4


def plain_name(name: object, where: str) -> str:
    """Return the name, if it is the name of one file or folder and not a path.

    Args:
        name: the name from outside.
        where: the place it was read from, for the message, such as "archive /data/archives/train.tar".

    Raises:
        IntegrityError: it is not text, is empty or too long, contains a slash or a control character, or is
            "." or "..".
    """
    if not isinstance(name, str) or not is_plain(name):
        raise IntegrityError(f"{where}: {name!r} is not a valid file name in a data set: don't trust it")
    return name


def relative_path(name: str, where: str) -> PurePosixPath:
    """Return the name as a relative path, if each of its parts is a plain name.

    Raises:
        IntegrityError: it is absolute, contains "..", or a part of it is not a plain name.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or not all(map(is_plain, path.parts)):
        raise IntegrityError(f"{where}: {name!r} is not a valid file name in a data set: don't trust it")
    return path


def is_plain(name: str) -> bool:
    """Whether this is the name of one file or folder and not a path."""
    return (
        name not in ("", ".", "..")
        and "/" not in name
        and not UNFIT.search(name)
        and len(name.encode()) <= LONGEST
    )


def plain_text(text: str, where: str) -> str:
    """Return the text, if it fits into one column of a table.

    Raises:
        IntegrityError: it contains a tab, a line end or another control character.
    """
    if UNFIT.search(text):
        raise IntegrityError(f"{where}: {text!r} contains control characters: don't trust it")
    return text
