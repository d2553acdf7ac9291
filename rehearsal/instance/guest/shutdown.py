"""shutdown for an instance of the rehearsal: asks process 1 to power off, or with -r to start again."""

import os
import signal
import sys

if __name__ == "__main__":
    os.kill(1, signal.SIGUSR1 if "-r" in sys.argv else signal.SIGTERM)
