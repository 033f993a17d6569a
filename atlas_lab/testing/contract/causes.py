"""Promise 7: the event being handled is the parent of what its handlers publish."""

from __future__ import annotations

import asyncio
import threading
from contextvars import copy_context
from typing import Any

import pytest

from atlas_lab import Event, EventBus, EventType, PublishDepthError

from .kinds import Step
from .making import MakesBuses
from .workers import PATIENCE, in_thread

A = EventType.AGENT_STARTED
B = EventType.AGENT_TASK_ASSIGNED
C = EventType.AGENT_STOPPED

both_modes = pytest.mark.parametrize("nested", ["immediate", "queued"])


def no_parents(bus: EventBus) -> bool:
    """Whether a publish from here has no parent."""
    event_id = bus.publish(EventType.SYSTEM_HEALTH)
    (event,) = [event for event in bus.history if event.id == event_id]
    return event.parent_id is None


class CausesContract(MakesBuses):
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
