"""The frames of a recording: the calls of handlers, and the steps of middleware.

As in `atlas_lab.frames`, no row is built on the way: rows become columns at once, and what repeats is told apart by
its address before anybody looks at its text.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, TypeAlias

from .errors import MissingExtraError
from .events import Event
from .recorder import DeliveryRow, StepRow
from .subscription import SKIPPED

try:
    import numpy as np
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error

from .frames import categorical, labels, texts, type_labels

OUTCOMES = ["ok", "error", "skipped"]
ACTIONS = ["passed", "transformed", "dropped", "raised"]

_Array: TypeAlias = "np.ndarray[Any, Any]"
_Column: TypeAlias = Any  # as in frames


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
                                      async; what it published meanwhile is included
        outcome       category        ok, error, or skipped: a filter, a pause, an unsubscription, the
                                      death of its object or an interrupt kept the event from it
        error_type    category        missing for none
        error_message str             missing for none
        thread        category        name of the thread
        attempt       int16           1 when this handler meets this event on this bus for the first
                                      time that is kept here, 2 the next time, as after a replay
        own           timedelta64[ns] the part of `duration` in which no call was running, on the same
                                      thread, with an event that the handler had published
        ============= =============== ================================================================
    """
    event, place, started, ended, thread, outcome = _columns(rows, 6)
    event_codes, events = _told_apart(event)
    place_codes, places = _told_apart(place)
    thread_codes, threads = _told_apart(thread)
    went, error_type, error_message = _outcomes(outcome)
    seq = _spread(event_codes, np.array([one.seq for one in events], np.int64))
    ids = [one.id for one in events]
    scope = _spread(place_codes, labels([path for path, _ in places]))
    handler = _spread(place_codes, labels([name for _, name in places]))
    return pd.DataFrame(
        {
            "run": _repeated(run, len(rows)),
            "seq": seq,
            "event_id": _spread(event_codes, texts(ids)),
            "type": _spread(event_codes, type_labels([one.type for one in events])),
            "scope": scope,
            "handler": handler,
            "start": (started - origin).view("m8[ns]"),
            "duration": (ended - started).view("m8[ns]"),
            "outcome": went,
            "error_type": error_type,
            "error_message": error_message,
            "thread": _spread(thread_codes, labels(threads)),
            "attempt": _attempts(event_codes, ids, scope.codes, handler.codes, seq),
            "own": _own_times(event_codes, events, thread_codes, started, ended).view("m8[ns]"),
        },
        copy=False,
    )


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
        parent_id  str             the same; what led to an event that was dropped, which no history has
        type       category        the same
        scope      category        path of the bus; "" for one without a name
        step       int16           place among the entries that were switched on, from 0
        middleware category        name of the entry
        action     category        passed, transformed, dropped, or raised: it raised, or returned
                                   neither an event nor None
        start      timedelta64[ns] since the recording began
        duration   timedelta64[ns]
        changed    str             fields that hold something else afterwards, joined by ", "; a
                                   payload that was changed in place does not show
        ========== =============== ==================================================================
    """
    event, place, started, ended, action, changed = _columns(rows, 6)
    event_codes, events = _told_apart(event)
    place_codes, places = _told_apart(place)
    action_codes, actions = _told_apart(action)
    changed_codes, changes = _told_apart(changed)
    return pd.DataFrame(
        {
            "run": _repeated(run, len(rows)),
            "event_id": _spread(event_codes, texts([one.id for one in events])),
            "parent_id": _spread(event_codes, texts([one.parent_id for one in events])),
            "type": _spread(event_codes, type_labels([one.type for one in events])),
            "scope": _spread(place_codes, labels([path for path, _, _ in places])),
            "step": _spread(place_codes, np.array([step for _, step, _ in places], np.int16)),
            "middleware": _spread(place_codes, labels([name for _, _, name in places])),
            "action": categorical(_spread(action_codes, np.array([*map(ACTIONS.index, actions)], np.int8)), ACTIONS),
            "start": (started - origin).view("m8[ns]"),
            "duration": (ended - started).view("m8[ns]"),
            "changed": _spread(changed_codes, texts(changes)),
        },
        copy=False,
    )


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> tuple[_Array, ...]:
    """Return the columns of rows whose third and fourth field are times, in the order in which the calls began."""
    table = np.fromiter(chain.from_iterable(rows), object, len(rows) * width).reshape(-1, width)
    order = np.argsort(table[:, 2].astype(np.int64), kind="stable")
    return tuple(
        (column.astype(np.int64) if place in {2, 3} else column)[order] for place, column in enumerate(table.T)
    )


def _addresses(values: _Array) -> _Array:
    return np.ndarray(values.shape, np.intp, values.data)  # what an array of objects is made of


def _told_apart(values: _Array) -> tuple[_Array, list[Any]]:
    """Return the objects among `values`, and for each value the place of its object."""
    codes, distinct = pd.factorize(_addresses(values))
    first = np.empty(len(distinct), np.int64)
    first[codes[::-1]] = np.arange(len(values))[::-1]
    return codes, values[first].tolist()


def _spread(codes: _Array, values: _Column) -> _Column:
    return values.take(codes)


def _repeated(text: str, times: int) -> pd.Categorical:
    return labels([text][:times]).take(np.zeros(times, np.int64))


def _outcomes(outcomes: _Array) -> tuple[pd.Categorical, pd.Categorical, _Column]:
    """Return the columns outcome, error_type and error_message."""
    address = _addresses(outcomes)
    codes = np.where(address == id(None), 0, np.where(address == id(SKIPPED), 2, 1))
    failed = np.flatnonzero(codes == 1)
    problems = outcomes[failed].tolist()
    kinds = labels([kind for kind, _ in problems])
    kind_codes = np.full(len(outcomes), -1)
    kind_codes[failed] = kinds.codes
    messages = np.full(len(outcomes), None, object)
    messages[failed] = [message for _, message in problems]
    return categorical(codes, OUTCOMES), categorical(kind_codes, kinds.categories.tolist()), texts(messages.tolist())


def _attempts(codes: _Array, ids: list[str], scope: _Array, handler: _Array, seq: _Array) -> _Array:
    """Return which time it is that a handler meets an event: each time, the bus gave it another number."""
    attempt = np.ones(len(codes), np.int16)
    if len(set(ids)) == len(ids):
        return attempt
    event = pd.factorize(np.fromiter(ids, object, len(ids)))[0][codes]
    met, places = pd.factorize(event * (int(scope.max(initial=0)) + 1) + scope)
    first = np.empty(len(places), np.int64)
    first[met[::-1]] = seq[::-1]
    again = np.zeros(len(places), bool)
    again[met[seq != first[met]]] = True
    rows = np.flatnonzero(again[met])
    if rows.size:
        meetings = pd.DataFrame({"met": met[rows], "handler": handler[rows], "seq": seq[rows]})
        rank = meetings.groupby(["met", "handler"])["seq"].rank("dense")
        attempt[rows] = rank.clip(upper=np.iinfo(np.int16).max).astype(np.int16)
    return attempt


def _own_times(codes: _Array, events: Sequence[Event[Any]], thread: _Array, started: _Array, ended: _Array) -> _Array:
    """Return how long each call took without those that it led to before it was over, on its own thread."""
    own = (ended - started).astype(np.int64)
    size, parents = len(events), [one.parent_id for one in events]
    names = np.fromiter(chain((one.id for one in events), parents), object, 2 * size)
    number = pd.factorize(names)[0]  # -1 for no parent
    inner = np.flatnonzero(number[size:][codes] >= 0)
    if not inner.size:
        return own
    # Of the calls with the parent on that thread, the last that began before: rows are in the order of their beginning.
    threads = int(thread.max()) + 1
    place = number[codes] * threads + thread
    order = np.argsort(place, kind="stable")
    before = np.searchsorted(started, started[inner], side="right") - 1
    wanted = number[size:][codes[inner]] * threads + thread[inner]
    rows = len(codes)
    found = np.searchsorted(place[order] * rows + order, wanted * rows + before, side="right") - 1
    outer = order[found]
    right = np.flatnonzero((found >= 0) & (place[outer] == wanted) & (outer != inner))
    right = right[np.argsort(outer[right], kind="stable")]
    inner, outer = inner[right], outer[right]
    begin, end = started[inner], np.minimum(ended[inner], ended[outer])
    if ((outer[1:] == outer[:-1]) & (begin[1:] < end[:-1])).any():
        # Each counts from where those before it end, so that what two of them took together counts once.
        until = pd.Series(end).groupby(outer).cummax().to_numpy()[:-1]
        begin[1:] = np.where(outer[1:] == outer[:-1], np.maximum(begin[1:], until), begin[1:])
    np.subtract.at(own, outer, np.maximum(end - begin, 0))
    return own
