"""What a bus tells about itself: its statistics, and what would happen to an event."""

from __future__ import annotations

import os
import sys
from enum import Enum
from types import FrameType
from typing import Any

import msgspec

from .entries import Middleware
from .events import Event, check_event_type, event_type_name
from .naming import code_location, describe, message_of, sendable, traceback_of
from .parts import BusParts
from .recording import Recording
from .subscription import Subscription

_PACKAGE = os.path.join(os.path.dirname(__file__), "")  # noqa: PTH118, PTH120 - pathlib costs a tenth of the import
_NAME = __name__.partition(".")[0]
_IN_WORDS = {"widgets": "the lab's form", "notebook": "the notebook, around a cell"}
_SYSTEMS = {"atlas", "patterns", "experiments"}
_PASSED_OVER = {"asyncio", "blinker", "concurrent", "contextlib", "logging", "threading"}


class BusStats(msgspec.Struct, frozen=True):
    """Counts of one bus since it was made, as ``bus.stats()`` returns them.

    Attributes
    ----------
    accepted : int
        Events stored and delivered; the ``seq`` of the latest one.
    calls : int
        Calls of handlers.
    errors : int
        Failures of handlers.
    rejected : int
        Events that middleware dropped or failed on.
    by_type : dict of str to int
        Accepted events by name of their type.
    dead_letters : dict of str to int
        Accepted events for which this bus had no handler, by name of their type.
    subscriptions : int
        Active subscriptions.
    kept, pushed_out : int
        Events in the history, and those its limit pushed out.
    running : int
        Async handlers started by ``publish`` that are not done yet.
    """

    accepted: int
    calls: int
    errors: int
    rejected: int
    by_type: dict[str, int]
    dead_letters: dict[str, int]
    subscriptions: int
    kept: int
    pushed_out: int
    running: int


class Explanation(msgspec.Struct, frozen=True):
    """What would happen to an event of one type, as ``bus.explain(event_type)`` returns it.

    Print it to read it; the last line of a cell shows it so as well.

    Attributes
    ----------
    bus : str
        Name or path of the bus.
    event_type : str
    middleware : tuple of str
        Entries in order; those switched off say so.
    handlers : tuple of str
        Handlers in the order of delivery, each with what restricts it and where it was defined.
    parent : Explanation or None
        What the parent does with the event afterwards.
    """

    bus: str
    event_type: str
    middleware: tuple[str, ...]
    handlers: tuple[str, ...]
    parent: Explanation | None = None

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(sendable(str(self)))

    def __str__(self) -> str:
        lines = [f"{self.event_type} on {self.bus}"]
        lines += _numbered("middleware", self.middleware, "none: every event passes")
        lines += _numbered("handlers, in order", self.handlers, "none: the event is a dead letter")
        if self.parent is not None:
            lines += ["  then, on the parent:", *("    " + line for line in str(self.parent).splitlines())]
        return "\n".join(lines)


def _numbered(title: str, items: tuple[str, ...], nothing: str) -> list[str]:
    if not items:
        return [f"  {title}: {nothing}"]
    return [f"  {title}:", *(f"    {number}. {item}" for number, item in enumerate(items, 1))]


def describe_middleware(entry: Middleware) -> str:
    """Return an entry as one line."""
    return entry.name if entry.enabled else f"{entry.name} (off)"


def describe_subscription(subscription: Subscription) -> str:
    """Return a subscription as one line: its name, what restricts it, and where its handler was defined."""
    notes = [f"priority {subscription.priority}"] if subscription.priority else []
    notes += subscription.filters
    if not subscription.event_types:
        notes.append("listens to every type")
    if subscription.paused:
        notes.append("paused")
    text = f"{subscription.handler_name} ({', '.join(notes)})" if notes else subscription.handler_name
    return f"{text} at {subscription.defined_at}" if subscription.defined_at else text


def error_report(subscription: Subscription, event: Event[object], error: BaseException) -> dict[str, str]:
    """Return the payload of a HANDLER_ERROR event: text only, so that it holds no frame and no object alive."""
    return {
        "event_id": event.id,
        "event_type": event_type_name(event.type),
        "handler": subscription.handler_name,
        "defined_at": subscription.defined_at,
        "published_at": _publisher(),
        "error_type": type(error).__name__,
        "message": message_of(error),
        "summary": describe(error),
        "traceback": traceback_of(error),
    }


def _publisher() -> str:
    """Return the innermost place outside this package from which the event was published, as its user knows it.

    What leads from one to the other is passed over: this package, and what a `tap` hands over from. An event that
    the panel or the notebook itself publishes has no such place, so it is told in words.
    """
    ours = ""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - documented, and the only way
    while frame is not None:
        name = frame.f_globals.get("__name__")
        if name == "asyncio.events":  # what runs the event loop publishes nothing
            break
        top, _, rest = name.partition(".") if isinstance(name, str) else ("", "", "")
        code = frame.f_code.co_filename
        part = rest.partition(".")[0] if top == _NAME and code.startswith(_PACKAGE) else None
        if part in _IN_WORDS:
            return _IN_WORDS[part]
        if part == "testing" or (part is None and top not in _PASSED_OVER):
            return code_location(code, frame.f_lineno)
        if part in _SYSTEMS:
            ours = ours or code_location(code, frame.f_lineno)
        frame = frame.f_back
    return ours


class Reporting(BusParts):
    """What a bus tells about itself. `EventBus` builds on it."""

    def stats(self) -> BusStats:
        """Return counts of what happened since the bus was made, dead letters among them.

        Examples
        --------
        >>> from atlas_lab import EventBus, EventType
        >>> bus = EventBus()
        >>> _ = bus.publish(EventType.AGENT_CREATED)
        >>> bus.stats().dead_letters
        {'AGENT_CREATED': 1}
        """
        with self._lock:
            return self._stats()

    def _stats(self) -> BusStats:
        signals = self._signals
        signals.settle()
        used = [(event_type_name(signal.event_type), signal) for signal in signals.all() if signal.event_type]
        return BusStats(
            accepted=self._history.accepted,
            calls=signals.deliveries - signals.misses,
            errors=signals.errors,
            rejected=self._pipeline.rejected,
            by_type={name: signal.accepted for name, signal in used if signal.accepted},
            dead_letters={name: signal.dead_letters for name, signal in used if signal.dead_letters},
            subscriptions=len(signals.subscriptions()),
            kept=len(self._history),
            pushed_out=self._history.dropped,
            running=len(self._background),
        )

    def record(self, name: str | None = None, *, limit: int = 1_000_000, scopes: bool = True) -> Recording:
        """Return a recording of what happens on this bus: every call of a handler, every step of a middleware.

        Nothing is recorded, and nothing is paid, before it is started by ``with`` or ``start``.

        Parameters
        ----------
        name : str, optional
            Fills the ``run`` column of its frames; the path of the bus by default, "run" for one without a name.
        limit : int, default 1,000,000
            How many events, deliveries and middleware steps to keep, each. The oldest make room and are counted
            in ``not_kept``.
        scopes : bool, default True
            Whether the scopes of this bus, and those made meanwhile, are recorded as well.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as described.

        Examples
        --------
        >>> from atlas_lab import EventBus, EventType
        >>> bus = EventBus()
        >>> _ = bus.subscribe(EventType.AGENT_STARTED, lambda event: 1 / 0, name="fragile")
        >>> with bus.record("before the change") as run:
        ...     _ = bus.publish(EventType.AGENT_STARTED)
        >>> run.deliveries[["type", "handler", "outcome", "error_type"]]
                    type  handler outcome         error_type
        0  AGENT_STARTED  fragile   error  ZeroDivisionError
        """
        return Recording(self, name, limit=limit, scopes=scopes)

    def explain(self, event_type: Enum) -> Explanation:
        """Return what would happen to an event of a type: middleware, handlers in order, then the parent.

        Raises
        ------
        TypeError
            If `event_type` is not a member of an Enum.

        Examples
        --------
        >>> from atlas_lab import EventBus, EventType
        >>> bus = EventBus(name="run")
        >>> _ = bus.subscribe(EventType.STREAM_CHUNK, print, priority=2, source="model")
        >>> print(bus.explain(EventType.STREAM_CHUNK))
        STREAM_CHUNK on run
          middleware: none: every event passes
          handlers, in order:
            1. print (priority 2, source='model')
        """
        name = event_type_name(check_event_type(event_type))
        return Explanation(
            bus=self._path or "a bus without a name",
            event_type=name,
            middleware=tuple(describe_middleware(entry) for entry in self.middleware),
            handlers=tuple(
                describe_subscription(subscription)
                for subscription in self._signals.subscriptions()
                if not subscription.event_types or name in map(event_type_name, subscription.event_types)
            ),
            parent=None if self._parent is None else self._parent.explain(event_type),
        )
