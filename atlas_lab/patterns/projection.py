"""State projection: a state that is what reducers make of events, live on a bus or from any history."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import msgspec

from atlas_lab import Event, EventBus, EventType

from .evolution import steps_frame
from .freezing import freeze
from .past import Past, Snapshot
from .reducing import Line, Reducer, ReducerError, Reducers
from .sources import Source

if TYPE_CHECKING:
    import pandas as pd

S = TypeVar("S")


class Projected(msgspec.Struct, frozen=True):
    """Payload of STATE_PROJECTED: a projection took events, or stands still.

    Parameters
    ----------
    projection : str
        Its name.
    seq : int
        The last event that is part of the state.
    events : int
        How many were taken since the last such event.
    pending : int
        How many wait because a reducer failed.
    error : str or None
        Why it stands still.
    """

    projection: str
    seq: int
    events: int
    pending: int = 0
    error: str | None = None


class Projection(Generic[S]):
    """A state that is folded from events, in the order of their history whatever order handlers see.

    It can be asked what the state was at any time. For that it keeps the events that it folded, and every so many
    of them a snapshot, so that a long history is not folded again.

    Parameters
    ----------
    initial : S
        The state before all events. A dict, list or set is taken as its pyrsistent counterpart, which cannot change
        and costs little to make a changed copy of: ``state.set("a", 1)``. A reducer may return either.
    reducers : mapping of Enum to callable
        For an event type, what gives the next state from a state and an event. It must not have side effects. Other
        types pass by.
    name : str, default "projection"
        Shown in events and messages.
    snapshot_every : int, default 256
        Events between snapshots.
    keep : int, optional
        Events to keep for `at` and `frame` at least; by default all. The state does not depend on it.
    start : Snapshot, optional
        Begin there, with the events after it.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Notes
    -----
    When a reducer raises, the projection stays at its last good state and `failure` tells why; `pending` events
    wait for `resume`. On a bus, a STATE_PROJECTED event with the error and a HANDLER_ERROR event tell it too.

    Examples
    --------
    >>> from atlas_lab import EventBus, EventType
    >>> from atlas_lab.patterns import Projection
    >>> def longer(state, event):
    ...     return state.set(event.source, state.get(event.source, 0) + len(event.data))
    >>> bus = EventBus()
    >>> with Projection({}, {EventType.STREAM_CHUNK: longer}).follow(bus, announce=False) as letters:
    ...     for word in ("storm", "day"):
    ...         _ = bus.publish(EventType.STREAM_CHUNK, word, source="model")
    ...     letters.state["model"], letters.at(1)["model"], letters.at(0)
    (8, 5, pmap({}))
    >>> again = Projection({}, {EventType.STREAM_CHUNK: longer}).fold(bus.history)
    >>> again.state == letters.state
    True
    """

    def __init__(
        self,
        initial: S,
        reducers: Mapping[Enum, Reducer[S]],
        *,
        name: str = "projection",
        snapshot_every: int = 256,
        keep: int | None = None,
        start: Snapshot[S] | None = None,
    ) -> None:
        if not isinstance(name, str):
            raise TypeError(f"name must be a str, got {name!r:.80}")
        for argument, value, least in (("snapshot_every", snapshot_every, 1), ("keep", keep, 0)):
            if (value is not None or argument != "keep") and (type(value) is not int or value < least):
                raise ValueError(f"{argument} must be an int of {least} or more, got {value!r:.80}")
        if start is not None and not isinstance(start, Snapshot):
            raise TypeError(f"start must be a Snapshot, as projection.snapshot() returns it, got {start!r:.80}")
        self.name = name
        self._reducers = Reducers(reducers)
        first = Snapshot(0, freeze(initial)) if start is None else start
        self._past = Past(name, first, self._reducers, snapshot_every, keep)
        self._latest = first
        self._untold = 0
        self._line = Line(name, self._reducers.types, self._take, first.seq)
        self._bus: EventBus | None = None
        self._announces = False

    @property
    def state(self) -> S:
        """The state as of the last event that was folded."""
        return self._latest.state

    @property
    def seq(self) -> int:
        """Number of the last event that was folded; 0, or that of the snapshot it began with, if none was."""
        return self._latest.seq

    @property
    def failure(self) -> Exception | None:
        """Why it stands still; None if it does not."""
        return self._line.failure

    @property
    def pending(self) -> int:
        """How many events wait because a reducer failed."""
        return len(self._line.waiting)

    def fold(self, source: Source) -> Self:
        """Fold the events of a history that are new, in the order of their ``seq``, and return this projection.

        Parameters
        ----------
        source : bus, history, iterable of Event, or DataFrame
            A frame is one of `to_frame` with payloads whole or left out. Events that were on no bus are numbered in
            the order given.

        Raises
        ------
        ReducerError
            If a reducer fails; events up to there are folded, and those after it wait.
        TypeError, ValueError
            If `source` is none of these, or two of its events have the same ``seq``.
        RuntimeError
            If it follows a bus.
        """
        self._line.read(source)
        return self

    def follow(self, bus: EventBus, *, announce: bool = True, partial: bool = False) -> Self:
        """Fold what a bus keeps and then whatever is published on it, until `close`.

        Parameters
        ----------
        bus : EventBus
        announce : bool, default True
            Publish a STATE_PROJECTED event, with a `Projected`, when events were folded. Failures always are.
        partial : bool, default False
            Begin with what the history still has, though earlier events are gone.

        Raises
        ------
        ReducerError
            If a reducer fails on what the bus keeps.
        ValueError
            If the history has forgotten events and not `partial`.
        RuntimeError
            If it follows a bus already.
        """
        with self._line.lock:
            self._line.check_free()
            self._bus, self._announces = bus, announce
        self._run(lambda: self._line.follow(bus, self._announce, partial=partial))
        return self

    def close(self) -> None:
        """Stop following. State and past stay; calling it again does nothing."""
        self._line.close()

    def resume(self, reducers: Mapping[Enum, Reducer[S]] | None = None, *, skip: bool = False) -> Self:
        """Go on after a failure, with the events that wait, and return this projection.

        Parameters
        ----------
        reducers : mapping of Enum to callable, optional
            What replaces reducers that failed. States before that event stay as they were folded.
        skip : bool, default False
            Pass over the event that failed.

        Raises
        ------
        ReducerError
            If a reducer fails again.
        ValueError
            If there was no reducer of such a type.
        """
        with self._line.lock:
            if reducers is not None:
                self._reducers = self._reducers.changed(reducers)
                self._past.begin_segment(self._latest, self._reducers)
        self._run(lambda: self._line.resume(skip=skip))
        return self

    def at(self, seq: int) -> S:
        """Return the state as of an event: with all events up to that number, and none after it.

        Parameters
        ----------
        seq : int
            0 is before all events. Between two events that it folds, the state is that of the earlier one.

        Raises
        ------
        LookupError
            If that is before what it keeps, or after an event that it failed on.
        """
        if type(seq) is not int or seq < 0:
            raise ValueError(f"seq must be an int of 0 or more, got {seq!r:.80}")
        with self._line.lock:
            if self.failure is not None and self._line.waiting and seq >= self._line.waiting[0].seq:
                raise LookupError(f"{self.name} stands at event {self.seq} and knows no state at {seq}: {self.failure}")
            if seq >= self.seq:
                return self.state
            segment, events = self._past.leading_to(seq)
        state = segment.state
        for event in events:
            state = segment.reducers.next(self.name, state, event)
        return state

    def snapshot(self) -> Snapshot[S]:
        """Return the state and where it stands, for another projection to begin with."""
        return self._latest

    def steps(self) -> Iterator[tuple[Event[Any], S]]:
        """Give each event that is kept, and the state that it led to."""
        with self._line.lock:
            segments = [(one.state, one.reducers, list(one.events)) for one in self._past.segments]
        for state, reducers, events in segments:
            for event in events:
                state = reducers.next(self.name, state, event)  # noqa: PLW2901 - that is what a fold is
                yield event, state

    def frame(self) -> pd.DataFrame:
        """Return how the state came about: one row for each event that is kept.

        Returns
        -------
        DataFrame
            ========== =================== ================================================================
            column     dtype
            ========== =================== ================================================================
            seq        int64               number of the event
            timestamp  datetime64[ns, UTC] of the event; missing if not a number
            type       str                 name of its type
            event_id   str
            changed    bool                whether the state is another object than before
            state      object              after the event. A mapping, struct or dataclass gives a column
                                           ``state.<key>`` for each key in its place
            ========== =================== ================================================================

        Raises
        ------
        MissingExtraError
            If pandas is not installed.
        """
        return steps_frame(self.steps(), self._past.segments[0].state)

    def _take(self, event: Event[Any]) -> None:
        state = self._reducers.next(self.name, self.state, event)
        self._past.keep(event, self._latest, self._reducers)
        self._untold += 1
        self._latest = Snapshot(event.seq, state)

    def _run(self, step: Callable[[], int]) -> None:
        try:
            taken = step()
        except ReducerError as error:
            self._announce(error)
            raise
        if taken:
            self._announce(None)

    def _announce(self, error: Exception | None) -> None:
        """Tell the bus, if there is one, what became of the state."""
        with self._line.lock:
            told = Projected(self.name, self.seq, self._untold, self.pending, None if error is None else str(error))
            self._untold = 0
            bus = self._bus
        if bus is not None and self._line.follows and (self._announces or error is not None):
            bus.publish(EventType.STATE_PROJECTED, told, source=self.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        waiting = f", {self.pending} events wait for resume()" if self.failure is not None else ""
        return f"<Projection {self.name}: state as of event {self.seq}{waiting}>"
