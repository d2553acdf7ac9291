"""What the model rests on: published limits and prices, and costs measured with `python -m bench cluster`."""

from dataclasses import dataclass
from typing import Final

from prep.cluster.place import AT_ONCE
from prep.cluster.transfer import CONNECTIONS
from prep.cluster.work import PREFIXES
from prep.plan.machines import instance_types
from prep.prices import shipped

KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30
TIB: Final = 1 << 40
HOURS_A_MONTH: Final = 730


@dataclass(frozen=True)
class Machine:
    """A node of the cluster: cores (vCPUs), bytes of memory, bytes a second in each direction, $ an hour."""

    name: str
    cores: int
    memory: int
    network: float
    hour: float


def _m7i_2xlarge() -> Machine:
    """Twice an m7i.xlarge in all four: DescribeInstanceTypes, as moto 5.2.5 records it, and EC2's prices.

    The network rate is the base. https://aws.amazon.com/ec2/instance-types/m7i/
    """
    half = instance_types()["m7i.xlarge"]
    return Machine(
        "m7i.2xlarge",
        2 * half.vcpus,
        32 * GIB,
        3.125e9 / 8,
        2 * shipped().instance_hour["m7i.xlarge"],
    )


MACHINE: Final = _m7i_2xlarge()
NODES: Final = 64

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html: for each prefix of keys,
# and "latencies of roughly 100-200 milliseconds".
GETS_A_SECOND: Final = 5500
PUTS_A_SECOND: Final = 3500
LATENCY: Final = 0.1
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance-design-patterns.html: "one
# concurrent request for each 85-90 MB/s".
CONNECTION: Final = 85e6
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
MOST_PARTS: Final = 10_000
LARGEST_PART: Final = 5 * GIB
LARGEST_OBJECT: Final = MOST_PARTS * LARGEST_PART  # 48.8 TiB
# https://aws.amazon.com/s3/pricing/, us-east-1, S3 Standard. DELETE costs nothing.
GET_PRICE: Final = 0.0004 / 1000
PUT_PRICE: Final = shipped().thousand["put"] / 1000
MONTH_PRICE: Final = shipped().gib_month["bucket"] / GIB  # a byte for a month

# Ray keeps this share of a machine's memory for its object store.
# https://docs.ray.io/en/latest/ray-core/scheduling/memory-management.html
STORE_SHARE: Final = 0.3
SYSTEM_MEMORY: Final = 1 * GIB  # the operating system, and Ray's own processes
# boto3's upload_fileobj, of a stream whose size it does not know: 10,000 parts of this size.
STREAM_PART: Final = 8 * MIB
LIST_LINE: Final = 60  # bytes of a line of .lst
CONNECTIONS_DEAL: Final = CONNECTIONS
CONNECTIONS_MERGE: Final = AT_ONCE
SPREAD_OVER: Final = PREFIXES


@dataclass(frozen=True)
class Costs:
    """Measured on one core of the machine that bench/RESULTS.md names, at 480/95.

    Attributes:
        deal: processor seconds for a byte of the archive.
        merge: processor seconds for a byte of records, without its requests.
        get: processor seconds for a ranged GET of a slice, beside its bytes.
        task: processor seconds of Ray, all its processes, for a task.
        copy: processor seconds for a byte that a task leaves in Ray's object store.
        sha256, md5: bytes a second of a chain.
        link: seconds between two links of a chain.
        packed: bytes of records for a byte of the archive.
        deal_heap, merge_heap: bytes of a worker's memory for a byte of its unit, or of its range.
        base: bytes of a worker's memory without any.
    """

    deal: float
    merge: float
    get: float
    task: float
    copy: float
    sha256: float
    md5: float
    link: float
    packed: float
    deal_heap: float
    merge_heap: float
    base: int


MEASURED: Final = Costs(
    deal=8.0e-9,
    merge=3.3e-9,
    get=0.9e-3,
    task=2e-3,
    copy=0.15e-9,
    sha256=2.0e9,
    md5=0.85e9,
    link=0.004,
    packed=0.81,
    deal_heap=3.7,
    merge_heap=2.2,
    base=140 * MIB,
)
