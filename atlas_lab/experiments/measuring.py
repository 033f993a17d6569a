"""The clockwork of experiments: timing calls in equal blocks, shuffled within rounds.

It knows nothing of buses, frames or notebooks.

What a shared machine does to times lasts longer than a block. So every round runs each way once, in shuffled
order and for an equal time, and what is compared are two ways in the same round. The cycle collector
runs between blocks, not inside them.
"""

from __future__ import annotations

import gc
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import repeat
from statistics import median
from typing import NamedTuple, TypeAlias

import msgspec

from atlas_lab.machine import load_average

Call: TypeAlias = Callable[[], object]
Clock: TypeAlias = Callable[[], float]


class Way(msgspec.Struct, frozen=True):
    """One of the things that are measured side by side.

    Attributes
    ----------
    name : str
        Said in what is raised while it runs.
    call : callable
        Called without arguments, over and over.
    threads : int
        How many threads call it at once.
    """

    name: str
    call: Call
    threads: int = 1


class Block(NamedTuple):
    """What one way did in one round.

    Attributes
    ----------
    round : int
        From 0.
    way : int
        Its place among the ways.
    calls : int
        In all threads together.
    seconds : float
        From the beginning of the first call to the end of the last one.
    load : float or None
        The machine's load average before it.
    """

    round: int
    way: int
    calls: int
    seconds: float
    load: float | None


def measure(
    ways: Sequence[Way], rounds: int, *, block: float, seed: int, clock: Clock = time.perf_counter
) -> Iterator[Block]:
    """Time each way once in each round, and give each block as soon as it is over.

    Before the first round every way is run for about half a block, which warms it up and tells how many calls
    fill one.

    Parameters
    ----------
    ways : sequence of Way
    rounds : int
    block : float, seconds
        How long one way is called in one round; a single call that takes longer is not cut.
    seed : int
        Decides the order of the ways within each round.
    clock : callable
        Returns seconds.

    Raises
    ------
    Exception
        What a call raises, with a note that names the way. No thread is left running.

    Examples
    --------
    >>> from atlas_lab.experiments.measuring import Way, measure
    >>> ways = [Way("a list", list), Way("a dict", dict)]
    >>> blocks = list(measure(ways, 3, block=0.001, seed=0))
    >>> [(block.round, ways[block.way].name) for block in blocks[:2]]
    [(0, 'a dict'), (0, 'a list')]
    """
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    costs = [[warm_up(way, block / 4, clock)] for way in ways]
    for number in range(rounds):
        for place in chance.sample(range(len(ways)), len(ways)):
            count = max(1, round(block / median(costs[place])))
            gc.collect()
            load = load_average()
            seconds = timed(ways[place], count, clock)
            yield Block(number, place, count * ways[place].threads, seconds, load)
            costs[place].append(seconds / count)


def timed(way: Way, count: int, clock: Clock = time.perf_counter) -> float:
    """Return the seconds that `count` calls take in each thread of a way."""
    with named_in_errors(way):
        if way.threads == 1:
            start, end = _span(way.call, count, clock)
        else:
            start, end = _common_span(way.call, count, clock, way.threads)
    return end - start


@contextmanager
def named_in_errors(way: Way) -> Iterator[None]:
    """Have what a call raises in a ``with`` block say which way it was."""
    try:
        yield
    except Exception as error:
        error.add_note(f"It was raised while measuring {way.name}.")
        raise


def warm_up(way: Way, least: float, clock: Clock = time.perf_counter) -> float:
    """Call a way more and more often until that takes `least` seconds; return the seconds of one call."""
    count = 1
    while (seconds := timed(way, count, clock)) < least:
        count *= 2
    cost = seconds / count
    # Once more: one interruption by the machine can make a few calls last that long.
    count = max(1, round(least / cost))
    return min(cost, timed(way, count, clock) / count)


def _span(call: Call, count: int, clock: Clock) -> tuple[float, float]:
    calls = repeat(None, count)
    start = clock()
    for _ in calls:
        call()
    return start, clock()


def _common_span(call: Call, count: int, clock: Clock, threads: int) -> tuple[float, float]:
    """Return when the first of so many threads began its calls, and when the last one was done."""
    gate = threading.Barrier(threads)
    spans: list[tuple[float, float]] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            gate.wait()
            spans.append(_span(call, count, clock))
        except BaseException as error:  # noqa: BLE001 - raised again where it is seen
            failures.append(error)

    workers = [threading.Thread(target=work, name=f"measuring-{number}") for number in range(threads)]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        gate.abort()  # an interrupt may have come before all of them had started
        for worker in workers:
            if worker.ident is not None:
                worker.join()
    if failures:
        raise failures[0]
    return min(start for start, _ in spans), max(end for _, end in spans)


@contextmanager
def steady_collector(*, collecting: bool = False) -> Iterator[None]:
    """Keep Python's cycle collector out of a ``with`` block, but where it is called, and put it back as it was.

    What exists already is not looked at until the end, so that a collection between two blocks costs
    little in a notebook that holds a million objects.

    Parameters
    ----------
    collecting : bool
        Let it run by itself instead, over all there is, as in a program that nobody measures.
    """
    was_on = gc.isenabled()
    gc.collect()
    freezing = not collecting and not gc.get_freeze_count()
    try:
        if freezing:
            gc.freeze()
        (gc.enable if collecting else gc.disable)()
        yield
    finally:
        if freezing:
            gc.unfreeze()
        (gc.enable if was_on else gc.disable)()
