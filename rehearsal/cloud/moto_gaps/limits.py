"""What an account may use: its quotas for instances and volumes, and the key that EBS takes by default."""

from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.responses.elastic_block_store import ElasticBlockStore
from moto.servicequotas.models import ServiceQuotasBackend

from rehearsal.cloud.moto_gaps import replace

# Values are made up, except for the defaults of EBS:
# https://docs.aws.amazon.com/ebs/latest/userguide/ebs-resource-quotas.html
QUOTAS = {
    ("ec2", "L-1216C47A"): ("Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", 64.0),
    ("ec2", "L-DB2E81BA"): ("Running On-Demand G and VT instances", 192.0),
    ("ec2", "L-417A185B"): ("Running On-Demand P instances", 192.0),
    ("ebs", "L-7A658B76"): ("Storage for General Purpose SSD (gp3) volumes, in TiB", 50.0),
    ("ebs", "L-17AF77E8"): ("Storage for Cold HDD (sc1) volumes, in TiB", 50.0),
    ("ebs", "L-309BACF6"): ("Snapshots per Region", 100000.0),
}


def install() -> None:
    """moto has only the quotas of VPC, and can set the default key of EBS, but not tell it."""
    service_quotas()
    default_ebs_key()


def service_quotas() -> None:
    def make(original: Any) -> Any:
        def get(self: ServiceQuotasBackend, service_code: str, quota_code: str) -> dict[str, Any]:
            if (service_code, quota_code) not in QUOTAS:
                found: dict[str, Any] = original(self, service_code, quota_code)
                return found
            name, value = QUOTAS[service_code, quota_code]
            return {
                "ServiceCode": service_code,
                "QuotaCode": quota_code,
                "QuotaName": name,
                "Value": value,
            }

        return get

    replace(ServiceQuotasBackend, "get_service_quota", make)


def default_ebs_key() -> None:
    def get_ebs_default_kms_key_id(self: ElasticBlockStore) -> ActionResult:
        return ActionResult({"KmsKeyId": self.ec2_backend.default_kms_key_id or "alias/aws/ebs"})

    setattr(ElasticBlockStore, get_ebs_default_kms_key_id.__name__, get_ebs_default_kms_key_id)
