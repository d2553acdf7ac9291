"""The judge of the preview finds what is wrong: a page made by prep, then spoilt one way at a time."""

import base64
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from prep.progress import Progress
from prep.stages.preview import preview
from prep.state.layout import Layout
from rehearsal.checks.preview import check_preview
from rehearsal.checks.truth import Truth, read_truth
from tests.prep.small_sets import pack

OUTSIDE, CLASSES = "preview: loads nothing", "preview: classes and counts"
CARE, PICTURES = "preview: images that needed care", "preview: pictures"
SOURCE = re.compile(r'src="data:image/jpeg;base64,([^"]*)"')


@pytest.fixture(scope="module")
def truth(sample: Path) -> Truth:
    return read_truth(sample, sample.parent / "archives")


@pytest.fixture(scope="module")
def layout(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """The sample, packed, with its preview."""
    layout = pack(sample, tmp_path_factory.mktemp("packed")).layout
    preview(layout, layout.packed, Progress(shown=False))
    return layout


def test_a_good_page(layout: Layout, truth: Truth) -> None:
    rows = check_preview(layout.preview.read_text(), truth, layout.manifest)
    assert [(what, right) for what, right, _ in rows] == [
        (what, True) for what in (OUTSIDE, CLASSES, CARE, PICTURES)
    ]
    assert rows[1][2] == "6 classes"
    assert re.fullmatch(r"[1-9]\d* as in the manifest", rows[2][2])
    assert re.fullmatch(r"\d+ as in the archives", rows[3][2])


def mirrored(page: str) -> str:
    """The first picture turned round."""
    found = SOURCE.search(page)
    assert found
    with Image.open(io.BytesIO(base64.b64decode(found[1]))) as image:
        out = io.BytesIO()
        image.transpose(Image.Transpose.ROTATE_180).save(out, "JPEG")
    return page.replace(found[1], base64.b64encode(out.getvalue()).decode(), 1)


def exchanged(page: str) -> str:
    """Two classes have each other's pictures, under their right names."""
    first, second = re.findall(r'<div class="splits">(.*?)</div></article>', page, re.DOTALL)[:2]
    return page.replace(first, "HERE").replace(second, first).replace("HERE", second)


def another_count(page: str) -> str:
    """A class has an image more."""
    return page.replace(
        '<figure><figcaption>train: <data value="26"', '<figure><figcaption>train: <data value="27"', 1
    )


def one_less(page: str) -> str:
    """An image that needed care is not shown."""
    return re.sub(r"(?<=<div class=\"cared\">)\s*<figure>.*?</figure>", "", page, count=1, flags=re.DOTALL)


@pytest.mark.parametrize(
    ("spoil", "wrong"),
    [
        (lambda page: page.replace("</main>", "<script>1</script></main>"), OUTSIDE),
        (lambda page: page.replace("<style>", "<style>@import 'x.css';"), OUTSIDE),
        (lambda page: page.replace("<main>", '<main style="background: url(x.png)">'), OUTSIDE),
        (lambda page: page.replace('href="#counts"', 'href="https://example.org"'), OUTSIDE),
        (lambda page: page.replace("<main>", '<main onclick="1">'), OUTSIDE),
        (lambda page: page.replace("default-src 'none'", "default-src *"), OUTSIDE),
        (lambda page: re.sub(r"<article.*?</article>", "", page, count=1, flags=re.DOTALL), CLASSES),
        (another_count, CLASSES),
        (lambda page: page.replace("<h3>goldfish</h3>", "<h3>zebra</h3>"), CLASSES),
        (one_less, CARE),
        (mirrored, PICTURES),
        (exchanged, PICTURES),
        (lambda page: re.sub(r'(<div class="pictures">)(<img [^>]*>)+', r"\1", page), PICTURES),
        (lambda page: page.replace('id="class-0"', 'id="class-zero"'), "preview: can be read"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found(
    layout: Layout, truth: Truth, spoil: Callable[[str], str], wrong: str
) -> None:
    page = layout.preview.read_text()
    spoilt = spoil(page)
    assert spoilt != page
    rows = check_preview(spoilt, truth, layout.manifest)
    assert wrong in [what for what, right, _ in rows if not right]


def test_an_image_of_the_manifest_that_is_not_shown(layout: Layout, truth: Truth, tmp_path: Path) -> None:
    other = Path(shutil.copy(layout.manifest, tmp_path / "MANIFEST.json"))
    table = json.loads(other.read_text())
    table["splits"]["train"]["care"]["x/y.jpg"] = ["was PNG"]
    other.write_text(json.dumps(table))
    rows = check_preview(layout.preview.read_text(), truth, other)
    assert [(what, figure) for what, right, figure in rows if not right] == [(CARE, "x/y.jpg is missing")]
