"""Which signals ask a run to save and stop, and how the one that came is passed on."""

from __future__ import annotations

import signal

# Sent by a scheduler some time before it takes the machine away.
PREEMPTION_SIGNALS = (signal.SIGUSR1, signal.SIGUSR2)
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, *PREEMPTION_SIGNALS)


def signal_of(stop: KeyboardInterrupt) -> str:
    """The name of the signal that raised `stop`: its argument, or that of Ctrl-C."""
    return str(stop.args[0]) if stop.args else signal.SIGINT.name
