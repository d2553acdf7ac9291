"""The table of GPUs: each figure has a source, and docs/feed.md shows the same figures."""

import re
from pathlib import Path

import pytest

from prep.errors import DescriptionError
from prep.feed import gpus

DOCUMENT = Path(__file__).parents[3] / "docs" / "feed.md"


def test_the_document_shows_the_table() -> None:
    rows = re.findall(
        r"^\| `(\S+)` \| (.+?) \| ([\d,]+) \| ([\d,]*) ?\| (.+?) \| <(\S+)> \|$", DOCUMENT.read_text(), re.M
    )
    assert rows == [
        (
            word,
            gpu.name,
            f"{gpu.images_per_second:,}",
            f"{gpu.eight:,}" if gpu.eight else "",
            gpu.note,
            gpu.source,
        )
        for word, gpu in gpus.load().items()
    ]
    assert len(rows) > 4


def test_every_figure_has_a_public_source() -> None:
    assert [word for word, gpu in gpus.load().items() if not gpu.source.startswith("https://")] == []


@pytest.mark.parametrize(
    ("text", "images", "what"),
    [
        ("v100", 1200, "1 x V100 16 GB (SXM2), p3"),
        ("V100:4", 4800, "4 x V100 16 GB (SXM2), p3, 4 times the figure of one"),
        ("v100:8", 8322, "8 x V100 16 GB (SXM2), p3, as measured on 8"),
        ("a10:8", 5104, "8 x A10, 8 times the figure of one"),
    ],
)
def test_eight_are_as_measured_and_other_counts_multiply(text: str, images: int, what: str) -> None:
    assert gpus.parse(text) == gpus.Wanted(float(images), what)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [("t4", "use one of v100, .* or give --target"), ("v100:0", "write v100:8"), ("v100:x", "write")],
)
def test_what_is_not_in_the_table_is_named(text: str, remedy: str) -> None:
    with pytest.raises(DescriptionError, match=remedy):
        gpus.parse(text)
