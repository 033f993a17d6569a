"""Tables of what handlers did with events: how long they took, and which failed with what."""

from __future__ import annotations

from atlas_lab.arguments import check_text
from atlas_lab.errors import MissingExtraError

from .columns import (
    NAT,
    Groups,
    Numbers,
    category,
    check_frame,
    codes,
    column_codes,
    durations,
    nanoseconds,
)

try:
    import numpy as np
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error


def handler_latency(deliveries: pd.DataFrame) -> pd.DataFrame:
    """Return how long the calls of each handler took, and how many failed.

    Parameters
    ----------
    deliveries : DataFrame, one row per call of a handler
        As ``recording.deliveries`` gives it. Needs ``handler``, ``duration`` and ``outcome``.

    Returns
    -------
    DataFrame, one row per handler, the greatest total first
        ================== =============== ===========================================================
        column             dtype
        ================== =============== ===========================================================
        handler            category
        calls              int64           calls that ran, failed ones too
        p50, p90, p99, max timedelta64[ns] of the calls that ran; missing if none did
        total              timedelta64[ns] of the calls that ran, with what they published inside them
        own                timedelta64[ns] of these, without the calls that what they published led to;
                                           missing if the frame has no ``own``
        errors             int64           calls that failed
        skipped            int64           times that something, such as a filter, kept an event from it
        ================== =============== ===========================================================

    Raises
    ------
    TypeError
        If `deliveries` is not a DataFrame.
    ValueError
        If a column is missing.

    Notes
    -----
    A handler that publishes waits for the handlers of what it published, so ``total`` counts their time again; ``own``
    counts it once, and shows where the time went.

    A percentile is the least duration that this share of the calls, or more, do not exceed (NumPy's method
    "inverted_cdf"), and so one that occurred.

    Examples
    --------
    >>> import time
    >>> from atlas_lab import EventBus, EventType, handler_latency
    >>> bus = EventBus()
    >>> _ = bus.subscribe(EventType.AGENT_STARTED, lambda event: time.sleep(0.01), name="plan")
    >>> _ = bus.subscribe(EventType.AGENT_STARTED, len, name="log", where=lambda event: event.source == "boss")
    >>> with bus.record() as run:
    ...     for source in ("boss", "worker", "worker"):
    ...         _ = bus.publish(EventType.AGENT_STARTED, source=source)
    >>> table = handler_latency(run.deliveries)
    >>> table[["handler", "calls", "errors", "skipped"]]
      handler  calls  errors  skipped
    0    plan      3       0        0
    1     log      1       1        2
    >>> bool((table["p50"] <= table["p99"]).all())
    True
    """
    check_frame(deliveries, "deliveries", ("handler", "duration", "outcome"))
    handler = category(deliveries, "handler")
    groups = Groups(codes(handler))
    skipped = (deliveries["outcome"] == "skipped").to_numpy(bool)
    took = np.where(skipped, NAT, nanoseconds(deliveries, "duration"))
    p50, p90, p99 = groups.percentiles(took, 50, 90, 99)
    total = groups.sum(took)
    own = np.full(len(total), NAT)
    if "own" in deliveries:
        own = groups.sum(np.where(skipped, NAT, nanoseconds(deliveries, "own")))
    shown = np.argsort(-total, kind="stable")
    return pd.DataFrame(
        {
            "handler": handler.take(groups.first[shown]),
            "calls": groups.count(~skipped)[shown],
            "p50": durations(p50[shown]),
            "p90": durations(p90[shown]),
            "p99": durations(p99[shown]),
            "max": durations(groups.max(took)[shown]),
            "total": durations(total[shown]),
            "own": durations(own[shown]),
            "errors": groups.count((deliveries["outcome"] == "error").to_numpy(bool))[shown],
            "skipped": groups.count(skipped)[shown],
        }
    )


def errors_by_handler(deliveries: pd.DataFrame) -> pd.DataFrame:
    """Return which handlers failed, on which events, with what.

    Parameters
    ----------
    deliveries : DataFrame, one row per call of a handler
        As ``recording.deliveries`` gives it. Needs ``seq``, ``type``, ``handler``, ``outcome``,
        ``error_type`` and ``error_message``.

    Returns
    -------
    DataFrame, one row per handler, event type and error type, the most frequent first
        =================== ======== ==================================================================
        column              dtype
        =================== ======== ==================================================================
        handler             category
        type                category type of the event
        error_type          category
        count               int64    calls that failed so
        share               float64  of the calls of this handler on this type that ran, from 0 to 1
        first_seq, last_seq int64    of the first and the last event; each bus counts its own
        message             str      the most frequent one; of several, the one that came first
        =================== ======== ==================================================================

    Raises
    ------
    TypeError
        If `deliveries` is not a DataFrame.
    ValueError
        If a column is missing.

    Examples
    --------
    >>> from atlas_lab import EventBus, EventType, errors_by_handler
    >>> bus = EventBus()
    >>> _ = bus.subscribe(EventType.AGENT_TASK_ASSIGNED, lambda event: event.data["goal"], name="plan")
    >>> with bus.record() as run:
    ...     for task in ({"goal": "tea"}, {}, {"goal": "cake"}, {}):
    ...         _ = bus.publish(EventType.AGENT_TASK_ASSIGNED, task)
    >>> errors_by_handler(run.deliveries)[["handler", "error_type", "count", "share", "message"]]
      handler error_type  count  share message
    0    plan   KeyError      2    0.5  'goal'
    """
    needed = ("seq", "type", "handler", "outcome", "error_type", "error_message")
    check_frame(deliveries, "deliveries", needed)
    outcome = deliveries["outcome"]
    on = Groups(column_codes(deliveries, "handler"), column_codes(deliveries, "type"))
    ran = on.count((outcome != "skipped").to_numpy(bool))
    rows = np.flatnonzero((outcome == "error").to_numpy(bool))
    groups = Groups(on.number[rows], column_codes(deliveries, "error_type")[rows])
    shown = np.argsort(-groups.size, kind="stable")
    first = rows[groups.first]
    seq = deliveries["seq"].to_numpy(np.int64)[rows]
    message = _most_frequent(groups, column_codes(deliveries, "error_message")[rows])
    return pd.DataFrame(
        {
            **{name: category(deliveries, name).take(first[shown]) for name in ("handler", "type", "error_type")},
            "count": groups.size[shown],
            "share": (groups.size / ran[on.number[first]])[shown],
            "first_seq": groups.min(seq)[shown],
            "last_seq": groups.max(seq)[shown],
            "message": deliveries["error_message"].astype("str").array.take(rows[message[shown]]),
        }
    )


def _most_frequent(groups: Groups, code: Numbers) -> Numbers:
    """Return the first row of each group's most frequent code; of several, of the one that came first."""
    pairs = Groups(groups.number, code)
    best = np.lexsort((pairs.first, -pairs.size, groups.number[pairs.first]))
    _, start = np.unique(groups.number[pairs.first][best], return_index=True)
    return pairs.first[best[start]]


def handlers_of(deliveries: pd.DataFrame, event_id: str) -> pd.DataFrame:
    """Return the calls that one event led to, in the order in which they began.

    Parameters
    ----------
    deliveries : DataFrame, one row per call of a handler
        As ``recording.deliveries`` gives it. Needs ``event_id``, ``start``, ``duration`` and ``outcome``.
    event_id : str
        Id of the event, as ``publish`` returns it and the frames have it. No rows have it if no handler
        was there for the event.

    Returns
    -------
    DataFrame, one row per call
        The columns of `deliveries`, then ``share`` (float64): the part of the time of all these calls
        that this one took, from 0 to 1. It is 0 for skipped calls, and missing if the calls took no time.

    Raises
    ------
    TypeError
        If `deliveries` is not a DataFrame, or `event_id` not a str.
    ValueError
        If a column is missing.

    Examples
    --------
    >>> from atlas_lab import EventBus, EventType, handlers_of
    >>> bus = EventBus()
    >>> _ = bus.subscribe(EventType.AGENT_STARTED, repr, name="log")
    >>> _ = bus.subscribe(EventType.AGENT_STARTED, lambda event: 1 / 0, name="plan", priority=1)
    >>> with bus.record() as run:
    ...     started = bus.publish(EventType.AGENT_STARTED)
    >>> calls = handlers_of(run.deliveries, started)
    >>> calls[["handler", "outcome", "error_type"]]
      handler outcome         error_type
    0    plan   error  ZeroDivisionError
    1     log      ok                NaN
    >>> float(calls["share"].sum())
    1.0
    """
    check_frame(deliveries, "deliveries", ("event_id", "start", "duration", "outcome"))
    check_text("event_id", event_id, "the id of an event")
    calls = deliveries[(deliveries["event_id"] == event_id).to_numpy(bool)]
    calls = calls.iloc[np.argsort(nanoseconds(calls, "start"), kind="stable")].reset_index(drop=True)
    took = nanoseconds(calls, "duration")
    known = np.where(took == NAT, 0, took)
    spent = np.where((calls["outcome"] == "skipped").to_numpy(bool), 0, known)
    total = spent.sum()
    return calls.assign(share=spent / total if total else np.full(len(calls), np.nan))
