"""Tables of when events come: how many per second, and how long after one another."""

from __future__ import annotations

import datetime as dt
from typing import Any, TypeAlias

from atlas_lab.arguments import is_kind, refuse
from atlas_lab.errors import MissingExtraError

from .columns import (
    LATEST,
    NAT,
    Column,
    Groups,
    Numbers,
    category,
    check_column,
    check_frame,
    codes,
    column_codes,
    durations,
    gap,
    moments,
    nanoseconds,
    run_codes,
)

try:
    import numpy as np
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error

Width: TypeAlias = "str | dt.timedelta | np.timedelta64 | pd.offsets.BaseOffset"

_US = 1_000
_SECOND = 1_000_000_000
_DAY = 86_400 * _SECOND
_MOST_ROWS = 10_000_000
_ROUND: list[int] = [
    *(step * _US * 10**power for power in range(6) for step in (1, 2, 5)),
    *(step * _SECOND for step in (1, 2, 5, 10, 15, 30)),
    *(step * 60 * _SECOND for step in (1, 2, 5, 10, 15, 30)),
    *(step * 3600 * _SECOND for step in (1, 2, 3, 6, 12)),
    *(step * _DAY * 10**power for power in range(4) for step in (1, 2, 5)),
]
"""Widths of a bin that a person would choose, in nanoseconds."""


def rates(events: pd.DataFrame, *, every: Width | None = None, by: str | None = "type") -> pd.DataFrame:
    """Return how many events came in each stretch of time: all of them, or one row per group.

    Parameters
    ----------
    events : DataFrame, one row per event
        As `to_frame` or ``recording.events`` gives it. Needs ``timestamp``; events without one are left out.
    every : str, timedelta or pandas offset, optional
        Width of a bin, such as ``"5min"``; it must be a fixed time, so no months. By default a round width
        that gives about 60 bins.
    by : str or None, default "type"
        Column whose values are counted apart, such as ``"source"``, ``"scope"`` or ``"data.model"``.
        None counts all events together.

    Returns
    -------
    DataFrame, one row per bin and value of `by` that occurs, sorted by both
        ======= =================== ===========================================================
        column  dtype
        ======= =================== ===========================================================
        time    datetime64[ns, UTC] start of the bin; it belongs to the bin, its end does not
        `by`    category            not there with ``by=None``; missing for events without value
        count   int64               events; 0 where none came
        rate    float64             events per second
        ======= =================== ===========================================================

    Raises
    ------
    TypeError
        If `events` is not a DataFrame, or `every` or `by` is none of the above.
    ValueError
        If a column is missing, `every` is not a fixed time above 0, or there would be more than ten
        million rows.

    Notes
    -----
    Bins begin at whole multiples of `every` since the start of 1970 in UTC, so that those of two runs
    agree. The first and the last may reach beyond the events, and show a lower rate for it.

    Examples
    --------
    >>> from atlas_lab import load_flights, rates, to_frame
    >>> flights = to_frame(load_flights())
    >>> hourly = rates(flights[flights["type"] == "FlightEvent.CANCELLED"], every="1h", by="source")
    >>> hourly.loc[hourly["count"].idxmax()]
    time      2013-02-08 22:00:00+00:00
    source                          EWR
    count                            27
    rate                         0.0075
    Name: 33, dtype: object
    """
    check_frame(events, "events", ("timestamp",))
    if by is not None:
        check_column(events, "by", by, taken=("time", "count", "rate"))
    width = None if every is None else _width(every)
    at = nanoseconds(events, "timestamp")
    known = np.flatnonzero(at != NAT)
    at = at[known]
    width = width or _round_width(at)
    bins = at // width
    first, last = (int(bins.min()), int(bins.max())) if len(bins) else (0, -1)
    steps = last - first + 1
    label = None if by is None else category(events, by).take(known)
    groups = Groups(np.zeros(len(at), np.int64) if label is None else codes(label))
    rows = steps * len(groups.size)
    if rows > _MOST_ROWS:
        of = "" if by is None else f" for {len(groups.size):,} values of {by!r}"
        raise ValueError(
            f"rates would have {rows:,} rows: {steps:,} bins of {pd.Timedelta(width)}{of}. "
            "Pass a longer every, or a by with fewer values"
        )
    shown = _by_label(label, groups)
    rank = np.empty(len(shown), np.int64)
    rank[shown] = np.arange(len(shown))
    count = np.bincount((bins - first) * len(shown) + rank[groups.number], minlength=rows).astype(np.int64)
    time = np.repeat((np.arange(steps) + first) * width, len(shown))
    columns: dict[str, Column] = {"time": moments(time)}
    if by is not None and label is not None:
        columns[by] = label.take(np.tile(groups.first[shown], steps))
    return pd.DataFrame(columns | {"count": count, "rate": count / (width / _SECOND)})


def _by_label(label: pd.Categorical | None, groups: Groups) -> Numbers:
    """Return the groups in the order of their categories, the one without value last."""
    if label is None:
        return np.arange(len(groups.size))
    code = codes(label)[groups.first]
    return np.argsort(np.where(code < 0, LATEST, code), kind="stable")


def _width(every: Width) -> int:
    """Return the width of a bin in nanoseconds."""
    expected = "a fixed time such as '5min' or a timedelta"
    if not is_kind(every, str | dt.timedelta | np.timedelta64 | pd.offsets.BaseOffset):
        raise refuse("every", every, expected)
    every = str.__str__(every) if isinstance(every, str) else every  # pandas takes no subclass
    try:
        width = int(_timedelta(every).value)
    except ValueError as error:
        raise ValueError(f"every must be {expected}, got {every!r}") from error
    if width <= 0:
        raise ValueError(f"every must be longer than 0, got {every!r}")
    return width


def _timedelta(every: Any) -> pd.Timedelta:
    try:
        return pd.Timedelta(every)
    except ValueError:
        if not isinstance(every, str):
            raise
        offset: Any = pd.tseries.frequencies.to_offset(every)  # it also reads "h", which has no number
        return pd.Timedelta(offset)


def _round_width(at: Numbers) -> int:
    """Return the round width that cuts the time between the first and the last moment into about 60."""
    wanted = (int(at.max()) - int(at.min())) / 60 if len(at) else 0
    if not wanted:
        return _SECOND
    ratios = [max(width / wanted, wanted / width) for width in _ROUND]
    return _ROUND[ratios.index(min(ratios))]


def interarrival(events: pd.DataFrame, *, by: str | None = None) -> pd.DataFrame:
    """Return how long after the one before each event came.

    Parameters
    ----------
    events : DataFrame, one row per event
        As `to_frame` or ``recording.events`` gives it. Needs ``seq`` and ``timestamp``.
    by : str, optional
        Column within whose values the time is taken, such as ``"source"`` or ``"data.model"``. Events
        without a value are a group too.

    Returns
    -------
    DataFrame, one row per event, sorted by timestamp
        ========= =================== ===============================================================
        column    dtype
        ========= =================== ===============================================================
        seq       int64
        `by`      that of the column  not there with ``by=None``
        timestamp datetime64[ns, UTC] missing ones last
        gap       timedelta64[ns]     since the previous event of its group and run; missing for the
                                      first, and without a timestamp
        ========= =================== ===============================================================

    Raises
    ------
    TypeError
        If `events` is not a DataFrame, or `by` not a str.
    ValueError
        If a column is missing.

    Examples
    --------
    >>> from atlas_lab import interarrival, load_quakes, to_frame
    >>> gaps = interarrival(to_frame(load_quakes()), by="source")
    >>> gaps[gaps["source"] == "ci"]["gap"].median().round("s")
    Timedelta('0 days 00:16:29')
    """
    check_frame(events, "events", ("seq", "timestamp"))
    if by is not None:
        check_column(events, "by", by, taken=("seq", "timestamp", "gap"))
    at = nanoseconds(events, "timestamp")
    order = np.argsort(np.where(at == NAT, LATEST, at), kind="stable")
    at = at[order]
    keys = [run_codes(events), *([] if by is None else [column_codes(events, by)])]
    groups = Groups(*(key[order] for key in keys))
    since = np.full(len(at), NAT)
    earlier, later = groups.neighbours()
    since[later] = gap(at[later], at[earlier])
    columns: dict[str, Column] = {"seq": events["seq"].to_numpy(np.int64)[order]}
    if by is not None:
        columns[by] = events[by].array.take(order)
    return pd.DataFrame(columns | {"timestamp": moments(at), "gap": durations(since)})
