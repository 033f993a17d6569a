"""Values that cannot change: what they are made of, and in what two of them differ."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import msgspec

from atlas_lab import MissingExtraError

try:
    from pyrsistent import pmap, pset, pvector
except ImportError as error:
    raise MissingExtraError("pyrsistent", "atlas") from error

S = TypeVar("S")

_MISSING = object()


class Change(msgspec.Struct, frozen=True):
    """One difference between two states.

    Parameters
    ----------
    path : tuple of object
        The keys, indices or fields that lead to it from the top; empty for the state itself.
    kind : str
        ``added``, ``removed`` or ``changed``.
    before, after : object
        What stood there, and what stands there now; None for what is not there.
    """

    path: tuple[Any, ...]
    kind: str
    before: Any = None
    after: Any = None

    def __str__(self) -> str:
        place = ".".join(map(str, self.path)) or "state"
        if self.kind == "added":
            return f"{place}: added {self.after!r}"
        if self.kind == "removed":
            return f"{place}: removed {self.before!r}"
        return f"{place}: {self.before!r} -> {self.after!r}"


def freeze(value: S) -> S:
    """Return a value as one that cannot change: a dict, list or set as its pyrsistent counterpart, all the way down.

    What is frozen already is returned as it is, and not looked into, so that a state shares with the one before
    it whatever did not change. Any other value is returned too: whether it can change is for its class to say.

    Examples
    --------
    >>> from atlas_lab.patterns import freeze
    >>> gates = freeze({"EWR": ["A1", "A2"]})
    >>> gates.set("JFK", 4)["EWR"] is gates["EWR"]
    True
    """
    return _frozen(value)  # type: ignore[no-any-return]


def _frozen(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return pmap({key: _frozen(one) for key, one in value.items()})
    if kind is list:
        return pvector(map(_frozen, value))
    if kind is set:
        return pset(value)
    if kind is tuple:
        parts = tuple(map(_frozen, value))
        return value if all(map(operator.is_, parts, value)) else parts
    return value


def differences(before: object, after: object) -> tuple[Change, ...]:
    """Return in what two states differ, the deepest places that tell it; what they share is not looked into.

    Mappings are compared by key, sequences by index, sets by member, structs and dataclasses by field, anything
    else by ``==``.

    Parameters
    ----------
    before, after : object

    Returns
    -------
    tuple of Change
        In the order of the state before, then what is new.

    Examples
    --------
    >>> from atlas_lab.patterns import differences
    >>> for change in differences({"open": True, "late": [1, 2]}, {"open": True, "late": [1, 5], "wind": 9}):
    ...     print(change)
    late.1: 2 -> 5
    wind: added 9
    """
    return tuple(_differences((), before, after))


def _differences(path: tuple[Any, ...], before: Any, after: Any) -> Iterator[Change]:
    if before is after:
        return
    if before is _MISSING:
        yield Change(path, "added", None, after)
    elif after is _MISSING:
        yield Change(path, "removed", before, None)
    elif isinstance(before, AbstractSet) and isinstance(after, AbstractSet):
        yield from (Change((*path, one), "removed", one, None) for one in _ordered(set(before) - set(after)))
        yield from (Change((*path, one), "added", None, one) for one in _ordered(set(after) - set(before)))
    elif (left := parts_of(before)) is not None and (right := parts_of(after)) is not None:
        for key, one in left.items():
            yield from _differences((*path, key), one, right.get(key, _MISSING))
        for key in _ordered(right.keys() - left.keys()):
            yield from _differences((*path, key), _MISSING, right[key])
    elif before != after:
        yield Change(path, "changed", before, after)


def parts_of(value: object) -> Mapping[Any, Any] | None:
    """Return what a value is made of, by key, index or field; None if it is to be compared as a whole."""
    if isinstance(value, Mapping):
        return {key: value[key] for key in _ordered(value)}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        return dict(enumerate(value))
    if isinstance(value, msgspec.Struct):
        return {name: getattr(value, name) for name in value.__struct_fields__}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return None


def _ordered(keys: Any) -> list[Any]:
    """Return keys in an order that is the same in every run: theirs, or that of how they are written."""
    try:
        return sorted(keys)
    except TypeError:
        return sorted(keys, key=repr)
