"""What a type checker knows about the public names, checked by mypy --strict on this very file.

Each function runs as a test too, so that what it tells mypy is also what happens. A line with
``type: ignore[code]`` must be an error of that code: one that is none any more is reported as an unused ignore.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypedDict, assert_type

import msgspec
import pytest

from atlas_lab import (
    BusStats,
    Event,
    EventBus,
    EventStream,
    EventType,
    Explanation,
    History,
    Middleware,
    ScopedEventBus,
    Subscription,
    safe_subscribe,
)

CHUNK = EventType.STREAM_CHUNK


class Order(Enum):
    PLACED = "placed"


@dataclass
class Chunk:
    text: str


class ChunkStruct(msgspec.Struct):
    text: str


class ChunkDict(TypedDict):
    text: str


def show(event: Event[Chunk]) -> None:
    assert_type(event.data, Chunk)


def test_mypy_agrees() -> None:
    """Under --strict, mypy finds no error in this file, and none of the errors expected here is missing."""
    pytest.importorskip("mypy")
    root = Path(__file__).parents[2]
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(Path(__file__))],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_data_type_types_the_payload() -> None:
    """event.data is T in a handler, and in a condition, subscribed with data_type=T."""
    bus, got = EventBus(), list[str]()
    bus.subscribe(CHUNK, show, data_type=Chunk)
    bus.subscribe(CHUNK, lambda event: got.append(event.data.text), data_type=Chunk)
    bus.subscribe(CHUNK, lambda event: got.append(event.data.text), data_type=ChunkStruct)
    bus.subscribe(CHUNK, lambda event: got.append(event.data["text"]), data_type=ChunkDict)
    bus.subscribe(CHUNK, show, data_type=Chunk, where=lambda event: bool(event.data.text), weak=False, once=True)
    bus.publish(CHUNK, {"text": "hello"})
    assert got == ["hello"] * 3


def test_a_wrong_use_of_the_payload_is_an_error() -> None:
    """A type checker sees what T has not, and a handler of another type than data_type."""
    bus = EventBus()
    bus.subscribe(CHUNK, lambda event: event.data.nothing, data_type=Chunk)  # type: ignore[attr-defined]
    bus.subscribe(CHUNK, lambda event: event.data["nothing"], data_type=ChunkDict)  # type: ignore[typeddict-item]
    bus.subscribe(CHUNK, print, data_type=Chunk, where=lambda event: event.data.nothing)  # type: ignore[attr-defined]
    bus.subscribe(CHUNK, show, data_type=ChunkStruct)  # type: ignore[arg-type]
    assert len(bus.subscriptions()) == 4


def test_subscribe_returns_a_subscription() -> None:
    """A subscription is a context manager of itself and returns a bool when called."""
    subscription = EventBus().subscribe([CHUNK, Order.PLACED], lambda event: print(event.data))
    assert_type(subscription, Subscription)
    assert_type(subscription.active, bool)
    assert_type(subscription.calls, int)
    assert_type(subscription.last_error, str | None)
    with subscription as inside:
        assert_type(inside, Subscription)
    assert_type(subscription(), bool)
    assert_type(safe_subscribe(EventBus(), CHUNK, show)(), bool)


def test_handlers_of_any_kind_are_accepted() -> None:
    """Lambdas, functions with any result, methods, and handlers for all types type-check without data_type."""

    class Owner:
        def handle(self, event: Event[Chunk]) -> int:
            return len(event.data.text)

    def returns(event: Event[Any]) -> str:
        return event.id

    bus, owner, got = EventBus(), Owner(), list[Event[Any]]()
    bus.subscribe(None, lambda event: None)
    bus.subscribe({CHUNK, Order.PLACED}, returns)
    bus.subscribe(CHUNK, owner.handle)
    bus.subscribe(CHUNK, got.append)
    bus.subscribe(CHUNK, show)
    assert len(bus.subscriptions()) == 5


def test_async_handlers_are_accepted() -> None:
    """A coroutine function is a handler, with and without data_type."""

    async def handler(event: Event[Chunk]) -> None:
        assert_type(event.data, Chunk)

    async def main() -> None:
        bus = EventBus()
        bus.subscribe(CHUNK, handler)
        bus.subscribe(CHUNK, handler, data_type=Chunk)
        decorated = bus.on(CHUNK)(handler)
        await decorated(Event(CHUNK, Chunk("hello")))
        await bus.join()

    asyncio.run(main())


def test_on_keeps_the_functions_type() -> None:
    """A decorated handler has the type it had, with and without data_type."""
    bus = EventBus()

    @bus.on(CHUNK)
    def measure(event: Event[Chunk], factor: int = 2) -> int:
        return len(event.data.text) * factor

    @bus.on(CHUNK, data_type=Chunk)
    def typed(event: Event[Chunk]) -> None:
        assert_type(event.data, Chunk)

    @bus.on(CHUNK, data_type=Chunk)
    def typed_with_result(event: Event[Chunk]) -> int:
        return len(event.data.text)

    chunk = Event(CHUNK, Chunk("hello"))
    assert_type(measure(chunk, factor=3), int)
    assert measure(chunk, factor=3) == 15
    typed(chunk)
    plain: Callable[[Event[Chunk]], None] = typed
    assert plain is typed
    assert_type(typed_with_result(chunk), int)

    async def main() -> None:
        @bus.on(CHUNK, data_type=Chunk)
        async def typed_async(event: Event[Chunk]) -> int:
            return len(event.data.text)

        assert_type(await typed_async(chunk), int)

    asyncio.run(main())


def test_a_decorated_function_of_another_type_is_an_error() -> None:
    """data_type= and the annotation of the handler must agree."""
    bus = EventBus()

    @bus.on(CHUNK, data_type=ChunkStruct)  # type: ignore[arg-type]
    def handler(event: Event[Chunk]) -> None: ...

    bus.on(CHUNK, data_type=Chunk, where=lambda event: event.data.nothing)  # type: ignore[attr-defined]
    assert len(bus.subscriptions()) == 1


def test_publishing() -> None:
    """publish, publish_async and emit return the id, and take Enum members only."""
    bus = EventBus()
    assert_type(bus.publish(CHUNK, Chunk("hello"), source="me", metadata={"run": 7}), str)
    assert_type(bus.emit(Event(Order.PLACED)), str)
    assert_type(asyncio.run(bus.publish_async(Order.PLACED)), str)
    for refused in (
        lambda: bus.publish("stream.chunk"),  # type: ignore[arg-type]
        lambda: bus.publish(Order),  # type: ignore[arg-type]
        lambda: bus.subscribe("stream.chunk", show),  # type: ignore[arg-type]
        lambda: bus.emit("stream.chunk"),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError):
            refused()


def test_streams_and_waits() -> None:
    """A stream yields Event[T] under data_type=T, and wait_for gives an event."""

    async def main() -> None:
        with EventBus() as bus:
            assert_type(bus, EventBus)
            typed = bus.stream(CHUNK, data_type=Chunk)
            untyped = bus.stream(CHUNK)
            waiting = bus.wait_for(CHUNK, timeout=10)
            bus.publish(CHUNK, {"text": "hello"})
            assert_type(await waiting, Event[Any])
        assert_type(typed, EventStream[Chunk])
        assert_type(untyped, EventStream[Any])
        async for event in typed:
            assert_type(event, Event[Chunk])
            assert_type(event.data.text, str)
        async for event in typed:
            event.data.nothing  # type: ignore[attr-defined]

    asyncio.run(main())


def test_events() -> None:
    """The payload's type is that of what the event was made with, and no field can be assigned."""
    event = Event(CHUNK, Chunk("hello"))
    assert_type(event, Event[Chunk])
    assert_type(event.data.text, str)
    assert_type(event.type, Enum)
    assert_type(event.id, str)
    assert_type(event.source, str | None)
    assert_type(event.timestamp, float)
    assert_type(event.metadata, dict[str, Any])
    assert_type(event.parent_id, str | None)
    assert_type(event.seq, int)
    with pytest.raises(AttributeError):
        event.data = Chunk("changed")  # type: ignore[misc]
    with pytest.raises(TypeError):
        Event("stream.chunk")  # type: ignore[arg-type]


def test_the_bus_around() -> None:
    """History, middleware, scopes and statistics have their types."""
    bus = EventBus(history_limit=None, on_error="raise", nested="queued", max_depth=7, clock=lambda: 1.0)
    scope = ScopedEventBus(parent=bus, scope_name="inner")
    scope.publish(CHUNK)
    assert_type(bus.history, History)
    assert_type(bus.history[-1], Event[Any])
    assert_type(bus.history[:1], list[Event[Any]])
    assert_type(bus.history.select(CHUNK), list[Event[Any]])
    entry = bus.add_middleware(lambda event: event.replace(data=1))
    assert_type(entry, Middleware)
    assert_type(entry.enabled, bool)
    assert_type(entry(), bool)
    assert_type(scope.parent_bus, EventBus)
    assert_type(bus.stats(), BusStats)
    assert_type(bus.explain(CHUNK), Explanation)
    assert bus.stats().accepted == 1


def test_wrong_options_are_errors() -> None:
    """Options that do not exist, and values that an option does not have, are errors."""
    with pytest.raises(ValueError, match="nested"):
        EventBus(nested="later")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="on_error"):
        EventBus(on_error="ignore")  # type: ignore[arg-type]
    bus = EventBus()
    with pytest.raises(TypeError):
        bus.subscribe(CHUNK, show, prio=1)  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        bus.subscribe(CHUNK, "show")  # type: ignore[call-overload]
    with pytest.raises((TypeError, ValueError)):
        bus.add_middleware(lambda event: event, before=7)  # type: ignore[arg-type]
