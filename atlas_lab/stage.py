"""What an event runs through: the middleware that is switched on, as it is at one moment.

An event that every entry passes on unchanged costs one call per entry and one shared count. The first
entry that does something else hands over to `Stage._follow`, which keeps books one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from operator import length_hint
from time import perf_counter
from typing import Any, Protocol

from .arguments import came, is_kind
from .entries import Middleware, MiddlewareFunction
from .errors import MiddlewareError
from .events import Event
from .naming import describe

SAMPLE_EVERY = 64
"""At least one event in this many is timed."""

_NOT_RUN = object()


class Owner(Protocol):
    """What a stage needs of the pipeline that made it."""

    lock: AbstractContextManager[object]
    rejected: int

    def step(self, entry: Middleware, place: int) -> MiddlewareFunction:
        """Return what is called for an entry."""


class Stage:
    """A snapshot of the entries that are switched on, in order. A change makes a new one."""

    __slots__ = ("_pipeline", "entries", "passes", "retired", "steps")

    def __init__(self, pipeline: Owner, entries: tuple[Middleware, ...]) -> None:
        self._pipeline = pipeline
        self.entries = entries
        # A list, because switching an entry off replaces its step also for the event in flight.
        self.steps: list[MiddlewareFunction] = [pipeline.step(entry, place) for place, entry in enumerate(entries)]
        self.passes = 0  # accepted events that every entry passed unchanged; counted by the bus, under the lock
        self.retired = False

    def run(self, event: Event[Any]) -> Event[Any] | None:
        """Return what the entries make of an event; None when one of them dropped it.

        The very object that came in comes out only if every entry passed it unchanged. The caller
        counts that case in `passes`; every other one is counted here.

        Raises
        ------
        MiddlewareError
            If an entry raises, or returns neither an event nor None.
        """
        if not self.passes % SAMPLE_EVERY:
            return self._follow(event)
        steps = iter(self.steps)
        try:
            for step in steps:
                outcome = step(event)
                if outcome is not event:
                    break
            else:
                return event
        except Exception as error:
            position = self._position(steps)
            raise self._failed(position, ["passed"] * position, f"raised {describe(error)}") from error
        return self._follow(event, self._position(steps), outcome)

    def _follow(self, offered: Event[Any], start: int = 0, outcome: object = _NOT_RUN) -> Event[Any] | None:
        """Run the entries from `start` on, whose outcome may be known, timing and counting each."""
        event = offered
        actions = ["passed"] * start
        for position in range(start, len(self.entries)):
            if outcome is _NOT_RUN:
                started = perf_counter()
                try:
                    outcome = self.steps[position](event)
                except Exception as error:
                    raise self._failed(position, actions, f"raised {describe(error)}") from error
                finally:
                    self._time(self.entries[position], perf_counter() - started)
            if outcome is None:
                self._count([*actions, "dropped"])
                return None
            if not is_kind(outcome, Event):
                problem = f"returned {came(outcome)}, expected the event, a changed copy, or None"
                raise self._failed(position, actions, problem)
            actions.append("passed" if outcome is event else "transformed")
            event = outcome
            outcome = _NOT_RUN
        if "transformed" in actions:
            self._count(actions)
            return event.replace() if event is offered else event
        return event

    def _position(self, steps: Iterator[MiddlewareFunction]) -> int:
        return len(self.steps) - length_hint(steps) - 1

    def _failed(self, position: int, actions: list[str], problem: str) -> MiddlewareError:
        self._count([*actions, "raised"])
        return MiddlewareError(self.entries[position].name, problem)

    def _count(self, actions: list[str]) -> None:
        with self._pipeline.lock:
            self._book(actions)

    def _book(self, actions: list[str]) -> None:
        if actions[-1] in {"dropped", "raised"}:
            self._pipeline.rejected += 1
        for entry, action in zip(self.entries, actions, strict=False):
            entry.counts[action] += 1

    def _time(self, entry: Middleware, seconds: float) -> None:
        with self._pipeline.lock:
            entry.timed += 1
            entry.timed_seconds += seconds

    def settle(self) -> None:
        """Book the shared count of passes to the entries. Called under the lock."""
        for entry in self.entries:
            entry.counts["passed"] += self.passes
        self.passes = 0
