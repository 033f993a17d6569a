"""Does a payload fit a type, and what does it look like as that type?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_origin, is_typeddict

import msgspec

from .errors import PayloadTypeError


def check_payload_type(data_type: object, argument: str = "data_type") -> None:
    """Raise TypeError if `data_type` is not something a payload can be checked against."""
    if not (isinstance(data_type, type) or get_origin(data_type) is not None):
        raise TypeError(
            f"{argument} must be a type such as a dataclass, a msgspec Struct, a TypedDict, dict or list[int], "
            f"got {type(data_type).__name__} {data_type!r:.80}"
        )


def fit_payload(payload: object, data_type: Any) -> Any:
    """Return `payload` as `data_type`: as it is if it is one, converted if it is a mapping that fits.

    Parameters
    ----------
    payload : object
    data_type : type
        A dataclass, msgspec Struct, TypedDict, other class, or a generic such as ``list[int]``.

    Raises
    ------
    PayloadTypeError
        If the payload does not fit; the message names the field and the type expected.

    Notes
    -----
    Mappings are converted by ``msgspec.convert`` in strict mode: "1" is no int.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from atlas_lab.payloads import fit_payload
    >>> @dataclass
    ... class Chunk:
    ...     text: str
    ...     index: int
    >>> fit_payload({"text": "hello", "index": 2}, Chunk)
    Chunk(text='hello', index=2)
    >>> fit_payload({"text": "hello", "index": "two"}, Chunk)
    Traceback (most recent call last):
        ...
    atlas_lab.errors.PayloadTypeError: payload does not fit Chunk: Expected `int`, got `str` - at `$.index`
    """
    if isinstance(data_type, type) and not is_typeddict(data_type) and get_origin(data_type) is None:
        if isinstance(payload, data_type):
            return payload
        if not isinstance(payload, Mapping):
            raise PayloadTypeError(f"payload does not fit {_name(data_type)}: got {type(payload).__name__}")
    elif is_typeddict(data_type) and not isinstance(payload, Mapping):
        raise PayloadTypeError(f"payload does not fit {_name(data_type)}: got {type(payload).__name__}")
    if isinstance(payload, Mapping) and not isinstance(payload, dict):
        payload = dict(payload)
    try:
        return msgspec.convert(payload, data_type)
    except (msgspec.ValidationError, TypeError) as error:
        raise PayloadTypeError(f"payload does not fit {_name(data_type)}: {error}") from error


def _name(data_type: object) -> str:
    return getattr(data_type, "__name__", str(data_type)) if get_origin(data_type) is None else str(data_type)
