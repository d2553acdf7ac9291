"""Documents to begin with."""

from dataclasses import replace

from prep.reporting.document import DONE, RUNNING, Document, Task

DOWNLOAD = Task("download", "download", "bytes", 40_000_000_000, 147_897_477_120, 31_000_000.0, 3480)
PACK = Task("pack", "pack", "bytes", 39_500_000_000, 147_897_477_120, 30_500_000.0, 3554)
AT_WORK = Document(
    dataset="pets",
    state=RUNNING,
    updated="2026-11-25T11:00:00Z",
    began="2026-11-25T10:00:00Z",
    sequence=240,
    work_seconds=3600.0,
    instance="i-0123456789abcdef0",
    machine="t2.large,sc1=1000,gp3=200",
    part="archives",
    stages={"download": "at work", "pack": "at work", "backup": "not begun", "snapshot": "not begun"},
    tasks=(DOWNLOAD, PACK),
    waits={"link": 1200.0},
    waiting_for="link",
)
ALL_DONE = replace(AT_WORK, state=DONE, tasks=(), stages=dict.fromkeys(AT_WORK.stages, "done"))
