"""The whole lab in one panel: publish, watch, switch and look back."""

from __future__ import annotations

from typing import Any

from atlas_lab.errors import MissingExtraError
from atlas_lab.markup import Html, element, style
from atlas_lab.recording import Recording

from .feed import EventFeed
from .middleware_panel import MiddlewarePanel
from .publish import PublishPanel
from .rate import RateView
from .record_switch import RecordSwitch
from .subscriptions_panel import SubscriptionsPanel
from .view import LiveView, asset, check_bus

try:
    import ipywidgets
except ImportError as error:
    raise MissingExtraError("ipywidgets", "lab") from error


class Lab(LiveView, ipywidgets.VBox):
    """A live panel over a bus: a form that publishes, middleware, subscriptions, the events as they come, and rates.

    Show it as the last line of a cell. Everything in it can be done from Python as well, part by part. Running the
    cell again replaces the panel, `close` ends it; the bus goes on either way.

    Attributes
    ----------
    publish : PublishPanel
    middleware : MiddlewarePanel
    subscriptions : SubscriptionsPanel
    feed : EventFeed
    rate : RateView
    pause : ToggleButton
        Holds the events and counts that are shown; the header goes on. Set its ``value``.

    Parameters
    ----------
    bus : EventBus
    record : bool or Recording, default True
        Durations of handlers and steps of middleware come from a recording of the latest 10,000 of each, which costs
        the publisher a little. False goes without one; one that you started is yours to stop.

    Raises
    ------
    TypeError
        If `bus` is no EventBus.

    Examples
    --------
    >>> from atlas_lab import EventBus, EventType, Lab, drop
    >>> bus = EventBus(name="run")
    >>> quiet = bus.add_middleware(drop(EventType.SYSTEM_HEALTH), name="quiet")
    >>> lab = Lab(bus)
    >>> lab.publish.event_type.value = "SYSTEM_HEALTH"
    >>> lab.publish.publish.click()
    >>> lab.publish.model.outcome.text
    'dropped by middleware: not stored, not delivered'
    >>> _ = lab.middleware.model.switch("quiet", on=False)
    >>> lab.publish.publish.click()
    >>> [event.type_name for event in bus.history]
    ['SYSTEM_HEALTH']
    >>> lab.close()
    """

    def __init__(self, bus: Any, *, record: object = True) -> None:
        check_bus(bus)
        self._switch = RecordSwitch(bus, record)
        self.publish = PublishPanel(bus)
        self.middleware = MiddlewarePanel(bus)
        self.subscriptions = SubscriptionsPanel(bus)
        self.feed = EventFeed(bus, record=self._switch)
        self.rate = RateView(bus, record=self._switch)
        self.pause = ipywidgets.ToggleButton(
            False, description="Pause", tooltip="Hold the events and counts that are shown; the header goes on"
        )
        self.pause.observe(self._hold, "value")
        self.feed.observe(self._held_by_feed, "paused")
        bar = ipywidgets.HBox([self.rate, self.pause])
        controls = ipywidgets.VBox([self.publish, self.middleware])
        views = ipywidgets.VBox([self.feed, self.subscriptions])
        main = ipywidgets.Box([controls, views])
        for box, name in ((bar, "bar"), (controls, "controls"), (views, "views"), (main, "main")):
            box.add_class(f"atlas-lab-{name}")
        super().__init__([bar, main])
        self.add_class("atlas-lab")
        self.watch(bus)

    @property
    def parts(self) -> tuple[LiveView, ...]:
        """The panels that it is made of."""
        return self.rate, self.publish, self.middleware, self.feed, self.subscriptions

    @property
    def recording(self) -> Recording | None:
        """Where durations come from; None if nothing was recorded yet."""
        return self._switch.recording

    def record(self, on: bool) -> None:
        """Turn recording on or off, as the switch below the events does."""
        self._switch.turn(on)

    def _hold(self, change: Any) -> None:
        on = bool(change["new"])
        self.pause.description = "Go on" if on else "Pause"
        self.feed.paused = self.middleware.paused = self.subscriptions.paused = on

    def _held_by_feed(self, change: Any) -> None:
        self.pause.value = bool(change["new"])

    def snapshot(self) -> Html:
        """Return the last state of every part as a still picture: shown by a notebook, kept by an exported page."""
        sheet = style(asset("snapshot.css"))
        return element("div", sheet, *(part.snapshot() for part in self.parts), class_="atlas-snapshot")

    def let_go(self) -> None:
        """Stop the recording, if it is the panel's own."""
        switch = getattr(self, "_switch", None)  # none yet, if the constructor refused the bus
        if switch is not None:
            switch.close()

    def _repr_mimebundle_(self, **options: object) -> dict[str, Any]:
        bundle: dict[str, Any] = super()._repr_mimebundle_(**options)
        for part in self.parts:
            part.displayed = self.displayed
        return bundle
