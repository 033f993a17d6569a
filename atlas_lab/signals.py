"""Blinker signals with what a bus needs on top: an order, and receivers that can be read while others come and go.

This is the only module that imports blinker. Each event type has one signal, private to its bus; each
subscription is connected to it as a unique object, so that Blinker's own weak references, sender
filters and identity rules never come into play.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from enum import Enum
from typing import Any, Protocol

import blinker

from .arguments import check_kind
from .errors import BusClosedError
from .events import event_type_name
from .subscription import Route, Subscription

logger = logging.getLogger("atlas_lab")


class Table(Protocol):
    """What a signal needs of the table that it stands in."""

    bus: Callable[[], Any]

    @property
    def lock(self) -> AbstractContextManager[object]:
        """Held by everything that changes the table."""

    def route(self, signal: OrderedSignal) -> Route:
        """Return the current receivers of a signal."""


class OrderedSignal(blinker.Signal):
    """A Blinker signal that knows its event type and calls its receivers in the order of the bus.

    ``connect`` and ``disconnect`` work as in Blinker and are subscriptions to the bus: what is connected
    here receives the events that the bus publishes. ``send`` calls the receivers and nothing else: no
    middleware, no history, no isolation of errors.
    """

    def __init__(self, table: Table, event_type: Enum | None) -> None:
        super().__init__(doc=f"Receivers of {'every event' if event_type is None else event_type_name(event_type)}.")
        self.table = table
        self.event_type = event_type
        self.route: Route | None = None
        self.routes: list[weakref.ref[Route]] = []
        self.accepted = 0
        self.dead_letters = 0

    def attach(self, subscription: Subscription) -> None:
        """Connect a subscription itself, as Blinker does."""
        super().connect(subscription, weak=False)

    def detach(self, subscription: Subscription) -> None:
        """Disconnect a subscription, as Blinker does."""
        super().disconnect(subscription)

    def connect(self, receiver: Any, sender: Any = blinker.ANY, weak: bool = True) -> Any:
        """Subscribe `receiver`, called with the event; a bound method is held weakly, unless ``weak=False``."""
        if sender is not blinker.ANY:
            raise TypeError("a bus's signal has no senders; use bus.subscribe(..., source=...) to filter by source")
        check_kind("weak", weak, bool, "True or False")
        bus = self.table.bus()
        if bus is None:
            raise BusClosedError("the bus of this signal is gone")
        bus.subscribe(self.event_type, receiver, weak=None if weak else False)
        return receiver

    def disconnect(self, receiver: Any, sender: Any = blinker.ANY) -> None:
        """Unsubscribe every subscription of `receiver` to this event type."""
        with self.table.lock:
            connected: list[Any] = [*self.receivers.values()]
        for subscription in connected:
            if _same(subscription.recover(), receiver):
                subscription.unsubscribe()

    def receivers_for(self, sender: Any) -> Iterator[Any]:  # type: ignore[override]
        """Yield what to call for an event, in the order of delivery."""
        route = self.table.route(self)
        for slot, subscription in zip(route.slots[route.ahead :], route.subscriptions, strict=True):
            subscription.count()
            yield slot


def _same(handler: object, receiver: object) -> bool:
    """Whether two callables are equal; those that cannot be compared are not."""
    try:
        return bool(handler == receiver)
    except Exception:  # noqa: BLE001 - any code may run in there
        return handler is receiver
