"""Rates and durations of the last minute, with a clock that the test moves."""

from __future__ import annotations

import numpy as np
import pytest

from atlas_lab import EventBus, EventType
from atlas_lab.widgets.rate_model import POINTS, RateModel
from atlas_lab.widgets.record_switch import RecordSwitch, switch_of

CHUNK = EventType.STREAM_CHUNK


class Rig:
    def __init__(self, **options):
        self.now = 1000.0
        self.bus = EventBus(name="run")
        self.model = RateModel(self.bus, clock=lambda: self.now, **options)

    def go_on(self, seconds, each_tick=0):
        for _ in range(round(seconds * 10)):
            self.now += 0.1
            for _ in range(each_tick):
                self.bus.publish(CHUNK)
            self.model.sample()


def test_a_steady_rate_is_told_and_drawn():
    """In events per second, over the last second."""
    rig = Rig()
    rig.model.sample()
    rig.go_on(10, each_tick=20)
    assert rig.model.state()["rate"] == pytest.approx(200, rel=0.01)
    rates = rig.model.curves().rates
    assert (rates.dtype, len(rates)) == (np.float32, POINTS)
    assert np.allclose(rates[-45:], 200, rtol=0.02)
    assert np.allclose(rates[:240], 0)


def test_it_comes_to_rest():
    """A second after the last event the rate is zero, and nothing changes any more."""
    rig = Rig()
    rig.model.sample()
    rig.go_on(2, each_tick=5)
    rig.go_on(1.2)
    before = rig.model.state()
    rig.go_on(5)
    assert before == rig.model.state()
    assert before["rate"] == 0
    assert rig.model.curves().rates.max() == pytest.approx(50, rel=0.05)


def test_a_minute_is_kept():
    """What is older is forgotten."""
    rig = Rig()
    rig.model.sample()
    rig.go_on(1, each_tick=5)
    rig.go_on(120)
    assert rig.model.curves().rates.max() == 0
    assert len(rig.model._counts) < 630


def test_durations_come_from_a_recording():
    """Percentiles in microseconds, of what was recorded; none without a recording."""
    rig = Rig()
    assert (rig.model.state()["p50"], rig.model.state()["recording"]) == (None, False)
    rig.bus.subscribe(CHUNK, lambda event: sum(range(200)))
    rig.model.switch.turn(True)
    rig.go_on(2, each_tick=10)
    state = rig.model.state()
    assert 0 < state["p50"] <= state["p99"]
    curves = rig.model.curves()
    assert np.isfinite(curves.p50).sum() == np.isfinite(curves.p99).sum() >= 9
    assert np.isnan(curves.p99[:200]).all()
    rig.model.switch.close()


def test_errors_of_scopes_count():
    """What failed on a scope failed on the run."""
    rig = Rig()
    from atlas_lab import ScopedEventBus  # noqa: PLC0415 - only here

    scope = ScopedEventBus(rig.bus, "agent")
    scope.subscribe(CHUNK, lambda event: 1 / 0)
    rig.bus.subscribe(CHUNK, lambda event: None)
    scope.publish(CHUNK)
    state = rig.model.state()
    assert (state["errors"], state["events"], state["subscriptions"]) == (1, 2, 1)


def test_a_switch_is_shared_or_made():
    """Views of one panel share one; a view by itself makes its own, and closes it."""
    bus = EventBus()
    switch = RecordSwitch(bus)
    assert switch_of(bus, switch) == (switch, False)
    made, own = switch_of(bus, True)
    assert (made.on, own) == (True, True)
    first = made.recording
    made.turn(True)
    assert made.recording is first
    made.turn(False)
    made.turn(True)
    assert made.recording is not first
    made.close()
    assert not made.on
