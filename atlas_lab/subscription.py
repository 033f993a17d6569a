"""A handler's place on a bus, and the snapshot of such places that a publish runs through.

Counting is free of cost per handler: a route counts how often it was dispatched, and a subscription
was called that often, minus the times its slot did not call the handler (`Subscription.miss`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from enum import Enum
from types import CodeType
from typing import Any, Protocol, Self, TypeAlias

from .cards import subscription_card
from .events import Event, event_type_name
from .naming import code_location, counted, describe, on_one_line

SKIPPED = object()
"""What a slot returns that did not call its handler."""

Handler: TypeAlias = Callable[[Event[Any]], object]
Slot: TypeAlias = Callable[[Event[Any]], object]


class Table(Protocol):
    """What a subscription needs of the table of signals it stands in."""

    deliveries: int
    misses: int
    errors: int

    @property
    def lock(self) -> AbstractContextManager[object]:
        """Held by everything that changes the table."""

    def settle(self) -> None:
        """Bring the counts up to date."""

    def disconnect(self, subscription: Subscription) -> bool:
        """Take a subscription out."""

    def invalidate(self, subscription: Subscription) -> None:
        """Drop the routes that a subscription is part of."""

    def orphan(self, subscription: Subscription) -> None:
        """Note that the object whose method handled the events is gone."""

    def bury(self) -> None:
        """Disconnect the subscriptions whose object is gone."""


class Subscription:
    """A handler's place on a bus, as ``bus.subscribe`` returns it. Calling it unsubscribes.

    Attributes
    ----------
    handler_name : str
        The ``name`` given, or the handler's qualified name.
    event_types : tuple of Enum
        What it listens to; empty for everything.
    priority : int
        Handlers with a higher priority run first.
    active : bool
        Whether it is still subscribed.
    paused : bool
        Whether it is passed over for now; see `pause`.
    errors : int
        How often the handler failed.
    last_error : str or None
        Type and message of the latest failure.
    created_at : float
        When it was subscribed, in seconds since the epoch by the bus's clock.
    isolated : bool
        Whether its errors are kept from the publisher also under ``on_error="raise"``.
    data_type : type or None
        What payloads are checked against; see ``bus.subscribe``.

    Examples
    --------
    >>> from atlas_lab import EventBus, EventType
    >>> bus = EventBus()
    >>> unsubscribe = bus.subscribe(EventType.STREAM_STARTED, lambda event: print("started", event.data))
    >>> _ = bus.publish(EventType.STREAM_STARTED, 7)
    started 7
    >>> unsubscribe.calls, unsubscribe(), unsubscribe()
    (1, True, False)
    """

    __slots__ = (
        "__weakref__", "_misses", "active", "awaited", "code", "created_at", "data_type", "dispatches", "errors",
        "event_types", "filters", "handler_name", "isolated", "key", "last_error", "paused", "places", "priority", "rank",
        "recover", "signals", "slot", "starting",
    )  # fmt: skip

    def __init__(
        self,
        signals: Table,
        event_types: tuple[Enum, ...],
        *,
        handler_name: str,
        priority: int = 0,
        filters: tuple[str, ...] = (),
        key: object = None,
        code: CodeType | None = None,
        created_at: float = 0.0,
        data_type: Any = None,
    ) -> None:
        self.signals = signals
        self.event_types = event_types
        self.handler_name = handler_name
        self.priority = priority
        self.filters = filters
        self.key = key
        self.code = code
        self.created_at = created_at
        self.data_type = data_type
        self.active = False
        self.paused = False
        self.isolated = False
        self.errors = 0
        self.last_error: str | None = None
        self.dispatches = 0
        self._misses = 0
        self.rank = (0, 0)
        self.places: list[Any] = []
        self.recover: Callable[[], Handler | None] = gone
        # What is called with an event that a route delivers. For an async handler also what an awaiting publisher
        # calls instead, and what makes the former of the latter.
        self.slot: Slot = self.miss
        self.awaited: Slot | None = None
        self.starting: Callable[[Slot], Slot] | None = None

    @property
    def calls(self) -> int:
        """How often the handler was called; an event counts from the moment it is accepted."""
        with self.signals.lock:
            self.signals.settle()
            return self.dispatches - self._misses

    @property
    def defined_at(self) -> str:
        """Where the handler was defined: notebook cell or file, and line; "" if not in Python."""
        return "" if self.code is None else code_location(self.code.co_filename, self.code.co_firstlineno)

    def unsubscribe(self) -> bool:
        """Stop receiving at once, also the event in flight. True the first time, False after."""
        return self.signals.disconnect(self)

    __call__ = unsubscribe

    def pause(self) -> None:
        """Let events pass by from now on, until `resume`. They are not kept for later."""
        self._set_paused(True)

    def resume(self) -> None:
        """Receive events again."""
        self._set_paused(False)

    def _set_paused(self, paused: bool) -> None:
        with self.signals.lock:
            if self.active and self.paused != paused:
                self.paused = paused
                self.signals.invalidate(self)

    def count(self) -> None:
        """Count a call that comes from outside a dispatch."""
        with self.signals.lock:
            self.dispatches += 1
            self.signals.deliveries += 1

    def miss(self, event: Event[Any] | None = None) -> object:
        """Note that a dispatch did not reach the handler; also stands in for a slot that was taken out."""
        with self.signals.lock:
            self._misses += 1
            self.signals.misses += 1
        return SKIPPED

    def failed(self, error: BaseException) -> None:
        """Note that the handler raised."""
        with self.signals.lock:
            self.errors += 1
            self.signals.errors += 1
            self.last_error = describe(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.unsubscribe()

    def _repr_html_(self) -> str:
        return subscription_card(self)

    def __repr__(self) -> str:
        types = ", ".join(map(event_type_name, self.event_types)) or "every type"
        state = "paused" if self.paused else "active" if self.active else "ended"
        errors = f", {self.errors} failed" if self.errors else ""
        told = f"{on_one_line(self.handler_name)} to {on_one_line(types)}"
        return f"<Subscription {told}: {state}, {counted(self.calls, 'call')}{errors}>"


class Route:
    """The receivers of one event type at one moment, in the order of delivery.

    Attributes
    ----------
    subscriptions : tuple of Subscription
    slots : list of callable
        What to call, no two the same object: what recordings collect events with, then one for each
        subscription. A list, so that taking one out reaches the dispatches that are under way.
    ahead : int
        How many slots stand in front of those of the subscriptions.
    dispatches : int
        How many events went through; the bus adds to it under the lock.
    """

    __slots__ = ("__weakref__", "_awaited", "_built", "_recorders", "ahead", "dispatches", "slots", "subscriptions")

    def __init__(self, subscriptions: tuple[Subscription, ...], recorders: tuple[Any, ...] = ()) -> None:
        self.subscriptions = subscriptions
        self._recorders = recorders
        self.slots: list[Slot] = [recorder.collect for recorder in recorders]
        self.ahead = len(recorders)
        self._awaited: dict[int, Slot] = {}
        taken: set[int] = set()
        for subscription in subscriptions:
            slot, awaited = subscription.slot, subscription.awaited
            if recorders:
                slot, awaited = self._recorded(subscription, slot, slot if awaited is None else awaited)
            if id(slot) in taken:  # one handler subscribed twice
                slot = _same_call(slot)
            if awaited is not None:
                self._awaited[id(slot)] = awaited
            taken.add(id(slot))
            self.slots.append(slot)
        self._built = tuple(self.slots)
        self.dispatches = 0

    def _recorded(self, subscription: Subscription, slot: Slot, awaited: Slot) -> tuple[Slot, Slot]:
        """Return what is called in place of a slot, and by a publisher that awaits, so that recordings see it."""
        for recorder in self._recorders:
            awaited = recorder.awaiting(subscription, awaited)
        if subscription.starting is not None:
            return subscription.starting(awaited), awaited
        for recorder in self._recorders:
            slot = recorder.around(subscription, slot)
        return slot, awaited

    def _missed(self, subscription: Subscription) -> Slot:
        """Return what is called in place of a subscription that an event does not reach."""
        slot: Slot = subscription.miss
        for recorder in self._recorders:
            slot = recorder.around(subscription, slot)
        return slot

    def awaitable(self, slot: Slot) -> Slot:
        """Return what a publisher that awaits calls in place of a slot."""
        return self._awaited.get(id(slot), slot)

    def position(self, slot: Slot | None) -> int:
        """Return the place of a slot's subscription, as it was built or as it is now; -1 if it is of none."""
        return max(self._place(slot) - self.ahead, -1)

    def _place(self, slot: Slot | None) -> int:
        for slots in (self._built, self.slots):
            for place, other in enumerate(slots):
                if other is slot:
                    return place
        return -1

    def abandon(self, last: Slot | None, event: Event[Any]) -> None:
        """Note that a dispatch was broken off: the slots after `last` were not called."""
        reached = self._place(last) + 1
        for collect in self._built[reached : self.ahead]:
            collect(event)
        for subscription in self.subscriptions[max(reached - self.ahead, 0) :]:
            self._missed(subscription)(event)

    def take_out(self, subscription: Subscription) -> None:
        """Make a dispatch that is under way pass over a subscription."""
        for position, other in enumerate(self.subscriptions):
            if other is subscription:
                self.slots[position + self.ahead] = self._missed(subscription)


def _same_call(slot: Slot) -> Slot:
    def call(event: Event[Any]) -> object:
        return slot(event)

    return call


def gone() -> None:
    """Stand in for the recovery of a handler that was let go."""
    return
