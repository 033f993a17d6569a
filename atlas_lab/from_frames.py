"""Events out of frames: what `to_frame` made, from memory or back from a file, as events again.

A frame is read by its columns alone, so that nothing here loads pandas.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from enum import Enum
from typing import TYPE_CHECKING, Any, NoReturn

from .arguments import is_kind, refuse
from .events import Event, EventType, event_type_name

if TYPE_CHECKING:
    import pandas as pd


def from_frame(frame: pd.DataFrame, types: type[Enum] | Iterable[type[Enum]] = ()) -> list[Event[Any]]:
    """Return the events of a frame, one per row, in the order of the rows.

    Parameters
    ----------
    frame : DataFrame
        As `to_frame` makes it with ``data="keep"`` or ``data="drop"``, `concat_frames` or `read_parquet`; also
        filtered, sorted, or with more columns. It needs ``type``, ``event_id`` and ``timestamp``; of ``seq``,
        ``parent_id``, ``source``, ``scope``, ``data`` and ``metadata``, what it lacks is left empty.
    types : Enum class or iterable of them
        The Enums of your own whose members the frame names. `EventType` is known.

    Returns
    -------
    list of Event
        Equal to those the frame was made of, but for payloads that were left out.

    Raises
    ------
    ValueError
        If a column is lacking, payloads are flattened, or a type is not known.
    TypeError
        If `types` holds something else.

    Examples
    --------
    >>> from enum import Enum
    >>> from atlas_lab import Event, to_frame
    >>> from atlas_lab.from_frames import from_frame
    >>> class Order(Enum):
    ...     PLACED = "placed"
    >>> placed = Event(Order.PLACED, {"item": "book"}, source="shop")
    >>> from_frame(to_frame([placed]), types=Order) == [placed]
    True
    """
    known = _members(types)
    columns = list(frame.columns)
    lacking = [name for name in ("type", "event_id", "timestamp") if name not in columns]
    if lacking:
        raise ValueError(f"events must be a frame of to_frame, but lack the column {', '.join(lacking)}")
    flat = [name for name in columns if str(name).startswith("data.")]
    if flat:
        raise ValueError(
            f"events must be a frame with whole payloads, got them flattened to {flat[0]} and the like; "
            "make it with to_frame(..., data='keep')"
        )

    def column(name: str, read: Callable[[Any], Any]) -> list[Any]:
        return [read(value) for value in frame[name]] if name in columns else [read(None)] * len(frame)

    fields = {
        "type": [known[name] if name in known else _unknown(name, row) for row, name in enumerate(frame["type"])],
        "data": frame["data"].tolist() if "data" in columns else [None] * len(frame),
        "source": column("source", _text),
        "metadata": column("metadata", _mapping),
        "id": column("event_id", str),
        "timestamp": _seconds(frame["timestamp"]),
        "parent_id": column("parent_id", _text),
        "scope": column("scope", _text),
        "seq": column("seq", lambda value: 0 if value is None else int(value)),
    }
    return [Event(**dict(zip(fields, row, strict=True))) for row in zip(*fields.values(), strict=True)]


def _members(types: Any) -> dict[str, Enum]:
    """Return the event types by the names that they have in frames."""
    known: dict[str, Enum] = dict(EventType.__members__)
    if not is_kind(types, type | Iterable):
        raise refuse("types", types, "an Enum class, or several")
    for kind in (types,) if is_kind(types, type) else types:
        if not (is_kind(kind, type) and issubclass(kind, Enum)):
            raise refuse("types", kind, "an Enum class, or several")
        known |= {event_type_name(member): member for member in kind}
    return known


def _unknown(name: object, row: int) -> NoReturn:
    enum = name.partition(".")[0] if isinstance(name, str) and "." in name else "MyEnum"
    raise ValueError(
        f"the type {name!r} in row {row} is not known; pass the Enum that it is a member of: types=[{enum}]"
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None  # missing text is nan in a frame


def _mapping(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _seconds(moments: Any) -> list[float]:
    """Return times of a frame as they were in the events: seconds since the epoch, whose nanoseconds a frame keeps."""
    if getattr(moments.dtype, "kind", None) != "M":
        raise ValueError(f"timestamp must be a column of times, as to_frame makes it, got dtype {moments.dtype}")
    missing = moments.isna()
    nanoseconds = moments.to_numpy("M8[ns]").view("i8").tolist()
    return [math.nan if gone else ns / 1_000_000_000 for ns, gone in zip(nanoseconds, missing, strict=True)]
