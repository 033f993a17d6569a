"""What an experiment varies, and the systems that are set up for each combination of it."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import TypeAlias

import msgspec

from atlas_lab.arguments import check_callable, check_count, check_kind, refuse
from atlas_lab.bus import EventBus
from atlas_lab.events import Event, EventType
from atlas_lab.naming import callable_name, is_async
from atlas_lab.scopes import ScopedEventBus

from .measuring import Call


class Configuration(msgspec.Struct, frozen=True):
    """One combination of what an experiment varies.

    Parameters
    ----------
    handlers : int
        Handlers that each event meets.
    middleware : int
        Middleware entries that each event passes.
    threads : int
        Threads that publish at once.
    scopes : int
        How deep the bus that is published on lies inside another.
    payload_bytes : int
        Size of the payload.

    Examples
    --------
    >>> from atlas_lab.experiments import Configuration
    >>> print(Configuration(handlers=10))
    handlers=10, middleware=0, threads=1, scopes=0, payload_bytes=0
    """

    handlers: int = 1
    middleware: int = 0
    threads: int = 1
    scopes: int = 0
    payload_bytes: int = 0

    @property
    def payload(self) -> str | None:
        """Text of `payload_bytes` ASCII characters; None for no payload."""
        return "x" * self.payload_bytes if self.payload_bytes else None

    def __str__(self) -> str:
        return ", ".join(f"{name}={getattr(self, name)}" for name in FACTORS)


FACTORS = Configuration.__struct_fields__

Setup: TypeAlias = Call | AbstractContextManager[Call]
Make: TypeAlias = Callable[[Configuration], Setup]


@contextmanager
def publisher(configuration: Configuration, bus: EventBus | None = None) -> Iterator[Call]:
    """Set up a bus as a configuration asks for, give what publishes on it once, and close it in the end.

    Handlers return None at once, and middleware returns the event as it is. Both are functions of their
    own, and both are on the innermost scope, which is published on.

    Parameters
    ----------
    configuration : Configuration
        Its `threads` are for the experiment, which calls from so many threads.
    bus : EventBus, optional
        To be set up instead of a new one; it is closed as well.

    Examples
    --------
    >>> from atlas_lab import EventBus
    >>> from atlas_lab.experiments import Configuration, publisher
    >>> bus = EventBus(name="run")
    >>> with publisher(Configuration(handlers=10, scopes=2, payload_bytes=3), bus) as publish:
    ...     event_id = publish()
    >>> bus.history[-1].scope, bus.history[-1].data
    ('run/level-1/level-2', 'xxx')
    """
    with EventBus(name="experiment") if bus is None else bus as outermost:
        innermost = outermost
        for level in range(configuration.scopes):
            innermost = ScopedEventBus(innermost, f"level-{level + 1}")
        for _ in range(configuration.middleware):
            innermost.add_middleware(_new_middleware())
        for _ in range(configuration.handlers):
            innermost.subscribe(EventType.STREAM_CHUNK, _new_handler())
        yield partial(innermost.publish, EventType.STREAM_CHUNK, configuration.payload, "experiment")


def _new_handler() -> Callable[[Event[object]], None]:
    def handler(event: Event[object]) -> None:
        return None

    return handler


def _new_middleware() -> Callable[[Event[object]], Event[object]]:
    def middleware(event: Event[object]) -> Event[object]:
        return event

    return middleware


def named_systems(make: Make | None, against: Mapping[str, Make] | None) -> dict[str, Make]:
    """Return what makes each system, by name, the base of comparisons first."""
    if make is not None:
        check_callable("make", make, "callable with a Configuration, or None for an EventBus")
    systems: dict[str, Make] = (
        {"atlas_lab": publisher} if make is None else {callable_name(make).rpartition(".")[2]: make}
    )
    if against is not None:
        check_kind("against", against, Mapping, "a mapping of names to what makes each system")
        for name, other in against.items():
            check_kind("the names in against", name, str, "text")
            check_callable(f"against[{name!r}]", other, "callable with a Configuration")
            if name in systems:
                raise ValueError(f"against must not name a system {name!r}: that is what make is called")
            systems[name] = other
    return systems


def all_configurations(**factors: int | Iterable[int]) -> list[Configuration]:
    """Return every combination of the values given for each factor, an int or several.

    Raises
    ------
    TypeError, ValueError
        If a value is not an int, is too small, comes twice, or there is none.
    """
    values = [_values(name, given, 1 if name == "threads" else 0) for name, given in factors.items()]
    return [Configuration(**dict(zip(factors, chosen, strict=True))) for chosen in itertools.product(*values)]


def _values(name: str, given: object, least: int) -> list[int]:
    if isinstance(given, str) or not isinstance(given, int | Iterable):
        raise refuse(name, given, f"an int of {least} or more, or several of them")
    values = [given] if isinstance(given, int) else list(given)
    if not values:
        raise ValueError(f"{name} must hold at least one value")
    for value in values:
        check_count(name, value, least)
    if len(set(values)) < len(values):
        raise ValueError(f"{name} must hold each value once, got {values!r:.80}")
    return values


class System(msgspec.Struct, frozen=True):
    """A system that is set up for one configuration.

    Attributes
    ----------
    name : str
    configuration : Configuration
    call : callable
        Publishes once.
    """

    name: str
    configuration: Configuration
    call: Call

    def __str__(self) -> str:
        return f"{self.name!r} with {self.configuration}"


def set_up(makes: Mapping[str, Make], configurations: Iterable[Configuration], stack: ExitStack) -> list[System]:
    """Set up every system for every configuration, and publish once on each to see that it works.

    Parameters
    ----------
    makes : mapping of str to callable
        Given a configuration, each returns what publishes once, or a context manager that gives it, or
        NotImplemented for a configuration that its system has no notion of.
    configurations : iterable of Configuration
    stack : ExitStack
        Ends the context managers.

    Raises
    ------
    TypeError
        If what publishes cannot be called, or is async.
    ValueError
        If no system has a notion of any configuration.
    Exception
        What a system raises, with a note that names it and the configuration.
    """
    systems = []
    for configuration in configurations:
        for name, make in makes.items():
            made: object = None
            try:
                made = make(configuration)
                # A context manager first: those that @contextmanager makes are callable, as decorators.
                call = stack.enter_context(made) if isinstance(made, AbstractContextManager) else made
                if call is NotImplemented:
                    continue
                systems.append(System(name, configuration, _checked(call)))
            except Exception as error:
                error.add_note(f"It was raised while setting up {name!r} with {configuration}.")
                raise
    if not systems:
        raise ValueError(f"none of {', '.join(makes)} can be set up for any of the configurations")
    return systems


def _checked(call: object) -> Call:
    if not callable(call):
        raise refuse("what make returns", call, "callable without arguments and publish once, or a context manager")
    result = None if is_async(call) else call()
    if inspect.iscoroutine(result):
        result.close()
    if is_async(call) or inspect.iscoroutine(result):
        raise TypeError("what make returns must not be async: let it run an event loop of its own until it is done")
    return call
