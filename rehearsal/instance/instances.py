"""The instances of the embedded AWS that are running, each with its metadata service."""

import base64
import itertools
import json
import random
import socket
import threading
import time
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from moto.ec2.models import ec2_backends
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.iam.models import iam_backends
from moto.sts.models import sts_backends

from rehearsal.instance.machine import Hardware, Machine
from rehearsal.instance.metadata import MetadataServer, credentials_document

SESSION_SECONDS = 6 * 3600  # as long as EC2's own
# Private addresses are of loopback: a process may listen at any of them without any setup.
ADDRESSES = IPv4Address("127.1.0.0")
# Ray would reserve a third of the host's memory for objects, on each of its nodes.
RAY_OBJECTS = 200_000_000  # bytes
# Below the ports that systems give to clients.
PORTS = range(20000, 30000)


class Guests:
    """Instance id → machine. Folders of the instances lie under `folder`/instances."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self._folder = folder / "instances"
        self._endpoint = endpoint
        self._machines: dict[str, Machine] = {}
        self._metadata: dict[str, MetadataServer] = {}
        self._sessions: dict[str, tuple[float, str]] = {}
        self._numbers = itertools.count(1)
        # All instances share this machine's network, in which another Ray may have its usual port.
        self._ray = {
            "RAY_PORT": str(_free_port()),
            "RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES": str(RAY_OBJECTS),
        }

    def address(self) -> str:
        """A private address that no instance of any Region or account has or had."""
        return str(ADDRESSES + next(self._numbers))

    def machine(self, instance_id: str) -> Machine | None:
        return self._machines.get(instance_id)

    def user_data_status(self, instance_id: str) -> int | None:
        machine = self.machine(instance_id)
        return machine.user_data_status() if machine else None

    def boot(self, instance: Any) -> None:
        """Starts an instance that moto has just made; returns at once."""
        metadata = MetadataServer(lambda path: self._answer(instance, path))
        self._metadata[instance.id] = metadata
        script = base64.b64decode(str(instance.user_data)) if instance.user_data else b""
        endpoints = {"AWS_ENDPOINT_URL": self._endpoint, "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.url}
        machine = Machine(
            self._folder / instance.id,
            Hardware(instance.id, instance.instance_type, script, _processors(instance.instance_type)),
            endpoints | self._ray,
            on_power_off=lambda: self._powered_off(instance),
        )
        self._machines[instance.id] = machine
        threading.Thread(target=machine.start, daemon=True).start()

    def _powered_off(self, instance: Any) -> None:
        if instance.instance_initiated_shutdown_behavior == "terminate":
            instance.terminate()
        else:
            instance.stop()

    def end(self, instance_id: str) -> None:
        machine = self._machines.pop(instance_id, None)
        if machine:
            machine.terminate()
        metadata = self._metadata.pop(instance_id, None)
        if metadata:
            metadata.close()

    def close(self) -> None:
        for instance_id in list(self._machines):
            self.end(instance_id)

    def _answer(self, instance: Any, path: str) -> str | None:
        zone = instance.availability_zone
        data = "meta-data/"
        credentials = f"{data}iam/security-credentials"
        role = self._role(instance)
        if path.startswith(f"{data}tags/instance/"):
            return _tag(instance, path.removeprefix(f"{data}tags/instance/"))
        if path == credentials:
            return role.name if role else None
        if role and path == f"{credentials}/{role.name}":
            return self._credentials(instance, role)
        answers: dict[str, str | None] = {
            "dynamic/instance-identity/document": json.dumps(self._identity(instance)),
            f"{data}instance-id": instance.id,
            f"{data}instance-type": instance.instance_type,
            f"{data}ami-id": instance.image_id,
            f"{data}local-ipv4": instance.private_ip,
            f"{data}placement/availability-zone": zone,
            f"{data}placement/region": instance.ec2_backend.region_name,
            "user-data": base64.b64decode(str(instance.user_data)).decode() if instance.user_data else None,
        }
        return answers.get(path)

    def _identity(self, instance: Any) -> dict[str, object]:
        return {
            "accountId": instance.owner_id,
            "architecture": "x86_64",
            "availabilityZone": instance.availability_zone,
            "imageId": instance.image_id,
            "instanceId": instance.id,
            "instanceType": instance.instance_type,
            "privateIp": instance.private_ip,
            "region": instance.ec2_backend.region_name,
            "version": "2017-09-30",
        }

    def _role(self, instance: Any) -> Any:
        """The role of the instance's profile, if EC2 may assume it."""
        backend = ec2_backends[instance.owner_id][instance.ec2_backend.region_name]
        association = backend.iam_instance_profile_associations.get(instance.id)
        roles = association.iam_instance_profile.roles if association else []
        if not roles:
            return None
        role = iam_backends[instance.owner_id]["aws"].get_role_by_arn(roles[0].arn)
        return role if _trusts_ec2(json.loads(role.assume_role_policy_document)) else None

    def _credentials(self, instance: Any, role: Any) -> str:
        """Temporary credentials of the role, the same ones until they are nearly out of date."""
        until, document = self._sessions.get(instance.id, (0.0, ""))
        if until - time.time() < SESSION_SECONDS / 10:
            session = sts_backends[instance.owner_id]["aws"].assume_role(
                region_name=instance.ec2_backend.region_name,
                role_session_name=instance.id,
                role_arn=role.arn,
                policy="",
                duration=SESSION_SECONDS,
                external_id="",
            )
            until = time.time() + SESSION_SECONDS
            document = credentials_document(
                session.access_key_id,
                session.secret_access_key,
                session.session_token,
                datetime.fromtimestamp(until, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            )
            self._sessions[instance.id] = (until, document)
        return document


def _tag(instance: Any, key: str) -> str | None:
    """The value of a tag, if the instance's metadata options allow it to be told."""
    if instance.metadata_options.instance_metadata_tags != "enabled":
        return None
    return next((str(tag["value"]) for tag in instance.get_tags() if tag["key"] == key), None)


def _processors(instance_type: str) -> int | None:
    facts = INSTANCE_TYPES.get(instance_type, {}).get("VCpuInfo", {})
    return int(facts["DefaultVCpus"]) if facts else None


def _free_port() -> int:
    for port in random.sample(PORTS, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port
    raise OSError("no port is free for Ray")


def _trusts_ec2(policy: dict[str, Any]) -> bool:
    for statement in policy["Statement"]:
        service = statement.get("Principal", {}).get("Service", [])
        if statement["Effect"] == "Allow" and "ec2.amazonaws.com" in (
            service if isinstance(service, list) else [service]
        ):
            return True
    return False
