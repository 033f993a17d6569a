"""What an event holds, as text of one line: fast for what payloads mostly are, and safe for anything."""

from __future__ import annotations

from typing import Any

from atlas_lab.cards import failure_of
from atlas_lab.events import Event
from atlas_lab.naming import short_repr

_PLAIN = frozenset({int, float, bool, type(None)})
_LONG = 2000  # characters of a payload that are looked at


def _is_flat(value: object) -> bool:
    """Whether a value is so simple that its ``repr`` runs no code of others and is short."""
    kind = type(value)
    return kind in _PLAIN or (kind is str and len(value) <= _LONG)  # type: ignore[arg-type]  # a str has a length


def payload_text(data: Any, limit: int = 160) -> str:
    """Return a payload as one line of at most `limit` characters."""
    if (type(data) is dict and len(data) <= 20 and all(map(_is_flat, data)) and all(map(_is_flat, data.values()))) or (
        _is_flat(data) and type(data) is not int
    ):
        text = repr(data)
        return text if len(text) <= limit else f"{text[: limit - 1]}…"
    return short_repr(data, limit)


def summary_of(event: Event[Any], limit: int = 160) -> str:
    """Return what a list shows of an event: its payload, or of a HANDLER_ERROR what went wrong."""
    failure = failure_of(event)
    return (failure if len(failure) <= limit else f"{failure[: limit - 1]}…") or payload_text(event.data, limit)


def searched_text(event: Event[Any]) -> str:
    """Return the text in which a search looks, in lower case."""
    data = event.data
    parts = [event.type_name, event.source or "", event.scope or "", event.id]
    parts.append(data if type(data) is str else payload_text(data, _LONG))
    if event.metadata:
        parts.append(payload_text(event.metadata, _LONG))
    return "\n".join(parts).casefold()
