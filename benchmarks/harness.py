"""Timing that holds on a noisy machine: every round runs all ways once, in shuffled order, for equal times.

What is compared is two ways within a round, so that what slows the machine for a while slows both. A way is a
statement compiled into a loop of its own: no call around it is timed along with it. Times are processor times of
this process, which other programs disturb least; what is measured here waits for nothing, so on an idle machine a
clock on the wall would show the same. The garbage collector runs between blocks; inside them it is off, but where a
measurement says otherwise.
"""

import gc
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import repeat
from math import ceil
from textwrap import indent
from typing import NamedTuple

BLOCK = 0.015  # seconds
# On Windows processor time moves in steps of 16 ms.
CLOCK = time.perf_counter if sys.platform == "win32" else time.process_time
PATIENCE = 10  # blocks that one call may take before a way sits out some rounds


class Way(NamedTuple):
    """What is timed: ``run`` does it once for each item of an iterable.

    Before it is timed it runs `warm` times, so that a bounded history is full. Each block is timed inside a
    context of its own, made by `around`.
    """

    run: Callable
    warm: int = 3
    around: Callable[[], AbstractContextManager] = nullcontext


@dataclass
class Cell:
    """What was measured of one peer in one setting, in rounds 0, `every`, 2 `every` and so on.

    `readings` are seconds for one publish or whatever the section is about, or bytes, as `unit` says.
    """

    readings: list[float]
    every: int = 1
    unit: str = "second"
    notes: dict[str, int | str] = field(default_factory=dict)

    def by_round(self):
        return {number * self.every: value for number, value in enumerate(self.readings)}


def way(statement, loop=None, *, warm=3, around=nullcontext, **names):
    """Return a way that runs `statement`, in which `names` are local variables; with a `loop` it may await."""
    body = indent(statement, " " * 8)
    head = f"{'async ' if loop else ''}def run(times, {', '.join(f'{name}={name}' for name in names)}):"
    made = dict(names)
    exec(f"{head}\n    for _ in times:\n{body}\n", made)
    run = made["run"]
    return Way(run if loop is None else lambda times: loop.run_until_complete(run(times)), warm, around)


def measure(ways, rounds, chance, block=BLOCK, *, collecting=False):
    """Return seconds per call for each way.

    Parameters
    ----------
    ways : dict of key to Way
    rounds : int
    chance : random.Random
        Shuffles the ways within each round.
    block : float
        Seconds to spend on one way in one round. A way of which one call takes much longer is left out of most
        rounds, evenly.
    collecting : bool
        Whether the garbage collector is on inside a block.

    Returns
    -------
    dict of key to Cell
    """
    plans = {key: _plan(way, block) for key, way in ways.items()}
    cells = {key: Cell([], every=every) for key, (_, every) in plans.items()}
    if not collecting:
        gc.freeze()  # collecting what the imported libraries are made of would take longer than the blocks
    try:
        for number in range(rounds):
            turn = [key for key in ways if number % plans[key][1] == 0]
            for key in chance.sample(turn, len(turn)):
                gc.collect()
                cells[key].readings.append(_block(ways[key], plans[key][0], collecting))
    finally:
        gc.unfreeze()
    return cells


def _block(timed, calls, collecting):
    with timed.around():
        if not collecting:
            gc.disable()
        try:
            return _seconds(timed, calls) / calls
        finally:
            gc.enable()


def _seconds(timed, calls):
    times = repeat(None, calls)
    start = CLOCK()
    timed.run(times)
    return CLOCK() - start


def _plan(timed, block):
    """Return how many calls fill a block, and in which share of the rounds the way takes part."""
    with timed.around():
        timed.run(repeat(None, timed.warm))
        calls = 1
        while (spent := _seconds(timed, calls)) < block / 4:
            calls *= 2
    return max(1, round(calls * block / spent)), max(1, ceil(spent / calls / block / PATIENCE))
