"""Keeping a bus usable in the child of ``os.fork``.

A fork copies every lock as it is, held by threads that do not exist in the child, and every source of
ids. So all locks are taken before a fork and given back on both sides of it, and the child's bus starts anew
what other threads were at.
"""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import ExitStack
from typing import Any

_buses: dict[int, weakref.ref[Any]] = {}
_held = threading.local()


def survive_forks(bus: Any) -> None:
    """Have a bus, which has ``_lock`` and ``_start_anew``, come through forks; it is not kept alive."""
    key = id(bus)
    _buses[key] = weakref.ref(bus, lambda _: _buses.pop(key, None))


def buses() -> list[Any]:
    """Return the buses of this process that are alive."""
    return [bus for reference in list(_buses.values()) if (bus := reference()) is not None]


def _take_locks() -> None:
    _held.locks = ExitStack()
    for bus in buses():
        _held.locks.enter_context(bus._lock)


def _give_locks_back() -> None:
    _held.locks.close()


def _start_anew() -> None:
    _held.locks.close()
    for bus in buses():
        bus._start_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_take_locks, after_in_parent=_give_locks_back, after_in_child=_start_anew)
