"""The table of what middleware did with events: let through, changed, dropped, and at what cost."""

from __future__ import annotations

from atlas_lab.errors import MissingExtraError

from .columns import (
    Groups,
    Numbers,
    category,
    check_frame,
    column_codes,
    durations,
    nanoseconds,
    run_codes,
)

try:
    import numpy as np
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error


def middleware_funnel(middleware: pd.DataFrame) -> pd.DataFrame:
    """Return what each middleware entry let through, changed, dropped and cost.

    Parameters
    ----------
    middleware : DataFrame, one row per step of an event through one entry
        As ``recording.middleware`` gives it. Needs ``event_id``, ``scope``, ``step``, ``middleware``,
        ``action`` and ``duration``.

    Returns
    -------
    DataFrame, one row per scope and entry: scopes as they first appear, entries in order of step
        =========== =============== ===================================================================
        column      dtype
        =========== =============== ===================================================================
        scope       category        path of the bus
        middleware  category        name of the entry; two of one name on a bus are two rows
        seen        int64           events that reached it, the sum of the next four
        passed      int64
        transformed int64
        dropped     int64
        raised      int64
        total       timedelta64[ns] time spent in it
        left        float64         share of the events that came into this bus's middleware that it let go
                                    on, from 0 to 1
        =========== =============== ===================================================================

    Raises
    ------
    TypeError
        If `middleware` is not a DataFrame.
    ValueError
        If a column is missing.

    Notes
    -----
    While the entries stay the same, the events that came in are those that the first of them saw. An
    entry that was added or switched on later did not see all of them, and its share is smaller for it.

    Examples
    --------
    >>> from atlas_lab import EventBus, EventType, drop, enrich, middleware_funnel
    >>> bus = EventBus()
    >>> _ = bus.add_middleware(drop(EventType.SYSTEM_HEALTH), name="quiet")
    >>> _ = bus.add_middleware(enrich(host="lab"), name="host")
    >>> with bus.record() as run:
    ...     for kind in (EventType.SYSTEM_HEALTH, EventType.AGENT_STARTED):
    ...         _ = bus.publish(kind)
    >>> middleware_funnel(run.middleware)[["middleware", "seen", "passed", "transformed", "dropped", "left"]]
      middleware  seen  passed  transformed  dropped  left
    0      quiet     2       1            0        1   0.5
    1       host     1       0            1        0   0.5
    """
    check_frame(middleware, "middleware", ("event_id", "scope", "step", "middleware", "action", "duration"))
    scope = Groups(column_codes(middleware, "scope"))
    name = column_codes(middleware, "middleware")
    step = middleware["step"].to_numpy(np.int64)
    passage = _passages(Groups(run_codes(middleware), scope.number, column_codes(middleware, "event_id")), step)
    groups = Groups(scope.number, name, Groups(passage, name).place)
    came = np.bincount(scope.number[Groups(passage).first], minlength=len(scope.size))
    on = scope.number[groups.first]
    shown = np.lexsort((groups.first, groups.sum(step) / groups.size, on))
    count = {
        action: groups.count((middleware["action"] == action).to_numpy(bool))[shown]
        for action in ("passed", "transformed", "dropped", "raised")
    }
    rows = groups.first[shown]
    return pd.DataFrame(
        {
            "scope": category(middleware, "scope").take(rows),
            "middleware": category(middleware, "middleware").take(rows),
            "seen": groups.size[shown],
            **count,
            "total": durations(groups.sum(nanoseconds(middleware, "duration"))[shown]),
            "left": (count["passed"] + count["transformed"]) / came[on[shown]],
        }
    )


def _passages(events: Groups, step: Numbers) -> Numbers:
    """Number the ways through the middleware: an event that comes again, as in a replay, begins a new one."""
    begins = np.ones(len(step), bool)
    earlier, later = events.neighbours()
    begins[later] = step[later] <= step[earlier]
    passage = np.empty(len(step), np.int64)
    passage[events.order] = np.cumsum(begins[events.order])
    return passage
