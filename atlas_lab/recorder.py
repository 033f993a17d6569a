"""What stands around handlers and middleware while they are recorded, and what it writes down.

A row is a plain tuple, because every call of a handler pays for it: clock, thread and one append. What can wait
is done when the rows are read; see `atlas_lab.recorded`.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from itertools import repeat
from operator import length_hint
from time import perf_counter_ns
from typing import Any, Generic, Self, TypeAlias, TypeVar

from .entries import Middleware, MiddlewareFunction
from .events import Event
from .history import History
from .naming import message_of
from .subscription import SKIPPED, Slot, Subscription

Outcome: TypeAlias = object
"""None for a call that went well, `SKIPPED`, or type and message of an error."""

DeliveryRow: TypeAlias = tuple[Event[Any], tuple[str, str], int, int, str, Outcome]
"""Event, (scope, handler), when the call began and ended by ``time.perf_counter_ns``, thread, outcome."""

StepRow: TypeAlias = tuple[Event[Any], tuple[str, int, str], int, int, str, str]
"""Event as it came in, (scope, step, middleware), when it began and ended, action, names of the changed fields."""

ScopeEvent: TypeAlias = tuple[int, int, Event[Any]]
"""How many events the recorded bus had accepted, how far below it the scope is, and what the scope accepted."""

Row = TypeVar("Row")


class Log(Generic[Row]):
    """Rows of any number of threads, as many as the limit allows: the oldest make room and are counted.

    Attributes
    ----------
    rows : deque
    ticks : iterator
        One is taken for every row that is written. Taking one is a single call of C code, so that no thread
        and no lock comes into it, and what is left tells how many were taken.
    """

    __slots__ = ("rows", "ticks")

    def __init__(self, limit: int) -> None:
        self.rows: deque[Row] = deque(maxlen=limit)
        self.ticks = repeat(None, sys.maxsize)

    @property
    def written(self) -> int:
        """How many rows were ever written."""
        return sys.maxsize - length_hint(self.ticks)

    @property
    def pushed_out(self) -> int:
        """How many rows made room for later ones."""
        return max(0, self.written - len(self.rows))


class Tape:
    """What the recorders of one recording write to.

    Attributes
    ----------
    own : deque of Event
        What the bus itself accepted. Its numbers tell how many made room.
    after : int
        The number of the last event that the bus had accepted before.
    of_scopes : Log of ScopeEvent
    deliveries : Log of DeliveryRow
    steps : Log of StepRow
    """

    def __init__(self, limit: int) -> None:
        self.own: deque[Event[Any]] = deque(maxlen=limit)
        self.after = 0
        self.of_scopes: Log[ScopeEvent] = Log(limit)
        self.deliveries: Log[DeliveryRow] = Log(limit)
        self.steps: Log[StepRow] = Log(limit)
        # Not a subclass that finds the name by itself: reading an attribute of one takes half as long again.
        self.thread = threading.local()

    def name_thread(self) -> str:
        """Return the name of the running thread, and keep it for the rows to come."""
        name: str = threading.current_thread().name
        self.thread.name = name
        return name


class Recorder:
    """What a recording does on one bus.

    Attributes
    ----------
    collect : callable of Event
        Called with every event that the bus delivers, before its handlers.
    extend_to : callable of a bus
        Called with every scope that is made on the bus.

    Parameters
    ----------
    tape : Tape
    path : str
        Of the bus.
    level : int
        How far the bus is below the one that is recorded.
    top : History or None
        Of the one that is recorded; None if this is it.
    """

    def __init__(
        self, tape: Tape, path: str, extend_to: Callable[[Any], object], *, level: int = 0, top: History | None = None
    ) -> None:
        self._tape = tape
        self._path = path
        self.extend_to = extend_to
        self._is_top = top is None
        self.collect: Slot = tape.own.append if top is None else self._collector(level, top)

    def begin(self, accepted: int) -> None:
        """Learn how many events the bus has accepted so far; none comes in while this runs."""
        if self._is_top:
            self._tape.after = accepted

    def _collector(self, level: int, top: History) -> Slot:
        write, ticks = self._tape.of_scopes.rows.append, self._tape.of_scopes.ticks

        def collect(event: Event[Any]) -> None:
            write((top._accepted, level, event))
            next(ticks)

        return collect

    def around(self, subscription: Subscription, slot: Slot) -> Slot:
        """Return what a publish calls in place of a slot."""
        tape, place = self._tape, (self._path, subscription.handler_name)
        clock, thread, write, ticks = perf_counter_ns, tape.thread, tape.deliveries.rows.append, tape.deliveries.ticks

        def recorded(event: Event[Any]) -> object:
            started = clock()
            try:
                result = slot(event)
            except BaseException as error:
                self._write(event, place, started, _problem(error))
                raise
            ended = clock()
            try:
                name = thread.name
            except AttributeError:
                name = tape.name_thread()
            write((event, place, started, ended, name, SKIPPED if result is SKIPPED else None))
            next(ticks)
            return result

        return recorded

    def awaiting(self, subscription: Subscription, slot: Slot) -> Slot:
        """Return what is called in place of a slot whose result is awaited, if it is a coroutine.

        The call is over when that has ended. One of an ``async def`` begins when its code does: a plain publish
        leaves it to the event loop, which may be busy.
        """
        place = (self._path, subscription.handler_name)
        starts_late = subscription.awaited is not None

        def recorded(event: Event[Any]) -> object:
            started = perf_counter_ns()
            try:
                result = slot(event)
            except BaseException as error:
                self._write(event, place, started, _problem(error))
                raise
            if not isinstance(result, Coroutine):
                self._write(event, place, started, SKIPPED if result is SKIPPED else None)
                return result
            return RecordedCoroutine(
                result, None if starts_late else started, lambda began, end: self._write(event, place, began, end)
            )

        return recorded

    def _write(self, event: Event[Any], place: tuple[str, str], started: int, outcome: Outcome) -> None:
        log, name = self._tape.deliveries, getattr(self._tape.thread, "name", None) or self._tape.name_thread()
        log.rows.append((event, place, started, perf_counter_ns(), name, outcome))
        next(log.ticks)

    def step(self, entry: Middleware, place: int, function: MiddlewareFunction) -> MiddlewareFunction:
        """Return what is called in place of a middleware."""
        log, clock, where = self._tape.steps, perf_counter_ns, (self._path, place, entry.name)

        def recorded(event: Event[Any]) -> Event[Any] | None:
            noted = dict(event.metadata) if event.metadata else _NOTHING
            action, changed, started = "raised", "", clock()
            try:
                outcome = function(event)
                ended = clock()
                if outcome is event:
                    action = "passed"
                    if noted or event.metadata:
                        changed = _changes(event, noted, event)
                elif outcome is None:
                    action = "dropped"
                elif isinstance(outcome, Event):
                    action = "transformed"
                    changed = _changes(event, noted, outcome)
            except BaseException:
                ended = clock()
                raise
            finally:
                log.rows.append((event, where, started, ended, action, changed))
                next(log.ticks)
            return outcome

        return recorded


class RecordedCoroutine(Coroutine[Any, Any, object], Generator[Any, Any, object]):
    """A coroutine that tells, once, when it began to run and what came of it.

    Parameters
    ----------
    coroutine : coroutine
    began : int or None
        When it began; None for when it is first run.
    done : callable of when it began and its outcome
    """

    def __init__(
        self, coroutine: Coroutine[Any, Any, object], began: int | None, done: Callable[[int, Outcome], None]
    ) -> None:
        self._coroutine = coroutine
        self._began = began
        self._done: Callable[[int, Outcome], None] | None = done

    def send(self, value: Any) -> Any:
        """Run on to the next await."""
        return self._run(self._coroutine.send, value)

    def throw(self, *error: Any) -> Any:
        """Run on with an error raised at the await."""
        return self._run(self._coroutine.throw, *error)

    def close(self) -> None:
        """End it where it stands; one that never ran was skipped."""
        outcome = SKIPPED if self._began is None else (GeneratorExit.__name__, "")
        try:
            self._coroutine.close()
        except BaseException as error:
            self._tell(_problem(error))
            raise
        self._tell(outcome)

    def __await__(self) -> Self:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def _run(self, resume: Callable[..., Any], *arguments: Any) -> Any:
        if self._began is None:
            self._began = perf_counter_ns()
        try:
            return resume(*arguments)
        except StopIteration:
            self._tell(None)
            raise
        except BaseException as error:
            self._tell(_problem(error))
            raise

    def _tell(self, outcome: Outcome) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(perf_counter_ns() if self._began is None else self._began, outcome)


def _problem(error: BaseException) -> tuple[str, str]:
    return type(error).__name__, message_of(error)


_NOTHING: dict[str, Any] = {}
_FIELDS = ("type", "data", "source", "id", "timestamp", "parent_id", "scope")


def _changes(event: Event[Any], noted: dict[str, Any], outcome: Event[Any]) -> str:
    """Return the names of the fields that a middleware changed, also of an event that it passed on.

    `noted` is the metadata that the event came with. No code of a user runs here: a payload or a value may be
    anything, and comparing it may do anything.
    """
    names = [name for name in _FIELDS if not _same(getattr(event, name), getattr(outcome, name))]
    before, after = list(noted.items()), list(outcome.metadata.items())
    kept = len(before) == len(after) and all(
        key is other and _same(value, counterpart)
        for (key, value), (other, counterpart) in zip(before, after, strict=True)
    )
    return ", ".join(names if kept else [*names, "metadata"])


def _same(one: object, other: object) -> bool:
    """Whether two values are one object, or equal text or numbers."""
    return one is other or (type(one) is type(other) and type(one) in {str, int, float, bool} and one == other)
