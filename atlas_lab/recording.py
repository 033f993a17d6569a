"""What happened on a bus while somebody asked: every call of a handler and every step of a middleware.

A recording costs nothing while it is off. Switching it on makes the bus build its receivers and its middleware
anew, with a `Recorder` around each, which writes a row when the call is over. Rows hold the events themselves;
they become frames when they are asked for.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Sequence
from functools import partial
from operator import attrgetter, itemgetter
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Self, SupportsIndex

from .arguments import check_count, check_kind, refuse, text_or_none
from .cards import recording_card
from .errors import BusClosedError
from .event_record import EventRecord, durations_of, record_of
from .events import Event, EventId
from .history import History
from .naming import attribute_of, counted
from .recorder import Recorder, ScopeEvent, Tape
from .subscription import SKIPPED

if TYPE_CHECKING:
    import pandas as pd


class NotKept(NamedTuple):
    """How much the limit of a recording pushed out, oldest first.

    Attributes
    ----------
    events : int
        Events of the bus, and events of its scopes: one that a scope passed on counts on every bus it came to.
    deliveries, middleware : int
        Calls of handlers, and steps of middleware.
    """

    events: int
    deliveries: int
    middleware: int


class Recording:
    """What happened on a bus, and on its scopes, between `start` and `stop`; ``bus.record()`` makes one.

    Use it in a ``with`` statement, or call `start` and `stop`. It can be read at any time, also while it is on.
    An event that was accepted while it was on is recorded to its end, even if that comes after `stop`. Nothing
    that the bus does or counts is changed by it, but that a traceback shows one more frame. It keeps neither the
    bus nor a scope alive.

    Attributes
    ----------
    name : str
        Fills the ``run`` column of the frames.
    limit : int
        How many events of the bus, events of its scopes, calls of handlers and steps of middleware are kept, each;
        the oldest make room.
    scopes : bool
        Whether the scopes of the bus are recorded, too.

    Examples
    --------
    >>> from atlas_lab import EventBus, EventType
    >>> bus = EventBus(name="run")
    >>> _ = bus.subscribe(EventType.STREAM_CHUNK, lambda event: len(event.data), name="measure")
    >>> _ = bus.add_middleware(lambda event: event.replace(source="model"), name="stamp")
    >>> with bus.record() as run:
    ...     _ = bus.publish(EventType.STREAM_CHUNK, "to be")
    >>> run
    <Recording 'run': 1 event, 1 delivery, 1 middleware step>
    >>> run.deliveries[["seq", "type", "handler", "outcome"]]
       seq          type  handler outcome
    0    1  STREAM_CHUNK  measure      ok
    >>> run.middleware[["middleware", "action", "changed"]]
      middleware       action changed
    0      stamp  transformed  source
    """

    def __init__(self, bus: Any, name: str | None = None, *, limit: int = 1_000_000, scopes: bool = True) -> None:
        if attribute_of(bus, "_stop_recording") is None:
            raise refuse("bus", bus, "an EventBus")
        name = text_or_none("name", name)
        check_count("limit", limit, 1)
        check_kind("scopes", scopes, bool, "True or False")
        self.name = name or bus.path or "run"
        self.limit = limit
        self.scopes = scopes
        self._bus = weakref.ref(bus)
        self._lock = bus._lock
        self._tape = Tape(limit)
        self._origin = 0
        self._started = False
        self._running = False
        self._recorders: weakref.WeakKeyDictionary[Any, Recorder] = weakref.WeakKeyDictionary()

    @property
    def on(self) -> bool:
        """Whether it is recording: it was started and not stopped, and the bus is open."""
        bus = self._bus()
        return self._running and bus is not None and not bus.closed

    def start(self) -> Self:
        """Begin to record.

        Raises
        ------
        RuntimeError
            If it was started before: what happened in between would be missing without a trace.
        BusClosedError
            If the bus is closed, or gone.
        """
        bus = self._bus()
        if bus is None:
            raise BusClosedError(f"the bus of recording {self.name!r} is gone")
        bus._signals.check_open()
        with self._lock:
            if self._started:
                raise RuntimeError(f"recording {self.name!r} was started before; make another with bus.record()")
            self._started = True
        try:
            self._origin = perf_counter_ns()
            self._running = True
            self._attach(bus)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End the recording. What was accepted before is still recorded to its end. Stopping twice is no error."""
        try:
            self._detach()
        except BaseException:  # an interrupt, of which nothing is to be left on the bus
            self._detach()
            raise

    __enter__ = start

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _attach(self, bus: Any, level: int = 0, top: History | None = None) -> None:
        """Record a bus, and its scopes if they are wanted."""
        extend_to = (
            partial(self._attach, level=level + 1, top=bus.history if top is None else top)
            if self.scopes
            else _leave_out
        )
        recorder = Recorder(self._tape, bus.path, extend_to, level=level, top=top)
        with self._lock:
            if not self._running or bus in self._recorders:
                return
            self._recorders[bus] = recorder
        bus._record(recorder)
        if not self.on:  # another thread stopped it just now, and may have come too early for this bus
            bus._stop_recording(recorder)
        for scope in bus.scopes:
            extend_to(scope)

    def _detach(self) -> None:
        with self._lock:
            self._running = False
            attached = list(self._recorders.items())
        for bus, recorder in attached:
            bus._stop_recording(recorder)
        self._recorders.clear()

    @property
    def not_kept(self) -> NotKept:
        """What the limit pushed out."""
        tape = self._tape
        own = list(tape.own)
        pushed_out = max(event.seq for event in own) - tape.after - self.limit if len(own) == self.limit else 0
        return NotKept(pushed_out + tape.of_scopes.pushed_out, tape.deliveries.pushed_out, tape.steps.pushed_out)

    @property
    def events(self) -> pd.DataFrame:
        """The events, one row each, as `atlas_lab.to_frame` gives them.

        An event of a scope that also reached the bus stands here as it was there; one that did not, because a
        middleware dropped it or the scope does not propagate, as it was in the scope, where it happened.
        """
        from .frames import to_frame  # noqa: PLC0415 - pandas is heavy, and recording works without it

        return to_frame(self._events(), run=self.name)

    @property
    def deliveries(self) -> pd.DataFrame:
        """Every call of a handler, one row each; see `atlas_lab.recorded.deliveries_frame` for the columns."""
        from .recorded import deliveries_frame  # noqa: PLC0415 - as above

        return deliveries_frame(list(self._tape.deliveries.rows), self.name, self._origin)

    @property
    def middleware(self) -> pd.DataFrame:
        """Every step of a middleware, one row each; see `atlas_lab.recorded.middleware_frame` for the columns."""
        from .recorded import middleware_frame  # noqa: PLC0415 - as above

        return middleware_frame(list(self._tape.steps.rows), self.name, self._origin)

    def about(self, event_id: EventId) -> EventRecord:
        """Return what is kept of one event: the calls of handlers and the steps of middleware, on all buses.

        It builds no frame, so that a view can ask for it while events come in.

        Examples
        --------
        >>> from atlas_lab import EventBus, EventType
        >>> bus = EventBus(name="run")
        >>> _ = bus.subscribe(EventType.STREAM_CHUNK, lambda event: 1 / 0, name="divide")
        >>> with bus.record() as run:
        ...     chunk = bus.publish(EventType.STREAM_CHUNK)
        >>> [(call.handler, call.outcome, call.error) for call in run.about(chunk).calls]
        [('divide', 'error', 'ZeroDivisionError: division by zero')]
        """
        return record_of(self._tape, event_id)

    def durations(self, after: int = 0, most: int = 2000) -> tuple[int, list[int]]:
        """Return how long calls of handlers took, newest first, without building a frame.

        Parameters
        ----------
        after : int, default 0
            Calls that were recorded since: what an earlier call of this method returned first.
        most : int, default 2000
            If there are more, evenly spaced ones of them stand for all.

        Returns
        -------
        int
            How many calls were recorded so far.
        list of int
            Nanoseconds. Calls that were skipped took none, and are left out.

        Examples
        --------
        >>> from atlas_lab import EventBus, EventType
        >>> bus = EventBus()
        >>> _ = bus.subscribe(EventType.STREAM_CHUNK, lambda event: None)
        >>> with bus.record() as run:
        ...     _ = bus.publish(EventType.STREAM_CHUNK)
        ...     seen, first = run.durations()
        ...     _ = bus.publish(EventType.STREAM_CHUNK)
        >>> seen, len(first), len(run.durations(after=seen)[1])
        (1, 1, 1)
        """
        check_count("after", after, 0)
        check_count("most", most, 1)
        return durations_of(self._tape, after, most)

    @property
    def written(self) -> int:
        """How many calls of handlers and steps of middleware were recorded so far; tells whether there are new ones."""
        return self._tape.deliveries.written + self._tape.steps.written

    def _events(self) -> list[Event[Any]]:
        own = sorted(self._tape.own, key=attrgetter("seq"))
        of_scopes = list(self._tape.of_scopes.rows)
        return merged(own, of_scopes, own[0].seq - 1 if len(own) == self.limit else 0) if of_scopes else own

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a Recording cannot be pickled or copied: it belongs to a bus. Save its frames instead")

    def _counts(self) -> str:
        parts = [
            counted(len(self._events()), "event"),
            counted(len(self._tape.deliveries.rows), "delivery", "deliveries"),
            counted(len(self._tape.steps.rows), "middleware step"),
        ]
        lost = sum(self.not_kept)
        if lost:
            parts.append(f"{lost:,} not kept (limit {self.limit:,})")
        return ", ".join(parts)

    def _repr_html_(self) -> str:
        handlers: dict[str, tuple[int, int, int]] = {}
        for _, (scope, handler), started, ended, _, outcome in list(self._tape.deliveries.rows):
            if outcome is not SKIPPED:
                name = f"{handler} on {scope}" if scope else handler
                calls, failed, spent = handlers.get(name, (0, 0, 0))
                handlers[name] = calls + 1, failed + (outcome is not None), spent + ended - started
        state = "recording" if self.on else "over" if self._started else "not started"
        return recording_card(self.name, state, self._counts(), handlers)

    def __repr__(self) -> str:
        return f"<Recording {self.name!r}{', on' if self.on else ''}: {self._counts()}>"


def merged(own: Sequence[Event[Any]], of_scopes: Sequence[ScopeEvent], since: int = 0) -> list[Event[Any]]:
    """Return the events of a bus, and among them, where they happened, those that only its scopes have seen.

    Parameters
    ----------
    own : sequence of Event
        What the bus accepted, in order of ``seq``.
    of_scopes : sequence of ScopeEvent
        What its scopes accepted, in the order in which it happened.
    since : int
        Leave out what scopes accepted when the bus had accepted fewer events than this: it may have reached the bus,
        and been pushed out there.
    """
    known = Counter(event.id for event in own)
    only_there: list[tuple[int, int, Event[Any]]] = []
    # One level after the other, from the bus down: what is known above is not shown again. By the count of each id,
    # because an event may be emitted again, and get through one time and not the other.
    for level in sorted({row[1] for row in of_scopes}):
        rows = [(accepted, number, event) for number, (accepted, of, event) in enumerate(of_scopes) if of == level]
        here = Counter(event.id for _, _, event in rows)
        if len(here) == len(rows) and here.keys() <= known.keys():
            continue
        times: Counter[str] = Counter()
        for accepted, number, event in rows:
            times[event.id] += 1
            if times[event.id] > known[event.id] and accepted >= since:
                only_there.append((accepted, number, event))
        known |= here
    if not only_there:
        return list(own)
    placed = [*((event.seq, -1, event) for event in own), *only_there]
    return [event for _, _, event in sorted(placed, key=itemgetter(0, 1))]


def _leave_out(scope: object) -> None:
    """Stand in for recording a scope."""
