"""A user's event type, and handlers of several kinds."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from atlas_lab import Event


class Step(Enum):
    NEXT = "next"


class Collector:
    """An object whose method is a handler."""

    def __init__(self, got: list[Any]) -> None:
        self.got = got

    def handle(self, event: Event[Any]) -> None:
        self.got.append(event.data)


class CallableObject:
    def __init__(self, got: list[Any]) -> None:
        self.got = got

    def __call__(self, event: Event[Any]) -> None:
        self.got.append(event.data)


def note(got: list[Any], event: Event[Any]) -> None:
    got.append(event.data)


def make_function(got: list[Any]) -> Callable[[Event[Any]], None]:
    def handler(event: Event[Any]) -> None:
        got.append(event.data)

    return handler
