"""The settings of the CDK app: typed, with defaults, and checked before anything is built.

They come from cdk.json's context or from `-c name=value`; a wrong setting raises a
SettingsError, whose message is one line.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from prep import contract
from prep.ebs import Volume, find_fault

PACKAGE: Final = Path(__file__).parent.parent / "prep"
DATASETS: Final = PACKAGE / "datasets"

GIB: Final = 1024**3
# A volume each, from /dev/sdf to /dev/sdp: https://docs.aws.amazon.com/ebs/latest/userguide/device_naming.html
MOST_DATASETS: Final = 11

# 128 workers of the default type cost $90 an hour; a mistyped number must not cost more.
MOST_WORKERS: Final = 128

# Keys of the CDK command line among the settings, besides keys such as "@aws-cdk/…", "aws:cdk:…" and
# "availability-zones:account=…".
CDK_KEYS: Final = frozenset(("acknowledged-issue-numbers", "cli-telemetry"))

INSTANCE_TYPES: Final = (
    *("prep_instance_type", "training_instance_type"),
    *("cluster_instance_type", "cluster_head_type"),
)

SNAPSHOT_ID: Final = "snap-([0-9a-f]{8}|[0-9a-f]{17})"

# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
RETENTION_DAYS: Final = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096),
    *(1827, 2192, 2557, 2922, 3288, 3653),
)

SYSTEM_FOLDERS: Final = frozenset(
    ("bin", "boot", "dev", "etc", "lib", "lib64", "proc", "root", "run", "sbin", "sys", "tmp", "usr")
)


# Parts of the messages come from files, which must not be able to control the terminal.
CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


class SettingsError(Exception):
    """A setting is wrong. The message has its name, its value and the remedy, in one line."""

    def __init__(self, name: str, value: object, remedy: str) -> None:
        super().__init__(CONTROL.sub("?", f"setting {name}={value}: {remedy}"))


@dataclass(frozen=True)
class Dataset:
    """The part of a data set description that the stacks need.

    `name` is what the resources are called: the description's own name and the environment, if there is one.
    """

    name: str
    own_name: str
    path: Path
    shipped: bool  # part of the prep package, so that its name is enough to find it
    archive_bytes: int  # of the archives whose size the description gives


@dataclass(frozen=True)
class Settings:
    """Every setting with its default. Sizes in GiB, throughput and rate in MiB/s, resize in pixels."""

    dataset: str = contract.DATASET
    region: str | None = None
    account: str | None = None
    source: str | None = None  # base URL or s3://bucket/prefix that replaces the description's URLs
    secret_name: str | None = None  # <data set's name>/credentials unless given
    prep_instance_type: str = contract.PREP_INSTANCE_TYPE
    work_volume_gib: int = contract.WORK_VOLUME_GIB
    work_volume_type: str = contract.WORK_VOLUME_TYPE
    dataset_volume_gib: int = contract.DATASET_VOLUME_GIB
    dataset_volume_type: str = contract.DATASET_VOLUME_TYPE
    dataset_volume_iops: int | None = None  # gp3 has 3000 unless given
    dataset_volume_throughput: int | None = None  # gp3 has 125 unless given
    resize: int = contract.RESIZE
    quality: int = contract.QUALITY
    snapshot_of: str = "packed"
    training_instance_type: str = contract.TRAINING_INSTANCE_TYPE
    mount_point: str = contract.TRAINING_MOUNT
    restored_volume_type: str = contract.RESTORED_VOLUME_TYPE
    restored_volume_iops: int | None = None
    restored_volume_throughput: int | None = None
    initialization_rate: int = 0  # 0: blocks load as they are first read
    environment: str | None = None  # such as dev: a second deployment of the same data set
    notify: str | None = None  # the e-mail address that is told when all is done, or has failed
    when_done: str = "stop"  # the prep instance stops itself, or keeps running
    log_retention_days: int = 0  # 0: no logs in CloudWatch
    prep_zone: str | None = None  # the first of the Region's zones unless given
    key: str | None = None  # "new" or the ARN of a KMS key; EBS's and S3's default keys unless given
    # The snapshots that `cdk destroy` left: new volumes begin with their content. They must stay set for as
    # long as the stack exists, since CloudFormation supports no update of a volume's snapshot or key:
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-ec2-volume.html
    work_snapshot: str | None = None
    dataset_snapshot: str | None = None
    restore: str = "snapshot"
    datasets: str | None = None  # names, separated by commas, of the data sets that training instances mount
    cluster_workers: int = 0  # most machines that pack at the same time; 0: no Cluster stack
    cluster_instance_type: str = contract.CLUSTER_INSTANCE_TYPE
    cluster_head_type: str = contract.CLUSTER_HEAD_TYPE
    cluster_spot: str = "no"  # yes: the workers are Spot Instances

    def mounted(self, dataset: str) -> tuple[str, ...]:
        """The data sets that training instances mount: `dataset` unless the setting names others."""
        return (dataset,) if self.datasets is None else tuple(self.datasets.split(","))

    @property
    def work_volume(self) -> Volume:
        """The volume for archives and class folders."""
        return Volume(self.work_volume_gib, self.work_volume_type)

    @property
    def dataset_volume(self) -> Volume:
        """The volume for packed files."""
        return Volume(
            self.dataset_volume_gib,
            self.dataset_volume_type,
            self.dataset_volume_iops,
            self.dataset_volume_throughput,
        )

    @property
    def restored_volume(self) -> Volume:
        """The volume of a training instance, as large as the volume of which the snapshot is taken."""
        return Volume(
            self.dataset_volume_gib if self.snapshot_of == "packed" else self.work_volume_gib,
            self.restored_volume_type,
            self.restored_volume_iops,
            self.restored_volume_throughput,
        )


def load_settings(context: Mapping[str, Any]) -> tuple[Settings, Dataset]:
    """Reads the settings from the app's context, and checks each of them and their combinations."""
    known = {field.name: field for field in fields(Settings)}
    given: dict[str, Any] = {}
    for name, value in context.items():
        if name in CDK_KEYS or name.startswith("@") or ":" in name:
            continue
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            raise SettingsError(
                name, value, f"there is no such setting; the most similar one is {nearest[0]}"
            )
        if value is not None and value != "":
            given[name] = _whole_number(name, value) if known[name].type in (int, int | None) else str(value)
    settings = Settings(**given)
    _check_names(settings)
    dataset = _read_dataset(settings.dataset, settings.environment)
    _check_instance_types(settings)
    _check_volumes(settings, dataset)
    _check_images(settings)
    _check_prep_life(settings)
    _check_mount_point(settings.mount_point)
    _check_training(settings)
    _check_source(settings.source)
    _check_cluster(settings)
    return settings, dataset


def _whole_number(name: str, value: object) -> int:
    text = str(value)
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise SettingsError(name, value, "must be a whole number")
    return int(text)


def _read_dataset(name: str, environment: str | None) -> Dataset:
    shipped = re.fullmatch(r"[A-Za-z0-9_-]+", name) is not None
    path = DATASETS / f"{name}.toml" if shipped else Path(name)
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in DATASETS.glob("*.toml")))
        raise SettingsError(
            "dataset", name, f"no such description; use one of {names}, or the path of a .toml file"
        )
    try:
        description = tomllib.loads(path.read_text(encoding="utf-8"))
        title = str(description["name"])
        sizes = [int(archive.get("bytes", 0)) for archive in description["archives"]]
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError("dataset", name, f"not a TOML file: {error}") from None
    except (KeyError, AttributeError, TypeError, ValueError, OverflowError):
        raise SettingsError(
            "dataset", name, "the description has no name or no valid list of archives"
        ) from None
    if not re.fullmatch(contract.DATASET_NAME, title):
        raise SettingsError(
            "dataset",
            name,
            f"its name, {title}, must be at most 30 lower-case letters, digits and hyphens, and must not "
            "begin with aws or ssm",
        )
    resources = contract.resource_name(title, environment)
    if not re.fullmatch(contract.DATASET_NAME, resources):
        raise SettingsError("environment", environment, f"{resources} has more than 30 characters")
    return Dataset(resources, title, path, shipped, sum(sizes))


def _check_names(settings: Settings) -> None:
    patterns = {
        "region": (r"[a-z]{2}(-[a-z]+)+-\d", "must be a Region such as us-east-1"),
        "account": (r"\d{12}", "must be an account number of 12 digits"),
        "secret_name": (r"[\w/+=.@-]{1,512}", "may contain only letters, digits and /_+=.@-"),
        "environment": (
            contract.ENVIRONMENT_NAME,
            "must be at most 15 lower-case letters, digits and hyphens, such as dev",
        ),
        "notify": (r"[\w.%+-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", "must be an e-mail address"),
        "prep_zone": (r"[a-z]{2}(-[a-z]+)+-\d[a-z]", "must be an availability zone such as us-east-1a"),
        "key": (
            r"new|arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/(mrk-[0-9a-f]{32}|[0-9a-f-]{36})",
            "must be new, or the ARN of a key, which begins with arn:aws:kms:",
        ),
        "work_snapshot": (SNAPSHOT_ID, "must be a snapshot's ID such as snap-0123456789abcdef0"),
        "dataset_snapshot": (SNAPSHOT_ID, "must be a snapshot's ID such as snap-0123456789abcdef0"),
    }
    for name, (pattern, remedy) in patterns.items():
        value = getattr(settings, name)
        if value is not None and not re.fullmatch(pattern, value, re.ASCII):
            raise SettingsError(name, value, remedy)


def _check_instance_types(settings: Settings) -> None:
    for name in INSTANCE_TYPES:
        value = getattr(settings, name)
        match = re.fullmatch(r"([a-z]+\d+)([a-z-]*(?:\d+[a-z]*)?)\.[a-z0-9-]+", value)
        if match is None:
            raise SettingsError(name, value, "must be an instance type such as t2.large or g5.xlarge")
        generation, attributes = match.groups()
        if "g" in attributes or generation == "a1":
            raise SettingsError(name, value, "is an Arm machine; MXNet and the GPU image need x86_64")
    # The image has NVIDIA's open driver, which supports GPUs from the Turing generation on:
    # https://docs.aws.amazon.com/dlami/latest/devguide/important-changes.html
    family = settings.training_instance_type.split(".", maxsplit=1)[0]
    if re.fullmatch(r"p[23](dn)?|g[23]s?", family):
        raise SettingsError(
            "training_instance_type",
            settings.training_instance_type,
            "the driver in the GPU image does not support its old GPU; use G4dn, G5, G6, G6e, P4, P5 or P6",
        )
    if family == "g4ad":
        raise SettingsError(
            "training_instance_type",
            settings.training_instance_type,
            "has AMD GPUs; the GPU image supports only NVIDIA GPUs",
        )


def _check_volumes(settings: Settings, dataset: Dataset) -> None:
    for prefix in ("work_volume", "dataset_volume", "restored_volume"):
        volume: Volume = getattr(settings, prefix)
        fault = find_fault(volume)
        if fault is not None:
            name = f"{prefix}_{fault.field}"
            raise SettingsError(name, getattr(volume, fault.field), fault.remedy)
    # The volume holds the archives and the images unpacked from them.
    needed = -(-2 * dataset.archive_bytes // GIB)
    if settings.work_volume_gib < needed:
        remedy = f"the archives and the images unpacked from them need {needed} GiB"
        raise SettingsError("work_volume_gib", settings.work_volume_gib, remedy)
    rate = settings.initialization_rate
    if rate != 0 and not 100 <= rate <= 300:
        raise SettingsError("initialization_rate", rate, "must be 0 (none) or 100 to 300 MiB/s")


def _check_images(settings: Settings) -> None:
    if settings.resize > 65535:
        raise SettingsError(
            "resize",
            settings.resize,
            "a JPEG has at most 65535 pixels on each side; use 0 to reduce no image",
        )
    if not 1 <= settings.quality <= 100:
        raise SettingsError("quality", settings.quality, "must be 1 to 100")
    if settings.snapshot_of not in ("packed", "work"):
        raise SettingsError("snapshot_of", settings.snapshot_of, "must be packed or work")


def _check_prep_life(settings: Settings) -> None:
    if settings.when_done not in ("stop", "keep"):
        raise SettingsError("when_done", settings.when_done, "must be stop or keep")
    days = settings.log_retention_days
    if days and days not in RETENTION_DAYS:
        nearest = sorted(sorted(RETENTION_DAYS, key=lambda each: abs(each - days))[:2])
        remedy = (
            f"CloudWatch has no such period; the nearest are {nearest[0]} and {nearest[1]} (0: no logs there)"
        )
        raise SettingsError("log_retention_days", days, remedy)
    zone, region = settings.prep_zone, settings.region
    if zone and region and zone[:-1] != region:
        raise SettingsError("prep_zone", zone, f"is not in the Region {region}")
    if settings.key and settings.key != "new" and region and settings.key.split(":")[3] != region:
        raise SettingsError(
            "key", settings.key, f"is not in the Region {region}: EBS and S3 need a key there"
        )


def _check_mount_point(mount_point: str) -> None:
    parts = mount_point.split("/")
    if not re.fullmatch(r"(/[A-Za-z0-9._-]+)+", mount_point) or "." in parts or ".." in parts:
        raise SettingsError("mount_point", mount_point, "must be an absolute path such as /data")
    if parts[1] in SYSTEM_FOLDERS or mount_point in ("/home", "/opt", "/var"):
        raise SettingsError(
            "mount_point", mount_point, "would hide a folder of the system; use a folder such as /data"
        )


def _check_training(settings: Settings) -> None:
    if settings.restore not in ("snapshot", "copy", "auto"):
        raise SettingsError("restore", settings.restore, "must be snapshot, copy or auto")
    if settings.datasets is None:
        return
    names = settings.datasets.split(",")
    if not all(re.fullmatch(contract.DATASET_NAME, name) for name in names) or len(set(names)) < len(names):
        raise SettingsError(
            "datasets", settings.datasets, "must be different names of data sets, separated by commas"
        )
    if len(names) > MOST_DATASETS:
        raise SettingsError("datasets", settings.datasets, f"an instance mounts at most {MOST_DATASETS}")


def _check_cluster(settings: Settings) -> None:
    if settings.cluster_workers > MOST_WORKERS:
        raise SettingsError("cluster_workers", settings.cluster_workers, f"must be at most {MOST_WORKERS}")
    if settings.cluster_spot not in ("yes", "no"):
        raise SettingsError("cluster_spot", settings.cluster_spot, "must be yes or no")


def _check_source(source: str | None) -> None:
    if source is None:
        return
    if "@" in source:
        # The message does not contain the value, because it may contain a password.
        raise SettingsError(
            "source", "…", "must not contain a user name or a password; they belong in the secret"
        )
    if source.startswith("s3://"):
        # The value becomes part of an ARN, where * and ? would be wildcards, and of the user data.
        if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_.-]+)*/?", source):
            raise SettingsError(
                "source",
                source,
                "must be s3://bucket/prefix; the prefix may contain only letters, digits and /_.-",
            )
        return
    # The value becomes a line of the service's environment file, and file names are appended to it.
    if not re.fullmatch(contract.WEB_ADDRESS, source) or set(source) & set("\"'\\`$?#"):
        raise SettingsError(
            "source",
            source,
            "must be a base URL such as https://example.org/archives/, or s3://bucket/prefix",
        )
    parts = urlsplit(source)
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1"):
        raise SettingsError("source", source, "would send the access key unencrypted; use https")
