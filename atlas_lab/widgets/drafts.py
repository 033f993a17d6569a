"""What stands in a publish form as text, and what it says: event type, payload, source and metadata."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from typing import Any, NamedTuple

from atlas_lab.bus import EventBus
from atlas_lab.errors import PayloadTypeError
from atlas_lab.events import EventType, event_type_name
from atlas_lab.payloads import PayloadType

from .forms import FormField, fields_of
from .json_text import misfit, parse_json


@dataclass(frozen=True)
class Draft:
    """What stands in the form, as text."""

    event_type: str
    data: str = ""
    source: str = ""
    metadata: str = ""


UNREAD = object()
"""The payload of a text that is no JSON."""


class Reading(NamedTuple):
    """What a draft says.

    Attributes
    ----------
    problems : dict of str to str
        What is wrong with it, by field: "event_type", "data", "source", "metadata", or "data.<name>" for one of the
        fields of its form.
    event_type : Enum or None
    data : object
    source : str or None
    metadata : dict or None
    """

    problems: dict[str, str]
    event_type: Any
    data: Any
    source: str | None
    metadata: Any

    def obstacles(self, *, anyway: bool) -> dict[str, str]:
        """Return the problems that keep it from being published; a payload that does not fit is none `anyway`."""
        if not anyway or self.data is UNREAD:
            return self.problems
        return {name: text for name, text in self.problems.items() if name.partition(".")[0] != "data"}

    @property
    def arguments(self) -> tuple[Any, Any, str | None, Any]:
        """What to call ``publish`` with."""
        return self.event_type, self.data, self.source, self.metadata


class DraftReader:
    """Reads drafts for a bus: it knows the event types, and what typed handlers ask for.

    Parameters
    ----------
    bus : EventBus

    Examples
    --------
    >>> from atlas_lab import EventBus
    >>> from atlas_lab.widgets.drafts import Draft, DraftReader
    >>> reader = DraftReader(EventBus())
    >>> reader.read(Draft("STREAM_CHUNK", '{"text": "hello"}')).data
    {'text': 'hello'}
    >>> reader.read(Draft("STREAM_CHUNKS")).problems
    {'event_type': 'no event type has this name; did you mean STREAM_CHUNK?'}
    """

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self._lock = threading.Lock()
        self._types: dict[str, Enum] = {member.name: member for member in EventType}

    def learn(self, event_type: Enum) -> str:
        """Know an event type from now on, and return its name."""
        name = event_type_name(event_type)
        with self._lock:
            self._types[name] = event_type
        return name

    def types(self, search: str = "") -> list[str]:
        """Return the names of event types that hold a text: those of `EventType`, and all that the bus has met.

        Those that somebody listens to come first.
        """
        listened = dict.fromkeys(event_type_name(kind) for one in self._bus.subscriptions() for kind in one.event_types)
        self._meet()
        names = [*listened, *(name for name in self._types if name not in listened)]
        return [name for name in names if search.lower() in name.lower()]

    def _meet(self) -> None:
        """Learn the event types that subscriptions name, and those of events that are new by name."""
        met = {event_type_name(kind): kind for one in self._bus.subscriptions() for kind in one.event_types}
        if any(name not in self._types and name not in met for name in self._bus.stats().by_type):
            met = {event.type_name: event.type for event in self._bus.history} | met
        with self._lock:
            self._types |= met

    def payload_types(self, event_type: str) -> list[tuple[str, Any]]:
        """Return who asks for a payload of which type, for the event type of this name: handler and type."""
        return [
            (one.handler_name, one.data_type)
            for one in self._bus.subscriptions()
            if one.data_type is not None
            and (not one.event_types or event_type in map(event_type_name, one.event_types))
        ]

    def type_name(self, event_type: str) -> str:
        """Name of the type that the payload is to be of; "" if no handler says."""
        return next((PayloadType(kind, "data_type").name for _, kind in self.payload_types(event_type)), "")

    def fields(self, event_type: str) -> tuple[FormField, ...]:
        """Return the fields of the payload's type; none where no typed handler says what it is."""
        return next((fields for _, kind in self.payload_types(event_type) if (fields := fields_of(kind))), ())

    def read(self, draft: Draft) -> Reading:
        """Return what is wrong with a draft, and what it says: type, payload, source, metadata."""
        problems: dict[str, str] = {}
        kind = self._types.get(draft.event_type)
        if kind is None:
            self._meet()
            kind = self._types.get(draft.event_type)
        if kind is None:
            near = get_close_matches(draft.event_type.upper(), self._types, 1, 0.5)
            hint = f"; did you mean {near[0]}?" if near else ""
            problems["event_type"] = (
                f"no event type has this name{hint}" if draft.event_type else "choose an event type"
            )
        payload, metadata = UNREAD, None
        try:
            payload = parse_json(draft.data)
        except ValueError as error:
            problems["data"] = str(error)
        try:
            metadata = parse_json(draft.metadata)
            if metadata is not None and not isinstance(metadata, dict):
                problems["metadata"] = 'expected an object, such as {"run": 1}'
        except ValueError as error:
            problems["metadata"] = str(error)
        if payload is not UNREAD and kind is not None:
            payload = self._fitted(draft.event_type, payload, problems)
        return Reading(problems, kind, payload, draft.source or None, metadata)

    def _fitted(self, event_type: str, payload: Any, problems: dict[str, str]) -> Any:
        """Return a payload as the one type that handlers ask for, or as it is; note where it does not fit."""
        asked = self.payload_types(event_type)
        several = len({id(kind) for _, kind in asked}) > 1
        fitted = payload
        for handler, kind in asked:
            try:
                fitted = PayloadType(kind, "data_type").fit(payload)
            except PayloadTypeError as error:
                name, reason = misfit(error)
                place = f"{name}: " if name else ""
                whose = f" ({handler})" if several else ""
                problems.setdefault("data", f"{place}{reason}{whose}")
                if name in {field.name for field in fields_of(kind)}:
                    problems.setdefault(f"data.{name}", reason)
        return payload if several else fitted
