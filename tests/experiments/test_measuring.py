"""Measuring in rounds: equal blocks, shuffled order, several threads, and the collector kept out."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections import Counter

import pytest

from atlas_lab.experiments.measuring import Way, measure, steady_collector, timed, warm_up
from atlas_lab.testing.contract.workers import PATIENCE


class FakeTime:
    """A clock that only calls move."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def taking(self, seconds):
        def call():
            self.now += seconds

        return call


def test_blocks_take_equal_times():
    """What costs a hundred times as much is called a hundredth as often, so that no way has more of a noisy moment."""
    clock = FakeTime()
    ways = [Way("quick", clock.taking(0.001)), Way("slow", clock.taking(0.1))]
    blocks = list(measure(ways, 3, block=2.0, seed=0, clock=clock))
    assert {(block.way, block.calls, round(block.seconds, 6)) for block in blocks} == {(0, 2000, 2.0), (1, 20, 2.0)}


def test_a_call_longer_than_a_block_is_made_once():
    """Nothing is cut, and nothing is left out."""
    clock = FakeTime()
    blocks = list(measure([Way("very slow", clock.taking(5.0))], 2, block=1.0, seed=0, clock=clock))
    assert [(block.calls, block.seconds) for block in blocks] == [(1, 5.0), (1, 5.0)]


def test_a_stall_while_warming_up_does_not_shorten_the_blocks():
    """The machine may do something else for a moment just then; the estimate comes from more than that moment."""
    clock = FakeTime()
    calls = iter(range(10**9))

    def call():
        clock.now += 1.0 if next(calls) == 0 else 0.001

    assert warm_up(Way("stalled once", call), 0.5, clock) == pytest.approx(0.001)


def test_every_round_runs_each_way_once_in_an_order_from_the_seed():
    """Two ways can be compared within a round, none is always first, and the order can be had again."""
    clock = FakeTime()
    ways = [Way(str(number), clock.taking(1.0)) for number in range(8)]

    def orders(seed):
        with steady_collector():
            blocks = list(measure(ways, 5, block=1.0, seed=seed, clock=clock))
        return [[block.way for block in blocks if block.round == number] for number in range(5)]

    found = orders(1)
    assert all(sorted(order) == list(range(8)) for order in found)
    assert len({tuple(order) for order in found}) > 1
    assert orders(1) == found
    assert orders(2) != found


def test_so_many_threads_call_at_once():
    """Each thread makes all the calls of a block, and none of them is the caller."""
    seen = Counter()
    meeting = threading.Barrier(3)

    def call():
        meeting.wait(PATIENCE)  # passes only if three threads are in here together
        seen[threading.get_ident()] += 1

    seconds = timed(Way("meeting", call, threads=3), 5)
    assert sorted(seen.values()) == [5, 5, 5]
    assert threading.get_ident() not in seen
    assert seconds > 0


def test_calls_of_all_threads_count():
    """Throughput is what the threads get done together."""
    made = []
    blocks = measure([Way("both", lambda: made.append(None), threads=2)], 2, block=0.001, seed=0)
    next(blocks)
    made.clear()
    assert next(blocks).calls == len(made) > 0


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_says_which_way_it_was_and_leaves_no_thread(threads):
    """With a hundred configurations under way, the traceback of a call alone would not tell."""
    before = {*threading.enumerate()}

    def call():
        raise LookupError("no such thing")

    with pytest.raises(LookupError, match="no such thing") as raised:
        list(measure([Way("'mine' with handlers=3", call, threads)], 1, block=0.001, seed=0))
    assert raised.value.__notes__ == ["It was raised while measuring 'mine' with handlers=3."]
    assert {*threading.enumerate()} <= before


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot send a signal to one thread")
def test_an_interrupt_waits_for_the_threads():
    """After the stop button nothing goes on publishing in the background."""
    before = {*threading.enumerate()}
    interrupts = iter([True])

    def call():
        if next(interrupts, False):
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        time.sleep(0.001)  # so that they are still at it when the interrupt arrives

    with pytest.raises(KeyboardInterrupt):
        timed(Way("interrupting", call, threads=2), 200)
    assert {*threading.enumerate()} <= before


@pytest.mark.parametrize("was_on", [True, False])
def test_the_collector_is_off_in_blocks_and_then_as_it_was(was_on):
    """A collection takes longer than many events, and would land in whichever block is under way."""
    states = set()
    gc.unfreeze()
    frozen = gc.get_freeze_count()
    try:
        (gc.enable if was_on else gc.disable)()
        with steady_collector():
            list(measure([Way("looking", lambda: states.add(gc.isenabled()))], 2, block=0.0001, seed=0))
        assert states == {False}
        assert (gc.isenabled(), gc.get_freeze_count()) == (was_on, frozen)
        with pytest.raises(KeyboardInterrupt), steady_collector(collecting=True):
            assert gc.isenabled()
            raise KeyboardInterrupt
        assert (gc.isenabled(), gc.get_freeze_count()) == (was_on, frozen)
    finally:
        gc.enable()


def test_what_somebody_froze_stays_frozen():
    """A program that froze its objects before has its reasons."""
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        with steady_collector():
            pass
        assert 0 < gc.get_freeze_count() <= frozen  # what was frozen may die
    finally:
        gc.unfreeze()
