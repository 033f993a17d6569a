"""Views that are drawn in the browser, by numbered messages in both directions.

To the browser go ``{"kind": "news", "n": 7, ...}`` with binary buffers, at most once per tick, and every two seconds
``{"kind": "beat", "n": 7}``, from which it learns that the kernel is alive and whether it missed a message. From the
browser come ``{"do": "shown" | "hidden" | "again", "viewer": name}`` and what a person does. `static/panel.js` is the
other end.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any, TypeAlias

from atlas_lab.errors import MissingExtraError
from atlas_lab.naming import sendable

from .view import LiveView, is_text

try:
    import anywidget
except ImportError as error:
    raise MissingExtraError("anywidget", "lab") from error

SHORTEST = 0.05  # seconds between two messages: never more than 20 a second

News: TypeAlias = tuple[dict[str, Any], list[bytes]]
"""What a message says, and its binary buffers."""

_log = logging.getLogger("atlas_lab")


class MessageView(LiveView, anywidget.AnyWidget):
    """A view that says what is new in one message per tick, and nothing when nothing is.

    An answer to what a person did goes at once, unless the last message went less than a twentieth of a second ago;
    then it goes with the next tick, so that the last state always arrives.

    Subclasses give `news` and `heard`, and an ``_esm`` that begins with ``panel.js``.
    """

    def __init__(self, **traits: object) -> None:
        self._speaking = threading.Lock()
        self._number = 0
        self._spoken = float("-inf")
        self._owed = True
        super().__init__(**traits)
        self.on_msg(self._receive)

    def news(self, everything: bool) -> News | None:
        """Return what changed since the last call, or all there is to know; None if nothing changed."""
        raise NotImplementedError

    def heard(self, do: str, content: Mapping[str, object]) -> None:
        """Do what a person asked for in the browser, if it makes sense. Nothing in `content` is checked yet."""

    @property
    def number(self) -> int:
        """Number of the last message."""
        return self._number

    def refresh(self) -> None:
        """Send one message with what is new, if anything is."""
        with self._speaking:
            if time.monotonic() - self._spoken < SHORTEST:
                return
            owed, self._owed = self._owed, False
            try:
                found = self.news(owed)
            except BaseException:
                self._owed = True
                raise
            if found is None:
                return
            said, buffers = found
            self._number += 1
            self._spoken = time.monotonic()
            self.send({**sendable(said), "kind": "news", "n": self._number, "all": owed}, buffers)

    def beat(self) -> None:
        """Tell the browser that the kernel is alive, and the number of the last message."""
        if self.live:
            self.send({"kind": "beat", "n": self._number})

    def _receive(self, _: object, content: object, buffers: object) -> None:
        """Take a message of the browser; one that makes no sense is left alone."""
        if not isinstance(content, dict) or self.closed:
            return
        do, viewer = content.get("do"), content.get("viewer")
        if not is_text(do, 40):
            return
        try:
            if do in {"shown", "again"}:
                self._owed = True
                if is_text(viewer, 100):
                    self.shown(viewer)
            elif do == "hidden":
                if is_text(viewer, 100):
                    self.hidden(viewer)
            else:
                self.heard(do, content)
            self.tick()
        except Exception:  # noqa: BLE001 - any code may run in there
            _log.exception("%s could not do %r", type(self).__name__, do)
