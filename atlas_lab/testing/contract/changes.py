"""Promise 8: subscribing and unsubscribing while events are delivered."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from atlas_lab import Event, EventType

from .kinds import Step
from .making import MakesBuses

A = EventType.AGENT_STARTED
B = EventType.AGENT_TASK_ASSIGNED
C = EventType.AGENT_STOPPED

both_modes = pytest.mark.parametrize("nested", ["immediate", "queued"])


class ChangesContract(MakesBuses):
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
