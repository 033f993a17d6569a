"""The subscriptions of a bus, to be watched, paused and ended: a view over a `SubscriptionsModel`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from atlas_lab.markup import Html, element
from atlas_lab.naming import counted

from .messages import MessageView, News
from .subscriptions_model import SubscriptionRow, SubscriptionsModel
from .view import asset, check_bus, is_count, is_text

EVERY = 0.4
"""Seconds between two looks at the counts, each of which asks every subscription."""


class SubscriptionsPanel(MessageView):
    """The handlers in the order of delivery: what they listen to, how often they were called and failed.

    Attributes
    ----------
    model : SubscriptionsModel
        The truth, and what can be done: ``pause``, ``resume``, ``unsubscribe``, by key or by name.

    paused : bool
        While it is, what is shown stays as it is, but for what a person does there.

    Parameters
    ----------
    bus : EventBus

    Raises
    ------
    TypeError
        If `bus` is no EventBus.

    Examples
    --------
    >>> from atlas_lab import EventBus, EventType, SubscriptionsPanel
    >>> bus = EventBus()
    >>> _ = bus.subscribe(EventType.STREAM_CHUNK, len, name="count")
    >>> panel = SubscriptionsPanel(bus)
    >>> panel.model.pause("count")
    True
    >>> _ = bus.publish(EventType.STREAM_CHUNK)
    >>> [(row.handler, row.calls, row.paused) for row in panel.model.rows()]
    [('count', 0, True)]
    >>> panel.close()
    """

    _esm = asset("panel.js", "subscriptions.js")
    _css = asset("panel.css", "controls.css")

    def __init__(self, bus: Any) -> None:
        check_bus(bus)
        self.model = SubscriptionsModel(bus)
        self.paused = False
        self._told: dict[str, Any] | None = None
        self._looked = float("-inf")
        super().__init__()
        self.watch(bus)

    def news(self, everything: bool) -> News | None:
        """Return the subscriptions as they are, if that is new; asked often, it looks only now and then."""
        now = time.monotonic()
        if not everything and (self.paused or now - self._looked < EVERY):
            return None
        self._looked = now
        rows = [_said(row) for row in self.model.rows()]
        state = {"rows": rows, "total": self.model.total, "note": self.model.note(), "closed": self.bus.closed}
        if state == self._told and not everything:
            return None
        self._told = state
        return dict(state), []

    def heard(self, do: str, content: Mapping[str, object]) -> None:
        """Pause, resume or end a subscription, or search."""
        key, text = content.get("key"), content.get("text")
        if do == "search" and is_text(text, 1000):
            self.model.search = text
        elif is_count(key):
            act = {"pause": self.model.pause, "resume": self.model.resume, "unsubscribe": self.model.unsubscribe}.get(
                do
            )
            if act is not None:
                act(key)
        self._owed = True

    def snapshot(self) -> Html:
        """Return the subscriptions as a table, for an exported page."""
        head = element("tr", (element("th", name) for name in ("handler", "listens to", "calls", "failed", "")))
        lines = (
            element(
                "tr",
                element("td", row.handler),
                element("td", row.types),
                element("td", f"{row.calls:,}", class_="n"),
                element("td", f"{row.errors:,}", class_="n bad" if row.errors else "n"),
                element("td", "paused" if row.paused else ""),
            )
            for row in self.model.rows()
        )
        title = element("h3", counted(len(self.bus.subscriptions()), "subscription"))
        return element("section", title, element("table", head, lines))


def _said(row: SubscriptionRow) -> dict[str, Any]:
    return {
        "key": row.key,
        "handler": row.handler,
        "types": row.types,
        "restricted": row.restricted,
        "where": row.defined_at,
        "calls": row.calls,
        "errors": row.errors,
        "problem": row.last_error[:300],
        "paused": row.paused,
    }
