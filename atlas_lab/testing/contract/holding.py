"""Promise 11: how handlers are held."""

from __future__ import annotations

import asyncio
import functools
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from atlas_lab import Event, EventBus, EventType, safe_subscribe

from .kinds import CallableObject, Collector, make_function, note
from .making import MakesBuses

A = EventType.AGENT_STARTED
B = EventType.AGENT_TASK_ASSIGNED


class Slotted:
    __slots__ = ("got",)

    def __init__(self, got: list[Any]) -> None:
        self.got = got

    def handle(self, event: Event[Any]) -> None:
        self.got.append(event.data)


class SlottedWeak(Slotted):
    __slots__ = ("__weakref__",)


class Always:
    """Equal to all of its kind and, for that, without a hash."""

    def __init__(self, got: list[Any]) -> None:
        self.got = got

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Always)

    __hash__ = None

    def handle(self, event: Event[Any]) -> None:
        self.got.append(event.data)


def make_async_function(got: list[Any]) -> Callable[[Event[Any]], Any]:
    async def handler(event: Event[Any]) -> None:
        got.append(event.data)

    return handler


STRONG = {
    "function": make_function,
    "lambda": lambda got: lambda event: got.append(event.data),
    "partial": lambda got: functools.partial(note, got),
    "partial of a method": lambda got: functools.partial(Collector(got).handle),
    "callable object": CallableObject,
}


class HoldingContract(MakesBuses):
    @pytest.mark.parametrize("options", [{}, {"weak": None}, {"weak": True}], ids=["default", "None", "True"])
    @pytest.mark.parametrize("kind", [Collector, SlottedWeak, Always])
    def test_11_a_bus_does_not_keep_the_object_of_a_method(self, kind, options):
        """A bound method works while its object lives, and its subscription ends with the object."""
        bus, got = self.make_bus(), []
        owner = kind(got)
        subscription = bus.subscribe(A, owner.handle, **options)
        bus.publish(A, 1)
        gone = weakref.ref(owner)
        del owner
        gc.collect()
        assert gone() is None
        bus.publish(A, 2)
        assert got == [1]
        assert bus.subscriptions() == []
        assert (subscription.active, subscription.calls, subscription()) == (False, 1, False)

    def test_11_a_method_decorated_or_made_safe_is_held_weakly_too(self):
        """bus.on and safe_subscribe hold bound methods as subscribe does."""
        bus, got = self.make_bus(), []
        owner = Collector(got)
        bus.on(A)(owner.handle)
        safe_subscribe(bus, A, owner.handle)
        bus.publish(A, 1)
        del owner
        gc.collect()
        bus.publish(A, 2)
        assert got == [1, 1]
        assert bus.subscriptions() == []

    def test_11_an_object_in_a_cycle_is_let_go(self):
        """An object that refers to itself and to the bus is collected while its method is subscribed."""
        bus, got = self.make_bus(), []
        owner = Collector(got)
        owner.bus, owner.me = bus, owner
        owner.subscription = bus.subscribe(A, owner.handle)
        gone = weakref.ref(owner)
        del owner
        gc.collect()
        assert gone() is None
        bus.publish(A, 1)
        assert got == []

    def test_11_an_object_that_dies_during_a_dispatch_is_not_called(self):
        """When an earlier handler lets the object go, its method is passed over without an error."""
        bus, got = self.make_bus(), []
        owners = [Collector(got)]
        bus.subscribe(A, lambda event: owners.clear())
        bus.subscribe(A, owners[0].handle)
        bus.subscribe(A, lambda event: got.append("last"))
        bus.publish(A, 1)
        assert got == ["last"]
        assert bus.stats().errors == 0

    def test_11_equal_objects_are_not_confused(self):
        """Of two objects that are equal, each has its own subscription, and one's end leaves the other's."""
        bus, first, second = self.make_bus(), [], []
        one, other = Always(first), Always(second)
        bus.subscribe(A, one.handle)
        bus.subscribe(A, other.handle)
        bus.publish(A, 1)
        del one
        gc.collect()
        bus.publish(A, 2)
        assert (first, second) == ([1], [1, 2])
        assert other == Always([])

    @pytest.mark.parametrize("options", [{}, {"weak": False}], ids=["default", "False"])
    @pytest.mark.parametrize("kind", STRONG)
    def test_11_everything_else_is_held_until_unsubscribed(self, kind, options):
        """Functions, lambdas, closures, partials and callable objects work without another owner, and are let go after."""
        bus, got = self.make_bus(), []
        handler = STRONG[kind](got)
        gone = weakref.ref(handler)
        subscription = bus.subscribe(A, handler, **options)
        del handler
        gc.collect()
        bus.publish(A, 1)
        assert got == [1]
        subscription()
        gc.collect()
        assert gone() is None
        assert subscription.handler_name

    def test_11_a_built_in_method_is_held(self):
        """A method such as list.append keeps its list alive while it is subscribed."""
        bus = self.make_bus()

        class Payloads(list[Any]): ...

        payloads = Payloads()
        gone = weakref.ref(payloads)
        subscription = bus.subscribe(A, payloads.append)
        del payloads
        gc.collect()
        bus.publish(A, 1)
        assert [event.data for event in gone()] == [1]
        subscription()
        assert gone() is None

    def test_11_an_async_function_is_held(self):
        """An async function works without another owner."""

        async def main() -> list[Any]:
            bus, got = self.make_bus(), []
            bus.subscribe(A, make_async_function(got))
            gc.collect()
            await bus.publish_async(A, 1)
            return got

        assert asyncio.run(main()) == [1]

    @pytest.mark.parametrize(
        "handler",
        [
            lambda event: None,
            functools.partial(note, []),
            functools.partial(Collector([]).handle),
            [].append,
            {}.get,
        ],
        ids=["lambda", "partial", "partial of a method", "list.append", "dict.get"],
    )
    def test_11_weak_refuses_what_would_be_lost_at_once(self, handler):
        """weak=True on a lambda, a partial or a built-in method is a TypeError that says what to do instead."""
        bus = self.make_bus()
        with pytest.raises(TypeError, match="weak=True") as caught:
            bus.subscribe(A, handler, weak=True)
        assert "Leave weak out" in str(caught.value)
        assert bus.subscriptions() == []

    @pytest.mark.parametrize("kind", ["function", "callable object"])
    def test_11_weak_holds_a_function_or_object_weakly(self, kind):
        """weak=True on a function or callable object that has an owner works, and ends when the owner lets it go."""
        bus, got = self.make_bus(), []
        handler = STRONG[kind](got)
        gone = weakref.ref(handler)
        subscription = bus.subscribe(A, handler, weak=True)
        bus.publish(A, 1)
        del handler
        gc.collect()
        assert gone() is None
        bus.publish(A, 2)
        assert got == [1]
        assert bus.subscriptions() == []
        assert not subscription.active

    def test_11_weak_false_holds_the_object_of_a_method(self):
        """weak=False keeps a method's object alive until it is unsubscribed."""
        bus, got = self.make_bus(), []
        owner = Collector(got)
        gone = weakref.ref(owner)
        subscription = bus.subscribe(A, owner.handle, weak=False)
        del owner
        gc.collect()
        bus.publish(A, 1)
        assert got == [1]
        subscription()
        assert gone() is None

    @pytest.mark.parametrize("options", [{}, {"weak": True}], ids=["default", "True"])
    def test_11_an_object_without_weak_references_is_refused(self, options):
        """The method of an object that cannot be referenced weakly is a TypeError that says what to do."""
        bus = self.make_bus()
        owner = Slotted([])
        with pytest.raises(TypeError, match="cannot be referenced weakly") as caught:
            bus.subscribe(A, owner.handle, **options)
        assert "weak=False" in str(caught.value)
        assert "__weakref__" in str(caught.value)
        assert bus.subscriptions() == []

    def test_11_an_object_without_weak_references_can_be_held(self):
        """With weak=False, the method of such an object is a handler like any other."""
        bus, got = self.make_bus(), []
        bus.subscribe(A, Slotted(got).handle, weak=False)
        bus.publish(A, 1)
        assert got == [1]

    def test_11_a_bus_that_is_dropped_is_collected(self):
        """Handlers that refer to their bus do not keep it alive for ever."""

        def use_and_drop() -> weakref.ref[EventBus]:
            bus = self.make_bus()
            bus.subscribe(A, lambda event: bus.publish(B))
            bus.publish(A)
            return weakref.ref(bus)

        gone = use_and_drop()
        gc.collect()
        assert gone() is None
