"""How a handler is called: what an annotation means, and the names handlers go by."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from atlas_lab import Event, EventBus, EventType, NoEventLoopError, safe_subscribe

CHUNK = EventType.STREAM_CHUNK

T = TypeVar("T")


@dataclass
class Chunk:
    text: str


def typed(event: Event[Chunk]) -> None:
    pass


def typed_as_text(event: Event[Chunk]) -> None:
    pass


typed.__annotations__["event"] = Event[Chunk]


class Listener:
    def hear(self, event: Event[Chunk]) -> None:
        pass


def asked_for(handler: Any) -> str | None:
    """Return the payload type with which ``@bus.on`` subscribed a handler."""
    bus = EventBus()
    bus.on(CHUNK)(handler)
    (told,) = bus.explain(CHUNK).handlers
    return told.partition("data_type=")[2].partition(")")[0] or None


listener = Listener()


@pytest.mark.parametrize(
    "handler",
    [typed, typed_as_text, functools.partial(typed_as_text), listener.hear],
    ids=["annotation", "text", "partial", "method"],
)
def test_an_annotation_asks_for_its_payload(handler):
    """``Event[T]`` means T, written as a type or as text, on functions, partials and methods."""
    assert asked_for(handler) == "Chunk"


def untyped(event):
    pass


def bare(event: Event) -> None:  # type: ignore[type-arg]
    pass


def anything(event: Event[Any]) -> None:
    pass


def generic(event: Event[T]) -> None:
    pass


def everything(event: Event[object]) -> None:
    pass


def other(event: list[Chunk]) -> None:
    pass


def nothing() -> None:
    pass


@pytest.mark.parametrize("handler", [untyped, bare, anything, generic, everything, other, nothing, print, Chunk])
def test_other_annotations_ask_for_nothing(handler):
    """Without a type of its own in ``Event[...]`` a handler takes every payload."""
    assert asked_for(handler) is None


def test_an_annotation_may_name_a_local_type():
    """A type that is defined beside the handler is found by ``@bus.on``."""

    @dataclass
    class Local:
        n: int

    bus = EventBus()
    got: list[Any] = []

    @bus.on(CHUNK)
    def handle(event: Event[Local]) -> None:
        got.append(event.data)

    bus.publish(CHUNK, {"n": 1})
    assert got == [Local(1)]


def test_an_annotation_that_means_nothing_is_refused():
    """The message names annotation and handler, and the way out."""

    def handle(event: Event[Missing]) -> None:  # type: ignore[name-defined]  # noqa: F821
        pass

    with pytest.raises(TypeError, match=r"Event\[Missing\].*handle.*; pass data_type= to bus\.on instead$"):
        EventBus().on(CHUNK)(handle)


def test_a_payload_that_is_as_asked_arrives_in_the_very_event():
    """Only a payload that had to be made one of the type comes in a copy of its event."""
    bus = EventBus()
    got: list[Event[Any]] = []
    bus.subscribe(CHUNK, got.append, data_type=Chunk)
    bus.publish(CHUNK, Chunk("a"))
    bus.publish(CHUNK, {"text": "b"})
    assert [event.data for event in got] == [Chunk("a"), Chunk("b")]
    assert [event is kept for event, kept in zip(got, bus.history, strict=True)] == [True, False]


def test_once_is_once_also_for_what_its_condition_publishes():
    """The condition of a ``once`` subscription may publish what meets it; then that is the one event."""
    bus = EventBus()
    got: list[Any] = []

    def inner_first(event: Event[Any]) -> bool:
        if event.data == "outer":
            bus.publish(CHUNK, "inner")
        return True

    token = bus.subscribe(CHUNK, lambda event: got.append(event.data), once=True, where=inner_first)
    bus.publish(CHUNK, "outer")
    assert (got, token.calls, token.active) == (["inner"], 1, False)


def test_what_cannot_be_held_weakly_is_refused_with_a_way_out():
    """The message says why the handler would be lost, or cannot be held, and what to do instead."""

    class Slotted:
        __slots__ = ()

        def hear(self, event: Event[Any]) -> None:
            pass

    bus = EventBus()
    with pytest.raises(
        TypeError,
        match=r"^weak=True would lose the handler .*<lambda> at once: nothing else is sure to keep a lambda, a partial or "
        r"a built-in method alive\. Leave weak out to have the bus keep it until it is unsubscribed\.$",
    ):
        bus.subscribe(CHUNK, lambda event: None, weak=True)
    with pytest.raises(
        TypeError,
        match=r"^Slotted objects cannot be referenced weakly, so .*Slotted\.hear cannot be held weakly; "
        r"pass weak=False, or add '__weakref__' to the class's __slots__$",
    ):
        bus.subscribe(CHUNK, Slotted().hear)
    assert bus.subscriptions() == []


@pytest.mark.parametrize("wrong", [None, "bus", 5])
def test_a_safe_subscription_needs_a_bus(wrong):
    """What is no bus is refused by name."""
    with pytest.raises(TypeError, match=rf"^bus must be an EventBus, got {type(wrong).__name__}"):
        safe_subscribe(wrong, CHUNK, print)


class Slow:
    async def __call__(self, event: Event[Any]) -> None:
        pass

    async def hear(self, event: Event[Any]) -> None:
        pass


async def slow(event: Event[Any]) -> None:
    pass


@pytest.mark.parametrize(
    "handler",
    [slow, functools.partial(functools.partial(slow)), Slow(), functools.partial(Slow()), Slow().hear],
    ids=["function", "partial", "object", "partial of an object", "method"],
)
def test_what_is_async_is_told_through_partials_and_objects(handler):
    """A handler is async when calling it gives a coroutine, however it is wrapped, and then it needs a loop."""
    with pytest.raises(NoEventLoopError):
        EventBus().subscribe(CHUNK, handler, weak=False)


def test_a_safe_subscription_is_safe_from_its_first_event():
    """An event that another handler publishes as soon as the subscription stands is already handled safely."""
    bus = EventBus(on_error="raise")
    token = safe_subscribe(bus, CHUNK, lambda event: 1 // 0)
    assert token.isolated and token.active
    bus.publish(CHUNK)
    assert token.errors == 1


@pytest.mark.parametrize(
    "handler, name",
    [
        (untyped, "untyped"),
        (functools.partial(functools.partial(untyped)), "untyped"),
        (Listener().hear, "Listener.hear"),
        (Listener.hear, "Listener.hear"),
        ([].append, "list.append"),
        (print, "print"),
    ],
    ids=["function", "partial", "method", "plain method", "built-in method", "built-in"],
)
def test_a_handler_goes_by_its_qualified_name(handler, name):
    """Also inside partials, and when it was not written in Python."""
    assert EventBus().subscribe(CHUNK, handler, weak=False).handler_name == name


def test_a_callable_object_goes_by_its_class():
    """It has no name of its own."""

    class Recorder:
        def __call__(self, event: Event[Any]) -> None:
            pass

    assert EventBus().subscribe(CHUNK, Recorder()).handler_name.endswith("Recorder")
