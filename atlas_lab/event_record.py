"""What a recording holds of one event, and how long the latest calls took: read while it is on, without frames."""

from __future__ import annotations

from collections import deque
from itertools import islice
from operator import itemgetter
from typing import Any, NamedTuple

from .recorder import DeliveryRow, Outcome, Tape
from .subscription import SKIPPED


class HandlerCall(NamedTuple):
    """One call of a handler.

    Attributes
    ----------
    scope : str
        Path of the bus that delivered the event.
    handler : str
    outcome : str
        "ok", "error" or "skipped", as in the frame of deliveries.
    duration : int, nanoseconds
    error : str
        Type and message; "" for none.
    thread : str
    """

    scope: str
    handler: str
    outcome: str
    duration: int
    error: str
    thread: str


class MiddlewareStep(NamedTuple):
    """One step of a middleware.

    Attributes
    ----------
    scope : str
        Path of the bus.
    middleware : str
    action : str
        "passed", "transformed", "dropped" or "raised".
    duration : int, nanoseconds
    changed : str
        Names of the fields that hold something else afterwards.
    """

    scope: str
    middleware: str
    action: str
    duration: int
    changed: str


class EventRecord(NamedTuple):
    """What is kept of one event, in the order in which it began.

    Attributes
    ----------
    calls : tuple of HandlerCall
    steps : tuple of MiddlewareStep
    """

    calls: tuple[HandlerCall, ...]
    steps: tuple[MiddlewareStep, ...]


def record_of(tape: Tape, event_id: str) -> EventRecord:
    """Return what a tape holds of one event."""
    calls = sorted((row for row in list(tape.deliveries.rows) if row[0].id == event_id), key=itemgetter(2))
    steps = sorted((row for row in list(tape.steps.rows) if row[0].id == event_id), key=itemgetter(2))
    return EventRecord(
        tuple(map(_call, calls)),
        tuple(
            MiddlewareStep(scope, name, action, ended - started, changed)
            for _, (scope, _, name), started, ended, action, changed in steps
        ),
    )


def _call(row: DeliveryRow) -> HandlerCall:
    _, (scope, handler), started, ended, thread, outcome = row
    went = "ok" if outcome is None else "skipped" if outcome is SKIPPED else "error"
    return HandlerCall(scope, handler, went, ended - started, _message(outcome) if went == "error" else "", thread)


def _message(outcome: Outcome) -> str:
    kind, message = outcome if isinstance(outcome, tuple) else (str(outcome), "")
    return f"{kind}: {message}" if message else str(kind)


def durations_of(tape: Tape, after: int, most: int) -> tuple[int, list[int]]:
    """Return how many calls there were, and how long those since `after` took, newest first."""
    written = tape.deliveries.written
    rows = _newest(tape.deliveries.rows, max(written - after, 0))
    if len(rows) > most:
        step = -(-len(rows) // most)
        # A step that varies, or a handler that is called at every so-many-th turn would be all there is, or missing.
        places = (number * step + number * 7919 % step for number in range(len(rows) // step))
        rows = [rows[place] for place in places]
    return written, [row[3] - row[2] for row in rows if row[5] is not SKIPPED]


def _newest(rows: deque[Any], number: int) -> list[Any]:
    if not number:
        return []
    try:
        return list(islice(reversed(rows), number))
    except RuntimeError:  # a row was written meanwhile, by a finalizer that published
        return list(rows)[: -number - 1 : -1]
