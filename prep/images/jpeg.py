"""The properties of a JPEG file, read from its markers without decoding (ITU T.81, annex B)."""

import re
import struct
from dataclasses import dataclass

from prep.images import exif

SOI, EOI, SOS, APP1, APP14 = 0xD8, 0xD9, 0xDA, 0xE1, 0xEE
SOF_ARITHMETIC = {0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
SOF = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7} | SOF_ARITHMETIC
SOF_ORDINARY = {
    0xC0,
    0xC1,
    0xC2,
}  # baseline, extended and progressive with Huffman coding: every reader can decode them
# In entropy-coded data, FF begins a marker unless a stuffed zero, a restart marker or a fill byte follows.
NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)


class JpegError(ValueError):
    """Not a complete JPEG file; the text says why."""


@dataclass(frozen=True, slots=True)
class JpegFacts:
    """The properties of a JPEG file.

    Width and height are in pixels as stored, before the Exif orientation is applied. `ordinary` JPEGs are
    those that every reader can decode. `trailing` is the number of bytes after the end of the picture.
    """

    width: int
    height: int
    components: int
    ordinary: bool
    precision: int
    orientation: int
    trailing: int


def is_jpeg(data: memoryview) -> bool:
    """Whether the bytes begin like a JPEG file."""
    return bytes(data[:3]) == b"\xff\xd8\xff"


def inspect(data: memoryview) -> JpegFacts:
    """Walk the markers of a JPEG file from its first to its last byte.

    Raises:
        JpegError: the file is cut short, or its structure is damaged.
    """
    frame: tuple[int, int, int, int, int] | None = None
    orientation = 1
    scans = 0
    position = 2
    while True:
        marker, position = _marker(data, position)
        if marker == EOI:
            break
        if marker == SOI:
            raise JpegError(f"a second image begins at byte {position}")
        if position + 2 > len(data):
            raise JpegError("cut short in a marker")
        (length,) = struct.unpack_from(">H", data, position)
        end = position + length
        if length < 2 or end > len(data):
            raise JpegError("cut short in a segment")
        body = data[position + 2 : end]
        if marker in SOF:
            if frame is not None or len(body) < 6:
                raise JpegError("has no single frame header")
            precision, height, width, components = struct.unpack_from(">BHHB", body)
            frame = (marker, precision, height, width, components)
        elif marker == APP1 and bytes(body[:6]) == exif.PREFIX:
            orientation = exif.orientation(body[6:])
        elif marker == SOS:
            scans += 1
            found = NEXT_MARKER.search(data, end)
            if found is None:
                raise JpegError("cut short: its end is missing")
            end = found.start()
        position = end
    if frame is None or not scans:
        raise JpegError("has no picture")
    marker, precision, height, width, components = frame
    if not width or not height:
        raise JpegError("declares no size")
    trailing = len(data) - position
    return JpegFacts(width, height, components, marker in SOF_ORDINARY, precision, orientation, trailing)


def _marker(data: memoryview, position: int) -> tuple[int, int]:
    """The marker at `position`, after any fill bytes, and the position after the marker."""
    if position >= len(data):
        raise JpegError("cut short: its end is missing")
    if data[position] != 0xFF:
        raise JpegError(f"no marker at byte {position}")
    while position < len(data) and data[position] == 0xFF:
        position += 1
    if position == len(data):
        raise JpegError("cut short in a marker")
    return data[position], position + 1
