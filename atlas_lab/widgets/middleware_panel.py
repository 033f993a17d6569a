"""The middleware of a bus, to be watched, switched, moved and removed: a view over a `MiddlewareModel`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atlas_lab.markup import Html, element

from .messages import MessageView, News
from .middleware_model import MiddlewareModel, MiddlewareRow
from .view import asset, check_bus, is_text


class MiddlewarePanel(MessageView):
    """The middleware in order: a switch for each, what it did to the events, and how long it takes for one.

    Attributes
    ----------
    model : MiddlewareModel
        The truth, and what can be done: ``switch``, ``move``, ``remove``.

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
    >>> from atlas_lab import EventBus, EventType, MiddlewarePanel, drop
    >>> bus = EventBus()
    >>> _ = bus.add_middleware(drop(EventType.STREAM_CHUNK), name="quiet")
    >>> panel = MiddlewarePanel(bus)
    >>> _ = bus.publish(EventType.STREAM_CHUNK)
    >>> panel.model.rows()[0].said
    '1 in · all dropped'
    >>> panel.model.switch("quiet", on=False)
    True
    >>> _ = bus.publish(EventType.STREAM_CHUNK)
    >>> len(bus.history)
    1
    >>> panel.close()
    """

    _esm = asset("panel.js", "middleware.js")
    _css = asset("panel.css", "controls.css")

    def __init__(self, bus: Any) -> None:
        check_bus(bus)
        self.model = MiddlewareModel(bus)
        self.paused = False
        self._told: dict[str, Any] | None = None
        super().__init__()
        self.watch(bus)

    def news(self, everything: bool) -> News | None:
        """Return the entries as they are, if that is new."""
        if self.paused and not everything:
            return None
        rows = [_said(row) for row in self.model.rows()]
        state = {"rows": rows, "total": self.model.total, "closed": self.bus.closed}
        if state == self._told and not everything:
            return None
        self._told = state
        return dict(state), []

    def heard(self, do: str, content: Mapping[str, object]) -> None:
        """Switch, move or remove an entry."""
        name, on, by = content.get("name"), content.get("on"), content.get("by")
        if not is_text(name):
            return
        if do == "switch" and isinstance(on, bool):
            self.model.switch(name, on=on)
        elif do == "move" and type(by) is int and by in {-1, 1}:
            self.model.move(name, by)
        elif do == "remove":
            self.model.remove(name)
        self._owed = True  # the browser may have shown what did not come to be

    def snapshot(self) -> Html:
        """Return the entries as a table, for an exported page."""
        rows = self.model.rows()
        if not rows:
            return element("section", element("h3", "Middleware"), element("p", "None: every event passes."))
        lines = (
            element(
                "tr", element("td", row.name), element("td", "on" if row.enabled else "off"), element("td", _story(row))
            )
            for row in rows
        )
        return element("section", element("h3", "Middleware"), element("table", lines))


def _said(row: MiddlewareRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "on": row.enabled,
        "counts": list(row.stats[1:5]),
        "mean": duration(row.mean),
        "said": _story(row),
    }


def _story(row: MiddlewareRow) -> str:
    return row.said if row.off_since is None else f"off since #{row.off_since:,} · {row.said}"


def duration(seconds: float | None) -> str:
    """Return a time in the unit that suits it, with two digits; "" for none.

    Examples
    --------
    >>> from atlas_lab.widgets.middleware_panel import duration
    >>> duration(4.21e-7), duration(0.0312), duration(None)
    ('0.42 µs', '31 ms', '')
    """
    if seconds is None:
        return ""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size * 0.9995:
            return f"{seconds / size:,.{_digits(seconds / size)}f} {unit}"
    return f"{seconds / 1e-6:.{_digits(seconds / 1e-6)}f} µs"


def _digits(number: float) -> int:
    return 2 if number < 1 else 1 if number < 10 else 0
