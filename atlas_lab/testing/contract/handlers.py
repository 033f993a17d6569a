"""Promises 11 to 14: how handlers are held, what a subscription tells, re-running cells, and filters."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import weakref
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import Any

import pytest

from atlas_lab import Event, EventBus, EventType, PublishDepthError, safe_subscribe

from .making import MakesBuses

A = EventType.AGENT_STARTED
B = EventType.AGENT_TASK_ASSIGNED
C = EventType.AGENT_STOPPED


class Step(Enum):
    NEXT = "next"


class Collector:
    """An object whose method is a handler."""

    def __init__(self, got: list[Any]) -> None:
        self.got = got

    def handle(self, event: Event[Any]) -> None:
        self.got.append(event.data)


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


class HandlersContract(MakesBuses):
    # 11. How handlers are held

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

    # 12. Subscriptions

    def test_12_calling_it_unsubscribes(self):
        """The first call ends the subscription and returns True, every later one returns False."""
        bus, got = self.make_bus(), []
        subscription = bus.subscribe(A, got.append)
        assert [subscription(), subscription(), subscription.unsubscribe()] == [True, False, False]
        bus.publish(A)
        assert got == []

    @pytest.mark.parametrize("ended_by", ["once", "name", "close", "death", "with"])
    def test_12_unsubscribing_is_never_an_error(self, ended_by):
        """However a subscription ended, calling it is no error and returns False, and it is not active."""
        bus, owner = self.make_bus(), Collector([])
        subscription = bus.subscribe(A, owner.handle, once=ended_by == "once", name="the one")
        if ended_by == "once":
            bus.publish(A)
        elif ended_by == "name":
            bus.subscribe(B, print, name="the one")
        elif ended_by == "close":
            bus.close()
        elif ended_by == "death":
            del owner
            gc.collect()
            bus.publish(A)
        else:
            with subscription:
                pass
        assert not subscription.active
        assert [subscription(), subscription()] == [False, False]

    def test_12_it_is_a_context_manager(self):
        """A with block gets the subscription itself and ends it, also when the block raises."""
        bus, got = self.make_bus(), []
        with bus.subscribe(A, lambda event: got.append(event.data)) as subscription:
            assert subscription.active
            bus.publish(A, 1)
        bus.publish(A, 2)
        with pytest.raises(ZeroDivisionError):
            with bus.subscribe(A, lambda event: got.append(event.data)) as second:
                raise ZeroDivisionError
        bus.publish(A, 3)
        assert got == [1]
        assert (subscription.active, second.active) == (False, False)

    def test_12_leaving_the_block_after_unsubscribing_is_fine(self):
        """A subscription may be ended inside its own with block."""
        bus = self.make_bus()
        with bus.subscribe(A, print) as subscription:
            assert subscription()
        assert not subscription()

    def test_12_active_tells_whether_it_is_subscribed(self):
        """`active` is True from subscribing to unsubscribing, also while paused."""
        subscription = self.make_bus().subscribe(A, print)
        assert subscription.active
        subscription.pause()
        assert subscription.active
        subscription()
        assert not subscription.active

    def test_12_it_knows_its_handler_by_name(self):
        """handler_name is the name given, or the qualified name of what was subscribed or wrapped."""
        bus, owner = self.make_bus(), Collector([])
        here = "HandlersContract.test_12_it_knows_its_handler_by_name.<locals>"
        for handler, expected in [
            (note, "note"),
            (owner.handle, "Collector.handle"),
            (lambda event: None, f"{here}.<lambda>"),
            (functools.partial(note, []), "note"),
            (functools.partial(functools.partial(note), []), "note"),
            (CallableObject([]), "CallableObject"),
            (print, "print"),
        ]:
            assert bus.subscribe(A, handler).handler_name == expected
            assert bus.subscribe(A, handler, name="given").handler_name == "given"

    def test_12_it_knows_where_the_handler_was_defined(self):
        """defined_at is the file and line of the definition, also through partials and methods, or "" for built-ins."""
        bus, owner = self.make_bus(), Collector([])
        line = inspect.getsourcelines(note)[1]
        assert bus.subscribe(A, note).defined_at == f"{note.__code__.co_filename}:{line}"
        assert bus.subscribe(A, functools.partial(note, [])).defined_at == f"{note.__code__.co_filename}:{line}"
        method_line = inspect.getsourcelines(Collector.handle)[1]
        assert bus.subscribe(A, owner.handle).defined_at.endswith(f":{method_line}")
        assert bus.subscribe(A, print).defined_at == ""

    def test_12_it_knows_where_the_handler_was_defined_after_it_ended(self):
        """Name and place of the definition stay when the handler is gone."""
        bus = self.make_bus()
        subscription = bus.subscribe(A, note)
        before = (subscription.handler_name, subscription.defined_at)
        subscription()
        assert (subscription.handler_name, subscription.defined_at) == before

    def test_12_calls_counts_the_calls(self):
        """`calls` goes up by one for each event that reaches the handler, whatever else is subscribed."""
        bus = self.make_bus()
        subscriptions = [bus.subscribe(event_type, note_nothing) for event_type in (A, None, [A, B], B, A)]
        assert [one.calls for one in subscriptions] == [0, 0, 0, 0, 0]
        for event_type in (A, B, A, Step.NEXT):
            bus.publish(event_type)
        assert [one.calls for one in subscriptions] == [2, 4, 3, 1, 2]
        assert bus.stats().calls == 12

    @pytest.mark.parametrize("awaited", [False, True], ids=["publish", "publish_async"])
    @pytest.mark.parametrize(
        "options",
        [
            {"where": lambda event: event.data % 2},
            {"source": "me"},
            {"data_type": int},
            {"once": True},
            {"once": True, "where": lambda event: event.data == 3},
            {"where": lambda event: event.data % 2, "source": "me", "data_type": int, "once": True},
            {"where": lambda event: 1 / (event.data - 2)},
        ],
        ids=["where", "source", "data_type", "once", "once where", "all", "where that fails"],
    )
    def test_12_calls_leaves_out_what_a_filter_kept_away(self, options, awaited):
        """Only events that reached the handler count, whatever filter kept the others away."""
        bus, reached = self.make_bus(), []
        subscription = bus.subscribe(A, reached.append, **options)
        for data in (1, 2, 3, 4, 5):
            for source in ("me", "you"):
                if awaited:
                    asyncio.run(bus.publish_async(A, data, source))
                else:
                    bus.publish(A, data, source)
        bus.publish(A, 7.5, "me")
        assert reached
        assert len(reached) < 11
        assert subscription.calls == len(reached)
        assert bus.stats().calls == len(reached)

    def test_12_calls_leaves_out_pauses_and_ends(self):
        """What came while the handler was paused, or after it was ended in the midst of a dispatch, does not count."""
        bus, reached = self.make_bus(), []
        early = bus.subscribe(A, lambda event: late() if event.data == "end" else None, priority=1)
        late = bus.subscribe(A, lambda event: reached.append(event.data))
        bus.publish(A, 1)
        late.pause()
        bus.publish(A, 2)
        late.resume()
        bus.publish(A, 3)
        bus.publish(A, "end")
        bus.publish(A, 5)
        assert reached == [1, 3]
        assert (early.calls, late.calls) == (5, 2)

    @pytest.mark.parametrize("nested", ["immediate", "queued"])
    def test_12_calls_is_right_when_a_dispatch_is_broken_off(self, nested):
        """Handlers that an interrupt or a depth error kept from being called are not counted."""
        bus, reached = self.make_bus(nested=nested, max_depth=3), {"first": 0, "second": 0, "third": 0}

        def count(name: str, event: Event[Any]) -> None:
            reached[name] += 1
            if name == "second":
                if event.data == "interrupt":
                    bus.publish(A, "queued or not")
                    raise KeyboardInterrupt
                if event.data == "deep":
                    bus.publish(A, "deep")

        subscriptions = {name: bus.subscribe(A, functools.partial(count, name)) for name in reached}
        for data in ("interrupt", "deep", "plain"):
            with suppress(KeyboardInterrupt, PublishDepthError):
                bus.publish(A, data)
        assert {name: subscription.calls for name, subscription in subscriptions.items()} == reached

    def test_12_calls_counts_an_event_from_the_moment_it_is_accepted(self):
        """An event under way, or held by a pause, counts for all handlers that it is on its way to."""
        bus, seen = self.make_bus(), []
        bus.subscribe(A, lambda event: seen.append(later.calls))
        later = bus.subscribe(A, lambda event: seen.append(later.calls))
        bus.publish(A)
        assert seen == [1, 1]
        with bus.paused():
            bus.publish(A)
            assert later.calls == 2
        assert later.calls == 2

    def test_12_calls_include_those_that_failed(self):
        """A call that raised is a call, and counted in errors too; last_error tells type and message of the latest."""
        bus = self.make_bus()

        def fail(event: Event[Any]) -> None:
            if event.data:
                raise event.data

        subscription = bus.subscribe(A, fail)
        assert (subscription.errors, subscription.last_error) == (0, None)
        for data in (None, KeyError("first"), None, ValueError("second"), None):
            bus.publish(A, data)
        assert (subscription.calls, subscription.errors) == (5, 2)
        assert "ValueError" in subscription.last_error
        assert "second" in subscription.last_error

    def test_12_the_last_error_keeps_nothing_alive(self, caplog):
        """The subscription remembers the error as text, not the exception with its frames."""
        caplog.set_level("CRITICAL", "atlas_lab")  # pytest would keep what is logged
        bus, gone = self.make_bus(), []

        def fail(event: Event[Any]) -> None:
            local = Collector([])
            gone.append(weakref.ref(local))
            raise RuntimeError("with a traceback")

        bus.subscribe(A, fail)
        bus.publish(A)
        bus.history.clear()
        gc.collect()
        assert gone[0]() is None

    def test_12_pause_lets_events_pass_by(self):
        """A paused handler misses what comes and gets what comes after resume; twice is the same as once."""
        bus, got = self.make_bus(), []
        subscription = bus.subscribe(A, lambda event: got.append(event.data))
        for data, action in [(1, "pause"), (2, "pause"), (3, "resume"), (4, "resume"), (5, None)]:
            bus.publish(A, data)
            if action:
                getattr(subscription, action)()
        assert got == [1, 4, 5]

    def test_12_pausing_leaves_other_subscriptions_alone(self):
        """Pausing one of two subscriptions of a handler pauses that one."""
        bus, got = self.make_bus(), []
        handler = make_function(got)
        first = bus.subscribe(A, handler)
        bus.subscribe(A, handler)
        first.pause()
        bus.publish(A, 1)
        assert got == [1]

    def test_12_resuming_what_has_ended_does_not_bring_it_back(self):
        """`pause` and resume on an ended subscription are no errors and change nothing."""
        bus, got = self.make_bus(), []
        subscription = bus.subscribe(A, got.append)
        subscription.pause()
        subscription()
        subscription.resume()
        subscription.pause()
        bus.publish(A)
        assert got == []
        assert not subscription.active

    # 13. Subscribing again

    @pytest.mark.parametrize(
        "subscribe",
        [lambda bus, handler: bus.subscribe(A, handler), lambda bus, handler: bus.on(A)(handler)],
        ids=["subscribe", "on"],
    )
    @pytest.mark.parametrize("kind", ["function", "method", "callable object", "partial"])
    def test_13_subscribing_one_handler_twice_is_two_subscriptions(self, kind, subscribe):
        """One handler that is subscribed twice is called twice, and each subscription ends by itself."""
        bus, got = self.make_bus(), []
        owner = Collector(got)
        handler = owner.handle if kind == "method" else STRONG[kind](got)
        subscribe(bus, handler)
        subscribe(bus, handler)
        bus.publish(A, 1)
        assert got == [1, 1]
        first, second = bus.subscriptions()
        assert first is not second
        assert first()
        bus.publish(A, 2)
        assert got == [1, 1, 2]
        assert second.active

    def test_13_on_returns_the_function(self):
        """The decorator leaves the function as it is."""
        bus = self.make_bus()

        def handler(event: Event[Any]) -> int:
            return 7

        assert bus.on(A)(handler) is handler

    def test_13_running_a_cell_again_replaces_its_handlers(self):
        """After any number of runs of a cell, each handler it defines is subscribed once, in its newest version."""
        bus, got = self.make_bus(), []
        notebook = Notebook(bus, got)
        cell = "@bus.on(A)\ndef first(event): got.append(({version}, 'first'))\n"
        cell += "@bus.on([A, B], priority=1)\ndef second(event): got.append(({version}, 'second'))\n"
        cell += "@bus.on(None, where=lambda event: True)\nasync def third(event): got.append(({version}, 'third'))\n"

        async def main() -> None:
            for version in (1, 2, 3):
                notebook.run(cell.format(version=version))
            await bus.publish_async(A)

        asyncio.run(main())
        assert got == [(3, "second"), (3, "first"), (3, "third")]
        assert len(bus.subscriptions()) == 3

    def test_13_an_unchanged_cell_can_run_again(self):
        """Running the very same source again replaces as well."""
        bus, got = self.make_bus(), []
        notebook = Notebook(bus, got)
        for _ in range(3):
            notebook.run("@bus.on(A)\ndef handler(event): got.append(event.data)")
        bus.publish(A, 1)
        assert got == [1]

    def test_13_a_changed_cell_gives_up_the_old_type(self):
        """A handler whose cell is edited to listen to another type no longer gets the old one."""
        bus, got = self.make_bus(), []
        notebook = Notebook(bus, got)
        for event_type in "AB":
            notebook.run(f"@bus.on({event_type})\ndef handler(event): got.append(event.type)")
        bus.publish(A)
        bus.publish(B)
        assert got == [B]

    def test_13_the_replaced_subscription_has_ended(self):
        """The subscription of the older version is not active, and the new one starts to count from zero."""
        bus = self.make_bus()
        notebook = Notebook(bus, [])
        notebook.run("@bus.on(A)\ndef handler(event): got.append(event.data)")
        (old,) = bus.subscriptions()
        bus.publish(A)
        notebook.run("@bus.on(A)\ndef handler(event): got.append(event.data)")
        (new,) = bus.subscriptions()
        assert (old.active, old.calls, new.active, new.calls) == (False, 1, True, 0)

    def test_13_a_cell_leaves_other_handlers_alone(self):
        """Handlers of another name, of another module, or subscribed by call stay when a cell runs again."""
        bus, got = self.make_bus(), []
        bus.subscribe(A, lambda event: got.append("by call"))
        Notebook(bus, got, module="elsewhere").run("@bus.on(A)\ndef handler(event): got.append('elsewhere')")
        notebook = Notebook(bus, got)
        notebook.run("@bus.on(A)\ndef other(event): got.append('other')")
        for _ in range(2):
            notebook.run("@bus.on(A)\ndef handler(event): got.append('handler')")
        bus.publish(A)
        assert got == ["by call", "elsewhere", "other", "handler"]

    def test_13_two_buses_do_not_share_handlers(self):
        """The same cell run for another bus subscribes there and leaves the first bus alone."""
        got: list[Any] = []
        buses = [self.make_bus(), self.make_bus()]
        for bus in buses:
            Notebook(bus, got).run("@bus.on(A)\ndef handler(event): got.append(event.data)")
        for number, bus in enumerate(buses):
            bus.publish(A, number)
        assert got == [0, 1]

    def test_13_functions_defined_in_a_loop_for_several_types_all_stay(self):
        """A loop that defines one handler per type keeps them all, and running it again does not double them."""
        bus, got = self.make_bus(), []
        notebook = Notebook(bus, got)
        for _ in range(3):
            notebook.run(
                "for event_type in (A, B, Step.NEXT):\n"
                "    @bus.on(event_type)\n"
                "    def handler(event, expected=event_type): got.append(event.type is expected)\n"
            )
        for event_type in (A, B, Step.NEXT):
            bus.publish(event_type)
        assert got == [True, True, True]
        assert len(bus.subscriptions()) == 3

    def test_13_names_keep_functions_of_a_loop_apart(self):
        """A loop that defines several handlers for one type keeps them by name=, and can run again."""
        bus, got = self.make_bus(), []
        notebook = Notebook(bus, got)
        for _ in range(3):
            notebook.run(
                "for number in range(3):\n"
                "    @bus.on(A, name=f'number {number}')\n"
                "    def handler(event, number=number): got.append(number)\n"
            )
        bus.publish(A)
        assert got == [0, 1, 2]

    def test_13_stacked_decorators_are_several_subscriptions(self):
        """One function decorated for several types, or twice for one, has all these subscriptions after every run."""
        bus, got = self.make_bus(), []
        notebook = Notebook(bus, got)
        for _ in range(3):
            notebook.run(
                "@bus.on(A)\n@bus.on(B, priority=2)\n@bus.on(A, where=lambda event: True)\n"
                "def handler(event): got.append(event.type)\n"
            )
        bus.publish(A)
        bus.publish(B)
        assert got == [A, A, B]
        assert len(bus.subscriptions()) == 3

    @pytest.mark.parametrize("new_type", ["A", "B"])
    def test_13_a_decorated_function_is_replaced_too(self, new_type):
        """A handler under a decorator of another cell is known by its own name, and replaced when its cell runs again."""
        bus, got = self.make_bus(), []
        notebook = Notebook(bus, got)
        notebook.run(
            "import functools\n"
            "def traced(function):\n"
            "    @functools.wraps(function)\n"
            "    def wrapper(event): return function(event)\n"
            "    return wrapper\n"
        )
        cell = "@bus.on({type})\n@traced\ndef {name}(event): got.append(({version}, '{name}'))\n"
        notebook.run(cell.format(type="A", name="other", version=0))
        notebook.run(cell.format(type="A", name="handler", version=1))
        notebook.run(cell.format(type=new_type, name="handler", version=2))
        bus.publish(A)
        bus.publish(B)
        assert got == [(0, "other"), (2, "handler")]

    def test_13_an_enum_and_its_handler_in_one_cell_can_run_again(self):
        """A cell that defines a type and its handler leaves one handler, that hears the type."""
        bus, got = self.make_bus(), []
        notebook = Notebook(bus, got)
        for _ in range(3):
            notebook.run(
                "class Shop(Enum):\n    OPENED = 1\n@bus.on(Shop.OPENED)\ndef handler(event): got.append(event.data)\n"
            )
        notebook.run("bus.publish(Shop.OPENED, 1)")
        assert got == [1]

    def test_13_a_set_up_function_can_be_called_again(self):
        """A function that defines a type and its handler can be called again: the type is the same, so is the handler."""
        bus, got = self.make_bus(), []

        def set_up() -> Any:
            class Shop(Enum):
                OPENED = 1

            @bus.on(Shop.OPENED)
            def handler(event: Event[Any]) -> None:
                got.append(event.data)

            return Shop

        set_up()
        bus.publish(set_up().OPENED, 1)
        assert got == [1]

    @pytest.mark.parametrize("first", ["subscribe", "on"])
    @pytest.mark.parametrize("second", ["subscribe", "on"])
    def test_13_a_name_replaces_by_hand(self, first, second):
        """A subscription with a name replaces the one that had it, also of another function, type or way."""
        bus, got = self.make_bus(), []

        def subscribe(way: str, event_type: Any, label: str) -> None:
            def handler(event: Event[Any]) -> None:
                got.append(label)

            if way == "on":
                bus.on(event_type, name="the one")(handler)
            else:
                bus.subscribe(event_type, handler, name="the one")

        subscribe(first, A, "old")
        bus.subscribe(A, lambda event: got.append("bystander"), name="another")
        subscribe(second, [A, B], "new")
        bus.publish(A)
        bus.publish(B)
        assert got == ["bystander", "new", "new"]

    def test_13_a_name_is_free_again_after_unsubscribing(self):
        """A name that is no longer in use replaces nobody."""
        bus, got = self.make_bus(), []
        bus.subscribe(A, lambda event: got.append("old"), name="the one")()
        other = bus.subscribe(A, lambda event: got.append("new"), name="the one")
        bus.publish(A)
        assert got == ["new"]
        assert other.active

    # 14. Which events reach a handler

    @pytest.mark.parametrize(
        "wanted, heard",
        [
            (A, [A]),
            ([A, B], [A, B]),
            ((B, A, B), [A, B]),
            ({A, Step.NEXT}, [A, Step.NEXT]),
            (frozenset([C]), [C]),
            (None, [A, B, C, Step.NEXT]),
        ],
        ids=["one", "list", "tuple with repeats", "set", "frozenset", "all"],
    )
    @pytest.mark.parametrize("way", ["subscribe", "on", "safe_subscribe"])
    def test_14_event_types(self, wanted, heard, way):
        """A handler gets the events of its type, of each of its types once, or of all types."""
        bus, got = self.make_bus(), []

        def handler(event: Event[Any]) -> None:
            got.append(event.type)

        if way == "subscribe":
            bus.subscribe(wanted, handler)
        elif way == "on":
            bus.on(wanted)(handler)
        else:
            safe_subscribe(bus, wanted, handler)
        for event_type in (A, B, C, Step.NEXT):
            bus.publish(event_type)
        assert got == heard

    def test_14_types_can_come_from_a_generator(self):
        """Any iterable of types will do, also one that can be read once only."""
        bus, got = self.make_bus(), []
        bus.subscribe((one for one in (A, B)), lambda event: got.append(event.type))
        for event_type in (A, B, C, A):
            bus.publish(event_type)
        assert got == [A, B, A]

    def test_14_all_types_include_error_reports(self):
        """None also stands for HANDLER_ERROR."""
        bus, got = self.make_bus(), []
        bus.subscribe(A, lambda event: 1 / 0)
        bus.subscribe(None, lambda event: got.append(event.type))
        bus.publish(A)
        assert got == [EventType.HANDLER_ERROR, A]

    def test_14_one_end_ends_all_types(self):
        """Unsubscribing a subscription to several types ends it for each of them."""
        bus, got = self.make_bus(), []
        subscription = bus.subscribe([A, B, Step.NEXT], got.append)
        subscription()
        for event_type in (A, B, Step.NEXT):
            bus.publish(event_type)
        assert got == []

    def test_14_where_decides(self):
        """Only events for which where returns something true reach the handler; it sees the event itself."""
        bus, got, asked = self.make_bus(), [], []

        def where(event: Event[Any]) -> object:
            asked.append(event)
            return event.data

        bus.subscribe(A, lambda event: got.append(event.data), where=where)
        for data in (0, 1, "", "x", None, [], [0]):
            bus.publish(A, data)
        assert got == [1, "x", [0]]
        assert asked == list(bus.history)

    def test_14_where_is_not_asked_about_other_types(self):
        """`where` sees only events of the subscribed types."""
        bus, asked = self.make_bus(), []
        bus.subscribe(A, print, where=lambda event: asked.append(event.type))
        bus.publish(B)
        bus.publish(A)
        assert asked == [A]

    def test_14_a_failing_where_is_a_handler_error(self):
        """An error in where keeps the event from that handler, is reported as its error, and stops nobody else."""
        bus, got = self.make_bus(), []
        subscription = bus.subscribe(A, lambda event: got.append("never"), where=lambda event: 1 / 0)
        bus.subscribe(A, lambda event: got.append("other"))
        bus.publish(A)
        assert got == ["other"]
        assert subscription.errors == 1
        assert bus.history[-1].data["error_type"] == "ZeroDivisionError"

    def test_14_source_filters(self):
        """Only events of that very source reach the handler, and none without a source."""
        bus, got = self.make_bus(), []
        bus.subscribe(A, lambda event: got.append(event.source), source="agent-1")
        for source in ("agent-1", "agent-2", None, "agent", "AGENT-1", "agent-1"):
            bus.publish(A, source=source)
        assert got == ["agent-1", "agent-1"]

    def test_14_source_is_what_middleware_made_of_it(self):
        """Filters see the event as middleware left it."""
        bus, got = self.make_bus(), []
        bus.add_middleware(lambda event: event.replace(source="changed", data=event.data + 1))
        bus.subscribe(A, lambda event: got.append(event.data), source="changed", where=lambda event: event.data == 2)
        bus.publish(A, 1, "original")
        assert got == [2]

    def test_14_filters_combine(self):
        """Type, source, where and once all have to agree; once is used up by the first event that meets all."""
        bus, got = self.make_bus(), []
        options = {"source": "me", "where": lambda event: event.data > 2, "once": True}
        subscription = bus.subscribe([A, B], lambda event: got.append((event.type, event.data)), **options)
        for event_type, data, source in [(C, 5, "me"), (A, 5, "you"), (A, 1, "me"), (B, 4, "me"), (A, 5, "me")]:
            bus.publish(event_type, data, source)
        assert got == [(B, 4)]
        assert (subscription.calls, subscription.active) == (1, False)

    def test_14_on_takes_the_same_filters(self):
        """The decorator filters by type, source and condition as subscribe does."""
        bus, got = self.make_bus(), []

        @bus.on([A, B], source="me", where=lambda event: event.data, priority=1, once=True)
        def handler(event: Event[Any]) -> None:
            got.append((event.type, event.data))

        for event_type, data, source in [(A, 0, "me"), (A, 1, "you"), (B, 2, "me"), (A, 3, "me")]:
            bus.publish(event_type, data, source)
        assert got == [(B, 2)]


def note_nothing(event: Event[Any]) -> None: ...


class Notebook:
    """Runs cells as a notebook does: one namespace, each run compiled anew."""

    def __init__(self, bus: EventBus, got: list[Any], module: str = "__main__") -> None:
        self.names = {"__name__": module, "bus": bus, "got": got, "A": A, "B": B, "Step": Step, "Enum": Enum}

    def run(self, cell: str) -> None:
        exec(compile(cell, "<cell>", "exec"), self.names)
