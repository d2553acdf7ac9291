"""Settings: what is taken, what is refused, and in which words."""

import contextlib
from pathlib import Path

import pytest

from prep.datasets import description
from prep.errors import DescriptionError
from stacks.settings import DATASETS, SettingsError, load_settings

BASE_URL = "must be a base URL such as https://example.org/archives/, or s3://bucket/prefix"
ENVIRONMENT = "must be at most 15 lower-case letters, digits and hyphens, such as dev"
KEY_ARN = "must be new, or the ARN of a key, which begins with arn:aws:kms:"
SNAPSHOT = "must be a snapshot's ID such as snap-0123456789abcdef0"
S3_PREFIX = "must be s3://bucket/prefix; the prefix may contain only letters, digits and /_.-"


def test_defaults() -> None:
    settings, dataset = load_settings({})
    assert dataset.name == "ilsvrc2012"
    assert dataset.shipped
    assert (settings.work_volume.gib, settings.work_volume.type) == (1000, "sc1")
    assert (settings.dataset_volume.gib, settings.dataset_volume.type) == (200, "gp3")
    assert settings.restored_volume.gib == 200


def test_the_command_line_gives_text() -> None:
    settings, _ = load_settings({"resize": "256", "quality": 90, "source": ""})
    assert (settings.resize, settings.quality, settings.source) == (256, 90, None)


def test_keys_of_cdk_itself_pass() -> None:
    load_settings(
        {
            "@aws-cdk/core:x": True,
            "aws:cdk:enable-path-metadata": True,
            "availability-zones:account=1:region=r": [],
            "cli-telemetry": False,
        }
    )


def test_a_restored_volume_is_as_large_as_what_the_snapshot_is_of() -> None:
    settings, _ = load_settings({"snapshot_of": "work"})
    assert settings.restored_volume.gib == 1000


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("regoin", "eu-west-1", "there is no such setting; the most similar one is region"),
        ("region", "Frankfurt", "must be a Region such as us-east-1"),
        ("account", "1234", "must be an account number of 12 digits"),
        ("secret_name", "my secret", "may contain only letters, digits and /_+=.@-"),
        ("work_volume_gib", "1 TB", "must be a whole number"),
        ("work_volume_gib", "-5", "must be a whole number"),
        ("work_volume_gib", 100, "a sc1 volume has 125 to 16384 GiB"),
        ("work_volume_gib", 200, "the archives and the images unpacked from them need 289 GiB"),
        ("work_volume_type", "gp4", "use one of gp2, gp3, io1, io2, st1, sc1"),
        ("dataset_volume_iops", 2999, "a gp3 volume has 3000 to 80000 IOPS"),
        ("dataset_volume_throughput", 2001, "a gp3 volume has 125 to 2000 MiB/s"),
        ("dataset_volume_throughput", 800, "3000 IOPS allow at most 750 MiB/s; set 3200 IOPS"),
        ("initialization_rate", 50, "must be 0 (none) or 100 to 300 MiB/s"),
        ("initialization_rate", 301, "must be 0 (none) or 100 to 300 MiB/s"),
        ("resize", 70000, "a JPEG has at most 65535 pixels on each side; use 0 to reduce no image"),
        ("quality", 0, "must be 1 to 100"),
        ("quality", 101, "must be 1 to 100"),
        ("snapshot_of", "both", "must be packed or work"),
        ("environment", "Dev", ENVIRONMENT),
        ("environment", "a" * 16, ENVIRONMENT),
        ("environment", "dev/x", ENVIRONMENT),
        ("notify", "owner", "must be an e-mail address"),
        ("notify", "owner@example", "must be an e-mail address"),
        ("notify", "a b@example.org", "must be an e-mail address"),
        ("when_done", "terminate", "must be stop or keep"),
        (
            "log_retention_days",
            15,
            "CloudWatch has no such period; the nearest are 7 and 14 (0: no logs there)",
        ),
        (
            "log_retention_days",
            500,
            "CloudWatch has no such period; the nearest are 400 and 545 (0: no logs there)",
        ),
        (
            "log_retention_days",
            9999,
            "CloudWatch has no such period; the nearest are 3288 and 3653 (0: no logs there)",
        ),
        ("prep_zone", "us-east-1", "must be an availability zone such as us-east-1a"),
        ("key", "alias/mine", "must be new, or the ARN of a key, which begins with arn:aws:kms:"),
        ("key", "arn:aws:kms:us-east-1:123456789012:alias/mine", KEY_ARN),
        ("key", f"arn:aws:kms:us-east-1:123456789012:key/{'*' * 36}", KEY_ARN),
        ("work_snapshot", "vol-0123456789abcdef0", SNAPSHOT),
        ("dataset_snapshot", "snap-0123", SNAPSHOT),
        ("prep_instance_type", "big", "must be an instance type such as t2.large or g5.xlarge"),
        ("prep_instance_type", "m7g.large", "is an Arm machine; MXNet and the GPU image need x86_64"),
        ("training_instance_type", "g5g.xlarge", "is an Arm machine; MXNet and the GPU image need x86_64"),
        ("training_instance_type", "g4ad.xlarge", "has AMD GPUs; the GPU image supports only NVIDIA GPUs"),
        ("mount_point", "data", "must be an absolute path such as /data"),
        ("mount_point", "/mnt/../etc", "must be an absolute path such as /data"),
        ("mount_point", "/mnt/my data", "must be an absolute path such as /data"),
        ("mount_point", "/usr/share", "would hide a folder of the system; use a folder such as /data"),
        ("mount_point", "/home", "would hide a folder of the system; use a folder such as /data"),
        ("cluster_workers", "129", "must be at most 128"),
        ("cluster_workers", "-1", "must be a whole number"),
        ("cluster_spot", "true", "must be yes or no"),
        ("cluster_instance_type", "c7g.large", "is an Arm machine; MXNet and the GPU image need x86_64"),
        ("cluster_head_type", "large", "must be an instance type such as t2.large or g5.xlarge"),
        ("restore", "clone", "must be snapshot, copy or auto"),
        ("datasets", "pets,$(id)", "must be different names of data sets, separated by commas"),
        ("datasets", "pets,", "must be different names of data sets, separated by commas"),
        ("datasets", "pets,pets", "must be different names of data sets, separated by commas"),
        ("datasets", ",".join("abcdefghijkl"), "an instance mounts at most 11"),
        ("source", "ftp://example.org/", BASE_URL),
        ("source", "https://example.org/a'b", BASE_URL),
        ("source", "https://example.org/a\\b", BASE_URL),
        ("source", "https://example.org/$(id)", BASE_URL),
        ("source", "https://example.org/a b", BASE_URL),
        ("source", "https://example.org/?X-Amz-Signature=x", BASE_URL),
        ("source", "https://[example.org/", BASE_URL),
        ("source", "https://", BASE_URL),
        ("source", "s3://Bucket/a", S3_PREFIX),
        ("source", "s3://bucket/a*", S3_PREFIX),
        ("source", "s3://bucket/${aws:username}", S3_PREFIX),
        ("source", "s3://b", S3_PREFIX),
        ("source", "/data/archives", BASE_URL),
        ("source", "http://example.org/", "would send the access key unencrypted; use https"),
    ],
)
def test_a_wrong_value(name: str, value: object, remedy: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings({name: value})
    assert str(raised.value) == f"setting {name}={value}: {remedy}"


@pytest.mark.parametrize("family", ["p2.xlarge", "p3.2xlarge", "p3dn.24xlarge", "g3.4xlarge", "g3s.xlarge"])
def test_gpus_that_the_image_does_not_drive(family: str) -> None:
    with pytest.raises(SettingsError, match="does not support its old GPU"):
        load_settings({"training_instance_type": family})


@pytest.mark.parametrize(
    "family",
    [
        *("g4dn.xlarge", "g5.xlarge", "g6.xlarge", "g6e.2xlarge", "gr6.4xlarge", "p4d.24xlarge"),
        *("p4de.24xlarge", "p5.48xlarge", "p5en.48xlarge", "p6-b200.48xlarge", "c7i-flex.large"),
    ],
)
def test_machines_that_the_image_runs_on(family: str) -> None:
    settings, _ = load_settings({"training_instance_type": family})
    assert settings.training_instance_type == family


@pytest.mark.parametrize(
    ("given", "name", "remedy"),
    [
        ({"type": "sc1", "iops": 3000}, "iops", "a sc1 volume has no setting for IOPS"),
        ({"type": "gp2", "throughput": 250}, "throughput", "a gp2 volume has no setting for throughput"),
        ({"type": "io2"}, "iops", "an io2 volume needs a number of IOPS"),
        ({"type": "io1", "iops": 64000}, "iops", "200 GiB of io1 allow at most 10000 IOPS"),
        ({"type": "gp3", "gib": 10, "iops": 6000}, "iops", "10 GiB of gp3 allow at most 5000 IOPS"),
        ({"type": "gp3", "gib": 65537}, "gib", "a gp3 volume has 1 to 65536 GiB"),
    ],
)
def test_what_one_setting_of_a_volume_makes_of_another(
    given: dict[str, object], name: str, remedy: str
) -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings({f"dataset_volume_{key}": value for key, value in given.items()})
    assert str(raised.value).startswith(f"setting dataset_volume_{name}=")
    assert remedy in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prep_zone", "eu-west-1a"),
        ("key", "arn:aws:kms:eu-west-1:123456789012:key/12345678-90ab-cdef-1234-567890abcdef"),
    ],
)
def test_what_is_in_another_region(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match="is not in the Region us-east-1"):
        load_settings({"region": "us-east-1", name: value})
    load_settings({"region": "eu-west-1", name: value})


def test_an_environment_is_part_of_the_resources_names() -> None:
    _, dataset = load_settings({"environment": "dev"})
    assert (dataset.name, dataset.own_name) == ("ilsvrc2012-dev", "ilsvrc2012")


def test_an_environment_that_makes_the_name_too_long(tmp_path: Path) -> None:
    """The resources' name is held to the same form as a data set's, so that every command takes it."""
    path = tmp_path / "set.toml"
    path.write_text(f"name = '{'a' * 27}'\narchives = []")
    load_settings({"dataset": str(path), "environment": "qa"})
    with pytest.raises(SettingsError) as raised:
        load_settings({"dataset": str(path), "environment": "dev"})
    assert str(raised.value) == f"setting environment=dev: {'a' * 27}-dev has more than 30 characters"


def test_limits_themselves_are_taken() -> None:
    load_settings(
        {
            "dataset_volume_gib": 160,
            "dataset_volume_iops": 80000,
            "dataset_volume_throughput": 2000,
            "restored_volume_iops": 8000,
            "restored_volume_throughput": 2000,
        }
    )


@pytest.mark.parametrize(
    "source",
    [
        "https://anna:hunter2@example.org/",
        "https://anna:hunter2$x@example.org/",
        "https://anna:x/hunter2@example.org/",
        "ftp://anna:hunter2@example.org/",
        "s3://anna:hunter2@bucket/",
    ],
)
def test_a_password_in_a_url_is_refused_and_not_repeated(source: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings({"source": source})
    assert "hunter2" not in str(raised.value)
    assert "belong in the secret" in str(raised.value)


def test_plain_http_is_for_this_machine_only() -> None:
    settings, _ = load_settings({"source": "http://127.0.0.1:8000"})
    assert settings.source == "http://127.0.0.1:8000"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = ", "not a TOML file"),
        ("title = 'x'", "has no name or no valid list of archives"),
        ("name = 'x'\narchives = 3", "has no name or no valid list of archives"),
        ("name = 'My Set'\narchives = []", "lower-case letters, digits and hyphens"),
        ("name = 'aws-set'\narchives = []", "lower-case letters, digits and hyphens"),
        ('name = "a\\n"\narchives = []', "lower-case letters, digits and hyphens"),
        ('name = "\\u001b[2J\\n"\narchives = []', "its name, ?[2J?, must be"),
        (f"name = '{'a' * 31}'\narchives = []", "at most 30"),
        ("name = 'x'\narchives = [{bytes = inf}]", "has no name or no valid list of archives"),
        (f"name = 'x'\narchives = [{{bytes = {'9' * 5000}}}]", "has no name or no valid list of archives"),
        (f"name = 'x'\narchives = {'[' * 9000}", "not a TOML file"),
    ],
)
def test_a_description_that_is_none(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as raised:
        load_settings({"dataset": str(path)})
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_stacks_and_prep_take_the_same_names(tmp_path: Path) -> None:
    """A name that only one of them takes would end the work on the instance, or never get there."""
    path = tmp_path / "set.toml"
    shipped = (DATASETS / "ilsvrc2012.toml").read_text()
    for name in ("a", "a-1", "a" * 30, "a" * 31, "A", "1a", "aws", "ssm-x", "a_b", "a/b", ""):
        path.write_text(shipped.replace('name = "ilsvrc2012"', f'name = "{name}"'))
        taken = []
        for read in (lambda: load_settings({"dataset": str(path)}), lambda: description.load(str(path))):
            with contextlib.suppress(SettingsError, DescriptionError):
                taken.append(read())
        assert len(taken) in (0, 2), name
