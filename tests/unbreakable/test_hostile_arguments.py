"""Whatever is passed to whatever is public: a documented error that names the argument, and a bus that works on."""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import atlas_lab
from atlas_lab import AtlasLabError, Event, EventBus, EventType, History, ScopedEventBus

from .hostile import VALUES

A, C = EventType.AGENT_STARTED, EventType.AGENT_STOPPED


def nothing(event: Event[Any]) -> None: ...


def pass_on(event: Event[Any]) -> Event[Any]:
    return event


class World:
    """A bus with one of everything that it hands out."""

    def __init__(self) -> None:
        self.bus = EventBus(name="run")
        self.scope = ScopedEventBus(self.bus, "scope")
        self.got: list[Event[Any]] = []
        self.bus.subscribe(C, self.got.append, priority=10**40)
        self.entry = self.bus.add_middleware(pass_on, name="mine")
        self.token = self.bus.subscribe(A, nothing, name="mine")
        self.event = Event(A)
        self.bus.publish(A, {"n": 1})
        self.history = self.bus.history
        self.signal = self.bus.get_signal(A)

    def check(self) -> None:
        """Check that what was done has not broken the bus."""
        for bus in (self.scope, self.bus):
            assert bus._lock.acquire(blocking=False)
            bus._lock.release()
            for entry in bus.middleware:  # what is hostile may stop an event, but not once it is taken out
                if entry is not self.entry:
                    entry()
        self.got.clear()
        for bus in (self.bus, self.scope):
            event_id = bus.publish(C)
            assert [event.id for event in self.got] == [event_id]
            assert self.bus.history.select(C)[-1].id == event_id
            assert self.got.pop().parent_id is None
        numbers = [event.seq for event in self.bus.history]
        assert numbers == list(range(1, len(numbers) + 1))
        assert self.bus.stats().accepted == len(numbers)
        for bus in (self.bus, self.scope):
            for token in bus.subscriptions():
                assert repr(token)
                assert token()
            assert str(bus.explain(A)) and repr(bus)
            bus.close()


# What is right, by the name of the parameter.
RIGHT: dict[str, Callable[[World], Any]] = {
    "before": lambda world: world.entry,
    "bus": lambda world: world.bus,
    "clock": lambda world: time.time,
    "convert": lambda world: True,
    "data": lambda world: {"n": 1},
    "data_type": lambda world: dict,
    "event": lambda world: world.event,
    "event_type": lambda world: A,
    "events": lambda world: world.bus,
    "fields": lambda world: {"run": 1},
    "frame": lambda world: world.history.to_frame(),
    "frames": lambda world: [world.history.to_frame()],
    "function": lambda world: pass_on,
    "handler": lambda world: nothing,
    "history_limit": lambda world: 10,
    "id": lambda world: atlas_lab.new_event_id(),
    "key": lambda world: lambda event: event.source,
    "keys": lambda world: {"password"},
    "limit": lambda world: 10,
    "max_depth": lambda world: 10,
    "max_events": lambda world: 10,
    "max_keys": lambda world: 10,
    "metadata": lambda world: {"run": 1},
    "n": lambda world: 3,
    "name": lambda world: "name",
    "nested": lambda world: "queued",
    "new_id": lambda world: atlas_lab.new_event_id,
    "on_error": lambda world: "event",
    "once": lambda world: True,
    "overwrite": lambda world: True,
    "parent": lambda world: world.bus,
    "path": lambda world: "events.parquet",
    "per": lambda world: 2.0,
    "priority": lambda world: 1,
    "propagate": lambda world: True,
    "rate": lambda world: 0.5,
    "receiver": lambda world: nothing,
    "replacement": lambda world: "gone",
    "run": lambda world: "run",
    "scope": lambda world: "run",
    "scope_name": lambda world: "inner",
    "seed": lambda world: 1,
    "since": lambda world: 0.0,
    "size": lambda world: 10,
    "source": lambda world: "source",
    "start": lambda world: 0,
    "stop": lambda world: 10,
    "timeout": lambda world: 60.0,
    "type": lambda world: A,
    "types": lambda world: {A},
    "until": lambda world: 1e12,
    "value": lambda world: world.event,
    "weak": lambda world: False,
    "what": lambda world: A,
    "where": lambda world: lambda event: True,
}

SUBSCRIBING = ("weak", "priority", "once", "where", "source", "data_type", "name")
FIELDS = ("type", "data", "source", "metadata", "id", "timestamp", "parent_id", "scope", "seq")


class Call(NamedTuple):
    """Something public that takes arguments.

    Attributes
    ----------
    get : callable of World
        Returns what to call.
    parameters : tuple of str
        Names of its parameters, with those that hide behind ``**options``.
    required : int
        How many of them have to be given.
    """

    get: Callable[[World], Callable[..., Any]]
    parameters: tuple[str, ...]
    positional: tuple[str, ...]
    required: tuple[str, ...]


def call_of(get: Callable[[World], Callable[..., Any]], more: tuple[str, ...] = (), *without: str) -> Call:
    """Return how to call what `get` returns."""
    parameters = [
        one
        for one in inspect.signature(get(World())).parameters.values()
        if one.kind not in {one.VAR_KEYWORD, one.VAR_POSITIONAL} and one.name not in without
    ]
    return Call(
        get,
        (*(one.name for one in parameters), *more),
        tuple(one.name for one in parameters if one.kind is one.POSITIONAL_ONLY),
        tuple(one.name for one in parameters if one.default is one.empty),
    )
