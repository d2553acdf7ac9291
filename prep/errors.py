"""The expected failures, as one tree of exceptions. `cli` turns each into one line and an exit code.

    PrepError                 1  base class of the others
    ├── DescriptionError      2  a data set description or an option is wrong: correct it
    ├── CredentialsError      3  the data set site or AWS refuses the credentials: correct them
    ├── SourceError           4  the archive server doesn't deliver: run again later
    ├── IntegrityError        5  data is not what it should be: the message says what was kept
    ├── SpaceError            6  a disk is full, or would become full
    ├── AwsError              7  an AWS call failed: permission, quota or service
    └── ClusterError          8  the Ray cluster can't be reached, or has lost too many workers

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
    """The user name, the access key or the AWS credentials are missing or refused."""

    exit_code = 3


class SourceError(PrepError):
    """The archive server can't be reached, fails, or keeps changing the archive."""

    exit_code = 4


class IntegrityError(PrepError):
    """A file, archive, image or record is not what it should be."""

    exit_code = 5


class SpaceError(PrepError):
    """A disk is full, or has too little free space for what must be written."""

    exit_code = 6


class AwsError(PrepError):
    """An AWS call failed."""

    exit_code = 7


class ClusterError(PrepError):
    """The Ray cluster can't be reached, or a task has lost its worker too often."""

    exit_code = 8
