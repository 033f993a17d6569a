"""Running experiments: `throughput` as fast as it goes, `latency` at intended times."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

from atlas_lab.arguments import check_choice, check_count, check_kind, check_optional, refuse
from atlas_lab.errors import MissingExtraError
from atlas_lab.progress import Progress

from .arriving import Arrived, measure_arrivals
from .configurations import Make, all_configurations, named_systems, set_up
from .measurements import Column, Notes, notes, tidy
from .measuring import Block, Way, measure, steady_collector

try:
    import numpy as np
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error


def throughput(
    make: Make | None = None,
    *,
    handlers: int | Iterable[int] = (1, 10, 100),
    middleware: int | Iterable[int] = 0,
    threads: int | Iterable[int] = 1,
    scopes: int | Iterable[int] = 0,
    payload_bytes: int | Iterable[int] = 0,
    against: Mapping[str, Make] | None = None,
    rounds: int = 20,
    block: float = 0.02,
    seed: int = 0,
    collecting: bool = False,
    run: str | None = None,
    packages: Iterable[str] = (),
    progress: bool = True,
) -> pd.DataFrame:
    """Measure what a publish costs, for every combination of the values given.

    Each round runs every configuration of every system once, in shuffled order and for equal times, so that
    two of them can be compared within a round whatever else the machine does. Before the first
    round, each is run for half a block to warm it up.

    Parameters
    ----------
    make : callable, optional
        Takes a `Configuration` and returns what publishes once, or a context manager that gives it; it is
        called from ``configuration.threads`` threads at once. Anything that can be called without arguments can be
        measured. By default an `EventBus` is set up, by `publisher`.
    handlers, middleware, threads, scopes, payload_bytes : int or iterable of int
        One value or several of each; see `Configuration`. A system of your own sees to them itself,
        but for the threads.
    against : mapping of str to callable, optional
        Other systems to measure in the same rounds, by name; each like `make`.
    rounds : int, default 20
        At least 2 for intervals, some 20 for good ones.
    block : float, default 0.02, seconds
        How long a configuration is run in a round. A block is at least one call.
    seed : int
        Decides the order within the rounds.
    collecting : bool, default False
        Let Python's cycle collector run inside blocks. Otherwise it runs between them.
    run : str, optional
        Name of the run; by default its date.
    packages : iterable of str
        Packages to note the versions of.
    progress : bool, default True
        Show a bar if it takes longer than a moment.

    Returns
    -------
    DataFrame, one row per round and configuration, in the order measured

        ============== =================== =================================================================
        run            category
        system         category            ``atlas_lab`` or the name of `make`, then those of `against`
        handlers       int32               and middleware, threads, scopes, payload_bytes
        round          int32               from 0
        events         int64               published in the block, by all threads together
        seconds        float64             from the first to the last of them
        ns_per_event   float64             with several threads, not what one of them waits, but their yield
        events_per_s   float64
        load           float64             load average of the machine before the block; missing if unknown
        seed           int64
        date           datetime64[ns, UTC] when the run began
        machine        category            Python, system, processor, cores
        versions       category            of the packages
        ============== =================== =================================================================

        ``attrs["stamp"]`` holds the same about run and machine as a dict. The columns survive
        `pandas.concat` and files.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or what `make` returns cannot be called or is async.
    Exception
        What a system raises, with a note that names system and configuration.

    Warns
    -----
    RuntimeWarning
        If it is interrupted (the stop button of a notebook) after the first round: what is returned are the
        rounds that were complete. An interrupt before that is raised as usual.

    Notes
    -----
    An event is a call in a bare loop, which itself takes some 10 ns. However it ends, threads are
    joined, systems taken down, and the collector is put back as it was.

    Examples
    --------
    >>> from atlas_lab.experiments import throughput
    >>> frame = throughput(handlers=(1, 10), middleware=(0, 5), rounds=3, block=0.001)
    >>> frame.groupby(["handlers", "middleware"]).size().to_dict()
    {(1, 0): 3, (1, 5): 3, (10, 0): 3, (10, 5): 3}
    """
    makes = named_systems(make, against)
    configurations = all_configurations(
        handlers=handlers, middleware=middleware, threads=threads, scopes=scopes, payload_bytes=payload_bytes
    )
    check_count("rounds", rounds, 1)
    _check_positive("block", block)
    noted = _checked_notes(run, seed, packages)
    found: list[Block] = []
    with ExitStack() as stack:
        systems = set_up(makes, configurations, stack)
        ways = [Way(str(system), system.call, system.configuration.threads) for system in systems]
        stack.enter_context(steady_collector(collecting=collecting))
        bar = stack.enter_context(Progress(rounds * len(ways), "throughput", "blocks", show=progress))
        with _keeping_whole_rounds(found, len(ways), rounds):
            for one in measure(ways, rounds, block=block, seed=seed):
                found.append(one)
                bar.advance()
    return tidy(systems, found, [_costs(one) for one in found], noted)


def latency(
    make: Make | None = None,
    *,
    rates: float | Iterable[float] = (1_000, 10_000),
    seconds: float = 1.0,
    arrivals: Literal["poisson", "uniform"] = "poisson",
    handlers: int | Iterable[int] = 1,
    middleware: int | Iterable[int] = 0,
    scopes: int | Iterable[int] = 0,
    payload_bytes: int | Iterable[int] = 0,
    against: Mapping[str, Make] | None = None,
    rounds: int = 5,
    keep: int = 100_000,
    seed: int = 0,
    collecting: bool = False,
    run: str | None = None,
    packages: Iterable[str] = (),
    progress: bool = True,
) -> pd.DataFrame:
    """Measure how long a publish takes when events come at times of their own, whether it is ready or not.

    One thread publishes each event when it is due, or as soon as it can after that. Latency counts from
    the time when the event was due, so an event that had to wait for those before it is charged for
    the wait. Timing only the call leaves that out ("coordinated omission"), and a system that stalls
    for a second then seems to have had one slow event; ``service_ns`` is that time.

    Parameters
    ----------
    make, handlers, middleware, scopes, payload_bytes, against
        As in `throughput`.
    rates : float or iterable of float, events per second
        How often events come on average.
    seconds : float, default 1.0
        How long events come in one round. A system that is too slow for the rate takes longer, and latency grows
        until it is done.
    arrivals : {"poisson", "uniform"}
        Events that come independently of each other, as from many clients, or in equal distances. In
        one round and at one rate every system meets the same arrivals.
    rounds : int, default 5
    keep : int, default 100_000
        Rows per round and configuration. Of more events than that a random sample is kept, and
        ``share`` says how much of them; the slowest may then be missing.
    seed : int
        Decides arrivals, order within the rounds, and sample.
    collecting : bool, default False
        Let Python's cycle collector run while events come. Otherwise it runs between blocks.
    run, packages, progress
        As in `throughput`.

    Returns
    -------
    DataFrame, one row per event

        ============== =================== =================================================================
        run            category
        system         category            ``atlas_lab`` or the name of `make`, then those of `against`
        handlers       int32               and middleware, threads (always 1), scopes, payload_bytes
        rate           float64             events per second, asked for
        round          int32               from 0
        event          int64               place among the events of its block, from 0
        intended       float64             when it was due, in seconds from the beginning of its block
        latency_ns     int64               from then to the end of the publish
        service_ns     int64               from the beginning to the end of the publish
        share          float64             part of the events of its block that is in the frame
        load           float64             load average of the machine before the block; missing if unknown
        seed           int64               and date, machine, versions, as in `throughput`
        ============== =================== =================================================================

    Raises
    ------
    TypeError, ValueError, Exception
        As in `throughput`.

    Warns
    -----
    RuntimeWarning
        As in `throughput`.

    Notes
    -----
    The publishing thread sleeps until a millisecond before an event is due and then watches the clock, so
    it keeps one core busy. What remains of its own lateness, and about 0.2 µs per event to take
    down the times, is part of the latency.

    On coordinated omission: G. Tene, "How NOT to Measure Latency", Strange Loop 2015. On open and closed loops:
    Schroeder, Wierman and Harchol-Balter, "Open Versus Closed: A Cautionary Tale", NSDI 2006.

    Examples
    --------
    >>> from atlas_lab.experiments import latency
    >>> frame = latency(rates=1_000, seconds=0.05, arrivals="uniform", rounds=2)
    >>> len(frame), bool((frame["latency_ns"] >= frame["service_ns"]).all())
    (100, True)
    """
    makes = named_systems(make, against)
    configurations = all_configurations(
        handlers=handlers, middleware=middleware, scopes=scopes, payload_bytes=payload_bytes
    )
    check_choice("arrivals", arrivals, ("poisson", "uniform"))
    check_count("rounds", rounds, 1)
    check_count("keep", keep, 1)
    _check_positive("seconds", seconds)
    speeds = _rates(rates, seconds)
    noted = _checked_notes(run, seed, packages)
    found: list[Arrived] = []
    with ExitStack() as stack:
        systems = set_up(makes, configurations, stack)
        ways = [Way(str(system), system.call) for system in systems]
        stack.enter_context(steady_collector(collecting=collecting))
        each = len(ways) * len(speeds)
        bar = stack.enter_context(Progress(rounds * each, "latency", "blocks", show=progress))
        with _keeping_whole_rounds(found, each, rounds):
            for one in measure_arrivals(ways, rounds, rates=speeds, seconds=seconds, kind=arrivals, seed=seed):
                found.append(one)
                bar.advance()
    chance = np.random.default_rng(seed)
    times = [_times(one, keep, chance) for one in found]
    return tidy(systems, found, times, noted, [one.rate for one in found])


def _costs(block: Block) -> dict[str, Column]:
    return {
        "events": np.array([block.calls]),
        "seconds": np.array([block.seconds]),
        "ns_per_event": np.array([block.seconds / block.calls * 1e9]),
        "events_per_s": np.array([block.calls / block.seconds]),
    }


def _times(block: Arrived, keep: int, chance: np.random.Generator) -> dict[str, Column]:
    count = len(block.due)
    event = np.arange(count) if count <= keep else np.sort(chance.choice(count, keep, replace=False))
    due, begun, ended = (np.array(times, np.int64)[event] for times in (block.due, block.begun, block.ended))
    return {
        "event": event,
        "intended": due / 1e9,
        "latency_ns": ended - due,
        "service_ns": ended - begun,
        "share": np.full(len(event), min(1.0, keep / max(1, count))),
    }


@contextmanager
def _keeping_whole_rounds(blocks: list[Any], each: int, rounds: int) -> Iterator[None]:
    """On an interrupt, keep the blocks of complete rounds and go on; without any, let it pass."""
    try:
        yield
    except KeyboardInterrupt:
        whole = len(blocks) // each
        if not whole:
            raise
        del blocks[whole * each :]
        message = f"interrupted: what is returned are the rounds that were complete, {whole} of {rounds}"
        warnings.warn(message, RuntimeWarning, stacklevel=4)


def _checked_notes(run: str | None, seed: int, packages: Iterable[str]) -> Notes:
    check_optional("run", run, str, "a str")
    check_count("seed", seed, 0)
    if isinstance(packages, str):
        raise refuse("packages", packages, "several names, such as ['psygnal']")
    return notes(run, seed, packages)


def _rates(rates: float | Iterable[float], seconds: float) -> list[float]:
    given = list(rates) if isinstance(rates, Iterable) else [rates]
    for rate in given:
        _check_positive("rates", rate)
        if rate * seconds < 1:
            raise ValueError(f"rates must bring an event within {seconds:g} seconds, got {rate:g} per second")
    if not given or len(set(given)) < len(given):
        raise ValueError(f"rates must hold at least one value, and each once, got {given!r:.80}")
    return given


def _check_positive(argument: str, value: object) -> None:
    check_kind(argument, value, int | float, "a number above 0")
    if not (isinstance(value, int | float) and 0 < value < math.inf):
        raise ValueError(f"{argument} must be a number above 0, got {value!r}")
