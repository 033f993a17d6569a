"""Promise 16: async handlers."""

from __future__ import annotations

import asyncio
import functools
import gc
import threading
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from atlas_lab import Event, EventType, HandlerErrors, NoEventLoopError

from .making import MakesBuses
from .workers import PATIENCE, in_thread

A = EventType.AGENT_STARTED
B = EventType.AGENT_TASK_ASSIGNED
HANDLER_ERROR = EventType.HANDLER_ERROR

both_modes = pytest.mark.parametrize("nested", ["immediate", "queued"])


class Owner:
    def __init__(self, got: list[Any]) -> None:
        self.got = got

    async def handle(self, event: Event[Any]) -> None:
        await asyncio.sleep(0)
        self.got.append(event.data)

    async def __call__(self, event: Event[Any]) -> None:
        await self.handle(event)


def make_handler(got: list[Any]) -> Callable[[Event[Any]], Awaitable[None]]:
    async def handler(event: Event[Any]) -> None:
        await asyncio.sleep(0)
        got.append(event.data)

    return handler


KINDS: dict[str, Callable[[list[Any]], Any]] = {
    "function": make_handler,
    "method": lambda got: Owner(got).handle,
    "callable object": Owner,
    "partial": lambda got: functools.partial(make_handler(got)),
}


class CoroutinesContract(MakesBuses):
    # 16. Under publish_async

    @both_modes
    def test_16_publish_async_awaits_in_order(self, nested):
        """publish_async awaits async handlers one after the other, in order with the plain ones."""

        async def main() -> list[str]:
            bus, steps = self.make_bus(nested=nested), []

            def slow(name: str) -> Any:
                async def handler(event: Event[Any]) -> None:
                    steps.append(f"{name} begins")
                    for _ in range(3):
                        await asyncio.sleep(0)
                    steps.append(f"{name} ends")

                return handler

            bus.subscribe(A, slow("first"))
            bus.subscribe(A, lambda event: steps.append("plain"))
            bus.subscribe(A, slow("second"))
            bus.subscribe(A, slow("early"), priority=1)
            await bus.publish_async(A)
            steps.append("published")
            return steps

        assert asyncio.run(main()) == [
            "early begins", "early ends", "first begins", "first ends", "plain", "second begins", "second ends",
            "published",
        ]  # fmt: skip

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("awaited", [True, False], ids=["publish_async", "publish"])
    @pytest.mark.parametrize("way", ["subscribe", "on"])
    def test_16_every_kind_of_async_handler_works(self, kind, awaited, way):
        """Async functions, methods, callable objects and partials are run to their end."""

        async def main() -> list[Any]:
            bus, got = self.make_bus(), []
            owner = Owner(got)
            handler = owner.handle if kind == "method" else KINDS[kind](got)
            _ = bus.subscribe(A, handler) if way == "subscribe" else bus.on(A)(handler)
            if awaited:
                await bus.publish_async(A, 1)
            else:
                bus.publish(A, 1)
                await bus.join()
            return got

        assert asyncio.run(main()) == [1]

    def test_16_publish_async_lets_others_run(self):
        """While a handler waits, other tasks run and can publish; each publish keeps its own order."""

        async def main() -> list[Any]:
            bus, steps = self.make_bus(), []

            async def handler(event: Event[Any]) -> None:
                steps.append((event.data, "begins"))
                await asyncio.sleep(0)
                steps.append((event.data, "ends"))

            bus.subscribe(A, handler)
            await asyncio.gather(bus.publish_async(A, 1), bus.publish_async(A, 2))
            return steps

        steps = asyncio.run(main())
        assert steps[:2] == [(1, "begins"), (2, "begins")]
        assert sorted(steps) == [(1, "begins"), (1, "ends"), (2, "begins"), (2, "ends")]

    @both_modes
    def test_16_publish_async_inside_an_async_handler(self, nested):
        """A nested publish_async is delivered as the bus delivers nested events, and all is done at the end."""

        async def main() -> list[str]:
            bus, steps = self.make_bus(nested=nested), []

            async def outer(event: Event[Any]) -> None:
                await bus.publish_async(B)
                steps.append("outer ends")

            async def inner(event: Event[Any]) -> None:
                await asyncio.sleep(0)
                steps.append("inner ends")

            bus.subscribe(A, outer)
            bus.subscribe(B, inner)
            await bus.publish_async(A)
            return steps

        expected = ["inner ends", "outer ends"]
        assert asyncio.run(main()) == (expected if nested == "immediate" else expected[::-1])

    def test_16_an_error_in_an_awaited_handler_stops_nobody(self):
        """Under publish_async, handlers after one that failed are awaited, and the error is reported."""

        async def main() -> None:
            bus, got = self.make_bus(), []

            async def fail(event: Event[Any]) -> None:
                await asyncio.sleep(0)
                raise LookupError("late")

            failing = bus.subscribe(A, fail)
            bus.subscribe(A, make_handler(got))
            event_id = await bus.publish_async(A, 1)
            assert got == [1]
            report = bus.history[-1]
            assert (report.type, report.data["error_type"], report.parent_id) == (
                HANDLER_ERROR,
                "LookupError",
                event_id,
            )
            assert (failing.calls, failing.errors) == (1, 1)

        asyncio.run(main())

    def test_16_publish_async_raises_under_raise(self):
        """Under on_error="raise", publish_async raises the errors of plain and async handlers once all ran."""

        async def main() -> None:
            bus, got = self.make_bus(on_error="raise"), []

            async def fail(event: Event[Any]) -> None:
                raise LookupError("async")

            bus.subscribe(A, fail)
            bus.subscribe(A, lambda event: 1 / 0)
            bus.subscribe(A, make_handler(got))
            with pytest.raises(HandlerErrors) as caught:
                await bus.publish_async(A, 1)
            assert [type(error) for error in caught.value.exceptions] == [LookupError, ZeroDivisionError]
            assert got == [1]

        asyncio.run(main())

    # 16. Under publish

    def test_16_publish_schedules_and_join_waits(self):
        """`publish` returns before async handlers began; join returns when they are done."""

        async def main() -> None:
            bus, got = self.make_bus(), []
            subscription = bus.subscribe(A, make_handler(got))
            bus.publish(A, 1)
            assert (got, bus.stats().running) == ([], 1)
            await bus.join()
            assert (got, bus.stats().running) == ([1], 0)
            assert subscription.calls == 1

        asyncio.run(main())

    def test_16_scheduled_handlers_start_in_order(self):
        """Handlers that publish scheduled begin in the order of events, and by priority for each."""

        async def main() -> list[Any]:
            bus, started = self.make_bus(), []

            def starter(name: str) -> Any:
                async def handler(event: Event[Any]) -> None:
                    started.append((event.data, name))

                return handler

            bus.subscribe(A, starter("second"))
            bus.subscribe(A, starter("first"), priority=1)
            for data in (1, 2):
                bus.publish(A, data)
            await bus.join()
            return started

        assert asyncio.run(main()) == [(1, "first"), (1, "second"), (2, "first"), (2, "second")]

    def test_16_scheduled_handlers_are_kept_until_done(self):
        """A scheduled handler is not lost to the garbage collector while it waits for something only it refers to."""

        async def main() -> list[Any]:
            bus, got, futures = self.make_bus(), [], []

            async def handler(event: Event[Any]) -> None:
                future = asyncio.get_running_loop().create_future()
                futures.append(weakref.ref(future))
                await future
                got.append(event.data)

            bus.subscribe(A, handler)
            bus.publish(A, 1)
            await asyncio.sleep(0)
            gc.collect()
            assert futures[0]() is not None, "the handler was collected"
            futures[0]().set_result(None)
            await bus.join()
            return got

        assert asyncio.run(main()) == [1]

    def test_16_join_waits_for_what_was_started_in_turn(self):
        """`join` also waits for the async handlers of events that async handlers publish."""

        async def main() -> list[Any]:
            bus, got = self.make_bus(), []

            async def go_on(event: Event[Any]) -> None:
                await asyncio.sleep(0)
                got.append(event.data)
                if event.data < 5:
                    bus.publish(A, event.data + 1)

            bus.subscribe(A, go_on)
            bus.publish(A, 1)
            await bus.join()
            return got

        assert asyncio.run(main()) == [1, 2, 3, 4, 5]

    def test_16_join_without_work_returns(self):
        """`join` on a bus where nothing runs returns, any number of times."""

        async def main() -> None:
            bus = self.make_bus()
            await asyncio.wait_for(bus.join(), PATIENCE)
            await asyncio.wait_for(bus.join(), PATIENCE)

        asyncio.run(main())

    def test_16_join_inside_an_async_handler_returns(self):
        """A handler that joins waits for the others, not for itself."""

        async def main() -> list[Any]:
            bus, got = self.make_bus(), []

            async def joining(event: Event[Any]) -> None:
                await bus.join()
                got.append("joined")

            bus.subscribe(A, joining)
            bus.subscribe(A, make_handler(got))
            bus.publish(A, "other")
            await asyncio.wait_for(bus.join(), PATIENCE)
            return got

        assert asyncio.run(main()) == ["other", "joined"]

    def test_16_an_error_in_a_scheduled_handler_is_reported(self):
        """A scheduled handler that fails is reported as any other, and join does not raise."""

        async def main() -> None:
            bus, got = self.make_bus(), []

            async def fail(event: Event[Any]) -> None:
                raise LookupError("later")

            failing = bus.subscribe(A, fail)
            bus.subscribe(A, make_handler(got))
            bus.subscribe(HANDLER_ERROR, make_handler(got))
            event_id = bus.publish(A, 1)
            await bus.join()
            report = bus.history[-1]
            assert (report.type, report.data["error_type"], report.parent_id) == (
                HANDLER_ERROR,
                "LookupError",
                event_id,
            )
            assert (failing.calls, failing.errors) == (1, 1)
            assert got == [1, report.data]

        asyncio.run(main())

    def test_16_a_thread_without_a_loop_schedules_on_the_subscribers_loop(self):
        """Published in a thread without a loop, an async handler runs on the loop where it was subscribed."""

        async def main() -> None:
            bus, got = self.make_bus(), []
            loop = asyncio.get_running_loop()

            async def handler(event: Event[Any]) -> None:
                await asyncio.sleep(0)
                got.append((event.data, asyncio.get_running_loop() is loop, threading.get_ident()))

            bus.subscribe(A, handler)
            for data in range(3):
                await asyncio.to_thread(in_thread, bus.publish, A, data)
            await asyncio.wait_for(bus.join(), PATIENCE)
            assert got == [(data, True, threading.get_ident()) for data in range(3)]
            assert bus.stats().running == 0

        asyncio.run(main())

    def test_16_a_loop_in_another_thread_runs_what_is_published_there(self):
        """Published where another loop runs, an async handler runs on that loop, and both can join."""

        async def main() -> None:
            bus, got = self.make_bus(), []

            async def handler(event: Event[Any]) -> None:
                await asyncio.sleep(0)
                got.append(asyncio.get_running_loop())

            async def elsewhere() -> asyncio.AbstractEventLoop:
                bus.publish(A)
                await bus.join()
                return asyncio.get_running_loop()

            bus.subscribe(A, handler)
            other = await asyncio.to_thread(lambda: asyncio.run(elsewhere()))
            await bus.join()
            assert got == [other]

        asyncio.run(main())

    # 16. Cancelling

    @both_modes
    def test_16_cancelling_publish_async_leaves_the_bus_usable(self, nested):
        """A cancelled publish_async raises CancelledError and calls nobody after; the bus goes on without a parent."""

        async def main() -> None:
            bus, got, waiting = self.make_bus(nested=nested), [], asyncio.Event()

            async def wait_for_ever(event: Event[Any]) -> None:
                if event.data == "cancel":
                    waiting.set()
                    await asyncio.Event().wait()

            first = bus.subscribe(A, wait_for_ever)
            later = bus.subscribe(A, make_handler(got))
            publishing = asyncio.create_task(bus.publish_async(A, "cancel"))
            await asyncio.wait_for(waiting.wait(), PATIENCE)
            publishing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await publishing
            assert (got, first.calls, later.calls) == ([], 1, 0)
            assert bus.stats().errors == 0
            await bus.publish_async(A, "next")
            assert got == ["next"]
            assert [event.parent_id for event in bus.history] == [None, None]

        asyncio.run(main())

    def test_16_a_timeout_around_publish_async_works(self):
        """asyncio.timeout ends a publish_async that takes too long, in the same task, and leaves no parent behind."""

        async def main() -> None:
            bus = self.make_bus()

            async def wait_for_ever(event: Event[Any]) -> None:
                await asyncio.Event().wait()

            bus.subscribe(A, wait_for_ever)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await bus.publish_async(A)
            bus.publish(B)
            assert [event.parent_id for event in bus.history] == [None, None]

        asyncio.run(main())

    def test_16_cancelling_what_was_scheduled_lets_join_return(self):
        """Scheduled handlers that are cancelled, before they began or while they wait, are done and no errors."""

        async def main() -> None:
            bus, began = self.make_bus(), asyncio.Event()

            async def wait_for_ever(event: Event[Any]) -> None:
                began.set()
                await asyncio.Event().wait()

            bus.subscribe(A, wait_for_ever)
            mine = asyncio.all_tasks()
            bus.publish(A)
            await asyncio.wait_for(began.wait(), PATIENCE)
            bus.publish(A)
            assert bus.stats().running == 2
            for task in asyncio.all_tasks() - mine:
                task.cancel()
            await asyncio.wait_for(bus.join(), PATIENCE)
            assert (bus.stats().running, bus.stats().errors) == (0, 0)

        asyncio.run(main())

    def test_16_a_loop_that_ends_takes_its_handlers_with_it(self):
        """Handlers still running when their loop ends are cancelled with it, and the bus goes on elsewhere."""
        bus, ended = self.make_bus(), []

        async def leave() -> None:
            async def wait_for_ever(event: Event[Any]) -> None:
                try:
                    await asyncio.Event().wait()
                finally:
                    ended.append(event.data)

            bus.subscribe(A, wait_for_ever, name="waiting")
            bus.publish(A, 1)
            await asyncio.sleep(0)

        async def come_back() -> list[Any]:
            got: list[Any] = []
            bus.subscribe(A, make_handler(got), name="waiting")
            bus.publish(A, 2)
            await asyncio.wait_for(bus.join(), PATIENCE)
            return got

        asyncio.run(leave())
        assert (ended, bus.stats().running) == ([1], 0)
        assert asyncio.run(come_back()) == [2]

    # 16. No loop

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("way", ["subscribe", "on"])
    def test_16_without_a_loop_subscribing_says_so(self, kind, way):
        """Subscribing an async handler where no loop runs is an error that names the handler and says what to do."""
        bus, owner = self.make_bus(), Owner([])
        handler = owner.handle if kind == "method" else KINDS[kind]([])
        with pytest.raises(NoEventLoopError, match="event loop") as caught:
            bus.subscribe(A, handler) if way == "subscribe" else bus.on(A)(handler)
        assert {"function": "handler", "method": "Owner.handle", "callable object": "Owner", "partial": "handler"}[
            kind
        ] in str(caught.value)
        assert "asyncio.run" in str(caught.value)
        assert bus.subscriptions() == []

    def test_16_a_loop_that_has_ended_is_a_handler_error(self):
        """Published when the subscriber's loop has ended, the event is a reported error of that handler, not a silence."""
        bus, got = self.make_bus(), []

        async def subscribe() -> Any:
            return bus.subscribe(A, make_handler(got))

        subscription = asyncio.run(subscribe())
        bus.subscribe(A, lambda event: got.append("plain"))
        bus.publish(A, 1)
        assert got == ["plain"]
        assert subscription.errors == 1
        assert bus.history[-1].data["error_type"] == "NoEventLoopError"
        gc.collect()  # a coroutine that was left behind would warn now

    # 16. Options

    @pytest.mark.parametrize("awaited", [True, False], ids=["publish_async", "publish"])
    def test_16_filters_work_for_async_handlers(self, awaited):
        """where, source, once and pause do for async handlers what they do for plain ones, calls counted exactly."""

        async def main() -> None:
            bus = self.make_bus()
            got: dict[str, list[Any]] = {name: [] for name in ("where", "source", "once", "paused")}
            subscriptions = {
                "where": bus.subscribe(A, make_handler(got["where"]), where=lambda event: event.data > 1),
                "source": bus.subscribe(A, make_handler(got["source"]), source="me"),
                "once": bus.subscribe(A, make_handler(got["once"]), once=True),
                "paused": bus.subscribe(A, make_handler(got["paused"])),
            }
            for data in (1, 2, 3):
                source = "me" if data == 2 else "you"
                (subscriptions["paused"].pause if data == 2 else subscriptions["paused"].resume)()
                if awaited:
                    await bus.publish_async(A, data, source)
                else:
                    bus.publish(A, data, source)
            await bus.join()
            assert got == {"where": [2, 3], "source": [2], "once": [1], "paused": [1, 3]}
            assert {name: one.calls for name, one in subscriptions.items()} == {
                "where": 2, "source": 1, "once": 1, "paused": 2,
            }  # fmt: skip

        asyncio.run(main())

    def test_16_an_async_handler_of_error_reports_is_awaited(self, caplog):
        """Under publish_async, async handlers of HANDLER_ERROR are awaited like any other."""

        async def main() -> list[str]:
            bus, got = self.make_bus(), []

            async def note(event: Event[Any]) -> None:
                await asyncio.sleep(0)
                got.append(event.data["error_type"])

            bus.subscribe(EventType.HANDLER_ERROR, note)
            bus.subscribe(A, lambda event: 1 / 0)
            await bus.publish_async(A)
            return got

        assert asyncio.run(main()) == ["ZeroDivisionError"]

    def test_16_the_object_of_an_async_method_is_held_weakly(self):
        """An async method's object is let go when nobody else holds it, but not in the midst of a call."""

        async def main() -> list[Any]:
            bus, got = self.make_bus(), []
            owner = Owner(got)
            bus.subscribe(A, owner.handle)
            bus.publish(A, "scheduled")
            del owner
            await bus.join()
            gc.collect()
            await bus.publish_async(A, "gone")
            assert bus.subscriptions() == []
            return got

        assert asyncio.run(main()) == ["scheduled"]
