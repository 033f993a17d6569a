"""What areas put off until later is put off to threads."""

from __future__ import annotations

import threading

from atlas_lab.testing.contract.workers import PATIENCE


def until_shown() -> None:
    """Wait until all areas show what they were told so far: what came too soon after a change waits for a timer."""
    for thread in threading.enumerate():
        if thread.name == "atlas_lab output":
            thread.join(PATIENCE)
            assert not thread.is_alive()
