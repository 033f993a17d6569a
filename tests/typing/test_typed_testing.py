"""What a type checker knows about `atlas_lab.testing`, checked by mypy --strict on this very file."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, assert_type

import pytest

from atlas_lab import Event, EventBus, EventType, ScopedEventBus
from atlas_lab.testing import (
    BusContract,
    Published,
    TickingClock,
    assert_nothing_published,
    assert_published,
    assert_sequence,
    exactly,
    matching,
    numbered_ids,
    record,
)

CHUNK = EventType.STREAM_CHUNK


class OtherBus:
    """A bus that shares no class with ours, with what recording it needs."""

    def __init__(self) -> None:
        self.hidden = EventBus()

    def subscribe(
        self, event_type: Enum | None, handler: Callable[[Event[Any]], object], *, priority: int = 0
    ) -> Callable[[], bool]:
        return self.hidden.subscribe(event_type, handler, priority=priority)


class HeldToTheContract(BusContract):
    def make_bus(self, **options: Any) -> EventBus:
        return EventBus(**options)


@pytest.mark.parametrize("bus", [EventBus(), ScopedEventBus(EventBus(), "agent")])
def test_recording_and_asserting(bus: EventBus) -> None:
    """A recording holds events; the assertions take it, a bus or a list, and give events back."""
    with record(bus) as published:
        bus.publish(CHUNK, {"text": "to"})
    assert_type(published, Published)
    assert_type(published[0], Event[Any])
    assert_type(published.types, list[Enum])
    assert_type(published.select(CHUNK, data={"text": str}), list[Event[Any]])
    assert_type(assert_published(published, CHUNK, times=1, data=exactly({"text": "to"})), list[Event[Any]])
    assert_type(assert_sequence(bus, [CHUNK]), list[Event[Any]])
    assert_sequence(published.events, [matching(CHUNK)], strict=True)
    assert_nothing_published(bus.history, [EventType.HANDLER_ERROR])


def test_another_bus_can_be_recorded() -> None:
    """Recording asks for a `subscribe`, not for a class."""
    other = OtherBus()
    with record(other) as published:
        other.hidden.publish(CHUNK)
    assert published.types == [CHUNK]
    assert HeldToTheContract().make_bus(name="run").name == "run"


def test_what_makes_a_run_repeatable_fits_a_bus() -> None:
    """The clock and the ids are of the types that a bus takes."""
    bus = EventBus(clock=TickingClock(), new_id=numbered_ids())
    bus.publish(CHUNK)
    assert bus.history[-1].timestamp == 0


def test_wrong_arguments_are_errors() -> None:
    """What is no bus, no event type or no option is found before the test runs."""
    with pytest.raises(TypeError), record("bus"):  # type: ignore[arg-type]
        pass
    with pytest.raises(TypeError):
        assert_published([], "chunk")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        assert_published(5, CHUNK)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        assert_sequence([], CHUNK)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        matching(CHUNK, sauce="model")  # type: ignore[call-arg]
