"""What a panel of middleware shows and does, without a widget: the truth behind `MiddlewarePanel`."""

from __future__ import annotations

import threading
from typing import NamedTuple

from atlas_lab.arguments import is_kind, refuse
from atlas_lab.bus import EventBus
from atlas_lab.entries import Middleware, MiddlewareStats

MOST_ROWS = 100
"""Entries that are shown."""


class MiddlewareRow(NamedTuple):
    """One entry as it is shown.

    Attributes
    ----------
    name : str
        Unique on its bus.
    enabled : bool
    stats : MiddlewareStats
    mean : float or None, seconds
        Time for one event, estimated from those that were timed; None before the first.
    off_since : int or None
        How many events the bus had accepted when the entry was seen to be off; None while it is on.
    """

    name: str
    enabled: bool
    stats: MiddlewareStats
    mean: float | None
    off_since: int | None

    @property
    def said(self) -> str:
        """What it did, in a line.

        Examples
        --------
        >>> from atlas_lab import MiddlewareStats
        >>> from atlas_lab.widgets.middleware_model import MiddlewareRow
        >>> MiddlewareRow("quiet", True, MiddlewareStats(12, 9, 0, 3, 0, 0.0), 0.0, None).said
        '12 in · 3 dropped'
        """
        seen, passed, transformed, dropped, raised, _ = self.stats
        counts = {"transformed": transformed, "dropped": dropped, "raised": raised}
        parts = [f"{seen:,} in"]
        if seen and passed == seen:
            parts.append("all passed")
        parts += [f"all {name}" if count == seen else f"{count:,} {name}" for name, count in counts.items() if count]
        return " · ".join(parts)


class MiddlewareModel:
    """The middleware of a bus, with what can be done to it. Entries are named by name.

    Parameters
    ----------
    bus : EventBus

    Examples
    --------
    >>> from atlas_lab import EventBus
    >>> from atlas_lab.widgets.middleware_model import MiddlewareModel
    >>> bus = EventBus()
    >>> for name in ("first", "second"):
    ...     _ = bus.add_middleware(lambda event: event, name=name)
    >>> panel = MiddlewareModel(bus)
    >>> panel.move("second", -1)
    True
    >>> panel.switch("first", on=False)
    True
    >>> [(row.name, row.enabled) for row in panel.rows()]
    [('second', True), ('first', False)]
    """

    def __init__(self, bus: EventBus) -> None:
        self.bus = bus
        self._off_since: dict[str, int] = {}
        self._lock = threading.Lock()

    def rows(self) -> tuple[MiddlewareRow, ...]:
        """Return the entries in order, the first 100 of them."""
        entries = self.bus.middleware[:MOST_ROWS]
        with self._lock:
            self._off_since = {
                entry.name: self._off_since.get(entry.name, self.bus.history.accepted)
                for entry in entries
                if not entry.enabled
            }
            off_since = dict(self._off_since)
        return tuple(_row(entry, off_since.get(entry.name)) for entry in entries)

    @property
    def total(self) -> int:
        """How many entries there are, shown or not."""
        return len(self.bus.middleware)

    def find(self, name: str) -> Middleware | None:
        """Return the entry of a name; None if there is none, as when it was removed meanwhile.

        Raises
        ------
        TypeError
            If `name` is no text.
        """
        if not is_kind(name, str):
            raise refuse("name", name, "the name of a middleware")
        return next((entry for entry in self.bus.middleware if entry.name == name), None)

    def switch(self, name: str, *, on: bool | None = None) -> bool:
        """Switch an entry on or off, or to the other state. False if there is none of that name."""
        entry = self.find(name)
        if entry is None:
            return False
        entry.enabled = not entry.enabled if on is None else on
        self.rows()  # notes since when it is off
        return True

    def move(self, name: str, by: int) -> bool:
        """Move an entry down by so many places, or up, if it is negative. False if nothing changed."""
        entries = self.bus.middleware
        entry = self.find(name)
        if entry is None or entry not in entries:
            return False
        place = entries.index(entry)
        wanted = min(max(place + by, 0), len(entries) - 1)
        if wanted == place:
            return False
        follower = entries[wanted] if wanted < place else (*entries, None)[wanted + 1]
        try:
            entry.move(before=follower)
        except ValueError:  # one of the two was removed meanwhile
            return False
        return True

    def remove(self, name: str) -> bool:
        """Take an entry out for good. False if there is none of that name."""
        entry = self.find(name)
        return entry is not None and entry.remove()


def _row(entry: Middleware, off_since: int | None) -> MiddlewareRow:
    stats = entry.stats
    mean = stats.total_time / stats.seen if stats.seen and stats.total_time else None
    return MiddlewareRow(entry.name, entry.enabled, stats, mean, None if entry.enabled else off_since)
