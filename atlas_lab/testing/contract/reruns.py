"""Promise 13: one handler subscribed twice, and cells that are run again."""

from __future__ import annotations

import asyncio
import functools
from enum import Enum
from typing import Any

import pytest

from atlas_lab import Event, EventBus, EventType

from .kinds import CallableObject, Collector, Step, make_function, note
from .making import MakesBuses

A = EventType.AGENT_STARTED
B = EventType.AGENT_TASK_ASSIGNED


STRONG = {
    "function": make_function,
    "lambda": lambda got: lambda event: got.append(event.data),
    "partial": lambda got: functools.partial(note, got),
    "partial of a method": lambda got: functools.partial(Collector(got).handle),
    "callable object": CallableObject,
}


class Notebook:
    """Runs cells as a notebook does: one namespace, each run compiled anew."""

    def __init__(self, bus: EventBus, got: list[Any], module: str = "__main__") -> None:
        self.names = {"__name__": module, "bus": bus, "got": got, "A": A, "B": B, "Step": Step, "Enum": Enum}

    def run(self, cell: str) -> None:
        exec(compile(cell, "<cell>", "exec"), self.names)


class RerunsContract(MakesBuses):
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
