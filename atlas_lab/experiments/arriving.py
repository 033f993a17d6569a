"""The clockwork of experiments on latency: calls that come at times of their own, ready or not."""

from __future__ import annotations

import gc
import random
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Literal, NamedTuple

from atlas_lab.machine import load_average

from .measuring import Call, Way, named_in_errors, warm_up

SPIN_NS = 1_000_000
"""How long before a call is due its thread stops sleeping and watches the clock: sleeps end late."""


class Arrived(NamedTuple):
    """What one way did at one rate in one round, when calls came at times of their own.

    Attributes
    ----------
    round : int
        From 0.
    way : int
        Its place among the ways.
    rate : float
        Calls per second, on average.
    load : float or None
        The machine's load average before it.
    due, begun, ended : array of int, nanoseconds
        When each call was to begin, did begin, and ended, counted from the start.
    """

    round: int
    way: int
    rate: float
    load: float | None
    due: array[int]
    begun: array[int]
    ended: array[int]


def measure_arrivals(
    ways: Sequence[Way],
    rounds: int,
    *,
    rates: Sequence[float],
    seconds: float,
    kind: Literal["poisson", "uniform"],
    seed: int,
) -> Iterator[Arrived]:
    """Call each way at each rate once in each round, in shuffled order, and give each block as soon as it is over.

    In one round and at one rate every way meets the same arrivals. Parameters and errors are those of `measure`
    and `arrival_times`.
    """
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    blocks = list(product(range(len(ways)), rates))
    for way in ways:
        warm_up(way, min(0.01, seconds / 4))
    for number in range(rounds):
        for place, rate in chance.sample(blocks, len(blocks)):
            # By rate and round alone: the same whatever else is measured.
            own = random.Random(f"{seed}, round {number}, {rate} per second")  # noqa: S311 - repeatable on purpose
            due = arrival_times(rate, seconds, kind, own)
            gc.collect()
            load = load_average()
            with named_in_errors(ways[place]):
                begun, ended = open_loop(ways[place].call, due)
            yield Arrived(number, place, rate, load, array("q", due), begun, ended)


def arrival_times(rate: float, seconds: float, kind: Literal["poisson", "uniform"], chance: random.Random) -> list[int]:
    """Return when events are due, in nanoseconds from the start.

    Parameters
    ----------
    rate : float
        Events per second, on average.
    seconds : float
        Length of the schedule.
    kind : {"poisson", "uniform"}
        Independent of each other, as from many clients; or in equal distances, the first one at random
        within one distance.
    chance : random.Random
    """
    if kind == "uniform":
        first = chance.random()
        moments = ((first + number) / rate for number in range(int(rate * seconds) + 1))
        return [round(moment * 1e9) for moment in moments if moment < seconds]
    due = []
    moment = 0.0
    while (moment := moment + chance.expovariate(rate)) < seconds:
        due.append(round(moment * 1e9))
    return due


def open_loop(
    call: Call,
    due: Sequence[int],
    *,
    clock: Callable[[], int] = time.perf_counter_ns,
    sleep: Callable[[float], object] = time.sleep,
) -> tuple[array[int], array[int]]:
    """Call once at each of the times when a call is due; one that is late, at once.

    Parameters
    ----------
    call : callable
    due : sequence of int, nanoseconds
        When each call is to begin, counted from now; sorted.
    clock : callable
        Returns nanoseconds.
    sleep : callable
        Takes seconds.

    Returns
    -------
    begun, ended : array of int, nanoseconds
        When each call began and ended, on the same count as `due`.
    """
    begun, ended = array("q", bytes(8 * len(due))), array("q", bytes(8 * len(due)))
    start = clock()
    for number, moment in enumerate(due):
        while (now := clock() - start) < moment:
            if moment - now > 2 * SPIN_NS:
                sleep((moment - now - SPIN_NS) / 1e9)
        call()
        ended[number] = clock() - start
        begun[number] = now
    return begun, ended
