"""What makes a run come out the same each time: a clock and ids that are counted, not drawn."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from math import isfinite
from threading import Lock

from atlas_lab.arguments import check_kind, refuse
from atlas_lab.events import EventId


class TickingClock:
    """A clock that moves on by one step each time it is read, so that a run has the same times each time.

    A bus reads its clock for every event and for every subscription. It can be read from any number of threads at
    once; no two of them get the same time.

    Parameters
    ----------
    start : float, default 0.0
        What it says first, in seconds since the epoch.
    step : float, default 1.0
        Seconds by which each reading moves it on. 0 makes a clock that moves only when told to.

    Raises
    ------
    TypeError
        If an argument is not a finite number.

    Examples
    --------
    >>> from atlas_lab import EventBus, EventType
    >>> from atlas_lab.testing import TickingClock
    >>> clock = TickingClock(start=100.0)
    >>> bus = EventBus(clock=clock)
    >>> for wait in (0, 0, 60):
    ...     clock.advance(wait)
    ...     _ = bus.publish(EventType.SYSTEM_HEALTH)
    >>> [event.timestamp for event in bus.history]
    [100.0, 101.0, 162.0]
    """

    def __init__(self, start: float = 0.0, step: float = 1.0) -> None:
        self._start = _seconds("start", start)
        self._step = _seconds("step", step)
        self._readings = 0
        self._lock = Lock()

    def __call__(self) -> float:
        """Return the time, and move on by a step."""
        with self._lock:
            now = self._start + self._readings * self._step
            self._readings += 1
        return now

    @property
    def now(self) -> float:
        """What the next reading will be; looking at it moves nothing."""
        with self._lock:
            return self._start + self._readings * self._step

    def advance(self, seconds: float) -> None:
        """Move the clock on, or back if `seconds` is negative.

        Raises
        ------
        TypeError
            If `seconds` is not a finite number.
        """
        with self._lock:
            self._start += _seconds("seconds", seconds)

    def __repr__(self) -> str:
        return f"<TickingClock at {self.now:g}, step {self._step:g}>"


def numbered_ids() -> Callable[[], EventId]:
    """Return a function for ``EventBus(new_id=...)`` that counts: ids are the same in each run.

    Examples
    --------
    >>> from atlas_lab import EventBus, EventType
    >>> from atlas_lab.testing import numbered_ids
    >>> bus = EventBus(new_id=numbered_ids())
    >>> bus.publish(EventType.SYSTEM_HEALTH), bus.publish(EventType.SYSTEM_HEALTH)
    ('00000000000000000000000000000001', '00000000000000000000000000000002')
    """
    return map("{:032x}".format, count(1)).__next__


def _seconds(argument: str, value: float) -> float:
    check_kind(argument, value, int | float, "a finite number of seconds")
    if not isfinite(value):
        raise refuse(argument, value, "a finite number of seconds")
    return float(value)
