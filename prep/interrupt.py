"""Whether the user has asked to stop.

Ctrl-C and SIGTERM end a pass between two units. What waits inside a unit, such as for a service that doesn't
answer, waits on this event, so that nobody waits for it in turn.
"""

import threading

stopping = threading.Event()
