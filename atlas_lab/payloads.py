"""Does a payload fit a type, and what does it look like as that type?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from .arguments import is_kind
from .errors import PayloadTypeError
from .naming import message_of, short_repr


class PayloadType:
    """A type that payloads are checked against.

    Parameters
    ----------
    data_type : type
        A dataclass, msgspec Struct, TypedDict, any other class, a union, or a generic such as ``list[int]``.
    argument : str
        What an error calls it.

    Raises
    ------
    TypeError
        If `data_type` is not such a type.

    Notes
    -----
    An instance fits as it is, and its fields are not looked at. A mapping fits if ``msgspec.convert``, in
    strict mode, makes the type of it: "1" is no int. For a TypedDict or a generic, that holds for any payload.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from atlas_lab.payloads import PayloadType
    >>> @dataclass
    ... class Chunk:
    ...     text: str
    ...     index: int
    >>> chunk = PayloadType(Chunk, "data_type")
    >>> chunk.fit({"text": "hello", "index": 2})
    Chunk(text='hello', index=2)
    >>> chunk.fit({"text": "hello", "index": "two"})
    Traceback (most recent call last):
        ...
    atlas_lab.errors.PayloadTypeError: payload does not fit Chunk: Expected `int`, got `str` - at `$.index`
    """

    __slots__ = ("_instances", "data_type", "name")

    def __init__(self, data_type: Any, argument: str) -> None:
        self.data_type = data_type
        self.name: str = data_type.__qualname__ if is_kind(data_type, type) else _text(data_type)
        try:
            msgspec.convert(None, data_type)
        except msgspec.ValidationError:
            pass
        except Exception as error:  # what is no type may do anything when it is asked for its parts
            raise TypeError(
                f"{argument} must be a type that a payload can be checked against, such as a dataclass, a msgspec "
                f"Struct, a TypedDict, dict or list[int], got {type(data_type).__name__} {self.name:.80}: "
                f"{message_of(error)}"
            ) from error
        try:
            isinstance(None, data_type)
        except TypeError:  # a TypedDict or a generic: only a conversion can tell
            self._instances: Any = None
        else:
            # As for a type checker, an int will do where a float is asked for.
            self._instances = float | int if data_type is float else data_type

    def fit(self, payload: Any) -> Any:
        """Return `payload` if it is of the type, or what it becomes as one.

        Raises
        ------
        PayloadTypeError
            If it does not fit; the message names the field and the type expected.
        """
        if self._instances is not None:
            if is_kind(payload, self._instances):
                return payload
            if not is_kind(payload, Mapping):
                raise PayloadTypeError(
                    f"payload does not fit {self.name}: Expected `{self.name}`, got `{type(payload).__qualname__}`"
                )
        if is_kind(payload, Mapping) and not is_kind(payload, dict):
            payload = dict(payload)
        try:
            return msgspec.convert(payload, self.data_type)
        except Exception as error:  # the class itself may refuse the values, with any error
            raise PayloadTypeError(f"payload does not fit {self.name}: {message_of(error)}") from error


def _text(data_type: object) -> str:
    """Return what a generic or a union is called; whatever else came is shown as far as it can be."""
    try:
        return str(data_type)
    except Exception:  # noqa: BLE001 - any code may run in there
        return short_repr(data_type, 80)
