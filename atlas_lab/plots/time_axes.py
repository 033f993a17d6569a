"""The axis of time of a plot: the hour of the day for what took long, milliseconds for what was over soon."""

from __future__ import annotations

import datetime as dt

from atlas_lab.errors import MissingExtraError
from atlas_lab.tables.columns import NAT, Numbers, Shares, nanoseconds

from .lettering import PLAIN, moment_text, zone_text

try:
    from matplotlib.axes import Axes
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
    from matplotlib.ticker import FuncFormatter, MaxNLocator
except ImportError as error:
    raise MissingExtraError("matplotlib", "lab") from error
try:
    import numpy as np
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error

_SHORT = 10_000_000_000  # from here on, clock times tell more than seconds since the start
_UNITS = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"), (1, "ns")]


def unit_of(span: int) -> tuple[int, str]:
    """Return the unit in which a span of nanoseconds is a number of at least 1: its size, and its name."""
    return next((unit for unit in _UNITS if span >= unit[0]), _UNITS[-1] if span else _UNITS[0])


class TimeAxis:
    """Where moments are on the x axis.

    Parameters
    ----------
    first, last : int, nanoseconds
        What has to fit on it.
    zone : tzinfo or None
        For moments of a clock, in nanoseconds since 1970; None for times since some start.
    since : str
        What that start was.
    zero : int, optional
        What times that are short are counted from, if not from `first`.

    Attributes
    ----------
    name : str
        What to write at the axis.
    """

    def __init__(
        self, first: int, last: int, zone: dt.tzinfo | None = None, since: str = "", zero: int | None = None
    ) -> None:
        self.first, self.last = first, last
        self._zero = 0 if zone is None else first if zero is None else zero
        self._zone = zone
        self.of_day = zone is not None and last - first >= _SHORT
        self._unit, unit = unit_of(last - self._zero)
        if self.of_day:
            self.name = f"time, {zone_text(zone)}"
        elif zone is None:
            self.name = f"{unit} since {since}"
        else:
            self.name = f"{unit} since {moment_text(moment(self._zero, zone))} {zone_text(zone)}"

    def place(self, ns: Numbers) -> Shares:
        """Return the places of times in nanoseconds."""
        if self.of_day:
            days = date2num(ns.view("M8[ns]"))  # type: ignore[no-untyped-call]  # matplotlib.dates has no types
            return np.asarray(days, np.float64)
        return (ns - self._zero) / self._unit

    def set_up(self, ax: Axes, margin: float = 0.02) -> None:
        """Scale and name the x axis."""
        low, high = self.place(np.array([self.first, self.last], np.int64)).tolist()
        room = (high - low) * margin if high > low else 1
        ax.set_xlim(low - room, high + room)
        if self.of_day:
            locator = AutoDateLocator(tz=self._zone)  # type: ignore[no-untyped-call]  # as above
            ax.xaxis.set_major_locator(locator)
            formatter = ConciseDateFormatter(locator, tz=self._zone)  # type: ignore[no-untyped-call]  # as above
            ax.xaxis.set_major_formatter(formatter)
        elif high == low:
            ax.set_xticks([low])
        else:
            ax.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10]))
            ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        ax.xaxis.offsetText.set_fontsize("small")
        ax.set_xlabel(self.name, fontsize="small", **PLAIN)


def moment(ns: int, zone: dt.tzinfo | None) -> pd.Timestamp:
    """Return nanoseconds since 1970 as a moment of a time zone."""
    return pd.Timestamp(ns, unit="ns", tz="UTC").tz_convert(zone)


def moments_of(events: pd.DataFrame) -> tuple[Numbers, dt.tzinfo | None]:
    """Return the timestamps of events in nanoseconds, `NAT` where one is missing, and their time zone."""
    at = nanoseconds(events, "timestamp")
    zone: dt.tzinfo | None = events["timestamp"].dt.tz
    return at, zone


def bounds(at: Numbers) -> tuple[int, int]:
    """Return the earliest and the latest time that is known; there must be one."""
    known = at[at != NAT]
    return int(known.min()), int(known.max())
