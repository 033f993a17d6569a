"""Promises 4 to 8: what a publish does, in what order, how deep, with which cause, and to whom."""

from __future__ import annotations

import asyncio
import random
import threading
import uuid
from contextvars import copy_context
from enum import Enum
from operator import call
from typing import Any

import pytest

from atlas_lab import Event, EventBus, EventType, PublishDepthError

from .making import MakesBuses
from .workers import PATIENCE, in_thread

A = EventType.AGENT_STARTED
B = EventType.AGENT_TASK_ASSIGNED
C = EventType.AGENT_STOPPED

both_modes = pytest.mark.parametrize("nested", ["immediate", "queued"])


class Step(Enum):
    NEXT = "next"


def no_parents(bus: EventBus) -> bool:
    """Whether a publish from here has no parent."""
    event_id = bus.publish(EventType.SYSTEM_HEALTH)
    (event,) = [event for event in bus.history if event.id == event_id]
    return event.parent_id is None


class PublishingContract(MakesBuses):
    # 4. What has happened when publish returns

    def test_04_middleware_history_handlers_in_this_order(self):
        """Middleware runs first, then the event is in history, then every handler is called, then publish returns."""
        bus, steps = self.make_bus(), []
        bus.add_middleware(lambda event: steps.append(("middleware", len(bus.history))) or event)
        bus.subscribe(A, lambda event: steps.append(("first", len(bus.history))))
        bus.subscribe(None, lambda event: steps.append(("second", len(bus.history))))
        event_id = bus.publish(A)
        steps.append(("returned", len(bus.history)))
        assert steps == [("middleware", 0), ("first", 1), ("second", 1), ("returned", 1)]
        assert bus.history[-1].id == event_id

    def test_04_the_event_in_history_is_the_one_delivered(self):
        """Handlers get what the middleware made of the event, and history holds the same."""
        bus, got = self.make_bus(), []
        bus.add_middleware(lambda event: event.replace(data=event.data + 1))
        bus.subscribe(A, got.append)
        bus.publish(A, 1)
        assert [event.data for event in got] == [2]
        assert got == list(bus.history)

    def test_04_publish_returns_the_id(self):
        """`publish`, publish_async and emit return the id of the event that handlers and history have."""
        bus, got = self.make_bus(), []
        bus.subscribe(None, lambda event: got.append(event.id))
        event = Event(A)
        ids = [bus.publish(A), asyncio.run(bus.publish_async(A)), bus.emit(event)]
        assert ids == got == [event.id for event in bus.history]
        assert ids[2] == event.id

    def test_04_publish_returns_the_id_of_a_dropped_event(self):
        """The id comes back also when middleware dropped the event, which is neither stored nor delivered."""
        bus, offered, got = self.make_bus(), [], []
        bus.add_middleware(lambda event: offered.append(event.id))
        bus.subscribe(A, got.append)
        ids = [bus.publish(A), asyncio.run(bus.publish_async(A)), bus.emit(Event(A))]
        assert ids == offered
        assert all(uuid.UUID(event_id) for event_id in ids)
        assert (len(bus.history), got) == (0, [])

    @both_modes
    def test_04_every_handler_was_called_with_all_that_followed(self, nested):
        """When the outermost publish returns, the events that handlers published on the way were delivered too."""
        bus, got = self.make_bus(nested=nested), []
        bus.subscribe(A, lambda event: bus.publish(B))
        bus.subscribe(B, lambda event: bus.publish(C))
        bus.subscribe(C, lambda event: got.append(event.type))
        bus.publish(A)
        assert got == [C]

    @both_modes
    @pytest.mark.parametrize("related", [False, True], ids=["a stranger", "started by the handler"])
    def test_04_publish_in_one_thread_does_not_lean_on_another(self, nested, related):
        """While one thread is inside a handler, the publish of another returns only after its handlers ran."""
        bus, seen = self.make_bus(nested=nested), []

        def publish_elsewhere() -> list[Any]:
            bus.publish(B, "elsewhere")
            return list(got)

        got: list[Any] = []
        bus.subscribe(B, lambda event: got.append(event.data))
        bus.subscribe(
            A, lambda event: seen.append(in_thread(copy_context().run if related else call, publish_elsewhere))
        )
        bus.publish(A)
        assert seen == [["elsewhere"]]

    def test_04_a_failing_handler_does_not_take_the_id_away(self):
        """`publish` returns the id although a handler failed, under the default error policy."""
        bus = self.make_bus()
        bus.subscribe(A, lambda event: 1 / 0)
        assert bus.publish(A) == bus.history[0].id

    # 5. Order of handlers

    def test_05_handlers_run_by_priority_then_subscription(self):
        """With 200 handlers of random priority, every publish calls them high first, equals as subscribed."""
        bus, rng, calls = self.make_bus(), random.Random(5), []
        expected = []
        for number in range(200):
            priority = rng.randint(-3, 3)
            event_type = rng.choice([A, None, [A, B]])
            bus.subscribe(event_type, lambda event, number=number: calls.append(number), priority=priority)
            expected.append((-priority, number))
        in_order = [number for _, number in sorted(expected)]
        for _ in range(5):
            calls.clear()
            bus.publish(A)
            assert calls == in_order

    def test_05_the_order_survives_changes(self):
        """After any mix of subscribing, ending, pausing and resuming, the order is by priority, then by subscription."""
        bus, rng, calls, live = self.make_bus(), random.Random(55), [], []
        for number in range(300):
            action = rng.random()
            if action < 0.5 or not live:
                priority, event_type = rng.randint(-2, 2), rng.choice([A, None, [B, A]])
                subscription = bus.subscribe(
                    event_type, lambda event, number=number: calls.append(number), priority=priority
                )
                live.append((-priority, number, subscription))
            elif action < 0.8:
                live.pop(rng.randrange(len(live)))[2]()
            else:
                _, _, subscription = rng.choice(live)
                subscription.resume() if subscription.paused else subscription.pause()
            calls.clear()
            bus.publish(A)
            assert calls == [number for _, number, subscription in sorted(live) if not subscription.paused]

    def test_05_a_handler_for_everything_takes_its_turn(self):
        """Subscriptions to one type, to several and to all types run in one order, not in groups."""
        bus, calls = self.make_bus(), []
        for number, event_type in enumerate([None, A, [A, B], None, A, Step.NEXT]):
            bus.subscribe(event_type, lambda event, number=number: calls.append(number))
        bus.publish(A)
        assert calls == [0, 1, 2, 3, 4]
        calls.clear()
        bus.publish(Step.NEXT)
        assert calls == [0, 3, 5]

    def test_05_subscribing_again_goes_to_the_end(self):
        """A handler that unsubscribed and came back runs after those of its priority who stayed."""
        bus, calls = self.make_bus(), []

        def first(event: Event[Any]) -> None:
            calls.append("first")

        unsubscribe = bus.subscribe(A, first)
        bus.subscribe(A, lambda event: calls.append("second"))
        unsubscribe()
        bus.subscribe(A, first)
        bus.publish(A)
        assert calls == ["second", "first"]

    def test_05_a_pause_keeps_the_place(self):
        """A subscription that was paused and resumed runs where it ran before."""
        bus, calls = self.make_bus(), []
        subscriptions = [bus.subscribe(A, lambda event, n=n: calls.append(n)) for n in range(3)]
        subscriptions[0].pause()
        bus.publish(A)
        subscriptions[0].resume()
        bus.publish(A)
        assert calls == [1, 2, 0, 1, 2]

    def test_05_subscriptions_are_listed_in_this_order(self):
        """bus.subscriptions() lists what is subscribed in the order of delivery."""
        bus = self.make_bus()
        names = {"late": -1, "middle": 0, "early": 5, "middle too": 0}
        for name, priority in names.items():
            bus.subscribe(A, print, name=name, priority=priority)
        listed = [subscription.handler_name for subscription in bus.subscriptions()]
        assert listed == ["early", "middle", "middle too", "late"]

    def test_05_publish_async_keeps_the_order(self):
        """Plain and async handlers run in one order under publish_async."""

        async def main() -> list[int]:
            bus, calls = self.make_bus(), []
            for number in range(20):
                if number % 2:

                    async def handler(event, number=number):
                        await asyncio.sleep(0)
                        calls.append(number)

                else:

                    def handler(event, number=number):
                        calls.append(number)

                bus.subscribe(A, handler, priority=number % 3)
            await bus.publish_async(A)
            return calls

        assert asyncio.run(main()) == sorted(range(20), key=lambda number: (-(number % 3), number))

    # 6. Nested publishes

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

        bus.subscribe(A, handler)
        bus.publish(A, 1)
        over.set()
        threads[0].join(PATIENCE)
        assert (seen, errors) == ([1, 2, 3], [])

    # 7. Causes

    @both_modes
    def test_07_the_handled_event_is_the_parent(self, nested):
        """What a handler publishes has the event it is handling as its parent, at every depth."""
        bus = self.make_bus(nested=nested)
        following = {A: [B, B], B: [C], C: []}
        bus.subscribe(None, lambda event: [bus.publish(one, event.id) for one in following[event.type]])
        bus.publish(A)
        assert len(bus.history) == 5
        assert [event.parent_id for event in bus.history] == [event.data for event in bus.history]

    @both_modes
    def test_07_a_publish_at_top_level_has_no_parent(self, nested):
        """Before, between and after publishes that nest, fail or run away, the top level has no parent."""
        bus = self.make_bus(nested=nested, max_depth=5)
        bus.subscribe(A, lambda event: bus.publish(B))
        bus.subscribe(B, lambda event: bus.publish(C))
        bus.subscribe(C, lambda event: 1 / 0)
        bus.subscribe(Step.NEXT, lambda event: bus.publish(Step.NEXT))
        assert no_parents(bus)
        bus.publish(A)
        assert no_parents(bus)
        with pytest.raises(PublishDepthError):
            bus.publish(Step.NEXT)
        assert no_parents(bus)
        with bus.paused():
            bus.publish(A)
            assert no_parents(bus)
        assert no_parents(bus)
        asyncio.run(bus.publish_async(A))
        assert no_parents(bus)

    @both_modes
    def test_07_the_parent_is_back_after_a_nested_publish(self, nested):
        """What a handler publishes after a nested publish still has the event it is handling as its parent."""
        bus = self.make_bus(nested=nested)
        bus.subscribe(A, lambda event: [bus.publish(B), bus.publish(C)])
        bus.subscribe(B, lambda event: bus.publish(Step.NEXT))
        bus.subscribe(A, lambda event: bus.publish(EventType.STATE_VERSIONED))
        bus.publish(A)
        parents = {event.type: event.parent_id for event in bus.history}
        ids = {event.type: event.id for event in bus.history}
        assert parents == {A: None, B: ids[A], C: ids[A], Step.NEXT: ids[B], EventType.STATE_VERSIONED: ids[A]}

    @both_modes
    def test_07_it_holds_for_publish_async_and_emit(self, nested):
        """The parent is noted by every way of publishing; emit leaves a parent that the event has already."""

        async def main() -> None:
            bus = self.make_bus(nested=nested)

            async def handler(event: Event[Any]) -> None:
                await bus.publish_async(B)
                await asyncio.sleep(0)
                bus.emit(Event(B))
                bus.emit(Event(B, parent_id="0" * 32))

            bus.subscribe(A, handler)
            first = await bus.publish_async(A)
            assert [event.parent_id for event in bus.history] == [None, first, first, "0" * 32]

        asyncio.run(main())

    def test_07_held_events_keep_their_parents(self):
        """Delivering what was held during a pause notes the same parents as delivering at once."""
        bus = self.make_bus()

        def publish_in_a_pause(event: Event[Any]) -> None:
            with bus.paused():
                bus.publish(B)
                bus.publish(B)

        bus.subscribe(A, publish_in_a_pause)
        bus.subscribe(B, lambda event: bus.publish(C))
        first = bus.publish(A)
        second, third, *rest = list(bus.history)[1:]
        assert (second.parent_id, third.parent_id) == (first, first)
        assert [event.parent_id for event in rest] == [second.id, third.id]

    @both_modes
    def test_07_it_holds_across_buses(self, nested):
        """A handler of one bus that publishes on another bus leaves its event as the parent there."""
        first, second = self.make_bus(nested=nested), self.make_bus(nested=nested)
        first.subscribe(A, lambda event: second.publish(B))
        second.subscribe(B, lambda event: first.publish(C))
        event_id = first.publish(A)
        assert second.history[-1].parent_id == event_id
        assert first.history[-1].parent_id == second.history[-1].id
        assert no_parents(first)
        assert no_parents(second)

    @both_modes
    def test_07_it_holds_across_scopes(self, nested):
        """Handlers of a scope and of its parent leave the same event as the parent of what they publish anywhere."""
        bus = self.make_bus(nested=nested)
        scope = self.make_scope(bus, "inner", nested=nested)
        scope.subscribe(A, lambda event: scope.publish(B))
        bus.subscribe(A, lambda event: bus.publish(C))
        bus.subscribe(A, lambda event: scope.publish(Step.NEXT))
        event_id = scope.publish(A)
        assert {event.type: event.parent_id for event in bus.history} == {
            A: None,
            B: event_id,
            C: event_id,
            Step.NEXT: event_id,
        }
        assert no_parents(bus)
        assert no_parents(scope)

    @both_modes
    def test_07_it_holds_in_threads_that_copy_the_context(self, nested):
        """A thread started through copy_context().run publishes for the event; a thread without has no parent."""
        bus = self.make_bus(nested=nested)

        def handler(event: Event[Any]) -> None:
            in_thread(copy_context().run, bus.publish, B)
            in_thread(bus.publish, C)

        bus.subscribe(A, handler)
        first = bus.publish(A)
        assert {event.type: event.parent_id for event in bus.history} == {A: None, B: first, C: None}

    @both_modes
    def test_07_a_thread_that_lives_on_keeps_the_cause(self, nested):
        """What such a thread publishes after the dispatch is over still has the event as its parent."""
        bus, go_on = self.make_bus(nested=nested), threading.Event()
        threads: list[threading.Thread] = []

        def later() -> None:
            go_on.wait(PATIENCE)
            bus.publish(B)

        def handler(event: Event[Any]) -> None:
            threads.append(threading.Thread(target=copy_context().run, args=(later,)))
            threads[0].start()

        bus.subscribe(A, handler)
        first = bus.publish(A)
        go_on.set()
        threads[0].join(PATIENCE)
        assert [event.parent_id for event in bus.history] == [None, first]

    @both_modes
    def test_07_it_holds_in_tasks(self, nested):
        """Tasks, callbacks and worker threads that a handler starts publish for the event, also after its dispatch."""

        async def main() -> None:
            bus = self.make_bus(nested=nested)
            started: list[Any] = []

            async def later(event_type: EventType) -> None:
                await asyncio.sleep(0)
                bus.publish(event_type)

            def handler(event: Event[Any]) -> None:
                started.append(asyncio.create_task(later(B)))
                started.append(asyncio.ensure_future(asyncio.to_thread(bus.publish, C)))
                done = asyncio.get_running_loop().create_future()
                asyncio.get_running_loop().call_soon(lambda: done.set_result(bus.publish(Step.NEXT)))
                started.append(done)

            bus.subscribe(A, handler)
            first = bus.publish(A)
            assert no_parents(bus)
            await asyncio.gather(*started)
            parents = {event.type: event.parent_id for event in bus.history.select([A, B, C, Step.NEXT])}
            assert parents == {A: None, B: first, C: first, Step.NEXT: first}
            assert no_parents(bus)

        asyncio.run(main())

    @both_modes
    @pytest.mark.parametrize("awaited", [True, False], ids=["publish_async", "publish"])
    def test_07_it_holds_in_async_handlers(self, nested, awaited):
        """An async handler publishes for its event, before and after it waited, with others running beside it."""

        async def main() -> None:
            bus = self.make_bus(nested=nested)

            async def handler(event: Event[Any]) -> None:
                bus.publish(B, event.id)
                await asyncio.sleep(0)
                bus.publish(B, event.id)

            bus.subscribe(A, handler)
            if awaited:
                await asyncio.gather(*[bus.publish_async(A) for _ in range(3)])
            else:
                for _ in range(3):
                    bus.publish(A)
            await bus.join()
            made = bus.history.select(B)
            assert len(made) == 6
            assert [event.parent_id for event in made] == [event.data for event in made]
            assert no_parents(bus)

        asyncio.run(main())

    # 8. Subscribing and unsubscribing while events are delivered

    @pytest.mark.parametrize("event_type", [A, None, [B, A]], ids=["one", "all", "several"])
    @pytest.mark.parametrize("priority", [0, 9, -9])
    def test_08_subscribing_takes_effect_from_the_next_event(self, event_type, priority):
        """A handler subscribed while an event is delivered does not get that event, whatever its place, but the next."""
        bus, got = self.make_bus(), []

        def add(event: Event[Any]) -> None:
            if event.data == 1:
                bus.subscribe(event_type, lambda event: got.append(event.data), priority=priority)

        bus.subscribe(A, add)
        bus.subscribe(A, lambda event: None)
        for data in (1, 2):
            bus.publish(A, data)
        assert got == [2]

    def test_08_subscribing_to_a_users_type_takes_effect_from_the_next_event(self):
        """The same holds for a type that was not used before."""
        bus, got = self.make_bus(), []
        bus.subscribe(None, lambda event: bus.subscribe(Step.NEXT, lambda event: got.append(event.data), name="new"))
        bus.publish(Step.NEXT, 1)
        bus.publish(Step.NEXT, 2)
        assert got == []
        bus.subscriptions()[0]()
        bus.publish(Step.NEXT, 3)
        assert got == [3]

    @both_modes
    def test_08_a_nested_event_is_a_next_event(self, nested):
        """A handler subscribed during a dispatch gets what is published after that, not what was before."""
        bus, got = self.make_bus(nested=nested), []

        def handler(event: Event[Any]) -> None:
            bus.publish(B, "before")
            bus.subscribe(B, lambda event: got.append(event.data))
            bus.publish(B, "after")

        bus.subscribe(A, handler)
        bus.publish(A)
        assert got == ["after"]

    @pytest.mark.parametrize("event_type", [A, None, [B, A]], ids=["one", "all", "several"])
    @pytest.mark.parametrize("end", ["unsubscribe", "pause", "close", "replace"])
    def test_08_unsubscribing_takes_effect_at_once(self, event_type, end):
        """A handler that is ended, paused or replaced while an event is delivered does not get that event any more."""
        bus, got = self.make_bus(), []

        def stop(event: Event[Any]) -> None:
            if end == "unsubscribe":
                victim()
            elif end == "pause":
                victim.pause()
            elif end == "close":
                bus.close()
            else:
                bus.subscribe(event_type, lambda event: got.append("new"), name="victim")

        bus.subscribe(A, stop)
        victim = bus.subscribe(event_type, lambda event: got.append("old"), name="victim")
        bus.subscribe(A, lambda event: got.append("last"))
        bus.publish(A)
        assert got == ([] if end == "close" else ["last"])
        assert victim.calls == 0

    def test_08_handlers_after_the_one_that_left_are_called(self):
        """Nobody is skipped or called twice when handlers before, at or after the present place leave."""
        bus, got = self.make_bus(), []
        subscriptions: list[Any] = []

        def leave(event: Event[Any]) -> None:
            got.append(2)
            for place in (0, 2, 4):
                subscriptions[place]()

        for number in range(6):
            handler = leave if number == 2 else (lambda event, number=number: got.append(number))
            subscriptions.append(bus.subscribe(A, handler))
        bus.publish(A)
        assert got == [0, 1, 2, 3, 5]
        bus.publish(A)
        assert got[5:] == [1, 3, 5]

    def test_08_a_handler_can_unsubscribe_itself(self):
        """A handler that ends itself is not called again, not even for what it publishes afterwards."""
        bus, got = self.make_bus(), []

        def handler(event: Event[Any]) -> None:
            got.append(event.data)
            assert subscription()
            bus.publish(A, "inner")

        subscription = bus.subscribe(A, handler)
        bus.publish(A, "outer")
        bus.publish(A, "next")
        assert got == ["outer"]
        assert subscription.calls == 1

    def test_08_unsubscribing_reaches_the_dispatches_around(self):
        """A handler that is ended inside a nested dispatch does not get the outer event either, at any depth."""
        bus, got = self.make_bus(), []
        bus.subscribe(A, lambda event: bus.publish(B))
        bus.subscribe(B, lambda event: bus.publish(C))
        bus.subscribe(C, lambda event: victim())
        victim = bus.subscribe(None, got.append)
        bus.publish(A)
        assert got == []

    def test_08_unsubscribing_reaches_dispatches_with_older_receivers(self):
        """Subscribing in between does not hide an older dispatch from a handler's end."""
        bus, got = self.make_bus(), []

        def outer(event: Event[Any]) -> None:
            bus.subscribe(A, lambda event: None)
            if event.data:
                bus.publish(A, event.data - 1)
            else:
                victim()

        bus.subscribe(A, outer)
        victim = bus.subscribe(A, lambda event: got.append(event.data))
        bus.publish(A, 3)
        assert got == []

    @pytest.mark.parametrize("held_by", ["queue", "pause"])
    def test_08_unsubscribing_reaches_events_that_wait(self, held_by):
        """A handler that is ended does not get events that were published but not delivered yet."""
        bus, got = self.make_bus(nested="queued" if held_by == "queue" else "immediate"), []
        victim = bus.subscribe(B, lambda event: got.append("victim"))
        bus.subscribe(B, lambda event: got.append("other"))

        def publish_and_end(event: Event[Any]) -> None:
            bus.publish(B)
            victim()

        if held_by == "queue":
            bus.subscribe(A, publish_and_end)
            bus.publish(A)
        else:
            with bus.paused():
                publish_and_end(Event(A))
        assert got == ["other"]
        assert victim.calls == 0

    def test_08_one_of_two_subscriptions_of_a_handler_can_end(self):
        """Ending one subscription of a handler during a dispatch leaves the other one its call."""
        bus, got = self.make_bus(), []

        def handler(event: Event[Any]) -> None:
            got.append(event.data)

        bus.subscribe(A, lambda event: second())
        bus.subscribe(A, handler)
        second = bus.subscribe(A, handler)
        bus.publish(A, 1)
        assert got == [1]

    def test_08_coming_back_during_a_dispatch_waits_for_the_next_event(self):
        """A handler that is ended and subscribed again during a dispatch gets the next event, not this one."""
        bus, got = self.make_bus(), []

        def handler(event: Event[Any]) -> None:
            got.append(event.data)

        def swap(event: Event[Any]) -> None:
            if event.data == 1:
                first()
                bus.subscribe(A, handler)

        bus.subscribe(A, swap)
        first = bus.subscribe(A, handler)
        bus.publish(A, 1)
        assert got == []
        bus.publish(A, 2)
        assert got == [2]

    @pytest.mark.parametrize("place", ["middleware", "where"])
    def test_08_unsubscribing_in_middleware_or_where_takes_effect_at_once(self, place):
        """Also from middleware, or from the condition of a handler before it, an end takes effect at once."""
        bus, got = self.make_bus(), []
        if place == "middleware":
            bus.add_middleware(lambda event: (victim(), event)[1])
        else:
            bus.subscribe(A, lambda event: None, where=lambda event: victim())
        victim = bus.subscribe(A, got.append)
        bus.publish(A)
        assert got == []

    def test_08_unsubscribing_takes_effect_while_a_handler_is_awaited(self):
        """Under publish_async, a handler that is ended while another one waits is not called."""

        async def main() -> list[Any]:
            bus, got, waiting, go_on = self.make_bus(), [], asyncio.Event(), asyncio.Event()

            async def wait(event: Event[Any]) -> None:
                waiting.set()
                await go_on.wait()

            async def never(event: Event[Any]) -> None:
                got.append(event)

            bus.subscribe(A, wait)
            victims = [bus.subscribe(A, never), bus.subscribe(None, got.append)]
            publishing = asyncio.create_task(bus.publish_async(A))
            await waiting.wait()
            assert [victim() for victim in victims] == [True, True]
            go_on.set()
            await publishing
            assert [victim.calls for victim in victims] == [0, 0]
            return got

        assert asyncio.run(main()) == []

    @both_modes
    def test_08_once_means_once_also_when_nested(self, nested):
        """A once handler that publishes its own type does not get that event."""
        bus, got = self.make_bus(nested=nested), []

        def handler(event: Event[Any]) -> None:
            got.append(event.data)
            bus.publish(A, "inner")

        bus.subscribe(A, handler, once=True)
        bus.publish(A, "outer")
        assert got == ["outer"]
