"""Objects that no caller in his right mind would pass, but some caller will."""

from __future__ import annotations

import functools
import math
from collections import UserDict
from collections.abc import Callable, Iterator
from enum import Enum, Flag, IntEnum, StrEnum
from typing import Any

from atlas_lab import Event, EventType


class Hostility(Exception):
    """What hostile objects raise: of no kind that anybody documents, so that one that gets through is noticed."""


def _refuse(*args: object, **options: object) -> Any:
    raise Hostility("as agreed")


def fail(*args: object, **options: object) -> Any:
    """Fail with an error that anybody's own function may raise."""
    raise ValueError("as agreed")


def raising(*names: str) -> Any:
    """Return an object whose special methods of these names raise."""
    hidden = {"__class__": property(_refuse)} if "__class__" in names else {}
    methods: dict[str, Any] = {name: _refuse for name in names if name != "__class__"}
    if "__call__" in names:
        methods["__call__"] = fail
    return type(f"Raises{''.join(names).replace('__', '_')}", (), {**methods, **hidden})()


class Text(str):
    """A subclass of str whose own methods raise."""

    __slots__ = ()
    __eq__ = __hash__ = __repr__ = __str__ = __format__ = __len__ = __contains__ = _refuse


class PlainText(str):
    __slots__ = ()


class Nothing(Enum):
    """An Enum without members."""


class Number(IntEnum):
    ONE = 1


class Word(StrEnum):
    WORD = "word"


class Bits(Flag):
    ONE = 1
    TWO = 2


class Odd(Enum):
    """Members whose values cannot be compared or shown."""

    MEMBER = raising("__repr__")


class Slotted:
    """Cannot be referenced weakly."""

    __slots__ = ()

    def handle(self, event: Event[Any]) -> None: ...


class Unhashable:
    __hash__ = None  # type: ignore[assignment]  # that is how it is said

    def handle(self, event: Event[Any]) -> None: ...


class Renamed:
    """A callable whose name cannot be asked for."""

    def __getattr__(self, name: str) -> Any:
        raise Hostility("as agreed")

    def __call__(self, event: Event[Any]) -> None: ...


class NamedOddly:
    """A callable whose name is no text."""

    def __init__(self) -> None:
        self.__qualname__ = self.__name__ = 5

    def __call__(self, event: Event[Any]) -> None: ...


def around(thing: Any) -> Any:
    """A decorator's wrapper around itself."""

    def wrapper(event: Event[Any]) -> None: ...

    wrapper.__wrapped__ = wrapper if thing is None else thing  # type: ignore[attr-defined]  # as functools.wraps does
    return wrapper


async def asynchronous(event: Event[Any]) -> None: ...


def generating(event: Event[Any]) -> Iterator[int]:
    yield 1


def without_arguments() -> None: ...


def with_two(event: Event[Any], other: object) -> None: ...


def with_a_name(*, event: Event[Any]) -> None: ...


def annotated(event: NoSuchType[int]) -> None: ...  # type: ignore[name-defined]  # noqa: F821 - that is the point


def itself() -> list[Any]:
    """Return a list and a dict that hold themselves and one another."""
    inner: dict[str, Any] = {}
    outer: list[Any] = [inner]
    inner["outer"], inner["inner"] = outer, inner
    outer.append(outer)
    return outer


def deep() -> Any:
    """Return a list inside a list, and so on, deeper than Python can show."""
    value: list[Any] = []
    for _ in range(5000):
        value = [value]
    return value


SPECIAL = (
    "__eq__", "__hash__", "__bool__", "__repr__", "__str__", "__len__", "__getattr__", "__getattribute__",
    "__class__", "__call__", "__instancecheck__", "__lt__", "__float__", "__index__", "__fspath__", "__format__",
)  # fmt: skip

OBJECTS: dict[str, Callable[[], Any]] = {
    **{f"raises at {name}": functools.partial(raising, name) for name in SPECIAL},
    "raises at everything": functools.partial(raising, *SPECIAL),
    "callable that raises at everything else": functools.partial(raising, *(set(SPECIAL) - {"__call__"})),
}
NUMBERS: dict[str, Any] = {
    "huge": 10**30,
    "hugely negative": -(10**30),
    "too large to be printed": 10**5000,
    "2**63": 2**63,
    "-1": -1,
    "0": 0,
    "nan": math.nan,
    "inf": math.inf,
    "-inf": -math.inf,
    "True": True,
    "complex": 1j,
}
TEXTS: dict[str, Any] = {
    "empty": "",
    "surrogate": "\ud800",
    "nul": "a\0b",
    "path": "a/b",
    "long": "x" * 100_000,
    "str subclass": PlainText("run"),
    "hostile str": Text("run"),
    "bytes": b"run",
}
ENUMS: dict[str, Any] = {
    "Enum without members": Nothing,
    "Enum": EventType,
    "int member": Number.ONE,
    "str member": Word.WORD,
    "flags": Bits.ONE | Bits.TWO,
    "odd member": Odd.MEMBER,
    "name of a member": "agent.started",
    "int": int,
    "generic": list[int],
}
CONTAINERS: dict[str, Callable[[], Any]] = {
    "of itself": itself,
    "deep": deep,
    "of what cannot be shown": lambda: [raising("__repr__")],
    "of what cannot be hashed": lambda: [{}],
    "mixed": lambda: [EventType.AGENT_STARTED, "agent.started", None],
    "generator": lambda: (one for one in (EventType.AGENT_STARTED, 5)),
    "keys that are no str": lambda: {1: 2, None: 3},
    "keys that cannot be shown": lambda: {raising("__repr__"): 1},
    "mapping": lambda: UserDict({"a": 1}),
}
HANDLERS: dict[str, Callable[[], Any]] = {
    "without arguments": lambda: without_arguments,
    "with two": lambda: with_two,
    "with a name": lambda: with_a_name,
    "async": lambda: asynchronous,
    "generator function": lambda: generating,
    "annotated with what is not there": lambda: annotated,
    "class": lambda: int,
    "built-in": lambda: len,
    "built-in method": lambda: [].append,
    "method of a slotted object": lambda: Slotted().handle,
    "method of an unhashable object": lambda: Unhashable().handle,
    "method of an object that raises": lambda: Slotted.handle.__get__(raising("__eq__", "__hash__", "__bool__")),
    "partial of a partial": lambda: functools.partial(functools.partial(without_arguments)),
    "static method": lambda: staticmethod(without_arguments),
    "wraps itself": lambda: around(None),
    "wraps a number": lambda: around(5),
    "has no name": Renamed,
    "has an odd name": NamedOddly,
    "raises when called": lambda: fail,
}

VALUES: dict[str, Callable[[], Any]] = {
    **OBJECTS,
    **{name: functools.partial(lambda value: value, value) for name, value in {**NUMBERS, **TEXTS, **ENUMS}.items()},
    **CONTAINERS,
    **HANDLERS,
    "None": lambda: None,
    "event": lambda: Event(EventType.AGENT_STARTED),
}
