"""The page: what it says, that it loads nothing, and that no name can become markup."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from prep.preview.page import MOST_LEFT_OUT
from prep.progress import Progress
from prep.stages.preview import preview
from prep.state.layout import Layout
from tests.prep import pictures
from tests.prep.preview.packed import Item, write_packed

QUIET = Progress(shown=False)
HOSTILE = "<img src=x onerror=alert(1)> & \"Co\" 'x'"
CLASSES = [
    (HOSTILE, f"{HOSTILE}, other <b>words</b>"),
    ("ant", "ant, emmet, pismire"),
    ("zèbre", "zèbre 斑马"),
]
ITEMS = [Item(number % 3, f"{number}.jpg", pictures.jpeg(60, 40, number)) for number in range(6)]
VOID = {"meta", "link", "img", "br"}


class Outline(HTMLParser):
    """The tags of a page, each closed by its own end, and its text by section."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.section = ""
        self.text: dict[str, str] = {}
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "section":
            self.section = dict(attrs)["id"] or ""
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text[self.section] = self.text.get(self.section, "") + data

    def of(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


def written(layout: Layout) -> str:
    preview(layout, layout.packed, QUIET)
    return layout.preview.read_text(encoding="utf-8")


def outline(folder: Path, **facts: Any) -> Outline:
    return Outline(written(write_packed(folder, CLASSES, {"train": [ITEMS]}, {"train": facts})))


def test_names_and_words_are_text(tmp_path: Path) -> None:
    care = {f"{HOSTILE}/0.jpg": ["was <b>bold</b>"]}
    found = outline(
        tmp_path, care=care, unreadable={"a/<i>.jpg": "is <script>"}, damaged={"ant/1.jpg": "<u>"}, images=7
    )
    assert {tag for tag, _ in found.tags} & {"script", "b", "i", "u"} == {"b"}  # the page's own, of reasons
    assert all(set(image) == {"alt", "title", "decoding", "src"} for image in found.of("img"))
    assert HOSTILE in found.text["classes"]
    assert "other <b>words</b>" in found.text["classes"]
    assert "was <b>bold</b>" in found.text["care"]
    assert "is <script>" in found.text["care"]
    assert "zèbre 斑马" in found.text["classes"]
    assert any((image["title"] or "") == f"{HOSTILE}/0.jpg" for image in found.of("img"))


def test_it_is_complete_in_itself(tmp_path: Path) -> None:
    text = written(write_packed(tmp_path, CLASSES, {"train": [ITEMS]}))
    found = Outline(text)
    assert text.startswith("<!DOCTYPE html>\n")
    assert found.of("html") == [{"lang": "en"}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in found.of("meta")
    (policy,) = (meta for meta in found.of("meta") if "http-equiv" in meta)
    assert (policy["content"] or "").startswith(
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    )
    assert not {tag for tag, _ in found.tags} & {"script", "iframe", "object", "form", "base"}
    addresses = [given.get(name) for _, given in found.tags for name in ("src", "href") if name in given]
    assert all(address and address.startswith(("data:", "#")) for address in addresses)
    targets = {given["id"] for _, given in found.tags if "id" in given}
    assert all((link["href"] or "")[1:] in targets for link in found.of("a"))
    assert "@import" not in text
    assert "url(" not in text
    assert all(image["alt"] for image in found.of("img"))


def test_counts_sizes_and_hashes(tmp_path: Path) -> None:
    layout = write_packed(
        tmp_path, CLASSES, {"train": [ITEMS], "test": [ITEMS[:2]]}, {"train": {"source_bytes": 10**6}}
    )
    text = written(layout)
    found = Outline(text)
    assert "All counts are as the description of the data set says." in text
    assert re.search(r'<th scope="row">train</th>(<td class="number"><data value="6">6</data></td>){2}', text)
    assert "1.0 MB" in found.text["sizes"]
    assert "not noted" in found.text["sizes"]  # for test, as an earlier version has packed it
    assert "2 of 3" in found.text["counts"]
    assert "No image needed care" in found.text["care"]
    assert all(
        digest in found.text["files"] for digest in re.findall(r"[0-9a-f]{64}", layout.manifest.read_text())
    )
    assert all(f">{word}<" in text for word in ("resize", "480", "quality", "libjpeg-turbo", "OpenCV"))


def test_a_difference_is_told_at_the_top(tmp_path: Path) -> None:
    text = written(write_packed(tmp_path, CLASSES, {"train": [ITEMS]}, {"train": {"images": 9}}))
    assert "✗ Counts differ: images of train: 6, expected 9. Run verify." in text
    assert "All counts are" not in text


def test_images_of_a_class_and_their_words(tmp_path: Path) -> None:
    found = outline(tmp_path)
    articles = found.of("article")
    assert [article["id"] for article in articles] == ["class-0", "class-1", "class-2"]
    shown = [image["title"] for image in found.of("img")]
    assert shown == [
        f"{name}/{number}.jpg" for label, (name, _) in enumerate(CLASSES) for number in (label, label + 3)
    ]
    assert "emmet, pismire" in found.text["classes"]


def test_long_lists_end(tmp_path: Path) -> None:
    out = {f"ant/x{number}.jpg": "is empty" for number in range(MOST_LEFT_OUT + 5)}
    found = outline(tmp_path, unreadable=out, images=6 + len(out))
    assert f"ant/x{MOST_LEFT_OUT - 1}.jpg" in found.text["care"]
    assert f"ant/x{MOST_LEFT_OUT}.jpg" not in found.text["care"]
    assert "and 5 more" in found.text["care"]


@pytest.mark.parametrize("words", ["", "a\u202eb", "x" * 300])
def test_words_of_any_kind(tmp_path: Path, words: str) -> None:
    text = written(write_packed(tmp_path, [("a", words)], {"train": [[Item(0, "1.jpg", ITEMS[0].image)]]}))
    assert "\u202e" not in text
    Outline(text)
