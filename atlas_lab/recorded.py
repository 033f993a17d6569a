"""The frames of a recording: its events, the calls of handlers, and the steps of middleware."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from .events import Event
from .frames import categorical, labels, texts, to_frame, type_labels
from .recording import DeliveryRow, StepRow

OUTCOMES = ["ok", "error", "skipped"]
ACTIONS = ["passed", "transformed", "dropped", "raised"]


def events_frame(seen: Sequence[Iterable[Event[Any]]], run: str) -> pd.DataFrame:
    """Return the events of a recording as `to_frame` does, one row each.

    Parameters
    ----------
    seen : sequence of iterables of Event
        What each recorded bus accepted, in order; a parent before its scopes.
    run : str
        Fills the ``run`` column.

    Returns
    -------
    DataFrame
        The events of the first bus, and among them, where they happened, those that only a scope has seen.
    """
    merged: list[Event[Any]] = []
    for events in seen:
        merged = _merged(merged, list(events))
    return to_frame(merged, run=run)


def _merged(events: list[Event[Any]], more: list[Event[Any]]) -> list[Event[Any]]:
    """Return `events` with those of `more` that are not among them, each before the next one that is."""
    place = {event.id: number for number, event in enumerate(events)}
    additions: list[tuple[float, Event[Any]]] = []
    before = float(len(events))
    for event in reversed(more):
        if event.id in place:
            before = min(before, place[event.id])
        else:
            additions.append((before - 0.5, event))
    if not additions:
        return events
    numbered = [*enumerate(events), *reversed(additions)]
    return [event for _, event in sorted(numbered, key=lambda one: one[0])]


def deliveries_frame(rows: Sequence[DeliveryRow], run: str, origin: int) -> pd.DataFrame:
    """Return the calls of handlers, in the order in which they began.

    Parameters
    ----------
    rows : sequence of DeliveryRow
    run : str
        Fills the ``run`` column.
    origin : int
        When the recording began, in nanoseconds of ``time.perf_counter_ns``.

    Returns
    -------
    DataFrame, one row per call
        ============= =============== ================================================================
        column        dtype
        ============= =============== ================================================================
        run           category        name of the recording
        seq           int64           of the event, on the bus that delivered it
        event_id      str
        type          category        as in `to_frame`
        scope         category        path of the bus that delivered it; "" for one without a name
        handler       category        name of the subscription
        start         timedelta64[ns] since the recording began
        duration      timedelta64[ns] until the handler returned or failed, or was awaited if it is
                                      async; what it published is included
        outcome       category        ok, error, or skipped: a filter, an unsubscription or the death of
                                      its object kept the event from the handler
        error_type    category        missing for none
        error_message str             missing for none
        thread        category        name of the thread
        attempt       int16           1 for the first call of this handler with this event on this bus
        ============= =============== ================================================================
    """
    rows = sorted(rows, key=lambda row: (row.started, row.number))
    problems = [row.problem for row in rows]
    codes = [0 if problem is None else 1 if problem[0] else 2 for problem in problems]
    frame = pd.DataFrame(
        {
            "run": labels([run] * len(rows)),
            "seq": np.array([row.event.seq for row in rows], np.int64),
            "event_id": texts([row.event.id for row in rows]),
            "type": type_labels([row.event.type for row in rows]),
            "scope": labels([row.scope for row in rows]),
            "handler": labels([row.handler for row in rows]),
            "start": np.array([row.started - origin for row in rows], "m8[ns]"),
            "duration": np.array([row.ended - row.started for row in rows], "m8[ns]"),
            "outcome": categorical(codes, OUTCOMES),
            "error_type": labels([problem[0] if problem and problem[0] else None for problem in problems]),
            "error_message": texts([problem[1] if problem and problem[0] else None for problem in problems]),
            "thread": labels([row.thread for row in rows]),
        }
    )
    same = frame.groupby(["scope", "handler", "event_id"], observed=True, sort=False)
    frame["attempt"] = (same.cumcount() + 1).astype(np.int16)
    return frame


def middleware_frame(rows: Sequence[StepRow], run: str, origin: int) -> pd.DataFrame:
    """Return the steps of events through middleware entries, in the order in which they began.

    Parameters
    ----------
    rows : sequence of StepRow
    run : str
        Fills the ``run`` column.
    origin : int
        When the recording began, in nanoseconds of ``time.perf_counter_ns``.

    Returns
    -------
    DataFrame, one row per step
        ========== =============== ==================================================================
        column     dtype
        ========== =============== ==================================================================
        run        category        name of the recording
        event_id   str             as the event came in
        type       category        the same
        scope      category        path of the bus; "" for one without a name
        step       int16           place among the entries that were switched on, from 0
        middleware category        name of the entry
        action     category        passed, transformed, dropped, or raised: it raised, or returned
                                   neither an event nor None
        start      timedelta64[ns] since the recording began
        duration   timedelta64[ns]
        changed    str             fields that it changed, joined by ", "; a payload that was changed in
                                   place does not show
        ========== =============== ==================================================================
    """
    rows = sorted(rows, key=lambda row: (row.started, row.number))
    return pd.DataFrame(
        {
            "run": labels([run] * len(rows)),
            "event_id": texts([row.event.id for row in rows]),
            "type": type_labels([row.event.type for row in rows]),
            "scope": labels([row.scope for row in rows]),
            "step": np.array([row.step for row in rows], np.int16),
            "middleware": labels([row.middleware for row in rows]),
            "action": categorical([ACTIONS.index(row.action) for row in rows], ACTIONS),
            "start": np.array([row.started - origin for row in rows], "m8[ns]"),
            "duration": np.array([row.ended - row.started for row in rows], "m8[ns]"),
            "changed": texts([row.changed for row in rows]),
        }
    )
