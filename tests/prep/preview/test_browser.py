"""The page in a real browser: it asks for nothing, says nothing, fits a phone, is light and dark, prints."""

import re
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from prep.progress import Progress
from prep.stages.preview import preview
from tests.prep import pictures
from tests.prep.preview.browser import PROGRAM, Browser, chromium
from tests.prep.preview.packed import Item, write_packed

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="there is no Chromium")
# Words and names as long as they come, and without a place to break a line.
CLASSES = [
    (f"n{label:08}{'x' * 60 * (label == 1)}", f"{'w' * 90 * (label == 2)}thing, {'o' * 120}")
    for label in range(6)
]
ITEMS = [Item(number % 6, f"{number}{'y' * 80}.jpg", pictures.jpeg(300, 200, number)) for number in range(40)]
CARE = {f"{CLASSES[item.label][0]}/{item.file}": ["was " + "CMYK" * 20] for item in ITEMS[:5]}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with every section."""
    facts = {"care": CARE, "unreadable": {"a/" + "z" * 200: "is " + "e" * 200}, "images": 41}
    layout = write_packed(tmp_path_factory.mktemp("page"), CLASSES, {"train": [ITEMS]}, {"train": facts})
    preview(layout, layout.packed, Progress(shown=False))
    return layout.preview


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.mark.parametrize("width", [320, 400, 1400])
@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_and_a_desk_by_day_and_by_night(browser: Browser, page: Path, width: int, dark: bool) -> None:
    browser.open(page, width, dark)
    assert browser.requests() == [page.as_uri()]
    assert browser.complaints() == []
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run("[...document.images].length") == 6 * 6 + 5
    assert browser.run("[...document.images].every(image => image.naturalWidth > 0)")
    background = browser.run("getComputedStyle(document.body).backgroundColor")
    shades = [int(shade) for shade in re.findall(r"\d+", background)]
    assert max(shades) < 60 if dark else min(shades) > 200
    assert contrast(browser, "color", ".faint") >= 4.5
    assert contrast(browser, "color", ".good, .bad") >= 4.5


def contrast(browser: Browser, what: str, selector: str) -> float:
    """The contrast of a text with the page: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio."""

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        red, green, blue = (
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    style = "getComputedStyle(document.querySelector({!r})).{}"
    colours = [style.format(selector, what), style.format("body", "backgroundColor")]
    dark, light = sorted(luminance(browser.run(colour)) for colour in colours)
    return (light + 0.05) / (dark + 0.05)


def test_the_policy_stops_what_an_attacker_would_add(browser: Browser, page: Path, tmp_path: Path) -> None:
    """Should a text get past the escaping, the browser itself loads nothing and runs nothing."""
    with ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=tmp_path)
    ) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        added = (
            f'<img src="{address}/a.png"><link rel="stylesheet" href="{address}/b.css">'
            '<script>document.title = "changed"</script>'
        )
        spoilt = tmp_path / "spoilt.html"
        spoilt.write_text(page.read_text().replace("</main>", f"{added}</main>"))
        browser.open(spoilt, 1400)
        server.shutdown()
    assert browser.run("document.title").startswith("tiny")
    assert len([said for said in browser.complaints() if "Content Security Policy" in said]) == 3


def test_it_prints(browser: Browser, page: Path) -> None:
    browser.open(page, 1400, dark=True)
    printed = browser.pdf()
    assert printed.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 8
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.run("getComputedStyle(document.querySelector('nav')).display") == "none"
