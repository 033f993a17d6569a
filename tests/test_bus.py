"""The life of a bus: what it holds on to, what it lets go, and what closing it wakes."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import threading
import weakref
from collections.abc import Callable
from enum import Enum
from typing import Any

import msgspec
import pytest

from atlas_lab import BusClosedError, Event, EventBus, EventType, PublishDepthError, ScopedEventBus, dispatch
from atlas_lab.testing.contract.workers import PATIENCE

CHUNK = EventType.STREAM_CHUNK
DONE = EventType.STREAM_COMPLETED


class Order(Enum):
    PLACED = "placed"


class Held:
    """Something that can be seen to be collected."""


def gone(*references: weakref.ref[Any]) -> list[bool]:
    gc.collect()
    return [reference() is None for reference in references]


# -- garbage


def use_nothing(bus: EventBus, held: Held) -> None:
    bus.publish(CHUNK, held)


def use_handlers(bus: EventBus, held: Held) -> None:
    bus.subscribe(CHUNK, lambda event: held)
    bus.subscribe([CHUNK, DONE], lambda event: bus, where=lambda event: held)
    bus.publish(CHUNK)


def use_middleware(bus: EventBus, held: Held) -> None:
    bus.add_middleware(lambda event: event if held else None)
    bus.publish(CHUNK)


def use_errors(bus: EventBus, held: Held) -> None:
    def fail(event: Event[Any], held: Held = held) -> None:
        raise ValueError

    bus.subscribe(CHUNK, fail)
    bus.publish(CHUNK)


def use_scopes(bus: EventBus, held: Held) -> None:
    scope = ScopedEventBus(parent=bus, scope_name="agent")
    scope.subscribe(CHUNK, lambda event: held)
    scope.publish(CHUNK)


def use_pauses(bus: EventBus, held: Held) -> None:
    with bus.paused():
        bus.publish(CHUNK, held)


def use_streams(bus: EventBus, held: Held) -> None:
    stream = bus.stream(CHUNK, where=lambda event: held)
    bus.publish(CHUNK)
    assert stream.dropped == 0


def use_coroutines(bus: EventBus, held: Held) -> None:
    async def main() -> None:
        async def slow(event: Event[Any]) -> None:
            await asyncio.sleep(0, held)

        bus.subscribe(CHUNK, slow)
        await bus.publish_async(CHUNK)
        bus.publish(CHUNK)
        await bus.join()
        waiting = bus.wait_for(DONE)
        bus.publish(DONE, held)
        await waiting

    asyncio.run(main())


USES: list[Callable[[EventBus, Held], None]] = [
    use_nothing, use_handlers, use_middleware, use_errors, use_scopes, use_pauses, use_streams, use_coroutines,
]  # fmt: skip


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("nested", ["immediate", "queued"])
def test_a_bus_that_is_dropped_without_closing_is_collected(use, nested, caplog):
    """However it was used, nothing outside keeps it or what its handlers held."""
    bus = EventBus(nested=nested)
    held = Held()
    use(bus, held)
    caplog.clear()
    for handler in logging.getLogger().handlers:  # pytest keeps what is logged, and with it the exceptions
        getattr(handler, "records", []).clear()
    references = weakref.ref(bus), weakref.ref(held)
    del bus, held
    assert gone(*references) == [True, True]


@pytest.mark.parametrize("event_type", [CHUNK, Order.PLACED, None], ids=["core", "own", "all"])
def test_nothing_survives_unsubscribing(event_type):
    """Handler, condition and what they hold are let go, also while the token and the bus live on."""
    bus = EventBus()
    held = [Held(), Held()]
    handler, where = (lambda event, held=held[0]: None), (lambda event, held=held[1]: True)
    token = bus.subscribe(event_type, handler, where=where, data_type=dict, once=False, source="x")
    bus.publish(CHUNK, {}, "x")
    bus.publish(Order.PLACED, {}, "x")
    references = [weakref.ref(one) for one in (*held, handler, where)]
    del handler, where
    held.clear()
    assert gone(*references) == [False] * 4
    token()
    assert gone(*references) == [True] * 4
    assert token.calls >= 1


@pytest.mark.parametrize("named", [True, False])
def test_an_ended_subscription_is_collected(named):
    """A bus does not remember who left, however many come and go, not by their names either."""
    bus = EventBus()
    tokens = [bus.subscribe(CHUNK, lambda event: None, name=str(n) if named else None) for n in range(100)]
    bus.publish(CHUNK)
    references = [weakref.ref(token) for token in tokens]
    for token in tokens:
        token()
    del token
    tokens.clear()
    bus.publish(CHUNK)
    assert all(gone(*references))
    assert bus.subscriptions() == [] and bus.stats().calls == 100


def test_a_handler_that_ran_once_is_let_go():
    """After its one event a ``once`` handler is gone like any that unsubscribed."""
    bus = EventBus()
    held = Held()
    bus.subscribe(CHUNK, lambda event, held=held: None, once=True)
    reference = weakref.ref(held)
    del held
    bus.publish(CHUNK)
    assert gone(reference) == [True]


def test_a_dispatched_event_is_let_go():
    """With no history nothing keeps an event once its handlers had it, not even a task that goes on."""

    async def main() -> None:
        bus = EventBus(history_limit=0)
        go_on = asyncio.Event()
        tasks: list[asyncio.Future[Any]] = []

        async def wait() -> None:
            await go_on.wait()

        bus.subscribe(CHUNK, lambda event: tasks.append(asyncio.ensure_future(wait())))
        held = Held()
        reference = weakref.ref(held)
        bus.publish(CHUNK, held)
        del held
        await asyncio.sleep(0)
        assert gone(reference) == [True]
        go_on.set()
        await tasks[0]

    asyncio.run(main())


def test_the_middleware_that_was_removed_is_let_go():
    """A removed entry's function is not kept by the bus."""
    bus = EventBus()
    held = Held()
    remove = bus.add_middleware(lambda event, held=held: event)
    bus.publish(CHUNK)
    reference = weakref.ref(held)
    del held
    remove()
    del remove
    bus.publish(CHUNK)
    assert gone(reference) == [True]


def test_a_closed_bus_lets_its_handlers_go():
    """After `close` the bus may live on for its history; its handlers need not."""
    bus = EventBus()
    held = Held()
    bus.subscribe(CHUNK, lambda event, held=held: None)
    bus.subscribe(None, lambda event, held=held: None)
    bus.publish(CHUNK)
    reference = weakref.ref(held)
    del held
    bus.close()
    assert gone(reference) == [True]


# -- closing


def test_closing_wakes_whoever_waits():
    """Waits fail, streams end, and nobody hangs, whichever thread closes the bus."""

    async def main() -> None:
        bus = EventBus()
        waits = [asyncio.ensure_future(bus.wait_for(one)) for one in (CHUNK, DONE, None)]
        streams = [bus.stream(CHUNK), bus.stream(None)]

        async def read(stream: Any) -> list[Any]:
            return [event.data async for event in stream]

        readers = [asyncio.ensure_future(read(stream)) for stream in streams]
        await asyncio.sleep(0)
        await asyncio.to_thread(bus.close)
        results = await asyncio.wait_for(asyncio.gather(*waits, *readers, return_exceptions=True), PATIENCE)
        assert [type(result).__name__ for result in results[:3]] == ["BusClosedError"] * 3
        assert results[3:] == [[], []]

    asyncio.run(main())


def test_closing_while_others_subscribe_and_wait():
    """Threads that come and go while the bus is closed get `BusClosedError` or nothing, and never anything else."""
    for _ in range(20):
        bus = EventBus()
        barrier = threading.Barrier(4)
        failures: list[BaseException] = []

        def work(bus: EventBus = bus, barrier: threading.Barrier = barrier, failures: Any = failures) -> None:
            barrier.wait(PATIENCE)
            try:
                while True:
                    streams = [bus.stream(CHUNK) for _ in range(5)]
                    bus.publish(CHUNK)
                    assert streams[0].dropped == 0
            except BusClosedError:
                pass
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, daemon=True) for _ in range(3)]
        for thread in threads:
            thread.start()
        barrier.wait(PATIENCE)
        bus.publish(CHUNK)
        bus.close()
        for thread in threads:
            thread.join(PATIENCE)
        assert failures == []
        assert bus.subscriptions() == []


@pytest.mark.parametrize(
    "use",
    [
        lambda bus: bus.publish(CHUNK),
        lambda bus: bus.subscribe(Order.PLACED, print),
        lambda bus: bus.subscribe(None, print),
    ],
    ids=["publish", "subscribe", "subscribe to all"],
)
def test_a_closed_bus_says_what_it_is_still_good_for(use):
    """Whoever uses it learns that it is closed, and that the history can be read."""
    bus = EventBus()
    bus.publish(CHUNK)
    bus.close()
    with pytest.raises(
        BusClosedError, match=r"^the bus is closed; its history can still be read, but it takes nothing new$"
    ):
        use(bus)
    assert len(bus.history) == 1


def test_the_same_options_give_the_same_run():
    """With a clock and an id source of its own, a run comes out the same each time."""

    def run() -> list[tuple[Any, ...]]:
        ids, times = iter(range(100)), iter(range(100))
        bus = EventBus(new_id=lambda: f"{next(ids):032x}", clock=lambda: float(next(times)))
        bus.subscribe(CHUNK, lambda event: bus.publish(DONE, event.data))
        for data in "ab":
            bus.publish(CHUNK, data)
        return [(event.id, event.timestamp, event.parent_id, event.data) for event in bus.history]

    assert run() == run()
    assert run()[1][2] == run()[0][0]


def test_emit_fills_in_what_is_missing_and_changes_nothing_else():
    """The bus stores a numbered copy; the event that was given stays as it was."""
    bus = EventBus(name="run")
    event = Event(CHUNK, "x", "model", {"k": 1}, timestamp=5.0, parent_id="p")
    assert bus.emit(event) == event.id
    (stored,) = bus.history
    assert (stored.seq, stored.scope, stored.timestamp, stored.parent_id) == (1, "run", 5.0, "p")
    assert (event.seq, event.scope) == (0, None)
    assert stored.metadata == {"k": 1} and stored.metadata is not event.metadata
    bus.emit(stored)
    assert [one.seq for one in bus.history] == [1, 2] and stored.seq == 1


def test_emit_inside_a_handler_is_caused_by_its_event():
    """An event that names no parent gets the one being handled."""
    bus = EventBus()
    bus.subscribe(CHUNK, lambda event: bus.emit(Event(DONE)))
    first = bus.publish(CHUNK)
    assert bus.history[-1].parent_id == first


@pytest.mark.parametrize("nested", ["immediate", "queued"])
def test_a_runaway_of_emits_is_stopped(nested):
    """An emit inside a handler is nested as a publish is, and as deep as ``max_depth`` allows."""
    bus = EventBus(nested=nested, max_depth=5)
    bus.subscribe(CHUNK, lambda event: bus.emit(Event(CHUNK)))
    with pytest.raises(PublishDepthError):
        bus.emit(Event(CHUNK))
    assert len(bus.history) == 5


def test_emit_takes_an_event_of_an_event_type():
    """What is none is refused by name, with what came."""
    with pytest.raises(
        TypeError, match=r"^event must be an Event \(see publish for what is none yet\), got EventType "
    ):
        EventBus().emit(CHUNK)
    broken = Event(CHUNK)
    msgspec.structs.force_setattr(broken, "type", "stream.chunk")
    with pytest.raises(TypeError, match=r"^event\.type must be a member of an Enum, got str 'stream.chunk'"):
        EventBus().emit(broken)


# -- interrupts


@pytest.fixture
def interrupt(monkeypatch):
    """Return ``interrupt(number)``: Ctrl+C is pressed as that dispatch from now on has just put itself into the context."""

    def interrupt(number: int) -> None:
        entered = itertools.count(1)

        def enter(frame: dispatch.Frame | None) -> Any:
            token = dispatch.enter(frame)
            if next(entered) == number:
                raise KeyboardInterrupt
            return token

        monkeypatch.setattr("atlas_lab.bus.enter", enter)

    return interrupt


def test_an_interrupted_publish_leaves_its_handler_the_cause(interrupt):
    """Whoever catches the interrupt of a nested publish goes on as the handler that it is."""
    bus = EventBus()

    def handle(event: Event[Any]) -> None:
        with pytest.raises(KeyboardInterrupt):
            bus.publish(DONE)
        bus.publish(Order.PLACED)

    bus.subscribe(CHUNK, handle)
    bus.subscribe(DONE, lambda event: None)
    interrupt(2)
    first = bus.publish(CHUNK)
    assert [event.parent_id for event in bus.history] == [None, first, first]
    bus.publish(DONE)
    assert bus.history[-1].parent_id is None


def test_an_interrupted_turn_leaves_its_handler_the_cause(interrupt):
    """So does one who catches it around a bus on which events wait for each other."""
    bus, other = EventBus(), EventBus(nested="queued")

    def handle(event: Event[Any]) -> None:
        with pytest.raises(KeyboardInterrupt):
            other.publish(CHUNK)
        bus.publish(DONE)

    bus.subscribe(CHUNK, handle)
    other.subscribe(CHUNK, lambda event: None)
    interrupt(2)
    first = bus.publish(CHUNK)
    assert [event.parent_id for event in (*bus.history, *other.history)] == [None, first, first]


def test_an_interrupt_on_the_parent_leaves_the_handler_the_cause(interrupt):
    """So does one who catches it around a scope, when it comes as the parent delivers."""
    bus = EventBus()
    parent = EventBus()
    scope = ScopedEventBus(parent=parent, scope_name="agent")

    def handle(event: Event[Any]) -> None:
        with pytest.raises(KeyboardInterrupt):
            scope.publish(DONE)
        bus.publish(DONE)

    bus.subscribe(CHUNK, handle)
    for one in (scope, parent):
        one.subscribe(DONE, lambda event: None)
    interrupt(3)
    first = bus.publish(CHUNK)
    assert [event.parent_id for event in (*bus.history, *scope.history, *parent.history)] == [None, first, first, first]


def publish_interrupted(bus: EventBus) -> None:
    """Publish an event and press Ctrl+C as it has just been accepted, on the release of the lock."""
    lock = bus._lock

    class Interrupted:
        acquire, _is_owned = lock.acquire, lock._is_owned

        def release(self) -> None:
            lock.release()
            raise KeyboardInterrupt

    bus._lock = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        bus.publish(CHUNK)
    bus._lock = lock


def test_an_interrupt_between_history_and_handlers_leaves_the_counts_right():
    """An event that was accepted and then reached no handler is no call of one, and a recording tells of it."""
    bus = EventBus()
    token = bus.subscribe(CHUNK, lambda event: None)
    with bus.record() as run:
        publish_interrupted(bus)
    assert run.deliveries[["event_id", "outcome"]].values.tolist() == [[bus.history[0].id, "skipped"]]
    assert (len(bus.history), token.calls, bus.stats().calls) == (1, 0, 0)
    bus.publish(CHUNK)
    assert (len(bus.history), token.calls, bus.stats().calls) == (2, 1, 1)


def test_an_event_held_back_is_delivered_although_its_publisher_was_interrupted():
    """In a ``paused`` block an interrupt after the event was accepted changes nothing about its delivery."""
    bus = EventBus()
    token = bus.subscribe(CHUNK, lambda event: None)
    with bus.paused():
        publish_interrupted(bus)
    assert (len(bus.history), token.calls, bus.stats().calls) == (1, 1, 1)


def test_a_finalizer_may_publish_while_an_event_is_numbered(monkeypatch):
    """Garbage may be collected anywhere, and its finalizer may publish; each event has a number of its own."""
    bus = EventBus()
    finalizers = [lambda: bus.publish(DONE)]

    def collecting(*args: Any) -> None:
        msgspec.structs.force_setattr(*args)
        while finalizers:
            finalizers.pop()()

    monkeypatch.setattr("atlas_lab.bus.force_setattr", collecting)
    bus.publish(CHUNK)
    assert [(event.type, event.seq) for event in bus.history] == [(DONE, 1), (CHUNK, 2)]


def test_a_runaway_through_pauses_is_stopped():
    """What a handler publishes in a ``paused`` block that it opens itself is nested in it as any publish."""
    bus = EventBus(max_depth=5)

    def handle(event: Event[Any]) -> None:
        with bus.paused():
            bus.publish(CHUNK)

    bus.subscribe(CHUNK, handle)
    with pytest.raises(PublishDepthError):
        bus.publish(CHUNK)
    assert len(bus.history) == 5
