"""The door of the embedded AWS: which call is kept waiting."""

import threading
from pathlib import Path

import pytest

from rehearsal.cloud.call import Call
from rehearsal.cloud.gate import Gate

WHOLE = Call("s3", "PutObject", "us-east-1", {"bucket": "b", "key": "a"})
PART = Call("s3", "PutObject", "us-east-1", {"bucket": "b", "key": "a", "partNumber": "1", "uploadId": "u"})
OTHER = Call("s3", "PutObject", "us-east-1", {"bucket": "b", "key": "c", "partNumber": "1", "uploadId": "u"})


@pytest.mark.parametrize(
    ("held", "waiting"),
    [("s3:PutObject a", [WHOLE, PART]), ("s3:PutObject a part", [PART]), ("s3:PutObject", [])],
)
def test_what_is_held(tmp_path: Path, held: str, waiting: list[Call]) -> None:
    gate = Gate(lambda *_: [], "", tmp_path / "calls.jsonl")
    (tmp_path / "hold").write_text(held)
    threads = [threading.Thread(target=gate._hold, args=[call]) for call in (WHOLE, PART, OTHER)]
    for thread in threads:
        thread.start()
        thread.join(0.2)
    assert [thread.is_alive() for thread in threads] == [call in waiting for call in (WHOLE, PART, OTHER)]
    assert (tmp_path / "held").exists() == bool(waiting)
    (tmp_path / "hold").unlink()
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()
