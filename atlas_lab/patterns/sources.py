"""Where events come from: a bus, its history, a list, or a frame, all read as a list in the order of ``seq``."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias

from atlas_lab import Event, EventBus, event_type_name

if TYPE_CHECKING:
    import pandas as pd

Source: TypeAlias = "EventBus | Iterable[Event[Any]] | pd.DataFrame"
"""What events are read from."""


def types_by_name(types: Iterable[Enum]) -> dict[str, Enum]:
    """Return event types by the names that frames have for them.

    Raises
    ------
    TypeError
        If one is no member of an Enum.
    """
    return {event_type_name(one): one for one in types}


def events_of(source: Source, types: Mapping[str, Enum]) -> list[Event[Any]]:
    """Return the events of some types, in the order of their ``seq``.

    Events that were on no bus yet, and so have no ``seq``, are numbered from 1 in the order given.

    Parameters
    ----------
    source : bus, history, iterable of Event, or DataFrame
        A bus is read by its ``history``. A frame is one of `to_frame` with payloads whole (``data="keep"``) or left out.
    types : mapping of str to Enum
        The types by name, as `types_by_name` returns them; others are passed over.

    Raises
    ------
    TypeError
        If `source` is none of them.
    ValueError
        If two events have the same ``seq``, as those of two buses do, or a frame lacks what makes an event.
    """
    if hasattr(source, "columns") and hasattr(source, "iloc"):
        rows = _rows(source, types)
    else:
        history: Any = source.history if isinstance(source, EventBus) else source
        if isinstance(history, str | bytes | Mapping) or not isinstance(history, Iterable):
            raise TypeError(
                f"events must be a bus, a history, an iterable of Event or a DataFrame, got {type(source).__name__}"
            )
        rows = []
        for event in history:
            if not isinstance(event, Event):
                raise TypeError(f"events must be instances of Event, got {type(event).__name__} {event!r:.80}")
            rows.append((event.seq, event.type_name, event))
    return _numbered(rows, types)


def _numbered(rows: list[tuple[int, str, Event[Any] | None]], types: Mapping[str, Enum]) -> list[Event[Any]]:
    """Return the events of the types, in order; `rows` tell of all events, whose numbers must differ."""
    numbers = [seq for seq, _, _ in rows]
    if any(numbers):
        if len(set(numbers)) < len(numbers):
            seq, times = Counter(numbers).most_common(1)[0]
            raise ValueError(
                f"events must have each a seq of its own, as in one history, but {times} of them have seq {seq}; "
                "give the events of one bus, or of one run of the frame"
            )
        rows = sorted(rows, key=lambda row: row[0])
    return [
        event if event.seq else event.replace(seq=place)
        for place, (_, name, event) in enumerate(rows, start=1)
        if event is not None and name in types
    ]


def _rows(frame: Any, types: Mapping[str, Enum]) -> list[tuple[int, str, Event[Any] | None]]:
    columns = list(frame.columns)
    lacking = [name for name in ("type", "event_id", "timestamp", "seq") if name not in columns]
    if lacking:
        raise ValueError(f"events must be a frame of to_frame, but lack the column {', '.join(lacking)}")
    if flat := [name for name in columns if str(name).startswith("data.")]:
        raise ValueError(
            f"events must be a frame with whole payloads, got them flattened to {flat[0]} and the like; "
            "make it with to_frame(..., data='keep')"
        )
    times = frame["timestamp"]
    nanoseconds = times.to_numpy("M8[ns]").view("i8").tolist()
    seconds = [math.nan if gone else ns / 1e9 for ns, gone in zip(nanoseconds, times.isna(), strict=True)]

    def column(name: str) -> list[Any]:
        return frame[name].tolist() if name in columns else [None] * len(frame)

    read = zip(
        frame["seq"].tolist(),
        frame["type"].tolist(),
        frame["event_id"].tolist(),
        seconds,
        *map(column, ("data", "source", "metadata", "parent_id", "scope")),
        strict=True,
    )
    rows: list[tuple[int, str, Event[Any] | None]] = []
    for seq, name, event_id, at, data, source, metadata, parent_id, scope in read:
        event: Event[Any] | None = None
        if name in types:
            noted = metadata if isinstance(metadata, dict) else {}
            event = Event(
                types[name], data, _text(source), noted, event_id, at, _text(parent_id), _text(scope), int(seq)
            )
        rows.append((int(seq), name, event))
    return rows


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None  # missing text is nan in a frame
