"""What a recording tells while it is on, without building a frame."""

from __future__ import annotations

import pytest

from atlas_lab import EventBus, EventType, ScopedEventBus
from atlas_lab.event_record import MiddlewareStep

CHUNK, DONE = EventType.STREAM_CHUNK, EventType.STREAM_COMPLETED


def test_all_about_one_event():
    """Calls and steps on all buses, in the order in which they began, and of no other event."""
    bus = EventBus(name="run")
    agent = ScopedEventBus(bus, "agent")
    bus.add_middleware(lambda event: event.replace(source="x"), name="stamp")
    agent.subscribe(CHUNK, lambda event: 1 / 0, name="divide")
    bus.subscribe(CHUNK, lambda event: None, name="fine")
    bus.subscribe(CHUNK, lambda event: None, name="other", where=lambda event: False)
    with bus.record() as run:
        chunk = agent.publish(CHUNK)
        bus.publish(DONE)
        about = run.about(chunk)
    assert [call[:3] for call in about.calls] == [
        ("run/agent", "divide", "error"),
        ("run", "fine", "ok"),
        ("run", "other", "skipped"),
    ]
    assert about.calls[0].error == "ZeroDivisionError: division by zero"
    assert [call.thread for call in about.calls] == ["MainThread"] * 3
    (step,) = about.steps
    assert step == MiddlewareStep("run", "stamp", "transformed", step.duration, "source")
    assert run.about("no such") == ((), ())
    assert run.written == len(run.deliveries) + len(run.middleware)


def test_durations_since_a_mark():
    """Only what is new, newest first, or evenly spaced ones of it, and no more than is kept."""
    bus = EventBus()
    bus.subscribe(CHUNK, lambda event: sum(range(event.data)))
    bus.subscribe(CHUNK, lambda event: None, where=lambda event: False)
    with bus.record(limit=100) as run:
        assert run.durations() == (0, [])
        bus.publish(CHUNK, 10)
        bus.publish(CHUNK, 100_000)
        mark, durations = run.durations()
        assert (mark, len(durations)) == (4, 2)
        assert durations[0] > durations[1] > 0
        assert run.durations(mark) == (mark, [])
        for _ in range(60):
            bus.publish(CHUNK, 0)
        assert len(run.durations(mark)[1]) == 50
        assert 10 <= len(run.durations(mark, 30)[1]) <= 30
        assert run.durations(10**9) == (124, [])
    with pytest.raises(ValueError, match="most must be 1 or more"):
        run.durations(most=0)
