"""What can go wrong, as one tree to catch; `cli` turns each into one line and its exit code.

    PrepError                 1  anything below
    ├── DescriptionError      2  a data set description or an option that can't be used: mend it
    ├── CredentialsError      3  the data set site, or AWS, refuses who we are: mend them
    ├── SourceError           4  the archive server doesn't deliver: run again later
    ├── IntegrityError        5  bytes are not what they should be: the message says what was kept
    ├── SpaceError            6  a disk is full, or would be
    └── AwsError              7  an AWS call failed: permission, quota or service

Every message says what was being done, to what, why it failed and what to do about it.
"""

from typing import ClassVar


class PrepError(Exception):
    """Base of all expected failures."""

    exit_code: ClassVar[int] = 1


class DescriptionError(PrepError):
    """A data set description, or an option, is wrong."""

    exit_code = 2


class CredentialsError(PrepError):
    """User name, access key or AWS identity are missing or refused."""

    exit_code = 3


class SourceError(PrepError):
    """The archive server is unreachable, or gives up or changes what it serves."""

    exit_code = 4


class IntegrityError(PrepError):
    """A file, archive, image or record is not what it should be."""

    exit_code = 5


class SpaceError(PrepError):
    """A disk has, or would have, no room."""

    exit_code = 6


class AwsError(PrepError):
    """An AWS call failed."""

    exit_code = 7
