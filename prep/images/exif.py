"""The orientation of a picture in its Exif block (Exif 2.3), and the place of that block in PNG and WebP."""

import struct

ORIENTATION_TAG = 0x0112
SHORT, LONG = 3, 4  # types of a value; the tag is a SHORT, but some programs write a LONG
PREFIX = b"Exif\0\0"  # before the block in a JPEG, and in a WebP made from a JPEG


def orientation(tiff: memoryview) -> int:
    """The orientation, 1 to 8, in an Exif block. It is 1 if the block is damaged, as in every viewer."""
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
    """The orientation of a PNG or WebP file. It is 1 for other files, and for files without an Exif block.

    PNG keeps the block in the chunk `eXIf` (length, type, data, checksum), WebP in the chunk `EXIF` (type,
    length, data, padded to 2 bytes).
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
