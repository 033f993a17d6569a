"""Everything public that takes arguments, and what is right to pass to it."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from enum import Enum
from functools import cache
from typing import Any, NamedTuple

import blinker
from IPython.core.interactiveshell import InteractiveShell
from ipywidgets import Output
from matplotlib.figure import Figure

import atlas_lab
from atlas_lab import Event, EventBus, EventType, ScopedEventBus

A, C = EventType.AGENT_STARTED, EventType.AGENT_STOPPED


def nothing(event: Event[Any]) -> None: ...


def pass_on(event: Event[Any]) -> Event[Any]:
    return event


class World:
    """A bus with one of everything that it hands out."""

    def __init__(self, make_bus: Callable[..., EventBus] = EventBus) -> None:
        self.bus = make_bus(name="run")
        self.scope = ScopedEventBus(self.bus, "scope")
        self.got: list[Event[Any]] = []
        self.bus.subscribe(C, self.got.append, priority=10**40)
        self.entry = self.bus.add_middleware(pass_on, name="mine")
        self.token = self.bus.subscribe(A, nothing)
        self.bus.publish(A, {"n": 1})
        self.event = self.bus.history[0]
        self.history = self.bus.history
        self.signal = self.bus.get_signal(A)

    def recording(self) -> Any:
        """Return a recording of one delivery."""
        with self.bus.record("run") as recording:
            self.bus.publish(A, {"n": 1})
        return recording

    def check(self) -> None:
        """Check that what was done has not broken the bus."""
        for bus in (self.scope, self.bus):
            assert not bus._lock._is_owned(), "a lock was left held"  # there is but one thread
            for entry in bus.middleware:  # one that is hostile may stop events, but not once it is taken out
                if entry is not self.entry:
                    assert repr(entry)
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
            assert str(bus.explain(C)) and repr(bus)
            for token in bus.subscriptions():
                assert repr(token) and token()
            bus.close()


class Call(NamedTuple):
    """Something public that takes arguments.

    Attributes
    ----------
    get : callable of World
        Returns what to call.
    parameters : tuple of str
        Names of its parameters, with those that hide behind ``**options``.
    positional : tuple of str
        Those that cannot be given by name.
    required : tuple of str
        Those that have no default.
    right : dict
        What is right to pass, where that differs from `RIGHT`.
    """

    get: Callable[[World], Callable[..., Any]]
    parameters: tuple[str, ...]
    positional: tuple[str, ...]
    required: tuple[str, ...]
    right: dict[str, Callable[[World], Any]]

    def make(self, world: World, wrong: dict[str, Any]) -> Any:
        """Call it with what is right, but for what is wrong."""
        right = {**RIGHT, **self.right}
        given = {name: right[name](world) for name in self.required if name not in wrong} | wrong
        first = [given.pop(name) for name in self.positional if name in given]
        return self.get(world)(*first, **given)


# What is right, by the name of a parameter.
RIGHT: dict[str, Callable[[World], Any]] = {
    "a": lambda world: world.history.to_frame(),
    "b": lambda world: world.history.to_frame(),
    "bus": lambda world: world.bus,
    "deliveries": lambda world: world.recording().deliveries,
    "enabled": lambda world: True,
    "event": lambda world: world.event,
    "event_id": lambda world: world.event.id,
    "event_type": lambda world: A,
    "events": lambda world: world.history.to_frame(),
    "fields": lambda world: {"run": 1},
    "frame": lambda world: measured(),
    "frames": lambda world: [world.history.to_frame()],
    "first": lambda world: 0,
    "function": lambda world: pass_on,
    "handler": lambda world: nothing,
    "last": lambda world: 1,
    "loop": lambda world: None,
    "max_events": lambda world: 10,
    "middleware": lambda world: world.recording().middleware,
    "onto": lambda world: EventBus(),
    "parent": lambda world: world.bus,
    "path": lambda world: "events.parquet",
    "plot": lambda world: drawn(),
    "rate": lambda world: 0.5,
    "receiver": lambda world: nothing,
    "run": lambda world: world.history.to_frame(),
    "runs": lambda world: world.history.to_frame(),
    "scope_name": lambda world: "inner",
    "shell": lambda world: InteractiveShell.instance(),
    "signals": lambda world: {"sent": blinker.Signal()},
    "type": lambda world: A,
    "types": lambda world: {A: dict},
    "watched": lambda world: logging.getLogger("nobody"),
    "what": lambda world: A,
}


@cache
def measured() -> Any:
    """Return the frame of a short experiment."""
    return atlas_lab.throughput(handlers=(1, 2), rounds=2, block=0.0005, progress=False)


@cache
def drawn() -> Any:
    """Return the axes of a plot."""
    return atlas_lab.plot_rate(World().history.to_frame(), ax=Figure().subplots())


SUBSCRIBING = ("weak", "priority", "once", "where", "source", "data_type", "name")


def call_of(get: Callable[[World], Callable[..., Any]], *more: str, **right: Callable[[World], Any]) -> Call:
    """Return how to call what `get` returns; `more` are names of what it takes as ``**options``."""
    given = inspect.signature(get(World())).parameters.values()
    named = [one for one in given if one.kind not in {one.VAR_KEYWORD, one.VAR_POSITIONAL}]
    return Call(
        get,
        (*(one.name for one in named), *more),
        tuple(one.name for one in named if one.kind is one.POSITIONAL_ONLY),
        tuple(one.name for one in named if one.default is one.empty),
        right,
    )


def public(name: str) -> Callable[[World], Callable[..., Any]]:
    return lambda world: getattr(atlas_lab, name)


def method(owner: str, name: str) -> Callable[[World], Callable[..., Any]]:
    return lambda world: getattr(getattr(world, owner), name)


# What is handed out, and which of its public methods are for the parts of a bus, or come from elsewhere as they are.
HANDED_OUT = ("bus", "scope", "token", "entry", "history", "signal", "event")
NOT_FOR_USERS = {
    "history": {"count", "index"},  # as every sequence has them, they compare as the values say
    "token": {"count", "failed", "miss", "recover", "slot", "awaited", "starting"},
    "entry": {"function", "pass_by"},
    "signal": {
        "attach", "connect_via", "connected_to", "detach", "has_receivers_for", "muted", "receivers_for", "send",
        "send_async", "set_class",
    },
}  # fmt: skip

OPTIONS = {
    "on": SUBSCRIBING[:-2],
    "safe_subscribe": SUBSCRIBING,
    "replace": ("type", "data", "source", "metadata", "id", "timestamp", "parent_id", "scope", "seq"),
}


def methods() -> dict[str, Call]:
    """Return the public methods of everything that a bus hands out, and of buses, that take arguments."""
    world = World()
    found = {}
    for owner in HANDED_OUT:
        thing = getattr(world, owner)
        for name in dir(type(thing)):
            if name.startswith("_") or name in NOT_FOR_USERS.get(owner, ()):
                continue
            if not inspect.isfunction(getattr(type(thing), name)):
                continue
            call = call_of(method(owner, name), *OPTIONS.get(name, ()))
            if call.parameters:
                found[f"{owner}.{name}"] = call
    found["entry.enabled"] = call_of(lambda world: lambda enabled: setattr(world.entry, "enabled", enabled))
    found["redact(path)"] = Call(lambda world: atlas_lab.redact, ("path",), ("path",), (), {})
    return found


# Public names that are not called here, because all they do is to hold what they are given, or because they are
# what a bus hands out, or because they do what they are told to for as long as they are told.
HOLDERS = {"BusStats", "EventId", "Explanation", "Flight", "MiddlewareStats", "Quake", "Replayed"}
MADE_BY_A_BUS = {"EventStream", "Middleware", "Subscription", "Tap"}
EXPERIMENTS = {"latency", "throughput"}


def functions() -> dict[str, Call]:
    """Return the other public names that are called with arguments."""
    found = {}
    for name in dir(atlas_lab):
        thing = getattr(atlas_lab, name)
        if not callable(thing) or name in HOLDERS | MADE_BY_A_BUS | EXPERIMENTS:
            continue
        if isinstance(thing, type) and issubclass(thing, BaseException | Enum):
            continue
        call = call_of(public(name), *OPTIONS.get(name, ()))
        if call.parameters:
            found[name] = call
    found["captured"] = call_of(lambda world: captured_somewhere)
    return found


def captured_somewhere(handler: Any, *, output: Any = None) -> Any:
    """Call `captured`, which needs a widget where there is no notebook."""
    return atlas_lab.captured(handler, output=Output() if output is None else output)
