"""What is seen of a run from the outside."""

import os
from pathlib import Path

from bench.rigs.ours import Place
from bench.rigs.roads import Observer


def test_the_tail_goes_from_the_first_merged_file_to_the_receipt_of_verify(tmp_path: Path) -> None:
    place = Place(tmp_path / "root", tmp_path / "packed", tmp_path / "x.toml", tmp_path / "log")
    observer = Observer(place)
    observer.look(os.getpid())
    assert observer.tail_seconds() is None
    place.packed.mkdir()
    (place.packed / "train.rec.partial").touch()
    observer.look(os.getpid())
    running = observer.tail_seconds()
    assert running is not None
    (place.root / ".prep").mkdir(parents=True)
    (place.root / ".prep" / "verify.json").touch()
    (place.packed / "train.rec.partial").unlink()
    observer.look(os.getpid())
    ended = observer.tail_seconds()
    assert ended is not None
    assert ended > running
    observer.look(os.getpid())
    assert observer.tail_seconds() == ended
    assert observer.peak_memory > 0
    assert observer.processor_seconds > 0
