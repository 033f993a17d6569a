"""How errors, functions and places in code are shown to people."""

from __future__ import annotations

import inspect
import os
import reprlib
import sys
import traceback
from functools import partial
from itertools import islice
from types import CodeType, FunctionType
from typing import Any, TypeGuard

_HERE = os.path.dirname(__file__)  # noqa: PTH120 - pathlib costs a tenth of the import
_CALLING = {_HERE, os.path.join(_HERE, "notebook")}  # noqa: PTH118 - as above
"""Folders of the code that calls handlers; what stands in other folders of this package is a system on a bus."""


def message_of(error: BaseException) -> str:
    """Return the text of an exception; one that cannot be shown stops nobody."""
    try:
        return str(error)
    except Exception as failure:  # noqa: BLE001 - any code may run in there
        return f"<its text cannot be shown: {type(failure).__name__}>"


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun: ``1 event``, ``2,000 events``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


class _Short(reprlib.Repr):
    """A ``repr`` whose work is bounded as well as its length: a small payload may hold itself a million times."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = limit
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = 20
        self._left = limit

    def repr1(self, x: object, level: int) -> str:
        if self._left <= 0:
            return "..."
        self._left -= 1
        before = self._left
        text = super().repr1(x, level)
        if self._left == before:  # else its parts are counted
            self._left -= len(text)
        return text

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        """In the order of the dict; reprlib would sort all of it."""
        if x and level <= 0:
            return "{...}"
        shown = [
            f"{self.repr1(key, level - 1)}: {self.repr1(value, level - 1)}"
            for key, value in islice(x.items(), self.maxdict)
        ]
        return f"{{{', '.join([*shown, '...'] if len(x) > self.maxdict else shown)}}}"

    def repr_bytes(self, x: bytes, level: int) -> str:
        return _cut(repr(x[: self.maxother]), self.maxother)

    def repr_bytearray(self, x: bytearray, level: int) -> str:
        return _cut(repr(x[: self.maxother]), self.maxother)

    def repr_instance(self, x: object, level: int) -> str:
        try:
            return _cut(repr(x), self.maxother)
        except Exception as error:  # noqa: BLE001 - any code may run in there
            return f"<{type(x).__name__} whose repr failed: {type(error).__name__}>"


def short_repr(value: object, limit: int = 200) -> str:
    """Return the ``repr`` of a value, cut inside and at the end to about `limit` characters; one that fails says so."""
    short = _Short(limit)
    try:
        return _cut(short.repr(value), limit)
    except Exception:  # noqa: BLE001 - an int with too many digits, or any code
        return short.repr_instance(value, 0)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def on_one_line(text: str) -> str:
    """Return text with its line ends, and whatever else is no printable character, as Python writes them."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def sendable(content: Any) -> Any:
    """Return text, or what holds text, with "?" for halves of surrogate pairs, which no message can hold."""
    if isinstance(content, str):
        return content if content.isascii() else content.encode("utf-8", "replace").decode()
    if isinstance(content, dict):
        return {sendable(key): sendable(value) for key, value in content.items()}
    return [sendable(one) for one in content] if isinstance(content, list | tuple) else content


def describe(error: BaseException) -> str:
    """Return an exception as one line, its type and message."""
    message = message_of(error)
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def callable_name(function: Any) -> str:
    """Return the name by which a callable is shown: its qualified name, or that of what it wraps or is."""
    while issubclass(type(function), partial):
        function = function.func
    name = attribute_of(function, "__qualname__")
    return name if isinstance(name, str) and name else type(function).__qualname__


def attribute_of(thing: object, name: str) -> Any:
    """Return an attribute, or None if there is none or it cannot be asked for."""
    try:
        return getattr(thing, name, None)
    except Exception:  # noqa: BLE001 - any code may run in there
        return None


def code_location(filename: str, line: int) -> str:
    """Return a place in code as people know it: ``cell In[5], line 3`` in a notebook, ``file.py:3`` elsewhere.

    Parameters
    ----------
    filename : str
        As in a code object; a notebook's kernel gives each cell the name of a temporary file.
    line : int
        From 1.
    """
    cells = _cells()
    return f"cell In[{cells[filename]}], line {line}" if filename in cells else f"{filename}:{line}"


def _cells() -> dict[str, int]:
    """Return the number of each cell by the name of the file that a notebook's kernel gives it."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    cells: dict[str, int] = getattr(getattr(shell, "compile", None), "_filename_map", {})
    return cells


def traceback_of(error: BaseException) -> str:
    """Return the traceback of what a handler raised, from the handler on; cells of a notebook by their numbers.

    How this package called the handler is left out, unless the error comes from there.
    """
    inside = error.__traceback__
    while inside is not None and os.path.dirname(inside.tb_frame.f_code.co_filename) in _CALLING:  # noqa: PTH120
        inside = inside.tb_next
    text = "".join(traceback.format_exception(type(error), error, inside or error.__traceback__))
    for filename, number in _cells().items():
        text = text.replace(f'File "{filename}", line ', f"Cell In[{number}], line ")
    return text


def is_bare(function: object) -> TypeGuard[FunctionType]:
    """Whether this is a function that nobody wrapped or marked: what most handlers are, and soonest looked at."""
    return type(function) is FunctionType and not function.__dict__


def is_async(function: object) -> bool:
    """Whether calling `function` gives a coroutine to await."""
    if is_bare(function):
        return bool(function.__code__.co_flags & inspect.CO_COROUTINE)
    try:
        return _is_async(function)
    except Exception:  # noqa: BLE001 - any code may run where a callable is asked what it is
        return False


def _is_async(function: object) -> bool:
    while isinstance(function, partial):
        function = function.func
    if inspect.iscoroutinefunction(function):
        return True
    of_type = getattr(type(function), "__call__", None)  # noqa: B004 - not whether it can be called, but how
    return not inspect.isfunction(function) and inspect.iscoroutinefunction(of_type)


def code_of(function: object) -> CodeType | None:
    """Return the code in which a callable is written, if that is Python."""
    code = attribute_of(definition_of(function), "__code__")
    return code if isinstance(code, CodeType) else None


def definition_of(function: Any) -> object:
    """Return the function in which a callable is written, under partials, methods and decorators."""
    if is_bare(function):
        return function
    while issubclass(type(function), partial):
        function = function.func
    function = attribute_of(function, "__func__") or function
    for _ in range(100):  # what is wrapped around itself has no end
        wrapped = attribute_of(function, "__wrapped__")
        if wrapped is None:
            break
        function = wrapped
    return function
