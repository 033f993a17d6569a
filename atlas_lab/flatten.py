"""Payloads flattened to columns, as `pandas.json_normalize` flattens records, but by groups of rows.

1. Read every payload as a dict; what cannot be read as one is put aside.
2. Group the payloads by their keys.
3. Flatten each group a column at a time; only rows whose values nest differently from those with the
   same keys are flattened one by one.
4. Join the columns of the groups by name, and infer each dtype as pandas does.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any, TypeAlias

import msgspec

from .errors import MissingExtraError

try:
    import numpy as np
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error
try:
    import pyarrow as pa
except ImportError:  # pandas then keeps text as Python objects: the same dtypes, only slower
    pa = None

_Reader: TypeAlias = Callable[[Any], dict[Any, Any]]
_Rows: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"
_Values: TypeAlias = tuple[list[Any], set[type]]  # and their types
_Flat: TypeAlias = dict[Hashable, _Values]  # by name
_Part: TypeAlias = tuple[_Rows, list[Any], set[type]]

_JSON = frozenset({int, float, bool, str, list, type(None)})
_NATIVE = {int: np.int64, float: np.float64, bool: np.bool_}


def flatten(payloads: list[Any], name: str = "data") -> list[tuple[str, pd.Series[Any]]]:
    """Flatten payloads to columns named ``<name>.<key>``.

    Parameters
    ----------
    payloads : list
        Of any type. A dict, another mapping, a msgspec Struct or a dataclass is flattened; the dicts,
        Structs and dataclasses inside it too. None counts as an empty dict.
    name : str
        What column names begin with; also the name of the column for payloads of every other type.

    Returns
    -------
    list of (str, Series), one per column, in order
        Each Series has one value per payload, missing where a payload lacks the key. On payloads of
        dicts it is what `pandas.json_normalize` makes of them: the same names (after ``<name>.``), order,
        values and dtypes. Text that UTF-8 cannot hold, which pandas refuses, stays an object column.

    Raises
    ------
    ValueError
        If a payload holds itself or is nested hundreds of levels deep.

    Examples
    --------
    >>> from atlas_lab.flatten import flatten
    >>> [(key, list(column)) for key, column in flatten([{"n": {"a": 1}}, {"n": {"a": 2}}])]
    [('data.n.a', [1, 2])]
    """
    size = len(payloads)
    readers = _Readers({type(None): lambda _: {}})
    kinds = set(map(type, payloads))
    for kind in kinds:
        if readers[kind] is None and issubclass(kind, Mapping):
            readers[kind] = dict
    loose = {kind for kind in kinds if readers[kind] is None}
    columns: list[tuple[str, pd.Series[Any]]] = []
    if loose:
        rows = np.array([row for row, payload in enumerate(payloads) if type(payload) in loose])
        columns.append((name, _column([(rows, [payloads[row] for row in rows], loose)], size)))
        payloads = [None if type(payload) in loose else payload for payload in payloads]
    if kinds != {dict}:
        payloads = [(readers[type(payload)] or _itself)(payload) for payload in payloads]
    try:
        blocks = _blocks(payloads, _Readers())
    except RecursionError:
        raise ValueError(
            "a payload holds itself or is nested too deeply to be expanded; use data='keep' or data='drop'"
        ) from None
    for key in dict.fromkeys(itertools.chain.from_iterable(flat for _, flat in blocks)):
        parts = [(rows, *flat[key]) for rows, flat in blocks if key in flat]
        columns.append((f"{name}.{key}", _column(parts, size)))
    return columns


class _Readers(dict[type, _Reader | None]):
    """How to read each type of value as a dict; None for what does not flatten."""

    def __missing__(self, kind: type) -> _Reader | None:
        reader: _Reader | None = None
        if issubclass(kind, dict):
            reader = _itself if kind is dict else dict
        elif issubclass(kind, msgspec.Struct):
            reader = msgspec.structs.asdict
        elif dataclasses.is_dataclass(kind):
            reader = _field_reader(kind)
        self[kind] = reader
        return reader


def _itself(value: dict[Any, Any]) -> dict[Any, Any]:
    return value


def _field_reader(kind: type) -> _Reader:
    names = [field.name for field in dataclasses.fields(kind)]
    return lambda value: {name: getattr(value, name) for name in names}


def _blocks(payloads: list[dict[Any, Any]], readers: _Readers) -> list[tuple[_Rows, _Flat]]:
    """Return blocks of rows that flatten to the same names, in the order of their first rows."""
    blocks: list[tuple[_Rows, _Flat]] = []
    ragged: list[_Rows] = []
    for rows, flat in _flat_groups(payloads, readers):
        if flat is None:
            ragged.append(rows)
        else:
            blocks.append((rows, flat))
    if ragged:
        alone = np.sort(np.concatenate(ragged))
        records = [_flat_record(payloads[row], readers, None) for row in alone.tolist()]
        for keys, rows in _groups(records):
            flat = _flat_columns(keys, [records[row] for row in rows.tolist()], _Readers(), None)
            blocks.append((alone[rows], flat or {}))
    return sorted(blocks, key=lambda block: int(block[0][0]))


def _flat_groups(payloads: list[dict[Any, Any]], readers: _Readers) -> Iterator[tuple[_Rows, _Flat | None]]:
    keys = tuple(payloads[0]) if payloads else ()
    if len(keys) > 1:
        # Most often all have the keys of the first, and none needs to be sorted into a group.
        with contextlib.suppress(KeyError):
            flat = _flat_columns(keys, payloads, readers, None, itemgetter(*keys))
            yield np.arange(len(payloads)), flat
            return
    for keys, rows in _groups(payloads):
        yield rows, _flat_columns(keys, list(map(payloads.__getitem__, rows.tolist())), readers, None)


def _groups(payloads: list[dict[Any, Any]]) -> Iterable[tuple[tuple[Any, ...], _Rows]]:
    number: defaultdict[tuple[Any, ...], int] = defaultdict(itertools.count().__next__)
    codes = np.fromiter(map(number.__getitem__, map(tuple, payloads)), np.int64, len(payloads))
    ends = np.cumsum(np.bincount(codes))
    return zip(number, np.split(np.argsort(codes, kind="stable"), ends[:-1]), strict=False)


def _flat_columns(
    keys: tuple[Any, ...],
    rows: list[dict[Any, Any]],
    readers: _Readers,
    prefix: str | None,
    read: Callable[[dict[Any, Any]], Iterable[Any]] = dict.values,
) -> _Flat | None:
    """Return the columns of rows that share their keys; None if they nest differently below them."""
    leaves: _Flat = {}
    nested: _Flat = {} if prefix is None else leaves  # at the top, what is not nested comes first
    for key, (values, kinds) in zip(keys, _columns(rows, read, len(keys)), strict=True):
        flattening = {kind for kind in kinds if readers[kind] is not None}
        name = f"{prefix}.{key}" if prefix else f"{key}"
        if not flattening:
            leaves[key if prefix is None else name] = values, kinds
            continue
        if flattening != kinds or type(key) is not str:  # 1 and True are one key, but two names
            return None
        inner = values if kinds == {dict} else [(readers[type(value)] or _itself)(value) for value in values]
        shapes = set(map(tuple, inner))
        shape = shapes.pop()
        if shapes or not all(type(part) is str for part in shape):
            return None
        below = _flat_columns(shape, inner, readers, name)
        if below is None:
            return None
        nested.update(below)
    return {**leaves, **nested}


def _columns(rows: list[dict[Any, Any]], read: Callable[[dict[Any, Any]], Iterable[Any]], width: int) -> list[_Values]:
    """Return the `width` columns of rows; KeyError if one has more or fewer keys, or `read` misses one."""
    columns: list[_Values] = [([None] * len(rows), set()) for _ in range(width)]
    # One pass over the rows, in batches that stay in the processor's cache. No row is kept as a tuple:
    # a thousand living tuples set off a garbage collection.
    for start in range(0, len(rows), 512):
        batch = rows[start : start + 512]
        if set(map(len, batch)) != {width}:
            raise KeyError
        flat = list(itertools.chain.from_iterable(map(read, batch)))
        for place, (values, kinds) in enumerate(columns):
            part = flat[place::width]
            values[start : start + 512] = part
            kinds.update(map(type, part))
    return columns


def _flat_record(record: dict[Any, Any], readers: _Readers, prefix: str | None) -> dict[Any, Any]:
    leaves: dict[Any, Any] = {}
    nested: dict[Any, Any] = {} if prefix is None else leaves
    for key, value in record.items():
        name = f"{prefix}.{key}" if prefix else f"{key}"
        reader = readers[type(value)]
        if reader is None:
            leaves[key if prefix is None else name] = value
        else:
            nested.update(_flat_record(reader(value), readers, name))
    return {**leaves, **nested}


def _column(parts: list[_Part], size: int) -> pd.Series[Any]:
    kinds: set[type] = set().union(*(found for _, _, found in parts))
    complete = sum(len(rows) for rows, _, _ in parts) == size
    native = _NATIVE.get(*kinds) if len(kinds) == 1 else None
    with contextlib.suppress(OverflowError):  # whole numbers beyond 64 bits
        if native is not None and (complete or native is not np.bool_):
            return pd.Series(_placed(parts, size, native, native(0) if complete else np.nan))
    is_text = str in kinds and kinds <= {str, type(None)}
    try:
        if pa is not None and is_text and len(parts) == 1 and complete:
            return pd.Series(pa.array(parts[0][1], pa.large_string()), dtype="str")
        column = _placed(parts, size, object, np.nan)
        if pa is not None and is_text:
            return pd.Series(pa.array(column, pa.large_string(), from_pandas=True), dtype="str")
        if kinds <= _JSON:
            return pd.Series(column, dtype=object).infer_objects()
        # Dates, decimals and the like are inferred by rules of their own when records become a frame.
        return pd.DataFrame(list(zip(column, strict=True)))[0]
    except UnicodeEncodeError:  # half of a surrogate pair: dtype str cannot hold it
        return pd.Series(_placed(parts, size, object, np.nan), dtype=object)


def _placed(parts: list[_Part], size: int, kind: Any, blank: Any) -> np.ndarray[Any, Any]:
    """Return an array with the values of each part, all of one kind, in its rows; `blank` elsewhere."""
    rows, values, _ = parts[0]
    if len(rows) == size:
        return np.fromiter(values, kind, size)
    column = np.full(size, blank, object if kind is object else None)
    for rows, values, _ in parts:
        column[rows] = np.fromiter(values, kind, len(values))
    return column
