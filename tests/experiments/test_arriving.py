"""Calls at times of their own: schedules from a seed, and latency that counts from when a call was due."""

from __future__ import annotations

import itertools
import random
import statistics

import pytest

from atlas_lab.experiments.arriving import SPIN_NS, arrival_times, measure_arrivals, open_loop
from atlas_lab.experiments.measuring import Way, steady_collector

SECOND = 1_000_000_000


class FakeTime:
    """A clock in nanoseconds: looking at it takes a thousand, and sleeping as long as asked, or longer."""

    def __init__(self, oversleeping=0):
        self.now = 5 * SECOND
        self.oversleeping = oversleeping
        self.slept = []

    def clock(self):
        self.now += 1000
        return self.now

    def sleep(self, seconds):
        assert seconds > 0
        self.slept.append(seconds)
        self.now += round(seconds * SECOND) + self.oversleeping


def run(costs, due, oversleeping=0):
    fake = FakeTime(oversleeping)
    costs = iter(costs)

    def call():
        fake.now += next(costs)

    begun, ended = open_loop(call, due, clock=fake.clock, sleep=fake.sleep)
    return list(begun), list(ended), fake


def test_a_stall_is_charged_to_all_that_had_to_wait():
    """One second's stall at 100 events a second delays a hundred events, not one (coordinated omission)."""
    due = [number * SECOND // 100 for number in range(300)]
    begun, ended, _ = run([SECOND if number == 50 else 1000 for number in range(300)], due)
    latency = [end - moment for end, moment in zip(ended, due, strict=True)]
    service = [end - begin for end, begin in zip(ended, begun, strict=True)]
    assert sum(time > SECOND // 1000 for time in service) == 1
    assert sum(time > SECOND // 1000 for time in latency) == 100
    # Who came halfway through the stall waited for the other half.
    assert latency[100] == pytest.approx(SECOND / 2, rel=0.001)


def test_nothing_begins_before_it_is_due():
    """Otherwise a fast system would be given events that do not exist yet."""
    due = [0, 10, 5_000_000, 5_000_001, 400_000_000]
    begun, _, fake = run([100] * 5, due)
    assert all(begin >= moment for begin, moment in zip(begun, due, strict=True))
    assert begun[2] - due[2] <= 1000  # and not long after
    assert fake.slept != []


def test_sleeps_end_early_enough_to_be_late():
    """A sleep that takes a millisecond too long is no latency of the system."""
    due = [number * SECOND // 10 for number in range(10)]
    begun, _, fake = run([100] * 10, due, oversleeping=SPIN_NS - 10)
    assert max(begin - moment for begin, moment in zip(begun, due, strict=True)) <= 1000
    assert len(fake.slept) == 9


def test_poisson_arrivals_have_the_rate_and_no_memory():
    """Distances are exponential: mean and standard deviation are both one over the rate."""
    due = arrival_times(1000, 60.0, "poisson", random.Random(1))
    distances = [later - sooner for sooner, later in itertools.pairwise(due)]
    assert len(due) == pytest.approx(60_000, rel=0.02)
    assert statistics.mean(distances) == pytest.approx(1_000_000, rel=0.02)
    assert statistics.stdev(distances) == pytest.approx(1_000_000, rel=0.03)
    assert due == sorted(due)
    assert due[0] >= 0
    assert due[-1] < 60 * SECOND


@pytest.mark.parametrize("seconds", [1.0, 0.995])
def test_uniform_arrivals_keep_their_distance(seconds):
    """They lie in equal distances, wherever the first one is, and all within the time."""
    firsts = set()
    for seed in range(20):
        due = arrival_times(100, seconds, "uniform", random.Random(seed))
        assert {later - sooner for sooner, later in itertools.pairwise(due)} <= {
            9_999_999,
            10_000_000,
            10_000_001,
        }
        assert 0 <= due[0] < 10_000_000
        assert seconds * SECOND - 10_000_000 <= due[-1] < seconds * SECOND
        firsts.add(due[0])
    assert len(firsts) == 20


def test_every_system_meets_the_same_arrivals():
    """In one round and at one rate: a burst is then no luck of one of them, and adding a system changes none."""
    ways = [Way("a", lambda: None), Way("b", lambda: None)]

    def schedules(ways, rates, seed=3):
        found = {}
        with steady_collector():
            for block in measure_arrivals(ways, 2, rates=rates, seconds=0.005, kind="poisson", seed=seed):
                found.setdefault((block.round, block.rate), []).append(list(block.due))
        return found

    both = schedules(ways, [2000, 5000])
    assert {len(found) for found in both.values()} == {2}
    assert all(first == second for first, second in both.values())
    assert both[0, 2000] != both[1, 2000]
    alone = schedules(ways[:1], [5000])
    assert all(found == both[key][:1] for key, found in alone.items())
    assert schedules(ways[:1], [5000], seed=4) != alone


def test_an_error_says_which_way_it_was():
    """As in rounds without a schedule."""
    calls = iter(range(100_000))

    def call():
        if next(calls) > 2000:
            raise LookupError("no such thing")

    ways = [Way("'mine' with handlers=3", call)]
    with pytest.raises(LookupError) as raised:
        list(measure_arrivals(ways, 9, rates=[100_000], seconds=0.01, kind="uniform", seed=0))
    assert raised.value.__notes__ == ["It was raised while measuring 'mine' with handlers=3."]
