"""A history by itself, without a bus around it."""

from __future__ import annotations

import threading

import pytest

import atlas_lab
from atlas_lab import EventBus, EventType, History

CHUNK = EventType.STREAM_CHUNK


def test_a_history_of_ones_own_is_empty():
    """It can be made without a bus, with the limits a bus takes."""
    history = History(5)
    assert (len(history), history.limit, history.accepted, history.dropped) == (0, 5, 0, 0)
    assert history.latest() == history.select() == list(history) == history[:] == []
    assert not history


@pytest.mark.parametrize("limit, error", [("5", TypeError), (True, TypeError), (2.0, TypeError), (-1, ValueError)])
def test_a_wrong_limit_is_refused(limit, error):
    """The message names the option, what came and what is expected."""
    with pytest.raises(error, match=rf"limit must be .*0 or more.*got .*{limit}"):
        History(limit)


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
    thread.join(20)
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
