"""Promises 25 and 26: buses inside a bus."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from atlas_lab import BusClosedError, Event, EventBus, EventType, HandlerErrors, MiddlewareError

from .making import MakesBuses
from .workers import in_threads, many_switches, meanwhile

STARTED = EventType.AGENT_STARTED
STOPPED = EventType.AGENT_STOPPED
HANDLER_ERROR = EventType.HANDLER_ERROR


def noting(log: list[str], text: str) -> Callable[[Event[Any]], None]:
    def note(event: Event[Any]) -> None:
        log.append(text)

    return note


def raising(event: Event[Any]) -> Any:
    raise ValueError(event.scope)


class ScopesContract(MakesBuses):
    def make_three(self, **options: Any) -> tuple[EventBus, EventBus, EventBus]:
        """Return a bus, a scope of it, and a scope of that scope."""
        bus = self.make_bus(**options)
        agent = self.make_scope(bus, "agent", **options)
        return bus, agent, self.make_scope(agent, "tool", **options)

    # -- 25: a scope delivers first, then its parent

    def test_25_a_scope_is_a_bus(self):
        """A scope can be used wherever a bus can, and says what it is a scope of."""
        bus = self.make_bus()
        scope = self.make_scope(bus, "agent-1")
        assert scope.parent_bus is bus and scope.scope_name == "agent-1"
        assert scope.event_bus.publish(STARTED) == scope.history[-1].id
        assert bus.scopes == [scope]

    def test_25_the_scope_delivers_before_the_parent(self):
        """From the innermost scope outward; priority orders handlers within a bus, not across."""
        bus, agent, tool = self.make_three()
        log: list[str] = []
        bus.subscribe(STARTED, noting(log, "bus"), priority=9)
        agent.subscribe(STARTED, noting(log, "agent"), priority=5)
        tool.subscribe(STARTED, noting(log, "tool low"))
        tool.subscribe(STARTED, noting(log, "tool high"), priority=1)
        tool.publish(STARTED)
        assert log == ["tool high", "tool low", "agent", "bus"]

    def test_25_it_is_the_same_event_everywhere(self):
        """Id, type, payload, source, time and cause are the same in the scope and on the parents."""
        bus, agent, tool = self.make_three()
        payload = object()
        event_id = tool.publish(STARTED, payload, "me", {"k": 1})
        events = [one.history[-1] for one in (bus, agent, tool)]
        assert {event.id for event in events} == {event_id}
        for name in ("type", "data", "source", "timestamp", "parent_id", "scope", "metadata"):
            assert getattr(events[0], name) == getattr(events[1], name) == getattr(events[2], name)
        assert all(event.data is payload for event in events)

    def test_25_the_scope_is_a_path(self):
        """An event carries the path of the bus it was published on, also three deep and on every parent."""
        bus = self.make_bus(name="run")
        agent = self.make_scope(bus, "agent")
        tool = self.make_scope(agent, "tool")
        assert agent.path == f"{bus.path}/agent"
        assert tool.path == f"{bus.path}/agent/tool"
        for one in (tool, agent, bus):
            one.publish(STARTED)
        assert [event.scope for event in bus.history] == [tool.path, agent.path, bus.path]
        assert [event.scope for event in agent.history] == [tool.path, agent.path]

    def test_25_the_path_below_a_bus_without_a_name_begins_with_the_scope(self):
        """There is no empty part in front."""
        scope = self.make_scope(self.make_root(), "agent-1")
        scope.publish(STARTED)
        assert scope.path == scope.history[-1].scope == "agent-1"

    def test_25_nothing_comes_down_from_the_parent(self):
        """What is published on the parent, or on another of its scopes, does not reach a scope."""
        bus, agent, tool = self.make_three()
        other = self.make_scope(bus, "other")
        for one in (bus, other, agent):
            one.publish(STARTED)
        assert len(tool.history) == 0
        assert [len(one.history) for one in (agent, other, bus)] == [1, 1, 3]

    def test_25_each_bus_numbers_its_own_events(self):
        """``seq`` counts per bus without gaps, whoever publishes."""
        bus, agent, tool = self.make_three()
        for one in (bus, tool, agent, bus, tool):
            one.publish(STARTED)
        assert [event.seq for event in bus.history] == [1, 2, 3, 4, 5]
        assert [event.seq for event in agent.history] == [1, 2, 3]
        assert [event.seq for event in tool.history] == [1, 2]

    def test_25_metadata_of_the_parents_event_is_its_own_dict(self):
        """What a handler in the scope notes in the metadata does not show up on the parent's event afterwards."""
        bus = self.make_bus()
        scope = self.make_scope(bus)
        scope.publish(STARTED, metadata={"k": 1})
        assert scope.history[-1].metadata is not bus.history[-1].metadata
        scope.history[-1].metadata["late"] = True
        assert bus.history[-1].metadata == {"k": 1}

    def test_25_the_parent_has_its_own_middleware(self):
        """The parent gets what the scope's middleware made of the event, and changes only its own copy."""
        bus = self.make_bus()
        scope = self.make_scope(bus)
        scope.add_middleware(lambda event: event.replace(data=event.data + "scope "))
        bus.add_middleware(lambda event: event.replace(data=event.data + "parent"))
        scope.publish(STARTED, "")
        bus.publish(STARTED, "")
        assert [event.data for event in scope.history] == ["scope "]
        assert [event.data for event in bus.history] == ["scope parent", "parent"]

    def test_25_the_parent_has_its_own_history_limit(self):
        """How much is kept is decided by each bus for itself."""
        bus = self.make_bus(history_limit=5)
        scope = self.make_scope(bus, history_limit=1)
        for _ in range(3):
            scope.publish(STARTED)
        assert (len(scope.history), scope.history.dropped) == (1, 2)
        assert (len(bus.history), bus.history.dropped) == (3, 0)

    def test_25_handlers_of_every_type_see_it_on_both(self):
        """A handler of None gets the scope's event on the scope and on the parent, once each."""
        bus = self.make_bus()
        scope = self.make_scope(bus)
        log: list[str] = []
        bus.subscribe(None, noting(log, "parent"))
        scope.subscribe(None, noting(log, "scope"))
        scope.publish(STARTED)
        assert log == ["scope", "parent"]

    def test_25_a_handler_on_both_gets_it_twice(self):
        """Subscribing one handler to a scope and its parent is two subscriptions, and two calls."""
        bus = self.make_bus()
        scope = self.make_scope(bus)
        seen: list[Event[Any]] = []
        bus.subscribe(STARTED, seen.append)
        scope.subscribe(STARTED, seen.append)
        scope.publish(STARTED)
        assert len(seen) == 2 and seen[0].id == seen[1].id

    def test_25_what_the_scopes_middleware_drops_stops_there(self):
        """The parent never hears of it: no middleware, no history, no handler."""
        bus = self.make_bus()
        scope = self.make_scope(bus)
        entry = bus.add_middleware(lambda event: event)
        scope.add_middleware(lambda event: None)
        seen: list[Event[Any]] = []
        bus.subscribe(None, seen.append)
        scope.publish(STARTED)
        assert seen == [] and len(bus.history) == len(scope.history) == 0
        assert entry.stats.seen == 0

    def test_25_what_the_scopes_middleware_fails_on_stops_there(self):
        """A failure in the scope's middleware reaches the publisher, and nothing reaches the parent."""
        bus = self.make_bus()
        scope = self.make_scope(bus)
        scope.add_middleware(raising)
        with pytest.raises(MiddlewareError):
            scope.publish(STARTED)
        assert len(bus.history) == 0

    def test_25_what_the_parents_middleware_drops_was_delivered_in_the_scope(self):
        """The scope keeps the event and its handlers ran; the parent, and what is above it, get nothing."""
        bus, agent, tool = self.make_three()
        agent.add_middleware(lambda event: None)
        seen: list[Event[Any]] = []
        tool.subscribe(STARTED, seen.append)
        event_id = tool.publish(STARTED)
        assert [event.id for event in seen] == [event_id]
        assert [len(one.history) for one in (tool, agent, bus)] == [1, 0, 0]

    @pytest.mark.parametrize("nested", ["immediate", "queued"])
    def test_25_what_the_parents_middleware_fails_on_was_delivered_in_the_scope(self, nested):
        """The publisher gets the parent's `MiddlewareError`; in the scope the event is stored and handled."""
        bus = self.make_bus()
        scope = self.make_scope(bus, nested=nested)
        bus.add_middleware(raising, name="gate")
        seen: list[Event[Any]] = []
        scope.subscribe(STARTED, seen.append)
        with pytest.raises(MiddlewareError, match="gate"):
            scope.publish(STARTED)
        assert len(seen) == len(scope.history) == 1
        assert len(bus.history) == 0

    def test_25_a_failing_parent_does_not_undo_what_waits_in_the_scope(self):
        """Under ``nested="queued"`` what a handler published is delivered in the scope, though the parent failed first."""
        bus = self.make_bus()
        scope = self.make_scope(bus, nested="queued")
        bus.add_middleware(lambda event: raising(event) if event.type is STARTED else event)
        seen: list[Event[Any]] = []
        scope.subscribe(STARTED, lambda event: scope.publish(STOPPED))
        scope.subscribe(STOPPED, seen.append)
        with pytest.raises(MiddlewareError):
            scope.publish(STARTED)
        assert [event.type for event in scope.history] == [STARTED, STOPPED]
        assert len(seen) == 1
        assert [event.type for event in bus.history] == [STOPPED]

    def test_25_a_failing_parent_does_not_undo_what_a_pause_held(self):
        """All events held by a pause are delivered in the scope, though the parent failed on the first."""
        bus = self.make_bus()
        scope = self.make_scope(bus)
        bus.add_middleware(lambda event: raising(event) if event.type is STARTED else event)
        seen: list[Event[Any]] = []
        scope.subscribe(None, seen.append)
        with pytest.raises(MiddlewareError):
            with scope.paused():
                scope.publish(STARTED)
                scope.publish(STOPPED)
        assert [event.type for event in seen] == [STARTED, STOPPED]

    def test_25_errors_in_the_scope_do_not_keep_the_event_from_the_parent(self):
        """The event goes up whatever handlers did with it."""
        bus = self.make_bus()
        scope = self.make_scope(bus)
        seen: list[Event[Any]] = []
        scope.subscribe(STARTED, raising)
        bus.subscribe(STARTED, seen.append)
        scope.publish(STARTED)
        assert len(seen) == 1

    def test_25_errors_are_reported_on_the_bus_where_they_happened_and_above(self):
        """A scope's HANDLER_ERROR goes up like any event; the parent's does not come down."""
        bus = self.make_bus()
        scope = self.make_scope(bus)
        scope.subscribe(STARTED, raising)
        bus.subscribe(STOPPED, raising)
        scope.publish(STARTED)
        scope.publish(STOPPED)
        assert [event.data["event_type"] for event in scope.history.select(HANDLER_ERROR)] == ["AGENT_STARTED"]
        assert [event.data["event_type"] for event in bus.history.select(HANDLER_ERROR)] == [
            "AGENT_STARTED",
            "AGENT_STOPPED",
        ]

    @pytest.mark.parametrize(
        "parents, scopes, expected",
        [
            ("event", "event", []),
            ("event", "raise", ["scope"]),
            ("raise", "event", ["parent"]),
            ("raise", "raise", ["scope", "parent"]),
        ],
    )
    def test_25_each_bus_decides_which_errors_the_publisher_sees(self, parents, scopes, expected):
        """One group holds the errors of every bus on the way that raises, in the order of delivery."""

        def failing(text: str) -> Callable[[Event[Any]], None]:
            def fail(event: Event[Any]) -> None:
                raise ValueError(text)

            return fail

        bus = self.make_bus(on_error=parents)
        scope = self.make_scope(bus, on_error=scopes)
        scope.subscribe(STARTED, failing("scope"))
        bus.subscribe(STARTED, failing("parent"))
        raised: list[str] = []
        try:
            scope.publish(STARTED)
        except HandlerErrors as errors:
            raised = [str(error) for error in errors.exceptions]
        assert raised == expected
        assert len(bus.history.select(HANDLER_ERROR)) == 2

    def test_25_a_scope_takes_over_the_options_of_its_parent(self):
        """Policy, nesting, depth and clock are the parent's unless a scope is given its own."""
        bus = self.make_bus(on_error="raise", nested="queued", clock=lambda: 5.0, max_depth=3)
        scope = self.make_scope(bus)
        assert (scope.on_error, scope.nested) == ("raise", "queued")
        scope.publish(STARTED)
        assert scope.history[-1].timestamp == 5.0
        own = self.make_scope(bus, "own", on_error="event", nested="immediate", clock=lambda: 7.0)
        assert (own.on_error, own.nested) == ("event", "immediate")
        own.publish(STARTED)
        assert bus.history[-1].timestamp == 7.0

    @pytest.mark.parametrize("nested", ["immediate", "queued"])
    def test_25_the_cause_is_known_across_scopes(self, nested):
        """What a handler on the parent publishes in the scope, and the other way round, has the event as parent."""
        bus = self.make_bus(nested=nested)
        scope = self.make_scope(bus)
        bus.subscribe(STARTED, lambda event: scope.publish(STOPPED))
        first = scope.publish(STARTED)
        assert [event.parent_id for event in scope.history] == [None, first]
        assert [event.parent_id for event in bus.history] == [None, first]

    def test_25_nested_at_once_across_scopes(self):
        """With ``immediate`` what a scope's handler publishes is through, up to the parent, before the call returns."""
        bus = self.make_bus(nested="immediate")
        scope = self.make_scope(bus)
        log: list[str] = []

        def start(event: Event[Any]) -> None:
            scope.publish(STOPPED)
            log.append("returned")

        scope.subscribe(STARTED, start)
        for one, name in ((scope, "scope"), (bus, "bus")):
            for event_type in (STARTED, STOPPED):
                one.subscribe(event_type, noting(log, f"{name} {event_type.name}"))
        scope.publish(STARTED)
        assert log == [
            "scope AGENT_STOPPED",
            "bus AGENT_STOPPED",
            "returned",
            "scope AGENT_STARTED",
            "bus AGENT_STARTED",
        ]

    def test_25_nested_in_turn_across_scopes(self):
        """With ``queued`` every bus hands out events in the order of its history, whoever published them."""
        bus = self.make_bus(nested="queued")
        scope = self.make_scope(bus)
        log: list[str] = []

        def start(event: Event[Any]) -> None:
            scope.publish(STOPPED)
            log.append("returned")

        scope.subscribe(STARTED, start)
        for one, name in ((scope, "scope"), (bus, "bus")):
            for event_type in (STARTED, STOPPED):
                one.subscribe(event_type, noting(log, f"{name} {event_type.name}"))
        scope.publish(STARTED)
        assert log == [
            "returned",
            "scope AGENT_STARTED",
            "bus AGENT_STARTED",
            "scope AGENT_STOPPED",
            "bus AGENT_STOPPED",
        ]
        for one in (scope, bus):
            assert [event.type for event in one.history] == [STARTED, STOPPED]

    def test_25_in_turn_also_from_a_handler_of_the_parent(self):
        """A parent's handler that publishes in the scope does not get in front of the parent's later handlers."""
        bus = self.make_bus(nested="queued")
        scope = self.make_scope(bus)
        log: list[str] = []
        bus.subscribe(STARTED, lambda event: scope.publish(STOPPED))
        bus.subscribe(STARTED, noting(log, "bus STARTED"))
        bus.subscribe(STOPPED, noting(log, "bus STOPPED"))
        bus.publish(STARTED)
        assert log == ["bus STARTED", "bus STOPPED"]

    @pytest.mark.parametrize("nested", ["immediate", "queued"])
    def test_25_publish_async_awaits_the_handlers_of_all(self, nested):
        """When it returns, the async handlers of the scope and of its parents are done, in that order."""

        async def main() -> list[str]:
            bus, agent, tool = self.make_three(nested=nested)
            log: list[str] = []

            def slow(text: str) -> Callable[[Event[Any]], Any]:
                async def handle(event: Event[Any]) -> None:
                    await asyncio.sleep(0)
                    log.append(text)

                return handle

            for one, text in ((bus, "bus"), (agent, "agent"), (tool, "tool")):
                one.subscribe(STARTED, slow(text))
            await tool.publish_async(STARTED)
            return log

        assert asyncio.run(main()) == ["tool", "agent", "bus"]

    def test_25_publish_async_raises_the_errors_of_all(self):
        """The group holds what failed in the scope and on the parent."""

        async def main() -> list[str]:
            bus, agent, tool = self.make_three(on_error="raise")

            async def fail(event: Event[Any]) -> None:
                raise ValueError("awaited")

            tool.subscribe(STARTED, fail)
            bus.subscribe(STARTED, raising)
            try:
                await tool.publish_async(STARTED)
            except HandlerErrors as errors:
                return [str(error) for error in errors.exceptions] + [str(agent.history[-1].type.name)]
            return []

        raised = asyncio.run(main())
        assert raised[0] == "awaited" and len(raised) == 3

    def test_25_emit_goes_up_and_keeps_its_scope(self):
        """An event from elsewhere keeps id and scope on its way through a scope and its parent."""
        bus = self.make_bus()
        scope = self.make_scope(bus)
        event = Event(STARTED, scope="another/run")
        scope.emit(event)
        scope.emit(Event(STOPPED))
        assert [one.scope for one in bus.history] == ["another/run", scope.path]
        assert bus.history[0].id == scope.history[0].id == event.id

    def test_25_threads_in_many_scopes_lose_nothing(self):
        """Eight scopes publishing at once: the parent has every event once, and each scope's in order."""
        bus = self.make_bus(history_limit=None)
        scopes = [self.make_scope(bus, f"agent-{number}") for number in range(8)]
        in_threads(*[lambda scope=scope: [scope.publish(STARTED, number) for number in range(200)] for scope in scopes])
        assert [event.seq for event in bus.history] == list(range(1, 1601))
        for scope in scopes:
            assert [event.data for event in bus.history.select(scope=scope.path)] == list(range(200))

    def test_25_scopes_can_come_and_go_while_others_look(self):
        """Listing the scopes of a bus is safe while other threads make new ones."""
        bus = self.make_bus()
        lasting = [self.make_scope(bus, "lasting") for _ in range(100)]

        def work() -> None:
            kept = [self.make_scope(bus, "brief") for _ in range(50)]
            assert kept[0].scope_name == "brief"

        with many_switches(), meanwhile(work, 3):
            for _ in range(60):
                assert {*lasting} <= {*bus.scopes}

    # -- 26: cycles, keeping events in, closing

    def test_26_a_parent_cannot_be_exchanged(self):
        """``parent_bus`` is for reading."""
        bus, agent, tool = self.make_three()
        with pytest.raises(AttributeError):
            agent.parent_bus = tool
        assert agent.parent_bus is bus

    def test_26_without_propagation_events_stay_in(self):
        """With ``propagate=False`` the parent gets nothing, and the scope still knows its place."""
        bus = self.make_bus(name="run")
        scope = self.make_scope(bus, "quiet", propagate=False)
        inner = self.make_scope(scope, "inner")
        seen: list[Event[Any]] = []
        scope.subscribe(STARTED, seen.append)
        scope.publish(STARTED)
        inner.publish(STARTED)
        assert len(seen) == 2
        assert (len(scope.history), len(bus.history)) == (2, 0)
        assert scope.parent_bus is bus and scope.path == f"{bus.path}/quiet"

    def test_26_without_propagation_async_events_stay_in(self):
        """``publish_async`` keeps events in as `publish` does."""
        bus = self.make_bus()
        scope = self.make_scope(bus, propagate=False)
        asyncio.run(scope.publish_async(STARTED))
        assert (len(scope.history), len(bus.history)) == (1, 0)

    def test_26_closing_a_scope_unsubscribes_what_was_subscribed_through_it(self):
        """Its subscriptions end; its history can still be read."""
        bus = self.make_bus()
        scope = self.make_scope(bus)
        tokens = [scope.subscribe(STARTED, raising), scope.subscribe(None, raising)]
        scope.close()
        assert [token.active for token in tokens] == [False, False]
        assert scope.subscriptions() == [] and scope.closed
        with pytest.raises(BusClosedError):
            scope.publish(STARTED)

    def test_26_closing_a_scope_leaves_parent_and_siblings_alone(self):
        """They keep their subscriptions and go on publishing."""
        bus = self.make_bus()
        scope, sibling = self.make_scope(bus, "one"), self.make_scope(bus, "two")
        seen: list[Event[Any]] = []
        bus.subscribe(STARTED, seen.append)
        sibling.subscribe(STARTED, seen.append)
        scope.close()
        assert not bus.closed and not sibling.closed
        sibling.publish(STARTED)
        bus.publish(STARTED)
        assert len(seen) == 3

    def test_26_a_scope_closes_at_the_end_of_its_block(self):
        """As a context manager a scope closes itself, and only itself."""
        bus = self.make_bus()
        with self.make_scope(bus) as scope:
            scope.publish(STARTED)
        assert scope.closed and not bus.closed

    def test_26_closing_a_bus_closes_its_scopes(self):
        """All the way down, and closing twice is no error."""
        bus, agent, tool = self.make_three()
        token = tool.subscribe(STARTED, raising)
        bus.close()
        bus.close()
        assert agent.closed and tool.closed and not token.active
        for one in (tool, agent, bus):
            with pytest.raises(BusClosedError):
                one.publish(STARTED)

    def test_26_a_closed_bus_takes_no_new_scopes(self):
        """Making a scope of a closed bus is refused at once."""
        bus = self.make_bus()
        bus.close()
        with pytest.raises(BusClosedError, match="parent"):
            self.make_scope(bus)

    def test_26_a_bus_does_not_keep_its_scopes_alive(self):
        """A scope that nobody holds is collected, with its handlers and without having been closed."""

        class Payload:
            pass

        bus = self.make_bus()
        scope = self.make_scope(bus, history_limit=5)
        held = Payload()
        scope.subscribe(STARTED, lambda event, held=held: None)
        inner = self.make_scope(scope, "inner")
        inner.publish(STARTED)
        references = [weakref.ref(one) for one in (scope, inner, held)]
        del scope, inner, held
        gc.collect()
        assert [reference() for reference in references] == [None, None, None]
        assert bus.scopes == []

    def test_26_a_scope_keeps_its_parent_alive(self):
        """Events of a scope find the way up as long as the scope is used."""
        parent = self.make_root()
        seen: list[Event[Any]] = []
        parent.subscribe(STARTED, seen.append)
        scope = self.make_scope(parent)
        del parent
        gc.collect()
        scope.publish(STARTED)
        assert len(seen) == 1

    def test_26_scopes_are_listed_by_name(self):
        """A bus tells which scopes it has."""
        bus = self.make_bus()
        scopes = [self.make_scope(bus, name) for name in "bca"]
        assert [scope.scope_name for scope in bus.scopes] == ["a", "b", "c"]
        assert {*bus.scopes} == {*scopes}
