"""What became of a publish, told to the person who asked for it: in one line, with what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from atlas_lab.bus import EventBus
from atlas_lab.errors import BusClosedError, HandlerErrors, MiddlewareError, PayloadTypeError, PublishDepthError
from atlas_lab.events import Event, EventId, EventType, event_type_name
from atlas_lab.naming import attribute_of, counted, describe

from .json_text import misfit


@dataclass(frozen=True)
class Outcome:
    """What became of the latest publish.

    Attributes
    ----------
    text : str
        In one line.
    ok : bool
        Whether nothing went wrong.
    remedy : str
        What to do about it.
    """

    text: str
    ok: bool = True
    remedy: str = ""


CLOSED = Outcome("the bus is closed", ok=False, remedy="make a new bus and run this cell again")
"""What a form says of a bus that takes nothing more."""


def became(bus: EventBus, event_id: EventId, name: str, before: int) -> Outcome:
    """Return what the history says about an event of a type that was published when the bus had accepted so many.

    Examples
    --------
    >>> from atlas_lab import EventBus, EventType
    >>> from atlas_lab.widgets.outcomes import became
    >>> bus = EventBus()
    >>> event_id = bus.publish(EventType.SYSTEM_INIT)
    >>> became(bus, event_id, "SYSTEM_INIT", before=0).text
    'published as #1; nobody listens to SYSTEM_INIT'
    """
    history = bus.history
    since = history.accepted - before
    latest = list(islice(reversed(history), since))
    own = next((event for event in latest if event.id == event_id), None)
    if own is None:
        if len(latest) < since:  # it may have been pushed out by now
            return Outcome("published")
        return Outcome(
            "dropped by middleware: not stored, not delivered",
            ok=False,
            remedy="the entry that drops it counts it: see the middleware",
        )
    failed = [event for event in latest if event.type is EventType.HANDLER_ERROR and _reports(event, event_id)]
    listening = sum(
        not one.paused and (not one.event_types or name in map(event_type_name, one.event_types))
        for one in bus.subscriptions()
    )
    if failed:
        first = failed[-1].data
        text = f"published as #{own.seq}; {counted(len(failed), 'handler')} failed: {first.get('summary', '')}"
        return Outcome(text, ok=False, remedy=f"see the HANDLER_ERROR after it; {first.get('handler', '')} raised")
    heard = counted(listening, "handler") if listening else f"nobody listens to {name}"
    return Outcome(f"published as #{own.seq}; {heard}")


def outcome_of(error: BaseException) -> Outcome:
    """Return what an error of publishing means to the person who published, and what to do.

    Examples
    --------
    >>> from atlas_lab import BusClosedError
    >>> from atlas_lab.widgets.outcomes import outcome_of
    >>> outcome_of(BusClosedError("closed")).remedy
    'make a new bus and run this cell again'
    """
    if isinstance(error, BusClosedError):
        return replace(CLOSED, text=f"not published: {CLOSED.text}")
    if isinstance(error, MiddlewareError):
        return Outcome(
            f"not published: middleware {error.middleware!r} {error.problem}",
            ok=False,
            remedy=f"mend the payload, or switch {error.middleware!r} off",
        )
    if isinstance(error, HandlerErrors):
        failed = counted(len(error.exceptions), "handler")
        return Outcome(
            f"published, but {failed} failed: {describe(error.exceptions[0])}",
            ok=False,
            remedy='the bus has on_error="raise"; see the HANDLER_ERROR events',
        )
    if isinstance(error, PublishDepthError):
        return Outcome(
            f"handlers publish in a circle, {error.max_depth} deep: {' > '.join(error.chain[-3:])}",
            ok=False,
            remedy="break the circle, or pause one of the handlers",
        )
    return Outcome(f"not published: {describe(error)}", ok=False)


def misfit_of(error: BaseException) -> str:
    """Return what a middleware that validates payloads says of a field; "" if it is about something else."""
    cause = error.__cause__
    if not isinstance(cause, PayloadTypeError):
        return ""
    name, reason = misfit(cause)
    return f"{name}: {reason}" if name else reason


def _reports(event: Event[Any], event_id: EventId) -> bool:
    get = attribute_of(event.data, "get")
    return bool(callable(get) and get("event_id") == event_id)
