"""Promises 4 and 5: what has happened when publish returns, and in what order handlers run."""

from __future__ import annotations

import asyncio
import random
import uuid
from contextvars import copy_context
from operator import call
from typing import Any

import pytest

from atlas_lab import Event, EventType

from .kinds import Step
from .making import MakesBuses
from .workers import in_thread

A = EventType.AGENT_STARTED
B = EventType.AGENT_TASK_ASSIGNED
C = EventType.AGENT_STOPPED

both_modes = pytest.mark.parametrize("nested", ["immediate", "queued"])


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
