"""The recording that the views of one panel share, and the switch that turns it on and off."""

from __future__ import annotations

import threading
from typing import Any

from atlas_lab.arguments import is_kind, refuse
from atlas_lab.errors import BusClosedError
from atlas_lab.recording import Recording

LIMIT = 10_000
"""Events, deliveries and middleware steps that a panel keeps, each."""


class RecordSwitch:
    """Turns recording on and off; the views of a panel share one.

    Parameters
    ----------
    bus : EventBus
    record : bool, Recording or None
        Whether to begin at once, or one that somebody else started and will stop.

    Attributes
    ----------
    recording : Recording or None
        The latest; None before there was one.

    Examples
    --------
    >>> from atlas_lab import EventBus
    >>> from atlas_lab.widgets.record_switch import RecordSwitch
    >>> switch = RecordSwitch(EventBus(name="run"), True)
    >>> switch.on, switch.recording
    (True, <Recording 'run', on: 0 events, 0 deliveries, 0 middleware steps>)
    >>> switch.turn(False)
    >>> switch.on
    False
    """

    def __init__(self, bus: Any, record: object = False) -> None:
        self._bus = bus
        self._lock = threading.Lock()
        self._ours = False
        self.recording: Recording | None = None
        if is_kind(record, Recording):
            self.recording = record
        elif record is True:
            self.turn(True)
        elif record is not None and record is not False:
            raise refuse("record", record, "True, False or a Recording")

    @property
    def on(self) -> bool:
        """Whether it is recording."""
        return self.recording is not None and self.recording.on

    def turn(self, on: bool) -> None:
        """Turn it on, with a new recording, or off. On a closed bus it stays off."""
        with self._lock:
            if on == self.on:
                return
            if not on:
                if self.recording is not None:
                    self.recording.stop()
                return
            try:
                self.recording = self._bus.record(limit=LIMIT).start()
                self._ours = True
            except BusClosedError:
                return

    def close(self) -> None:
        """Stop the recording, unless somebody else started it. What it holds can still be read."""
        if self._ours and self.recording is not None:
            self.recording.stop()


def switch_of(bus: Any, record: object) -> tuple[RecordSwitch, bool]:
    """Return the switch for a view's argument `record`, and whether the view has to close it."""
    if is_kind(record, RecordSwitch):
        return record, False
    return RecordSwitch(bus, record), True
