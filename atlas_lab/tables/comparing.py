"""The table that compares two runs: what is new, what is gone, what became more frequent or slower."""

from __future__ import annotations

from typing import Any, Protocol

from atlas_lab.arguments import is_kind, refuse
from atlas_lab.errors import MissingExtraError

from .columns import Column, Groups, category, check_frame, codes, durations, nanoseconds, text
from .flows import transitions
from .handling import handler_latency
from .timing import interarrival

try:
    import numpy as np
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error

_KINDS = ["event type", "handler", "transition", "middleware"]
_ONLY = ["a", "b", "both"]


class HasFrames(Protocol):
    """A recording, or anything else with the three frames of one."""

    @property
    def events(self) -> pd.DataFrame:
        """One row per event."""

    @property
    def deliveries(self) -> pd.DataFrame:
        """One row per call of a handler."""

    @property
    def middleware(self) -> pd.DataFrame:
        """One row per step of an event through one middleware entry."""


def diff_runs(a: HasFrames | pd.DataFrame, b: HasFrames | pd.DataFrame) -> pd.DataFrame:
    """Return how two runs differ: in what happened, how often, and how long it took.

    Parameters
    ----------
    a, b : recording, or DataFrame of events
        A frame of events, as `to_frame` gives it, has no deliveries and no middleware: these are compared
        only if both runs have them.

    Returns
    -------
    DataFrame, one row per event type, handler, transition and middleware entry of either run
        ================ =============== ==============================================================
        column           dtype
        ================ =============== ==============================================================
        kind             category        event type, handler, transition or middleware
        name             str             ``A → B`` for a transition; an entry with its bus: ``redact (run)``
        count_a, count_b int64           events, calls that ran, transitions, events that reached the entry
        change           int64           ``count_b - count_a``
        p50_a, p50_b     timedelta64[ns] median: of the time since the last event of the type, the duration
                                         of a call, the time of a transition, the time in the entry
        ratio            float64         ``p50_b / p50_a``: at 2 it took twice as long; missing without both
        only_in          category        a, b or both
        ================ =============== ==============================================================

        What only one run has comes first, then the greatest change of count.

    Raises
    ------
    TypeError
        If `a` or `b` is neither of the two.
    ValueError
        If a frame lacks a column.

    Notes
    -----
    A transition is one type directly after another in the chain of causes with one ``root_id``, as in
    `transitions`. A median is a time that occurred.

    Examples
    --------
    >>> from atlas_lab import Event, EventType, diff_runs, to_frame
    >>> asked = Event(EventType.RETRIEVAL_STARTED, id="a", timestamp=0.0)
    >>> found = Event(EventType.RETRIEVAL_COMPLETED, timestamp=2.0, parent_id="a")
    >>> before, after = to_frame([asked]), to_frame([asked, found])
    >>> diff_runs(before, after)[["kind", "name", "change", "only_in"]]
             kind                               name  change only_in
    0  event type                RETRIEVAL_COMPLETED       1       b
    1  transition  RETRIEVAL_STARTED → RETRIEVAL_...       1       b
    2  event type                  RETRIEVAL_STARTED       0    both
    """
    one, two = _measured("a", a), _measured("b", b)
    parts = [
        one[kind].merge(two[kind], on="name", how="outer", suffixes=("_a", "_b")).assign(kind=place)
        for place, kind in enumerate(_KINDS)
        if kind in one and kind in two
    ]
    table = pd.concat(parts, ignore_index=True)
    count_a, count_b = (table[name].fillna(0).to_numpy(np.int64) for name in ("count_a", "count_b"))
    p50_a, p50_b = (table[name].to_numpy("m8[ns]") for name in ("p50_a", "p50_b"))
    ratio = np.full(len(table), np.nan)
    comparable = ~np.isnat(p50_a) & ~np.isnat(p50_b) & (p50_a != np.timedelta64(0))
    ratio[comparable] = p50_b[comparable] / p50_a[comparable]
    only = np.select([count_b == 0, count_a == 0], [0, 1], 2)
    order = np.lexsort((table["name"], table["kind"], -abs(count_b - count_a), only == 2))
    order = order[(count_a + count_b)[order] > 0]
    return pd.DataFrame(
        {
            "kind": pd.Categorical.from_codes(table["kind"].to_numpy()[order], pd.Index(_KINDS, dtype="str")),
            "name": table["name"].array.take(order),
            "count_a": count_a[order],
            "count_b": count_b[order],
            "change": (count_b - count_a)[order],
            "p50_a": p50_a[order],
            "p50_b": p50_b[order],
            "ratio": ratio[order],
            "only_in": pd.Categorical.from_codes(only[order], pd.Index(_ONLY, dtype="str")),
        }
    )


def _measured(argument: str, run: HasFrames | pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the name, count and p50 of everything of each kind in a run."""
    if is_kind(run, pd.DataFrame):
        return _of_events(argument, run)
    try:
        recorded: Any = run
        # Each access makes a frame anew.
        events, deliveries, middleware = recorded.events, recorded.deliveries, recorded.middleware
    except Exception as error:
        wanted = "a recording or a DataFrame of events, such as bus.history.to_frame()"
        raise refuse(argument, run, wanted) from error
    check_frame(deliveries, "deliveries", ("handler", "duration", "outcome"), f"{argument}.deliveries")
    check_frame(middleware, "middleware", ("scope", "middleware", "duration"), f"{argument}.middleware")
    latency = handler_latency(deliveries)
    return _of_events(f"{argument}.events", events) | {
        "handler": _measures(latency["handler"].astype("str").array, latency["calls"], latency["p50"]),
        "middleware": _of_middleware(middleware),
    }


def _of_events(argument: str, events: pd.DataFrame) -> dict[str, pd.DataFrame]:
    check_frame(events, "events", ("seq", "type", "timestamp", "root_id"), argument)
    apart = interarrival(events, by="type")
    kind = category(apart, "type")
    groups = Groups(codes(kind))
    (median,) = groups.percentiles(nanoseconds(apart, "gap"), 50)
    pairs = transitions(events)
    name = pairs["from_type"].astype("str") + " → " + pairs["to_type"].astype("str")
    return {
        "event type": _measures(kind.take(groups.first).astype("str"), groups.size, durations(median)),
        "transition": _measures(name.array, pairs["count"], pairs["gap_p50"]),
    }


def _of_middleware(middleware: pd.DataFrame) -> pd.DataFrame:
    entry, scope = (category(middleware, name) for name in ("middleware", "scope"))
    pairs = Groups(codes(entry), codes(scope))
    where = ["" if pd.isna(path) else path for path in scope.take(pairs.first)]
    names = [f"{name} ({path})" if path else name for name, path in zip(entry.take(pairs.first), where, strict=True)]
    (median,) = pairs.percentiles(nanoseconds(middleware, "duration"), 50)
    return _measures(text(names), pairs.size, durations(median))


def _measures(name: Column, count: Column, p50: Column) -> pd.DataFrame:
    return pd.DataFrame({"name": name, "count": count, "p50": p50})
