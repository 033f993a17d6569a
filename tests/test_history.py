"""A history by itself, without a bus around it."""

from __future__ import annotations

import threading

import pytest

import atlas_lab
from atlas_lab import EventBus, EventType, History
from atlas_lab.testing.contract.workers import PATIENCE

CHUNK = EventType.STREAM_CHUNK
DONE = EventType.STREAM_COMPLETED


def test_a_history_of_ones_own_is_empty():
    """It can be made without a bus, with the limits a bus takes."""
    history = History(5)
    assert (len(history), history.limit, history.accepted, history.dropped) == (0, 5, 0, 0)
    assert history.latest() == history.select() == list(history) == history[:] == []
    assert not history
    assert (History().limit, History(None).limit) == (1000, None)


@pytest.mark.parametrize("limit, error", [("5", TypeError), (True, TypeError), (2.0, TypeError), (-1, ValueError)])
def test_a_wrong_limit_is_refused(limit, error):
    """The message names the option, what came and what is expected."""
    with pytest.raises(error, match=rf"limit must be .*0 or more.*got .*{limit}"):
        History(limit)


@pytest.mark.parametrize(
    "conditions, message",
    [
        ({"source": 5}, "source must be a str or several, got int 5"),
        ({"source": ["a", 5]}, "source must be a str or several, got int 5"),
        ({"since": "noon"}, "since must be seconds since the epoch or a datetime, got str 'noon'"),
        ({"until": True}, "until must be seconds since the epoch or a datetime, got bool True"),
        ({"scope": 5}, "scope must be a str or None, got int 5"),
        ({"where": 5}, "where must be callable with one event, got int 5"),
        ({"type": 5}, "type must be a member of an Enum, got int 5; pass a member of EventType"),
    ],
)
def test_a_wrong_condition_is_refused(conditions, message):
    """The message names the condition, what it may be, and what came."""
    with pytest.raises(TypeError, match=f"^{message}"):
        History().select(**conditions)


@pytest.mark.parametrize("types, known", [([], "none"), ([DONE, CHUNK, DONE], "STREAM_CHUNK, STREAM_COMPLETED")])
def test_a_type_that_is_misspelled_is_refused(types, known):
    """``history["..."]`` of a name that is no event type names those that there are; a type that did not come is empty."""
    bus = EventBus()
    for event_type in types:
        bus.publish(event_type)
    with pytest.raises(KeyError) as caught:
        bus.history["STREAM_CHNUK"]
    assert caught.value.args == (f"history holds no event of a type 'STREAM_CHNUK'; types in it: {known}",)
    assert bus.history["AGENT_STARTED"] == bus.history[EventType.AGENT_STARTED] == []
    assert len(bus.history[DONE]) == types.count(DONE)


def test_what_was_cleared_is_not_dropped():
    """``dropped`` tells what the limit pushed out, however often the history was cleared."""
    bus = EventBus(history_limit=2)
    for count in (2, 1, 3):
        for _ in range(count):
            bus.publish(CHUNK)
        bus.history.clear()
    assert (bus.history.dropped, bus.history.accepted, len(bus.history)) == (1, 6, 0)


def test_a_history_shares_the_lock_of_its_bus():
    """Reading waits for a publish under way, so that number and event appear together."""
    bus = EventBus()
    bus.publish(CHUNK)
    read: list[int] = []
    with bus._lock:
        thread = threading.Thread(target=lambda: read.append(bus.history.dropped), daemon=True)
        thread.start()
        thread.join(0.05)
        assert read == []
    thread.join(PATIENCE)
    assert read == [0]


def test_a_history_becomes_a_frame():
    """`to_frame` is `atlas_lab.to_frame` of the events kept."""
    pytest.importorskip("pandas")
    bus = EventBus(history_limit=2)
    for data in range(3):
        bus.publish(CHUNK, {"n": data})
    frame = bus.history.to_frame(data="expand", run="a")
    assert frame.equals(atlas_lab.to_frame(list(bus.history), data="expand", run="a"))
    assert len(frame) == 2
    assert bus.history.to_frame().equals(atlas_lab.to_frame(list(bus.history)))


@pytest.mark.parametrize("limit, kept", [(None, 3000), (1000, 1000), (10, 10), (0, 0)])
def test_events_are_found_by_number(limit, kept):
    """Few or many, near an end or in the middle: those that are kept, oldest first."""
    bus = EventBus(limit)
    for step in range(3000):
        bus.publish(CHUNK, step)
    history = bus.history
    assert history.seqs == range(3001 - kept, 3001)
    for first, last in [(1, 3000), (0, 5), (2995, 9999), (1400, 1600), (100, 2000), (1500, 2990), (7, 6), (5000, 6000)]:
        expected = [seq for seq in range(first, last + 1) if seq in history.seqs]
        assert [event.seq for event in history.between(first, last)] == expected
    history.clear()
    assert (history.seqs, history.between(1, 9999)) == (range(3001, 3001), [])
    bus.publish(CHUNK)
    assert [event.seq for event in history.between(1, 9999)] == ([3001] if kept else [])


def test_wrong_numbers_are_refused():
    """The message names the argument."""
    with pytest.raises(TypeError, match="first must be an int"):
        History().between("1", 2)
    with pytest.raises(ValueError, match="last must be 0 or more"):
        History().between(1, -2)
