"""Which events a feed lists: all, or those that meet its filters, kept up to date a piece at a time."""

from __future__ import annotations

import operator
import time
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from enum import Enum
from typing import Any, NamedTuple, Protocol

from atlas_lab.events import Event, event_type_name

from .payload_text import searched_text

_PIECE = 1024  # events looked at between two looks at the clock


class Kept(Protocol):
    """Where events are read from: a history, or what it held when a feed was paused."""

    @property
    def seqs(self) -> range:
        """The numbers of the events that are kept."""

    def between(self, first: int, last: int) -> list[Event[Any]]:
        """Return the kept events with these numbers, oldest first."""


class Frozen:
    """The events of a moment.

    Parameters
    ----------
    events : sequence of Event
        Oldest first, numbered without gaps.
    """

    def __init__(self, events: Sequence[Event[Any]]) -> None:
        self.events = events
        self.seqs = range(events[0].seq, events[0].seq + len(events)) if events else range(0)

    def between(self, first: int, last: int) -> list[Event[Any]]:
        """Return the events with these numbers, oldest first."""
        start = self.seqs.start
        return list(self.events[max(first - start, 0) : max(last - start + 1, 0)])


class EventFilter(NamedTuple):
    """What an event has to be like to be listed; nothing is asked by default.

    Attributes
    ----------
    types : tuple of str
        Names of types, any of them.
    source : str
    scope : str
        This one or one below it.
    text : str
        Somewhere in its type, source, scope, id, payload or metadata, in upper or lower case.

    Examples
    --------
    >>> from atlas_lab import Event, EventType
    >>> from atlas_lab.widgets.matches import EventFilter
    >>> events = [Event(EventType.STREAM_CHUNK, "To be"), Event(EventType.STREAM_CHUNK, "or not")]
    >>> [event.data for event in EventFilter(text="TO").of(events)]
    ['To be']
    """

    types: tuple[str, ...] = ()
    source: str = ""
    scope: str = ""
    text: str = ""

    def of(self, events: Sequence[Event[Any]]) -> list[Event[Any]]:
        """Return those that meet it."""
        found = list(events)
        if self.types:
            wanted = _Wanted(self.types)
            found = [event for event in found if wanted[event.type]]
        if self.source:
            source = self.source
            found = [event for event in found if event.source == source]
        if self.scope:
            scope, below = self.scope, f"{self.scope}/"
            found = [e for e in found if e.scope is not None and (e.scope == scope or e.scope.startswith(below))]
        if self.text:
            text = self.text.casefold()
            found = [event for event in found if text in searched_text(event)]
        return found


class _Wanted(dict[Enum, bool]):
    """Whether a type is wanted, found out once for each."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self._names = names

    def __missing__(self, event_type: Enum) -> bool:
        self[event_type] = wanted = event_type_name(event_type) in self._names
        return wanted


class All:
    """Every event that is kept: the numbers without gaps, for which nothing has to be remembered."""

    behind = 0

    def __init__(self, kept: Kept) -> None:
        self._seqs = kept.seqs

    def work(self, kept: Kept, seconds: float) -> None:
        """Look at what is new."""
        self._seqs = kept.seqs

    def count(self, head: int) -> int:
        """Return how many there are up to a number."""
        return max(0, min(head, self._seqs.stop - 1) - self._seqs.start + 1)

    def newest(self, head: int, first: int, rows: int) -> list[int]:
        """Return some numbers up to `head`, newest first, leaving out so many of the newest."""
        top = min(head, self._seqs.stop - 1) - first
        return list(range(top, max(top - rows, self._seqs.start - 1), -1))

    def rank(self, seq: int, head: int) -> int:
        """Return how many there are above a number, up to `head`."""
        return max(0, min(head, self._seqs.stop - 1) - seq)


class Matching:
    """The events that meet a filter.

    What was there before is looked at from the newest on, so that the first page is there at once; what comes in
    meanwhile is looked at first. Nothing is looked at twice.

    Parameters
    ----------
    wanted : EventFilter
    kept : History or Frozen
    events : sequence of Event
        What `kept` holds now.
    """

    def __init__(self, wanted: EventFilter, events: Sequence[Event[Any]], upto: int) -> None:
        self._filter = wanted
        self._backlog = events
        self._left = len(events)  # of the backlog, from its begin
        self._seen = events[-1].seq if events else upto
        self._newest = self._seen
        self._older = array("q")  # newest first
        self._newer = array("q")  # oldest first
        self._gone = 0  # of the newer, from their begin

    @property
    def behind(self) -> int:
        """How many events were not looked at yet."""
        return self._left + max(0, self._newest - self._seen)

    def work(self, kept: Kept, seconds: float) -> None:
        """Look at what is new, then at what is older, for so many seconds; at a piece at least, or it would never end."""
        until = time.perf_counter() + seconds
        idle = True
        seqs = kept.seqs
        self._newest = seqs.stop - 1
        self._forget(seqs.start)
        while self._seen < self._newest and (idle or time.perf_counter() < until):
            idle = False
            first = max(self._seen + 1, seqs.start)
            last = min(first + _PIECE - 1, self._newest)
            self._newer.extend(event.seq for event in self._filter.of(kept.between(first, last)))
            self._seen = last
        while self._left and (idle or time.perf_counter() < until):
            idle = False
            start = max(self._left - _PIECE, 0)
            piece = self._filter.of(self._backlog[start : self._left])
            self._older.extend(event.seq for event in reversed(piece))
            self._left = start
            if not start or self._backlog[start].seq < seqs.start:
                self._left, self._backlog = 0, ()
                self._forget(seqs.start)

    def _forget(self, oldest: int) -> None:
        """Leave out what was pushed out."""
        older, newer = self._older, self._newer
        if older and older[-1] < oldest:
            del older[bisect_left(older, 1 - oldest, key=operator.neg) :]
        if not older:
            self._gone = bisect_left(newer, oldest, lo=self._gone)
            if self._gone > 4096 and self._gone * 2 > len(newer):
                del newer[: self._gone]
                self._gone = 0

    def count(self, head: int) -> int:
        """Return how many there are up to a number."""
        newer = bisect_right(self._newer, head, lo=self._gone) - self._gone
        return newer + len(self._older) - self._above(head)

    def _above(self, head: int) -> int:
        """Return how many of the older ones have a larger number."""
        return bisect_left(self._older, -head, key=operator.neg)

    def newest(self, head: int, first: int, rows: int) -> list[int]:
        """Return some numbers up to `head`, newest first, leaving out so many of the newest."""
        stop = bisect_right(self._newer, head, lo=self._gone)
        newer = stop - self._gone
        found = list(reversed(self._newer[max(stop - first - rows, self._gone) : max(stop - first, self._gone)]))
        start = self._above(head) + max(first - newer, 0)
        return found + list(self._older[start : start + rows - len(found)])

    def rank(self, seq: int, head: int) -> int:
        """Return how many there are above a number, up to `head`."""
        return self.count(head) - self.count(min(seq, head))
