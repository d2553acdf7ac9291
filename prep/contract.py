"""The names that the stacks, the user data and the stages agree on.

Imports only the standard library, so that the CDK app can import it without the dependencies of prep.
"""

from typing import Final

# Where the volumes are mounted on the prep instance.
WORK_MOUNT: Final = "/data"
PACKED_MOUNT: Final = "/dataset"

# Where training instances mount the data set, unless the setting mount_point says otherwise.
TRAINING_MOUNT: Final = "/data"

# File system labels: 16 bytes at most on ext4.
WORK_LABEL: Final = "dataset-work"
PACKED_LABEL: Final = "dataset-packed"

# What a data set may be called: SSM parameters, stacks, S3 keys and tags carry the name. SSM refuses the two
# prefixes.
DATASET_NAME: Final = r"(?!aws|ssm)[a-z][a-z0-9-]{0,29}"

# What an environment may be called, which is appended to the data set's name.
ENVIRONMENT_NAME: Final = r"[a-z][a-z0-9-]{0,14}"

# A web address: a host in ASCII, and no "@" anywhere, so that no user name and password can be in it.
WEB_ADDRESS: Final = r"https?://[A-Za-z0-9._-]+(:[0-9]{1,5})?(/[!-?A-~]*)?"

# The stacks of a data set, in the order of their deployment. The app capitalizes these names. "cluster" is
# there only if the setting cluster_workers asks for it.
STACK_PARTS: Final = ("dataset", "prep", "training", "cluster")

# Defaults of settings that the stacks, the commands and `prep plan` share. Sizes are in GiB.
DATASET: Final = "ilsvrc2012"
RESIZE: Final = 480
QUALITY: Final = 95
PREP_INSTANCE_TYPE: Final = "t2.large"
WORK_VOLUME_TYPE: Final = "sc1"
WORK_VOLUME_GIB: Final = 1000
DATASET_VOLUME_TYPE: Final = "gp3"
DATASET_VOLUME_GIB: Final = 200
TRAINING_INSTANCE_TYPE: Final = "g5.xlarge"
RESTORED_VOLUME_TYPE: Final = "gp3"
CLUSTER_INSTANCE_TYPE: Final = "c7i.4xlarge"
CLUSTER_HEAD_TYPE: Final = "m7i.large"

# What gp3 includes at any size: IOPS, and throughput in MiB/s.
GP3_IOPS: Final = 3000
GP3_THROUGHPUT: Final = 125

# The root disks, in GiB. The prep instance's holds the system, Python and its packages; the data is on other
# volumes. The GPU image takes half of the training instance's; the rest is for frameworks and checkpoints.
PREP_ROOT_GIB: Final = 16
TRAINING_ROOT_GIB: Final = 125
# The cluster's head runs no tasks. A worker needs room for what Ray moves from memory to disk: at worst the
# merged records that wait for the digest of their file, which are the whole file if one worker does it all.
# ImageNet's largest file has 60 GB at 480 pixels.
CLUSTER_HEAD_ROOT_GIB: Final = 16
CLUSTER_ROOT_GIB: Final = 100

# Tags on volumes, snapshots and instances.
TAG_DATASET: Final = "dataset"
TAG_ROLE: Final = "dataset-role"  # which volume: "work", "packed" or "restored"
TAG_MANIFEST: Final = "dataset-manifest-sha256"
TAG_STATE: Final = "dataset-state"  # on an instance: "ready" or "failed"
TAG_REASON: Final = "dataset-reason"  # on an instance: "<data set>: <word>" for each that failed
# On a restored volume: the ARN of the instance that it was made for, and the snapshot of its bytes.
TAG_INSTANCE: Final = "dataset-instance"
TAG_SNAPSHOT: Final = "dataset-snapshot"
TAG_HEAD: Final = "dataset-head"  # on a worker of the cluster: the private address of its head

# Values of TAG_ROLE on the instances of the cluster.
ROLE_HEAD: Final = "cluster-head"
ROLE_WORKER: Final = "cluster-worker"

# The data set site's credentials: a Secrets Manager secret holding JSON with these two keys.
SECRET_USERNAME: Final = "username"  # noqa: S105 - a key, not a value
SECRET_ACCESS_KEY: Final = "access_key"  # noqa: S105 - likewise

# The service that runs `python -m prep run`, and the file of environment variables it reads.
SERVICE: Final = "dataset-prep.service"
ENVIRONMENT_FILE: Final = "/etc/dataset-prep.env"

# The services of the cluster: Ray on every machine, the work on the head.
RAY_SERVICE: Final = "dataset-ray.service"
CLUSTER_SERVICE: Final = "dataset-cluster.service"

# Environment variables. Each replaces the command line option in its comment.
ENV_DATASET: Final = "PREP_DATASET"  # --dataset: name or path of a data set description
ENV_ROOT: Final = "PREP_ROOT"  # --root: folder on the work volume
ENV_PACKED: Final = "PREP_PACKED"  # --packed: folder on the dataset volume
ENV_SOURCE: Final = "PREP_SOURCE"  # --source: base URL, bucket or folder instead of the description's URLs
ENV_BUCKET: Final = "PREP_BUCKET"  # --bucket: S3 bucket for the backup
ENV_SECRET: Final = "PREP_SECRET"  # --secret: the secret's name  # noqa: S105 - not its value
ENV_VOLUME: Final = "PREP_VOLUME"  # --volume: id of the EBS volume to snapshot
ENV_SNAPSHOT_OF: Final = "PREP_SNAPSHOT_OF"  # --snapshot-of: "packed" or "work"
ENV_RESIZE: Final = "PREP_RESIZE"  # --resize: short side in pixels, 0 reduces no image
ENV_QUALITY: Final = "PREP_QUALITY"  # --quality: JPEG quality, 1 to 100
ENV_ENVIRONMENT: Final = "PREP_ENVIRONMENT"  # --environment: such as "dev", part of the resources' names
ENV_TOPIC: Final = "PREP_TOPIC"  # --topic: ARN of the SNS topic that is told when all is done, or failed
# Not options: what the notice says about the machine.
ENV_INSTANCE: Final = "PREP_INSTANCE"  # id of the prep instance
ENV_MACHINE: Final = "PREP_MACHINE"  # what is paid for by the hour, as "t2.large,sc1=1000,gp3=200" (GiB)
# Instead of a secret, for machines outside AWS. They are not options, because options show in process lists.
ENV_USERNAME: Final = "PREP_USERNAME"
ENV_ACCESS_KEY: Final = "PREP_ACCESS_KEY"


def resource_name(dataset: str, environment: str | None) -> str:
    """The name that the resources of a data set carry: in its stacks, tags, parameters and S3 keys.

    The other functions take this name as `dataset`.
    """
    return f"{dataset}-{environment}" if environment else dataset


def stack_name(dataset: str, part: str) -> str:
    """The name of one of its stacks in CloudFormation; `part` is in STACK_PARTS."""
    return f"{dataset}-{part}"


def snapshot_parameter(dataset: str) -> str:
    """The SSM parameter that holds the id of the data set's newest verified snapshot."""
    return f"/{dataset}/snapshot-id"


def archives_prefix(dataset: str) -> str:
    """The S3 key prefix under which the archives are backed up."""
    return f"{dataset}/archives/"


def packed_prefix(dataset: str) -> str:
    """The S3 key prefix under which the packed files are backed up."""
    return f"{dataset}/packed/"


def shuffle_prefix(dataset: str) -> str:
    """The S3 key prefix of what a cluster keeps while it packs; it deletes that when all is packed."""
    return f"{packed_prefix(dataset)}.packing/"


def images_prefix(dataset: str) -> str:
    """The S3 key prefix under which single images are backed up, if they are."""
    return f"{dataset}/images/"


def status_key(dataset: str) -> str:
    """The S3 key of the object that says how far the run is; the run writes it again and again."""
    return f"{dataset}/status.json"


def receipts_prefix(dataset: str) -> str:
    """The S3 key prefix under which the stages' receipts are backed up."""
    return f"{dataset}/receipts/"
