"""Scopes beyond the contract: names, waiting, and pauses of parent and child."""

from __future__ import annotations

import asyncio

import pytest

from atlas_lab import EventBus, EventType, ScopedEventBus

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
