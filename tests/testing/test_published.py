"""What a recording holds, and how it is read."""

from __future__ import annotations

import asyncio
import sys
from enum import Enum

import pytest

from atlas_lab import BusClosedError, EventBus, EventType, ScopedEventBus
from atlas_lab.testing import record
from atlas_lab.testing.contract.workers import in_threads, many_switches

STARTED = EventType.STREAM_STARTED
CHUNK = EventType.STREAM_CHUNK
DONE = EventType.STREAM_COMPLETED


class Order(Enum):
    PLACED = "placed"


def test_a_recording_begins_and_ends_with_its_block():
    """What was published before and after is not in it, and no subscription is left on the bus."""
    bus = EventBus()
    bus.publish(STARTED)
    with record(bus) as published:
        bus.publish(CHUNK)
        assert published.types == [CHUNK]
        bus.publish(Order.PLACED)
    bus.publish(DONE)
    assert published.types == [CHUNK, Order.PLACED]
    assert published.events == bus.history[1:3]
    assert bus.subscriptions() == []


def test_a_recording_ends_when_its_block_fails():
    """An error in the block leaves no subscription behind, and what was recorded until then can be read."""
    bus = EventBus()
    with pytest.raises(ZeroDivisionError):
        with record(bus) as published:
            bus.publish(CHUNK)
            raise ZeroDivisionError
    assert bus.subscriptions() == []
    assert len(published) == 1


def test_a_bus_may_be_closed_while_it_is_recorded():
    """Closing the bus under test ends the recording without an error."""
    bus = EventBus()
    with record(bus) as published:
        bus.publish(CHUNK)
        bus.close()
    assert published.types == [CHUNK]


def test_an_event_is_recorded_before_any_handler_runs():
    """One whose delivery a handler ends, by closing the bus or by an interrupt, is recorded all the same."""
    bus = EventBus()
    bus.subscribe(CHUNK, lambda event: sys.exit())
    bus.subscribe(DONE, lambda event: bus.close())
    with record(bus) as published:
        with pytest.raises(SystemExit):
            bus.publish(CHUNK)
        bus.publish(DONE)
    assert published.types == [CHUNK, DONE]


def test_failed_handlers_are_recorded():
    """A handler that fails in silence shows as HANDLER_ERROR, after the event it failed on."""
    bus = EventBus()
    bus.subscribe(CHUNK, lambda event: 1 / 0)
    with record(bus) as published:
        bus.publish(CHUNK)
    assert published.types == [CHUNK, EventType.HANDLER_ERROR]


def test_what_scopes_pass_on_is_recorded_and_what_they_keep_is_not():
    """A recording of a bus holds the events of its scopes; one of a scope, its own and none of the bus."""
    bus = EventBus(name="run")
    scope = ScopedEventBus(bus, "agent")
    quiet = ScopedEventBus(bus, "quiet", propagate=False)
    with record(bus) as whole, record(scope) as part:
        bus.publish(STARTED)
        scope.publish(CHUNK)
        quiet.publish(DONE)
    assert [event.scope for event in whole] == ["run", "run/agent"]
    assert part.types == [CHUNK]


def test_what_middleware_drops_is_not_published():
    """Recorded is what the bus accepted, as its middleware changed it."""
    bus = EventBus()
    bus.add_middleware(lambda event: None if event.data == "drop" else event.replace(source="gate"))
    with record(bus) as published:
        bus.publish(CHUNK, "drop")
        bus.publish(CHUNK, "keep")
    assert [(event.data, event.source) for event in published] == [("keep", "gate")]


@pytest.mark.parametrize("nested", ["immediate", "queued"])
def test_a_recording_is_in_the_order_of_the_history(nested):
    """Also when a handler that comes even before the recording publishes more."""
    bus = EventBus(nested=nested)
    bus.subscribe(STARTED, lambda event: bus.publish(CHUNK), priority=sys.maxsize)
    bus.subscribe(CHUNK, lambda event: bus.publish(DONE), priority=sys.maxsize)
    with record(bus) as published:
        bus.publish(STARTED)
    assert published.events == list(bus.history)
    assert published.types == [STARTED, CHUNK, DONE]


def test_a_recording_is_whole_and_in_order_with_many_threads():
    """Eight threads publish at once, with handlers that publish more: the recording is the history."""
    bus = EventBus(history_limit=None)
    bus.subscribe(STARTED, lambda event: bus.publish(CHUNK))
    with many_switches(), record(bus) as published:
        in_threads(*[lambda: [bus.publish(STARTED) for _ in range(100)]] * 8)
    assert [event.seq for event in published] == list(range(1, 1601))


def test_async_publishes_are_recorded():
    """``publish_async`` is recorded as `publish` is."""
    bus = EventBus()
    with record(bus) as published:
        asyncio.run(bus.publish_async(CHUNK))
    assert published.types == [CHUNK]


def test_recordings_do_not_disturb_each_other():
    """Two recordings of one bus both hold everything, and ending one leaves the other on."""
    bus = EventBus()
    with record(bus) as outer:
        with record(bus) as inner:
            bus.publish(STARTED)
        bus.publish(DONE)
    assert (inner.types, outer.types) == ([STARTED], [STARTED, DONE])


@pytest.mark.parametrize("wrong", [None, 5, [], EventBus])
def test_only_a_bus_can_be_recorded(wrong):
    """Whatever else is passed, the message says what came and what is expected."""
    with pytest.raises(TypeError, match="bus must be an EventBus"):
        with record(wrong):
            pass


def test_a_class_of_buses_is_no_bus():
    """Who forgot to call it is told so."""
    with pytest.raises(TypeError, match=r"call it: EventBus\(\)"), record(EventBus):
        pass


def test_a_recorded_bus_is_two_things(recorded_bus):
    """Who takes the fixture for the bus itself is told how to unpack it."""
    with pytest.raises(AttributeError, match="no 'publish'.*unpack it: bus, published = recorded_bus"):
        recorded_bus.publish(STARTED)


def test_a_closed_bus_cannot_be_recorded():
    """A recording that would stay empty for ever is refused at once."""
    bus = EventBus()
    bus.close()
    with pytest.raises(BusClosedError), record(bus):
        pass


def test_a_recording_reads_like_a_list():
    """Length, indexes, slices, membership, iteration and reversal, and a repr that tells the types."""
    bus = EventBus()
    with record(bus) as published:
        assert not published
        assert repr(published) == "<Published: nothing>"
        for number in range(12):
            bus.publish(CHUNK, number, source="even" if number % 2 == 0 else "odd")
    assert len(published) == 12
    assert (published[0].data, published[-1].data) == (0, 11)
    assert [event.data for event in published[2:4]] == [2, 3]
    assert published[3] in published
    assert [event.data for event in reversed(published)] == list(range(11, -1, -1))
    assert repr(published).count("STREAM_CHUNK") == 10
    assert "... 2 more ..." in repr(published)
    with pytest.raises(IndexError, match="12 events were published, there is none at 12"):
        published[12]
    published.events.reverse()
    assert published[0].data == 0


def test_events_can_be_selected_from_a_recording():
    """By type, source, payload and condition, alone and together."""
    bus = EventBus()
    with record(bus) as published:
        bus.publish(STARTED, None, "model")
        bus.publish(CHUNK, {"text": "to", "n": 0}, "model")
        bus.publish(CHUNK, {"text": "be", "n": 1}, "me")
        bus.publish(DONE)
    assert [event.data["n"] for event in published.select(CHUNK)] == [0, 1]
    assert published.select([STARTED, DONE]) == [published[0], published[3]]
    assert published.select(source="model") == [published[0], published[1]]
    assert published.select(CHUNK, source="me", data={"text": "be"}, where=lambda event: event.seq == 3) == [
        published[2]
    ]
    assert published.select() == published.events
    assert published.select(Order.PLACED) == []
