"""Frames in Parquet files, with payloads and metadata as JSON text, and back without a loss.

Every dtype, the categories and their order, the index and the cells come back equal. Cells of object
columns are written as JSON. What JSON has no word for is written as an object with one key that begins
with ``$``::

    float nan, inf, -inf           {"$float": "nan"}
    int beyond 64 bits             {"$int": "<hexadecimal>"}
    tuple, set, frozenset          {"$tuple": [...]}, {"$set": ...}, {"$frozenset": ...}
    dict with keys that are not
    text or begin with $           {"$dict": [[key, value], ...]}
    bytes                          {"$bytes": "<base64>"}
    datetime, date, time           {"$datetime": "<ISO 8601>"}, {"$date": ...}, {"$time": ...}
    timedelta                      {"$timedelta": [days, seconds, microseconds]}
    Decimal, UUID                  {"$decimal": "<digits>"}, {"$uuid": ...}
    NumPy bool, int, float         {"$numpy": ["<dtype>", value]}
"""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import math
import os
import secrets
import uuid
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import msgspec

from .arguments import came, check_kind
from .errors import DataError, MissingExtraError, PayloadTypeError
from .naming import message_of

try:
    import numpy as np
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error

_KEY = b"atlas_lab"
_SUM = b"atlas_lab.crc32"
_VERSION = 1
_PLAIN = frozenset({str, int, bool, type(None)})


class _Categories(msgspec.Struct):
    names: list[str]
    ordered: bool


class _Layout(msgspec.Struct):
    """What Parquet does not keep about a frame."""

    version: int
    json: list[str]
    categories: dict[str, _Categories]


def write_parquet(frame: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write a frame of events to a Parquet file that `read_parquet` reads back equal.

    The file is complete or not there: it is written under another name first, then renamed.

    Parameters
    ----------
    frame : DataFrame
        As `atlas_lab.frames.to_frame` or `concat_frames` make it, also filtered, sorted or with columns
        of your own. Object columns may hold None, bool, int, float (with nan and the infinities), str,
        list and dict; tuple, set, frozenset, bytes, datetime and time (naive or with a fixed offset from
        UTC), date, timedelta, Decimal, UUID and NumPy booleans, integers and floats; dict keys may be any
        of these that can be a key.
    path : str or path-like
        Replaced if it exists.

    Raises
    ------
    PayloadTypeError
        If a cell holds anything else, such as a Struct, an Enum member or a subclass of the above, text
        that UTF-8 cannot hold, or itself. Named by row, column and key; nothing is written.
    ValueError
        If column names repeat or are no strings, categories are no text, or a column has a dtype that
        Parquet lacks.
    MissingExtraError
        If pyarrow is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from atlas_lab import Event, EventType
    >>> from atlas_lab.frames import to_frame
    >>> from atlas_lab.parquet import read_parquet, write_parquet
    >>> frame = to_frame([Event(EventType.SYSTEM_METRIC, {"load": (0.5, float("inf"))})])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_parquet(frame, Path(folder) / "events.parquet")
    ...     again = read_parquet(Path(folder) / "events.parquet")
    >>> again.equals(frame), again["data"][0]
    (True, {'load': (0.5, inf)})
    """
    pa, pq = _pyarrow()
    check_kind("frame", frame, pd.DataFrame, "a DataFrame")
    target = _path(path)
    names = list(frame.columns)
    if not all(type(name) is str for name in names) or len(set(names)) < len(names):
        raise ValueError(f"frame must have column names that are strings and differ, got {names!r:.200}")
    stored: dict[str, Any] = {}
    layout = _Layout(_VERSION, [], {})
    for name, column in frame.items():
        if isinstance(column.dtype, pd.CategoricalDtype):
            categories = column.cat.categories
            if categories.dtype != "str":
                raise ValueError(f"column {name!r} must have categories of dtype str, got {categories.dtype}")
            layout.categories[str(name)] = _Categories(categories.tolist(), bool(column.cat.ordered))
            stored[str(name)] = column.astype("str")
        elif column.dtype == object:
            layout.json.append(str(name))
            stored[str(name)] = pd.Series(_encoded(column), dtype="str", index=column.index)
        else:
            stored[str(name)] = column
    try:
        table = pa.Table.from_pandas(pd.DataFrame(stored, index=frame.index, columns=frame.columns))
    except (pa.ArrowException, NotImplementedError) as error:
        raise ValueError(f"frame cannot be written to Parquet: {error}") from error
    noted = table.schema.metadata | {_KEY: msgspec.json.encode(layout)}
    table = table.replace_schema_metadata(noted | {_SUM: _checksum(table, noted)})
    partial = target.with_name(f".{target.name}.{secrets.token_hex(8)}.partial")
    try:
        with partial.open("xb") as file:
            pq.write_table(table, file, write_page_checksum=True)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def read_parquet(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a frame that `write_parquet` wrote.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    DataFrame
        Equal to the one written: index, columns, dtypes, categories and their order, and cells.

    Raises
    ------
    DataError
        If the file is damaged, or was written by something else; the message names it.
    OSError
        If it cannot be opened, for instance because it does not exist.
    MissingExtraError
        If pyarrow is not installed.
    """
    pa, pq = _pyarrow()
    content = _path(path).read_bytes()
    try:
        table = pq.read_table(pa.BufferReader(content), page_checksum_verification=True)
        frame = _restored(table)
    except Exception as error:  # whatever the content leads pyarrow or pandas to raise
        why = f"it lacks {error}" if isinstance(error, KeyError) else error
        raise DataError(f"{os.fspath(path)} is damaged, or was not written by write_parquet: {why}") from error
    return frame


def _path(path: object) -> Path:
    """Return a path; raise TypeError if it is none, and ValueError if no file can have it."""
    check_kind("path", path, str | os.PathLike, "a str or path-like")
    try:
        made = Path(cast("str", path))
        os.fsencode(made)
    except Exception as error:  # any code may run where something is asked for its path
        raise ValueError(f"path must be one that a file can have, got {came(path)}: {message_of(error)}") from error
    if "\0" in str(made) or not made.name:
        raise ValueError(f"path must be that of a file, got {came(path)}")
    return made


def _restored(table: Any) -> pd.DataFrame:
    noted = table.schema.metadata
    layout = msgspec.json.decode(noted[_KEY], type=_Layout)
    if noted[_SUM] != _checksum(table, noted):
        raise ValueError("its description does not match its checksum")
    if layout.version != _VERSION:
        raise ValueError(f"its layout is version {layout.version}, and only version {_VERSION} is known")
    frame: pd.DataFrame = table.to_pandas()
    for name, categories in layout.categories.items():
        kind = pd.CategoricalDtype(pd.Index(categories.names, dtype="str"), ordered=categories.ordered)
        if not frame[name].dropna().isin(categories.names).all():
            raise ValueError(f"column {name!r} holds text that is none of its categories")
        frame[name] = frame[name].astype(kind)
    for name in layout.json:
        frame[name] = pd.Series(_decoded(frame[name]), dtype=object, index=frame.index)
    return frame


def _checksum(table: Any, noted: dict[bytes, bytes]) -> bytes:
    """Return a checksum of what the checksums of Parquet leave out: names, types, size and notes."""
    described = [noted[_KEY], noted[b"pandas"], str(table.num_rows).encode()]
    described += [f"{field.name}: {field.type}".encode() for field in table.schema]
    return f"{zlib.crc32(b'|'.join(described)):08x}".encode()


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa  # noqa: PLC0415 - frames work without it
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("pyarrow", "lab") from error
    return pa, pq


class _Unwritable(Exception):
    def __init__(self, problem: str, *trail: object) -> None:
        self.problem = problem
        self.trail = trail


def _encoded(column: pd.Series[Any]) -> list[str]:
    encode = msgspec.json.Encoder().encode
    texts = []
    for row, cell in enumerate(column):
        try:
            texts.append(encode(_to_json(cell)).decode())
        except _Unwritable as error:
            place = "".join(f"[{key!r}]" for key in error.trail)
            raise PayloadTypeError(f"{column.name}{place} in row {row} cannot be written: {error.problem}") from None
        except RecursionError:
            raise PayloadTypeError(
                f"{column.name} in row {row} cannot be written: it holds itself or is nested too deeply"
            ) from None
    return texts


def _decoded(column: pd.Series[Any]) -> list[Any]:
    decode = msgspec.json.Decoder().decode
    cells = []
    for row, text in enumerate(column):
        try:
            cell = decode(text)
            cells.append(_from_json(cell) if '"$' in text else cell)
        except Exception as error:
            raise ValueError(f"{column.name} in row {row} is not what write_parquet writes: {error!r}") from error
    return cells


def _to_json(value: Any) -> Any:
    """Return what stands for `value` in JSON."""
    kind = type(value)
    if kind is str:
        return _utf8(value)
    if kind is float:
        return value if math.isfinite(value) else {"$float": repr(value)}
    if kind is int:
        return value if value.bit_length() <= 63 else {"$int": hex(value)}
    if kind in _PLAIN:
        return value
    if kind is list:
        return _items(value)
    if kind is dict:
        if all(type(key) is str and not key.startswith("$") for key in value):
            return {_utf8(key): _at(key, item) for key, item in value.items()}
        return {"$dict": [[_at(key, key), _at(key, item)] for key, item in value.items()]}
    if kind in _WRITERS:
        tag, write = _WRITERS[kind]
        return {tag: write(value)}
    if isinstance(value, np.bool_ | np.integer | np.floating) and value.dtype.isbuiltin and value.dtype.itemsize <= 8:
        return {"$numpy": [value.dtype.name, _to_json(value.item())]}
    raise _Unwritable(
        f"{kind.__module__}.{kind.__qualname__} {value!r:.80} would not come back from Parquet as it is; "
        "write a dict or text in its place, or make the frame with data='expand' or data='drop'"
    )


def _at(key: object, value: Any) -> Any:
    try:
        return _to_json(value)
    except _Unwritable as error:
        raise _Unwritable(error.problem, key, *error.trail) from None


def _items(values: Any) -> list[Any]:
    return [_at(place, value) for place, value in enumerate(values)]


def _utf8(text: str) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _Unwritable(f"UTF-8 cannot hold the text {text!r:.80}") from None
    return text


def _iso(value: dt.datetime | dt.time) -> str:
    # A fraction of a second in an offset is not read back, and ISO 8601 has no word for a zone or a fold.
    offset = value.utcoffset() or dt.timedelta()
    fixed = type(value.tzinfo) in {dt.timezone, type(None)} and not offset.microseconds
    if value.fold or not fixed:
        raise _Unwritable(f"only naive times and fixed offsets from UTC are kept, not {value!r}; use UTC")
    return value.isoformat()


_WRITERS: dict[type, tuple[str, Callable[[Any], Any]]] = {
    tuple: ("$tuple", _items),
    set: ("$set", _items),
    frozenset: ("$frozenset", _items),
    bytes: ("$bytes", lambda value: base64.b64encode(value).decode()),
    dt.datetime: ("$datetime", _iso),
    dt.time: ("$time", _iso),
    dt.date: ("$date", dt.date.isoformat),
    dt.timedelta: ("$timedelta", lambda value: [value.days, value.seconds, value.microseconds]),
    decimal.Decimal: ("$decimal", str),
    uuid.UUID: ("$uuid", str),
}

_READERS: dict[str, Callable[[Any], Any]] = {
    "$float": float,
    "$int": lambda text: int(text, 16),
    "$tuple": tuple,
    "$set": set,
    "$frozenset": frozenset,
    "$dict": dict,
    "$bytes": lambda text: base64.b64decode(text, validate=True),
    "$datetime": dt.datetime.fromisoformat,
    "$time": dt.time.fromisoformat,
    "$date": dt.date.fromisoformat,
    "$timedelta": lambda parts: dt.timedelta(*parts),
    "$decimal": decimal.Decimal,
    "$uuid": uuid.UUID,
    "$numpy": lambda parts: _NUMPY[parts[0]](parts[1]),
}

_NUMPY: dict[str, Callable[[Any], Any]] = {
    np.dtype(kind).name: kind
    for kind in (
        *(np.bool_, np.int8, np.int16, np.int32, np.int64),
        *(np.uint8, np.uint16, np.uint32, np.uint64, np.float16, np.float32, np.float64),
    )
}


def _from_json(value: Any) -> Any:
    if type(value) is list:
        return [_from_json(item) for item in value]
    if type(value) is dict:
        inner = {key: _from_json(item) for key, item in value.items()}
        tag = next(iter(inner), "")
        return _READERS[tag](inner[tag]) if tag.startswith("$") else inner
    return value
