"""Take secrets out of events before anything stores or shows them."""

from __future__ import annotations

import re
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, TypeAlias

import msgspec
from msgspec.structs import force_setattr

from .arguments import came, is_kind
from .events import Event
from .naming import short_repr

Steps: TypeAlias = tuple[str, ...]

# fmt: off
DEFAULT_SECRET_KEYS: frozenset[str] = frozenset({
    "access_key", "access_token", "api_key", "api_keys", "auth", "auth_token", "authorization",
    "bearer", "client_secret", "cookie", "cookies", "credential", "credentials", "id_token", "jwt",
    "passphrase", "passwd", "password", "passwords", "private_key", "pwd", "refresh_token", "secret",
    "secret_key", "secrets", "session_token", "token",
})
# fmt: on
"""Names whose values `redact` takes out unless it is told others."""

MAX_DEPTH = 100
"""What is nested deeper than this is taken out whole."""


def redact(
    *paths: str | tuple[str | int, ...], keys: Collection[str] = DEFAULT_SECRET_KEYS, replacement: object = "[redacted]"
) -> Callable[[Event[Any]], Event[Any]]:
    """Make a middleware that takes secrets out of the payload and the metadata, by name and by path.

    The payload itself is never changed: what holds a secret is copied, and the rest is shared with the copy.

    Parameters
    ----------
    *paths : str or tuple of str and int
        Places to take out, from ``data`` or ``metadata`` on: ``"data.user.phone"``. A step is a key, a field,
        an index (``"data.users.0"``, ``-1`` for the last) or ``*`` for all. A key that holds a dot needs the tuple form:
        ``("data", "user.phone")``. ``"data"`` alone is the whole payload.
    keys : collection of str
        Names of secrets. They replace the default ones; ``DEFAULT_SECRET_KEYS | {"iban"}`` adds to them.
    replacement : object
        What stands where a secret stood.

    Returns
    -------
    callable
        A middleware. An event without secrets comes back as it is.

    Raises
    ------
    TypeError, ValueError
        If a path does not start with ``data`` or ``metadata`` or has an empty step, `keys` does not hold
        names, or there is neither a path nor a key.

    Notes
    -----
    *Names.* A key matches if one of `keys` stands in it as whole words, whatever the case. Words end at anything that
    is not a letter and at a capital after a small letter; what separates the words of a name does
    not matter. So ``api_key`` finds ``X-Api-Key``, ``apiKey``, ``APIKEY`` and ``api_key_2``, and ``token`` finds ``access_token``
    and ``tokenId``, but neither ``tokenizer`` nor ``max_tokens``. Keys that are bytes, Enum members or
    tuples match by their text, name and value, or any part.

    *Where.* In mappings, lists, tuples, sets, deques, namedtuples, dataclasses and msgspec Structs, at any
    depth up to `MAX_DEPTH`; deeper containers are taken out whole. Other objects are left alone. So are pairs
    such as ``("token", "...")`` and text that contains a secret. Copies run no ``__init__`` and no
    ``__post_init__``; a mapping that is not a dict, OrderedDict or defaultdict is copied to a dict, and a subclass of
    list, set or deque to its base. In a copy of something that contains itself, the inner
    reference becomes the replacement.

    Examples
    --------
    >>> from atlas_lab import Event, EventType
    >>> from atlas_lab.middleware import redact
    >>> hide = redact("data.user.phone")
    >>> login = {"user": {"name": "Ada", "phone": "555-0100"}, "X-Api-Key": "s3cr3t", "max_tokens": 100}
    >>> hide(Event(EventType.COMMAND_EXECUTED, login)).data
    {'user': {'name': 'Ada', 'phone': '[redacted]'}, 'X-Api-Key': '[redacted]', 'max_tokens': 100}
    >>> login["X-Api-Key"]
    's3cr3t'
    """
    parsed = [_parse(path) for path in paths]
    pattern = _pattern(keys)
    if not parsed and pattern is None:
        raise ValueError("redact has nothing to take out; give it a path such as 'data.user.phone', or keys")
    in_data = tuple(path[1:] for path in parsed if path[0] == "data")
    in_metadata = tuple(path[1:] for path in parsed if path[0] == "metadata")

    @lru_cache(maxsize=1024)
    def is_secret(name: str) -> bool:
        return pattern is not None and pattern.search(name) is not None

    def clean(value: object, steps: tuple[Steps, ...]) -> object:
        walk = _Walk(is_secret, replacement)
        result = walk.replaced(value) if () in steps else walk.visit(value, steps)
        if result is value or not walk.met_itself:
            return result
        # The copy must not refer back to the original, which holds the secret.
        return _Walk(is_secret, replacement, cut=True).visit(value, steps)

    def take_out(event: Event[Any]) -> Event[Any]:
        data, metadata = clean(event.data, in_data), clean(event.metadata, in_metadata)
        if data is event.data and metadata is event.metadata:
            return event
        return event.replace(data=data, metadata=metadata)

    shown = [".".join(path) for path in parsed]
    if pattern is not None:
        shown.append("keys" if keys is DEFAULT_SECRET_KEYS else f"keys={sorted(keys)}")
    take_out.__name__ = take_out.__qualname__ = f"redact({', '.join(shown)})"
    return take_out


class _Walk:
    """One way through a payload, from its root to every value in it."""

    __slots__ = ("_cut", "_done", "_inside", "_is_secret", "_replacement", "met_itself")

    def __init__(self, is_secret: Callable[[str], bool], replacement: object, *, cut: bool = False) -> None:
        self._is_secret = is_secret
        self._replacement = replacement
        self._cut = cut
        self._inside: set[tuple[int, tuple[Steps, ...]]] = set()
        # Keeps each value alive beside its result, for an id is only good as long as its object.
        self._done: dict[tuple[int, tuple[Steps, ...]], tuple[object, object]] = {}
        self.met_itself = False

    def visit(self, value: object, paths: tuple[Steps, ...], depth: int = 0) -> object:
        """Return the value without secrets: the very same if it holds none."""
        if type(value) in _ATOMS:
            return value
        place = (id(value), paths)
        if place in self._done:
            return self._done[place][1]
        if place in self._inside:
            self.met_itself = True
            return self._replacement if self._cut else value
        parts = _take_apart(value, bool(paths))
        if parts is None:
            return value
        if depth == MAX_DEPTH:
            return self._replacement
        named, rebuild = parts
        self._inside.add(place)
        cleaned = [self._clean(names, part, paths, depth) for names, part in named]
        self._inside.remove(place)
        changed = any(new is not old for new, (_, old) in zip(cleaned, named, strict=True))
        result = rebuild(cleaned) if changed else value
        self._done[place] = (value, result)
        return result

    def _clean(self, names: tuple[str, ...], part: object, paths: tuple[Steps, ...], depth: int) -> object:
        below = tuple(path[1:] for path in paths if path[0] == "*" or path[0] in names) if paths else ()
        if () in below or any(map(self._is_secret, names)):
            return self.replaced(part)
        return self.visit(part, below, depth + 1)

    def replaced(self, value: object) -> object:
        """Return what stands for a secret: the value itself if that was done before."""
        done = value is self._replacement
        if isinstance(value, str) and isinstance(self._replacement, str):
            done = value == self._replacement
        return value if done else self._replacement


_ATOMS = frozenset({str, int, float, bool, bytes, complex, type(None)})

_Parts: TypeAlias = tuple[list[tuple[tuple[str, ...], object]], Callable[[list[object]], object]]


def _take_apart(value: object, numbered: bool) -> _Parts | None:
    """Return the parts of a container, each with the names it goes by, and what makes a copy from new parts."""
    if isinstance(value, Mapping):
        items = list(value.items())
        named = [(_names(key), item) for key, item in items]
        return named, lambda new: _mapping_like(value, zip((key for key, _ in items), new, strict=True))
    if isinstance(value, msgspec.Struct):
        return _take_fields(value, dict(zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True)))
    if is_dataclass(value) and not isinstance(value, type):
        return _take_fields(value, {field.name: field.name for field in fields(value)})
    if isinstance(value, list | tuple | set | frozenset | deque):
        elements = list(value)
        labels: list[tuple[str, ...]] = [()] * len(elements)
        if numbered and not isinstance(value, set | frozenset):
            labels = [(str(i), str(i - len(elements))) for i in range(len(elements))]
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            labels = [(*label, name) for label, name in zip(labels, value._fields, strict=True)]
        return list(zip(labels, elements, strict=True)), lambda new: _collection_like(value, new)
    return None


def _take_fields(value: object, names: dict[str, str]) -> _Parts:
    names = {**names, **{name: name for name in getattr(value, "__dict__", ()) if name not in names}}
    present = [name for name in names if hasattr(value, name)]

    def rebuild(new: list[object]) -> object:
        changes = dict(zip(present, new, strict=True))
        if isinstance(value, msgspec.Struct):
            copy = msgspec.Struct.__copy__(value)  # type: ignore[attr-defined]  # not a user's own, nor __post_init__
            for name, part in changes.items():
                force_setattr(copy, name, part)
            return copy
        copy = object.__new__(type(value))
        for name, part in changes.items():
            object.__setattr__(copy, name, part)
        return copy

    return [((name, names[name]), getattr(value, name)) for name in present], rebuild


def _mapping_like(value: Mapping[Any, Any], items: Iterable[tuple[Any, object]]) -> Mapping[Any, object]:
    if type(value) is OrderedDict:
        return OrderedDict(items)
    if type(value) is defaultdict:
        return defaultdict(value.default_factory, items)
    return dict(items)


def _collection_like(value: Collection[Any], elements: list[object]) -> Collection[object]:
    if isinstance(value, deque):
        return deque(elements, value.maxlen)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return tuple.__new__(type(value), elements)
    return next(kind for kind in (list, tuple, set, frozenset) if isinstance(value, kind))(elements)


def _names(key: object) -> tuple[str, ...]:
    """Return the texts by which a mapping's key is known."""
    if isinstance(key, Enum):
        return key.name, *_names(key.value)
    if isinstance(key, str):
        return (key,)
    if isinstance(key, bytes):
        return (key.decode("latin-1"),)
    if isinstance(key, tuple):
        return tuple(name for part in key for name in _names(part))
    return (str(key),) if isinstance(key, int | float | None) else ()


def _parse(path: object) -> Steps:
    steps: tuple[object, ...] = ()
    if is_kind(path, str):
        steps = tuple(str.split(path, "."))
    elif is_kind(path, tuple):
        steps = path
    if not steps or not all(is_kind(step, str | int) for step in steps):
        raise TypeError(
            f"a path must be a str such as 'data.user.phone' or a tuple such as ('data', 'user', 'phone'), "
            f"got {came(path)}"
        )
    parsed = tuple(map(str, steps))
    if parsed[0] not in {"data", "metadata"}:
        raise ValueError(
            f"a path must start with 'data' or 'metadata', got {short_repr(path, 80)}; for a field of the payload put 'data' first"
        )
    if parsed == ("metadata",):
        raise ValueError("path 'metadata' would leave an event without metadata; pass 'metadata.*' for all its values")
    if "" in parsed and isinstance(path, str):
        raise ValueError(f"a path must not have an empty step, got {short_repr(path, 80)}")
    return parsed


def _pattern(keys: Any) -> re.Pattern[str] | None:
    """Return what finds one of the names in a key as whole words, as the Notes of `redact` tell."""
    if is_kind(keys, str | bytes) or not is_kind(keys, Collection):
        raise TypeError(f"keys must be a collection of names such as {{'token'}}, got {came(keys)}")
    spelled = []
    for key in keys:
        if not is_kind(key, str):
            raise TypeError(f"keys must hold str, got {came(key)}")
        words = re.findall(r"[^\W_]+", key)
        if not words:
            raise ValueError(f"keys must hold names with a letter or a digit in them, got {short_repr(key, 80)}")
        spelled.append(r"[\W_]*".join(map(re.escape, words)))
    if not spelled:
        return None
    change_of_case = r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])"
    start, end = rf"(?:(?<![^\W\d_])|{change_of_case})", rf"(?:(?![^\W\d_])|{change_of_case})"
    return re.compile(f"{start}(?i:{'|'.join(sorted(spelled, key=len, reverse=True))}){end}")
