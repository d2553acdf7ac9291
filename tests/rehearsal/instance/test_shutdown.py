"""A planned shutdown waits for the end of the service that plans it. (The signal itself is for process 1.)"""

import os
import subprocess
import time

from rehearsal.instance.guest.shutdown import parent, wait_for_end


def test_waits_until_the_process_is_gone() -> None:
    with subprocess.Popen(["/bin/sh", "-c", "sleep 0.3"]) as process:
        begun = time.monotonic()
        wait_for_end(process.pid, 0.1)
        assert process.poll() is None  # it waits no longer than it may
        process.wait()
        wait_for_end(process.pid, 60)
        assert time.monotonic() - begun < 30


def test_parent_of_a_process_with_any_name() -> None:
    with subprocess.Popen(["/bin/bash", "-c", "exec -a 'a) (b' sleep 1"]) as process:
        assert parent(process.pid) == os.getpid()
        process.kill()
