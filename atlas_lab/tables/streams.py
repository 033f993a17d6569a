"""The table of streams: how soon they began, how evenly their chunks came, how they ended."""

from __future__ import annotations

from atlas_lab.errors import MissingExtraError
from atlas_lab.events import EventType

from .columns import (
    NAT,
    Groups,
    Numbers,
    category,
    check_column,
    check_frame,
    codes,
    column_codes,
    durations,
    gap,
    in_time,
    moments,
    nanoseconds,
    run_codes,
)

try:
    import numpy as np
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error

_STARTED, _CHUNK, _PAUSED, _, _COMPLETED, _ERROR = range(6)
_TYPES = [
    EventType.STREAM_STARTED.name,
    EventType.STREAM_CHUNK.name,
    EventType.STREAM_PAUSED.name,
    EventType.STREAM_RESUMED.name,
    EventType.STREAM_COMPLETED.name,
    EventType.STREAM_ERROR.name,
]
_OUTCOMES = ["completed", "error", "paused", "open"]


def stream_quality(events: pd.DataFrame, *, case: str = "source") -> pd.DataFrame:
    """Return how each stream went: time to its first chunk, gaps between chunks, and its end.

    A stream goes from a STREAM_STARTED to the first STREAM_COMPLETED or STREAM_ERROR of the same case
    after it, or to the next STREAM_STARTED. What comes outside of that, such as a chunk after the end
    or one whose start a bounded history pushed out, belongs to no stream and is left out.

    Parameters
    ----------
    events : DataFrame, one row per event
        As `to_frame` or ``recording.events`` gives it. Needs ``type``, ``timestamp`` and the column `case`. What comes
        after what is told by the timestamps, and by the order of the rows where these are equal.
    case : str, default "source"
        Column that tells streams apart that run at the same time, such as ``"root_id"`` or
        ``"data.stream"``. Events without a value are left out; the runs of a frame are kept apart.

    Returns
    -------
    DataFrame, one row per stream, in the order in which they started
        ======================== =================== ==================================================
        column                   dtype
        ======================== =================== ==================================================
        stream                   that of `case`      its value
        started                  datetime64[ns, UTC]
        first_chunk              timedelta64[ns]     from the start to the first chunk
        chunks                   int64
        gap_p50, gap_p95,        timedelta64[ns]     time between chunks with no pause between them;
        gap_max                                      missing if there are none
        duration                 timedelta64[ns]     from the start to the end, or to the last event so far
        outcome                  category            completed, error, or without an end: paused if a
                                                     STREAM_PAUSED is its last event, else open
        ======================== =================== ==================================================

    Raises
    ------
    TypeError
        If `events` is not a DataFrame, or `case` not a str.
    ValueError
        If a column is missing.

    Notes
    -----
    A percentile is the least gap that this share of the gaps, or more, do not exceed (NumPy's method
    "inverted_cdf"), and so one that occurred.

    Examples
    --------
    >>> from atlas_lab import Event, EventType, stream_quality, to_frame
    >>> kinds = [EventType.STREAM_STARTED, *[EventType.STREAM_CHUNK] * 3, EventType.STREAM_COMPLETED]
    >>> times = [0.0, 0.5, 0.75, 1.5, 1.5]
    >>> sent = [Event(kind, source="model", timestamp=time) for kind, time in zip(kinds, times)]
    >>> stream_quality(to_frame(sent)).iloc[0]
    stream                             model
    started        1970-01-01 00:00:00+00:00
    first_chunk       0 days 00:00:00.500000
    chunks                                 3
    gap_p50           0 days 00:00:00.250000
    gap_p95           0 days 00:00:00.750000
    gap_max           0 days 00:00:00.750000
    duration          0 days 00:00:01.500000
    outcome                        completed
    Name: 0, dtype: object
    """
    check_frame(events, "events", ("type", "timestamp"))
    check_column(events, "case", case)
    events = in_time(events)
    kind = codes(category(events, "type").set_categories(_TYPES))
    rows, number = _members(events, case, kind)
    streams = Groups(number)
    last = streams.order[streams.start + streams.size - 1]
    kind, at = kind[rows], nanoseconds(events, "timestamp")[rows]
    started = at[streams.first]

    chunk = np.flatnonzero(kind == _CHUNK)
    held = np.cumsum(kind == _PAUSED)
    since = np.full(len(rows), NAT)
    since[chunk[1:]] = gap(at[chunk[1:]], at[chunk[:-1]])
    broken = (number[chunk[1:]] != number[chunk[:-1]]) | (held[chunk[1:]] != held[chunk[:-1]])
    since[chunk[1:][broken]] = NAT
    p50, p95 = streams.percentiles(since, 50, 95)
    first_chunk = np.full(len(started), NAT)
    having, place = np.unique(streams.number[chunk], return_index=True)
    first_chunk[having] = gap(at[chunk[place]], started[having])

    outcome = np.full(6, _OUTCOMES.index("open"))
    outcome[[_COMPLETED, _ERROR, _PAUSED]] = range(3)
    shown = np.argsort(rows[streams.first], kind="stable")
    return pd.DataFrame(
        {
            "stream": events[case].array.take(rows[streams.first][shown]),
            "started": moments(started[shown]),
            "first_chunk": durations(first_chunk[shown]),
            "chunks": streams.count(kind == _CHUNK)[shown],
            "gap_p50": durations(p50[shown]),
            "gap_p95": durations(p95[shown]),
            "gap_max": durations(streams.max(since)[shown]),
            "duration": durations(gap(at[last], started)[shown]),
            "outcome": pd.Categorical.from_codes(outcome[kind[last]][shown], pd.Index(_OUTCOMES, dtype="str")),
        }
    )


def _members(events: pd.DataFrame, case: str, kind: Numbers) -> tuple[Numbers, Numbers]:
    """Return the rows that belong to streams, one stream after another, and a number for the stream of each."""
    key = column_codes(events, case)
    rows = np.flatnonzero((kind >= 0) & (key >= 0))
    cases = Groups(run_codes(events)[rows], key[rows])
    rows, of_case = rows[cases.order], cases.number[cases.order]
    kind = kind[rows]
    start = np.maximum.accumulate(np.where(kind == _STARTED, np.arange(len(rows)), -1))
    ends = (kind == _COMPLETED) | (kind == _ERROR)
    ended_before = np.cumsum(ends) - ends
    inside = (start >= 0) & (of_case == of_case[start]) & (ended_before == ended_before[start])
    return rows[inside], start[inside]
