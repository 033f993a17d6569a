"""Promises 19 to 21: what middleware may do, what is counted of it, and its order."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from atlas_lab import Event, EventType, MiddlewareError

from .making import MakesBuses
from .workers import in_threads

STARTED = EventType.AGENT_STARTED
STOPPED = EventType.AGENT_STOPPED


class Refused(Exception):
    """What middleware raises here."""


class MiddlewareContract(MakesBuses):
    # -- 19: what middleware may return

    def test_19_middleware_that_returns_the_event_passes_it(self):
        """The event arrives as published."""
        bus = self.make_bus()
        bus.add_middleware(lambda event: event)
        bus.publish(STARTED, "entry")
        assert bus.history[-1].data == "entry"

    def test_19_middleware_may_return_a_changed_copy(self):
        """The copy is what is stored and handled, under the id that the publisher gets."""
        bus = self.make_bus()
        seen: list[Any] = []
        bus.add_middleware(lambda event: event.replace(data=event.data * 2, type=STOPPED))
        bus.subscribe(STOPPED, lambda event: seen.append(event.data))
        event_id = bus.publish(STARTED, 21)
        assert seen == [42]
        assert (bus.history[-1].data, bus.history[-1].type, bus.history[-1].id) == (42, STOPPED, event_id)

    def test_19_middleware_may_drop_the_event(self):
        """None means neither stored nor delivered; the publisher gets an id as always."""
        bus = self.make_bus()
        seen: list[Event[Any]] = []
        bus.add_middleware(lambda event: None)
        bus.subscribe(None, seen.append)
        assert uuid.UUID(bus.publish(STARTED))
        assert seen == [] and len(bus.history) == 0

    @pytest.mark.parametrize("before", [0, 1])
    @pytest.mark.parametrize(
        "returned",
        ["an event", {"type": "x"}, True, False, 0, [], object(), Event],
        ids=["str", "dict", "True", "False", "0", "list", "object", "Event"],
    )
    def test_19_anything_else_returned_is_a_middleware_error(self, returned, before):
        """The error names the entry and what it returned, on the first event and after events that passed."""
        bus = self.make_bus()
        bus.add_middleware(lambda event: event if event.type is STOPPED else returned, name="odd")
        for _ in range(before):
            bus.publish(STOPPED)
        with pytest.raises(MiddlewareError, match="odd") as caught:
            bus.publish(STARTED)
        assert caught.value.middleware == "odd"
        assert type(returned).__name__ in str(caught.value)

    @pytest.mark.parametrize("before", [0, 1])
    def test_19_middleware_that_raises_is_a_middleware_error_with_its_cause(self, before):
        """The entry's own exception is the cause, and its name and message are told."""
        bus = self.make_bus()
        error = Refused("closed today")

        def gate(event: Event[Any]) -> Event[Any]:
            if event.type is STARTED:
                raise error
            return event

        bus.add_middleware(lambda event: event, name="before")
        bus.add_middleware(gate, name="gate")
        bus.add_middleware(lambda event: event, name="after")
        for _ in range(before):
            bus.publish(STOPPED)
        with pytest.raises(MiddlewareError, match="'gate' raised Refused: closed today") as caught:
            bus.publish(STARTED)
        assert caught.value.__cause__ is error
        assert caught.value.middleware == "gate"

    @pytest.mark.parametrize("before", [0, 1])
    def test_19_the_error_of_another_bus_inside_a_middleware_is_that_entrys_error(self, before):
        """A middleware that publishes elsewhere and fails there is named and counted itself; the rest is its cause."""
        bus, other = self.make_bus(), self.make_bus()
        other.add_middleware(lambda event: 1 // 0, name="inner")

        def copy(event: Event[Any]) -> Event[Any]:
            if event.type is STARTED:
                other.publish(STARTED)
            return event

        entry = bus.add_middleware(copy, name="outer")
        for _ in range(before):
            bus.publish(STOPPED)
        with pytest.raises(MiddlewareError) as caught:
            bus.publish(STARTED)
        assert caught.value.middleware == "outer"
        assert isinstance(caught.value.__cause__, MiddlewareError)
        assert entry.stats.raised == 1

    def test_19_the_entry_is_named_also_when_it_was_given_no_name(self):
        """Without a name of its own an entry bears its function's."""

        def gate(event: Event[Any]) -> None:
            raise Refused

        bus = self.make_bus()
        entry = bus.add_middleware(gate)
        with pytest.raises(MiddlewareError) as caught:
            bus.publish(STARTED)
        assert caught.value.middleware == entry.name
        assert "gate" in entry.name

    @pytest.mark.parametrize("on_error", ["event", "raise"])
    @pytest.mark.parametrize("outcome", ["raises", "returns"])
    def test_19_a_failed_event_is_neither_stored_nor_delivered(self, on_error, outcome):
        """Nothing of it remains: no handler, no history, no number, no report; the next event is number 1."""
        bus = self.make_bus(on_error=on_error)
        seen: list[Event[Any]] = []
        bus.subscribe(None, seen.append)
        remove = bus.add_middleware(lambda event: 1 // 0 if outcome == "raises" else "odd")
        with pytest.raises(MiddlewareError):
            bus.publish(STARTED)
        assert seen == [] and len(bus.history) == 0
        remove()
        bus.publish(STOPPED)
        assert [event.seq for event in seen] == [1]

    def test_19_the_entries_after_a_failure_do_not_run(self):
        """An event that failed is not shown to the rest of the middleware."""
        bus = self.make_bus()
        seen: list[Event[Any]] = []
        bus.add_middleware(lambda event: 1 // 0)
        later = bus.add_middleware(seen.append)
        with pytest.raises(MiddlewareError):
            bus.publish(STARTED)
        assert seen == [] and later.stats.seen == 0

    def test_19_emit_and_publish_async_raise_it_too(self):
        """Every way of publishing goes through the middleware."""
        bus = self.make_bus()
        bus.add_middleware(lambda event: 1 // 0, name="gate")
        with pytest.raises(MiddlewareError):
            bus.emit(Event(STARTED))
        with pytest.raises(MiddlewareError):
            asyncio.run(bus.publish_async(STARTED))
        assert len(bus.history) == 0

    def test_19_an_interrupt_in_middleware_is_no_middleware_error(self):
        """KeyboardInterrupt passes through as it is, and the bus goes on working."""

        def interrupted(event: Event[Any]) -> Event[Any]:
            raise KeyboardInterrupt

        bus = self.make_bus()
        remove = bus.add_middleware(interrupted)
        with pytest.raises(KeyboardInterrupt):
            bus.publish(STARTED)
        remove()
        bus.publish(STARTED)
        assert len(bus.history) == 1

    @pytest.mark.parametrize("kind", ["function", "partial", "method", "object"])
    def test_19_async_middleware_is_refused(self, kind):
        """What would return a coroutine instead of an event is refused when it is added."""

        class Gate:
            async def check(self, event: Event[Any]) -> Event[Any]:
                return event

        class Checker:
            async def __call__(self, event: Event[Any]) -> Event[Any]:
                return event

        async def check(event: Event[Any], limit: int = 0) -> Event[Any]:
            return event

        middleware: dict[str, Any] = {
            "function": check,
            "partial": functools.partial(check, limit=1),
            "method": Gate().check,
            "object": Checker(),
        }
        bus = self.make_bus()
        with pytest.raises(TypeError, match="async"):
            bus.add_middleware(middleware[kind])
        assert bus.publish(STARTED) == bus.history[-1].id

    # -- 20: counts

    def test_20_each_entry_counts_what_it_did(self):
        """Passed, transformed, dropped and raised are told apart, from the first event on."""
        bus = self.make_bus()

        def by_data(event: Event[Any]) -> Any:
            outcomes = {"pass": event, "change": event.replace(source="changed"), "drop": None}
            if event.data == "raise":
                raise Refused
            return outcomes.get(event.data, "odd")

        entry = bus.add_middleware(by_data)
        wanted = {"pass": 5, "change": 4, "drop": 3, "raise": 2, "odd": 1}
        for data, times in wanted.items():
            for _ in range(times):
                with contextlib.suppress(MiddlewareError):
                    bus.publish(STARTED, data)
        stats = entry.stats
        assert (stats.passed, stats.transformed, stats.dropped, stats.raised) == (5, 4, 3, 3)
        assert stats.seen == 15

    def test_20_an_entry_counts_only_what_reached_it(self):
        """What an earlier entry dropped or failed on was not seen by a later one."""
        bus = self.make_bus()
        first = bus.add_middleware(lambda event: None if event.data == "drop" else event)
        second = bus.add_middleware(lambda event: 1 // 0 if event.data == "raise" else event)
        third = bus.add_middleware(lambda event: event)
        for data in ("drop", "pass", "raise", "pass", "drop", "drop"):
            with contextlib.suppress(MiddlewareError):
                bus.publish(STARTED, data)
        assert [entry.stats.seen for entry in (first, second, third)] == [6, 3, 2]
        assert (first.stats.dropped, second.stats.raised, third.stats.passed) == (3, 1, 2)

    def test_20_the_bus_counts_what_its_middleware_refused(self):
        """``stats().rejected`` is the sum of what was dropped and what failed."""
        bus = self.make_bus()
        bus.add_middleware(lambda event: None if event.data == "drop" else 1 // 0)
        bus.publish(STARTED, "drop")
        with pytest.raises(MiddlewareError):
            bus.publish(STARTED, "raise")
        assert (bus.stats().rejected, bus.stats().accepted) == (2, 0)

    def test_20_counts_outlast_the_entry(self):
        """An entry that was taken out still tells what it did."""
        bus = self.make_bus()
        entry = bus.add_middleware(lambda event: event)
        for _ in range(3):
            bus.publish(STARTED)
        entry()
        bus.publish(STARTED)
        assert entry.stats.passed == entry.stats.seen == 3

    def test_20_counts_are_exact_with_eight_threads(self):
        """No pass, change, drop or failure is lost or doubled while entries are switched all the time."""
        bus = self.make_bus(history_limit=0)
        numbers = range(400)

        def change(event: Event[Any]) -> Event[Any]:
            return event.replace(source="changed") if event.data % 3 == 0 else event

        def drop(event: Event[Any]) -> Event[Any] | None:
            return None if event.data % 5 == 0 else event

        def fail(event: Event[Any]) -> Event[Any]:
            if event.data % 7 == 0:
                raise Refused
            return event

        entries = [bus.add_middleware(function) for function in (change, drop, fail)]
        toggled = bus.add_middleware(lambda event: event, name="toggled", before=entries[1])
        done = threading.Event()

        def toggle() -> None:
            while not done.is_set():
                toggled.enabled = not toggled.enabled

        def work(number: int) -> None:
            if number == 8:
                toggle()
                return
            try:
                for data in numbers:
                    with contextlib.suppress(MiddlewareError):
                        bus.publish(STARTED, data)
            finally:
                running.discard(number)
                if not running:
                    done.set()

        running = set(range(8))
        in_threads(*(functools.partial(work, number) for number in range(9)))
        expected: list[Counter[str]] = [Counter(), Counter(), Counter()]
        for data in numbers:
            expected[0]["transformed" if data % 3 == 0 else "passed"] += 8
            expected[1]["dropped" if data % 5 == 0 else "passed"] += 8
            if data % 5:
                expected[2]["raised" if data % 7 == 0 else "passed"] += 8
        for entry, counts in zip(entries, expected, strict=True):
            outcomes = {name: getattr(entry.stats, name) for name in ("passed", "transformed", "dropped", "raised")}
            assert {name: number for name, number in outcomes.items() if number} == counts
        assert bus.stats().accepted == expected[2]["passed"]

    def test_20_an_entry_switched_off_under_way_does_not_count_what_it_never_saw(self):
        """The event in flight that passes by an entry just switched off is none of its events."""
        bus = self.make_bus()
        seen: list[Event[Any]] = []

        def watch(event: Event[Any]) -> Event[Any]:
            seen.append(event)
            return event

        def switch(event: Event[Any]) -> Event[Any]:
            later.enabled = False
            return event

        bus.add_middleware(switch)
        later = bus.add_middleware(watch)
        bus.publish(STARTED)
        bus.publish(STARTED)
        assert later.stats.seen == len(seen) == 0

    # -- 21: order and switching

    def test_21_middleware_runs_in_the_order_added(self):
        """Each entry gets what the one before it made of the event."""
        bus = self.make_bus()
        for letter in "abc":
            bus.add_middleware(lambda event, letter=letter: event.replace(data=event.data + letter), name=letter)
        bus.publish(STARTED, "")
        assert bus.history[-1].data == "abc"
        assert [entry.name for entry in bus.middleware] == ["a", "b", "c"]

    @pytest.mark.parametrize("by_name", [True, False])
    def test_21_before_puts_an_entry_in_front_of_another(self, by_name):
        """An entry can be named or pointed at; the others keep their order."""
        bus = self.make_bus()
        order: list[str] = []

        def noting(letter: str) -> Callable[[Event[Any]], Event[Any]]:
            def note(event: Event[Any]) -> Event[Any]:
                order.append(letter)
                return event

            return note

        bus.add_middleware(noting("a"), name="a")
        last = bus.add_middleware(noting("c"), name="c")
        bus.add_middleware(noting("b"), name="b", before="c" if by_name else last)
        bus.publish(STARTED)
        assert order == ["a", "b", "c"]

    def test_21_before_nothing_known_is_an_error(self):
        """A name that is no entry's is refused, and the message lists those there are."""
        bus = self.make_bus()
        bus.add_middleware(lambda event: event, name="known")
        with pytest.raises(ValueError, match=r"before.*'lost'.*'known'"):
            bus.add_middleware(lambda event: event, before="lost")
        assert len(bus.middleware) == 1

    def test_21_a_name_that_is_taken_replaces_that_entry_in_its_place(self):
        """The new entry stands where the old one stood, starts counting anew, and the old one is out."""
        bus = self.make_bus()
        old = bus.add_middleware(lambda event: event.replace(data=event.data + "x"), name="mark")
        bus.add_middleware(lambda event: event.replace(data=event.data + "-end"))
        bus.publish(STARTED, "")
        new = bus.add_middleware(lambda event: event.replace(data=event.data + "y"), name="mark")
        bus.publish(STARTED, "")
        assert [event.data for event in bus.history] == ["x-end", "y-end"]
        assert (old.active, new.active, old.stats.seen, new.stats.seen) == (False, True, 1, 1)
        assert old() is False and len(bus.middleware) == 2

    @pytest.mark.parametrize(
        "name, before, order",
        [
            ("c", "a", "cab"),
            ("c", "b", "acb"),
            ("c", "c", "abc"),
            ("a", "c", "bac"),
            ("a", "b", "abc"),
            ("b", "c", "abc"),
        ],
    )
    def test_21_replacing_and_before_together_move_the_entry(self, name, before, order):
        """With both, the entry of that name is replaced and stands in front of the one named."""
        bus = self.make_bus()
        for letter in "abc":
            bus.add_middleware(lambda event: event, name=letter)
        bus.add_middleware(lambda event: event, name=name, before=before)
        assert "".join(entry.name for entry in bus.middleware) == order

    def test_21_entries_without_a_name_do_not_replace_each_other(self):
        """Two entries of one function are two entries, with names that differ."""
        bus = self.make_bus()

        def mark(event: Event[Any]) -> Event[Any]:
            return event.replace(data=event.data + "x")

        first, second = bus.add_middleware(mark), bus.add_middleware(mark)
        bus.publish(STARTED, "")
        assert bus.history[-1].data == "xx"
        assert first.name != second.name

    def test_21_an_entry_switched_off_is_out_at_once_and_keeps_its_place(self):
        """The next event passes it by; switched on again, it stands where it stood."""
        bus = self.make_bus()
        bus.add_middleware(lambda event: event.replace(data=event.data + "a"))
        middle = bus.add_middleware(lambda event: event.replace(data=event.data + "b"))
        bus.add_middleware(lambda event: event.replace(data=event.data + "c"))
        for enabled in (True, False, True):
            middle.enabled = enabled
            assert middle.enabled is enabled
            bus.publish(STARTED, "")
        assert [event.data for event in bus.history] == ["abc", "ac", "abc"]
        assert middle.stats.seen == 2

    @pytest.mark.parametrize("before", [0, 1])
    @pytest.mark.parametrize("how", ["switched off", "removed"])
    def test_21_an_entry_taken_out_under_way_does_not_get_the_event_in_flight(self, how, before):
        """Taken out from inside an earlier entry, it is passed by at once; later entries still run."""
        bus = self.make_bus()
        seen: list[str] = []

        def take_out(event: Event[Any]) -> Event[Any]:
            if event.type is STOPPED:
                return event
            if how == "removed":
                middle()
            else:
                middle.enabled = False
            return event

        def note(text: str) -> Callable[[Event[Any]], Event[Any]]:
            def noting(event: Event[Any]) -> Event[Any]:
                if event.type is STARTED:
                    seen.append(text)
                return event

            return noting

        bus.add_middleware(take_out)
        middle = bus.add_middleware(note("middle"))
        bus.add_middleware(note("last"))
        for _ in range(before):
            bus.publish(STOPPED)
        bus.publish(STARTED)
        assert seen == ["last"]

    def test_21_an_entry_may_take_itself_out(self):
        """An entry that is done removes itself, and what it returns for that event still counts."""
        bus = self.make_bus()

        def once(event: Event[Any]) -> Event[Any]:
            entry()
            return event.replace(data="first")

        entry = bus.add_middleware(once)
        bus.publish(STARTED)
        bus.publish(STARTED)
        assert [event.data for event in bus.history] == ["first", None]
        assert (entry.active, entry.stats.transformed) == (False, 1)

    def test_21_removing_twice_is_no_error(self):
        """True the first time, False after; ``entry()`` and ``entry.remove()`` are the same."""
        bus = self.make_bus()
        entry = bus.add_middleware(lambda event: None)
        assert (entry(), entry(), entry.remove()) == (True, False, False)
        bus.publish(STARTED)
        assert len(bus.history) == 1 and bus.middleware == ()

    def test_21_removing_an_entry_that_is_switched_off(self):
        """An entry that is off can be taken out like any other, and switching it on again brings nothing back."""
        bus = self.make_bus()
        entry = bus.add_middleware(lambda event: None)
        entry.enabled = False
        assert entry() is True
        entry.enabled = True
        bus.publish(STARTED)
        assert len(bus.history) == 1

    def test_21_stats_add_up_and_time_is_measured(self):
        """``seen`` is the sum of the four outcomes, and time spent is a positive number of seconds."""
        bus = self.make_bus()

        def busy(event: Event[Any]) -> Event[Any] | None:
            if event.data % 4 == 3:
                raise Refused
            return (event, event.replace(source="x"), None)[event.data % 4]

        entry = bus.add_middleware(busy)
        assert entry.stats.total_time == 0
        for data in range(200):
            with contextlib.suppress(MiddlewareError):
                bus.publish(STARTED, data)
        stats = entry.stats
        assert stats.seen == stats.passed + stats.transformed + stats.dropped + stats.raised == 200
        assert 0 < stats.total_time < 60
