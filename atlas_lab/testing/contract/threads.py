"""Promises 9 and 10: many threads at once, no lock held while user code runs, and interrupts at any point."""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import functools
import gc
import inspect
import logging
import sys
import threading
from collections import Counter
from collections.abc import Callable
from enum import Enum
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from atlas_lab import Event, EventBus, EventType

from .lacking import give_up
from .making import MakesBuses
from .workers import PATIENCE, Witness, in_thread, in_threads, many_switches, no_finalizers

A = EventType.AGENT_STARTED
B = EventType.AGENT_TASK_ASSIGNED
C = EventType.AGENT_STOPPED

both_modes = pytest.mark.parametrize("nested", ["immediate", "queued"])
SUITE = str(Path(__file__).parent)
PLACES = ("handler", "handler for everything", "middleware", "where", "clock", "async handler")


def note(got: list[Any], mark: Any, event: Event[Any]) -> None:
    got.append(mark)


def put(options: dict[str, Any], make_bus: Callable[..., EventBus], place: str, code: Callable[[], Any]) -> EventBus:
    """Return a bus on which `code` runs, as a user's, at one place of every publish of A."""
    if place == "clock":
        bus = make_bus(clock=lambda: (code(), 1.0)[1], **options)
        bus.subscribe(A, lambda event: None)
        return bus
    bus = make_bus(**options)
    if place == "middleware":
        bus.add_middleware(lambda event: (code() if event.type is A else None, event)[1])
    elif place == "where":
        bus.subscribe(A, lambda event: None, where=lambda event: (code(), True)[1])
    elif place == "handler":
        bus.subscribe(A, lambda event: code())
    elif place == "handler for everything":
        bus.subscribe(None, lambda event: code() if event.type is A else None)
    elif place == "async handler":

        async def handler(event: Event[Any]) -> None:
            code()

        async def subscribe() -> None:
            bus.subscribe(A, handler)

        asyncio.run(subscribe())
    return bus


def publish_at(place: str, bus: EventBus) -> None:
    """Publish A in the way that reaches the code at `place`."""
    if place == "async handler":
        asyncio.run(bus.publish_async(A))
    else:
        bus.publish(A)


def check_usable(bus: EventBus) -> None:
    """Check that this thread and another can publish, subscribe and read, and that a publish has no parent."""

    def use() -> None:
        got: list[Event[Any]] = []
        with bus.subscribe(C, got.append) as subscription:
            event_id = bus.publish(C)
            assert subscription.calls == 1
        entry = bus.add_middleware(lambda event: event)
        assert entry()
        assert [event.id for event in got] == [event_id]
        assert got[0].parent_id is None
        assert event_id in [event.id for event in bus.history]
        assert [event.seq for event in bus.history] == list(range(1, len(bus.history) + 1))
        assert bus.stats().accepted == len(bus.history)

    in_thread(use)
    use()


def use_bus(bus: EventBus, scenario: str) -> None:
    """Do with a fresh bus what an interrupt is to hit."""
    bus.subscribe(A, lambda event: bus.publish(B), once=scenario == "subscribing")
    bus.subscribe(B, lambda event: None, where=lambda event: True)
    if bus.parent_bus is not None:
        bus.parent_bus.subscribe(None, lambda event: None)
    if scenario == "middleware":
        bus.add_middleware(lambda event: event.replace(source="changed"))
        bus.add_middleware(lambda event: event)
    if scenario == "paused":
        with bus.paused():
            bus.publish(A)
    elif scenario == "subscribing":
        with bus.subscribe(None, lambda event: None) as subscription:
            subscription.pause()
            bus.publish(A)
    elif scenario == "async":
        publishing = bus.publish_async(A)
        try:
            publishing.send(None)
        except StopIteration:
            pass
        finally:
            publishing.close()
    else:
        bus.publish(A)


class ThreadsContract(MakesBuses):
    # 9. Many threads

    @both_modes
    @pytest.mark.parametrize("middleware", [False, True], ids=["bare", "middleware"])
    def test_09_nothing_is_lost_or_doubled(self, nested, middleware):
        """Eight threads publish at once: each event is stored, numbered and delivered once, and counted exactly."""
        bus = self.make_bus(nested=nested, history_limit=None)
        if middleware:
            bus.add_middleware(lambda event: event.replace(source="changed") if event.data[1] % 3 else event)
        handlers: list[list[Any]] = [[], [], []]
        subscriptions = [
            bus.subscribe(event_type, lambda event, seen=seen: seen.append(event.data))
            for event_type, seen in zip([A, None, [A, B]], handlers, strict=True)
        ]
        published = [(thread, number) for thread in range(8) for number in range(250)]

        def work(thread: int) -> list[str]:
            return [bus.publish(A, (thread, number)) for number in range(250)]

        with many_switches():
            ids = in_threads(*[lambda thread=thread: work(thread) for thread in range(8)])
        assert sorted(event.data for event in bus.history) == published
        assert sorted(event.id for event in bus.history) == sorted(one for made in ids for one in made)
        for seen, subscription in zip(handlers, subscriptions, strict=True):
            assert sorted(seen) == published
            assert subscription.calls == 2000
        stats = bus.stats()
        assert (stats.accepted, stats.calls, stats.by_type) == (2000, 6000, {"AGENT_STARTED": 2000})

    @both_modes
    def test_09_history_order_is_seq_order(self, nested):
        """However the threads take turns, nested publishes included, history is numbered from 1 in its order."""
        bus = self.make_bus(nested=nested, history_limit=None)
        bus.subscribe(A, lambda event: bus.publish(B))
        with many_switches():
            in_threads(*[lambda: [bus.publish(A) for _ in range(150)]] * 8)
        assert [event.seq for event in bus.history] == list(range(1, 2401))

    @both_modes
    def test_09_each_publisher_is_heard_in_order(self, nested):
        """Every handler sees the events of one thread in the order in which that thread published them."""
        bus = self.make_bus(nested=nested)
        handlers: list[dict[int, list[int]]] = [{n: [] for n in range(8)} for _ in range(3)]
        for priority, seen in zip([1, 0, -1], handlers, strict=True):
            bus.subscribe(A, lambda event, seen=seen: seen[event.data[0]].append(event.data[1]), priority=priority)
        with many_switches():
            in_threads(*[lambda n=n: [bus.publish(A, (n, number)) for number in range(250)] for n in range(8)])
        for seen in handlers:
            assert seen == {n: list(range(250)) for n in range(8)}

    def test_09_queued_chains_stay_with_their_thread(self):
        """Under "queued", what a handler publishes is delivered by the thread that published the event it handled."""
        bus, seen = self.make_bus(nested="queued"), []
        bus.subscribe(A, lambda event: bus.publish(B, threading.get_ident()))
        bus.subscribe(B, lambda event: seen.append((event.data, threading.get_ident())))
        with many_switches():
            in_threads(*[lambda: [bus.publish(A) for _ in range(100)]] * 8)
        assert len(seen) == 800
        assert all(publisher == handler for publisher, handler in seen)

    @both_modes
    def test_09_subscribing_and_unsubscribing_disturb_nobody(self, nested):
        """While threads come and go, whoever is subscribed gets every event once, and whoever left gets none."""
        bus, stay = self.make_bus(nested=nested, history_limit=None), []
        bus.subscribe(A, lambda event: stay.append(event.data))

        def publish(thread: int) -> None:
            for number in range(200):
                bus.publish(A, (thread, number))

        def come_and_go(thread: int) -> None:
            for number in range(100):
                got: list[Any] = []
                subscription = bus.subscribe(A if number % 2 else None, lambda event, got=got: got.append(event.data))
                bus.publish(A, (thread, number, "subscribed"))
                assert subscription()
                count_at_end = len(got)
                bus.publish(A, (thread, number, "gone"))
                # A call that had begun in each of the other threads may still arrive, also between two looks at `got`;
                # none begins after that.
                seen = tuple(got)
                assert Counter(seen)[thread, number, "subscribed"] == 1
                assert (thread, number, "gone") not in seen
                assert len(set(seen)) == len(seen)
                assert len(seen) <= count_at_end + 7

        with many_switches():
            in_threads(
                *[lambda n=n: publish(n) for n in range(4)],
                *[lambda n=n: come_and_go(n) for n in range(4, 8)],
            )
        assert len(stay) == len(set(stay)) == 4 * 200 + 4 * 200
        assert sorted(stay, key=str) == sorted((event.data for event in bus.history), key=str)
        assert len(bus.subscriptions()) == 1

    def test_09_first_subscriptions_are_not_lost(self):
        """Eight threads that subscribe to a fresh bus at once are all heard, whichever came first."""
        with many_switches():
            for _ in range(60):
                bus, got = self.make_bus(), []
                in_threads(*[functools.partial(bus.subscribe, A, functools.partial(note, got, n)) for n in range(8)])
                bus.publish(A)
                assert sorted(got) == list(range(8))

    def test_09_a_type_used_first_by_many_threads_is_one(self):
        """Eight threads that use a user's type for the first time at once share one count and one list of handlers."""
        with many_switches():
            for number in range(40):
                kind = Enum(f"Kind{number}", "MEMBER")
                bus, got = self.make_bus(), []

                def use(bus: EventBus, kind: Any, got: list[Any]) -> None:
                    bus.subscribe(kind.MEMBER, lambda event: got.append(event.data))
                    bus.publish(kind.MEMBER, "first")

                in_threads(*[functools.partial(use, bus, kind, got)] * 8)
                got.clear()
                bus.publish(kind.MEMBER, "last")
                assert got == ["last"] * 8
                assert bus.stats().by_type == {f"Kind{number}.MEMBER": 9}

    def test_09_one_thread_unsubscribes(self):
        """Of threads that unsubscribe one subscription at once, exactly one is told True."""
        bus = self.make_bus()
        with many_switches():
            for _ in range(60):
                subscription = bus.subscribe(A, print)
                assert sorted(in_threads(*[subscription] * 8)) == [False] * 7 + [True]

    def test_09_once_is_once_for_all_threads(self):
        """A once handler runs for exactly one of the events that eight threads publish at once."""
        with many_switches():
            for _ in range(60):
                bus, got = self.make_bus(), []
                subscription = bus.subscribe(A, got.append, once=True)
                in_threads(*[lambda bus=bus: bus.publish(A)] * 8)
                assert (len(got), subscription.calls) == (1, 1)

    # 10. No lock held, and interrupts

    @both_modes
    @pytest.mark.parametrize("place", PLACES)
    def test_10_no_lock_is_held_while_user_code_runs(self, place, nested):
        """While a handler, middleware, condition or clock runs, other threads can do everything with the bus."""
        done: list[str] = []
        busy = threading.local()
        owner = threading.get_ident()

        def code() -> None:
            if threading.get_ident() != owner or done or not getattr(busy, "publishing", False):
                return
            uses = {
                "publish": lambda: bus.publish(A),
                "publish another type": lambda: bus.publish(C),
                "subscribe": lambda: bus.subscribe(A, lambda event: None),
                "unsubscribe": ended,
                "pause": lambda: (ended.pause(), ended.resume()),
                "calls": lambda: ended.calls,
                "add middleware": lambda: bus.add_middleware(lambda event: event),
                "history": lambda: (list(bus.history), bus.history.latest(1), bus.history.dropped),
                "stats": bus.stats,
                "explain": lambda: bus.explain(A),
                "subscriptions": bus.subscriptions,
            }
            for name, use in uses.items():
                in_thread(use)
                done.append(name)

        bus = put({"nested": nested}, self.make_bus, place, code)
        ended = bus.subscribe(B, print)
        busy.publishing = True
        publish_at(place, bus)
        assert len(done) == 11

    def test_10_no_lock_is_held_while_held_events_are_delivered(self):
        """At the end of a pause, handlers run without a lock as well."""
        bus, done = self.make_bus(), []
        bus.subscribe(A, lambda event: done.append(in_thread(lambda: (len(bus.history), bus.subscribe(B, print)))[0]))
        with bus.paused():
            bus.publish(A)
        assert done == [1]

    def test_10_no_lock_is_held_while_history_asks_a_condition(self):
        """The condition of history.select runs without a lock."""
        bus = self.make_bus()
        bus.publish(A)
        assert bus.history.select(where=lambda event: in_thread(bus.publish, B)) == [bus.history[0]]

    @pytest.mark.parametrize("cause", ["failing handler", "forgotten object"])
    def test_10_no_lock_is_held_while_a_message_is_logged(self, cause):
        """A logging handler that waits for another thread to publish, as a log put on the bus does, gets through."""
        bus, seen = self.make_bus(), []

        class Forwarding(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                seen.append(in_thread(bus.publish, C, record.getMessage()))

        class Owner:
            def handle(self, event: Event[Any]) -> None: ...

        forwarding, logger = Forwarding(), logging.getLogger("atlas_lab")
        logger.addHandler(forwarding)
        try:
            if cause == "failing handler":
                bus.subscribe(A, lambda event: 1 / 0)
            else:
                bus.subscribe(A, Owner().handle)
                gc.collect()
            bus.publish(A)
            bus.subscribe(B, print)
        finally:
            logger.removeHandler(forwarding)
        assert len(seen) == len(bus.history.select(C)) == 1

    @both_modes
    @pytest.mark.parametrize("place", PLACES)
    @pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
    def test_10_an_interrupt_in_user_code_goes_through(self, place, nested, interrupt):
        """An interrupt in a handler, middleware, condition or clock reaches the publisher and leaves the bus usable."""
        hot = [False]

        def code() -> None:
            if hot[0]:
                hot[0] = False
                raise interrupt

        bus = put({"nested": nested}, self.make_bus, place, code)
        for _ in range(3):
            hot[0] = True
            with pytest.raises(interrupt):
                publish_at(place, bus)
            check_usable(bus)
        publish_at(place, bus)
        assert bus.stats().errors == 0

    @both_modes
    def test_10_an_interrupt_in_a_nested_publish_goes_through(self, nested):
        """An interrupt in a handler of a nested event reaches the outermost publisher; the next publishes are whole."""
        bus, got = self.make_bus(nested=nested), []

        def interrupted(event: Event[Any]) -> None:
            if event.data == "now":
                raise KeyboardInterrupt
            got.append(event.data)

        bus.subscribe(A, lambda event: bus.publish(B, event.data))
        bus.subscribe(B, interrupted)
        with pytest.raises(KeyboardInterrupt):
            bus.publish(A, "now")
        check_usable(bus)
        bus.publish(A, "later")
        assert got == ["later"]

    def test_10_an_interrupt_in_a_pause_ends_the_pause(self):
        """An interrupt inside a paused block ends the pause: what was held is delivered, and nothing is held after."""
        bus, got = self.make_bus(), []
        bus.subscribe(A, lambda event: got.append(event.data))
        with pytest.raises(KeyboardInterrupt):
            with bus.paused():
                bus.publish(A, "held")
                raise KeyboardInterrupt
        assert got == ["held"]
        check_usable(bus)

    def test_10_an_interrupt_while_held_events_are_delivered(self):
        """An interrupt in a handler at the end of a pause loses none of the other held events."""
        bus, got = self.make_bus(), []

        def handler(event: Event[Any]) -> None:
            got.append(event.data)
            if event.data == 1:
                raise KeyboardInterrupt

        bus.subscribe(A, handler)
        with pytest.raises(KeyboardInterrupt):
            with bus.paused():
                for data in (1, 2, 3):
                    bus.publish(A, data)
        in_thread(bus.publish, A, 4)
        assert got == [1, 2, 3, 4]
        check_usable(bus)

    @both_modes
    def test_10_repeated_interrupts_leave_no_depth_behind(self, nested):
        """Hundreds of interrupted publishes do not add up to a depth error or to a parent."""
        bus = self.make_bus(nested=nested)

        def interrupted(event: Event[Any]) -> None:
            raise KeyboardInterrupt

        bus.subscribe(A, lambda event: bus.publish(B))
        bus.subscribe(B, interrupted)
        for _ in range(250):
            with pytest.raises(KeyboardInterrupt):
                bus.publish(A)
        check_usable(bus)

    @both_modes
    def test_10_an_interrupt_from_outside_leaves_the_bus_usable(self, nested):
        """Threads interrupted hundreds of times wherever they are leave no lock held, and publish on without a parent."""
        if not hasattr(ctypes, "pythonapi"):
            give_up("this Python cannot interrupt a thread from outside")
        bus = self.make_bus(nested=nested, history_limit=None)
        bus.add_middleware(lambda event: event.replace(source="changed") if event.data else event)
        bus.subscribe(A, lambda event: bus.publish(B, event.data))
        bus.subscribe(B, lambda event: None, where=lambda event: True)
        outcomes: list[str | None] = []

        def run() -> None:
            sys.settrace(None)  # a coverage tracer has locks of its own, which an interrupt would leave held
            try:
                for data in count():
                    bus.publish(A, data % 2)
                    bus.subscribe(B, lambda event: None)()
                    publishing.set()
            except KeyboardInterrupt:
                event_id = bus.publish(C)
                outcomes.extend(event.parent_id for event in bus.history.latest(1) if event.id == event_id)

        witness = Witness()
        with many_switches(), no_finalizers():
            for _ in range(200):
                publishing = threading.Event()
                thread = threading.Thread(target=run, daemon=True)
                thread.start()
                assert publishing.wait(PATIENCE)
                interrupt_thread(thread)
                thread.join(PATIENCE)
                assert not thread.is_alive(), "the thread hangs, or swallowed the interrupt"
                witness.ask(lambda: bus.publish(C))
        assert outcomes == [None] * 200
        check_usable(bus)

    @pytest.mark.parametrize("scenario", ["immediate", "queued", "middleware", "paused", "subscribing", "async"])
    def test_10_an_interrupt_at_any_point_leaves_the_bus_usable(self, scenario):
        """Wherever Python can notice an interrupt inside the bus, it goes through and the bus is as usable as before.

        Python looks for interrupts where a function begins and where a call of C code ends; each of these
        points is interrupted once, in the order in which a run passes them.
        """
        broken: list[str] = []
        buses: list[EventBus] = []  # kept, so that none is finalized in the midst of another's turn

        def interrupt_and_check(number: int) -> bool:
            bus = self.make_bus(nested="queued" if scenario == "queued" else "immediate")
            buses.append(bus)
            point = interrupt_at(number, bus, lambda: use_bus(bus, scenario))
            try:
                check_usable(bus)
            except BaseException as error:
                broken.append(f"{point}: {type(error).__name__} {error}".splitlines()[0])
            return point is not None and len(broken) < 5

        with no_finalizers():
            for number in count(1):
                # A context of its own, so that what an interrupt leaves behind stays out of the other runs.
                if not contextvars.copy_context().run(interrupt_and_check, number):
                    break
        assert not broken, "interrupted here, the bus is not usable:\n" + "\n".join(broken)
        if number <= 20:
            give_up(f"Python could be interrupted at {number - 1} points of this bus only, which proves little")


def interrupt_thread(thread: threading.Thread) -> None:
    """Raise KeyboardInterrupt in a thread, at the next point where Python looks for one."""
    assert ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(KeyboardInterrupt))


def folders_of(bus: EventBus) -> tuple[str, ...]:
    """Return where the code of a bus stands: beside its class and its base classes, and in atlas_lab, which makes events."""
    classes = [EventBus, *(base for base in type(bus).__mro__ if base is not object)]
    return tuple({str(Path(inspect.getfile(one)).parent) for one in classes})


def interrupt_at(number: int, bus: EventBus, action: Callable[[], object]) -> str | None:
    """Run `action` and interrupt it at one point inside the bus; return which, or None if there are fewer points."""
    folders = folders_of(bus)
    passed, point = 0, None

    def profile(frame: FrameType, event: str, arg: object) -> None:
        nonlocal passed, point
        code = frame.f_code
        # Python closes a generator expression that is not used up as a finalizer, and ignores what that raises.
        inside = code.co_filename.startswith(folders) and not code.co_filename.startswith(SUITE)
        if event in {"call", "c_return"} and inside and code.co_name != "<genexpr>":
            passed += 1
            if passed == number:
                point = f"{Path(code.co_filename).name}:{frame.f_lineno} {code.co_name} ({event})"
                raise KeyboardInterrupt

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        action()
    except KeyboardInterrupt:
        assert point is not None
    else:
        assert point is None, f"the interrupt at {point} was swallowed"
    finally:
        sys.setprofile(before)
    return point
