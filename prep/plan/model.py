"""How long a run takes, from its bytes and the rates of what they pass: pure functions, in seconds and bytes.

A part of a run is a set of demands that pass at the same time. The longest demand counts. The processors also
drive the devices, so a part in which both are busy takes longer than either.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

MIB = 1 << 20
LINK, WORK_VOLUME, DATASET_VOLUME, NETWORK = "link", "work volume", "dataset volume", "network"
EBS, CORES = "EBS bandwidth", "cores"

# How cores and the busiest device share a part: (device^n + cores^n)^(1/n). Chosen so that `python -m bench
# whole` comes out right: with 3, two equal demands take 1.26 times as long as one.
SHARING = 3.0


@dataclass(frozen=True)
class Flow:
    """Bytes a second: `burst` while there is credit, then `base`. `credit` is in bytes above the base."""

    burst: float
    base: float
    credit: float

    @classmethod
    def steady(cls, rate: float) -> "Flow":
        """A rate that lasts."""
        return cls(rate, rate, 0.0)

    def seconds(self, amount: float) -> float:
        """How long it takes at least until so many bytes have passed."""
        if self.burst <= self.base:
            return amount / self.base
        lasting = self.credit / (self.burst - self.base)
        if amount <= self.burst * lasting:
            return amount / self.burst
        return lasting + (amount - self.burst * lasting) / self.base

    def spent(self, amount: float, seconds: float) -> float:
        """The credit that is gone when so many bytes have passed in so many seconds."""
        return min(self.credit, max(0.0, amount - self.base * seconds))

    def after(self, amount: float, seconds: float) -> "Flow":
        """What is left of it then."""
        return Flow(self.burst, self.base, self.credit - self.spent(amount, seconds))


@dataclass(frozen=True)
class Volume:
    """What a volume gives.

    A request of up to `request_bytes` counts as one of `requests` a second. With `whole_requests`, as on sc1
    and st1, it also counts as `request_bytes` of throughput and of credit, however small it is.
    """

    name: str
    flow: Flow
    requests: float
    request_bytes: int
    whole_requests: bool = False

    def counted(self, amount: float, request: float) -> float:
        """The bytes that are counted for so many bytes, in requests of that mean size."""
        size = min(request, self.request_bytes)
        by_requests = self.flow.burst / self.requests / size
        by_size = self.request_bytes / size if self.whole_requests else 1.0
        return amount * max(1.0, by_requests, by_size)

    def count(self, amount: float, request: float) -> int:
        """How many requests that is."""
        return round(amount / min(request, self.request_bytes))


@dataclass(frozen=True)
class Effort:
    """Processor seconds: for a byte of archives, loose images, packed files, or uploads; and for an image.

    Those of `link` and `store` are other programs' on the same cores: the bench's archive site and S3 server.
    """

    start: float
    download: float
    organize: float
    deal: float
    merge: float
    verify: float
    image: float
    backup: float
    link: float = 0.0
    store: float = 0.0


@dataclass(frozen=True)
class Machine:
    """What a machine has. `ebs` is None where nothing is known, or where volumes are no limit.

    network: bytes a second in each direction, or None
    """

    cores: float
    effort: Effort
    ebs: Flow | None = None
    network: float | None = None


@dataclass(frozen=True)
class Work:
    """What a run has to do, in bytes. `loose` is 0 without class folders; `unit` is the largest unit."""

    archives: int
    loose: int
    packed: int
    images: int = 0
    backup: bool = False
    unit: int = 0


@dataclass(frozen=True)
class Rates:
    """What the run's bytes pass. Without a machine, no processor time is counted.

    link: bytes a second, or None where the source makes nobody wait
    together: a volume counts reads and writes together, as EBS does; else each has the volume's rate
    work_request, dataset_request: mean bytes of a request at the volume
    unflushed: bytes of loose images that may still be on their way to the work volume when the merge begins
    start: seconds until the first byte is asked for
    """

    link: float | None
    work: Volume
    dataset: Volume
    together: bool = True
    work_request: float = MIB
    dataset_request: float = MIB
    unflushed: int = 0
    machine: Machine | None = None
    start: float = 0.0


@dataclass(frozen=True)
class Demand:
    """An amount that has to pass a resource: bytes, or processor seconds at the cores. It takes `seconds`."""

    job: str
    resource: str
    amount: float
    seconds: float
    requests: int | None = None


@dataclass(frozen=True)
class Part:
    """Demands at the same time, then `extra` seconds in which they wait for one another."""

    name: str
    demands: tuple[Demand, ...]
    extra: float = 0.0

    @property
    def busiest(self) -> Demand:
        """The demand that limits the part."""
        return max(self.demands, key=lambda demand: demand.seconds)

    @property
    def seconds(self) -> float:
        """How long the part takes."""
        cores = max((d.seconds for d in self.demands if d.resource == CORES), default=0.0)
        device = max((d.seconds for d in self.demands if d.resource != CORES), default=0.0)
        return shared(device, cores) + self.extra


@dataclass(frozen=True)
class Run:
    """The two parts of a run that can be calculated, and what is left to write when the second ends."""

    arriving: Part
    tail: Part
    behind: float = field(default=0.0)

    @property
    def seconds(self) -> float:
        """How long both take."""
        return max(self.arriving.seconds + self.tail.seconds, self.behind)


def shared(device: float, cores: float) -> float:
    """The seconds of a part whose busiest device and whose cores need so many seconds each."""
    if not device or not cores:
        return device or cores
    longest = max(device, cores)
    return float(longest * ((device / longest) ** SHARING + (cores / longest) ** SHARING) ** (1 / SHARING))


def predict(work: Work, rates: Rates) -> Run:
    """Both parts of a run."""
    arriving = Part("archives arriving", tuple(_arriving(work, rates)), rates.start + _last_unit(work, rates))
    used = sum(d.amount for d in arriving.demands if d.resource == EBS)
    tail = Part("merge and verify", tuple(_tail(work, rates, used, arriving.seconds)))
    # The work volume may still be busy while the buckets are merged, but the run ends when all is written.
    written = work.archives + work.loose
    behind = rates.start + rates.work.flow.seconds(rates.work.counted(written, rates.work_request))
    return Run(arriving, tail, behind)


def _arriving(work: Work, rates: Rates) -> Iterator[Demand]:
    if rates.link:
        yield Demand("download", LINK, work.archives, work.archives / rates.link)
    written = work.archives + work.loose
    # At most the loose images can be late: an archive is on the disk before it counts.
    late = min(rates.unflushed, work.loose)
    job = "organize, archives" if work.loose else "archives"
    yield _at_volume(job, WORK_VOLUME, rates.work, written, rates.work_request, late)
    yield _at_volume("pack, dealing", DATASET_VOLUME, rates.dataset, work.packed, rates.dataset_request)
    if not rates.machine:
        return
    if work.backup:
        yield _upload("backup of archives", work.archives, rates.machine)
    yield from _ebs(written + work.packed, rates.machine.ebs)
    yield Demand("processing", CORES, effort := arriving_effort(work, rates), effort / rates.machine.cores)


def _tail(work: Work, rates: Rates, used: float, seconds: float) -> Iterator[Demand]:
    """The merge reads the buckets and writes the packed files, verify reads these."""
    reads, writes = 2 * work.packed, work.packed
    counted = reads + writes if rates.together else max(reads, writes)
    yield _at_volume("merge, verify", DATASET_VOLUME, rates.dataset, counted, rates.dataset_request)
    if not rates.machine:
        return
    if work.backup:
        yield _upload("backup of packed files", work.packed, rates.machine)
    ebs = rates.machine.ebs
    yield from _ebs(reads + writes, ebs.after(used, seconds) if ebs else None)
    yield Demand("processing", CORES, effort := tail_effort(work, rates), effort / rates.machine.cores)


def _at_volume(
    job: str, resource: str, volume: Volume, amount: float, request: float, late: float = 0
) -> Demand:
    seconds = volume.flow.seconds(volume.counted(amount - late, request))
    return Demand(job, resource, amount, seconds, volume.count(amount, request))


def _upload(job: str, amount: float, machine: Machine) -> Demand:
    return Demand(job, NETWORK, amount, amount / machine.network if machine.network else 0.0)


def _ebs(amount: float, flow: Flow | None) -> Iterator[Demand]:
    if flow:
        yield Demand("all volumes", EBS, amount, flow.seconds(amount))


def arriving_effort(work: Work, rates: Rates) -> float:
    """Processor seconds while the archives arrive."""
    if not rates.machine:
        return 0.0
    effort = rates.machine.effort
    each = effort.download + effort.deal + (effort.link if rates.link else 0.0)
    sent = work.archives * (effort.backup + effort.store) if work.backup else 0.0
    loose = max(0, work.loose - rates.unflushed) * effort.organize
    return effort.start + work.archives * each + sent + loose + work.images * effort.image


def tail_effort(work: Work, rates: Rates) -> float:
    """Processor seconds of merge and verify, with the loose images and the backup that go on beside them."""
    if not rates.machine:
        return 0.0
    effort = rates.machine.effort
    sent = effort.backup + effort.store if work.backup else 0.0
    late = min(work.loose, rates.unflushed) * effort.organize
    return work.packed * (effort.merge + effort.verify + sent) + late + work.images * effort.image


def _last_unit(work: Work, rates: Rates) -> float:
    """The last unit is packed and dealt after its last byte has arrived, and nothing else goes on then."""
    if not rates.machine or not work.unit:
        return 0.0
    share = work.unit / work.archives
    effort = rates.machine.effort
    packing = work.unit * effort.deal + share * work.images * effort.image
    return packing / rates.machine.cores + rates.dataset.flow.seconds(share * work.packed)
