"""Where moto falls short of what the stacks and the instances rely on: every change to it is in this package.

Each function changes one thing and says what. README.md lists them, so that nobody takes the
rehearsal's word for more than it checks.
"""

import functools
from collections.abc import Callable
from typing import Any

from rehearsal.cloud.volumes import Volumes
from rehearsal.instance.instances import Guests


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Puts make(original) in the place of an attribute of moto's."""
    original = getattr(owner, name)
    setattr(owner, name, functools.wraps(original)(make(original)))


def install(volumes: Volumes, guests: Guests) -> None:
    """Changes moto, for the life of this process."""
    from rehearsal.cloud.moto_gaps import (
        copies,
        ebs,
        instances,
        keys,
        limits,
        secrets,
        signals,
        stacks,
        topics,
    )

    ebs.install(volumes, guests)
    copies.install(volumes)
    instances.install(volumes, guests)
    limits.install()
    stacks.install()
    signals.install(guests)
    keys.install()
    topics.install()
    secrets.install()
