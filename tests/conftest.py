"""What all tests share."""

from __future__ import annotations

import signal

# A shell that starts a job in the background lets it ignore Ctrl-C, and every child inherits that. The tests that
# interrupt a run send a real SIGINT, so it must mean what it means at a terminal.
signal.signal(signal.SIGINT, signal.default_int_handler)
