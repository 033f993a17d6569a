"""A line that says how a bus is doing: alive or not, counts, events a second and how long handlers take."""

from __future__ import annotations

import time
from typing import Any

from atlas_lab.markup import Html, element
from atlas_lab.naming import counted

from .messages import MessageView, News
from .rate_model import RateModel
from .record_switch import switch_of
from .view import asset, check_bus

MOVE = 1.0
"""Seconds from one picture of the last minute to the next while nothing happens."""


class RateView(MessageView):
    """Name of a bus, a sign of life, counts, and the last minute as two small curves.

    Running the cell again replaces it; `close` ends it.

    Parameters
    ----------
    bus : EventBus
    record : bool or Recording, default False
        Where durations of handlers come from; True starts a recording, which `close` stops.

    Attributes
    ----------
    model : RateModel

    Raises
    ------
    TypeError
        If `bus` is no EventBus.

    Examples
    --------
    >>> from atlas_lab import EventBus, EventType
    >>> from atlas_lab.widgets.rate import RateView
    >>> bus = EventBus(name="run")
    >>> rate = RateView(bus)
    >>> _ = bus.publish(EventType.SYSTEM_INIT)
    >>> rate.model.state()["events"]
    1
    >>> rate.close()
    """

    _esm = asset("panel.js", "rate.js")
    _css = asset("panel.css", "rate.css")

    def __init__(self, bus: Any, *, record: object = False) -> None:
        check_bus(bus)
        self._switch, self._own_switch = switch_of(bus, record)
        self.model = RateModel(bus, self._switch)
        self._told: dict[str, Any] = {}
        self._told_at = 0.0
        self._moves = False
        super().__init__()
        self.watch(bus)

    def news(self, everything: bool) -> News | None:
        """Return what changed. While nothing happens, what happened before moves on once a second, until it is gone."""
        self.model.sample()
        state = self.model.state()
        told = {} if everything else self._told
        changed = {key: value for key, value in state.items() if key not in told or told[key] != value}
        now = time.monotonic()
        if not changed and not (self._moves and now >= self._told_at + MOVE):
            return None
        self._told, self._told_at = state, now
        curves = self.model.curves()
        self._moves = bool(curves.rates.any() or (curves.p99 > 0).any())
        return {"state": changed}, [curve.tobytes() for curve in (curves if state["recording"] else curves[:1])]

    def snapshot(self) -> Html:
        """Return the counts as a line of text."""
        state = self.model.state()
        parts = [
            counted(state["events"], "event"),
            counted(state["subscriptions"], "subscription"),
            counted(state["errors"], "error"),
            f"{state['dropped']:,} pushed out",
        ]
        closed = element("span", " (closed)", class_="bad") if state["closed"] else None
        return element("p", element("b", state["name"]), closed, f": {', '.join(parts)}")

    def let_go(self) -> None:
        """Stop the recording, if it is the view's own."""
        if self._own_switch:
            self._switch.close()
