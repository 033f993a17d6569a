"""The live feed: events as they come, filtered, paused, followed back through history, and each in detail."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import traitlets

from atlas_lab.markup import Child, Html, element
from atlas_lab.naming import counted
from atlas_lab.recording import Recording

from .feed_model import ROWS, FeedModel, type_names
from .messages import MessageView, News
from .record_switch import switch_of
from .view import asset, check_bus, is_count, is_text

REDRAWN = 0.5  # seconds between two pictures of all of history, while events come in
_SNAPSHOT = 20  # events that an exported page shows


class EventFeed(MessageView):
    """A table of the events of a bus that stays live at any rate, with filters, pause, details and a history scrubber.

    Everything that can be done in the browser can be done from Python, by the attributes below; what is shown can be
    read from `model`. Running the cell again replaces the feed; `close` ends it.

    Parameters
    ----------
    bus : EventBus
    record : bool or Recording, default False
        Durations of handlers and steps of middleware come from a recording: True starts one, which is stopped by
        `close`; one that you started is yours to stop. A switch in the feed turns it on and off, too.

    Attributes
    ----------
    type_filter : tuple of str
        Names of the types that are listed, () for all. Set it to a name, a member of an Enum, or several of them.
    source_filter, scope_filter, text : str
        Other things that listed events have in common; "" for none. A scope includes those below it; text is looked
        for in type, source, scope, id, payload and metadata.
    paused : bool
        While it is, the feed shows what the history held then.
    head : int or None
        Show the feed as it was when the event of this number was the latest one; None to follow.
    selected : int or None
        Number of the event that is shown in detail.
    model : FeedModel

    Raises
    ------
    TypeError
        If `bus` is no EventBus.
    traitlets.TraitError
        If an attribute is set to what it cannot be.

    Examples
    --------
    >>> from atlas_lab import EventBus, EventType
    >>> from atlas_lab.widgets.feed import EventFeed
    >>> bus = EventBus(name="run")
    >>> feed = EventFeed(bus)
    >>> for word in ("to", "be"):
    ...     _ = bus.publish(EventType.STREAM_CHUNK, {"word": word}, source="model")
    >>> feed.text = "be"
    >>> [event.data["word"] for event in feed.model.window()]
    ['be']
    >>> feed.close()
    """

    _esm = asset("panel.js", "feed.js", "feed_detail.js")
    _css = asset("panel.css", "feed.css")

    type_filter: Any = traitlets.Any(())
    source_filter: Any = traitlets.Unicode("")
    scope_filter: Any = traitlets.Unicode("")
    text: Any = traitlets.Unicode("")
    paused: Any = traitlets.Bool(False)
    head: Any = traitlets.Int(None, allow_none=True, min=0)
    selected: Any = traitlets.Int(None, allow_none=True, min=1)

    def __init__(self, bus: Any, *, record: object = False) -> None:
        check_bus(bus)
        self._switch, self._own_switch = switch_of(bus, record)
        self.model = FeedModel(bus, self._switch)
        self._told: dict[str, Any] = {}
        self._drawn: object = None
        self._drawn_at = 0.0
        self._span: object = None
        self._held = False
        super().__init__()
        self.watch(bus)

    @property
    def recording(self) -> Recording | None:
        """Where durations come from; None if nothing was recorded yet."""
        return self._switch.recording

    def record(self, on: bool) -> None:
        """Turn recording on or off."""
        self._switch.turn(on)

    @traitlets.validate("type_filter")
    def _names_of_types(self, proposal: Any) -> tuple[str, ...]:
        try:
            return type_names(proposal["value"])
        except TypeError as error:
            raise traitlets.TraitError(str(error)) from None

    @traitlets.validate("selected")
    def _a_kept_event(self, proposal: Any) -> int | None:
        seq: int | None = proposal["value"]
        if seq != self.model.selected and not self.model.select(seq):
            raise traitlets.TraitError(f"no event {seq} is kept")
        return seq

    @traitlets.observe("type_filter", "source_filter", "scope_filter", "text")
    def _filter(self, _: object) -> None:
        self.model.filter_by(types=self.type_filter, source=self.source_filter, scope=self.scope_filter, text=self.text)

    @traitlets.observe("paused")
    def _pause(self, _: object) -> None:
        self.model.pause(self.paused)

    @traitlets.observe("head")
    def _go_to(self, _: object) -> None:
        self._held = False
        self.model.go_to(self.head)

    def go_live(self) -> None:
        """Follow the latest events again."""
        self.paused = False
        self.head = None
        self.model.look_at(0, self.model.rows)

    def news(self, everything: bool) -> News | None:
        """Return what changed."""
        model = self.model
        model.update()
        state = model.state()
        told = {} if everything else self._told
        changed = {key: value for key, value in state.items() if key not in told or told[key] != value}
        span = (state["oldest"], state["newest"])
        # The picture of all of history changes slowly: every other tick or so would not be seen.
        moves = span != self._span and time.monotonic() - self._drawn_at < REDRAWN
        draws = everything or (span != self._drawn and not moves)
        self._span = span
        if not changed and not draws:
            return None
        self._told = state
        if not draws:
            return {"state": changed}, []
        self._drawn, self._drawn_at = span, time.monotonic()
        return {"state": changed}, [values.tobytes() for values in model.density()]

    def heard(self, do: str, content: Mapping[str, object]) -> None:
        """Do what a person asked for in the browser, if it makes sense."""
        action = _ACTIONS.get(do)
        if action is not None:
            action(self, content.get("value"))

    def _see(self, value: object) -> None:
        """Move the window. Who scrolls away from the newest holds the feed there, and follows again at the top."""
        if not (isinstance(value, list) and len(value) == 2 and is_count(value[0]) and is_count(value[1], ROWS)):
            return
        first, rows = value
        if first and self.head is None and not self.paused:
            self.head = self.model.bus_newest
            self._held = True
        elif not first and self._held:
            self.head = None
        self.model.look_at(first, rows)

    def _step(self, value: object) -> None:
        if type(value) is int and abs(value) <= ROWS:
            self.selected = self.model.step(value)

    def _choose(self, value: object) -> None:
        if value is None or (is_count(value) and self.model.select(value)):
            self.selected = value

    def _head(self, value: object) -> None:
        if value is None or is_count(value):
            self.head = value

    def _filter_type(self, value: object) -> None:
        if is_text(value, 500):
            self.type_filter = value

    def _filter_source(self, value: object) -> None:
        if is_text(value):
            self.source_filter = value

    def _filter_scope(self, value: object) -> None:
        if is_text(value):
            self.scope_filter = value

    def _filter_text(self, value: object) -> None:
        if is_text(value):
            self.text = value

    def _set_paused(self, value: object) -> None:
        if isinstance(value, bool):
            self.paused = value

    def _record(self, value: object) -> None:
        if isinstance(value, bool):
            self._switch.turn(value)

    def _live(self, _: object) -> None:
        self.go_live()

    def snapshot(self) -> Html:
        """Return the latest events that it lists, as a table."""
        model = self.model
        model.update(1.0)
        events = model.window(0, _SNAPSHOT)
        titles = ("seq", "+s", "type", "source", "scope", "data")
        rows: list[Child] = [
            element(
                "tr", (element("td", cell, class_="n" if place < 2 else False) for place, cell in enumerate(row[:6]))
            )
            for row in model.cells(events)
        ]
        shown = f"newest {len(events)} of {model.count:,}" if model.count > len(events) else "newest first"
        head = f"{self.bus.path or 'bus'}: {counted(model.count, 'event')}, {shown}"
        return element(
            "div",
            element("p", head, "; the bus is closed" if self.bus.closed else ""),
            element("table", element("tr", (element("th", title) for title in titles)), rows) if rows else None,
        )

    def let_go(self) -> None:
        """Stop the recording, if it is the feed's own."""
        if self._own_switch:
            self._switch.close()


_ACTIONS = {
    "see": EventFeed._see,  # noqa: SLF001 - its own methods
    "step": EventFeed._step,  # noqa: SLF001
    "select": EventFeed._choose,  # noqa: SLF001
    "head": EventFeed._head,  # noqa: SLF001
    "type": EventFeed._filter_type,  # noqa: SLF001
    "source": EventFeed._filter_source,  # noqa: SLF001
    "scope": EventFeed._filter_scope,  # noqa: SLF001
    "text": EventFeed._filter_text,  # noqa: SLF001
    "pause": EventFeed._set_paused,  # noqa: SLF001
    "record": EventFeed._record,  # noqa: SLF001
    "live": EventFeed._live,  # noqa: SLF001
}
