"""What a feed tells about one event: all of it, its causes, and what became of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from itertools import islice
from typing import Any

from atlas_lab.cards import moment
from atlas_lab.event_record import EventRecord
from atlas_lab.events import Event, EventType
from atlas_lab.naming import short_repr

from .matches import Kept

_NEAR = 100_000  # events among which a cause is looked for
_CHAIN = 30  # causes that are shown
_FIELDS = 60  # of a payload
_LONG = 2000  # characters of one value
_ROWS = 100  # calls and steps that are shown
_WIDE = 40  # characters of a value that stand on one line
_DEEP = 6  # containers inside containers whose parts stand on lines of their own
_PARTS = 20  # of a container
_LINES = 80  # of one value
_BRACKETS: dict[type, str] = {dict: "{}", list: "[]", tuple: "()"}

Pairs = list[list[str]]


def detail_of(event: Event[Any], kept: Kept, record: EventRecord | None) -> dict[str, Any]:
    """Return what is known about an event, ready for the browser: text, numbers and lists of them.

    Parameters
    ----------
    event : Event
    kept : History or Frozen
        Where its causes are looked for.
    record : EventRecord or None
        What a recording holds of it; None if there is no recording.
    """
    failed = event.type is EventType.HANDLER_ERROR and type(event.data) is dict
    problem: dict[str, object] = event.data if failed else {}
    fields = [
        ["type", event.type_name],
        ["source", event.source or "none"],
        ["scope", event.scope or "none"],
        ["at", moment(event.timestamp)],
        ["id", event.id],
    ]
    if failed:
        names = {"handler": "handler", "error": "summary", "defined": "defined_at", "published": "published_at"}
        fields += [[title, str(problem.get(key, ""))[:_LONG]] for title, key in names.items() if problem.get(key)]
    causes, why = causes_of(event, kept)
    trace = problem.get("traceback")
    return {
        "seq": event.seq,
        "failed": failed,
        "fields": fields,
        "payload": [] if failed else _pairs(event.data),
        "kind": _kind(event.data),
        "metadata": _pairs(event.metadata) if event.metadata else [],
        "causes": [
            [
                cause.seq,
                cause.type_name,
                cause.source or "",
                _later(event.timestamp - cause.timestamp),
            ]
            for cause in causes
        ],
        "why": why,
        "recorded": record is not None,
        "calls": [] if record is None else [_call(call, event.scope) for call in record.calls[:_ROWS]],
        "steps": []
        if record is None
        else [[one.middleware, one.action, one.duration, one.changed] for one in record.steps[:_ROWS]],
        "traceback": trace[-20_000:] if type(trace) is str else "",
    }


def _call(call: Any, scope: str | None) -> list[Any]:
    where = f" on {call.scope}" if call.scope and call.scope != scope else ""
    return [f"{call.handler}{where}", call.outcome, call.duration, call.error[:_LONG]]


def causes_of(event: Event[Any], kept: Kept) -> tuple[list[Event[Any]], str]:
    """Return the chain of causes of an event that are kept, the first one first, and why it begins there.

    The cause of an event is found by its id, among the events before it and, as a scope passes events on when its
    own handlers are done, shortly after it.
    """
    chain: list[Event[Any]] = []
    wanted = event.parent_id
    at = event.seq
    while wanted is not None and len(chain) < _CHAIN:
        cause = _find(wanted, at, kept)
        if cause is None:
            reason = "An earlier cause is not kept here: it was pushed out, dropped, or published on another bus."
            return chain[::-1], reason
        chain.append(cause)
        wanted, at = cause.parent_id, cause.seq
    return chain[::-1], "" if wanted is None else f"More than {_CHAIN} causes: the first ones are left out."


def _find(wanted: str, at: int, kept: Kept) -> Event[Any] | None:
    last, piece = at - 1, 64
    while last > 0 and at - last < _NEAR:
        found = kept.between(max(last - piece + 1, 1), last)
        if not found:
            break
        before: Event[Any] | None = next((one for one in reversed(found) if one.id == wanted), None)
        if before is not None:
            return before
        last, piece = last - piece, min(piece * 4, 8192)
    return next((one for one in kept.between(at + 1, at + 5000) if one.id == wanted), None)


def _later(seconds: float) -> str:
    """Return how long before the event a cause came, short."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if abs(seconds) >= size:
            return f"{-seconds / size:,.3g} {unit}".replace("-", "−")
    return ""


def _pairs(value: Any) -> Pairs:
    """Return a payload as pairs of key and value; what has no fields as one of them."""
    try:
        items = _items(value)
    except Exception:  # noqa: BLE001 - a mapping of others may fail, and so may a field
        items = None
    if items is None:
        return [["", value[: _LONG * 5] if type(value) is str else value_text(value, _LONG * 5)]]
    pairs = [[_key(key), value_text(item)] for key, item in items[:_FIELDS]]
    if len(items) > _FIELDS:
        pairs.append(["…", f"{len(items) - _FIELDS} more"])
    return pairs or [["", "{}"]]


def _items(value: Any) -> list[tuple[Any, Any]] | None:
    """Return the fields of a mapping, a dataclass or a Struct; None for anything else, as a data frame."""
    kind = type(value)
    if issubclass(kind, Mapping):
        return list(value.items())
    names = (
        [one.name for one in dataclasses.fields(kind)]
        if dataclasses.is_dataclass(kind)
        else getattr(kind, "__struct_fields__", None)
    )
    return None if names is None else [(name, getattr(value, name)) for name in names]


def _kind(value: object) -> str:
    """Return the name of a payload's type, unless everybody knows it by its looks."""
    kind = type(value)
    return "" if kind.__module__ == "builtins" else kind.__qualname__


def _key(key: object) -> str:
    return key[:80] if type(key) is str else short_repr(key, 80)


def value_text(value: object, limit: int = _LONG) -> str:
    """Return a value of a payload as text: on one line if it is short, else its parts on lines of their own.

    Examples
    --------
    >>> from atlas_lab.widgets.feed_detail import value_text
    >>> print(value_text({"hits": [1, 2, 3], "best": {"title": "a page about buses", "score": 0.83}}))
    {
     'hits': [1, 2, 3],
     'best': {
      'title': 'a page about buses',
      'score': 0.83,
     },
    }
    """
    lines: list[str] = []
    _lay_out(value, "", "", "", lines, limit)
    text = "\n".join([*lines[:_LINES], "…"] if len(lines) > _LINES else lines)
    return text if len(text) <= 2 * limit else f"{text[: 2 * limit]}…"


def _lay_out(value: Any, indent: str, before: str, after: str, lines: list[str], limit: int) -> None:
    if len(lines) > _LINES:
        return
    short = short_repr(value, limit)
    kind = type(value)
    brackets = _BRACKETS.get(kind)
    if (
        brackets is None
        or len(indent) + len(before) + len(short) <= _WIDE
        or len(indent) >= _DEEP
        or (kind is not dict and not any(type(one) in _BRACKETS for one in islice(value, _PARTS)))
    ):
        lines.append(f"{indent}{before}{short}{after}")
        return
    lines.append(f"{indent}{before}{brackets[0]}")
    parts = value.items() if kind is dict else (("", one) for one in value)
    for key, part in islice(parts, _PARTS):
        _lay_out(part, f"{indent} ", f"{short_repr(key, 80)}: " if kind is dict else "", ",", lines, limit)
    if len(value) > _PARTS:
        lines.append(f"{indent} … {len(value) - _PARTS:,} more")
    lines.append(f"{indent}{brackets[1]}{after}")
