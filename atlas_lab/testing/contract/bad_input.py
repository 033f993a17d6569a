"""Promise 27: wrong arguments, closed buses, copies, forks and interrupts."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import functools
import pickle
import sys
import threading
from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest

from atlas_lab import (
    BusClosedError,
    Event,
    EventBus,
    EventType,
    new_event_id,
    safe_subscribe,
)

from .alarms import Alarm
from .forking import forking, in_child, run_in_child
from .making import MakesBuses
from .workers import PATIENCE, in_thread, in_threads, many_switches, meanwhile, no_finalizers

STARTED = EventType.AGENT_STARTED
STOPPED = EventType.AGENT_STOPPED


class Order(Enum):
    PLACED = "placed"
    PAID = "paid"


def ignore(event: Event[Any]) -> None:
    pass


async def later(event: Event[Any]) -> bool:
    return True


def pass_on(event: Event[Any]) -> Event[Any]:
    return event


async def awaited(call: Callable[[], Any]) -> Any:
    """Call where a loop runs, and await what comes back."""
    return await call()


def calls(*cases: tuple[str, Callable[[EventBus], object], str, str]) -> Any:
    """Parametrize by calls on a bus, each with the argument that is wrong and what came for it."""
    return pytest.mark.parametrize(
        "call, argument, came", [case[1:] for case in cases], ids=[case[0] for case in cases]
    )


class BadInputContract(MakesBuses):
    # -- 27: wrong arguments

    @pytest.mark.parametrize(
        "options, argument, came",
        [
            ({"history_limit": "10"}, "history_limit", "str '10'"),
            ({"history_limit": 2.5}, "history_limit", "float 2.5"),
            ({"history_limit": True}, "history_limit", "bool True"),
            ({"history_limit": -1}, "history_limit", "-1"),
            ({"name": 5}, "name", "int 5"),
            ({"on_error": "ignore"}, "on_error", "'ignore'"),
            ({"on_error": None}, "on_error", "None"),
            ({"on_error": []}, "on_error", "[]"),
            ({"nested": "later"}, "nested", "'later'"),
            ({"clock": 5}, "clock", "5"),
            ({"clock": None}, "clock", "None"),
            ({"max_depth": 0}, "max_depth", "0"),
            ({"max_depth": "5"}, "max_depth", "str '5'"),
            ({"max_depth": True}, "max_depth", "bool True"),
            ({"new_id": "x"}, "new_id", "'x'"),
        ],
        ids=repr,
    )
    def test_27_wrong_options_of_a_bus(self, options, argument, came):
        """The constructor names the option, what came and what is expected."""
        with pytest.raises((TypeError, ValueError), match=f"{argument} must be ") as caught:
            self.make_root(**options)
        assert came in str(caught.value)

    @pytest.mark.parametrize(
        "options, argument, came",
        [
            ({"parent": None}, "parent", "NoneType"),
            ({"parent": "run"}, "parent", "str 'run'"),
            ({"scope_name": 5}, "scope_name", "int 5"),
            ({"scope_name": ""}, "scope_name", "''"),
            ({"scope_name": "a/b"}, "scope_name", "'a/b'"),
            ({"propagate": "no"}, "propagate", "'no'"),
            ({"history_limit": "10"}, "history_limit", "str '10'"),
            ({"on_error": "ignore"}, "on_error", "'ignore'"),
            ({"nested": "later"}, "nested", "'later'"),
            ({"clock": 5}, "clock", "5"),
            ({"max_depth": 0}, "max_depth", "0"),
        ],
        ids=repr,
    )
    def test_27_wrong_options_of_a_scope(self, options, argument, came):
        """A scope names the option too, and its parent does not list it afterwards."""
        bus = self.make_bus()
        with pytest.raises((TypeError, ValueError), match=f"{argument} must be ") as caught:
            self.make_scope(**{"parent": bus, "scope_name": "agent", **options})
        assert came in str(caught.value)
        assert bus.scopes == []

    @calls(
        ("publish a str", lambda bus: bus.publish("agent.started"), "event_type", "str 'agent.started'"),
        ("publish an Enum", lambda bus: bus.publish(Order), "event_type", "Order"),
        ("publish an Event", lambda bus: bus.publish(Event(STARTED)), "event_type", "Event"),
        ("publish None", lambda bus: bus.publish(None), "event_type", "NoneType"),
        ("publish source", lambda bus: bus.publish(STARTED, source=5), "source", "int 5"),
        ("publish metadata", lambda bus: bus.publish(STARTED, metadata=[1]), "metadata", "list [1]"),
        ("emit a type", lambda bus: bus.emit(STARTED), "event", "EventType"),
        ("emit a dict", lambda bus: bus.emit({"type": STARTED}), "event", "dict"),
        ("publish_async", lambda bus: asyncio.run(bus.publish_async("x")), "event_type", "str 'x'"),
        ("publish_async source", lambda bus: asyncio.run(bus.publish_async(STARTED, source=5)), "source", "int 5"),
        ("publish_async metadata", lambda bus: asyncio.run(bus.publish_async(STARTED, metadata=5)), "metadata", "int"),
    )
    def test_27_wrong_arguments_of_publishing(self, call, argument, came):
        """The message names the argument and what came, and nothing was stored or delivered."""
        bus = self.make_bus()
        seen: list[Event[Any]] = []
        bus.subscribe(None, seen.append)
        with pytest.raises(TypeError, match=rf"\b{argument} must be ") as caught:
            call(bus)
        assert came in str(caught.value)
        assert seen == [] and len(bus.history) == 0

    @calls(
        ("type", lambda bus: bus.subscribe("agent.started", ignore), "event_type", "str 'agent.started'"),
        ("one of types", lambda bus: bus.subscribe([STARTED, 5], ignore), "event_type", "int 5"),
        ("an Enum", lambda bus: bus.subscribe(Order, ignore), "event_type", "Order"),
        ("swapped", lambda bus: bus.subscribe(ignore, STARTED), "handler", "EventType"),
        ("handler", lambda bus: bus.subscribe(STARTED, "print"), "handler", "str 'print'"),
        ("no handler", lambda bus: bus.subscribe(STARTED, None), "handler", "NoneType"),
        ("weak", lambda bus: bus.subscribe(STARTED, ignore, weak="yes"), "weak", "str 'yes'"),
        ("priority", lambda bus: bus.subscribe(STARTED, ignore, priority=1.5), "priority", "float 1.5"),
        ("priority None", lambda bus: bus.subscribe(STARTED, ignore, priority=None), "priority", "None"),
        ("once", lambda bus: bus.subscribe(STARTED, ignore, once="no"), "once", "str 'no'"),
        ("where", lambda bus: bus.subscribe(STARTED, ignore, where="x > 1"), "where", "str 'x > 1'"),
        ("async where", lambda bus: bus.subscribe(STARTED, ignore, where=later), "where", "async function later"),
        ("source", lambda bus: bus.subscribe(STARTED, ignore, source=["a"]), "source", "list"),
        ("data_type", lambda bus: bus.subscribe(STARTED, ignore, data_type=5), "data_type", "int 5"),
        ("name", lambda bus: bus.subscribe(STARTED, ignore, name=5), "name", "int 5"),
        ("on type", lambda bus: bus.on("agent.started")(ignore), "event_type", "str 'agent.started'"),
        ("on without brackets", lambda bus: bus.on(ignore), "event_type", "function"),
        ("on handler", lambda bus: bus.on(STARTED)("print"), "handler", "str 'print'"),
        ("on source", lambda bus: bus.on(STARTED, source=5)(ignore), "source", "int 5"),
        ("on name", lambda bus: bus.on(STARTED, name=5)(ignore), "name", "int 5"),
        ("safe handler", lambda bus: safe_subscribe(bus, STARTED, 5), "handler", "int 5"),
        ("safe type", lambda bus: safe_subscribe(bus, "x", ignore), "event_type", "str 'x'"),
        ("safe bus", lambda bus: safe_subscribe("bus", STARTED, ignore), "bus", "str 'bus'"),
    )
    def test_27_wrong_arguments_of_subscribing(self, call, argument, came):
        """The message names the argument and what came, and nobody was subscribed."""
        bus = self.make_bus()
        with pytest.raises(TypeError, match=rf"\b{argument} must be ") as caught:
            call(bus)
        assert came in str(caught.value)
        assert bus.subscriptions() == []

    @pytest.mark.parametrize("way", ["subscribe", "wait_for", "stream"])
    def test_27_no_event_type_at_all_is_an_error(self, way):
        """An empty list would listen to nothing; the message says to name one or pass None."""

        async def main() -> None:
            bus = self.make_bus()
            listen = functools.partial(bus.subscribe, handler=ignore) if way == "subscribe" else getattr(bus, way)
            with pytest.raises(ValueError, match=r"event_type is empty.*None"):
                listen([])
            assert bus.subscriptions() == []

        asyncio.run(main())

    @calls(
        ("wait_for type", lambda bus: bus.wait_for("STARTED"), "event_type", "str 'STARTED'"),
        ("wait_for number", lambda bus: bus.wait_for(5), "event_type", "int 5"),
        ("wait_for timeout", lambda bus: bus.wait_for(STARTED, timeout="5"), "timeout", "str '5'"),
        ("wait_for where", lambda bus: bus.wait_for(STARTED, where=5), "where", "int 5"),
        ("wait_for source", lambda bus: bus.wait_for(STARTED, source=5), "source", "int 5"),
        ("stream type", lambda bus: bus.stream("STARTED"), "event_type", "str 'STARTED'"),
        ("stream limit", lambda bus: bus.stream(STARTED, limit="5"), "limit", "str '5'"),
        ("stream half", lambda bus: bus.stream(STARTED, limit=2.5), "limit", "float 2.5"),
        ("stream none", lambda bus: bus.stream(STARTED, limit=0), "limit", "0"),
        ("stream where", lambda bus: bus.stream(STARTED, where=5), "where", "int 5"),
        ("stream source", lambda bus: bus.stream(STARTED, source=5), "source", "int 5"),
        ("stream data_type", lambda bus: bus.stream(STARTED, data_type=5), "data_type", "int 5"),
    )
    def test_27_wrong_arguments_of_waiting(self, call, argument, came):
        """The message names the argument and what came, at the call and not when awaited; nothing listens."""

        async def main() -> None:
            bus = self.make_bus()
            with pytest.raises((TypeError, ValueError), match=rf"\b{argument} must be ") as caught:
                call(bus)
            assert came in str(caught.value)
            assert bus.subscriptions() == []

        asyncio.run(main())

    @calls(
        ("function", lambda bus: bus.add_middleware("drop"), "middleware", "str 'drop'"),
        ("nothing", lambda bus: bus.add_middleware(None), "middleware", "NoneType"),
        ("name", lambda bus: bus.add_middleware(pass_on, name=5), "name", "int 5"),
        ("before", lambda bus: bus.add_middleware(pass_on, before=5), "before", "5"),
        ("before a function", lambda bus: bus.add_middleware(pass_on, before=pass_on), "before", "pass_on"),
    )
    def test_27_wrong_arguments_of_add_middleware(self, call, argument, came):
        """The message names the argument and what came, and no entry was added."""
        bus = self.make_bus()
        with pytest.raises((TypeError, ValueError), match=rf"\b{argument}\b") as caught:
            call(bus)
        assert came in str(caught.value)
        assert bus.middleware == ()

    @calls(
        ("get_signal", lambda bus: bus.get_signal("x"), "event_type", "str 'x'"),
        ("get_signal None", lambda bus: bus.get_signal(None), "event_type", "NoneType"),
        ("explain", lambda bus: bus.explain("x"), "event_type", "str 'x'"),
        ("explain None", lambda bus: bus.explain(None), "event_type", "NoneType"),
        ("latest text", lambda bus: bus.history.latest("3"), "n", "str '3'"),
        ("latest half", lambda bus: bus.history.latest(2.5), "n", "float 2.5"),
        ("latest None", lambda bus: bus.history.latest(None), "n", "NoneType"),
        ("latest negative", lambda bus: bus.history.latest(-1), "n", "-1"),
        ("select type", lambda bus: bus.history.select("x"), "type", "str 'x'"),
        ("select types", lambda bus: bus.history.select([STARTED, 5]), "type", "int 5"),
        ("select source", lambda bus: bus.history.select(source=5), "source", "int 5"),
        ("select since", lambda bus: bus.history.select(since="noon"), "since", "str 'noon'"),
        ("select until", lambda bus: bus.history.select(until="noon"), "until", "str 'noon'"),
        ("select scope", lambda bus: bus.history.select(scope=5), "scope", "int 5"),
        ("select where", lambda bus: bus.history.select(where="x"), "where", "str 'x'"),
        ("select async", lambda bus: bus.history.select(where=later), "where", "async function later"),
    )
    @pytest.mark.parametrize("events", [0, 1])
    def test_27_wrong_arguments_of_reading(self, call, argument, came, events):
        """What is read is asked for properly, whether or not there is anything to read."""
        bus = self.make_bus()
        for _ in range(events):
            bus.publish(STARTED)
        with pytest.raises((TypeError, ValueError), match=rf"\b{argument} must be ") as caught:
            call(bus)
        assert came in str(caught.value)

    @pytest.mark.parametrize(
        "make", [lambda **fields: Event(**{"type": STARTED, **fields}), Event(STARTED).replace], ids=["made", "changed"]
    )
    @pytest.mark.parametrize(
        "argument, wrong, came",
        [
            ("type", "x", "str 'x'"),
            ("type", Order, "Order"),
            ("metadata", 5, "int 5"),
            ("source", 5, "int 5"),
        ],
        ids=["type", "type Enum", "metadata", "source"],
    )
    def test_27_wrong_fields_of_an_event(self, make, argument, wrong, came):
        """An event checks its fields when it is made and when it is changed."""
        with pytest.raises(TypeError, match=rf"\b{argument} must be ") as caught:
            make(**{argument: wrong})
        assert came in str(caught.value)

    @pytest.mark.parametrize(
        "make", [lambda: Event(STARTED, sauce="x"), lambda: Event(STARTED).replace(sauce="x")], ids=["made", "changed"]
    )
    def test_27_fields_that_an_event_has_not(self, make):
        """A misspelt field is named."""
        with pytest.raises(TypeError, match="sauce"):
            make()

    @pytest.mark.parametrize(
        "call",
        [
            lambda bus: bus.subscribe(STARTED, ignore, prority=1),
            lambda bus: bus.on(STARTED, prority=1)(ignore),
            lambda bus: bus.publish(STARTED, prority=1),
            lambda bus: bus.stream(STARTED, prority=1),
            lambda bus: bus.add_middleware(pass_on, prority=1),
            lambda bus: safe_subscribe(bus, STARTED, ignore, prority=1),
            lambda bus: bus.paused(prority=1),
        ],
        ids=["subscribe", "on", "publish", "stream", "add_middleware", "safe_subscribe", "paused"],
    )
    def test_27_options_that_are_not_there(self, call):
        """A misspelt option is named, and nothing happens."""
        bus = self.make_bus()
        with pytest.raises(TypeError, match="prority"):
            call(bus)
        assert bus.subscriptions() == [] and len(bus.history) == 0

    # -- 27: closed

    @pytest.mark.parametrize(
        "call",
        [
            lambda bus: bus.publish(STARTED),
            lambda bus: bus.publish(STOPPED),
            lambda bus: bus.publish(Order.PLACED),
            lambda bus: bus.publish(Order.PAID),
            lambda bus: bus.emit(Event(STARTED)),
            lambda bus: bus.emit(Event(Order.PLACED)),
            lambda bus: asyncio.run(bus.publish_async(STARTED)),
            lambda bus: asyncio.run(bus.publish_async(Order.PLACED)),
            lambda bus: bus.subscribe(STARTED, ignore),
            lambda bus: bus.subscribe(Order.PLACED, ignore),
            lambda bus: bus.subscribe(None, ignore),
            lambda bus: bus.on(STARTED)(ignore),
            lambda bus: safe_subscribe(bus, STARTED, ignore),
            lambda bus: bus.add_middleware(pass_on),
            lambda bus: bus.get_signal(STARTED),
            lambda bus: bus.get_signal(Order.PLACED),
            lambda bus: asyncio.run(awaited(lambda: bus.wait_for(STARTED))),
            lambda bus: bus.stream(STARTED),
        ],
        ids=[
            "publish", "publish a new type", "publish own type", "publish new own type", "emit", "emit own type",
            "publish_async", "publish_async own type", "subscribe", "subscribe own type", "subscribe to all", "on",
            "safe_subscribe", "add_middleware", "get_signal", "get_signal own type", "wait_for", "stream",
        ],
    )  # fmt: skip
    def test_27_a_closed_bus_takes_nothing_new(self, call):
        """Every method that would change it raises `BusClosedError`, for types it knows and types it does not."""
        bus = self.make_bus()
        bus.publish(STARTED)
        bus.publish(Order.PLACED)
        bus.close()
        with pytest.raises(BusClosedError, match="closed"):
            call(bus)
        assert len(bus.history) == 2 and bus.subscriptions() == []

    def test_27_a_closed_bus_can_still_be_read(self):
        """History, statistics, subscriptions and explanations stay; tokens and entries still answer."""
        bus = self.make_bus()
        token = bus.subscribe(STARTED, ignore)
        entry = bus.add_middleware(pass_on, name="gate")
        bus.publish(STARTED)
        bus.close()
        bus.close()
        assert bus.closed
        assert len(bus.history) == bus.stats().accepted == token.calls == 1
        assert bus.subscriptions() == [] and bus.stats().subscriptions == 0
        assert bus.explain(STARTED).handlers == () and bus.explain(STARTED).middleware == ("gate",)
        assert (token(), token.active, entry()) == (False, False, True)
        assert "closed" in repr(bus)
        with bus.paused():
            pass

    def test_27_a_bus_is_closed_by_its_block_also_when_that_fails(self):
        """As a context manager a bus closes itself however the block ends."""
        with pytest.raises(ZeroDivisionError):
            with self.make_bus() as bus:
                raise ZeroDivisionError
        assert bus.closed

    def test_27_closing_inside_a_handler_ends_the_event_in_flight(self):
        """Handlers after the one that closes the bus are not called, and publishing ends without an error."""
        bus = self.make_bus()
        seen: list[Event[Any]] = []
        bus.subscribe(STARTED, lambda event: bus.close())
        bus.subscribe(STARTED, seen.append)
        event_id = bus.publish(STARTED)
        assert bus.history[-1].id == event_id and seen == []

    # -- 27: copies

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_27_a_bus_refuses_to_be_pickled(self, protocol):
        """The TypeError says what cannot be done and what to send instead."""
        with pytest.raises(TypeError, match=r"cannot be pickled.*history"):
            pickle.dumps(self.make_bus(), protocol)

    @pytest.mark.parametrize("make_copy", [copy.copy, copy.deepcopy])
    def test_27_a_bus_refuses_to_be_copied(self, make_copy):
        """Neither a shallow nor a deep copy is made, also when the bus sits in something else."""
        bus = self.make_bus()
        with pytest.raises(TypeError, match="cannot be .*copied"):
            make_copy(bus)
        with pytest.raises(TypeError, match="cannot be .*copied"):
            copy.deepcopy({"bus": bus})

    # -- 27: forks

    def test_27_after_a_fork_the_childs_bus_works(self):
        """The child has the history so far and publishes, subscribes and delivers; the parent sees nothing of it."""
        bus = self.make_bus()
        seen: list[Any] = []
        bus.subscribe(STARTED, lambda event: seen.append(event.data))
        bus.publish(STARTED, "before")

        def child() -> Any:
            bus.publish(STARTED, "child")
            bus.subscribe(STOPPED, lambda event: seen.append(event.seq))
            bus.publish(STOPPED)
            return seen, [event.data for event in bus.history]

        assert in_child(child) == [["before", "child", 3], ["before", "child", None]]
        bus.publish(STARTED, "after")
        assert [event.data for event in bus.history] == ["before", "after"]

    def test_27_after_a_fork_ids_differ(self):
        """Parent, child and grandchild share no new id, whoever makes it."""
        bus = self.make_bus()
        first = bus.publish(STARTED)

        def ids() -> list[str]:
            return [bus.publish(STARTED), Event(STARTED).id, new_event_id(), self.make_bus().publish(STARTED)]

        children = [in_child(lambda: ids() + in_child(ids)) for _ in range(2)]
        everything = [first, *ids(), *children[0], *children[1]]
        assert len(everything) == len(set(everything)) == 21

    def test_27_a_fork_while_other_threads_publish_leaves_no_lock_held(self):
        """Whatever other threads were at, the child's bus works, and its history is whole."""
        bus = self.make_bus(history_limit=50)
        bus.add_middleware(pass_on)

        def work() -> None:
            bus.publish(STARTED)
            bus.subscribe(STARTED, ignore)()

        def child() -> Any:
            event_id = bus.publish(STOPPED)
            numbers = [event.seq for event in bus.history]
            return (
                bus.history[-1].id == event_id
                and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
                and bus.stats().accepted == numbers[-1]
            )

        with meanwhile(work, 3):
            assert all(in_child(child) for _ in range(15))
        bus.publish(STOPPED)
        assert bus.history[-1].type is STOPPED

    def test_27_a_fork_inside_a_handler(self):
        """The child goes on with the event in flight, and knows the cause of what it publishes."""
        bus = self.make_bus()
        results: list[Any] = []

        def fork(event: Event[Any]) -> None:
            def child() -> Any:
                bus.publish(STOPPED)
                return bus.history[-1].parent_id == event.id

            results.append(in_child(child))

        bus.subscribe(STARTED, fork)
        bus.publish(STARTED)
        assert results == [True]
        bus.publish(STOPPED)
        assert [(event.seq, event.parent_id) for event in bus.history] == [(1, None), (2, None)]

    def test_27_a_fork_while_another_thread_has_the_bus_paused(self):
        """The thread that would end the pause is not in the child, so there the pause is over."""
        bus = self.make_bus()
        seen: list[Any] = []
        bus.subscribe(STARTED, lambda event: seen.append(event.data))
        paused, go_on = threading.Event(), threading.Event()

        def pause() -> None:
            with bus.paused():
                paused.set()
                go_on.wait(PATIENCE)

        thread = threading.Thread(target=pause, daemon=True)
        thread.start()
        try:
            assert paused.wait(PATIENCE)

            def child() -> Any:
                bus.publish(STARTED, "child")
                return seen

            assert in_child(child) == ["child"]
        finally:
            go_on.set()
            thread.join(PATIENCE)

    def test_27_forks_of_several_threads_at_once(self):
        """Threads that fork at the same time leave every bus usable, in parent and children."""
        bus, other = self.make_bus(), self.make_bus()

        def work() -> list[bool]:
            sys.settrace(None)  # a coverage tracer has a lock of its own, which a child would find held for ever
            return [run_in_child(lambda: bool(bus.publish(STARTED))) for _ in range(20)]

        with forking(), many_switches():
            assert in_threads(work, work, work, patience=3 * PATIENCE) == [[True] * 20] * 3
        assert bus.publish(STARTED) and other.publish(STARTED)

    # -- 27: interrupts

    @pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit, GeneratorExit])
    @pytest.mark.parametrize("place", ["handler", "where", "middleware", "nested handler"])
    @pytest.mark.parametrize("nested", ["immediate", "queued"])
    def test_27_an_interrupt_goes_through_and_leaves_the_bus_usable(self, interrupt, place, nested):
        """It is not taken for an error, not reported, and the next event is delivered from the top."""
        bus = self.make_bus(on_error="raise", nested=nested)
        armed = [True]

        def stop(event: Event[Any]) -> Any:
            if armed and event.type is STARTED:
                armed.clear()
                raise interrupt
            return event

        if place == "middleware":
            bus.add_middleware(stop)
        elif place == "where":
            bus.subscribe(STARTED, ignore, where=stop)
        elif place == "nested handler":
            bus.subscribe(STOPPED, lambda event: bus.publish(STARTED))
            bus.subscribe(STARTED, stop)
        else:
            bus.subscribe(STARTED, stop)
        with pytest.raises(interrupt):
            bus.publish(STOPPED if place == "nested handler" else STARTED)
        bus.history.clear()
        seen: list[Event[Any]] = []
        bus.subscribe(STARTED, seen.append)
        in_thread(bus.publish, STARTED)
        bus.publish(STARTED)
        assert [event.parent_id for event in seen] == [None, None]
        assert bus.history.select(EventType.HANDLER_ERROR) == []

    def test_27_interrupts_at_any_point_leave_nothing_behind(self):
        """After each of many interrupts, wherever it struck, an event at top level has no parent and arrives."""
        bus, parents = self.make_bus(history_limit=5), set()
        bus.subscribe(STARTED, ignore)

        def publish_until(alarm: Alarm, number: int) -> None:
            while alarm.raised < number:
                bus.publish(STARTED)

        def interrupt(times: int) -> None:
            with Alarm() as alarm:
                for number in range(1, times + 1):
                    try:
                        alarm.set()
                        # No loop stands in `try` itself: Python 3.13 would leave it at once from a jump backwards.
                        publish_until(alarm, number)
                    except KeyboardInterrupt:
                        bus.publish(STOPPED)
                        parents.add(bus.history[-1].parent_id)
                    else:
                        raise AssertionError("an interrupt was swallowed")

        tracing = sys.gettrace()
        sys.settrace(None)  # coverage would not give back its lock
        try:
            with no_finalizers():
                # A context of its own, so that what is left behind fails this test and no other.
                contextvars.copy_context().run(interrupt, 3000)
        finally:
            sys.settrace(tracing)
        assert parents == {None}
        in_thread(bus.publish, STARTED)
