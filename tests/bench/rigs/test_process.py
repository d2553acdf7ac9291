"""Commands run from the outside."""

import os
import sys
import time
from pathlib import Path

import pytest

from bench.report import BenchError
from bench.rigs.process import peak_memory, processor_seconds, run


def test_output_and_log_are_apart(tmp_path: Path) -> None:
    code = "import sys; print('result'); print('progress', file=sys.stderr)"
    assert run([sys.executable, "-c", code], tmp_path / "log").output == "result\n"
    assert (tmp_path / "log").read_text() == "progress\n"


def test_a_failure_says_the_last_line(tmp_path: Path) -> None:
    code = "import sys; print('disk on fire', file=sys.stderr); sys.exit(3)"
    with pytest.raises(BenchError, match=r"failed with 3: disk on fire"):
        run([sys.executable, "-c", code], tmp_path / "log")


def test_what_does_not_end_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True); time.sleep(60)\n"
    )
    with pytest.raises(BenchError, match="did not end within 2 s"):
        run([sys.executable, "-c", code], tmp_path / "log", limit=2)
    child = int((tmp_path / "log.out").read_text())
    for _ in range(50):  # five seconds for the kernel to bury it
        state = Path(f"/proc/{child}/stat")
        if not state.exists() or state.read_text().split()[2] == "Z":
            break
        time.sleep(0.1)
    else:
        pytest.fail("its child lives")


def test_the_users_own_settings_do_not_reach_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREP_RESIZE", "64")
    code = "import os; print(os.environ.get('PREP_RESIZE'), os.environ['PREP_USERNAME'])"
    ran = run([sys.executable, "-c", code], tmp_path / "log", environment={"PREP_USERNAME": "me"})
    assert ran.output == "None me\n"


def test_it_is_watched_while_it_runs(tmp_path: Path) -> None:
    seen: list[int] = []
    code = "data = b'x' * (50 << 20); import time; time.sleep(0.5)"
    run([sys.executable, "-c", code], tmp_path / "log", watch=lambda pid: seen.append(peak_memory(pid)))
    assert max(seen) > 50 << 20
    assert peak_memory(os.getpid()) > 0


def test_processor_time_is_not_the_time_by_the_clock(tmp_path: Path) -> None:
    seen: list[float] = []
    code = "import time\nwhile time.process_time() < 0.5: pass\ntime.sleep(0.5)"
    ran = run(
        [sys.executable, "-c", code], tmp_path / "log", watch=lambda pid: seen.append(processor_seconds(pid))
    )
    assert 0.4 < max(seen) < ran.seconds - 0.4
    assert processor_seconds(2**22 + 1) == 0  # no process has a number above the kernel's largest
