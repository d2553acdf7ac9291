"""What the kernel and udev do in an instance: device nodes for attached volumes, and the links to them."""

# ruff: noqa: S603 (fixed commands, found on the PATH)

import json
import os
import subprocess
from pathlib import Path

_known: dict[str, dict[str, str | int]] = {}  # volume id → its entry in the host's list
_labelled: set[str] = set()  # volumes whose links by label and uuid are there


def sync_devices(listing: Path, dev: Path) -> None:
    """Makes the nodes of volumes that were attached since the last call, and removes those of the others."""
    attached = {entry["volume"]: entry for entry in json.loads(listing.read_text())}
    for volume in [known for known in _known if known not in attached]:
        _remove(_known.pop(volume), dev)
        _labelled.discard(volume)
    for volume, entry in attached.items():
        if volume not in _known:
            _make(entry, dev)
            _known[volume] = entry
        if volume not in _labelled and link_by_content(dev / entry["node"], dev):
            _labelled.add(volume)


def _make(entry: dict[str, str | int], dev: Path) -> None:
    node = dev / str(entry["node"])
    if not node.exists():
        os.mknod(node, 0o660 | 0o060000, os.makedev(int(entry["major"]), int(entry["minor"])))
    for link in _identity_links(entry, dev):
        _link(link, node)


def _identity_links(entry: dict[str, str | int], dev: Path) -> list[Path]:
    """Amazon Linux's links by volume id and by the name that was asked for."""
    links = [dev / str(entry["asked"])] if entry["asked"] != entry["node"] else []
    if str(entry["node"]).startswith("nvme"):
        serial = str(entry["volume"]).replace("-", "")
        links.append(dev / "disk" / "by-id" / f"nvme-Amazon_Elastic_Block_Store_{serial}")
    return links


def link_by_content(node: Path, dev: Path) -> bool:
    """Links by label and uuid, once there is a file system. False while there is none."""
    probe = ["blkid", "--probe", "--output", "export", str(node)]
    found = subprocess.run(probe, capture_output=True, text=True, check=False)
    values = dict(line.split("=", 1) for line in found.stdout.splitlines() if "=" in line)
    for key, folder in (("LABEL", "by-label"), ("UUID", "by-uuid")):
        if key in values:
            _link(dev / "disk" / folder / values[key], node)
    return "UUID" in values


def _link(link: Path, node: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    target = os.path.relpath(node, link.parent)
    if not (link.is_symlink() and str(link.readlink()) == target):
        link.unlink(missing_ok=True)
        link.symlink_to(target)


def _remove(entry: dict[str, str | int], dev: Path) -> None:
    node = dev / str(entry["node"])
    for link in [*_identity_links(entry, dev), *dev.glob("disk/by-*/*")]:
        if link.is_symlink() and (link.parent / link.readlink()).resolve() == node.resolve():
            link.unlink()
    node.unlink(missing_ok=True)
