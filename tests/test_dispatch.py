"""Causes and turns: what counts as inside a dispatch, and what only began there."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from typing import Any

import pytest

from atlas_lab import Event, EventBus, EventType, PublishDepthError, ScopedEventBus, dispatch
from atlas_lab.testing.contract.workers import PATIENCE

CHUNK = EventType.STREAM_CHUNK
DONE = EventType.STREAM_COMPLETED

both_ways = pytest.mark.parametrize("nested", ["immediate", "queued"])


@both_ways
def test_a_chain_that_is_too_deep_prints_itself(nested):
    """The error lists the types from the first publish to the one refused, shortened in the middle."""
    bus = EventBus(nested=nested, max_depth=20)
    bus.subscribe(CHUNK, lambda event: bus.publish(DONE))
    bus.subscribe(DONE, lambda event: bus.publish(CHUNK))
    with pytest.raises(PublishDepthError) as caught:
        bus.publish(CHUNK)
    assert len(caught.value.chain) == 21
    assert caught.value.chain[:3] == ("STREAM_CHUNK", "STREAM_COMPLETED", "STREAM_CHUNK")
    text = str(caught.value)
    assert "max_depth=20" in text and "STREAM_CHUNK > STREAM_COMPLETED" in text and "... 9 more ..." in text


def test_a_short_chain_is_printed_whole():
    """Up to twelve types are all shown."""
    bus = EventBus(max_depth=2)
    bus.subscribe(CHUNK, lambda event: bus.publish(CHUNK))
    with pytest.raises(PublishDepthError, match="STREAM_CHUNK > STREAM_CHUNK > STREAM_CHUNK\\."):
        bus.publish(CHUNK)


@both_ways
def test_exactly_max_depth_is_allowed(nested):
    """A chain of `max_depth` publishes is fine; after one that was refused the bus starts from the top again."""
    bus = EventBus(nested=nested, max_depth=3)
    limit = [3]

    def again(event: Event[Any]) -> None:
        if event.data < limit[0]:
            bus.publish(CHUNK, event.data + 1)

    bus.subscribe(CHUNK, again)
    for _ in range(2):
        bus.publish(CHUNK, 1)
        limit[0] = 4
        with pytest.raises(PublishDepthError):
            bus.publish(CHUNK, 1)
        limit[0] = 3


def test_depth_counts_across_buses():
    """A circle between two buses is a circle."""
    one, two = EventBus(max_depth=10), EventBus(max_depth=10)
    one.subscribe(CHUNK, lambda event: two.publish(CHUNK))
    two.subscribe(CHUNK, lambda event: one.publish(CHUNK))
    with pytest.raises(PublishDepthError):
        one.publish(CHUNK)


@both_ways
def test_a_task_that_outlives_the_dispatch_has_its_cause_but_not_its_depth(nested):
    """An agent that goes on in the background may publish for ever: it is caused by an event, not nested in it."""

    async def main() -> EventBus:
        bus = EventBus(nested=nested, max_depth=3)
        tasks: list[asyncio.Task[None]] = []

        async def go_on() -> None:
            for _ in range(10):
                await asyncio.sleep(0)
                bus.publish(DONE)

        def start(event: Event[Any]) -> None:
            tasks.append(asyncio.ensure_future(go_on()))

        bus.subscribe(CHUNK, start)
        bus.subscribe(DONE, lambda event: None)
        bus.publish(CHUNK)
        await tasks[0]
        return bus

    bus = asyncio.run(main())
    first, *others = bus.history
    assert len(others) == 10
    assert {event.parent_id for event in others} == {first.id}


@both_ways
def test_a_chain_of_tasks_never_gets_too_deep(nested):
    """Each task starts the next by an event: long, but never deep."""

    async def main() -> int:
        bus = EventBus(nested=nested, max_depth=5)
        finished = asyncio.Event()

        async def step(event: Event[Any]) -> None:
            if event.data == 50:
                finished.set()
                return
            await asyncio.sleep(0)
            bus.publish(CHUNK, event.data + 1)

        bus.subscribe(CHUNK, step)
        bus.publish(CHUNK, 1)
        await asyncio.wait_for(finished.wait(), PATIENCE)
        await bus.join()
        return len(bus.history)

    assert asyncio.run(main()) == 50


def test_a_queued_publish_in_a_thread_started_by_a_handler_does_not_wait_for_that_handler():
    """A turn belongs to its thread: another one that a handler waits for delivers at once, without a deadlock."""
    bus = EventBus(nested="queued")
    order: list[str] = []

    def handle(event: Event[Any]) -> None:
        thread = threading.Thread(target=contextvars.copy_context().run, args=(bus.publish, DONE), daemon=True)
        thread.start()
        thread.join(PATIENCE)
        order.append("handled")

    bus.subscribe(CHUNK, handle)
    bus.subscribe(DONE, lambda event: order.append("thread"))
    first = bus.publish(CHUNK)
    assert order == ["thread", "handled"]
    assert bus.history[-1].parent_id == first


def test_queued_publishes_of_two_buses_keep_their_own_turns():
    """What a handler publishes on another bus is delivered there at once; what that publishes back waits."""
    one, two = EventBus(nested="queued"), EventBus(nested="queued")
    order: list[str] = []

    def handle(event: Event[Any]) -> None:
        two.publish(CHUNK)
        order.append("one handled")

    one.subscribe(CHUNK, handle)
    one.subscribe(DONE, lambda event: order.append("one done"))
    two.subscribe(CHUNK, lambda event: order.append("two handled"))
    two.subscribe(CHUNK, lambda event: one.publish(DONE))
    one.publish(CHUNK)
    assert order == ["two handled", "one handled", "one done"]


def test_queued_publishes_of_awaited_handlers_wait_their_turn():
    """Under ``publish_async`` what a handler publishes is delivered once all handlers had the first event."""

    async def main() -> list[str]:
        bus = EventBus(nested="queued")
        order: list[str] = []

        async def handle(event: Event[Any]) -> None:
            await bus.publish_async(DONE)
            bus.publish(DONE)
            order.append("first")

        async def done(event: Event[Any]) -> None:
            await asyncio.sleep(0)
            order.append("done")

        bus.subscribe(CHUNK, handle)
        bus.subscribe(CHUNK, lambda event: order.append("second"))
        bus.subscribe(DONE, done)
        await bus.publish_async(CHUNK)
        return order

    assert asyncio.run(main()) == ["first", "second", "done", "done"]


def test_a_publish_after_an_error_at_depth_is_at_the_top_again():
    """However a dispatch ended, what follows has no parent."""
    bus = EventBus()
    scope = ScopedEventBus(parent=bus, scope_name="agent")
    for error in (ValueError, KeyboardInterrupt):

        def fail(event: Event[Any], error: type[BaseException] = error) -> None:
            raise error

        token = scope.subscribe(CHUNK, fail)
        with contextlib.suppress(KeyboardInterrupt):
            scope.publish(CHUNK)
        token()
        scope.publish(DONE)
        assert scope.history[-1].parent_id is None


def test_a_task_that_outlives_its_dispatch_does_not_wait_for_those_around_it():
    """What it publishes on a queued bus is delivered at once, though a handler further out is still at work there."""

    async def main() -> list[str]:
        outer, inner, order = EventBus(nested="queued"), EventBus(), []
        inner_is_over, done = asyncio.Event(), asyncio.Event()
        tasks: list[asyncio.Task[None]] = []

        async def later() -> None:
            await inner_is_over.wait()
            outer.publish(DONE)
            order.append("published")
            done.set()

        async def handle(event: Event[Any]) -> None:
            inner.publish(CHUNK)
            inner_is_over.set()
            await done.wait()
            order.append("handled")

        inner.subscribe(CHUNK, lambda event: tasks.append(asyncio.ensure_future(later())))
        outer.subscribe(CHUNK, handle)
        outer.subscribe(DONE, lambda event: order.append("delivered"))
        await asyncio.wait_for(outer.publish_async(CHUNK), PATIENCE)
        return order

    assert asyncio.run(main()) == ["delivered", "published", "handled"]


def test_who_waits_for_the_lock_asks_again_and_never_blocks(monkeypatch):
    """A thread that blocked would get the lock without the interpreter; pauses double up to a millisecond."""
    slept: list[float] = []

    class Taken:
        asked: list[bool] = []

        def acquire(self, blocking: bool = True) -> bool:
            self.asked.append(blocking)
            return len(self.asked) == 10

    monkeypatch.setattr(dispatch, "sleep", slept.append)
    dispatch.wait_for(Taken())
    assert Taken.asked == [False] * 10
    assert slept == pytest.approx([*(1e-5 * 2**n for n in range(7)), 1e-3, 1e-3, 1e-3])
