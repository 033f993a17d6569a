"""Doing something again and again: how often, how fast, and how it ends."""

from __future__ import annotations

import asyncio
import threading

import pytest

from atlas_lab.testing.contract.workers import PATIENCE
from atlas_lab.widgets import repeating
from atlas_lab.widgets.repeating import Repeating


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "atlas_lab repeat"]


def test_it_is_done_as_often_as_asked_and_leaves_no_thread():
    """The thread ends with the last call, and says so once."""
    seen, ended = [], []
    run = Repeating(
        lambda: seen.append(threading.current_thread().name), times=20, rate=5000, ended=lambda: ended.append(1)
    )
    run.start()
    assert run.join(PATIENCE)
    assert (run.done, run.running, run.problem, ended) == (20, False, None, [1])
    assert set(seen) == {"atlas_lab repeat"}
    assert threads() == []


class Clock:
    """Time that only waiting and the calls themselves take."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(repeating, "time", self)

    def perf_counter(self):
        return self.now

    def take(self, seconds):
        self.now += seconds

    def times_of(self, costs, rate):
        """Return when calls that take these seconds are made."""
        seen, left = [], iter(costs)
        run = Repeating(lambda: (seen.append(self.now), self.take(next(left))), times=len(costs), rate=rate)
        run._stop.wait = self.take
        run.start()
        assert run.join(PATIENCE)
        return seen


def test_it_keeps_to_intended_times(monkeypatch):
    """A call that takes long does not delay the ones after it: they catch up."""
    clock = Clock(monkeypatch)
    assert clock.times_of([0.25, *[0.0] * 4], rate=8) == [0, 0.25, 0.25, 0.375, 0.5]
    clock.now = 0.0
    assert clock.times_of([0.01] * 5, rate=4) == pytest.approx([0, 0.25, 0.5, 0.75, 1])


def test_it_stops_at_once():
    """Who presses stop does not wait for the next call, which may be a minute away."""
    run = Repeating(lambda: None, times=2, rate=0.01)
    run.start()
    run.stop()
    assert run.join(PATIENCE)
    assert run.done <= 1
    assert run.stopped


def test_the_first_error_ends_it():
    """An error that comes each time would fill the log."""
    run = Repeating(lambda: 1 / 0, times=5, rate=1000)
    run.start()
    assert run.join(PATIENCE)
    assert (run.done, type(run.problem)) == (0, ZeroDivisionError)


def no_thread(*args):
    raise RuntimeError("can't start new thread")


def test_without_threads_it_runs_on_the_event_loop(monkeypatch):
    """As in a browser's Python; the loop breathes in between."""
    other = []
    clock = Clock(monkeypatch)

    async def main():
        run = Repeating(lambda: clock.take(0.03), times=30, rate=1000)
        run.start()
        while run.running:
            other.append(1)
            await asyncio.sleep(0)
        return run.done

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        assert asyncio.run(main()) == 30
    assert len(other) >= 30


def test_without_threads_and_loop_it_says_so(monkeypatch):
    """Nothing pretends to run."""
    run = Repeating(lambda: None, times=3, rate=10)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(RuntimeError, match="neither a thread nor an event loop can repeat this"):
            run.start()
    assert not run.running


@pytest.mark.parametrize(
    "times, rate, error",
    [(0, 1, ValueError), (1.5, 1, TypeError), (2_000_000, 1, ValueError), (1, 0, ValueError), (1, 1e6, ValueError),
     (1, "fast", TypeError), (True, 1, TypeError), (1, float("nan"), ValueError)],
)  # fmt: skip
def test_a_number_that_makes_no_sense_is_refused(times, rate, error):
    """The limits are told."""
    with pytest.raises(error, match="^(times|rate) must be "):
        Repeating(lambda: None, times=times, rate=rate)
