"""All checks, in two rounds: first who calls and what is deployed, then the rest at the same time."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from preflight import bootstrap, deployed, image, keys, quotas, secret, site, snapshots, volumes, zones
from preflight.account import Account
from preflight.deployed import Deployed
from preflight.findings import CALL_FAILURES, Finding, Verdict, fails, not_checked, ok, reason, warning
from prep.datasets import description
from stacks.settings import Dataset, Settings

# A check with its name, which is shown if a call is refused.
Check = tuple[str, Callable[[], "Finding | list[Finding]"]]


@dataclass(frozen=True)
class Examination:
    """What all checks found, and the zone for the prep instance; None if no zone was chosen."""

    findings: Sequence[Finding]
    zone: str | None = None

    def count(self, verdict: Verdict) -> int:
        """The number of findings with this verdict."""
        return sum(finding.verdict is verdict for finding in self.findings)


def examine(account: Account, settings: Settings, dataset: Dataset) -> Examination:
    """Makes all checks. It takes some seconds, and changes nothing."""
    with ThreadPoolExecutor(max_workers=16, thread_name_prefix="check") as pool:
        looking = pool.submit(_look, account, dataset.name)
        caller = identify(account, settings.account)
        if caller.verdict is Verdict.FAILS:
            return Examination([caller])
        there, unknown = looking.result()
        choosing = pool.submit(choose_zone, account, settings, there, unknown)
        results = [pool.submit(_perform, *check) for check in _checks(account, settings, dataset, there)]
        states = [unknown] if unknown else deployed.check(there, dataset.name)
        zone, choice = choosing.result()
        found = [finding for result in results for finding in result.result()]
    return Examination([caller, *states, choice, *volumes.check(settings, there), *found], zone)


def identify(account: Account, wanted: str | None) -> Finding:
    """Who calls, in which account and Region."""
    try:
        caller = account.sts.get_caller_identity()
    except CALL_FAILURES as error:
        return fails("account", reason(error), "set AWS credentials, for example with `aws configure`")
    found = f"{caller['Account']}, {account.region}, {caller['Arn']}"
    if wanted not in (None, caller["Account"]):
        return fails(
            "account", f"{found}; the setting account is {wanted}", "use credentials of that account"
        )
    return ok("account", found)


def _look(account: Account, dataset: str) -> tuple[Deployed, Finding | None]:
    """What is deployed; if that can't be seen, the reason."""
    try:
        return deployed.look(account, dataset), None
    except CALL_FAILURES as error:
        return Deployed(), not_checked("stacks", error)


def choose_zone(
    account: Account, settings: Settings, there: Deployed, unknown: Finding | None
) -> tuple[str | None, Finding]:
    """The zone for the prep instance and its volumes. It does not change while the volumes exist."""
    wanted: str | None = getattr(settings, "prep_zone", None)
    if unknown and wanted is None:
        return None, zones.not_known(unknown)
    try:
        offered = zones.offering_zones(account, settings.prep_instance_type)
    except CALL_FAILURES as error:
        return there.zone or wanted, not_checked(zones.CHECK, error)
    return zones.choose(settings.prep_instance_type, offered, wanted, there.zone)


def _checks(account: Account, settings: Settings, dataset: Dataset, there: Deployed) -> list[Check]:
    """All checks that need nothing of each other, in the order in which they are shown."""
    checks: list[Check] = [
        (bootstrap.CHECK, lambda: bootstrap.check(account)),
        (site.CHECK, lambda: check_source(account, settings, dataset, there)),
        ("training zones", lambda: zones.check_training(account, settings.training_instance_type)),
        ("vCPUs prep", lambda: quotas.check_prep_vcpus(account, settings, there)),
        ("vCPUs training", lambda: quotas.check_training_vcpus(account, settings)),
        ("storage", lambda: quotas.check_storage(account, settings, there)),
        ("snapshots", lambda: quotas.check_snapshots(account)),
        ("VPCs", lambda: quotas.check_vpcs(account, there)),
        (image.CHECK, lambda: image.check(account)),
    ]
    key: str | None = getattr(settings, "key", None)
    if key and key.startswith("arn:"):
        checks.append(("key", lambda: keys.check_setting(account, key)))
    elif not key:
        checks.append(("default EBS key", lambda: keys.check_default(account)))
    for name, volume in (
        ("work_snapshot", settings.work_volume),
        ("dataset_snapshot", settings.dataset_volume),
    ):
        if snapshot_id := getattr(settings, name, None):
            checks.append((name, _snapshot_check(account, name, snapshot_id, volume.gib)))
    return checks


def _snapshot_check(account: Account, name: str, snapshot_id: str, gib: int) -> Callable[[], Finding]:
    return lambda: snapshots.check(account, name, snapshot_id, gib)


def check_source(account: Account, settings: Settings, dataset: Dataset, there: Deployed) -> list[Finding]:
    """The secret and the archives' place. A prep instance that is there may need neither any more."""
    found = _try_source(account, settings, dataset)
    if not there.has("Prep"):
        return found
    return [
        replace(each, verdict=Verdict.WARNING) if each.verdict is Verdict.FAILS else each for each in found
    ]


def _try_source(account: Account, settings: Settings, dataset: Dataset) -> list[Finding]:
    facts = description.load(str(dataset.path))
    source = settings.source
    if source is not None and site.is_in_s3(source):
        return [site.check(site.bucket_source(account, source), facts)]
    own_name: str = getattr(dataset, "own_name", dataset.name)
    found, credentials = secret.check(account, settings.secret_name or f"{own_name}/credentials")
    if credentials is None:
        return [found, warning(site.CHECK, "not checked, because there are no credentials to try")]
    return [found, site.check(site.web_source(source, credentials), facts)]


def _perform(name: str, check: Callable[[], Finding | list[Finding]]) -> list[Finding]:
    try:
        found = check()
    except CALL_FAILURES as error:
        return [not_checked(name, error)]
    return found if isinstance(found, list) else [found]
