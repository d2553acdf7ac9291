"""Instances: they boot and end, and take all that their launch template says."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend
from moto.ec2.models.instances import Instance
from moto.ec2.responses.instances import InstanceResponse
from moto.ec2.utils import generate_dns_from_ip
from moto.ssm.models import Parameter, ParameterDict, ssm_backends

from rehearsal.cloud.moto_gaps import replace
from rehearsal.cloud.volumes import Volumes
from rehearsal.instance.instances import Guests

# Public parameters that moto lacks. The image ids are made up, as moto's own are.
PARAMETERS = {
    "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id": (
        "ami-0dee91ea9a1000001"
    ),
}


def install(volumes: Volumes, guests: Guests) -> None:
    public_parameters()
    launch_template_fields()
    as_many_as_asked_for()
    instance_life(volumes, guests)


def public_parameters() -> None:
    """The Deep Learning AMI's parameters, in every account and Region."""

    def make(original: Any) -> Any:
        def init(self: ParameterDict, account_id: str, region_name: str) -> None:
            original(self, account_id, region_name)
            add_public_parameters(self, account_id)

        return init

    replace(ParameterDict, "__init__", make)


def add_public_parameters(parameters: ParameterDict, account_id: str) -> None:
    """Adds the Deep Learning AMI's parameters to those of an account in one Region."""
    for name, value in PARAMETERS.items():
        parameter = Parameter(  # type: ignore[abstract]
            account_id=account_id,
            name=name,
            value=value,
            parameter_type="String",
            description=None,
            allowed_pattern=None,
            keyid=None,
            last_modified_date=utcnow(),
            version=1,
            data_type="aws:ec2:image",
        )
        parameters[name].append(parameter)


def launch_template_fields() -> None:
    """What moto leaves aside of a launch: the template's profile, image parameter, shutdown behavior and
    metadata options, the volumes' end."""

    def run(original: Any) -> Any:
        def run_instances(self: EC2Backend, image_id: str, count: int, *args: Any, **more: Any) -> Any:
            data: Mapping[str, Any] = {}
            if more.get("launch_template"):
                data = self._get_template_from_args(more["launch_template"]).data
            _check_image(self, image_id or data.get("ImageId", ""))
            for mapping in [*(more.get("block_device_mappings") or []), *data.get("BlockDeviceMappings", [])]:
                # EC2's default for volumes that come with an instance; moto's is to keep them.
                mapping["Ebs"].setdefault("DeleteOnTermination", True)
            if not more.get("instance_initiated_shutdown_behavior"):
                more["instance_initiated_shutdown_behavior"] = data.get("InstanceInitiatedShutdownBehavior")
            more["metadata_options"] = {**data.get("MetadataOptions", {}), **more.get("metadata_options", {})}
            reservation = original(self, image_id, count, *args, **more)
            profile = data.get("IamInstanceProfile", {})
            for instance in reservation.instances if profile else []:
                self.associate_iam_instance_profile(instance.id, profile.get("Name"), profile.get("Arn"))
            return reservation

        return run_instances

    replace(EC2Backend, "run_instances", run)


def _check_image(backend: EC2Backend, image: str) -> None:
    match = re.fullmatch(r"resolve:ssm:([^:]+)(:\d+)?", image)
    if match and ssm_backends[backend.account_id][backend.region_name].get_parameter(match[1]) is None:
        raise EC2ClientError("InvalidParameterValue", f"There is no parameter {match[1]} for the image")


def as_many_as_asked_for() -> None:
    """moto runs MinCount instances; EC2 as many as it can, up to MaxCount, and here it always can."""

    def make(original: Any) -> Any:
        def run_instances(self: InstanceResponse) -> Any:
            self.params["MinCount"] = self.params["MaxCount"]
            return original(self)

        return run_instances

    replace(InstanceResponse, "run_instances", make)


def give_address(instance: Instance, address: str) -> None:
    """An address at which the instance's processes can listen, in the place of the one from its subnet."""
    interface = instance.nics[0]
    interface.private_ip_address = address
    interface.private_ip_addresses[0]["PrivateIpAddress"] = address
    if "PrivateDnsName" in interface.private_ip_addresses[0]:
        interface.private_dns_name = generate_dns_from_ip(address)
        interface.private_ip_addresses[0]["PrivateDnsName"] = interface.private_dns_name


def instance_life(volumes: Volumes, guests: Guests) -> None:
    """An instance boots when it is run, and starts, stops, reboots and ends when it is told to."""

    def run(original: Any) -> Any:
        def run_instances(self: EC2Backend, *args: Any, **more: Any) -> Any:
            reservation = original(self, *args, **more)
            for instance in reservation.instances:
                give_address(instance, guests.address())
                guests.boot(instance)
            return reservation

        return run_instances

    def after(method: str) -> Callable[[Any], Any]:
        def make(original: Any) -> Any:
            def changed(self: Instance, *args: Any) -> Any:
                result = original(self, *args)
                if machine := guests.machine(self.id):
                    getattr(machine, method)()
                return result

            return changed

        return make

    def before_end(original: Any) -> Any:
        def terminate(self: Instance, *args: Any) -> Any:
            guests.end(self.id)
            for _, block in self.get_block_device_mapping:
                volumes.detach(block.volume_id)
            for interface in self.nics.values():
                interface.delete_on_termination = True  # as EC2 has it for those that come with an instance
            return original(self, *args)

        return terminate

    replace(EC2Backend, "run_instances", run)
    for name in ("start", "stop", "reboot"):
        replace(Instance, name, after(name))
    replace(Instance, "terminate", before_end)
