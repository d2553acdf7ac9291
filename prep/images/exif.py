"""Which way up a picture is, by its Exif block (Exif 2.3), and where PNG and WebP files keep that block."""

import struct

ORIENTATION_TAG = 0x0112
SHORT, LONG = 3, 4  # types of a value; the tag is a SHORT, and some writers make it a LONG
PREFIX = b"Exif\0\0"  # before the block in a JPEG, and where a WebP writer copied it from one


def orientation(tiff: memoryview) -> int:
    """The orientation, 1 to 8, in an Exif block; 1 where the block is damaged, as every viewer has it."""
    order = {b"II": "<", b"MM": ">"}.get(bytes(tiff[:2]))
    if order is None:
        return 1
    try:
        magic, first = struct.unpack_from(order + "HI", tiff, 2)
        (entries,) = struct.unpack_from(order + "H", tiff, first)
        for number in range(entries if magic == 42 else 0):
            place = first + 2 + 12 * number
            tag, kind, count = struct.unpack_from(order + "HHI", tiff, place)
            if (tag, count) == (ORIENTATION_TAG, 1) and kind in (SHORT, LONG):
                (value,) = struct.unpack_from(order + ("H" if kind == SHORT else "I"), tiff, place + 8)
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def orientation_of_file(data: memoryview) -> int:
    """The orientation of a PNG or WebP file; 1 for any other, or where there is none.

    PNG keeps the block in a chunk `eXIf` (length, type, data, check), WebP in `EXIF` (type, length, data,
    padded to 2 bytes).
    """
    if bytes(data[:4]) == b"\x89PNG":
        position, shape, wanted, more = 8, ">I4s", b"eXIf", 4
    elif bytes(data[:4]) == b"RIFF" and bytes(data[8:12]) == b"WEBP":
        position, shape, wanted, more = 12, "<4sI", b"EXIF", 0
    else:
        return 1
    while position + 8 <= len(data):
        head = struct.unpack_from(shape, data, position)
        length, name = (head[0], head[1]) if more else (head[1], head[0])
        start = position + 8
        if name == wanted:
            block = data[start : start + length]
            return orientation(block[len(PREFIX) :] if bytes(block[: len(PREFIX)]) == PREFIX else block)
        position = start + length + (more or length % 2)
    return 1
