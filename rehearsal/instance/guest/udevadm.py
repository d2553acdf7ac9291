"""udevadm for an instance of the rehearsal: brings the links by label and uuid up to date."""

import json
from pathlib import Path

from rehearsal.instance.guest.devices import link_by_content


def main() -> None:
    for entry in json.loads(Path("/run/rehearsal/devices.json").read_text()):
        link_by_content(Path("/dev", entry["node"]), Path("/dev"))


if __name__ == "__main__":
    main()
