"""Whether the user has asked to stop.

Ctrl-C and SIGTERM end a pass between two units. Code that waits inside a unit, for example for a service that
doesn't answer, waits on this event, so that it does not delay the end.
"""

import threading

stopping = threading.Event()
