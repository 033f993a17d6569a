"""Measuring that holds on a noisy machine: every round runs all ways once, in shuffled order, for equal times.

What is compared is the ratio of two ways within a round. Shown are medians over the rounds with 95 %
bootstrap intervals. The garbage collector runs between blocks, not inside them.
"""

import gc
import os
import platform
import statistics
import sys
import time
from importlib.metadata import PackageNotFoundError, version

BLOCK = 0.015  # seconds


def machine(*packages):
    """Return what the numbers depend on."""
    about = {"python": sys.version.split()[0], "system": f"{platform.system()} {platform.machine()}"}
    about |= {"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None}
    for package in packages:
        try:
            about[package] = version(package)
        except PackageNotFoundError:
            about[package] = None
    return about


def measure(ways, rounds, chance, block=BLOCK):
    """Return nanoseconds per call for each way and round.

    Parameters
    ----------
    ways : dict of str to callable
        What to call, without arguments.
    rounds : int
    chance : random.Random
        Shuffles the ways within each round.
    block : float
        Seconds to spend on one way in one round.

    Returns
    -------
    dict of str to list of float
    """
    counts = {name: _calls_in(way, block) for name, way in ways.items()}
    found = {name: [] for name in ways}
    for _ in range(rounds):
        for name in chance.sample(list(ways), len(ways)):
            gc.collect()
            gc.disable()
            try:
                found[name].append(_time(ways[name], counts[name]) / counts[name] * 1e9)
            finally:
                gc.enable()
    return found


def interval(values, chance, draws=2000):
    """Return the median of `values` and its 95 % bootstrap interval."""
    medians = sorted(statistics.median(chance.choices(values, k=len(values))) for _ in range(draws))
    return {"median": statistics.median(values), "low": medians[draws // 40], "high": medians[-draws // 40]}


def ratio(found, way, base, chance):
    """Return the median ratio of two ways within a round, and its interval."""
    return interval([a / b for a, b in zip(found[way], found[base], strict=True)], chance)


def _time(way, count):
    rounds = range(count)
    start = time.perf_counter()
    for _ in rounds:
        way()
    return time.perf_counter() - start


def _calls_in(way, seconds):
    count = 1
    while (spent := _time(way, count)) < seconds / 4:
        count *= 2
    return max(1, round(count * seconds / spent))
