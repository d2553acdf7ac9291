"""Preview: one HTML page and a contact sheet that show a person what the packed files hold.

They lie beside the packed files, so that the snapshot and the backup have them. They are not among the files
of the manifest, because they are made of it. The same packed files and libraries give the same bytes.
"""

import platform
import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from prep import __version__
from prep.preview import page, pictures, sheet
from prep.preview.survey import survey
from prep.progress import Progress
from prep.records import manifest
from prep.state.files import write_whole
from prep.state.layout import Layout
from prep.state.receipts import Receipt

STAGE = "preview"


def preview(layout: Layout, into: Path, progress: Progress, threads: int | None = None) -> Receipt:
    """Write the page and the contact sheet into the folder `into`, and return the receipt.

    Reads a few thousand records at most, and of these one at a time on each core.

    Args:
        layout: where the packed files are; nothing else is read.
        into: the folder for the two files, as a rule that of the packed files.
        progress: shows the bytes of the records that have been read.
        threads: number of images decoded at once; None for one thread for each core.

    Raises:
        IntegrityError: the packed files are not what pack writes.
        SpaceError: there is no room for the two files.
    """
    begun = time.monotonic()
    facts = manifest.read(layout)
    each = pictures.of_a_class(facts.classes, len(facts.splits))
    found = survey(layout, facts, each)
    places = [place for tallies in found.tallies.values() for tally in tallies for place in tally.first]
    places = places[: pictures.BUDGET]
    cared = [one.place for kind in found.kinds.values() for one in kind.shown]
    tiles = sheet.tiles(found)
    cropped = partial(pictures.cropped, side=pictures.side_of(len(places)))
    squares = pictures.made_of(found, places, cropped, "preview classes", progress, threads)
    wholes = pictures.made_of(found, cared, pictures.whole, "preview care", progress, threads)
    square = partial(pictures.square, side=sheet.SIDE)
    tiled = pictures.made_of(
        found, (tile.place for tile in tiles), square, "preview sheet", progress, threads
    )
    target = Layout(layout.root, into)
    write_whole(target.preview, page.page(found, squares, wholes, versions()).encode(errors="replace"))
    write_whole(target.contact_sheet, sheet.sheet(found, tiles, tiled))
    outputs = {str(path): manifest.facts_of(path) for path in target.previews}
    counts = {"images": found.images, "classes": len(found.table), "pictures": len(squares) + len(wholes)}
    seconds = round(time.monotonic() - begun, 1)
    return Receipt(STAGE, manifest.inputs(layout), {}, outputs, counts, seconds)


def versions() -> dict[str, str]:
    """The versions of what makes the pictures."""
    return {
        "prep": __version__,
        "OpenCV": cv2.__version__,
        "NumPy": np.__version__,
        "Python": platform.python_version(),
    }
