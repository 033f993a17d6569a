"""Buses with a guard taken out, so that a test can show what it would find if the guard were missing."""

from __future__ import annotations

import sys
import threading
import time
from collections import UserList
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from random import Random
from types import FrameType
from typing import Any
from unittest.mock import patch

from atlas_lab import Event, EventBus


class NoLock:
    """Stands where an RLock should and keeps nobody out."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        return True

    def release(self) -> None: ...

    def _is_owned(self) -> bool:
        return False

    def __enter__(self) -> bool:
        return True

    def __exit__(self, *exc_info: object) -> None: ...


def bus_without_lock(**options: Any) -> EventBus:
    """Return a bus of the package as it is, but for its lock."""
    with patch.object(threading, "RLock", NoLock):
        bus = EventBus(**options)
    assert isinstance(bus._lock, NoLock), "the bus does not take its lock from threading.RLock any more"
    return bus


class NumbersLate(EventBus):
    """A bus that numbers its events in a history of its own, once they are delivered and outside of any lock."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._kept: list[Event[Any]] = []

    def publish(self, event_type: Enum, *fields: Any, **more: Any) -> str:
        event_id = super().publish(event_type, *fields, **more)
        number = len(self._kept) + 1
        event = Event(event_type, *fields, **more, id=event_id)
        self._kept.append(event.replace(seq=number))
        return event_id

    @property
    def history(self) -> Any:
        return self._kept


class LooksThenMakes(EventBus):
    """A bus that makes a type's list of handlers when it finds none, in two steps and without a lock."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._handlers: dict[Enum, UserList[Callable[[Event[Any]], object]]] = {}

    def subscribe(self, event_type: Any, handler: Callable[[Event[Any]], object], **options: Any) -> Any:
        handlers = self._handlers.get(event_type)
        if handlers is None:
            handlers = UserList()
            self._handlers[event_type] = handlers
            super().subscribe(event_type, lambda event: [call(event) for call in self._handlers[event_type]])
        handlers.append(handler)


@contextmanager
def no_tracing() -> Iterator[None]:
    """Keep coverage away, from new threads too: it is slow here, and an interrupt would leave a lock of its own held."""
    here, in_new_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)  # type: ignore[arg-type]  # the stubs do not know that None is what turns it off
    try:
        yield
    finally:
        threading.settrace(in_new_threads)  # type: ignore[arg-type]
        sys.settrace(here)


@contextmanager
def switches_everywhere(every: int = 40) -> Iterator[None]:
    """Make threads that start from here on give way to the others at the end of one line in `every`, at random.

    Python switches threads only where a function begins, a loop turns or a call of C code ends, and hardly ever
    twice within one publish; a race that needs a switch in one certain place would be met once in a blue moon.
    """
    chance, lines = Random(1), threading.local()

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        left = lines.left = getattr(lines, "left", every) - 1
        if left < 0:
            lines.left = chance.randrange(2 * every)
            time.sleep(1e-6)  # 0 would let the same thread go on
        return trace

    threading.settrace(trace)
    try:
        yield
    finally:
        threading.settrace(None)  # type: ignore[arg-type]
