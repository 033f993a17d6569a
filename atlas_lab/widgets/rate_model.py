"""How much is going on on a bus: events a second and how long handlers take, over the last minute."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from atlas_lab.errors import MissingExtraError

from .record_switch import RecordSwitch

try:
    import numpy as np
except ImportError as error:
    raise MissingExtraError("numpy", "lab") from error

SPAN = 60.0  # seconds that are drawn
POINTS = 300  # in which they are drawn
WINDOW = 1.0  # seconds over which a rate is taken
CALLS = 300  # durations that stand for those of one turn

Floats: TypeAlias = "np.ndarray[Any, np.dtype[np.float32]]"


class Curves(NamedTuple):
    """The last minute, oldest first, one value for each fifth of a second.

    Attributes
    ----------
    rates : array of float32, events per second
    p50, p99 : array of float32, microseconds
        Of the calls that ended then; NaN where none did.
    """

    rates: Floats
    p50: Floats
    p99: Floats


def _percentiles(nanoseconds: Any) -> tuple[float, float]:
    """Return the median and the 99th percentile, in microseconds."""
    last = len(nanoseconds) - 1
    places = (last // 2, round(last * 0.99))
    parted = np.partition(nanoseconds, places)
    return float(parted[places[0]]) / 1e3, float(parted[places[1]]) / 1e3


class RateModel:
    """Counts of a bus, and what they were in the last minute. It looks at them when `sample` is called.

    Parameters
    ----------
    bus : EventBus
    switch : RecordSwitch, optional
        Knows the recording that durations come from.
    clock : callable, default time.monotonic
        Returns seconds.

    Examples
    --------
    >>> from atlas_lab import EventBus, EventType
    >>> from atlas_lab.widgets.rate_model import RateModel
    >>> now = 0.0
    >>> bus = EventBus(name="run")
    >>> model = RateModel(bus, clock=lambda: now)
    >>> model.sample()
    >>> for _ in range(50):
    ...     _ = bus.publish(EventType.STREAM_CHUNK)
    >>> now = 1.0
    >>> model.sample()
    >>> model.state()["rate"], float(model.curves().rates[-1])
    (50.0, 50.0)
    """

    def __init__(
        self, bus: Any, switch: RecordSwitch | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._bus = bus
        self.switch = RecordSwitch(bus) if switch is None else switch
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: deque[tuple[float, int]] = deque()
        self._calls: deque[tuple[float, float, float]] = deque()
        self._recent: deque[tuple[float, Any]] = deque()
        self._latest: tuple[float, float] | None = None
        self._recording: object = None
        self._mark = 0

    def sample(self) -> None:
        """Look at the bus now."""
        with self._lock:
            now = self._clock()
            self._counts.append((now, self._bus.history.accepted))
            oldest = now - SPAN - WINDOW
            while len(self._counts) > 2 and self._counts[1][0] < oldest:
                self._counts.popleft()
            while self._calls and self._calls[0][0] < oldest:
                self._calls.popleft()
            self._time_calls(now)

    def _time_calls(self, now: float) -> None:
        recording = self.switch.recording
        if recording is None:
            return
        if recording is not self._recording:
            self._recording, self._mark = recording, 0
        self._mark, durations = recording.durations(self._mark, CALLS)
        while self._recent and self._recent[0][0] < now - WINDOW:
            self._recent.popleft()
        if durations:
            latest = np.array(durations)
            self._recent.append((now, latest))
            self._calls.append((now, *_percentiles(latest)))
            self._latest = _percentiles(np.concatenate([several for _, several in self._recent]))

    def state(self) -> dict[str, Any]:
        """Return counts, the rate of the last second and percentiles of durations in microseconds."""
        stats = self._bus.stats()
        with self._lock:
            latest = self._latest if self.switch.recording is not None else None
            return {
                "name": self._bus.path or "bus",
                "closed": self._bus.closed,
                "events": stats.accepted,
                "subscriptions": stats.subscriptions,
                # Those of its own handlers, or with those of its scopes, which come here as events.
                "errors": max(stats.errors, stats.by_type.get("HANDLER_ERROR", 0)),
                "dropped": stats.pushed_out,
                "rate": self._rate(),
                "p50": None if latest is None else round(latest[0], 1),
                "p99": None if latest is None else round(latest[1], 1),
                "recording": self.switch.on,
            }

    def _rate(self) -> float:
        if len(self._counts) < 2:
            return 0.0
        times, counts = np.array(self._counts).T
        now = times[-1]
        since = max(now - WINDOW, times[0])
        return round(float((counts[-1] - np.interp(since, times, counts)) / max(now - since, 1e-9)), 1)

    def curves(self) -> Curves:
        """Return the last minute."""
        with self._lock:
            p50, p99 = np.full(POINTS, np.nan, np.float32), np.full(POINTS, np.nan, np.float32)
            if not self._counts:
                return Curves(np.zeros(POINTS, np.float32), p50, p99)
            times, counts = np.array(self._counts).T
            grid = times[-1] - SPAN + np.arange(1, POINTS + 1) * (SPAN / POINTS)
            rates = (np.interp(grid, times, counts) - np.interp(grid - WINDOW, times, counts)) / WINDOW
            for at, median, high in self._calls:
                place = min(POINTS - 1, int((at - grid[0]) / SPAN * POINTS) + 1)
                if place >= 0:
                    p50[place] = median
                    p99[place] = np.fmax(p99[place], high)
            return Curves(rates.astype(np.float32), p50, p99)
