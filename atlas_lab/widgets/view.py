"""What all views of the lab have in common: when they look for news, how they are shown and how they end.

A view is a widget over a plain model. It derives from `LiveView` and a widget class, in this order, and ends its
constructor with ``self.watch(bus)``::

    class CountView(LiveView, ipywidgets.VBox):
        def __init__(self, bus):
            check_bus(bus)
            self._label = ipywidgets.Label("0")
            super().__init__([self._label])
            self.watch(bus)

        def refresh(self):  # called twelve times a second while it is displayed; may be called on any thread
            text = str(self.bus.history.accepted)
            if text != self._label.value:
                self._label.value = text

        def snapshot(self):  # what an exported page shows
            return element("p", f"{self.bus.history.accepted} events")

What it shows goes through `atlas_lab.markup.element` in Python, and through ``textContent`` in the browser.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeGuard

from atlas_lab.arguments import is_kind, refuse
from atlas_lab.bus import EventBus
from atlas_lab.errors import MissingExtraError
from atlas_lab.markup import Html, element, style

from .cells import forget, replace_earlier
from .ticker import ticker

try:
    import ipywidgets
except ImportError as error:
    raise MissingExtraError("ipywidgets", "lab") from error

VIEW = "application/vnd.jupyter.widget-view+json"

_STATIC = Path(__file__).parent / "static"


def check_bus(bus: object) -> None:
    """Raise TypeError if `bus` is no EventBus."""
    if not is_kind(bus, EventBus):
        raise refuse("bus", bus, "an EventBus")


def asset(*names: str) -> str:
    """Return files of ``static/`` as one text, so that modules of the browser need no address to import from."""
    return "\n".join((_STATIC / name).read_text(encoding="utf-8") for name in names)


def is_count(value: object, most: int = 2**53 - 1) -> TypeGuard[int]:
    """Whether a value from the front end is a whole number from 0 to `most`."""
    return type(value) is int and 0 <= value <= most


def is_text(value: object, most: int = 10_000) -> TypeGuard[str]:
    """Whether a value from the front end is text of at most so many characters that UTF-8 can hold."""
    if type(value) is not str or len(value) > most:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


class LiveView:
    """What a view is besides its widget.

    Subclasses override `refresh`, `snapshot` and, if they hold more than widgets, `let_go`.

    Attributes
    ----------
    bus : EventBus
    displayed : bool
        Whether somebody can see it: the notebook was asked to show it, or the browser said that it does, and the
        browser has not said since that it is hidden. A view that is part of another gets it set by that.
    """

    bus: EventBus
    displayed: bool = False
    _ended: bool = False
    _pid: int = 0
    _viewers: set[str]

    def watch(self, bus: EventBus) -> None:
        """Begin to look for news, and close what an earlier run of this cell showed. Call it last."""
        self.bus = bus
        self._pid = os.getpid()
        self._viewers = set()
        replace_earlier(self)
        ticker.add(self)

    @property
    def closed(self) -> bool:
        """Whether the view was closed; the bus goes on."""
        return self._ended

    @property
    def live(self) -> bool:
        """Whether there is somebody to show news to: it is displayed, not closed, and not a copy made by a fork."""
        return self.displayed and not self._ended and self._pid == os.getpid()

    def tick(self) -> None:
        """Show what changed since the last time, at once; the ticker calls it. Nothing, unless displayed."""
        if self.live:
            self.refresh()

    def beat(self) -> None:
        """Tell the front end that the kernel is alive, where it asks for it."""

    def refresh(self) -> None:
        """Show what changed since the last time; change nothing that did not."""

    def snapshot(self) -> Html:
        """Return what an exported page shows: the state of this moment, as HTML that needs no kernel."""
        return element("div", repr(self))

    def let_go(self) -> None:
        """Give back what the view holds besides its widgets, as subscriptions. Called once, by `close`."""

    def close(self) -> None:
        """End the view: no widget, comm, thread or subscription is left. Closing twice is no error."""
        if self._ended:
            return
        self._ended = True
        self.displayed = False
        ticker.remove(self)
        forget(self)
        try:
            if self._pid:  # else it is the rest of one whose constructor failed
                self.let_go()
        finally:
            close_all_of(self)

    def shown(self, viewer: str) -> None:
        """Note that a browser shows the view, under a name for that place."""
        if not self._ended and self._pid and len(self._viewers) < 100:
            self._viewers.add(viewer)
            self.displayed = True

    def hidden(self, viewer: str) -> None:
        """Note that the browser shows it there no more."""
        self._viewers.discard(viewer)
        self.displayed = bool(self._viewers)

    def _repr_mimebundle_(self, **_: Any) -> Any:
        bundle: dict[str, Any] = {"text/plain": repr(self)}
        sheet = style(asset("snapshot.css"))
        bundle["text/html"] = str(element("div", sheet, self.snapshot(), class_="atlas-snapshot"))
        model_id = None if self._ended else getattr(self, "model_id", None)
        if model_id is not None:
            self.displayed = True
            bundle[VIEW] = {"version_major": 2, "version_minor": 0, "model_id": model_id}
        return bundle

    def __repr__(self) -> str:
        name = type(self).__name__
        if self._pid == 0:
            return f"<{name}>"
        state = ", view closed" if self._ended else ", bus closed" if self.bus.closed else ""
        return f"<{name} of {self.bus.path or 'a bus without a name'}: {self.bus.history.accepted:,} events{state}>"


def close_all_of(widget: Any) -> None:
    """Close a widget and every widget that it is made of, as children, layouts and styles."""
    if isinstance(widget, LiveView) and not widget.closed:
        widget.close()
        return
    held = list(getattr(widget, "_trait_values", {}).values())
    parts = [part for value in held for part in (value if isinstance(value, tuple | list) else (value,))]
    ipywidgets.Widget.close(widget)
    widget.__dict__.pop("_repr_mimebundle_", None)  # which ipywidgets put in the way of a closed widget
    for part in parts:
        if isinstance(part, ipywidgets.Widget) and part.comm is not None:
            close_all_of(part)
