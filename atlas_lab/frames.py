"""Events as pandas frames: one row per event, the same columns and dtypes every time.

`to_frame` reads a history, `concat_frames` puts several runs under one another. What a payload holds
is either kept as one object, flattened to ``data.<key>`` columns, or left out.

No row is built on the way: the fields of all events are turned into columns at once, repeated text into
the codes of a category, and payloads are flattened in groups that share their keys.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from enum import Enum
from operator import attrgetter
from typing import Any, Literal, Protocol, TypeAlias

import msgspec

from .arguments import came, check_kind, check_optional, is_kind
from .errors import MissingExtraError
from .events import Event, EventType, event_type_name
from .flatten import flatten
from .naming import attribute_of, short_repr

try:
    import numpy as np
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error
try:
    import pyarrow as pa
except ImportError:  # pandas then keeps text as Python objects: the same dtypes, only slower
    pa = None

_Column: TypeAlias = Any  # pandas-stubs has no public name for "array or extension array"
_Objects: TypeAlias = "np.ndarray[Any, np.dtype[np.object_]]"
_Addresses: TypeAlias = "np.ndarray[Any, np.dtype[np.intp]]"

_FIELDS = Event.__struct_fields__
_LAST_SECOND = 9_223_372_036  # 2262-04-11, the end of datetime64[ns]; it begins as far before 1970


class HasHistory(Protocol):
    """A bus, or anything else that keeps its events in ``history``."""

    @property
    def history(self) -> Iterable[Event[Any]]:
        """The events, oldest first."""


def to_frame(
    events: HasHistory | Iterable[Event[Any]],
    *,
    data: Literal["keep", "expand", "drop"] = "keep",
    run: str | None = None,
) -> pd.DataFrame:
    """Return a frame with one row per event, in the order given.

    Parameters
    ----------
    events : bus, history, or iterable of Event
        A bus is read by its ``history``. A history is read as it stands at the call; an iterator is
        consumed.
    data : {"keep", "expand", "drop"}
        What to do with payloads: keep each in one ``data`` column of objects, flatten them to one
        ``data.<key>`` column per key, or leave them out.
    run : str, optional
        Name of the run, repeated in the ``run`` column; missing if not given.

    Returns
    -------
    DataFrame, shape (events, 13) with data="keep", (events, 12) with "drop"
        ============== ==================== ==========================================================
        column         dtype
        ============== ==================== ==========================================================
        run            category             name of the run
        seq            int64                place in the history of its bus, from 1; 0 if on none
        event_id       str
        parent_id      str                  event whose handler published this one; missing for none
        root_id        str                  first event of the chain of parents; itself without parents
        depth          int32                number of events above it in that chain
        type           category             every member of EventType in order, then your own, sorted
        timestamp      datetime64[ns, UTC]  missing if not a number
        t_rel          timedelta64[ns]      time since the earliest timestamp of this frame
        source         category             sorted categories, only those that occur; missing for none
        scope          category             the same
        data           object               the payloads themselves, not copies; or ``data.<key>``
        metadata       object               the dicts of the events themselves, not copies
        ============== ==================== ==========================================================

        No events give the same columns and dtypes, with no ``data.<key>`` among them.

    Raises
    ------
    TypeError
        If `events` is no bus and no iterable of Event, or `run` is not a string.
    ValueError
        If `data` is none of the three, a timestamp lies outside the years 1677 to 2262 or all of them
        span more than 292 years, or ``data="expand"`` meets a payload that holds itself or is nested
        hundreds of levels deep.

    See Also
    --------
    concat_frames : Several runs in one frame.

    Notes
    -----
    The nanoseconds of a timestamp are those of its float, whose spacing is 238 ns in this century.

    A parent that is not among the events, for instance because a bounded history pushed it out, is the
    root of what is known of the chain: ``root_id`` is its id and depth counts from it. Where parents run
    in a circle there is no root: ``root_id`` is missing and depth is -1, also below the circle.

    With ``data="expand"`` the ``data.<key>`` columns are those of `pandas.json_normalize`: same order,
    values and dtypes. What it does not take is read as follows: a msgspec Struct or a dataclass, also
    inside another payload, as the dict of its fields; another mapping as a dict; no payload as an empty
    dict; any other payload goes to a column ``data`` before the rest. Text that UTF-8 cannot hold stays
    an object column.

    Examples
    --------
    >>> from atlas_lab import Event, EventType
    >>> from atlas_lab.frames import to_frame
    >>> asked = Event(EventType.RETRIEVAL_STARTED, {"query": "owls"}, source="agent", timestamp=5.0)
    >>> found = Event(EventType.RETRIEVAL_COMPLETED, {"hits": {"n": 3}}, timestamp=5.25, parent_id=asked.id)
    >>> frame = to_frame([asked, found], data="expand")
    >>> frame[["type", "depth", "source", "data.query", "data.hits.n"]]
                      type  depth source data.query  data.hits.n
    0    RETRIEVAL_STARTED      0  agent       owls          NaN
    1  RETRIEVAL_COMPLETED      1    NaN        NaN          3.0
    >>> frame["t_rel"].dt.total_seconds().tolist()
    [0.0, 0.25]
    """
    if not is_kind(data, str) or str.__str__(data) not in {"keep", "expand", "drop"}:
        raise ValueError(f"data must be 'keep', 'expand' or 'drop', got {short_repr(data, 80)}")
    check_optional("run", run, str, "a string")
    run = None if run is None else str.__str__(run)  # of no subclass, whose methods might do anything
    field, address = _fields(events)
    rows = len(field["id"])
    event_id, parent_id, root_id, depth = _chains(field["id"], field["parent_id"], address["id"], address["parent_id"])
    timestamp, t_rel = _times(field["timestamp"])
    columns: dict[str, _Column] = {
        "run": labels([run][:rows]).take(np.zeros(rows, np.int64)),
        "seq": field["seq"].astype(np.int64),
        "event_id": event_id,
        "parent_id": parent_id,
        "root_id": root_id,
        "depth": depth,
        "type": _types(field["type"], address["type"]),
        "timestamp": timestamp,
        "t_rel": t_rel,
        "source": labels(field["source"].tolist()),
        "scope": labels(field["scope"].tolist()),
    }
    if data == "keep":
        columns["data"] = _objects(field["data"])
    payloads = flatten(field["data"].tolist()) if data == "expand" else []
    metadata = _objects(field["metadata"])
    arrays = [*columns.values(), *(values for _, values in payloads), metadata]
    frame = pd.DataFrame(dict(enumerate(arrays)), copy=False)
    frame.columns = pd.Index([*columns, *(_label(name) for name, _ in payloads), "metadata"])  # names may repeat
    return frame


def concat_frames(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Put the frames of several runs under one another without losing a dtype.

    `pandas.concat` turns categories that differ between the frames to plain text. Here they are united
    first: ``type`` keeps the order that `to_frame` gives it, every other column is sorted.

    Parameters
    ----------
    frames : iterable of DataFrame
        As `to_frame` makes them, each with its own ``run`` name. ``data.<key>`` columns may differ.

    Returns
    -------
    DataFrame, one row per row of `frames`
        With a new index. Its columns come in the order of the first frame, those of later frames after
        them, ``metadata`` last. ``t_rel`` still counts from the start of each run. A column that some
        rows lack is missing there, as in a frame made of all the events at once: whole numbers become
        floats and truth values objects, every other dtype stays.

    Raises
    ------
    ValueError
        If there are no frames.
    TypeError
        If one of `frames` is not a DataFrame.

    Examples
    --------
    >>> from atlas_lab import Event, EventType
    >>> from atlas_lab.frames import concat_frames, to_frame
    >>> first = to_frame([Event(EventType.AGENT_STARTED, source="planner")], run="a")
    >>> second = to_frame([Event(EventType.AGENT_STARTED, source="critic")], run="b")
    >>> concat_frames([first, second])["source"].cat.categories.tolist()
    ['critic', 'planner']
    """
    check_kind("frames", frames, Iterable, "several DataFrames")
    given = [] if is_kind(frames, str) else list(frames)
    for position, frame in enumerate(given):
        if not is_kind(frame, pd.DataFrame):
            raise TypeError(f"frames must hold DataFrames, got {type(frame).__name__} at position {position}")
    if not given:
        raise ValueError("frames must hold at least one DataFrame; to_frame([]) makes an empty one")
    dtypes: dict[Hashable, list[Any]] = defaultdict(list)
    for frame in sorted(given, key=len, reverse=True):  # an empty frame only decides what no other holds
        for name, dtype in frame.dtypes.items():
            dtypes[name].append(dtype)
    united = {name: dtype for name, found in dtypes.items() if (dtype := _united(name, found)) is not None}
    first = {name: found[0] for name, found in dtypes.items()} | united
    conformed = [
        frame.assign(**{str(name): frame[name].astype(dtype) for name, dtype in united.items() if name in frame})
        if len(frame)
        else pd.DataFrame({name: pd.Series([], dtype=dtype) for name, dtype in first.items()})
        for frame in given
    ]
    names = list(dict.fromkeys(itertools.chain.from_iterable(given)))
    return pd.concat(conformed, ignore_index=True)[sorted(names, key=lambda name: name == "metadata")]


def _united(name: Hashable, dtypes: list[Any]) -> pd.CategoricalDtype | None:
    """Return the union of categories of text that differ; None where there is nothing to unite."""
    if not all(isinstance(dtype, pd.CategoricalDtype) and dtype.categories.dtype == "str" for dtype in dtypes):
        return None
    categories = [dtype.categories for dtype in dtypes]
    if any(dtype.ordered for dtype in dtypes) or all(labels.equals(categories[0]) for labels in categories):
        return None
    distinct = set(itertools.chain.from_iterable(categories))
    order = _type_names(distinct) if name == "type" else sorted(distinct)
    return pd.CategoricalDtype(pd.Index(order, dtype="str"))


def _fields(events: HasHistory | Iterable[Event[Any]]) -> tuple[dict[str, _Objects], dict[str, _Addresses]]:
    """Return the values of each field, one per event, and their addresses, as `id` gives them."""
    history: Any = attribute_of(events, "history")
    source: Any = events if history is None else history
    try:
        if is_kind(source, str):
            raise TypeError("text holds no events")
        rows: list[Event[Any]] = list(source)
    except TypeError as error:
        raise TypeError(
            f"events must be a bus, a history or an iterable of Event, got {type(events).__name__}"
        ) from error
    kinds = set(map(type, rows))
    strangers = {kind for kind in kinds if not issubclass(kind, Event)}
    if strangers:
        row = next(row for row, event in enumerate(rows) if type(event) in strangers)
        raise TypeError(f"events must hold only Event, got {came(rows[row])} at row {row}")
    read = msgspec.structs.astuple if kinds <= {Event} else attrgetter(*_FIELDS)
    values = itertools.chain.from_iterable(map(read, rows))
    table = np.fromiter(values, object, len(rows) * len(_FIELDS)).reshape(-1, len(_FIELDS))
    addresses = np.ndarray(table.shape, np.intp, table.data)  # what an array of objects is made of
    return dict(zip(_FIELDS, table.T, strict=True)), dict(zip(_FIELDS, addresses.T, strict=True))


def _objects(values: _Objects) -> pd.Series[Any]:
    return pd.Series(values.copy(), dtype=object, copy=False)


def texts(values: Sequence[str | None]) -> _Column:
    """Return texts, or None, as an array of dtype str."""
    return _text(np.fromiter(values, object, len(values)))


def type_labels(types: list[Enum]) -> pd.Categorical:
    """Return the names of event types as categories, in the order that `to_frame` gives them."""
    values = np.fromiter(types, object, len(types))
    return _types(values, np.ndarray(values.shape, np.intp, values.data))


def _text(values: _Objects) -> _Column:
    """Return `values`, text or None, as an array of dtype str."""
    try:
        return pd.array(values if pa is None else pa.array(values, pa.large_string()), dtype="str")
    except (UnicodeEncodeError, TypeError):  # ids that a stranger chose
        return pd.array([None if value is None else _label(value) for value in values], dtype="str")


def _label(value: object) -> str:
    return str(value).encode("utf-8", "backslashreplace").decode()


def labels(values: Sequence[Any]) -> pd.Categorical:
    """Return texts, or None, as categories in sorted order."""
    number: defaultdict[Any, int] = defaultdict(itertools.count().__next__)
    codes = np.fromiter(map(number.__getitem__, values), np.int64, len(values))
    labels = [None if value is None else _label(value) for value in number]
    categories = sorted({label for label in labels if label is not None})
    place = {None: -1} | {label: code for code, label in enumerate(categories)}
    return categorical(np.array([place[label] for label in labels], np.int32)[codes], categories)


def _types(types: _Objects, address: _Addresses) -> pd.Categorical:
    # Told apart by identity: the hash of a user's own Enum runs in Python. Named afterwards: a class
    # that was defined twice is one type.
    codes, distinct = pd.factorize(address)
    first = np.empty(len(distinct), np.int64)
    first[codes[::-1]] = np.arange(len(types))[::-1]
    labels = [event_type_name(types[row]) for row in first]
    categories = _type_names(labels)
    place = np.array([categories.index(label) for label in labels], np.int32)
    return categorical(place[codes], categories)


def _type_names(names: Iterable[str]) -> list[str]:
    return [*EventType.__members__, *sorted(set(names) - EventType.__members__.keys())]


def categorical(codes: _Column, categories: list[str]) -> pd.Categorical:
    """Return what codes into `categories` stand for; -1 is missing."""
    return pd.Categorical.from_codes(codes, categories=pd.Index(categories, dtype="str"))


def _times(timestamps: _Objects) -> tuple[_Column, _Column]:
    seconds = timestamps.astype(np.float64)
    outside = np.flatnonzero(np.abs(seconds) >= _LAST_SECOND)
    if outside.size:
        row = int(outside[0])
        raise ValueError(
            f"timestamp must be seconds since the epoch, between the years 1677 and 2262, got {seconds[row]} at row {row}"
        )
    known = ~np.isnan(seconds)
    seconds[~known] = 0
    whole = np.floor(seconds)
    # Times a billion only after the split: a float of seconds times a billion has lost its nanoseconds.
    ns = whole.astype(np.int64) * 1_000_000_000 + np.rint((seconds - whole) * 1e9).astype(np.int64)
    first, last = (int(ns[known].min()), int(ns[known].max())) if known.any() else (0, 0)
    if last - first >= 2**63:
        raise ValueError("timestamps must not span more than 292 years, which is what timedelta64[ns] can hold")
    since = ns - first
    ns[~known] = since[~known] = np.iinfo(np.int64).min  # NaT
    return pd.DatetimeIndex(ns.view("M8[ns]"), tz="UTC"), since.view("m8[ns]")


def _chains(
    ids: _Objects, parents: _Objects, id_at: _Addresses, parent_at: _Addresses
) -> tuple[_Column, _Column, _Column, _Column]:
    """Return the columns event_id, parent_id, root_id and depth.

    Every event points at its parent, then in each round at what its target points at: a chain of n
    events is walked in log2(n) rounds over arrays, whatever their order.
    """
    event_id, parent_id = _text(ids), _text(parents)
    orphan = parent_id.isna()
    if orphan.all():
        return event_id, parent_id, event_id.copy(), np.zeros(len(ids), np.int32)
    parent = _positions(event_id, parent_id, id_at.copy(), parent_at)
    top = parent < 0
    target = np.where(top, np.arange(len(ids)), parent)
    depth = (~top).astype(np.int64)
    for _ in range(len(ids).bit_length()):
        further = target[target]
        if np.array_equal(further, target):
            break
        depth += depth[target]
        target = further
    circular = ~top[target]
    unseen = (top & ~orphan)[target]  # the top of the chain names a parent that is not here
    root_id = event_id.take(np.where(circular, -1, target), allow_fill=True)
    if unseen.any():
        root_id[unseen] = parent_id.take(target[unseen])
    return event_id, parent_id, root_id, np.where(circular, -1, depth + unseen).astype(np.int32)


def _positions(event_id: _Column, parent_id: _Column, id_at: _Addresses, parent_at: _Addresses) -> _Column:
    """Return the row of each parent, -1 for an orphan and where it is in no row."""
    child = np.flatnonzero(~parent_id.isna())
    # On a bus, the parent id of an event is the very string that is the parent's id: comparing
    # addresses finds it in a third of the time. Only what is left is compared as text.
    order = np.argsort(id_at, kind="stable")
    found = order[np.searchsorted(id_at, parent_at[child], sorter=order).clip(max=len(order) - 1)]
    left = np.flatnonzero(id_at[found] != parent_at[child])
    if left.size:
        names = pd.concat([pd.Series(event_id), pd.Series(parent_id[child[left]])], ignore_index=True)
        codes, distinct = pd.factorize(names.array)
        first = np.full(len(distinct) + 1, -1)  # its last place is that of an id that is missing, code -1
        first[codes[: len(order)][::-1]] = np.arange(len(order))[::-1]
        found[left] = first[codes[len(order) :]]
    row = np.full(len(order), -1)
    row[child] = found
    return row
