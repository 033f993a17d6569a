"""Async handlers under a plain publish: started, kept until done, awaited by `join`."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from atlas_lab import Event, EventBus, EventType, NoEventLoopError
from atlas_lab.testing.contract.workers import PATIENCE

CHUNK = EventType.STREAM_CHUNK
DONE = EventType.STREAM_COMPLETED

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine, and give up on one that hangs."""

    async def limited() -> T:
        return await asyncio.wait_for(main, PATIENCE)

    return asyncio.run(limited())


def test_a_plain_publish_starts_async_handlers_and_goes_on():
    """The handler has not begun when `publish` returns, is counted as running, and is done after `join`."""

    async def main() -> None:
        bus = EventBus()
        got: list[Any] = []

        async def slow(event: Event[Any]) -> None:
            await asyncio.sleep(0)
            got.append(event.data)

        token = bus.subscribe(CHUNK, slow)
        bus.publish(CHUNK, 1)
        bus.publish(CHUNK, 2)
        assert (got, bus.stats().running, token.calls) == ([], 2, 2)
        await bus.join()
        assert (sorted(got), bus.stats().running) == ([1, 2], 0)

    run(main())


def test_join_with_nothing_running_returns():
    """There is nothing to wait for."""

    async def main() -> None:
        bus = EventBus()
        await bus.join()

    run(main())


def test_join_waits_for_what_handlers_start_in_turn():
    """A chain of async handlers is done as a whole."""

    async def main() -> None:
        bus = EventBus()
        got: list[Any] = []

        async def again(event: Event[Any]) -> None:
            await asyncio.sleep(0)
            got.append(event.data)
            if event.data:
                bus.publish(CHUNK, event.data - 1)

        bus.subscribe(CHUNK, again)
        bus.publish(CHUNK, 3)
        await bus.join()
        assert got == [3, 2, 1, 0]

    run(main())


def test_a_handler_may_join_the_others():
    """It waits for all but itself."""

    async def main() -> None:
        bus = EventBus()
        order: list[str] = []

        async def slow(event: Event[Any]) -> None:
            for _ in range(5):
                await asyncio.sleep(0)
            order.append("slow")

        async def joining(event: Event[Any]) -> None:
            await bus.join()
            order.append("joined")

        bus.subscribe(CHUNK, joining)
        bus.subscribe(CHUNK, slow)
        bus.publish(CHUNK)
        await bus.join()
        assert order == ["slow", "joined"]

    run(main())


def test_a_running_handler_is_not_collected():
    """The bus holds on to what it started, whatever the garbage collector does."""

    async def main() -> None:
        bus = EventBus()
        go_on, got = asyncio.Event(), []

        async def slow(event: Event[Any]) -> None:
            await go_on.wait()
            got.append(1)

        bus.subscribe(CHUNK, slow)
        bus.publish(CHUNK)
        await asyncio.sleep(0)
        gc.collect()
        go_on.set()
        await bus.join()
        assert got == [1]

    run(main())


def test_a_publish_in_another_thread_starts_handlers_on_the_loop_of_their_subscription():
    """The handler runs in the loop's thread; its cause is the event."""

    async def main() -> None:
        bus = EventBus()
        threads: list[int] = []

        async def slow(event: Event[Any]) -> None:
            threads.append(threading.get_ident())
            bus.publish(DONE)

        bus.subscribe(CHUNK, slow)
        event_id = await asyncio.to_thread(bus.publish, CHUNK)
        await bus.join()
        assert threads == [threading.get_ident()]
        assert bus.history[-1].parent_id == event_id

    run(main())


def test_a_publish_on_another_loop_starts_handlers_there():
    """A handler runs on the loop of who publishes, if there is one."""
    bus = EventBus()
    loops: list[Any] = []

    async def main() -> None:
        async def note(event: Event[Any]) -> None:
            loops.append(asyncio.get_running_loop())

        bus.subscribe(CHUNK, note)

        async def publish() -> Any:
            bus.publish(CHUNK)
            await bus.join()
            return asyncio.get_running_loop()

        other = await asyncio.to_thread(run, publish())
        assert loops == [other] and other is not asyncio.get_running_loop()

    run(main())


def test_without_any_loop_an_async_handler_fails_by_the_policy(caplog):
    """Published when its loop has ended and none is running, it is a handler error that says what to do."""
    bus = EventBus()
    got: list[Any] = []

    async def main() -> None:
        async def slow(event: Event[Any]) -> None:
            got.append(event)

        bus.subscribe(CHUNK, slow)

    run(main())
    bus.subscribe(CHUNK, got.append)
    bus.publish(CHUNK)
    assert len(got) == 1
    (report,) = bus.history.select(EventType.HANDLER_ERROR)
    assert report.data["error_type"] == "NoEventLoopError"
    assert "publish_async" in report.data["message"]


def test_subscribing_an_async_handler_without_a_loop_says_so():
    """The error names the handler, and nothing is subscribed."""

    async def slow(event: Event[Any]) -> None:
        pass

    bus = EventBus()
    with pytest.raises(NoEventLoopError, match="slow"):
        bus.subscribe(CHUNK, slow)
    assert bus.subscriptions() == []


def test_a_handler_cancelled_before_it_began_is_done():
    """A loop that ends cancels what it has not begun; no coroutine is left and nothing counts as running."""
    bus = EventBus()
    got: list[Any] = []

    async def main() -> None:
        async def slow(event: Event[Any]) -> None:
            got.append(1)

        bus.subscribe(CHUNK, slow)
        bus.publish(CHUNK)

    run(main())
    gc.collect()
    assert bus.stats().running == 0 and got in ([], [1])


def test_closing_the_bus_lets_running_handlers_finish():
    """What was started is not taken back, and `join` still waits for it."""

    async def main() -> None:
        bus = EventBus()
        got: list[Any] = []

        async def slow(event: Event[Any]) -> None:
            await asyncio.sleep(0)
            got.append(event.data)

        bus.subscribe(CHUNK, slow)
        bus.publish(CHUNK, 1)
        bus.close()
        await bus.join()
        assert got == [1]

    run(main())


@pytest.mark.parametrize("option", ["where", "source", "once", "data_type"])
def test_an_async_handler_whose_filter_lets_an_event_by_starts_nothing(option):
    """Filters decide before anything is started; what does not reach the handler is no call."""

    async def main() -> None:
        bus = EventBus()
        got: list[Any] = []

        async def slow(event: Event[Any]) -> None:
            got.append(event.data)

        options: dict[str, Any] = {
            "where": {"where": lambda event: event.data == 1},
            "source": {"source": "model"},
            "once": {"once": True},
            "data_type": {"data_type": int},
        }
        token = bus.subscribe(CHUNK, slow, **options[option])
        bus.publish(CHUNK, 1, "model")
        bus.publish(CHUNK, "x", "other")
        await bus.join()
        assert got == [1] and token.calls == 1

    run(main())


def test_errors_of_tasks_that_go_in_a_circle_are_bounded(caplog):
    """When reporting a task's error publishes what fails again, the depth ends it, and the log says so."""

    async def main() -> int:
        bus = EventBus(max_depth=10)

        async def fail(event: Event[Any]) -> None:
            raise ValueError

        bus.subscribe(CHUNK, fail)
        token = bus.subscribe(DONE, lambda event: 1 // 0)
        bus.subscribe(EventType.HANDLER_ERROR, lambda event: bus.publish(DONE))
        bus.publish(CHUNK)
        await bus.join()
        assert bus.stats().running == 0
        return token.calls

    assert 1 < run(main()) <= 10
    assert "circle" in caplog.text


def test_join_does_not_wait_for_a_loop_that_was_closed():
    """A handler left behind on a loop that was closed by force can never be done, and keeps nobody from joining."""
    bus = EventBus()
    loop = asyncio.new_event_loop()

    async def leave_behind() -> asyncio.Task[Any]:
        async def slow(event: Event[Any]) -> None:
            await asyncio.Event().wait()

        bus.subscribe(CHUNK, slow)
        bus.publish(CHUNK)
        await asyncio.sleep(0)
        (left,) = asyncio.all_tasks() - {asyncio.current_task()}
        return left

    left = loop.run_until_complete(leave_behind())
    loop.close()
    assert not left.done()
    run(bus.join())
    left._log_destroy_pending = False
