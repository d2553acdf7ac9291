"""The document names exactly the fields of each result. The fixture `call` compares the permissions."""

from dataclasses import fields as of_class

from prep.owner.launch import Instance
from prep.owner.remains import Thing
from prep.owner.snapshots import Snapshot
from prep.owner.stacks import Resource
from prep.reporting.costs import Cost
from prep.reporting.verdict import Instance as StatusInstance
from tests.prep.owner import (
    documented,
    test_cluster,
    test_copy,
    test_destroy,
    test_launch,
    test_share,
    test_status,
)


def test_fields() -> None:
    assert documented.fields("launch") == test_launch.SHAPE
    assert documented.fields("cluster") == test_cluster.SHAPE
    assert documented.fields("snapshots") == {"dataset", "region", "snapshots", "month_usd", "deleted"}
    assert documented.fields("share") == test_share.SHAPE
    assert documented.fields("copy") == test_copy.SHAPE
    assert documented.fields("destroy") == test_destroy.SHAPE
    assert documented.fields("status") == test_status.SHAPE


def test_fields_of_fields() -> None:
    kinds = {
        "status": [Cost, StatusInstance],
        "launch": [Instance],
        "snapshots": [Snapshot],
        "destroy": [Thing, Resource],
    }
    missing = [
        (command, field.name)
        for command, classes in kinds.items()
        for kind in classes
        for field in of_class(kind)
        if f"`{field.name}`" not in documented.SECTIONS[command]
    ]
    assert missing == []
