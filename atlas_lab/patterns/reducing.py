"""Reducers, and the one way by which a state meets events: in the order of the history, each once.

Handlers do not see events in that order when several threads publish, or when a handler publishes while another is
still to be called. So a line does not fold the event that it is called with, but what the history holds up to now.
A reducer that fails stops the line before its event: nothing is skipped, and what comes later waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum
from threading import RLock
from typing import Any, Generic, TypeAlias, TypeVar

from atlas_lab import AtlasLabError, Event, EventBus, Subscription, event_type_name

from .freezing import freeze
from .sources import Source, events_of, types_by_name

S = TypeVar("S")

Reducer: TypeAlias = Callable[[S, Event[Any]], S]


class ReducerError(AtlasLabError, RuntimeError):
    """A reducer raised, or gave no state: what it was to change stays at its last good state.

    The reducer's own exception, if there was one, is the ``__cause__``.

    Attributes
    ----------
    name : str
        Of the projection or the versioned state.
    event : Event
        The event that it failed on; that event and those after it wait.
    """

    def __init__(self, name: str, event: Event[Any], problem: str) -> None:
        self.name = name
        self.event = event
        self.problem = problem
        super().__init__(name, event, problem)

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.problem} at event {self.event.seq}, {self.event.type_name}. The state stays as it was "
            "before that event, which waits with those after it; mend the reducer and call resume(reducers={...}), "
            "or pass over the event with resume(skip=True)"
        )


class Reducers(Generic[S]):
    """The reducers of a state by event type.

    Raises
    ------
    TypeError
        If it is no mapping of event types to callables.
    """

    def __init__(self, reducers: Mapping[Enum, Reducer[S]], *, empty: bool = False) -> None:
        if not isinstance(reducers, Mapping):
            raise TypeError(f"reducers must be a mapping of event types to callables, got {type(reducers).__name__}")
        if not reducers and not empty:
            raise ValueError("reducers is empty; name at least one event type and what it does to the state")
        self.types = types_by_name(reducers)
        self._by_name = {event_type_name(one): reducer for one, reducer in reducers.items()}
        for name, reducer in self._by_name.items():
            if not callable(reducer):
                raise TypeError(
                    f"the reducer of {name} must be callable with a state and an event, got {reducer!r:.80}"
                )

    def changed(self, reducers: Mapping[Enum, Reducer[S]]) -> Reducers[S]:
        """Return these reducers with some of them replaced.

        Raises
        ------
        ValueError
            If there was no reducer of that type: events of that type that are past were not kept.
        """
        new = Reducers(reducers)
        if unknown := sorted(new.types.keys() - self.types.keys()):
            raise ValueError(
                f"resume can replace the reducers of {', '.join(sorted(self.types))}, not add one of "
                f"{', '.join(unknown)}; fold the history again for that"
            )
        return Reducers({self.types[name]: one for name, one in (self._by_name | new._by_name).items()})

    def next(self, name: str, state: S, event: Event[Any]) -> S:
        """Return the state after an event.

        Raises
        ------
        ReducerError
            If the reducer raised, or returned None for a state that is something.
        """
        reducer = self._by_name[event.type_name]
        called = getattr(reducer, "__qualname__", type(reducer).__qualname__)
        try:
            following = reducer(state, event)
        except Exception as error:
            raise ReducerError(name, event, f"reducer {called} raised {type(error).__name__}: {error}") from error
        if following is None and state is not None:
            raise ReducerError(name, event, f"reducer {called} returned None instead of the next state")
        return freeze(following)


class Line:
    """Events waiting for `take`, which meets them one by one in the order of their ``seq``, under the line's lock.

    Parameters
    ----------
    name : str
        Shown in messages.
    types : mapping of str to Enum
        The types that are taken, by name.
    take : callable of Event
        If it raises, the event is the first of those that wait.
    seq : int
        The last event that needs not be taken any more.
    """

    def __init__(self, name: str, types: Mapping[str, Enum], take: Callable[[Event[Any]], None], seq: int = 0) -> None:
        self.name = name
        self.lock = RLock()
        self.waiting: deque[Event[Any]] = deque()
        self.failure: Exception | None = None
        self._types = types
        self._take = take
        self._seen = seq
        self._to_come: set[int] = set()
        self._busy = False
        self._bus: EventBus | None = None
        self._subscription: Subscription | None = None

    @property
    def follows(self) -> bool:
        """Whether it is subscribed to a bus."""
        return self._subscription is not None and self._subscription.active

    def read(self, source: Source) -> int:
        """Take the events of a source that are new, and return how many were."""
        with self.lock:
            self.check_free()
            new = [event for event in events_of(source, self._types) if event.seq > self._seen]
            if new:
                self._seen = new[-1].seq
                self.waiting.extend(new)
            return self._drain()

    def check_free(self) -> None:
        """Raise RuntimeError if it follows a bus."""
        if self.follows:
            raise RuntimeError(f"{self.name} follows a bus already; close it first")

    def follow(self, bus: EventBus, told: Callable[[Exception | None], None], *, partial: bool) -> int:
        """Take what a bus keeps, then what is published on it; `told` is called when any were taken later, or one failed."""
        if not isinstance(bus, EventBus):
            raise TypeError(f"bus must be an EventBus or a scope of one, got {type(bus).__name__}")
        with self.lock:
            self.check_free()
            first = next(iter(bus.history), None)
            lost = (bus.history.accepted if first is None else first.seq - 1) - self._seen
            if lost > 0 and not partial:
                raise ValueError(
                    f"bus has forgotten {lost} events that {self.name} needs, so its state would be wrong; give the bus a "
                    "larger history_limit, start from a snapshot, or pass partial=True to begin with what is left"
                )
            self._bus = bus
            past = bus.history.accepted

            def on_event(event: Event[Any]) -> None:
                try:
                    taken = self._meet(event)
                except Exception as error:
                    told(error)
                    raise
                if taken:
                    told(None)

            on_event.__qualname__ = self.name  # shown as the handler's name; subscribe(name=) would replace a namesake
            self._subscription = bus.subscribe(tuple(self._types.values()), on_event)
            try:
                return self._pull()
            finally:
                self._to_come = {seq for seq in self._to_come if seq > past}

    def close(self) -> None:
        """Unsubscribe, if it follows a bus."""
        if self._subscription is not None:
            self._subscription.unsubscribe()

    def resume(self, *, skip: bool) -> int:
        """Go on after a failure, without the event that failed if `skip`; return how many events were taken."""
        with self.lock:
            if skip and self.failure is not None and self.waiting:
                self.waiting.popleft()
            self.failure = None
            return self._drain()

    def _meet(self, event: Event[Any]) -> int:
        """Take the event that a handler is called with, unless that has happened, and all that the history has new."""
        with self.lock:
            if self._busy:  # a reducer published: the loop that is under way comes to it
                return 0
            try:
                taken = self._pull()
                if event.seq in self._to_come:
                    return taken
                if event.seq > self._seen:  # the history keeps nothing
                    self._seen = event.seq
                    self.waiting.append(event)
                    return taken + self._drain()
            finally:
                self._to_come.discard(event.seq)
            self.waiting.append(event)
            problem = "later events were folded, as the history, which is too short, did not keep this one till now,"
            self.failure = self.failure or ReducerError(self.name, event, problem)
            raise self.failure

    def _pull(self) -> int:
        """Take all that the history holds and that is new."""
        assert self._bus is not None, "only a line that follows pulls"
        history = self._bus.history
        taken = 0
        while (behind := history.accepted - self._seen) > 0:
            events = history.latest(behind)
            while events and events[-1].seq - self._seen > behind:  # more were published meanwhile
                behind = events[-1].seq - self._seen
                events = history.latest(behind)
            if not events or events[-1].seq <= self._seen:
                break
            mine = [event for event in events if event.seq > self._seen and event.type_name in self._types]
            self._seen = events[-1].seq
            self._to_come.update(event.seq for event in mine)
            self.waiting.extend(mine)
            taken += self._drain()
        return taken

    def _drain(self) -> int:
        """Take those that wait, until one fails; return how many were taken."""
        taken = 0
        if self._busy or self.failure is not None:
            return 0
        self._busy = True
        try:
            while self.waiting:
                self._take(self.waiting[0])
                self.waiting.popleft()
                taken += 1
        except Exception as error:
            self.failure = error
            raise
        finally:
            self._busy = False
        return taken
