"""Waiting for an event and streaming events: who is woken, when it ends, and what is left behind."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from atlas_lab import BusClosedError, Event, EventBus, EventType, NoEventLoopError, ScopedEventBus, waiting
from atlas_lab.testing.contract.workers import PATIENCE

CHUNK = EventType.STREAM_CHUNK
DONE = EventType.STREAM_COMPLETED

T = TypeVar("T")


def run(main: Awaitable[T]) -> T:
    """Run a coroutine, and give up on one that hangs."""

    async def limited() -> T:
        return await asyncio.wait_for(main, PATIENCE)

    return asyncio.run(limited())


async def settle() -> None:
    """Let callbacks that are due run."""
    for _ in range(3):
        await asyncio.sleep(0)


@dataclass
class Chunk:
    text: str


# -- wait_for


def test_wait_for_gives_the_next_event():
    """It listens from the call on, not from the await, and to one event only."""

    async def main() -> None:
        bus = EventBus()
        bus.publish(CHUNK, "before")
        wait = bus.wait_for(CHUNK)
        bus.publish(DONE, "other")
        bus.publish(CHUNK, "first")
        bus.publish(CHUNK, "second")
        event = await wait
        assert (event.data, event.seq) == ("first", 3)
        assert bus.subscriptions() == []

    run(main())


@pytest.mark.parametrize("types", [None, [CHUNK, DONE], {DONE}])
def test_wait_for_takes_what_subscribe_takes(types):
    """One type, several, or None for every type."""

    async def main() -> None:
        bus = EventBus()
        wait = bus.wait_for(types)
        bus.publish(DONE)
        assert (await wait).type is DONE

    run(main())


def test_wait_for_takes_an_iterator_of_types():
    """What can be read only once is read only once."""

    async def main() -> None:
        bus = EventBus()
        wait = bus.wait_for(one for one in (CHUNK, DONE))
        bus.publish(DONE)
        assert (await wait).type is DONE

    run(main())


def test_wait_for_goes_by_condition_and_source():
    """Events that do not fit are let by, and waiting goes on."""

    async def main() -> None:
        bus = EventBus()
        wait = bus.wait_for(CHUNK, where=lambda event: event.data > 1, source="model")
        for data, source in ((1, "model"), (2, "other"), (3, "model")):
            bus.publish(CHUNK, data, source)
        assert (await wait).data == 3

    run(main())


def test_wait_for_goes_on_after_a_condition_that_fails():
    """An error in `where` is a handler error; the next event that fits ends the wait."""

    async def main() -> None:
        bus = EventBus()
        wait = bus.wait_for(CHUNK, where=lambda event: 1 // event.data)
        bus.publish(CHUNK, 0)
        bus.publish(CHUNK, 1)
        assert (await wait).data == 1
        assert len(bus.history.select(EventType.HANDLER_ERROR)) == 1

    run(main())


@pytest.mark.parametrize("types, named", [(CHUNK, "STREAM_CHUNK"), ([CHUNK, DONE], "STREAM_CHUNK, "), (None, "any")])
def test_wait_for_gives_up_after_its_timeout(types, named):
    """The TimeoutError says what was waited for and how long; the subscription is gone."""

    async def main() -> None:
        bus = EventBus()
        with pytest.raises(TimeoutError, match=f"{named}.*0.01 s"):
            await bus.wait_for(types, timeout=0.01)
        await settle()
        assert bus.subscriptions() == []

    run(main())


def test_wait_for_that_was_served_in_time_stays_so():
    """The timer of a wait that ended does no harm later."""

    async def main() -> None:
        bus = EventBus()
        wait = bus.wait_for(CHUNK, timeout=0.01)
        bus.publish(CHUNK, 1)
        await asyncio.sleep(0.02)
        assert (await wait).data == 1

    run(main())


def test_wait_for_an_event_of_another_thread():
    """A publish in any thread wakes the waiting coroutine."""

    async def main() -> None:
        bus = EventBus()
        wait = bus.wait_for(CHUNK)
        await asyncio.to_thread(bus.publish, CHUNK, "there")
        assert (await wait).data == "there"

    run(main())


def test_many_threads_and_one_wait():
    """However many publish at once, the wait gets one event, and nothing fails."""

    async def main() -> None:
        bus = EventBus(on_error="raise")
        wait = bus.wait_for(CHUNK)
        await asyncio.gather(*[asyncio.to_thread(bus.publish, CHUNK, number) for number in range(8)])
        assert (await wait).type is CHUNK
        assert bus.subscriptions() == []

    run(main())


def test_closing_the_bus_ends_the_wait():
    """Who waits when the bus is closed, here or in another thread, gets `BusClosedError`."""

    async def main() -> None:
        for close in (lambda bus: asyncio.sleep(0, bus.close()), lambda bus: asyncio.to_thread(bus.close)):
            bus = EventBus()
            wait = bus.wait_for(CHUNK)
            await close(bus)
            with pytest.raises(BusClosedError, match="STREAM_CHUNK.*closed"):
                await wait

    run(main())


def test_an_event_before_closing_is_not_lost():
    """A wait that got its event has it, also if the bus was closed before the await."""

    async def main() -> None:
        bus = EventBus()
        wait = bus.wait_for(CHUNK)
        bus.publish(CHUNK, 1)
        bus.close()
        assert (await wait).data == 1

    run(main())


def test_closing_a_parent_ends_the_waits_of_its_scopes():
    """No coroutine waits for ever on a scope whose parent was closed."""

    async def main() -> None:
        bus = EventBus()
        scope = ScopedEventBus(parent=bus, scope_name="agent")
        wait = scope.wait_for(CHUNK)
        bus.close()
        with pytest.raises(BusClosedError):
            await wait

    run(main())


def test_a_cancelled_wait_leaves_no_subscription():
    """Cancelling the task that waits unsubscribes."""

    async def main() -> None:
        bus = EventBus()

        async def wait() -> None:
            await bus.wait_for(CHUNK)

        task = asyncio.ensure_future(wait())
        await settle()
        assert len(bus.subscriptions()) == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await settle()
        assert bus.subscriptions() == []

    run(main())


def test_a_wait_whose_loop_has_ended_does_no_harm():
    """An event that comes too late for anybody ends the subscription and fails nobody."""
    bus = EventBus(on_error="raise")

    async def main() -> None:
        bus.wait_for(CHUNK)

    run(main())
    bus.publish(CHUNK)
    assert bus.subscriptions() == []
    bus.close()


def test_waiting_without_a_loop_says_so():
    """`NoEventLoopError` tells what needs a loop and how to get one; nothing is subscribed."""
    bus = EventBus()
    with pytest.raises(NoEventLoopError, match=r"STREAM_CHUNK needs a running event loop.*asyncio\.run"):
        bus.wait_for(CHUNK)
    assert bus.subscriptions() == []


# -- stream


def test_a_stream_gives_the_events_from_now_on():
    """In order, from the moment it is made until the bus is closed."""

    async def main() -> list[Any]:
        bus = EventBus()
        bus.publish(CHUNK, 0)
        stream = bus.stream(CHUNK)
        for data in (1, 2):
            bus.publish(CHUNK, data)
            bus.publish(DONE, "other")
        bus.close()
        return [event.data async for event in stream]

    assert run(main()) == [1, 2]


def test_a_stream_waits_for_the_next_event():
    """A reader that is ahead is woken by an event of its own loop and of another thread."""

    async def main() -> list[Any]:
        bus = EventBus()
        got: list[Any] = []
        stream = bus.stream()

        async def read() -> None:
            async for event in stream:
                got.append(event.data)  # noqa: PERF401 - looked at while reading goes on

        reader = asyncio.ensure_future(read())
        await settle()
        bus.publish(CHUNK, 1)
        await settle()
        assert got == [1]
        await asyncio.to_thread(bus.publish, DONE, 2)
        await asyncio.to_thread(bus.close)
        await reader
        return got

    assert run(main()) == [1, 2]


def test_a_stream_of_events_from_many_threads_loses_nothing():
    """Every event arrives once, those of one thread in order."""

    async def main() -> list[Any]:
        bus = EventBus(history_limit=0)
        stream = bus.stream(CHUNK)
        got: list[Any] = []

        def work(number: int) -> None:
            for count in range(300):
                bus.publish(CHUNK, (number, count))

        async def read() -> None:
            got.extend([event.data async for event in stream])

        reader = asyncio.ensure_future(read())
        await asyncio.gather(*[asyncio.to_thread(work, number) for number in range(4)])
        bus.close()
        await reader
        return got

    got = run(main())
    assert len(got) == 1200
    for number in range(4):
        assert [count for one, count in got if one == number] == list(range(300))


def test_a_limited_stream_keeps_the_latest_and_counts_the_rest():
    """Unread events beyond the limit make room, oldest first."""

    async def main() -> None:
        bus = EventBus()
        stream = bus.stream(CHUNK, limit=2)
        for data in range(5):
            bus.publish(CHUNK, data)
        assert stream.dropped == 3
        bus.close()
        assert [event.data async for event in stream] == [3, 4]
        assert stream.dropped == 3

    run(main())


def test_a_stream_without_a_limit_drops_nothing():
    """By default everything is kept until it is read."""

    async def main() -> None:
        bus = EventBus(history_limit=0)
        stream = bus.stream(CHUNK)
        for data in range(3000):
            bus.publish(CHUNK, data)
        bus.close()
        assert len([event async for event in stream]) == 3000 and stream.dropped == 0

    run(main())


def test_a_stream_takes_conditions_source_and_type():
    """What `subscribe` offers restricts a stream too, and payloads arrive converted."""

    async def main() -> list[Chunk]:
        bus = EventBus()
        stream = bus.stream(CHUNK, data_type=Chunk, source="model", where=lambda event: len(event.data.text) > 1)
        for text, source in (("a", "model"), ("bb", "other"), ("cc", "model")):
            bus.publish(CHUNK, {"text": text}, source)
        bus.close()
        return [event.data async for event in stream]

    assert run(main()) == [Chunk("cc")]


def test_closing_a_stream_ends_it_and_its_subscription():
    """What came before is still read; the bus goes on."""

    async def main() -> None:
        bus = EventBus()
        stream = bus.stream(CHUNK)
        bus.publish(CHUNK, 1)
        stream.close()
        stream.close()
        bus.publish(CHUNK, 2)
        assert [event.data async for event in stream] == [1]
        assert bus.subscriptions() == []

    run(main())


def test_closing_a_stream_wakes_its_reader():
    """A reader that waits for the next event learns that none will come."""

    async def main() -> None:
        bus = EventBus()
        stream = bus.stream(CHUNK)

        async def read() -> list[Any]:
            return [event async for event in stream]

        reader = asyncio.ensure_future(read())
        await settle()
        stream.close()
        assert await reader == []

    run(main())


def test_a_stream_ends_with_its_block():
    """``async with`` closes it."""

    async def main() -> None:
        bus = EventBus()
        async with bus.stream(CHUNK) as stream:
            bus.publish(CHUNK, 1)
            assert (await anext(stream)).data == 1
            assert len(bus.subscriptions()) == 1
        assert bus.subscriptions() == []

    run(main())


def test_a_loop_that_is_left_ends_the_subscription():
    """The bus does not keep a stream that nobody reads any more."""

    async def main() -> None:
        bus = EventBus()
        bus.subscribe(CHUNK, lambda event: None)

        async def read_one() -> Event[Any]:
            async for event in bus.stream(CHUNK):
                return event
            raise AssertionError

        reader = asyncio.ensure_future(read_one())
        await settle()
        assert len(bus.subscriptions()) == 2
        bus.publish(CHUNK, 1)
        assert (await reader).data == 1
        gc.collect()
        assert len(bus.subscriptions()) == 1
        bus.publish(CHUNK, 2)

    run(main())


def test_a_stream_that_is_dropped_unread_is_collected():
    """Neither the bus nor the events that came hold it."""
    bus = EventBus()
    stream = bus.stream(CHUNK)
    reference = weakref.ref(stream)
    bus.publish(CHUNK)
    del stream
    gc.collect()
    assert reference() is None and bus.subscriptions() == []


def test_two_readers_of_one_stream_are_refused():
    """The second is told to take a stream of its own; the first goes on."""

    async def main() -> None:
        bus = EventBus()
        stream = bus.stream(CHUNK)
        first = asyncio.ensure_future(anext(stream))
        await settle()
        with pytest.raises(RuntimeError, match="read already"):
            await anext(stream)
        bus.publish(CHUNK, 1)
        assert (await first).data == 1

    run(main())


def test_two_streams_see_the_same_events():
    """Every stream has its own place and speed."""

    async def main() -> None:
        bus = EventBus()
        streams = [bus.stream(CHUNK), bus.stream(CHUNK)]
        for data in (1, 2):
            bus.publish(CHUNK, data)
        bus.close()
        assert [[event.data async for event in stream] for stream in streams] == [[1, 2], [1, 2]]

    run(main())


def test_a_reader_that_was_cancelled_can_be_replaced():
    """Reading goes on where it was, and no event is lost."""

    async def main() -> None:
        bus = EventBus()
        stream = bus.stream(CHUNK)
        reader = asyncio.ensure_future(anext(stream))
        await settle()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        bus.publish(CHUNK, 1)
        assert (await anext(stream)).data == 1

    run(main())


def test_a_stream_can_be_made_without_a_loop_and_read_on_one():
    """Only reading needs a loop."""
    bus = EventBus()
    stream = bus.stream(CHUNK)
    bus.publish(CHUNK, 1)
    bus.close()

    async def main() -> list[Any]:
        return [event.data async for event in stream]

    assert run(main()) == [1]


@pytest.mark.parametrize("late", ["an event", "closing the bus", "closing the stream"])
def test_reading_misses_nothing_that_comes_between_the_look_and_the_wait(late, monkeypatch):
    """What another thread does just before a reader begins to wait does not leave it asleep."""
    bus = EventBus()
    stream = bus.stream(CHUNK)

    class LateWaiter(waiting.Waiter):
        """Begins to wait when something has just happened."""

        def __init__(self, purpose: str) -> None:
            {"an event": lambda: bus.publish(CHUNK, 1), "closing the bus": bus.close}.get(late, stream.close)()
            super().__init__(purpose)

    async def read() -> list[Any]:
        return [(await anext(stream)).data]

    monkeypatch.setattr(waiting, "Waiter", LateWaiter)
    if late == "an event":
        assert run(read()) == [1]
    else:
        with pytest.raises(StopAsyncIteration):
            run(anext(stream))


class ClosingBus(EventBus):
    """A bus that another thread closes right after somebody subscribed."""

    def subscribe(self, *args: Any, **options: Any) -> Any:
        token = super().subscribe(*args, **options)
        self.close()
        return token


def test_a_wait_that_begins_while_the_bus_is_closed_ends():
    """A bus closed between the subscription and the wait leaves nobody waiting for ever."""

    async def main() -> None:
        with pytest.raises(BusClosedError):
            await asyncio.wait_for(ClosingBus().wait_for(CHUNK), PATIENCE)

    run(main())


def test_a_stream_that_begins_while_the_bus_is_closed_ends():
    """The same for a stream: its reader learns that nothing will come."""

    async def main() -> None:
        stream = ClosingBus().stream(CHUNK)
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(anext(stream), PATIENCE)

    run(main())


def test_a_wait_that_cannot_be_subscribed_leaves_nothing_behind(caplog):
    """A bus closed before the subscription raises at the call, and no future complains later."""

    class ClosedFirst(EventBus):
        def subscribe(self, *args: Any, **options: Any) -> Any:
            self.close()
            return super().subscribe(*args, **options)

    async def main() -> None:
        with pytest.raises(BusClosedError):
            ClosedFirst().wait_for(CHUNK)
        gc.collect()

    gc.collect()
    caplog.clear()  # what earlier tests left behind may have its say here
    run(main())
    assert caplog.records == []
