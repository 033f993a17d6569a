"""The clock that ticks, and ids that count."""

from __future__ import annotations

import sys
import time
import uuid

import pytest

from atlas_lab.testing import TickingClock, numbered_ids
from atlas_lab.testing.contract.workers import in_threads, many_switches


def test_the_clock_ticks_with_each_reading():
    """From start, by step; looking at ``now`` moves nothing, and advance goes either way."""
    clock = TickingClock(100, 0.5)
    assert [clock(), clock()] == [100.0, 100.5]
    assert (clock.now, clock.now, clock()) == (101.0, 101.0, 101.0)
    clock.advance(60)
    assert clock() == 161.5
    clock.advance(-162)
    assert clock() == 0.0
    assert repr(clock) == "<TickingClock at 0.5, step 0.5>"


def test_a_clock_without_a_step_moves_only_when_told_to():
    """With step 0 every event has the same time until `advance`."""
    clock = TickingClock(5, step=0)
    assert [clock(), clock()] == [5.0, 5.0]
    clock.advance(1)
    assert clock() == 6.0


def test_no_two_threads_get_the_same_time():
    """Readings are neither lost nor doubled with four threads that take turns after every line."""
    clock = TickingClock()

    def take_turns(*_):
        time.sleep(0)
        return take_turns

    def read():
        sys.settrace(take_turns)
        return [clock() for _ in range(100)]

    assert sorted(one for times in in_threads(*[read] * 4) for one in times) == list(range(400))


@pytest.mark.parametrize("wrong", ["1", None, True, float("nan"), float("inf")])
@pytest.mark.parametrize("argument", ["start", "step", "seconds"])
def test_a_clock_takes_finite_numbers(argument, wrong):
    """Anything else is refused by name, at once."""
    clock = TickingClock()
    with pytest.raises(TypeError, match=f"{argument} must be a finite number of seconds"):
        clock.advance(wrong) if argument == "seconds" else TickingClock(**{argument: wrong})
    assert clock() == 0.0


def test_numbered_ids_are_ids():
    """They parse as UUIDs, sort in the order made, and no two threads get the same."""
    new_id = numbered_ids()
    first = new_id()
    assert uuid.UUID(first).int == 1
    with many_switches():
        made = in_threads(*[lambda: [new_id() for _ in range(200)]] * 8)
    assert sorted(one for ids in made for one in ids) == [f"{number:032x}" for number in range(2, 1602)]
