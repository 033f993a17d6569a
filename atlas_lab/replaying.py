"""Replay: what a bus recorded, published again, onto other handlers and middleware, at any speed."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

from .arguments import came, check_callable, check_choice, check_kind, check_optional, is_kind, refuse
from .bus import EventBus
from .events import Event, EventId, EventType
from .from_frames import from_frame
from .naming import attribute_of, short_repr
from .progress import Progress

if TYPE_CHECKING:
    import pandas as pd


class ReplayClock:
    """A clock that stands where it is put; a replay sets it to the time of each event.

    Give it to a bus as ``clock`` and to `replay`: what handlers publish during the replay is then stamped with
    recorded time.

    Attributes
    ----------
    now : float, seconds since the epoch
        What it shows; it may be set.

    Examples
    --------
    >>> from atlas_lab import EventBus, EventType, ReplayClock
    >>> clock = ReplayClock()
    >>> bus = EventBus(clock=clock)
    >>> clock.now = 1360324800.0
    >>> _ = bus.publish(EventType.SYSTEM_INIT)
    >>> bus.history[-1].timestamp
    1360324800.0
    """

    __slots__ = ("now",)

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return `now`."""
        return self.now

    def __repr__(self) -> str:
        return f"<ReplayClock at {self.now}>"


@dataclass(frozen=True)
class Replayed:
    """What a `replay` did.

    Attributes
    ----------
    count : int
        Events that were published.
    skipped : int
        Events given that were not: reports of errors, and under ``which="roots"`` what has a parent.
    seconds : float
        How long it took.
    first_seq, last_seq : int or None
        What the bus accepted during the replay, from and to; it includes what handlers, and other threads,
        published meanwhile. None if it accepted nothing, and where a function chose among several buses.
    lag : float or None, seconds
        How late the latest event was; None at full speed.
    new_ids : dict of str to str
        The id that each event has now, by the id it had.
    """

    count: int
    skipped: int
    seconds: float
    first_seq: int | None
    last_seq: int | None
    lag: float | None
    new_ids: dict[EventId, EventId] = field(repr=False)


def replay(
    events: EventBus | Iterable[Event[Any]] | pd.DataFrame,
    onto: EventBus | Callable[[Event[Any]], EventBus],
    *,
    speed: float | None = None,
    keep_ids: bool = True,
    which: Literal["all", "roots"] = "all",
    errors: bool = False,
    types: type[Enum] | Iterable[type[Enum]] = (),
    clock: ReplayClock | None = None,
    progress: bool = True,
    sleep: Callable[[float], object] = time.sleep,
    timer: Callable[[], float] = time.perf_counter,
) -> Replayed:
    """Publish recorded events again, in their order.

    Events come in the order of ``seq`` if each has one of its own, as in one history; otherwise by
    timestamp, those of the same time in the order given.

    Parameters
    ----------
    events : bus, history, iterable of Event, or DataFrame
        What to replay, read before the first event is published. A bus is read by its ``history``. A frame is one
        of `to_frame` with payloads whole (``data="keep"``) or left out, from memory or from Parquet, whole or
        filtered.
    onto : EventBus, or callable of Event returning one
        Where to publish: one bus, or for each event the bus that the function returns, such as the
        scope of an airport.
    speed : float, optional
        None publishes without waiting. 1.0 keeps the recorded rhythm, 10.0 is ten times as fast. Each event waits for
        its time since the start, so that delays do not add up; one that is late is published at once.
    keep_ids : bool, default True
        Events stay who they are, with their ids, times, parents and scopes (`EventBus.emit`). Otherwise they are
        published anew, with ids, times and scope from the bus, and parents that were replayed are mapped to their new
        ids (`EventBus.publish`); a parent that was not replayed gives way to the nearest ancestor that was.
    which : {"all", "roots"}, default "all"
        "all" is for a bus whose handlers watch: they count, draw, store or compare, and see the whole recorded tree
        of causes. "roots" is for a bus with the system itself on it: only events without a parent among the given are
        published, and its handlers publish again what follows from them, so that you see what another version
        makes of the same input. "all" there would bring every consequence twice.
    errors : bool, default False
        Replay HANDLER_ERROR events too. They report what handlers did; handlers that fail again report again.
    types : Enum class or iterable of them
        The Enums of your own whose members a frame names. `EventType` is known.
    clock : ReplayClock, optional
        Set to the timestamp of each event before it is published.
    progress : bool, default True
        Show a bar if it takes longer than a moment and tqdm is installed.
    sleep : callable, default time.sleep
        Waits for so many seconds.
    timer : callable, default time.perf_counter
        Returns seconds; what `speed` goes by.

    Returns
    -------
    Replayed
        How many were published and how many skipped, how long it took, and the new ids.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described: a frame lacks columns, has its payloads flattened or names a type that is
        not known, or a bus would hold each of its own events twice.
    MiddlewareError, HandlerErrors, PublishDepthError, BusClosedError
        As in `EventBus.publish`; the replay ends there. A note says at which event, also on an interrupt.

    Notes
    -----
    Async handlers are started as by `EventBus.publish`: under a running loop they run when it gets its turn,
    which is after the replay.

    Examples
    --------
    A recorded run, seen by a handler that was not there:

    >>> from atlas_lab import EventBus, EventType, replay
    >>> recorded = EventBus()
    >>> @recorded.on(EventType.AGENT_TASK_ASSIGNED)
    ... def work(event):
    ...     recorded.publish(EventType.AGENT_TASK_COMPLETED, event.data)
    >>> _ = recorded.publish(EventType.AGENT_TASK_ASSIGNED, "plan")
    >>> watching = EventBus()
    >>> _ = watching.subscribe(None, lambda event: print(event.type_name, event.data))
    >>> replay(recorded, onto=watching).count
    AGENT_TASK_ASSIGNED plan
    AGENT_TASK_COMPLETED plan
    2

    The same input to another version of the system:

    >>> second = EventBus()
    >>> @second.on(EventType.AGENT_TASK_ASSIGNED)
    ... def refuse(event):
    ...     second.publish(EventType.AGENT_ERROR, "no time")
    >>> replay(recorded, onto=second, which="roots").skipped
    1
    >>> [event.type_name for event in second.history]
    ['AGENT_TASK_ASSIGNED', 'AGENT_ERROR']
    """
    if not is_kind(onto, EventBus):
        check_callable("onto", onto, "an EventBus, or callable with an Event and return one")
    check_optional("speed", speed, int | float, "a number above 0")
    if speed is not None and not 0 < speed <= sys.float_info.max:
        raise ValueError(f"speed must be a number above 0, or None for no waiting, got {short_repr(speed)}")
    check_kind("keep_ids", keep_ids, bool, "True or False")
    check_choice("which", which, ("all", "roots"))
    check_kind("errors", errors, bool, "True or False")
    check_optional("clock", clock, ReplayClock, "a ReplayClock")
    check_kind("progress", progress, bool, "True or False")
    check_callable("sleep", sleep, "callable with seconds")
    check_callable("timer", timer, "callable and return seconds")
    if keep_ids and is_kind(onto, EventBus) and (events is onto or events is onto.history):
        raise ValueError("onto is where the events come from, and would hold each of them twice; pass keep_ids=False")
    given = in_order(_read(events, types))
    chosen = _chosen(given, which, errors=errors)
    recorded = {event.id: event for event in given}
    new_ids: dict[EventId, EventId] = {}
    before = onto.history.accepted if is_kind(onto, EventBus) else 0
    causes = Causes()
    with Progress(len(chosen), "replay", "events", show=progress) as bar:
        start = timer()
        pace = None if speed is None else Pace(speed, sleep, timer)
        for event in chosen:
            try:
                if pace is not None:
                    pace.wait(event.timestamp)
                if clock is not None:
                    clock.now = event.timestamp
                bus = onto if is_kind(onto, EventBus) else _bus_for(event, onto)  # type: ignore[arg-type]  # is_kind tells only what it is
                if keep_ids:
                    new_ids[event.id] = bus.emit(event)
                else:
                    cause = _ancestor(event, recorded, new_ids)
                    context = None if cause is None else causes.context_of(cause.type, new_ids[cause.id])
                    new_ids[event.id] = _publish_anew(bus, event, context)
            except BaseException as error:
                error.add_note(
                    f"The replay ended at event {bar.done + 1} of {len(chosen)}, {event.type_name} {event.id}."
                )
                raise
            bar.advance()
        seconds = timer() - start
    after = onto.history.accepted if is_kind(onto, EventBus) else 0
    first, last = (before + 1, after) if after > before else (None, None)
    skipped = len(given) - len(chosen)
    return Replayed(len(chosen), skipped, seconds, first, last, None if pace is None else pace.lag, new_ids)


class Pace:
    """Waits until the time of each event has come, counted from the first one so that delays do not add up.

    Attributes
    ----------
    lag : float, seconds
        How late the latest event was.
    """

    def __init__(self, speed: float, sleep: Callable[[float], object], timer: Callable[[], float]) -> None:
        self.speed = speed
        self.lag = 0.0
        self._sleep = sleep
        self._timer = timer
        self._start = timer()
        self._first: float | None = None
        self._due = self._start

    def wait(self, timestamp: float) -> None:
        """Wait for an event; one before others, or without a time, follows at once."""
        if self._first is None and not math.isnan(timestamp):
            self._first = timestamp
        if self._first is not None:
            # nan is the second: max() then keeps the first.
            self._due = max(self._due, self._start + (timestamp - self._first) / self.speed)
        while (left := self._due - self._timer()) > 0:
            self._sleep(left)
        self.lag = max(self.lag, -left)


def in_order(events: Sequence[Event[Any]]) -> list[Event[Any]]:
    """Return events by ``seq`` if each has one of its own, otherwise by timestamp; those without one come last."""
    numbers = {event.seq for event in events}
    if 0 not in numbers and len(numbers) == len(events):
        return sorted(events, key=lambda event: event.seq)
    return sorted(events, key=lambda event: math.inf if math.isnan(event.timestamp) else event.timestamp)


def _read(events: Any, types: Any) -> list[Event[Any]]:
    if attribute_of(events, "itertuples") is not None:
        return from_frame(events, types)
    history = attribute_of(events, "history")
    found = events if history is None else history
    if is_kind(found, str) or not is_kind(found, Iterable):
        raise refuse("events", events, "a bus, a history, an iterable of Event or a DataFrame of to_frame")
    read = list(found)
    for place, event in enumerate(read):
        if not is_kind(event, Event):
            raise TypeError(f"events must hold only Event, got {came(event)} at place {place}")
    return read


def _chosen(given: Sequence[Event[Any]], which: str, *, errors: bool) -> list[Event[Any]]:
    chosen = [event for event in given if errors or event.type is not EventType.HANDLER_ERROR]
    if which == "all":
        return chosen
    # Of all that are given: what a report of an error led to is no root because the report is left out.
    ids = {event.id for event in given}
    return [event for event in chosen if event.parent_id not in ids]


def _bus_for(event: Event[Any], choose: Callable[[Event[Any]], EventBus]) -> EventBus:
    bus = choose(event)
    if not isinstance(bus, EventBus):
        raise refuse(f"what onto returns for {event.type_name}", bus, "an EventBus")
    return bus


def _ancestor(
    event: Event[Any], recorded: Mapping[EventId, Event[Any]], new_ids: Mapping[EventId, EventId]
) -> Event[Any] | None:
    """Return the nearest ancestor of an event that was replayed."""
    seen: set[EventId] = set()
    above = recorded.get(event.parent_id or "")
    while above is not None and above.id not in new_ids and above.id not in seen:
        seen.add(above.id)
        above = recorded.get(above.parent_id or "")
    return above if above is not None and above.id in new_ids else None


def _publish_anew(bus: EventBus, event: Event[Any], context: Context | None) -> EventId:
    if context is None:
        return bus.publish(event.type, event.data, event.source, event.metadata)
    return context.run(bus.publish, event.type, event.data, event.source, event.metadata)


class Causes:
    """Contexts in which whatever is published has a certain event as its parent, as in a handler of that event."""

    def __init__(self) -> None:
        self._bus = EventBus(history_limit=0)
        self._bus.subscribe(None, self._keep)

    def context_of(self, event_type: Enum, event_id: EventId) -> Context:
        """Return the context that a task would have which a handler of the event has started."""
        self._bus.emit(Event(event_type, id=event_id))
        return self._context

    def _keep(self, event: Event[Any]) -> None:
        self._context = copy_context()
