"""The user's own file of prices: whatever is in it, a mistake is one line with the remedy."""

import json
from pathlib import Path
from typing import Any

import pytest

from prep import prices
from prep.errors import DescriptionError

SHIPPED: dict[str, Any] = json.loads(prices.as_json(prices.shipped()))


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The user's file, which is not there yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = prices.users_file("us-east-1")
    path.parent.mkdir()
    return path


def test_prices_of_the_package_and_of_more_instance_types_are_read(path: Path) -> None:
    assert prices.load() == prices.shipped()
    more = SHIPPED | {"instance_hour": SHIPPED["instance_hour"] | {"g9.xlarge": 2}}
    path.write_text(json.dumps(more))
    assert prices.load().instance_hour["g9.xlarge"] == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "no JSON"),
        (b'{"date": "\xff"}', "no JSON"),
        (b"[]", "no table"),
        ({name: SHIPPED[name] for name in SHIPPED if name != "gp3_month"}, "missing or unknown: gp3_month"),
        (SHIPPED | {"week": {}}, "missing or unknown: week"),
        (SHIPPED | {"instance_hour": 5}, "instance_hour is no table"),
        (SHIPPED | {"date": None}, "date is no text"),
        (SHIPPED | {"gp3_month": {"throughput": 0.04}}, "gp3_month has no iops"),
        (SHIPPED | {"month": {"key": "1.00", "secret": 0.4}}, "month has no number for key"),
    ],
)
def test_a_damaged_file_is_one_line(path: Path, content: bytes | dict[str, Any], said: str) -> None:
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with pytest.raises(DescriptionError) as caught:
        prices.load()
    message = str(caught.value)
    assert message.startswith(f"prices {path}: {said}")
    assert message.endswith(": remove it, or --refresh")
    assert "\n" not in message
