"""Small tables of what experiments measured: medians, percentiles and lines, each with an interval.

Intervals are 95 % percentile bootstrap intervals (Efron and Tibshirani, An Introduction to the Bootstrap, 1993,
chapter 13), drawn from a seed. They tell how much a number would change from run to run on the same
machine in the same state, and nothing about another machine. A single round has none: they are missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias, cast

from atlas_lab.arguments import check_count, check_kind, check_optional, is_kind, refuse
from atlas_lab.errors import MissingExtraError
from atlas_lab.naming import short_repr

from .configurations import FACTORS

try:
    import numpy as np
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error

Floats: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"
Whole: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"

_KEYS = ("run", "system", *FACTORS, "rate")
_TAILS = (0.025, 0.975)
_COSTS = ("ns_per_event", "events_per_s", "ratio")
_PERCENTILES = {"p50_ns": 0.5, "p90_ns": 0.9, "p99_ns": 0.99, "max_ns": 1.0}
_STRETCHES = 10
_OF_THROUGHPUT = {"ns_per_event", "events_per_s"}
_OF_LATENCY = {"latency_ns", "service_ns", "intended", "share"}


def summarize(
    frame: pd.DataFrame,
    *,
    by: str | Iterable[str] | None = None,
    base: str | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return a small table of what `throughput` or `latency` measured, one row per configuration.

    Parameters
    ----------
    frame : DataFrame
        As `throughput` or `latency` returns it, or several of one kind under one another.
    by : str or iterable of str, optional
        The columns that tell rows of the table apart. By default ``system``, and of run, configuration and rate
        whatever varies in the frame. What is left out is pooled.
    base : str, optional
        The system that others are compared with: the first one by default. For `throughput` only.
    draws : int, default 2000
        Bootstrap samples.
    seed : int
        Decides those.

    Returns
    -------
    DataFrame
        The columns of `by`, ``rounds``, and of a frame of `throughput`::

            ns_per_event   median over the rounds
            events_per_s   the same
            ratio          median of the ratios of ns_per_event to that of `base` in the same round and
                           configuration; only if there are several systems

        each with two more columns ``..._low`` and ``..._high`` for its interval. Of a frame of `latency`::

            events         in the frame
            achieved_per_s median over the blocks of the events per second that were published; below the rate,
                           the system could not keep up, and the percentiles tell of a growing queue
            p50_ns p90_ns p99_ns max_ns
                           percentiles of latency_ns over all rounds, each a latency that occurred
            service_p50_ns service_p99_ns
                           percentiles of service_ns, what a closed loop would have told

        with intervals for the percentiles.

    Raises
    ------
    TypeError
        If `frame` is no DataFrame, or an argument is not as described.
    ValueError
        If `frame` lacks a column, `base` is not among its systems, or a configuration was measured twice in one
        round, as when a run is in the frame twice.

    Notes
    -----
    Rounds are drawn for the interval of a median. Latencies depend on those just before them, so for a percentile
    whole stretches are drawn, of which each block has ten (Carlstein, "The Use of Subseries Values for Estimating the
    Variance", Annals of Statistics 14, 1986). Of a maximum the bootstrap can only tell how much lower
    it might have been.

    Examples
    --------
    >>> from atlas_lab.experiments import summarize, throughput
    >>> table = summarize(throughput(handlers=(1, 100), rounds=5, block=0.001))
    >>> table.columns.tolist()[:6]
    ['system', 'handlers', 'rounds', 'ns_per_event', 'ns_per_event_low', 'ns_per_event_high']
    >>> table["handlers"].tolist()
    [1, 100]
    """
    check_count("draws", draws, 1)
    check_count("seed", seed, 0)
    is_latency = _check_frame(frame)
    keys = _keys(frame) if by is None else _columns(frame, by)
    if is_latency:
        if base is not None:
            raise ValueError("base is for frames of throughput: latencies are not compared within rounds")
        rows = _stretches(frame)
    else:
        rows = _compared(frame, keys, base)
    groups = rows.groupby(keys, observed=True)
    describe = _latencies if is_latency else _costs
    table = [describe(group, draws, np.random.default_rng(seed)) for _, group in groups]
    return pd.DataFrame(table, index=groups.size().index).reset_index()


def fit(frame: pd.DataFrame, x: str = "handlers", *, draws: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Return what a publish costs at the base and for each handler more: the line through the medians.

    Parameters
    ----------
    frame : DataFrame
        As `throughput` returns it, with two values of `x` or more.
    x : str, default "handlers"
        The column along which the line runs.
    draws : int, default 2000
        Bootstrap samples.
    seed : int
        Decides those.

    Returns
    -------
    DataFrame, one row per system and whatever else varies
        ``slope_ns``, nanoseconds per event for each step of `x`; ``intercept_ns``, what remains at 0; both with
        ``..._low`` and ``..._high``; ``misfit``, the largest distance of a median from the line, as a part of the
        line's value: above some 0.1 there is no line to speak of; ``values`` of `x`, and ``rounds``.

    Raises
    ------
    TypeError
        If `frame` is no DataFrame, or an argument is not as described.
    ValueError
        If `frame` is not one of `throughput`, `x` is no column of numbers in it, a system has fewer than two
        values of it, or was measured twice in one round.

    Notes
    -----
    Least squares of relative errors: times of 100 handlers scatter some 100 times as far as those of one, and would
    otherwise decide the intercept as well. For the intervals, whole rounds are drawn.

    Examples
    --------
    >>> from atlas_lab.experiments import fit, throughput
    >>> line = fit(throughput(handlers=(1, 10, 100), rounds=5, block=0.001))
    >>> line[["system", "values", "rounds"]].values.tolist()
    [['atlas_lab', 3, 5]]
    >>> line.columns[1:4].tolist()
    ['slope_ns', 'slope_ns_low', 'slope_ns_high']
    """
    check_count("draws", draws, 1)
    check_count("seed", seed, 0)
    if _check_frame(frame):
        raise ValueError("frame must come from throughput, got one of latency: it has no cost per event")
    check_kind("x", x, str, "the name of a column")
    _columns(frame, x, "x")
    if not pd.api.types.is_numeric_dtype(frame[x]):
        raise ValueError(f"x must name a column of numbers, got {x!r} of dtype {frame[x].dtype}")
    keys = [name for name in _keys(frame) if name != x]
    _check_rounds(frame, [*keys, x])
    groups = frame.groupby(keys, observed=True)
    rows = []
    for key, group in groups:
        table = group.pivot_table("ns_per_event", _in_a_round(group), x, observed=True).dropna()
        if table.shape[1] < 2 or table.empty:
            where = ", ".join(f"{name}={value}" for name, value in zip(keys, key, strict=True))
            raise ValueError(f"frame must hold two or more values of {x!r} in the same rounds for {where}")
        rows.append(_line(table, draws, np.random.default_rng(seed)))
    return pd.DataFrame(rows, index=groups.size().index).reset_index()


def _check_frame(frame: object) -> bool:
    """Return whether a frame is one of `latency`; raise an error if it is not one of `throughput` either."""
    if not is_kind(frame, pd.DataFrame):
        raise refuse("frame", frame, "a DataFrame, as throughput or latency returns it")
    needed = _OF_LATENCY if "latency_ns" in frame else _OF_THROUGHPUT
    lacking = sorted({"system", "round", *needed} - set(frame.columns))
    if lacking:
        raise ValueError(f"frame must come from throughput or latency, but lacks {', '.join(lacking)}")
    if frame.empty:
        raise ValueError("frame must hold at least one row")
    return "latency_ns" in frame


def _keys(frame: pd.DataFrame) -> list[str]:
    """Return the columns that tell configurations apart: the system, and what varies."""
    return [name for name in _KEYS if name in frame and (name == "system" or frame[name].drop_duplicates().size > 1)]


def _columns(frame: pd.DataFrame, names: object, argument: str = "by") -> list[str]:
    """Return the names of columns, one or several, as a list."""
    check_kind(argument, names, Iterable, "the name of a column, or several")
    found = [names] if isinstance(names, str) else list(cast("Iterable[Any]", names))
    known = set(frame.columns)
    lacking = [name for name in found if not isinstance(name, str) or name not in known]
    if lacking or not found:
        missing = ", ".join(name if isinstance(name, str) else short_repr(name) for name in lacking) or "none"
        raise ValueError(f"{argument} must name columns of frame, got {missing}; there are {', '.join(frame.columns)}")
    return found


def _in_a_round(frame: pd.DataFrame) -> list[str]:
    return [name for name in ("run", "round") if name in frame]


def _check_rounds(frame: pd.DataFrame, keys: Sequence[str]) -> None:
    twice = frame.duplicated([*_in_a_round(frame), *(name for name in keys if name not in ("run", "round"))])
    if twice.any():
        row = frame.loc[twice].iloc[0]
        where = ", ".join(f"{name}={row[name]}" for name in keys)
        raise ValueError(
            f"frame must hold each configuration once per round, got round {row['round']} of {where} twice; give runs "
            "that you put together names of their own: throughput(run=...)"
        )


def _compared(frame: pd.DataFrame, keys: Sequence[str], base: str | None) -> pd.DataFrame:
    """Return the frame with the ratios to a base system, if there are several."""
    system = frame["system"]
    names = system.cat.remove_unused_categories().cat.categories if hasattr(system, "cat") else system.unique()
    check_optional("base", base, str, "the name of a system")
    if base is not None and base not in names:
        raise ValueError(f"base must be a system of frame, got {base!r}; there are {', '.join(names)}")
    alike = [name for name in dict.fromkeys((*_KEYS, *keys, "round")) if name in frame and name != "system"]
    _check_rounds(frame, [*alike, "system"])
    if len(names) == 1:
        return frame
    costs = frame.loc[system == (names[0] if base is None else base), [*alike, "ns_per_event"]]
    bases = frame[alike].merge(costs, how="left", on=alike)["ns_per_event"]
    return frame.assign(ratio=frame["ns_per_event"].to_numpy() / bases.to_numpy())


def _costs(group: pd.DataFrame, draws: int, chance: np.random.Generator) -> dict[str, float]:
    row: dict[str, float] = {"rounds": group["round"].nunique()}
    picks = chance.integers(0, len(group), (draws, len(group)))
    for name in _COSTS:
        if name in group:
            values = group[name].to_numpy()
            row |= _with_interval(name, float(np.median(values)), np.median(values[picks], axis=1), len(values))
    return row


def _with_interval(name: str, value: float, drawn: Floats, rounds: int) -> dict[str, float]:
    low, high = np.quantile(drawn, _TAILS) if rounds > 1 else (np.nan, np.nan)
    return {name: value, f"{name}_low": float(low), f"{name}_high": float(high)}


def _line(table: pd.DataFrame, draws: int, chance: np.random.Generator) -> dict[str, float]:
    costs = table.to_numpy()
    at = table.columns.to_numpy(np.float64)
    medians = np.median(costs, axis=0)
    weights = medians**-2 / (medians**-2).sum()
    away = at - weights @ at
    # Slope and intercept are sums of the medians, each times a number that depends on x and weights alone.
    to_slope = weights * away / (weights @ away**2)
    to_intercept = weights - (weights @ at) * to_slope
    drawn = np.median(costs[chance.integers(0, len(costs), (draws, len(costs)))], axis=1)
    slope, intercept = float(medians @ to_slope), float(medians @ to_intercept)
    line = intercept + slope * at
    return {
        **_with_interval("slope_ns", slope, drawn @ to_slope, len(costs)),
        **_with_interval("intercept_ns", intercept, drawn @ to_intercept, len(costs)),
        "misfit": float(np.abs(medians / line - 1).max()),
        "values": len(at),
        "rounds": len(costs),
    }


def _stretches(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the latencies with their block, and the stretch of it that they lie in."""
    alike = [name for name in (*_KEYS, "round") if name in frame]
    block = frame.groupby(alike, observed=True, sort=False).ngroup()
    span = frame["intended"].groupby(block).transform("max").replace(0, 1)  # seconds, of an event due at once
    stretch = (frame["intended"] / span * _STRETCHES).clip(upper=_STRETCHES - 1).astype(np.int64)
    return frame.assign(block=block, stretch=block * _STRETCHES + stretch)


def _latencies(group: pd.DataFrame, draws: int, chance: np.random.Generator) -> dict[str, float]:
    blocks = group.assign(end=group["intended"] + group["latency_ns"] / 1e9).groupby("block")
    achieved = blocks.size() / blocks["share"].first() / blocks["end"].max()
    row: dict[str, float] = {
        "rounds": group["round"].nunique(),
        "events": len(group),
        "achieved_per_s": float(achieved.median()),
    }
    latency = group["latency_ns"].to_numpy(np.float64)
    stretch = pd.factorize(group["stretch"])[0]
    drawn = _drawn_percentiles(latency, stretch, draws, chance)
    for place, (name, part) in enumerate(_PERCENTILES.items()):
        row |= _with_interval(name, _percentile(latency, part), drawn[:, place], len(achieved))
    service = group["service_ns"].to_numpy(np.float64)
    return row | {f"service_{name}": _percentile(service, _PERCENTILES[name]) for name in ("p50_ns", "p99_ns")}


def _percentile(values: Floats, part: float) -> float:
    return float(np.quantile(values, part, method="inverted_cdf"))


def _drawn_percentiles(values: Floats, stretch: Whole, draws: int, chance: np.random.Generator) -> Floats:
    """Return the percentiles of samples that are drawn stretch by stretch, one row per draw.

    Every stretch is counted over at most some 1,500 marks, closer towards the slowest, so that a draw is a sum of
    counts and not a sort of values.
    """
    parts = np.unique([*np.linspace(0, 1, 1001), *(1 - np.logspace(-2, -6, 500))])
    marks = np.unique(np.quantile(values, parts, method="inverted_cdf"))
    stretches = int(stretch.max()) + 1
    cell = stretch * len(marks) + np.searchsorted(marks, values)
    counts = np.bincount(cell, minlength=stretches * len(marks)).reshape(stretches, len(marks)).cumsum(axis=1)
    times = chance.multinomial(stretches, np.full(stretches, 1 / stretches), draws)
    below = times @ counts
    percentiles = [(below >= part * below[:, -1:]).argmax(axis=1) for part in _PERCENTILES.values()]
    found: Floats = marks[np.stack(percentiles, axis=1)]
    return found
