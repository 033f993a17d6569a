"""The doctor of subscriptions finds what is wrong, and puts the worst first."""

from __future__ import annotations

import gc

import pytest

from atlas_lab import EventBus, EventType, ScopedEventBus, subscription_doctor

STARTED, STOPPED = EventType.AGENT_STARTED, EventType.AGENT_STOPPED
DTYPES = {
    "scope": "category",
    "handler": "category",
    "listens_to": "str",
    "state": "category",
    "finding": "str",
    "calls": "int64",
    "errors": "int64",
    "last_error": "str",
    "age": "timedelta64[ns]",
    "defined_at": "str",
}


class Agent:
    def work(self, event):
        pass


def findings(bus: EventBus, **options: bool) -> list[tuple[str, str]]:
    frame = subscription_doctor(bus, **options)
    return [(row.handler, row.finding) for row in frame.itertuples()]


def test_each_ailment_is_found_and_the_worst_comes_first():
    """Died unheard, always failing, sometimes failing, paused, filtered out, never called, gone, well: in this order."""
    bus = EventBus()
    bus.subscribe(STARTED, lambda event: None, name="well")
    bus.subscribe(STOPPED, lambda event: None, name="idle")
    bus.subscribe(STARTED, lambda event: None, name="deaf", where=lambda event: False, source="nobody")
    bus.subscribe(STARTED, lambda event: None, name="asleep").pause()
    bus.subscribe(STARTED, lambda event: 1 / event.data, name="shaky")
    bus.subscribe(STARTED, lambda event: 1 / 0, name="broken")
    served = Agent()
    bus.subscribe(STARTED, served.work, name="served")
    bus.subscribe(STARTED, Agent().work, name="unheard")
    for data in (0, 1, 2):
        bus.publish(STARTED, data)
    del served
    gc.collect()
    filters = bus.subscriptions()[2].filters
    assert findings(bus) == [
        ("unheard", "its object was gone before an event came: keep a reference to it, or subscribe with weak=False"),
        ("broken", "it failed every time"),
        ("shaky", "it failed in 1 of 3 calls"),
        ("asleep", "it is paused: resume() has it called again"),
        ("deaf", f"it was never called: none of 3 events met {', '.join(filters)}"),
        ("idle", "it was never called: no event that it listens to came since it was subscribed"),
        ("served", "its object is gone, and with it the subscription"),
        ("well", "well"),
    ]
    frame = subscription_doctor(bus).set_index("handler")
    assert frame["state"].to_dict() | {"well": "active"} == {
        "unheard": "gone", "broken": "active", "shaky": "active", "asleep": "paused", "deaf": "active",
        "idle": "active", "served": "gone", "well": "active",
    }  # fmt: skip
    assert frame.loc["shaky", ["calls", "errors", "last_error"]].tolist() == [
        3, 1, "ZeroDivisionError: division by zero",
    ]  # fmt: skip
    assert "test_doctor.py:" in frame.loc["broken", "defined_at"]


def test_scopes_are_looked_at_too():
    """Subscriptions of scopes, however deep, stand under their path; ``scopes=False`` leaves them out."""
    bus = EventBus(name="run")
    inner = ScopedEventBus(ScopedEventBus(bus, "agent"), "tool")
    inner.subscribe(None, lambda event: None, name="inner")
    assert subscription_doctor(bus)["scope"].tolist() == ["run/agent/tool"]
    assert subscription_doctor(bus)["listens_to"].tolist() == ["every type"]
    assert findings(bus, scopes=False) == []


def test_age_is_by_the_clock_of_the_bus():
    """A bus of its own time gives ages in it."""
    now = [100.0]
    bus = EventBus(clock=lambda: now[0])
    bus.subscribe(STARTED, lambda event: None)
    now[0] = 102.5
    assert subscription_doctor(bus)["age"].dt.total_seconds().tolist() == [2.5]


def test_the_columns_are_the_same_with_and_without_rows():
    """Nothing subscribed gives every column with its dtype."""
    bus = EventBus()
    for _ in range(2):
        assert {name: str(dtype) for name, dtype in subscription_doctor(bus).dtypes.items()} == DTYPES
        bus.subscribe(STARTED, lambda event: None)


def test_what_is_no_bus_is_refused():
    """The message names what came."""
    with pytest.raises(TypeError, match="bus must be an EventBus, got int 3"):
        subscription_doctor(3)
