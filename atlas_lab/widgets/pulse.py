"""A sign of life for panels of controls that are drawn by ipywidgets alone."""

from __future__ import annotations

from .messages import MessageView, News
from .view import LiveView, asset


class Pulse(MessageView):
    """A dot that says whether the kernel is alive and the bus is open, to stand in a panel of controls.

    It learns from the browser whether the panel is displayed, and greys the controls of the closest element with the
    class ``atlas-panel`` while the kernel is gone or the bus is closed. It is part of the panel, which passes itself::

        self.pulse = Pulse(self)
        super().__init__([self.pulse, ...])
        self.add_class("atlas-panel")
        self.watch(bus)
        self.pulse.watch(bus)

    Parameters
    ----------
    owner : LiveView
        The panel.
    """

    _esm = asset("panel.js", "pulse.js")
    _css = asset("panel.css")

    def __init__(self, owner: LiveView) -> None:
        self._owner = owner
        self._told: dict[str, object] | None = None
        super().__init__()

    def news(self, everything: bool) -> News | None:
        """Return whether the bus is open, if that is new."""
        state: dict[str, object] = {"closed": self.bus.closed, "name": self.bus.path}
        if state == self._told and not everything:
            return None
        self._told = state
        return state, []

    def shown(self, viewer: str) -> None:
        """Note that a browser shows the panel."""
        super().shown(viewer)
        self._owner.shown(viewer)

    def hidden(self, viewer: str) -> None:
        """Note that a browser shows it no more."""
        super().hidden(viewer)
        self._owner.hidden(viewer)
