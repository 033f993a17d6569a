"""Promise 6: when an event that is published inside a handler is delivered, and how deep that may go."""

from __future__ import annotations

import asyncio
import random
import threading
from contextvars import copy_context
from typing import Any

import pytest

from atlas_lab import Event, EventType, PublishDepthError

from .causes import no_parents
from .kinds import Step
from .making import MakesBuses
from .workers import PATIENCE

A = EventType.AGENT_STARTED
B = EventType.AGENT_TASK_ASSIGNED
C = EventType.AGENT_STOPPED

both_modes = pytest.mark.parametrize("nested", ["immediate", "queued"])


class NestingContract(MakesBuses):
    @pytest.mark.parametrize("options", [{}, {"nested": "immediate"}], ids=["default", "immediate"])
    def test_06_immediate_delivers_before_the_inner_call_returns(self, options):
        """By default, what a handler publishes has reached all its handlers when that inner publish returns."""
        bus, steps = self.make_bus(**options), []

        def outer(event: Event[Any]) -> None:
            steps.append("publishing")
            bus.publish(B)
            steps.append("published")

        bus.subscribe(A, outer)
        bus.subscribe(A, lambda event: steps.append("A second"))
        bus.subscribe(B, lambda event: steps.append("B first"))
        bus.subscribe(B, lambda event: steps.append("B second"))
        bus.publish(A)
        assert steps == ["publishing", "B first", "B second", "published", "A second"]

    def test_06_queued_delivers_after_the_current_event(self):
        """Under "queued", what a handler publishes is delivered once the current event reached all its handlers."""
        bus, steps = self.make_bus(nested="queued"), []

        def outer(event: Event[Any]) -> None:
            event_id = bus.publish(B)
            steps.append(("published", bus.history[-1].id == event_id))

        bus.subscribe(A, outer)
        bus.subscribe(A, lambda event: steps.append("A second"))
        bus.subscribe(B, lambda event: steps.append("B first"))
        bus.subscribe(B, lambda event: steps.append("B second"))
        bus.publish(A)
        assert steps == [("published", True), "A second", "B first", "B second"]

    def test_06_queued_shows_every_handler_the_order_of_the_history(self):
        """Under "queued", handlers see events in history order, however deep and wide they publish."""
        bus, rng, seen = self.make_bus(nested="queued", history_limit=None), random.Random(6), ([], [], [])

        def spread(event: Event[Any]) -> None:
            for _ in range(rng.randint(0, 3) if event.data < 5 else 0):
                bus.publish(rng.choice([A, B, Step.NEXT]), event.data + 1)

        bus.subscribe(None, lambda event: seen[0].append(event.seq))
        bus.subscribe(None, spread)
        bus.subscribe(None, lambda event: seen[1].append(event.seq))
        bus.subscribe(None, spread)
        bus.subscribe(None, lambda event: seen[2].append(event.seq))
        for _ in range(3):
            bus.publish(A, 0)
        assert len(bus.history) > 100
        for order in seen:
            assert order == [event.seq for event in bus.history]

    def test_06_immediate_shows_nested_events_first_to_late_handlers(self):
        """By default, a handler after the one that publishes sees the inner event before the outer one."""
        bus, seen = self.make_bus(), []
        bus.subscribe(A, lambda event: bus.publish(B))
        bus.subscribe(None, lambda event: seen.append(event.seq))
        bus.publish(A)
        assert seen == [2, 1]

    def test_06_queued_events_survive_a_failing_handler(self):
        """What a handler had published before it failed is delivered all the same."""
        bus, got = self.make_bus(nested="queued"), []

        def fail(event: Event[Any]) -> None:
            bus.publish(B, 1)
            raise RuntimeError("after publishing")

        bus.subscribe(A, fail)
        bus.subscribe(B, lambda event: got.append(event.data))
        bus.publish(A)
        assert got == [1]

    @both_modes
    @pytest.mark.parametrize("max_depth", [1, 2, 5])
    def test_06_the_limit_of_depth_is_exact(self, nested, max_depth):
        """A chain of max_depth events is delivered, and the publish that would be one deeper is refused."""
        bus, got = self.make_bus(nested=nested, max_depth=max_depth), []

        def go_on(event: Event[Any]) -> None:
            got.append(event.data)
            if event.data < last:
                bus.publish(A, event.data + 1)

        bus.subscribe(A, go_on)
        last = max_depth
        bus.publish(A, 1)
        assert got == list(range(1, max_depth + 1))
        last = max_depth + 1
        with pytest.raises(PublishDepthError):
            bus.publish(A, 1)
        assert got == [*range(1, max_depth + 1)] * 2
        assert len(bus.history) == 2 * max_depth

    @both_modes
    def test_06_the_error_prints_the_chain(self, nested):
        """The error shows the types of the chain from the first publish to the one refused."""
        bus = self.make_bus(nested=nested, max_depth=4)
        following = {A: B, B: Step.NEXT, Step.NEXT: A}
        bus.subscribe(None, lambda event: bus.publish(following[event.type]))
        with pytest.raises(PublishDepthError) as caught:
            bus.publish(A)
        chain = ("AGENT_STARTED", "AGENT_TASK_ASSIGNED", "Step.NEXT", "AGENT_STARTED", "AGENT_TASK_ASSIGNED")
        assert caught.value.chain == chain
        assert " > ".join(chain) in str(caught.value)
        assert "4" in str(caught.value)

    @both_modes
    def test_06_runaway_handlers_are_stopped_at_a_hundred(self, nested):
        """Handlers that feed each other without end are stopped by default after 100 events, at the first publisher."""
        bus = self.make_bus(nested=nested)
        bus.subscribe(A, lambda event: bus.publish(B))
        bus.subscribe(B, lambda event: bus.publish(A))
        with pytest.raises(PublishDepthError) as caught:
            bus.publish(A)
        assert [event.type for event in bus.history] == [A, B] * 50
        assert caught.value.chain == ("AGENT_STARTED", "AGENT_TASK_ASSIGNED") * 50 + ("AGENT_STARTED",)

    @both_modes
    def test_06_the_bus_goes_on_after_a_runaway(self, nested):
        """After the depth error the bus publishes as before, at full depth and at top level."""
        bus, got = self.make_bus(nested=nested, max_depth=5), []
        runaway = bus.subscribe(A, lambda event: bus.publish(A))
        bus.subscribe(B, lambda event: bus.publish(C))
        bus.subscribe(C, lambda event: got.append(event.data))
        for _ in range(3):
            with pytest.raises(PublishDepthError):
                bus.publish(A)
        runaway()
        bus.publish(B)
        assert len(got) == 1
        assert no_parents(bus)

    @both_modes
    def test_06_a_runaway_through_error_reports_is_stopped(self, nested):
        """Handlers of HANDLER_ERROR that bring the failing event back are stopped by the same limit, not doubled."""
        bus, calls = self.make_bus(nested=nested, max_depth=14), []

        def fail(event: Event[Any]) -> None:
            calls.append(event.seq)
            raise RuntimeError("again")

        bus.subscribe(A, fail)
        bus.subscribe(A, fail)
        bus.subscribe(EventType.HANDLER_ERROR, lambda event: bus.publish(A))
        with pytest.raises(PublishDepthError):
            bus.publish(A)
        # One after the other, the two errors of each level are all there before the next level begins.
        assert len(calls) <= (14 if nested == "immediate" else 2**8)

    @both_modes
    def test_06_many_publishes_in_one_handler_are_not_deep(self, nested):
        """A handler may publish any number of events one after the other; that is a chain of two."""
        bus, got = self.make_bus(nested=nested, max_depth=2, history_limit=None), []
        bus.subscribe(A, lambda event: [bus.publish(B) for _ in range(500)])
        bus.subscribe(B, got.append)
        bus.publish(A)
        assert len(got) == 500

    @both_modes
    def test_06_publish_async_has_the_same_limit(self, nested):
        """Awaited publishes inside async handlers count as nested, with the same exact limit."""

        async def main() -> None:
            bus = self.make_bus(nested=nested, max_depth=7)

            async def go_on(event: Event[Any]) -> None:
                await asyncio.sleep(0)
                if event.data < last:
                    await bus.publish_async(A, event.data + 1)

            bus.subscribe(A, go_on)
            last = 7
            await bus.publish_async(A, 1)
            assert len(bus.history) == 7
            last = 8
            with pytest.raises(PublishDepthError):
                await bus.publish_async(A, 1)
            assert len(bus.history) == 14

        asyncio.run(main())

    @both_modes
    def test_06_a_chain_of_scheduled_handlers_is_not_deep(self, nested):
        """Async handlers that each publish once more run one after the other; 300 of them are no runaway."""

        async def main() -> int:
            bus = self.make_bus(nested=nested, history_limit=None)

            async def go_on(event: Event[Any]) -> None:
                if event.data < 300:
                    bus.publish(A, event.data + 1)

            bus.subscribe(A, go_on)
            bus.publish(A, 1)
            await bus.join()
            return bus.history[-1].data

        assert asyncio.run(main()) == 300

    @both_modes
    def test_06_a_chain_of_tasks_is_not_deep(self, nested):
        """Tasks that publish while the handler that started them is about to end may go on for ever.

        At most two of the 300 dispatches are under way at any time.
        """

        async def main() -> int:
            bus = self.make_bus(nested=nested, history_limit=None)
            tasks: list[asyncio.Task[str]] = []
            entered = [asyncio.Event() for _ in range(302)]

            async def publish(number: int) -> None:
                if number > 2:
                    await tasks[number - 2]
                await bus.publish_async(A, number)

            async def go_on(event: Event[Any]) -> None:
                entered[event.data].set()
                if event.data < 300:
                    tasks.append(asyncio.create_task(publish(event.data + 1)))
                    if nested == "immediate":
                        await asyncio.wait_for(entered[event.data + 1].wait(), PATIENCE)

            bus.subscribe(A, go_on)
            tasks += [asyncio.create_task(asyncio.sleep(0)), asyncio.create_task(publish(1))]
            while not tasks[-1].done():
                await tasks[-1]
            return bus.history[-1].data

        assert asyncio.run(main()) == 300

    @both_modes
    def test_06_a_chain_of_threads_is_not_deep(self, nested):
        """Threads that publish while the handler that started them is about to end may go on for ever.

        At most two of the 300 dispatches are under way at any time.
        """
        bus = self.make_bus(nested=nested, history_limit=None)
        entered = [threading.Event() for _ in range(302)]
        over = [threading.Event() for _ in range(302)]
        errors: list[BaseException] = []

        def publish(number: int) -> None:
            try:
                if number > 2:
                    assert over[number - 2].wait(PATIENCE)
                bus.publish(A, number)
            except BaseException as error:
                errors.append(error)
                entered[number].set()
            over[number].set()

        def go_on(event: Event[Any]) -> None:
            entered[event.data].set()
            if event.data < 300:
                context = copy_context()
                threading.Thread(target=context.run, args=(publish, event.data + 1)).start()
                entered[event.data + 1].wait(PATIENCE)

        bus.subscribe(A, go_on)
        publish(1)
        for number in range(2, 301):
            assert errors or over[number].wait(PATIENCE)
        assert errors == []
        assert bus.history[-1].data == 300

    @both_modes
    def test_06_a_dispatch_that_is_over_does_not_count(self, nested):
        """A dispatch that ended while a thread it started publishes on is no part of that thread's chain any more."""
        bus, seen, errors = self.make_bus(nested=nested, max_depth=2), [], []
        entered, over = threading.Event(), threading.Event()
        threads: list[threading.Thread] = []

        def publish_elsewhere() -> None:
            try:
                bus.publish(A, 2)
            except PublishDepthError as error:
                errors.append(error)

        def handler(event: Event[Any]) -> None:
            seen.append(event.data)
            if event.data == 1:
                threads.append(threading.Thread(target=copy_context().run, args=(publish_elsewhere,)))
                threads[0].start()
                assert entered.wait(PATIENCE)
            elif event.data == 2:
                entered.set()
                assert over.wait(PATIENCE)
                bus.publish(A, 3)
                bus.publish(A, 4)

        bus.subscribe(A, handler)
        bus.publish(A, 1)
        over.set()
        threads[0].join(PATIENCE)
        assert (seen, errors) == ([1, 2, 3, 4], [])
