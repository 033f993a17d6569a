"""Pauses: what is held, when it is delivered, by whom and in which order."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from atlas_lab import Event, EventBus, EventType, HandlerErrors, ScopedEventBus
from atlas_lab.testing.contract.workers import PATIENCE

CHUNK = EventType.STREAM_CHUNK
DONE = EventType.STREAM_COMPLETED


def collecting(bus: EventBus) -> list[Any]:
    """Return a list of the payloads that a handler of everything gets from now on."""
    got: list[Any] = []
    bus.subscribe(None, lambda event: got.append(event.data))
    return got


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


both_ways = pytest.mark.parametrize("nested", ["immediate", "queued"])


@both_ways
def test_a_pause_holds_deliveries_and_nothing_else(nested):
    """While paused, events pass middleware and enter the history at once; handlers get them afterwards, in order."""
    bus = EventBus(nested=nested)
    got = collecting(bus)
    bus.add_middleware(lambda event: event.replace(data=event.data * 10))
    with bus.paused():
        ids = [bus.publish(CHUNK, number) for number in (1, 2, 3)]
        assert got == []
        assert [event.id for event in bus.history] == ids
    assert got == [10, 20, 30]
    bus.publish(CHUNK, 4)
    assert got == [10, 20, 30, 40]


def test_a_pause_with_nothing_published_changes_nothing():
    """An empty block ends as it began."""
    bus = EventBus()
    got = collecting(bus)
    with bus.paused():
        pass
    bus.publish(CHUNK, 1)
    assert got == [1]


def test_pauses_nest():
    """Deliveries wait for the end of the outermost block."""
    bus = EventBus()
    got = collecting(bus)
    with bus.paused():
        with bus.paused():
            bus.publish(CHUNK, 1)
        assert got == []
        bus.publish(CHUNK, 2)
    assert got == [1, 2]


def test_a_pause_holds_what_other_threads_publish():
    """A publish in another thread returns at once, and the thread that ends the pause delivers."""
    bus = EventBus()
    threads: list[tuple[Any, int]] = []
    bus.subscribe(CHUNK, lambda event: threads.append((event.data, threading.get_ident())))
    with bus.paused():
        in_thread(lambda: bus.publish(CHUNK, "other")).join(PATIENCE)
        bus.publish(CHUNK, "mine")
        assert threads == []
    assert threads == [("other", threading.get_ident()), ("mine", threading.get_ident())]


def test_pauses_of_two_threads_overlap():
    """What is held is delivered by the thread whose block ends last."""
    bus = EventBus()
    got = collecting(bus)
    paused, end = threading.Event(), threading.Event()

    def pause() -> None:
        with bus.paused():
            paused.set()
            end.wait(PATIENCE)

    other = in_thread(pause)
    assert paused.wait(PATIENCE)
    with bus.paused():
        bus.publish(CHUNK, 1)
    assert got == []
    end.set()
    other.join(PATIENCE)
    assert got == [1]


def test_what_is_held_is_delivered_in_the_order_of_the_history():
    """Also when many threads published during the pause."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(10):
            bus = EventBus(history_limit=None)
            seqs: list[int] = []
            bus.subscribe(CHUNK, lambda event, seqs=seqs: seqs.append(event.seq))
            barrier = threading.Barrier(8)

            def work(bus: EventBus = bus, barrier: threading.Barrier = barrier) -> None:
                barrier.wait(PATIENCE)
                for _ in range(100):
                    bus.publish(CHUNK)

            with bus.paused():
                threads = [in_thread(work) for _ in range(8)]
                for thread in threads:
                    thread.join(PATIENCE)
            assert seqs == list(range(1, 801))
    finally:
        sys.setswitchinterval(interval)


@both_ways
def test_pausing_and_publishing_in_many_threads_loses_nothing(nested):
    """Whoever pauses and publishes, every event reaches the handler once."""
    bus = EventBus(history_limit=None, nested=nested)
    seqs: list[int] = []
    bus.subscribe(CHUNK, lambda event: seqs.append(event.seq))
    barrier = threading.Barrier(6)

    def work(pausing: bool) -> None:
        barrier.wait(PATIENCE)
        for _ in range(200):
            if pausing:
                with bus.paused():
                    bus.publish(CHUNK)
            else:
                bus.publish(CHUNK)

    threads = [in_thread(lambda number=number: work(number % 2 == 0)) for number in range(6)]
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(seqs) == list(range(1, 1201))


def test_an_event_published_while_held_ones_are_delivered_gets_behind_them():
    """Another thread cannot overtake what the pause held."""
    bus = EventBus()
    got: list[Any] = []
    started, published = threading.Event(), threading.Event()

    def slow(event: Event[Any]) -> None:
        if event.data == 1:
            started.set()
            assert published.wait(PATIENCE)
        got.append(event.data)

    bus.subscribe(CHUNK, slow)

    def late() -> None:
        started.wait(PATIENCE)
        bus.publish(CHUNK, 3)
        published.set()

    other = in_thread(late)
    with bus.paused():
        bus.publish(CHUNK, 1)
        bus.publish(CHUNK, 2)
    other.join(PATIENCE)
    assert got == [1, 2, 3]


@both_ways
def test_a_handler_of_a_held_event_may_publish_and_pause(nested):
    """What handlers publish while held events are delivered reaches everybody; a pause inside delays it as usual."""
    bus = EventBus(nested=nested)
    got: list[Any] = []

    def react(event: Event[Any]) -> None:
        if event.data == 1:
            bus.publish(DONE, "plain")
            with bus.paused():
                bus.publish(DONE, "held")
                got.append("inside")

    bus.subscribe(CHUNK, react)
    bus.subscribe(DONE, lambda event: got.append(event.data))
    bus.subscribe(CHUNK, lambda event: got.append(event.data))
    with bus.paused():
        bus.publish(CHUNK, 1)
        bus.publish(CHUNK, 2)
    assert sorted(map(str, got)) == ["1", "2", "held", "inside", "plain"]
    assert got.index("inside") < got.index("held")
    bus.publish(CHUNK, 3)
    assert got[-1] == 3


def test_the_cause_of_a_held_event_is_the_one_at_its_publishing():
    """``parent_id`` is told by who published, not by when it was delivered."""
    bus = EventBus()
    bus.subscribe(CHUNK, lambda event: bus.publish(DONE))
    with bus.paused():
        first = bus.publish(CHUNK)
    assert [event.parent_id for event in bus.history] == [None, first]


def test_an_exception_inside_the_block_ends_the_pause():
    """What was held is delivered, and the block's own exception goes on."""
    bus = EventBus(on_error="raise")
    got = collecting(bus)
    bus.subscribe(CHUNK, lambda event: 1 // 0)
    with pytest.raises(KeyError):
        with bus.paused():
            bus.publish(CHUNK, 1)
            raise KeyError
    assert got[0] == 1
    bus.publish(DONE, 2)
    assert got[-1] == 2


def test_errors_of_held_events_are_raised_at_the_end_of_the_block():
    """Under "raise" one group holds the errors of all held events, once all were delivered."""
    bus = EventBus(on_error="raise")
    got = collecting(bus)

    def fail(event: Event[Any]) -> None:
        raise ValueError(event.data)

    bus.subscribe(CHUNK, fail)
    with pytest.raises(HandlerErrors) as caught:
        with bus.paused():
            bus.publish(CHUNK, 1)
            bus.publish(CHUNK, 2)
    assert [error.args for error in caught.value.exceptions] == [(1,), (2,)]
    assert [data for data in got if isinstance(data, int)] == [1, 2]


def test_errors_of_held_events_are_only_reported_under_the_event_policy():
    """By default the block ends without an exception."""
    bus = EventBus()
    bus.subscribe(CHUNK, lambda event: 1 // 0)
    with bus.paused():
        bus.publish(CHUNK)
    assert len(bus.history.select(EventType.HANDLER_ERROR)) == 1


def test_unsubscribing_during_a_pause_takes_effect_on_held_events():
    """A handler that left is not called any more, not even with what came before."""
    bus = EventBus()
    got: list[Event[Any]] = []
    token = bus.subscribe(CHUNK, got.append)
    with bus.paused():
        bus.publish(CHUNK)
        token()
    assert got == []


def test_a_handler_that_comes_during_a_pause_does_not_get_what_was_published_before():
    """Subscribing counts from the next event published, not from the next one delivered."""
    bus = EventBus()
    got: list[Any] = []
    with bus.paused():
        bus.publish(CHUNK, 1)
        bus.subscribe(CHUNK, lambda event: got.append(event.data))
        bus.publish(CHUNK, 2)
    assert got == [2]


def test_a_paused_scope_holds_its_events_back_from_the_parent():
    """The parent gets them after the scope's handlers, when the pause ends; its own go on."""
    bus = EventBus()
    scope = ScopedEventBus(parent=bus, scope_name="agent")
    got = collecting(bus)
    with scope.paused():
        scope.publish(CHUNK, 1)
        bus.publish(CHUNK, 2)
        assert got == [2] and len(bus.history) == 1
    assert got == [2, 1]


def test_a_paused_parent_holds_only_its_own_deliveries():
    """The scope's handlers get the event at once."""
    bus = EventBus()
    scope = ScopedEventBus(parent=bus, scope_name="agent")
    above, here = collecting(bus), collecting(scope)
    with bus.paused():
        scope.publish(CHUNK, 1)
        assert (here, above, len(bus.history)) == ([1], [], 1)
    assert above == [1]


@both_ways
def test_publish_async_during_a_pause_returns_and_delivers_later(nested):
    """Async handlers of held events are started when the pause ends, as by `publish`."""

    async def main() -> list[Any]:
        bus = EventBus(nested=nested)
        got: list[Any] = []

        async def slow(event: Event[Any]) -> None:
            await asyncio.sleep(0)
            got.append(event.data)

        bus.subscribe(CHUNK, slow)
        with bus.paused():
            await bus.publish_async(CHUNK, 1)
            assert got == []
        await bus.join()
        return got

    assert asyncio.run(main()) == [1]


def test_publish_async_by_a_handler_of_a_held_event_is_delivered_at_once():
    """The thread that delivers what was held does not wait for itself."""
    bus = EventBus()
    got: list[Any] = []

    def handle(event: Event[Any]) -> None:
        publishing = bus.publish_async(DONE, "inner")
        with pytest.raises(StopIteration):
            publishing.send(None)
        got.append("outer")

    bus.subscribe(CHUNK, handle)
    bus.subscribe(DONE, lambda event: got.append(event.data))
    with bus.paused():
        bus.publish(CHUNK)
    assert got == ["inner", "outer"]


def test_closing_a_paused_bus_drops_what_was_held():
    """A closed bus calls no handler, and the end of the block is no error."""
    bus = EventBus()
    got = collecting(bus)
    with bus.paused():
        bus.publish(CHUNK)
        bus.close()
    assert got == [] and len(bus.history) == 1


def test_an_interrupted_delivery_of_held_events_leaves_the_rest_for_later():
    """What an interrupt kept from being delivered is delivered before the next event."""
    bus = EventBus()
    got: list[Any] = []

    def handle(event: Event[Any]) -> None:
        if event.data == 1:
            raise KeyboardInterrupt
        got.append(event.data)

    bus.subscribe(CHUNK, handle)
    with pytest.raises(KeyboardInterrupt):
        with bus.paused():
            for data in (1, 2, 3):
                bus.publish(CHUNK, data)
    bus.publish(CHUNK, 4)
    assert got == [2, 3, 4]
    bus.publish(CHUNK, 5)
    assert got[-1] == 5


def test_counts_are_right_after_an_interrupted_delivery():
    """Handlers that an interrupt kept from being called are not counted as called."""
    bus = EventBus()

    def stop(event: Event[Any]) -> None:
        raise KeyboardInterrupt

    tokens = [bus.subscribe(CHUNK, handler) for handler in (lambda event: None, stop, lambda event: None)]
    with pytest.raises(KeyboardInterrupt):
        bus.publish(CHUNK)
    assert [token.calls for token in tokens] == [1, 1, 0]
    assert bus.stats().calls == 2


class Interrupting:
    """A bus's lock after whose next release an interrupt strikes."""

    def __init__(self, lock: Any) -> None:
        self.lock = lock
        self.armed = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.lock, name)

    def release(self) -> None:
        self.lock.release()
        if self.armed:
            self.armed = False
            raise KeyboardInterrupt


def test_an_event_that_an_interrupt_kept_from_its_handlers_counts_no_calls():
    """An interrupt between history and handlers leaves the event in the history and the counts of calls as they were."""
    bus = EventBus()
    token = bus.subscribe(CHUNK, lambda event: None)
    bus._lock = Interrupting(bus._lock)
    with pytest.raises(KeyboardInterrupt):
        bus.publish(CHUNK)
    assert (bus.history[-1].seq, token.calls) == (1, 0)
    bus.publish(CHUNK)
    assert (bus.history[-1].seq, token.calls) == (2, 1)
