"""What `feed` found: a table of 80 columns, plain words, and the same as JSON."""

import math
import textwrap
from typing import Any

from prep.feed.gpus import Wanted
from prep.feed.loaders import Rate
from prep.feed.sample import Data
from prep.feed.verdict import MIB, Answer, Measured, accelerators, epochs, judge
from prep.feed.volume import Reading

WIDTH = 80
ROW = "{:<34} {:>11} {:>13} {:>14}"


def document(data: Data, found: Measured, wanted: Wanted | None) -> dict[str, Any]:
    """The result as JSON; docs/feed.md describes the fields."""
    first, later = epochs(found)
    answers = judge(found, wanted) if wanted else ()
    return {
        "split": data.split,
        "images": data.images,
        "bytes": data.size,
        "image_bytes": round(data.image_bytes),
        "cores": found.cores,
        "loaders": found.loaders,
        "fits_in_memory": found.fits,
        "volume": {
            "first_stream": _reading(found, found.first_stream),
            "first_records": _reading(found, found.first_records),
            "later_stream": _reading(found, found.later_stream),
            "later_records": _reading(found, found.later_records),
            "small_requests_per_second": round(found.requests.per_second),
            "memory": _reading(found, found.memory_records),
        },
        "decoding": {str(count): round(rate.per_second, 1) for count, rate in found.decoding.items()},
        "smaller": {"bytes": round(found.smaller.size, 3), "decoding": round(found.smaller.decoding, 2)},
        "epochs": [
            {"name": epoch.name, "images_per_second": round(epoch.images_per_second, 1), "limit": epoch.limit}
            for epoch in (first, later)
        ],
        "mlperf_storage_h100": {part: round(number, 2) for part, number in accelerators(found).items()},
        "target": {"images_per_second": wanted.images_per_second, "for": wanted.what} if wanted else None,
        "starves": any(answer.starves for answer in answers) if wanted else None,
        "answers": [
            {"epoch": answer.epoch.name, "starves": answer.starves, "remedies": list(answer.remedies)}
            for answer in answers
        ],
    }


def _reading(found: Measured, reading: Reading) -> dict[str, float]:
    return {
        "mib_per_second": round(reading.bytes_per_second / MIB, 1),
        "images_per_second": round(found.images_per_second(reading), 1),
        "bytes": reading.size,
        "seconds": round(reading.seconds, 2),
    }


def human(data: Data, found: Measured, wanted: Wanted | None) -> str:
    """The result for people."""
    lines = [
        f"{data.split}: {data.images:,} images, {data.size / 1e9:,.1f} GB, {data.image_bytes / 1000:.1f} KB "
        "an image",
        f"this machine: {found.cores} cores, {found.loaders} loader processes; the split "
        f"{'fits' if found.fits else 'does not fit'} into memory",
        "",
        ROW.format("", "MiB/s", "requests/s", "images/s").rstrip(),
        _volume_row(found, "volume, blocks never read", found.first_stream),
        _volume_row(found, "  single records in random order", found.first_records),
        _volume_row(found, "volume, blocks read before", found.later_stream),
        _volume_row(found, "  single records in random order", found.later_records),
        ROW.format("  requests of 4 KiB", "", f"{found.requests.per_second:,.0f}", "").rstrip(),
        _volume_row(found, "page cache, one process", found.memory_records),
        *(
            _rate_row(f"decoding, {count} process{'es' if count > 1 else ''}", rate)
            for count, rate in found.decoding.items()
        ),
        _rate_row("batches, first epoch", found.first_batches),
        _rate_row("batches, later epochs", found.later_batches),
        "",
    ]
    lines += _limits(found) if wanted is None else _answers(found, wanted)
    return "\n".join([*lines, "", *_mlperf(found)])


def _volume_row(found: Measured, name: str, reading: Reading) -> str:
    mib, images = reading.bytes_per_second / MIB, found.images_per_second(reading)
    return ROW.format(name, f"{mib:,.1f}", "", f"{images:,.0f}")


def _rate_row(name: str, rate: Rate) -> str:
    return ROW.format(name, "", "", f"{rate.per_second:,.0f}")


def _limits(found: Measured) -> list[str]:
    return [
        *(
            f"{epoch.name}: {epoch.images_per_second:,.0f} images/s; the limit is: {epoch.limit}"
            for epoch in epochs(found)
        ),
        "Give --target or --gpu to learn whether that is enough.",
    ]


def _answers(found: Measured, wanted: Wanted) -> list[str]:
    lines = _wrapped(f"target: {wanted.images_per_second:,.0f} images/s, for {wanted.what}")
    said: tuple[str, ...] = ()
    for answer in judge(found, wanted):
        lines += _wrapped(_sentence(answer, wanted))
        if answer.remedies and answer.remedies == said:
            lines.append("  - the same")
            continue
        said = answer.remedies
        for remedy in said:
            lines += textwrap.wrap(
                remedy, WIDTH, initial_indent="  - ", subsequent_indent="    ", break_long_words=False
            )
    return lines


def _sentence(answer: Answer, wanted: Wanted) -> str:
    epoch = answer.epoch
    rate = f"{epoch.images_per_second:,.0f} images/s"
    if not answer.starves:
        return f"{epoch.name}: FED. {rate} in batches; the limit is: {epoch.limit}."
    share = epoch.images_per_second / wanted.images_per_second
    return (
        f"{epoch.name}: STARVES. {rate} in batches, {share:.0%} of the target; the limit is: {epoch.limit}."
    )


def _mlperf(found: Measured) -> list[str]:
    counts = [f"{part} {math.floor(number)} ({number:.2f})" for part, number in accelerators(found).items()]
    return _wrapped(
        "MLPerf Storage, ResNet-50: accelerators (H100) that are kept busy for 90 % of the time: "
        + "; ".join(counts)
        + "."
    )


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_long_words=False)
