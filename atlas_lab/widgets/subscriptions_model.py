"""What a panel of subscriptions shows and does, without a widget: the truth behind `SubscriptionsPanel`."""

from __future__ import annotations

import itertools
import re
import threading
import weakref
from typing import NamedTuple

from atlas_lab.bus import EventBus
from atlas_lab.events import event_type_name
from atlas_lab.naming import counted
from atlas_lab.subscription import Subscription

MOST_ROWS = 200
"""Subscriptions that are shown."""


class SubscriptionRow(NamedTuple):
    """One subscription as it is shown.

    Attributes
    ----------
    key : int
        Names it in this panel.
    handler : str
    types : str
        What it listens to.
    restricted : str
        Priority and filters; "" for none.
    defined_at : str
        Where the handler was defined; "" if not in Python.
    calls, errors : int
    last_error : str
        "" for none.
    paused : bool
    """

    key: int
    handler: str
    types: str
    restricted: str
    defined_at: str
    calls: int
    errors: int
    last_error: str
    paused: bool


class SubscriptionsModel:
    """The subscriptions of a bus, with what can be done to them.

    Attributes
    ----------
    search : str
        Only those are shown whose handler, types, place or error hold this text.

    Parameters
    ----------
    bus : EventBus

    Examples
    --------
    >>> from atlas_lab import EventBus, EventType
    >>> from atlas_lab.widgets.subscriptions_model import SubscriptionsModel
    >>> bus = EventBus()
    >>> _ = bus.subscribe(EventType.STREAM_CHUNK, print, name="show")
    >>> panel = SubscriptionsModel(bus)
    >>> row = panel.rows()[0]
    >>> row.handler, row.types, panel.pause(row.key), panel.rows()[0].paused
    ('show', 'STREAM_CHUNK', True, True)
    """

    def __init__(self, bus: EventBus) -> None:
        self.bus = bus
        self.search = ""
        self.total = 0
        self._lock = threading.Lock()
        self._count = itertools.count(1)
        self._keys: weakref.WeakKeyDictionary[Subscription, int] = weakref.WeakKeyDictionary()

    def rows(self) -> tuple[SubscriptionRow, ...]:
        """Return the active subscriptions in the order in which they would receive one event, the first 200 of them."""
        rows: list[SubscriptionRow] = []
        subscriptions = self.bus.subscriptions()
        self.total = len(subscriptions)
        wanted = self.search.lower()
        for one in subscriptions:
            if len(rows) == MOST_ROWS:
                break
            with self._lock:
                key = self._keys.get(one) or self._keys.setdefault(one, next(self._count))
            row = _row(key, one)
            if wanted in f"{row.handler} {row.types} {row.defined_at} {row.last_error}".lower():
                rows.append(row)
        return tuple(rows)

    def note(self) -> str:
        """Return what else there is to know; "" if there is nothing."""
        gone = [one.handler_name for one in self.bus.departed()]
        if not gone:
            return ""
        return f"{counted(len(gone), 'handler')} ended with its object, which nobody kept: {', '.join(gone[-3:])}"

    def find(self, key: int | str) -> Subscription | None:
        """Return a subscription by its key, or by the name of its handler; None if there is none."""
        for one in self.bus.subscriptions():
            if key in (self._keys.get(one), one.handler_name):
                return one
        return None

    def pause(self, key: int | str) -> bool:
        """Let events pass by a handler from now on. False if there is no such subscription."""
        found = self.find(key)
        if found is not None:
            found.pause()
        return found is not None

    def resume(self, key: int | str) -> bool:
        """Have a handler receive events again. False if there is no such subscription."""
        found = self.find(key)
        if found is not None:
            found.resume()
        return found is not None

    def unsubscribe(self, key: int | str) -> bool:
        """End a subscription. False if there is no such subscription."""
        found = self.find(key)
        return found is not None and found.unsubscribe()


def short_place(defined_at: str) -> str:
    """Return the place of a handler without the folders of its file.

    Examples
    --------
    >>> from atlas_lab.widgets.subscriptions_model import short_place
    >>> short_place("/home/ann/project/agents.py:12"), short_place("cell In[5], line 3")
    ('agents.py:12', 'cell In[5], line 3')
    """
    return defined_at if defined_at.startswith("cell In[") else re.split(r"[/\\]", defined_at)[-1]


def _row(key: int, one: Subscription) -> SubscriptionRow:
    notes = [f"priority {one.priority}"] if one.priority else []
    return SubscriptionRow(
        key=key,
        handler=one.handler_name,
        types=", ".join(map(event_type_name, one.event_types)) or "every type",
        restricted=", ".join([*notes, *one.filters]),
        defined_at=short_place(one.defined_at),
        calls=one.calls,
        errors=one.errors,
        last_error=one.last_error or "",
        paused=one.paused,
    )
