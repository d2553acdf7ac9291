"""Stacks: taken down in the order of their dependencies, with nothing left that moto forgets.

moto tries in no order and again until nothing changes, and leaves volumes, routes, route tables and
gateways where they are.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from moto.cloudformation.models import Stack
from moto.cloudformation.parsing import OutputMap, ResourceMap, get_references_from_template
from moto.ec2.models import ec2_backends

from rehearsal.cloud.moto_gaps import replace


def install() -> None:
    def delete(self: ResourceMap) -> None:
        remove(self, self._resource_json_map)

    def forgets_outputs(original: Any) -> Any:
        def stack_delete(self: Stack) -> None:
            # moto makes a resource again when an output that refers to it is looked at.
            self.output_map = OutputMap(self.resource_map, {"Outputs": {}}, self.stack_id)
            original(self)

        return stack_delete

    ResourceMap.delete = delete  # type: ignore[method-assign]
    replace(Stack, "delete", forgets_outputs)


def remove(resources: ResourceMap, definitions: Mapping[str, Any]) -> None:
    """Takes these resources of a stack down, each before those that it depends on."""
    for name in reversed(_dependency_order(definitions)):
        resource = resources._parsed_resources.get(name)
        definition = definitions[name]
        if resource is None or isinstance(resource, str) or definition.get("DeletionPolicy") == "Retain":
            continue
        deleter = _DELETERS.get(definition["Type"])
        if deleter is None:
            resources._delete_resource(resource, definition)
        else:
            deleter(ec2_backends[resources._account_id][resources._region_name], resource, definition)
        resources._parsed_resources.pop(name)


def _volume(backend: Any, volume: Any, definition: Mapping[str, Any]) -> None:
    if definition.get("DeletionPolicy") == "Snapshot":
        snapshot = backend.create_snapshot(volume.id, f"Last state of {volume.id}")
        snapshot.add_tags({tag["key"]: tag["value"] for tag in volume.get_tags()})
    backend.delete_volume(volume.id)


def _association(backend: Any, association: Any, _definition: Mapping[str, Any]) -> None:
    table = backend.get_route_table(association.route_table_id)
    for key, subnet in list(table._associations.items()):
        if subnet == association.subnet_id:
            backend.disassociate_route_table(key)


def _route(backend: Any, route: Any, _definition: Mapping[str, Any]) -> None:
    backend.delete_route(route.route_table.id, route.destination_cidr_block)


def _route_table(backend: Any, table: Any, _definition: Mapping[str, Any]) -> None:
    backend.delete_route_table(table.id)


def _attachment(backend: Any, attachment: Any, _definition: Mapping[str, Any]) -> None:
    backend.detach_internet_gateway(attachment.gateway_id, attachment.vpc_id)


def _gateway(backend: Any, gateway: Any, _definition: Mapping[str, Any]) -> None:
    backend.delete_internet_gateway(gateway.id)


def _endpoint(backend: Any, endpoint: Any, _definition: Mapping[str, Any]) -> None:
    backend.delete_vpc_endpoints([endpoint.id])


def _vpc(backend: Any, vpc: Any, _definition: Mapping[str, Any]) -> None:
    backend.delete_vpc(vpc.id)
    for name, acl in list(backend.network_acls.items()):
        if acl.vpc_id == vpc.id:
            del backend.network_acls[name]


_DELETERS: dict[str, Callable[[Any, Any, Mapping[str, Any]], None]] = {
    "AWS::EC2::InternetGateway": _gateway,
    "AWS::EC2::Route": _route,
    "AWS::EC2::RouteTable": _route_table,
    "AWS::EC2::SubnetRouteTableAssociation": _association,
    "AWS::EC2::VPC": _vpc,
    "AWS::EC2::VPCEndpoint": _endpoint,
    "AWS::EC2::VPCGatewayAttachment": _attachment,
    "AWS::EC2::Volume": _volume,
}


def _dependency_order(resources: Mapping[str, Any]) -> list[str]:
    """Every resource after those that it refers to or depends on."""
    order: list[str] = []
    seen: set[str] = set()

    def visit(name: str) -> None:
        if name in seen or name not in resources:
            return
        seen.add(name)
        for dependency in sorted(_dependencies(resources[name])):
            visit(dependency)
        order.append(name)

    for name in resources:
        visit(name)
    return order


def _dependencies(resource: Mapping[str, Any]) -> set[str]:
    stated = resource.get("DependsOn", [])
    found = {stated} if isinstance(stated, str) else set(stated)
    found |= set(get_references_from_template(dict(resource)))

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if "Fn::GetAtt" in node:
                value = node["Fn::GetAtt"]
                found.add(value.partition(".")[0] if isinstance(value, str) else value[0])
            if "Fn::Sub" in node:
                text = node["Fn::Sub"] if isinstance(node["Fn::Sub"], str) else node["Fn::Sub"][0]
                found.update(re.findall(r"\$\{(\w+)", text))
            for child in node.values():
                walk(child)
        elif isinstance(node, list):
            for child in node:
                walk(child)

    walk(resource)
    return found
