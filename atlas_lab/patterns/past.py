"""The events that a projection folded, and every so many of them the state, so that its past can be asked for."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any, Generic, TypeVar

import msgspec

from atlas_lab import Event

from .reducing import Reducers

S = TypeVar("S")


class Snapshot(msgspec.Struct, Generic[S], frozen=True):
    """A state and the last event that is part of it: where another projection can begin.

    Parameters
    ----------
    seq : int
    state : S
    """

    seq: int
    state: S


class Segment(Generic[S]):
    """A stretch of the events that were folded, and the state before them."""

    __slots__ = ("events", "reducers", "seq", "state")

    def __init__(self, seq: int, state: S, reducers: Reducers[S]) -> None:
        self.seq = seq
        self.reducers = reducers
        self.state = state
        self.events: list[Event[Any]] = []


class Past(Generic[S]):
    """Segments of events, oldest first.

    Parameters
    ----------
    name : str
        Shown in messages.
    first : Snapshot
        Where it begins.
    reducers : Reducers
    every : int
        The most events of a segment.
    at_least : int or None
        Events to keep; None for all.
    """

    def __init__(self, name: str, first: Snapshot[S], reducers: Reducers[S], every: int, at_least: int | None) -> None:
        self.segments = [Segment(first.seq, first.state, reducers)]
        self._name = name
        self._every = every
        self._at_least = at_least
        self._kept = 0

    def keep(self, event: Event[Any], before: Snapshot[S], reducers: Reducers[S]) -> None:
        """Keep an event that was folded into the state before it; let go of the oldest segments that need not be kept."""
        if len(self.segments[-1].events) >= self._every:
            self.begin_segment(before, reducers)
        self.segments[-1].events.append(event)
        self._kept += 1
        while (
            self._at_least is not None
            and len(self.segments) > 1
            and self._kept - len(self.segments[0].events) >= self._at_least
        ):
            self._kept -= len(self.segments.pop(0).events)

    def begin_segment(self, before: Snapshot[S], reducers: Reducers[S]) -> None:
        """Keep a state; what comes is folded from it with these reducers."""
        self.segments.append(Segment(before.seq, before.state, reducers))

    def leading_to(self, seq: int) -> tuple[Segment[S], list[Event[Any]]]:
        """Return the segment that an event is in, and its events up to that one.

        Raises
        ------
        LookupError
            If that is before all that is kept.
        """
        place = bisect_right(self.segments, seq, key=lambda segment: segment.seq) - 1
        if place < 0:
            raise LookupError(f"{self._name} keeps no state before event {self.segments[0].seq}, asked for {seq}")
        segment = self.segments[place]
        return segment, segment.events[: bisect_right(segment.events, seq, key=lambda event: event.seq)]
