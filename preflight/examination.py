"""All checks, in two rounds: first who calls and what is deployed, then the rest at the same time."""

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

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


def examine(account: Account, settings: Settings, dataset: Dataset, stacks: Collection[str]) -> Examination:
    """Makes the checks that a deployment of these stacks needs. It takes seconds, and changes nothing."""
    with ThreadPoolExecutor(max_workers=16, thread_name_prefix="check") as pool:
        looking = pool.submit(_look, account, dataset.name)
        caller = identify(account, settings.account)
        if caller.verdict is Verdict.FAILS:
            return Examination([caller])
        there, unknown = looking.result()
        states = [unknown] if unknown else deployed.check(there, dataset.name, account.region, stacks)
        states += deployed.check_left_out(there, dataset.name, account.region, settings.cluster_workers)
        checks = _checks(account, settings, there)
        if "Prep" not in stacks:
            results = [pool.submit(_perform, *check) for check in checks]
            found = [finding for result in results for finding in result.result()]
            # The Dataset stack exports the subnet in this zone, and the Prep stack imports it.
            return Examination([caller, *states, *found], there.zone)
        checks += _prep_checks(account, settings, dataset, there)
        choosing = pool.submit(choose_zone, account, settings, there, unknown)
        results = [pool.submit(_perform, *check) for check in checks]
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
    wanted = settings.prep_zone
    if unknown and wanted is None:
        return None, zones.not_known(unknown)
    try:
        offered = zones.offering_zones(account, settings.prep_instance_type)
    except CALL_FAILURES as error:
        return there.zone or wanted, not_checked(zones.CHECK, error)
    return zones.choose(settings.prep_instance_type, offered, wanted, there.zone)


def _checks(account: Account, settings: Settings, there: Deployed) -> list[Check]:
    """The checks for any of the stacks, in the order in which they are shown."""
    checks: list[Check] = [
        (bootstrap.CHECK, lambda: bootstrap.check(account)),
        ("training zones", lambda: zones.check_training(account, settings.training_instance_type)),
        ("vCPUs training", lambda: quotas.check_training_vcpus(account, settings)),
        ("VPCs", lambda: quotas.check_vpcs(account, there)),
        (image.CHECK, lambda: image.check(account)),
    ]
    if settings.cluster_workers:
        head, worker = settings.cluster_head_type, settings.cluster_instance_type
        checks += [
            ("cluster zones", lambda: zones.check_cluster(account, head, worker)),
            ("vCPUs cluster", lambda: quotas.check_cluster_vcpus(account, settings)),
        ]
    key = settings.key
    if key and key.startswith("arn:"):
        checks.append(("key", lambda: keys.check_setting(account, key)))
    elif not key:
        checks.append(("default EBS key", lambda: keys.check_default(account)))
    return checks


def _prep_checks(account: Account, settings: Settings, dataset: Dataset, there: Deployed) -> list[Check]:
    """The checks for the Prep stack alone. A snapshot counts only until its volume has been made."""
    checks: list[Check] = [
        (site.CHECK, lambda: check_source(account, settings, dataset, there)),
        ("vCPUs prep", lambda: quotas.check_prep_vcpus(account, settings, there)),
        ("storage", lambda: quotas.check_storage(account, settings, there)),
        ("snapshots", lambda: quotas.check_snapshots(account)),
    ]
    for role, name, snapshot_id, gib in (
        ("work", "work_snapshot", settings.work_snapshot, settings.work_volume_gib),
        ("packed", "dataset_snapshot", settings.dataset_snapshot, settings.dataset_volume_gib),
    ):
        if snapshot_id and role not in there.volumes:
            checks.append((name, partial(snapshots.check, account, name, snapshot_id, gib, settings.key)))
    return checks


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
    found, credentials = secret.check(account, settings.secret_name or f"{dataset.own_name}/credentials")
    if credentials is None:
        return [found, warning(site.CHECK, "not checked, because there are no credentials to try")]
    return [found, site.check(site.web_source(source, credentials), facts)]


def _perform(name: str, check: Callable[[], Finding | list[Finding]]) -> list[Finding]:
    try:
        found = check()
    except CALL_FAILURES as error:
        return [not_checked(name, error)]
    return found if isinstance(found, list) else [found]
