"""Scopes beyond the contract: names, waiting, and pauses of parent and child."""

from __future__ import annotations

import asyncio

import pytest

from atlas_lab import BusClosedError, EventBus, EventType, ScopedEventBus

CHUNK = EventType.STREAM_CHUNK


def test_two_scopes_may_bear_one_name():
    """A cell that is run again makes a second scope of that name; both work, and their events share a path."""
    bus = EventBus(name="run")
    scopes = [ScopedEventBus(parent=bus, scope_name="agent") for _ in range(2)]
    for scope in scopes:
        scope.publish(CHUNK)
    assert [event.scope for event in bus.history] == ["run/agent", "run/agent"]
    assert len(bus.scopes) == 2


def test_a_bus_that_is_no_scope_has_no_parent():
    """``parent_bus`` of an outermost bus is None, and its path is its name."""
    bus = EventBus(name="run")
    assert (bus.parent_bus, bus.path, EventBus().path, bus.scopes) == (None, "run", "", [])


def test_a_parent_can_wait_for_what_its_scopes_publish():
    """A wait or stream on the parent sees events of every scope below it, under their path."""

    async def main() -> None:
        bus = EventBus()
        inner = ScopedEventBus(parent=ScopedEventBus(parent=bus, scope_name="a"), scope_name="b")
        waiting, stream = bus.wait_for(CHUNK), bus.stream(CHUNK)
        await asyncio.to_thread(inner.publish, CHUNK, 1)
        assert (await waiting).scope == "a/b"
        bus.close()
        assert [event.scope async for event in stream] == ["a/b"]

    asyncio.run(main())


@pytest.mark.parametrize("wrong", [object(), "run", None, EventBus])
def test_a_parent_must_be_a_bus(wrong):
    """The class itself, or anything else, is refused by name."""
    with pytest.raises(TypeError, match="parent must be an EventBus, got"):
        ScopedEventBus(parent=wrong, scope_name="agent")


def test_subclasses_of_a_bus_can_be_parents():
    """What is derived from `EventBus` is a bus."""

    class Mine(EventBus):
        pass

    bus = Mine()
    ScopedEventBus(parent=bus, scope_name="agent").publish(CHUNK)
    assert len(bus.history) == 1


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"scope_name": 5}, "scope_name must be a str, got int 5"),
        ({"scope_name": "a", "propagate": 1}, "propagate must be True or False, got int 1"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    """The message names the argument, what it may be, and what came."""
    bus = EventBus()
    with pytest.raises(TypeError, match=f"^{message}$"):
        ScopedEventBus(parent=bus, **arguments)
    assert bus.scopes == []


def test_a_closed_bus_takes_no_scopes():
    """The message says which bus is closed."""
    bus = EventBus()
    bus.close()
    with pytest.raises(BusClosedError, match=r"^the parent bus is closed; it takes no new scopes$"):
        ScopedEventBus(parent=bus, scope_name="agent")


def test_a_scope_has_options_of_its_own():
    """The history's limit and the source of ids are the scope's, whatever its parent's are."""
    ids = iter([f"{n:032x}" for n in range(3)])
    bus = EventBus(history_limit=5)
    scope = ScopedEventBus(parent=bus, scope_name="agent", new_id=lambda: next(ids))
    assert (scope.history.limit, ScopedEventBus(parent=bus, scope_name="b", history_limit=7).history.limit) == (1000, 7)
    assert scope.publish(CHUNK) == bus.history[-1].id == f"{0:032x}"
