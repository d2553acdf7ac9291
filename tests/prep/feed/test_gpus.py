"""The table of GPUs: each figure has a source, and docs/feed.md shows the same figures."""

import re
from pathlib import Path

import pytest

from prep.errors import DescriptionError
from prep.feed import gpus

DOCUMENT = Path(__file__).parents[3] / "docs" / "feed.md"


def test_the_document_shows_the_table() -> None:
    rows = re.findall(r"^\| `(\S+)` \| (.+?) \| ([\d,]+) \| (.+?) \| <(\S+)> \|$", DOCUMENT.read_text(), re.M)
    assert rows == [
        (word, gpu.name, f"{gpu.images_per_second:,}", gpu.note, gpu.source)
        for word, gpu in gpus.load().items()
    ]
    assert len(rows) > 4


def test_every_figure_has_a_public_source() -> None:
    assert [word for word, gpu in gpus.load().items() if not gpu.source.startswith("https://")] == []


def test_a_count_multiplies() -> None:
    one, eight = gpus.parse("v100"), gpus.parse("V100:8")
    assert eight.images_per_second == 8 * one.images_per_second == 9600
    assert eight.what.startswith("8 x V100")


@pytest.mark.parametrize(
    ("text", "remedy"),
    [("t4", "use one of v100, .* or give --target"), ("v100:0", "write v100:8"), ("v100:x", "write")],
)
def test_what_is_not_in_the_table_is_named(text: str, remedy: str) -> None:
    with pytest.raises(DescriptionError, match=remedy):
        gpus.parse(text)
