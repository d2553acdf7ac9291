"""The odd images: every kind, how it is made, and what pack does with it. A table for tests and readers.

`python -m tests.prep.odd_images > docs/odd-images.md` writes the document.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from PIL import Image
from turbojpeg import TJSAMP_411, TJSAMP_440

from tests.prep import odd_files as files
from tests.prep.odd_files import LARGE, SMALL, Make
from tests.prep.pictures import jpeg, picture, save

REDUCED = 256  # the --resize at which LARGE is made smaller

KEPT, CUT, CONVERTED, REDUCES, UNREADABLE = "byte for byte", "cut", "converted", "made smaller", "unreadable"


@dataclass(frozen=True)
class Outcome:
    """What pack does with an image, and the reason in the manifest; "…" stands for what differs by file."""

    how: str
    why: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.how}: {', '.join(self.why)}" if self.why else self.how


@dataclass(frozen=True)
class Kind:
    """A kind of image: what it is, its maker by width and height, and its outcomes.

    `small` is the outcome if the short side is at most the target; `large` is the outcome if it is longer, or
    None if there is no such image. `sizes` are the small and the large size of the file. `seen` makes the
    picture that a viewer should show, if Pillow's own rendering can't be used for that.
    """

    what: str
    make: Make
    small: Outcome
    large: Outcome | None
    sizes: tuple[tuple[int, int], tuple[int, int]] = (SMALL, LARGE)
    seen: Callable[[int, int], Image.Image] | None = None


@cache
def made(kind: Kind, large: bool) -> bytes:
    """The file. It is made only once, because some formats contain the time of day."""
    return kind.make(*kind.sizes[large])


_KEPT = Outcome(KEPT)
_REDUCED = Outcome(REDUCES)
_DAMAGED = "had damaged picture data (…)"


def _converted(*why: str, make: Make, what: str, **more: Any) -> Kind:
    """A kind that is converted at any size."""
    outcome = Outcome(CONVERTED, why)
    return Kind(what, make, outcome, outcome, **more)


def _unreadable(why: str, what: str, make: Make, **more: Any) -> Kind:
    return Kind(what, make, Outcome(UNREADABLE, (why,)), None, **more)


def _usual(what: str, make: Make, **more: Any) -> Kind:
    """A kind that needs no special treatment."""
    return Kind(what, make, _KEPT, _REDUCED, **more)


def _cut_off(what: str, make: Make, why: str) -> Kind:
    return Kind(what, make, Outcome(CUT, (why,)), Outcome(REDUCES, (why,)))


def _thin(width: int, height: int) -> Kind:
    return Kind(f"{width} by {height} pixels", files.plain(), _KEPT, None, ((width, height), (width, height)))


KINDS: dict[str, Kind] = {
    "ordinary": _usual("A baseline JPEG with 4:2:0 chroma, like most", files.plain()),
    "progressive": _usual("A progressive JPEG, with several scans", files.plain(progressive=True)),
    "grey": _usual("Grey: one component; it stays grey", files.stored_as("JPEG", "L", quality=92)),
    "4-4-4": _usual("Chroma at full resolution", files.plain(subsampling=0)),
    "4-2-2": _usual("Chroma at half the width", files.plain(subsampling=1)),
    "4-4-0": _usual("Chroma at half the height", files.subsampled(TJSAMP_440)),
    "4-1-1": _usual("Chroma at a quarter of the width", files.subsampled(TJSAMP_411)),
    "odd-size": _usual("Both sides have an odd length", files.plain(), sizes=((39, 29), (401, 323))),
    "restart-markers": _usual("A restart marker after every block", files.plain(restart_marker_blocks=1)),
    "rgb": _usual("RGB instead of YCbCr, Adobe transform 0", files.plain(keep_rgb=True)),
    "icc-profile": _usual(
        "With a colour profile. It is kept if the image is packed byte for byte. If the image is made "
        "smaller, the profile is lost, but the samples are still in its colour space", files.icc),
    "exif-corrupt": _usual(
        "The Exif block is garbage: the image is treated as upright", files.of_sample("corrupt-exif")),
    "exif-1": _usual("Exif orientation 1, upright", files.turned_by(1)),
    "exif-9": _usual("Exif orientation 9, which is not defined: treated as upright", files.turned_by(9)),
    "thumbnail": _usual("Another JPEG inside its Exif block", files.thumbnail),
    "recordio-magic": _usual("RecordIO's magic number in its bytes, at every alignment", files.magic),
    "füchse-狐": _usual("A file name that is not ASCII", files.plain()),
    "1x1": _thin(1, 1),
    "1x5000": _thin(1, 5000),
    "5000x1": _thin(5000, 1),
    "flipped": Kind(
        "Some bytes of the picture data are changed: only decoding shows the damage", files.flipped,
        _KEPT, Outcome(REDUCES, (_DAMAGED,))),
    "cut-and-closed": Kind(
        "Cut short in the picture data, then closed with an end marker",
        lambda *size: files.cut(0.5)(*size) + b"\xff\xd9",
        _KEPT, Outcome(REDUCES, (_DAMAGED,))),
    "noise-before-end": Kind(
        "A few extra bytes before the end marker; the picture is complete", files.noisy,
        _KEPT, Outcome(REDUCES, (_DAMAGED,))),
    "trailing-garbage": _cut_off(
        "1,000 bytes after its end", lambda *size: jpeg(*size) + b"\xa5\xff\xd8\0" * 250,
        "had 1000 bytes after its end"),
    "two-images": _cut_off(
        "A second JPEG after the end (MPO, as stereo cameras write it): the first one is used",
        files.frames("MPO", quality=92), "had … bytes after its end"),
    "cmyk": _converted("was CMYK", what="CMYK colours, with Adobe's marker", make=files.of_sample("cmyk")),
    "cmyk-without-marker": _converted(
        "was CMYK", what="CMYK without the marker: treated as Adobe's too, as Pillow does",
        make=files.no_adobe),
    "ycck": _converted(
        "was CMYK", what="YCCK colours: CMYK with Adobe transform 2", make=files.of_sample("ycck")),
    "arithmetic": _converted(
        "was arithmetic-coded or lossless", what="Arithmetic coding, which few readers support",
        make=files.arithmetic),
    **{
        f"exif-{number}": _converted(
            f"was turned by Exif orientation {number}", what=f"Exif orientation {number}",
            make=files.turned_by(number))
        for number in range(2, 9)
    },
    "exif-6-long": _converted(
        "was turned by Exif orientation 6", what="Exif orientation 6, as a number of four bytes",
        make=files.exif_as_long),
    "png": _converted("was PNG", what="A PNG named .JPEG", make=files.stored_as("PNG")),
    "png-alpha": _converted(
        "was PNG", what="A PNG with transparency, which is dropped", make=files.stored_as("PNG", "RGBA")),
    "png-palette": _converted(
        "was PNG", what="A PNG with a palette", make=lambda *size: save(picture(*size).quantize(256), "PNG")),
    "png-1-bit": _converted("was PNG", what="A PNG in black and white", make=files.black_and_white),
    "png-16-bit-grey": _converted(
        "was PNG", what="A grey PNG with 16 bits for each sample; the upper 8 are kept",
        make=files.png_of(files.grey16),
        seen=lambda *size: picture(*size).convert("L").convert("RGB")),
    "png-16-bit-colour": _converted(
        "was PNG", what="A PNG with 16 bits for each sample; the upper 8 are kept",
        make=files.png_of(files.bgr)),
    "png-exif-6": _converted(
        "was PNG", "was turned by Exif orientation 6", what="A PNG with Exif orientation 6",
        make=files.turned_in("PNG", 6)),
    "png-animated": _converted(
        "was PNG", what="An animated PNG: its first picture is used", make=files.frames("PNG")),
    "bmp": _converted("was BMP", what="A BMP named .JPEG", make=files.stored_as("BMP")),
    "webp": _converted("was WebP", what="A WebP named .JPEG", make=files.stored_as("WebP", quality=95)),
    "webp-lossless": _converted(
        "was WebP", what="A lossless WebP with transparency, which is dropped",
        make=files.stored_as("WebP", "RGBA", lossless=True)),
    "webp-exif-8": _converted(
        "was WebP", "was turned by Exif orientation 8", what="A WebP with Exif orientation 8",
        make=files.turned_in("WebP", 8)),
    "webp-animated": _converted(
        "was WebP", what="An animated WebP: its first picture is used",
        make=files.frames("WebP", quality=95)),
    "tiff": _converted("was TIFF", what="A TIFF named .JPEG", make=files.stored_as("TIFF")),
    "tiff-turned": _converted(
        "was TIFF", what="A TIFF with its own orientation tag", make=files.turned_in("TIFF", 6)),
    "empty": _unreadable("is empty", "A file of 0 bytes", lambda *_: b""),
    "cut-in-scan": _unreadable(
        "cut short: its end is missing", "The second half of the picture data is missing", files.cut(0.5)),
    "cut-before-end": _unreadable(
        "cut short: its end is missing", "The last byte is missing", lambda *size: jpeg(*size)[:-1]),
    "cut-in-header": _unreadable(
        "cut short in a segment", "Only its first 100 bytes", lambda *size: jpeg(*size)[:100]),
    "no-size": _unreadable(
        "declares no size", "Height 0, to be given by a later marker", lambda *_: files.declaring(30, 0)),
    "12-bit": _unreadable(
        "has 12 bits a sample; 8 can be packed", "12 bits for each sample, as in medical images",
        files.twelve_bits),
    "bomb": _unreadable(
        "declares 20000x20000 pixels; 200000000 are allowed",
        "A header that declares 20,000 by 20,000 pixels", lambda *_: files.declaring(20000, 20000)),
    "png-bomb": _unreadable(
        "is PNG: declares more pixels than the 200000000 allowed", "A PNG header that declares as much",
        lambda *_: files.png_declaring(20000, 20000)),
    "png-cut": _unreadable(
        "is PNG: OpenCV can't decode it", "The second half of a PNG is missing",
        lambda *size: save(picture(*size), "PNG")[: -len(save(picture(*size), "PNG")) // 2]),
    "gif": _unreadable("is GIF: OpenCV can't decode it", "A GIF named .JPEG", files.stored_as("GIF")),
    "gif-animated": _unreadable(
        "is GIF: OpenCV can't decode it", "An animated GIF", files.frames("GIF", "P")),
    "avif": _unreadable("is no JPEG: OpenCV can't decode it", "An AVIF named .JPEG", files.stored_as("AVIF")),
    "web-page": _unreadable(
        "is no JPEG: OpenCV can't decode it", "An HTML page named .JPEG",
        lambda *_: b"<!DOCTYPE html><html><body>Not found</body></html>\n"),
    "zeros": _unreadable(
        "is no JPEG: OpenCV can't decode it", "Only zero bytes, as after a disk error",
        lambda *_: bytes(4096)),
    "leading-garbage": _unreadable(
        "is no JPEG: OpenCV can't decode it", "Extra bytes before the JPEG",
        lambda *size: b"\r\n" + jpeg(*size)),
}  # fmt: skip


@dataclass(frozen=True)
class Refused:
    """An archive that pack refuses: the names in it, and the message."""

    what: str
    names: tuple[str, ...]
    message: str


REFUSED: dict[str, Refused] = {
    "duplicate": Refused(
        "Two images of a split with the same name", ("a.JPEG", "b.JPEG", "a.JPEG"),
        "pack: two images of split train are named c/a.JPEG: correct the archive"),
    "not UTF-8": Refused(
        "A name that is not UTF-8", ("a.JPEG", "\udcffb.JPEG"),
        "archive …/train.tar: 'c/\\udcffb.JPEG' is not a valid file name in a data set: don't trust it"),
    "line end": Refused(
        "A line end in a name, which would break the list", ("a.JPEG", "b\n.JPEG"),
        "archive …/train.tar: 'c/b\\n.JPEG' is not a valid file name in a data set: don't trust it"),
    "no image": Refused(
        "A file name without an image suffix", ("a.JPEG", "Thumbs.db"),
        "archive …/train.tar: 'c/Thumbs.db' does not have the name of an image: correct the archive, or the "
        "layout in the description"),
}  # fmt: skip


def document() -> str:
    """The document with the tables, as Markdown."""
    out = io.StringIO()
    out.write(
        "# Odd images: what `pack` does with each\n\n"
        "`python -m tests.prep.odd_images` writes this document. `tests/prep/images/test_odd_images.py` "
        "checks with MXNet and Pillow that `pack` does what it says.\n\n"
        "- **byte for byte**: the file is packed as it is in the archive.\n"
        "- **made smaller**: the image is decoded, reduced to the target, and encoded. If a reason is given, "
        "the manifest names the image.\n"
        "- **cut**: the bytes after the picture are dropped, and the bytes of the picture are packed "
        "unchanged.\n"
        "- **converted**: the image is decoded, turned upright, encoded as an ordinary JPEG at `--quality`, "
        "and made smaller if it is too large. The manifest names the image.\n"
        "- **unreadable**: `pack` fails and names the image. With `--allow-unreadable N`, it leaves out up "
        "to N such images, and the manifest names them.\n\n"
        "The reason in the table is the one in `MANIFEST.json`, under `care` or `unreadable`. An image that "
        "is decoded and encoded loses its metadata: Exif, colour profile, comments. `pack` does not decode "
        "an image that it packs byte for byte; `verify` does. Damage that OpenCV tolerates is not an error: "
        "`verify` names the image in the manifest under `damaged`, and fails only with `--strict`.\n\n"
        "| kind | what it is | if the short side is at most `--resize` | if it is longer |\n"
        "|---|---|---|---|\n"
    )
    for name, kind in KINDS.items():
        large = "the same" if kind.large in (None, kind.small) else kind.large
        out.write(f"| {name} | {kind.what} | {kind.small} | {large} |\n")
    out.write("\nArchives that `pack` refuses, with exit code 5:\n\n| | message |\n|---|---|\n")
    for refused in REFUSED.values():
        out.write(f"| {refused.what} | `{refused.message}` |\n")
    return out.getvalue()


if __name__ == "__main__":
    print(document(), end="")
