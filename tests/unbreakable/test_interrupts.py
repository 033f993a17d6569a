"""Ctrl-C, thousands of times, wherever a publish just happens to be."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any

import pytest

from atlas_lab import Event, EventBus, EventType, ScopedEventBus
from atlas_lab.testing.contract.alarms import Alarm

from .guards import no_tracing
from .threads import Witness, no_finalizers

A, B, C = EventType.AGENT_STARTED, EventType.AGENT_TASK_ASSIGNED, EventType.AGENT_STOPPED


def interrupt(bus: EventBus, times: int) -> None:
    """Interrupt publishes of A again and again, and look after each time at what it left behind."""
    witness = Witness()
    got: list[Event[Any]] = []
    bus.subscribe(C, got.append)
    above = [bus] if bus.parent_bus is None else [bus, bus.parent_bus]

    def free() -> bool:
        taken = [one._lock.acquire(blocking=False) for one in above]
        for one, ours in zip(above, taken, strict=True):
            if ours:
                one._lock.release()
        return all(taken)

    with Alarm(inside=type(bus).publish) as alarm:
        for caught in range(1, times + 1):
            try:
                alarm.set()
                while alarm.raised < caught:
                    bus.publish(A)
            except KeyboardInterrupt:
                pass
            else:
                raise AssertionError("an interrupt was swallowed")
            assert witness.ask(free), "a lock was left held"
            event_id = bus.publish(C)
            assert [event.id for event in got] == [event_id], "the next event was not delivered once"
            got.clear()
            for one in above:
                event = one.history[-1]
                assert event.id == event_id, "the next event is not in the history"
                assert event.parent_id is None, "the next event has a parent"


def bare(make_bus: Callable[..., EventBus]) -> EventBus:
    """A bus with plain handlers."""
    bus = make_bus(history_limit=5)
    bus.subscribe(A, lambda event: None)
    bus.subscribe(None, lambda event: None)
    return bus


def busy(make_bus: Callable[..., EventBus], **options: Any) -> EventBus:
    """A bus with middleware, conditions, and handlers that publish."""
    bus = make_bus(history_limit=5, **options)
    bus.add_middleware(lambda event: event if event.type is C else event.replace(source="changed"))
    bus.add_middleware(lambda event: event)
    bus.subscribe(A, lambda event: bus.publish(B))
    bus.subscribe(B, lambda event: None, where=lambda event: True, priority=1)
    return bus


def queued(make_bus: Callable[..., EventBus]) -> EventBus:
    """The same, with events that wait their turn."""
    return busy(make_bus, nested="queued")


def scoped(make_bus: Callable[..., EventBus]) -> EventBus:
    """A scope under such a bus."""
    scope = ScopedEventBus(busy(make_bus), "scope", history_limit=5)
    scope.subscribe(A, lambda event: scope.publish(B))
    return scope


def run_apart(work: Callable[[], object]) -> None:
    """Run in a context of its own, so that what an interrupt leaves behind fails one test and no other."""
    with no_tracing(), no_finalizers():
        contextvars.copy_context().run(work)


@pytest.mark.parametrize("make", [bare, busy, queued, scoped])
def test_five_thousand_interrupts_leave_nothing_behind(make):
    """After each interrupt no lock is held, none was swallowed, and the next event arrives, once and without a parent."""
    run_apart(lambda: interrupt(make(EventBus), 5_000))


class LeavesItsLockHeld(EventBus):
    """A bus that gives its lock back only when all went well."""

    def publish(self, *fields: Any, **more: Any) -> str:
        self._lock.acquire()
        event_id = super().publish(*fields, **more)
        self._lock.release()
        return event_id


class KeepsItsPlace(EventBus):
    """A bus that forgets which event it is handling only when all went well."""

    _handling: str | None = None

    def publish(self, event_type: Any, *fields: Any, **more: Any) -> str:
        event = Event(event_type, *fields, **more, parent_id=self._handling)
        outer, self._handling = self._handling, event.id
        self.emit(event)
        self._handling = outer
        return event.id


class GoesOn(EventBus):
    """A bus that takes an interrupt for one more error of a handler."""

    def publish(self, *fields: Any, **more: Any) -> str:
        try:
            return super().publish(*fields, **more)
        except BaseException:
            return ""


class Waits(EventBus):
    """A bus that takes one event at a time, and for which one that was broken off never ends."""

    _busy = False

    def publish(self, *fields: Any, **more: Any) -> str:
        if self._busy:
            return ""
        self._busy = True
        event_id = super().publish(*fields, **more)
        self._busy = False
        return event_id


@pytest.mark.parametrize(
    "broken, found",
    [
        (LeavesItsLockHeld, "a lock was left held"),
        (KeepsItsPlace, "has a parent"),
        (GoesOn, "swallowed"),
        (Waits, "not delivered once"),
    ],
)
def test_a_bus_without_finally_does_not_pass(broken, found):
    """Control: what a bus leaves behind that tidies up only when all goes well is found."""
    with pytest.raises(AssertionError, match=found):
        run_apart(lambda: interrupt(bare(broken), 1_000))
