"""The zones that offer the instance types, and the zone for the prep instance and its volumes."""

from collections.abc import Sequence

from preflight.account import Account
from preflight.findings import Finding, fails, ok, warning

CHECK = "prep zone"


def offering_zones(account: Account, instance_type: str) -> list[str]:
    """The names of the Region's own zones, without Local Zones, that offer the type, sorted.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceTypeOfferings.html
    """
    zones = account.ec2.describe_availability_zones(
        Filters=[
            {"Name": "zone-type", "Values": ["availability-zone"]},
            {"Name": "state", "Values": ["available"]},
        ]
    )["AvailabilityZones"]
    offers = account.ec2.describe_instance_type_offerings(
        LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": [instance_type]}]
    )["InstanceTypeOfferings"]
    offering = {offer["Location"] for offer in offers}
    return sorted(zone["ZoneName"] for zone in zones if zone["ZoneName"] in offering)


def choose(
    instance_type: str, offered: Sequence[str], wanted: str | None, present: str | None
) -> tuple[str | None, Finding]:
    """The zone for the prep instance: that of the volumes that exist, else the setting, else the first.

    offered: the zones that offer the type; wanted: the setting prep_zone; present: the volumes' zone.
    """
    names = ", ".join(offered) or "none in this Region"
    if present is not None:
        if present not in offered:
            return None, fails(
                CHECK,
                f"the volumes are in {present}, which does not offer {instance_type}",
                f"set prep_instance_type to a type that {present} offers",
            )
        if wanted not in (None, present):
            return present, warning(
                CHECK,
                f"{present}, because the volumes are there; prep_zone={wanted} has no effect",
                "remove prep_zone",
            )
        return present, ok(CHECK, f"{present}, because the volumes are there")
    if wanted is not None:
        if wanted not in offered:
            return None, fails(
                CHECK,
                f"prep_zone={wanted} does not offer {instance_type}",
                f"set prep_zone to one that does ({names})",
            )
        return wanted, ok(CHECK, f"{wanted}, as prep_zone says")
    if not offered:
        return None, fails(
            CHECK, f"no zone of this Region offers {instance_type}", "set another prep_instance_type"
        )
    return offered[0], ok(CHECK, f"{offered[0]}, the first of those that offer {instance_type} ({names})")


def not_known(error: Finding) -> Finding:
    """The zone can't be chosen if nobody can see whether volumes exist: they can't get another zone.

    CloudFormation then ends the deployment: https://github.com/awsdocs/aws-cloudformation-user-guide/pull/556
    """
    return fails(
        CHECK,
        f"not chosen, because it is unknown whether volumes exist ({error.found})",
        f"{error.remedy}, or set prep_zone to the zone of the volumes",
    )


def check_training(account: Account, instance_type: str) -> Finding:
    """Which zones offer the training instances' type."""
    return _check_type(account, "training zones", instance_type, "training_instance_type")


def check_cluster(account: Account, head: str, worker: str) -> list[Finding]:
    """Which zones offer the types of the cluster's machines."""
    return [
        _check_type(account, "head zones", head, "cluster_head_type"),
        _check_type(account, "worker zones", worker, "cluster_instance_type"),
    ]


def _check_type(account: Account, check: str, instance_type: str, setting: str) -> Finding:
    offered = offering_zones(account, instance_type)
    if not offered:
        return warning(
            check,
            f"no zone of this Region offers {instance_type}",
            f"set another {setting} before you launch instances",
        )
    return ok(check, f"{instance_type} is offered in {', '.join(offered)}")
