"""What happened on a bus while somebody asked: every call of a handler and every step of a middleware.

A recording costs nothing while it is off. Switching it on makes the bus build its receivers and its middleware
anew, each wrapped by a `Recorder`, which writes a row when the call is over. Rows hold the events themselves;
they become frames when they are asked for.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias

from .arguments import check_count, check_kind, check_optional
from .events import Event
from .naming import message_of
from .pipeline import Middleware, MiddlewareFunction
from .subscription import SKIPPED, Slot, Subscription

if TYPE_CHECKING:
    import pandas as pd

Problem: TypeAlias = tuple[str, str] | None
"""Type and message of an error; ("", "") for a call that did not take place, None for one that went well."""

_SKIP: Problem = ("", "")
_NO_METADATA: dict[str, Any] = {}


class DeliveryRow(NamedTuple):
    """One call of a handler; times are those of ``time.perf_counter_ns``."""

    number: int
    event: Event[Any]
    scope: str
    handler: str
    started: int
    ended: int
    thread: str
    problem: Problem


class StepRow(NamedTuple):
    """One step of an event through one middleware entry; times are those of ``time.perf_counter_ns``."""

    number: int
    event: Event[Any]
    scope: str
    step: int
    middleware: str
    started: int
    ended: int
    action: str
    changed: str


class NotKept(NamedTuple):
    """How many of the oldest events, deliveries and middleware steps the limit of a recording pushed out."""

    events: int
    deliveries: int
    middleware: int


class Recording:
    """What happened on a bus, and on its scopes, between `start` and `stop`; ``bus.record()`` makes one.

    Use it in a ``with`` statement, or call `start` and `stop`. It can be read at any time, also while it is on.

    Attributes
    ----------
    name : str
        Fills the ``run`` column of the frames.
    limit : int
        How many events, deliveries and middleware steps are kept, each; the oldest make room.
    on : bool
        Whether it is recording.

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
        check_optional("name", name, str, "a str")
        check_count("limit", limit, 1)
        check_kind("scopes", scopes, bool, "True or False")
        self.name = name or bus.path or "run"
        self.limit = limit
        self.scopes = scopes
        self.on = False
        self._bus = bus
        self._origin = 0
        self._deliveries: deque[tuple[Any, ...]] = deque(maxlen=limit)
        self._steps: deque[tuple[Any, ...]] = deque(maxlen=limit)
        self._delivery_numbers = count()
        self._step_numbers = count()
        self._recorders: list[Recorder] = []

    def start(self) -> Self:
        """Begin to record.

        Raises
        ------
        RuntimeError
            If it was started before: what happened in between would be missing without a trace.
        BusClosedError
            If the bus is closed.
        """
        if self._recorders:
            raise RuntimeError(f"recording {self.name!r} was started before; make another with bus.record()")
        self._bus._signals.check_open()
        self._origin = time.perf_counter_ns()
        self.on = True
        self.attach(self._bus)
        return self

    def stop(self) -> None:
        """End the recording; handlers that are running still get their row. Stopping twice is no error."""
        self.on = False
        for recorder in self._recorders:
            recorder.detach()

    __enter__ = start

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def attach(self, bus: Any) -> None:
        """Record a bus, and its scopes if they are wanted; a bus calls it for a scope that is new."""
        recorder = Recorder(self, bus)
        self._recorders.append(recorder)
        bus._record(recorder)
        if self.scopes:
            for scope in bus.scopes:
                self.attach(scope)

    @property
    def not_kept(self) -> NotKept:
        """What the limit pushed out."""
        deliveries = self._deliveries[-1][0] + 1 if self._deliveries else 0
        steps = self._steps[-1][0] + 1 if self._steps else 0
        return NotKept(
            sum(recorder.pushed_out for recorder in self._recorders),
            max(0, deliveries - self.limit),
            max(0, steps - self.limit),
        )

    @property
    def events(self) -> pd.DataFrame:
        """The events, one row each, as `atlas_lab.to_frame` gives them.

        An event of a scope that also reached the bus stands here as it was there; one that did not, because a
        middleware dropped it or the scope does not propagate, as it was in the scope.
        """
        from .recorded import events_frame  # noqa: PLC0415 - pandas is heavy, and recording works without it

        return events_frame([recorder.seen() for recorder in self._recorders], self.name)

    @property
    def deliveries(self) -> pd.DataFrame:
        """Every call of a handler, one row each; see `atlas_lab.recorded.deliveries_frame` for the columns."""
        from .recorded import deliveries_frame  # noqa: PLC0415 - as above

        return deliveries_frame([DeliveryRow(*row) for row in list(self._deliveries)], self.name, self._origin)

    @property
    def middleware(self) -> pd.DataFrame:
        """Every step of a middleware, one row each; see `atlas_lab.recorded.middleware_frame` for the columns."""
        from .recorded import middleware_frame  # noqa: PLC0415 - as above

        return middleware_frame([StepRow(*row) for row in list(self._steps)], self.name, self._origin)

    def __repr__(self) -> str:
        events = len({event.id for recorder in self._recorders for event in recorder.seen()})
        parts = [
            _counted(events, "event"),
            _counted(len(self._deliveries), "delivery", "deliveries"),
            _counted(len(self._steps), "middleware step"),
        ]
        lost = sum(self.not_kept)
        if lost:
            parts.append(f"{lost} not kept (limit {self.limit})")
        return f"<Recording {self.name!r}{', on' if self.on else ''}: {', '.join(parts)}>"


class Recorder:
    """What a recording does on one bus: wraps what is called, and writes down what came of it."""

    def __init__(self, recording: Recording, bus: Any) -> None:
        self._recording = recording
        self._bus = bus
        self._path: str = bus.path
        self._thread = _ThreadName()
        self._events: deque[Event[Any]] = deque(maxlen=recording.limit)
        self._before: int = bus.history.accepted
        self._after: int | None = None
        self.collect: Callable[[Event[Any]], object] = self._events.append

    @property
    def pushed_out(self) -> int:
        """Number of events that made room for later ones."""
        after = self._bus.history.accepted if self._after is None else self._after
        return max(0, after - self._before - self._recording.limit)

    def seen(self) -> list[Event[Any]]:
        """Return the events that the bus accepted, in order."""
        return list(self._events)

    def extend_to(self, scope: Any) -> None:
        """Record a scope that was made on the bus just now, if scopes are wanted."""
        if self._recording.scopes:
            self._recording.attach(scope)

    def detach(self) -> None:
        """Let go of the bus."""
        if self._after is None:
            self._after = self._bus.history.accepted
            self._bus._stop_recording(self)

    def around(self, subscription: Subscription, slot: Slot) -> Slot:
        """Return what is called in place of a slot; an async handler is recorded by `awaiting` instead."""
        if subscription.awaited is not None:
            return slot
        clock, thread, scope, handler = time.perf_counter_ns, self._thread, self._path, subscription.handler_name
        write, numbers = self._recording._deliveries.append, self._recording._delivery_numbers

        def recorded(event: Event[Any]) -> object:
            started = clock()
            try:
                result = slot(event)
            except BaseException as error:
                write((next(numbers), event, scope, handler, started, clock(), thread.name, _problem(error)))
                raise
            problem = _SKIP if result is SKIPPED else None
            write((next(numbers), event, scope, handler, started, clock(), thread.name, problem))
            return result

        return recorded

    def awaiting(self, subscription: Subscription, event: Event[Any], result: object) -> object:
        """Return what is awaited in place of what an async handler returned."""

        def done(started: int, problem: Problem) -> None:
            number, ended = next(self._recording._delivery_numbers), time.perf_counter_ns()
            row = (number, event, self._path, subscription.handler_name, started, ended, self._thread.name, problem)
            self._recording._deliveries.append(row)

        if isinstance(result, Coroutine):
            return RecordedCoroutine(result, done)
        done(time.perf_counter_ns(), _SKIP)
        return result

    def step(self, entry: Middleware, place: int, function: MiddlewareFunction) -> MiddlewareFunction:
        """Return what is called in place of a middleware."""
        clock, scope, name = time.perf_counter_ns, self._path, entry.name
        write, numbers = self._recording._steps.append, self._recording._step_numbers

        def recorded(event: Event[Any]) -> Event[Any] | None:
            metadata = dict(event.metadata) if event.metadata else _NO_METADATA
            action, changed, started = "raised", "", clock()
            try:
                outcome = function(event)
                ended = clock()
                if outcome is event:
                    action = "passed"
                    if metadata or event.metadata:
                        changed = _changes(event, metadata, event)
                elif outcome is None:
                    action = "dropped"
                elif isinstance(outcome, Event):
                    action = "transformed"
                    changed = _changes(event, metadata, outcome)
            except BaseException:
                ended = clock()
                raise
            finally:
                write((next(numbers), event, scope, place, name, started, ended, action, changed))
            return outcome

        return recorded


class RecordedCoroutine(Coroutine[Any, Any, object]):
    """A coroutine that tells when it began to run and what came of it."""

    def __init__(self, coroutine: Coroutine[Any, Any, object], done: Callable[[int, Problem], None]) -> None:
        self._coroutine = coroutine
        self._done = done
        self._started: int | None = None

    def send(self, value: Any) -> Any:
        """Run on to the next await."""
        return self._run(self._coroutine.send, value)

    def throw(self, *error: Any) -> Any:
        """Run on with an error raised at the await."""
        return self._run(self._coroutine.throw, *error)

    def close(self) -> None:
        """End it where it stands."""
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, object]:
        value, error = None, None
        while True:
            try:
                waiting = self.send(value) if error is None else self.throw(error)
            except StopIteration as stop:
                return stop.value
            try:
                value, error = (yield waiting), None
            except GeneratorExit:
                self.close()
                raise
            except BaseException as raised:  # noqa: BLE001 - it is the coroutine's to handle
                error = raised

    def _run(self, resume: Callable[..., Any], *arguments: Any) -> Any:
        if self._started is None:
            self._started = time.perf_counter_ns()
        try:
            return resume(*arguments)
        except StopIteration:
            self._done(self._started, None)
            raise
        except BaseException as error:
            self._done(self._started, _problem(error))
            raise


class _ThreadName(threading.local):
    def __init__(self) -> None:
        self.name = threading.current_thread().name


def _problem(error: BaseException) -> Problem:
    return type(error).__name__, message_of(error)


def _changes(event: Event[Any], metadata: dict[str, Any], outcome: Event[Any]) -> str:
    """Return the names of the fields that a middleware changed, also of an event that it passed on."""
    names = [name for name in _FIELDS if outcome is not event and getattr(event, name) is not getattr(outcome, name)]
    try:
        same = outcome.metadata == metadata
    except Exception:  # noqa: BLE001 - a value that cannot be compared
        same = False
    return ", ".join(names if same else [*names, "metadata"])


_FIELDS = ("type", "data", "source", "id", "timestamp", "parent_id", "scope")


def _counted(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
