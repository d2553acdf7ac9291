"""The options of the command line that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from prep import contract

Command = Callable[..., None]
FOLDER = click.Path(path_type=Path, file_okay=False)


def _options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


NO_PROGRESS = click.option("--no-progress", is_flag=True, help="Show no progress bars and no progress lines.")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
_DATASET = _options(
    click.option(
        "--dataset",
        envvar=contract.ENV_DATASET,
        default=contract.DATASET,
        show_default=True,
        help="Name of a data set description that comes with prep, or the path of your own (.toml).",
    ),
    click.option(
        "--environment",
        envvar=contract.ENV_ENVIRONMENT,
        help="Name, such as dev, that is appended to the data set's name in parameters, tags and S3 keys, so "
        "that it can be there twice.",
    ),
    click.option(
        "--root",
        envvar=contract.ENV_ROOT,
        type=FOLDER,
        default=contract.WORK_MOUNT,
        show_default=True,
        help="Folder on the work volume, for the archives and the class folders.",
    ),
)
COMMON = _options(
    _DATASET,
    click.option(
        "--packed",
        envvar=contract.ENV_PACKED,
        type=FOLDER,
        default=contract.PACKED_MOUNT,
        show_default=True,
        help="Folder on the dataset volume, for the RecordIO files.",
    ),
    NO_PROGRESS,
    AS_JSON,
)


class FolderOrAddress(click.ParamType["Path | str"]):
    """A folder, which becomes a Path, or an address such as s3://bucket/prefix, which stays text."""

    name = "directory"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> "Path | str":
        """The folder or the address."""
        if isinstance(value, str) and value.startswith("s3://"):
            return value
        folder: Path = FOLDER.convert(value, param, ctx)
        return folder


# The commands that can also run on a cluster.
ANYWHERE = _options(
    _DATASET,
    click.option(
        "--packed",
        envvar=contract.ENV_PACKED,
        type=FolderOrAddress(),
        default=contract.PACKED_MOUNT,
        show_default=True,
        help="Folder on the dataset volume, for the RecordIO files; with --on ray, s3://BUCKET/PREFIX.",
    ),
    click.option(
        "--on",
        type=click.Choice(["here", "ray"]),
        default="here",
        show_default=True,
        help="Where the work is done: here, on this machine, or on a Ray cluster, with the archives and the "
        "packed files in S3.",
    ),
    click.option(
        "--address",
        help="Address of the Ray cluster, as `ray.init` takes it.  [default: RAY_ADDRESS; else the cluster "
        "on this machine; else a new one on this machine]",
    ),
    NO_PROGRESS,
    AS_JSON,
)
SOURCE = click.option(
    "--source",
    envvar=contract.ENV_SOURCE,
    help="With --on ray: where the archives are, s3://BUCKET/PREFIX.",
)
DOWNLOADING = _options(
    click.option(
        "--source",
        envvar=contract.ENV_SOURCE,
        help="Where to download the archives from, by their file names, instead of the URLs in the "
        "description: a base URL, s3://BUCKET/PREFIX (for example an earlier backup), or a folder.",
    ),
    click.option(
        "--secret",
        envvar=contract.ENV_SECRET,
        help="Name of the Secrets Manager secret that holds the site's user name and access key. The "
        f"environment variables {contract.ENV_USERNAME} and {contract.ENV_ACCESS_KEY} take precedence.",
    ),
)
PACKING = _options(
    click.option(
        "--resize",
        envvar=contract.ENV_RESIZE,
        type=click.IntRange(min=0),
        default=contract.RESIZE,
        show_default=True,
        help="Length in pixels of the short side to which larger images are reduced. 0 reduces no image.",
    ),
    click.option(
        "--quality",
        envvar=contract.ENV_QUALITY,
        type=click.IntRange(1, 100),
        default=contract.QUALITY,
        show_default=True,
        help="JPEG quality of the images that pack has to encode.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(min=0, max=2**64 - 1),
        default=0,
        show_default=True,
        help="Seed of the shuffle.",
    ),
    click.option(
        "--part-mib",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        help="Start another file (<split>-00000.rec, <split>-00001.rec, …) when one has reached this size "
        "in MiB. 0 writes one file for each split.",
    ),
    click.option(
        "--threads",
        type=click.IntRange(min=1),
        help="Number of images to prepare at the same time.  [default: one thread for each core]",
    ),
    click.option(
        "--allow-unreadable",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        help="Largest number of unreadable images that pack may leave out; the manifest names them.",
    ),
)
THREADS = click.option(
    "--threads",
    type=click.IntRange(min=1),
    help="Number of images to decode at the same time.  [default: one thread for each core]",
)
STRICT = click.option(
    "--strict",
    is_flag=True,
    help="Fail if the picture data of an image is damaged. By default, verify only names such images.",
)
BUCKET = click.option("--bucket", envvar=contract.ENV_BUCKET, help="S3 bucket that holds the backup.")
SNAPSHOT = _options(
    click.option("--volume", envvar=contract.ENV_VOLUME, help="ID of the EBS volume to snapshot."),
    click.option(
        "--snapshot-of",
        envvar=contract.ENV_SNAPSHOT_OF,
        type=click.Choice(["packed", "work"]),
        default="packed",
        show_default=True,
        help="Where this volume is mounted: at the folder of --packed (packed) or of --root (work).",
    ),
)
TOPIC = click.option(
    "--topic", envvar=contract.ENV_TOPIC, help="ARN of the SNS topic that is told when all is done."
)


def packed_in(folder: str) -> Callable[[Command], Command]:
    """The option --packed of a command that only reads the packed files, by default those in `folder`."""
    return click.option(
        "--packed",
        envvar=contract.ENV_PACKED,
        type=FOLDER,
        default=folder,
        show_default=True,
        help="Folder with the packed files.",
    )
