"""The feed of a bus without a widget: which events it lists, what it shows of them, and of one in detail.

It reads the history, which is there anyway: publishing does nothing for it. What it shows is asked for by `state`,
which costs the same whether ten events came since or a hundred thousand.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from enum import Enum
from typing import Any, cast

from atlas_lab.arguments import is_kind, refuse
from atlas_lab.events import Event, event_type_name

from .density import Density, Floats
from .feed_detail import detail_of
from .matches import All, EventFilter, Frozen, Kept, Matching
from .payload_text import summary_of
from .record_switch import RecordSwitch

BUSY, IDLE = 0.004, 0.05  # seconds of a turn that filtering may take while events come in, and while none do
ROWS = 200  # most rows of a window
CHOICES = 200  # sources that are offered


def type_names(value: object) -> tuple[str, ...]:
    """Return names of event types from one or several, given as names or members of an Enum; () for all.

    Raises
    ------
    TypeError
        If there is something else among them.
    """
    if value is None or value == "":
        return ()
    several: Iterable[object] = (value,)
    if is_kind(value, Iterable) and not is_kind(value, str) and not is_kind(value, type):
        several = cast("Iterable[object]", value)
    names = []
    for one in several:
        if is_kind(one, Enum):
            names.append(event_type_name(one))
        elif type(one) is str:
            names.append(one)
        else:
            raise refuse("type_filter", one, "the name of an event type, a member of an Enum, or several")
    return tuple(dict.fromkeys(names))


class FeedModel:
    """What a feed shows.

    Parameters
    ----------
    bus : EventBus
    switch : RecordSwitch, optional
        Knows the recording that durations come from.

    Attributes
    ----------
    first, rows : int
        The window: how many events above it are left out, and how many it holds.
    selected : int or None
        Number of the event that is shown in detail.

    Examples
    --------
    >>> from atlas_lab import EventBus, EventType
    >>> from atlas_lab.widgets.feed_model import FeedModel
    >>> bus = EventBus(name="run")
    >>> for word in ("to", "be"):
    ...     _ = bus.publish(EventType.STREAM_CHUNK, word, source="model")
    >>> feed = FeedModel(bus)
    >>> feed.update()
    >>> [(event.seq, event.data) for event in feed.window()]
    [(2, 'be'), (1, 'to')]
    >>> feed.filter_by(text="TO")
    >>> feed.count, [event.data for event in feed.window()]
    (1, ['to'])
    """

    def __init__(self, bus: Any, switch: RecordSwitch | None = None) -> None:
        self._bus = bus
        self._lock = threading.RLock()
        self.switch = RecordSwitch(bus) if switch is None else switch
        self.first, self.rows = 0, 40
        self.selected: int | None = None
        self._event: Event[Any] | None = None
        self._head: int | None = None
        self._frozen: Frozen | None = None
        self._filter = EventFilter()
        self._matches: All | Matching = All(bus.history)
        self._density = Density()
        self._began: float | None = None
        self._sources: dict[str, None] = {}
        self._scopes: dict[str, None] = {}
        self._families: dict[str, int] = {}
        self._cells: dict[int, list[Any]] = {}
        self._detail: tuple[object, dict[str, Any] | None] = (None, None)
        self._accepted = -1

    # What it lists

    @property
    def _kept(self) -> Kept:
        return self._bus.history if self._frozen is None else self._frozen

    @property
    def paused(self) -> bool:
        """Whether it shows what the history held when it was paused; nothing of that is pushed out."""
        return self._frozen is not None

    @property
    def head(self) -> int | None:
        """The number of the event up to which it shows the feed; None for the latest."""
        return self._head

    @property
    def filter(self) -> EventFilter:
        """What an event has to be like to be listed."""
        return self._filter

    def pause(self, on: bool) -> None:
        """Keep what the history holds now, and show that; or go on."""
        with self._lock:
            if on == self.paused:
                return
            self._frozen = Frozen(list(self._bus.history)) if on else None
            self._look_anew()

    def go_to(self, head: int | None) -> None:
        """Show the feed as it was when this event was the latest one; None to follow."""
        with self._lock:
            self._head = head
            self.first = 0

    def filter_by(self, **changes: Any) -> None:
        """Change what an event has to be like; see `EventFilter`."""
        with self._lock:
            changed = self._filter._replace(**changes)
            if changed != self._filter:
                self._filter = changed
                self.first = 0
                self._look_anew()

    def _look_anew(self) -> None:
        kept = self._kept
        if self._filter == EventFilter():
            self._matches = All(kept)
        else:
            events = self._frozen.events if self._frozen is not None else list(self._bus.history)
            self._matches = Matching(self._filter, events, kept.seqs.stop - 1)
        self._matches.work(kept, IDLE)

    def update(self, seconds: float | None = None) -> None:
        """Look at what is new, for so long at most."""
        with self._lock:
            accepted = self._bus.history.accepted
            busy = accepted != self._accepted
            self._accepted = accepted
            self._matches.work(self._kept, (BUSY if busy else IDLE) if seconds is None else seconds)

    @property
    def _last(self) -> int:
        return self._kept.seqs.stop - 1 if self._head is None else self._head

    @property
    def count(self) -> int:
        """How many events it lists."""
        with self._lock:
            return self._matches.count(self._last)

    @property
    def behind(self) -> int:
        """How many events were not compared with the filters yet."""
        return self._matches.behind

    @property
    def bus_newest(self) -> int:
        """Number of the latest event of the bus."""
        return int(self._bus.history.accepted)

    # What it shows of them

    def window(self, first: int | None = None, rows: int | None = None) -> list[Event[Any]]:
        """Return the events of the window, newest first."""
        with self._lock:
            kept = self._kept
            start, size = self.first if first is None else first, self.rows if rows is None else rows
            seqs = self._matches.newest(self._last, start, min(size, ROWS))
            if not seqs:
                return []
            if seqs[0] - seqs[-1] == len(seqs) - 1:
                return kept.between(seqs[-1], seqs[0])[::-1]
            return [event for seq in seqs for event in kept.between(seq, seq)]

    def look_at(self, first: int, rows: int) -> None:
        """Move the window."""
        with self._lock:
            self.first, self.rows = first, max(1, min(rows, ROWS))

    def cells(self, events: list[Event[Any]]) -> list[list[Any]]:
        """Return what is shown of events: number, seconds, type, source, scope, payload, and a number for its colour."""
        known, shown = self._cells, {}
        for event in events:
            shown[event.seq] = known.get(event.seq) or self._row(event)
        self._cells = shown
        return list(shown.values())

    def _row(self, event: Event[Any]) -> list[Any]:
        if self._began is None:
            oldest = self._bus.history.between(self._kept.seqs.start, self._kept.seqs.start)
            self._began = oldest[0].timestamp if oldest else event.timestamp
        name = event.type_name
        for text, known in ((event.source, self._sources), (event.scope, self._scopes)):
            if text and text not in known and len(known) < CHOICES:
                known[text] = None
        failed = name == "HANDLER_ERROR"
        family = name.split(".")[0] if "." in name else name.split("_")[0]
        kind = -1 if failed else self._families.setdefault(family, len(self._families)) % 6
        seconds = event.timestamp - self._began
        since = f"{seconds:,.{3 if abs(seconds) < 1_000 else 1 if abs(seconds) < 10_000 else 0}f}"
        return [
            event.seq,
            since,
            name[:200],
            (event.source or "")[:100],
            (event.scope or "")[:200],
            summary_of(event),
            kind,
        ]

    # One event

    def select(self, seq: int | None) -> bool:
        """Show an event in detail; return whether it is kept."""
        with self._lock:
            found = [] if seq is None else self._kept.between(seq, seq)
            if seq is not None and not found:
                return False
            self.selected = seq
            self._event = found[0] if found else None
            return True

    def step(self, by: int) -> int | None:
        """Select the event so many rows below the selected one, or the first of the window; return its number."""
        with self._lock:
            last = self._last
            at = self.first if self.selected is None else self._matches.rank(self.selected, last) + by
            at = max(0, min(at, self._matches.count(last) - 1))
            seqs = self._matches.newest(last, at, 1)
            if seqs:
                self.select(seqs[0])
            return self.selected

    @property
    def selected_row(self) -> int | None:
        """How many listed events are above the selected one; None if it is not listed."""
        with self._lock:
            if self.selected is None or self.selected > self._last:
                return None
            rank = self._matches.rank(self.selected, self._last)
            return rank if self._matches.newest(self._last, rank, 1) == [self.selected] else None

    def detail(self) -> dict[str, Any] | None:
        """Return all about the selected event; None if none is selected."""
        with self._lock:
            event = self._event
            if event is None:
                return None
            recording = self.switch.recording
            key = (event.seq, id(recording), 0 if recording is None else recording.written, self.switch.on)
            if self._detail[0] != key:
                record = None if recording is None else recording.about(event.id)
                self._detail = (key, {**detail_of(event, self._kept, record), "recording": self.switch.on})
            return self._detail[1]

    # All of it

    def state(self) -> dict[str, Any]:
        """Return what is shown, ready for the browser."""
        with self._lock:
            history, seqs, last = self._bus.history, self._kept.seqs, self._last
            events = self.window()
            rows = self.cells(events)
            return {
                "accepted": history.accepted,
                "oldest": seqs.start,
                "newest": max(seqs.stop - 1, 0),
                "dropped": history.dropped,
                "closed": self._bus.closed,
                "paused": self.paused,
                "head": self._head,
                "last": max(last, 0),
                "count": self._matches.count(last),
                "behind": self.behind,
                "first": self.first,
                "rows": rows,
                "selected": self.selected,
                "row": self.selected_row,
                "filter": {**self._filter._asdict(), "types": list(self._filter.types)},
                "types": sorted(self._bus.stats().by_type),
                "sources": sorted(self._sources),
                "scopes": sorted({*self._scopes, *_paths(self._bus)}),
                "recording": self.switch.on,
                "detail": self.detail(),
            }

    def density(self) -> tuple[Floats, Floats]:
        """Return events a second and errors at each place of the history, for the scrubber; see `Density.bins`."""
        with self._lock:
            kept = self._kept
            self._density.update(kept, self._bus.stats().by_type.get("HANDLER_ERROR", 0))
            return self._density.bins(kept.seqs)


def _paths(bus: Any) -> list[str]:
    scopes = bus.scopes
    found = [bus.path] if bus.path and scopes else []
    for scope in scopes[:CHOICES]:
        found += [scope.path, *_paths(scope)]
    return found[:CHOICES]
