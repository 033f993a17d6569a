"""Who is connected to the signals of one bus: coming and going, the snapshots of receivers, and what is counted."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable
from enum import Enum
from operator import attrgetter
from typing import Any

from .errors import BusClosedError
from .events import EventType, check_event_type, event_type_name
from .naming import definition_of
from .signals import OrderedSignal, logger
from .subscription import Route, Subscription, gone

_delivery_order = attrgetter("rank")


class CoreSignals(dict[Enum, OrderedSignal]):
    """The signals of the members of `EventType` that were used; the others come into being when they are looked up."""

    def __init__(self, table: SignalTable) -> None:
        super().__init__()
        self._table = weakref.proxy(table)

    def __missing__(self, event_type: Enum) -> OrderedSignal:
        signal: OrderedSignal = self._table.signal(event_type)
        return signal


class SignalTable:
    """The signals of one bus, and who is connected to them. Everything that changes it holds `lock`.

    No loop stands directly inside a ``with`` on the lock: in Python 3.13, an interrupt at a conditional jump
    backwards would leave without giving the lock back (CPython issue 130279). So one method takes the lock,
    and one of the same name does the work.

    Attributes
    ----------
    lock : RLock
        Re-entrant, because the garbage collector may run a finalizer that publishes anywhere.
    core : CoreSignals
        For the hot path; types that are not of `EventType` go through `signal`.
    everything : OrderedSignal
        Holds the subscriptions to every type.
    recorders : tuple
        Who writes down the deliveries, while a recording is on.
    deliveries, misses, errors : int
        Calls of handlers as dispatched, those that did not take place, and those that raised.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.core = CoreSignals(self)
        self.everything = OrderedSignal(self, None)
        self.bus: Callable[[], Any] = gone
        self.closed = False
        self.recorders: tuple[Any, ...] = ()
        self.deliveries = self.misses = self.errors = 0
        self._by_name: dict[str, OrderedSignal] = {}
        self._latest: dict[int, OrderedSignal] = {}
        self._retired: list[tuple[OrderedSignal, tuple[Subscription, ...], int]] = []
        self._orphans: deque[Subscription] = deque()
        self._lost: deque[Subscription] = deque(maxlen=100)
        self._departed: deque[Subscription] = deque(maxlen=100)
        self._by_key: dict[object, tuple[Subscription, ...]] = {}
        self._count = 0
        self._changes = 0

    def signal(self, event_type: Enum) -> OrderedSignal:
        """Return the signal of an event type.

        Raises
        ------
        TypeError
            If `event_type` is not a member of an Enum.
        BusClosedError
            If the bus is closed.
        """
        known = self._latest.get(id(event_type))
        if known is not None and known.event_type is event_type:
            return known
        name = event_type_name(check_event_type(event_type))
        with self.lock:
            self.check_open()
            signal = self._by_name.setdefault(name, OrderedSignal(self, event_type))
            # An Enum that was defined again takes the place of its older self.
            self._latest.pop(id(signal.event_type), None)
            signal.event_type = event_type
            self._latest[id(event_type)] = signal
            if isinstance(event_type, EventType):
                self.core[event_type] = signal
            return signal

    def check_open(self) -> None:
        """Raise BusClosedError if the bus is closed."""
        if self.closed:
            raise BusClosedError("the bus is closed; its history can still be read, but it takes nothing new")

    def all(self) -> list[OrderedSignal]:
        """Return the signals of the types that were used so far."""
        return list(self._by_name.values())

    def connect(self, subscription: Subscription) -> None:
        """Connect a subscription to the signals of its types; it receives events from the next one on.

        A subscription with the same `key` is replaced, if `_replaces` says so.
        """
        with self.lock:
            self._connect(subscription)

    def _connect(self, subscription: Subscription) -> None:
        self.check_open()
        self.bury()
        types = subscription.event_types
        subscription.places = [self.signal(one) for one in types] if types else [self.everything]
        if subscription.key is not None:
            for other in self._by_key.get(subscription.key, ()):
                if _replaces(subscription, other):
                    self.disconnect(other)
            self._by_key[subscription.key] = (*self._by_key.get(subscription.key, ()), subscription)
        self._count += 1
        subscription.rank = (-subscription.priority, self._count)
        for signal in subscription.places:
            signal.attach(subscription)
        subscription.active = True
        self.invalidate(subscription)

    def disconnect(self, subscription: Subscription) -> bool:
        """Take a subscription out at once. True if it was connected."""
        with self.lock:
            return self._disconnect(subscription)

    def _disconnect(self, subscription: Subscription) -> bool:
        if not subscription.active:
            return False
        subscription.active = False
        for signal in subscription.places:
            signal.detach(subscription)
        if subscription.key is not None:
            namesakes = tuple(one for one in self._by_key.pop(subscription.key) if one is not subscription)
            if namesakes:
                self._by_key[subscription.key] = namesakes
        self.invalidate(subscription)
        # The token may live on in somebody's hands; the handler and what it holds need not.
        subscription.slot, subscription.awaited, subscription.starting = subscription.miss, None, None
        subscription.recover = gone
        return True

    def invalidate(self, subscription: Subscription) -> None:
        """Drop the routes that a subscription is part of, and take it out of dispatches under way."""
        for signal in subscription.places if subscription.event_types else self.all():
            self._retire(signal)
            for reference in signal.routes:
                under_way = reference()
                if under_way is not None and (subscription.paused or not subscription.active):
                    under_way.take_out(subscription)

    def _retire(self, signal: OrderedSignal) -> None:
        """Have the next event of a type meet receivers that are looked up anew."""
        self._changes += 1
        route, signal.route = signal.route, None
        if route is not None:
            self._retired.append((signal, route.subscriptions, route.dispatches))

    def record_with(self, recorders: tuple[Any, ...]) -> None:
        """Have the deliveries from now on recorded by these."""
        with self.lock:
            self._record_with(recorders)

    def _record_with(self, recorders: tuple[Any, ...]) -> None:
        self.recorders = recorders
        for signal in self.all():
            self._retire(signal)

    def route(self, signal: OrderedSignal) -> Route:
        """Return the current receivers of a signal."""
        with self.lock:
            return signal.route or self._build(signal)

    def _build(self, signal: OrderedSignal) -> Route:
        while signal.route is None:
            self.bury()
            self.settle()
            changes = self._changes
            receivers: list[Any] = [*signal.receivers.values()]
            if signal is not self.everything:
                receivers += self.everything.receivers.values()
            connected = sorted((one for one in receivers if not one.paused), key=_delivery_order)
            route = Route(tuple(connected), self.recorders)
            if changes == self._changes:  # a finalizer may have run and subscribed in between
                signal.routes = [known for known in signal.routes if known() is not None]
                signal.routes.append(weakref.ref(route))
                signal.route = route
        return signal.route

    def settle(self) -> None:
        """Book the dispatches of all routes to their subscriptions and signals. Called under the lock."""
        retired, self._retired = self._retired, []
        for signal in self.all():
            if signal.route is not None and signal.route.dispatches:
                retired.append((signal, signal.route.subscriptions, signal.route.dispatches))
                signal.route.dispatches = 0
        for signal, subscriptions, dispatches in retired:
            signal.accepted += dispatches
            self.deliveries += dispatches * len(subscriptions)
            if not subscriptions:
                signal.dead_letters += dispatches
            for subscription in subscriptions:
                subscription.dispatches += dispatches

    def subscriptions(self) -> list[Subscription]:
        """Return the active subscriptions in the order of delivery."""
        with self.lock:
            return self._connected()

    def _connected(self) -> list[Subscription]:
        self.bury()
        receivers: list[Any] = [*self.everything.receivers.values()]
        for signal in self.all():
            receivers += signal.receivers.values()
        return sorted(dict.fromkeys(receivers), key=_delivery_order)

    def departed(self) -> list[Subscription]:
        """Return the latest subscriptions that ended because the object of their handler was gone."""
        with self.lock:
            self._bury()
            return list(self._departed)

    def orphan(self, subscription: Subscription) -> None:
        """Note that the object whose method handled the events is gone.

        Runs as a weak reference's callback, in any thread and even while that thread holds the lock;
        so it only leaves a note, and `bury` does the work.
        """
        self._orphans.append(subscription)

    def bury(self) -> None:
        """Disconnect the subscriptions whose object is gone."""
        if self._orphans:
            with self.lock:
                self._bury()

    def _bury(self) -> None:
        while self._orphans:
            subscription = self._orphans.popleft()
            calls = subscription.calls
            if self.disconnect(subscription):
                self._departed.append(subscription)
                if not calls:
                    self._lost.append(subscription)

    def mourn(self) -> None:
        """Log the subscriptions whose object was gone before an event came. Not called under the lock."""
        self.bury()
        while self._lost:
            logger.warning(
                "%s was never called: its object was garbage-collected before an event came. "
                "Keep a reference to the object, or subscribe with weak=False.",
                self._lost.popleft().handler_name,
            )

    def close(self) -> None:
        """Disconnect everything and take nothing new."""
        with self.lock:
            self._close()

    def _close(self) -> None:
        for subscription in self.subscriptions():
            self.disconnect(subscription)
        self.settle()
        self.closed = True
        self.core.clear()
        self._latest.clear()


def _replaces(new: Subscription, old: Subscription) -> bool:
    """Whether a subscription takes the place of an older one with the same key.

    One function subscribed again is a second subscription. A definition that ran again is a new function
    made from the same code, and replaces what it listened to before; a definition that was compiled
    again, as in a notebook cell that is run again, replaces all that its older version listened to.
    """
    if isinstance(new.key, str):  # a name given by hand
        return True
    if definition_of(old.recover()) is definition_of(new.recover()):
        return False
    same_types = [*map(event_type_name, old.event_types)] == [*map(event_type_name, new.event_types)]
    return old.code is not new.code or same_types
