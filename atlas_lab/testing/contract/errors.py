"""Promises 17 to 22: errors of handlers and middleware, the counts of middleware, and dead letters."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import json
import logging
import threading
import uuid
import weakref
from collections import Counter
from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest

from atlas_lab import Event, EventBus, EventType, HandlerErrors, MiddlewareError, safe_subscribe

from .making import MakesBuses

STARTED = EventType.AGENT_STARTED
STOPPED = EventType.AGENT_STOPPED
HANDLER_ERROR = EventType.HANDLER_ERROR

both_policies = pytest.mark.parametrize("on_error", ["event", "raise"])


class Refused(Exception):
    """What handlers and middleware raise here."""


class Order(Enum):
    PLACED = "placed"


def refuse(event: Event[Any]) -> None:
    raise Refused(f"no {event.data}")


def publish(bus: EventBus, event_type: Enum, data: object = None) -> Exception | None:
    """Publish and return what the publisher gets to see, whatever the policy is."""
    try:
        bus.publish(event_type, data)
    except HandlerErrors as errors:
        return errors
    return None


def reports(bus: EventBus) -> list[Event[Any]]:
    return bus.history.select(HANDLER_ERROR)


def run_threads(count: int, work: Callable[[int], object]) -> None:
    """Run ``work(number)`` in several threads that start together, and fail with what any of them raised."""
    barrier = threading.Barrier(count)
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            barrier.wait(20)
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    if failures:
        raise failures[0]


class ErrorsContract(MakesBuses):
    # -- 17: errors of handlers

    @both_policies
    def test_17_a_failing_handler_never_stops_the_others(self, on_error):
        """Every handler gets the event, before and after the ones that fail, in the usual order."""
        bus = self.make_bus(on_error=on_error)
        order: list[int] = []

        def handler(number: int) -> Callable[[Event[Any]], None]:
            def handle(event: Event[Any]) -> None:
                order.append(number)
                if number % 2:
                    raise Refused(number)

            return handle

        for number in range(6):
            bus.subscribe(STARTED, handler(number))
        publish(bus, STARTED)
        assert order == [0, 1, 2, 3, 4, 5]

    @both_policies
    def test_17_an_error_that_cannot_be_shown_stops_no_other_handler(self, on_error):
        """An exception whose own ``__str__`` raises is a handler error like any other."""

        class Unprintable(Exception):
            def __str__(self) -> str:
                raise RuntimeError("no text")

        def fail(event: Event[Any]) -> None:
            raise Unprintable

        bus = self.make_bus(on_error=on_error)
        seen: list[Event[Any]] = []
        bus.subscribe(STARTED, fail)
        bus.subscribe(STARTED, seen.append)
        raised = publish(bus, STARTED)
        assert len(seen) == 1
        assert [report.data["error_type"] for report in reports(bus)] == ["Unprintable"]
        if on_error == "raise":
            assert isinstance(raised, HandlerErrors) and isinstance(raised.exceptions[0], Unprintable)

    def test_17_the_event_policy_is_the_default_and_raises_nothing(self):
        """Without options the publisher gets the id, as if nothing had failed."""
        bus = self.make_bus()
        bus.subscribe(STARTED, refuse)
        event_id = bus.publish(STARTED)
        assert [event.id for event in bus.history.select(STARTED)] == [event_id]
        assert len(reports(bus)) == 1

    @both_policies
    def test_17_handler_error_tells_all_about_the_failure(self, on_error):
        """The report has the original event's id and type, the handler, and error type, message and traceback."""
        bus = self.make_bus(on_error=on_error)
        bus.subscribe(STARTED, refuse, name="the gate")
        publish(bus, STARTED, "entry")
        (original,) = bus.history.select(STARTED)
        (report,) = reports(bus)
        assert report.data["event_id"] == original.id
        assert report.data["event_type"] == "AGENT_STARTED"
        assert report.data["handler"] == "the gate"
        assert report.data["error_type"] == "Refused"
        assert report.data["message"] == "no entry"
        trace = report.data["traceback"]
        assert trace.startswith("Traceback (most recent call last):")
        assert trace.rstrip().endswith("Refused: no entry")
        assert "in refuse" in trace

    def test_17_handler_error_names_a_handler_without_a_name_by_its_qualified_name(self):
        """What was not given a name is found by where it stands in the code."""
        bus = self.make_bus()
        bus.subscribe(Order.PLACED, refuse)
        bus.publish(Order.PLACED)
        assert reports(bus)[0].data["handler"] == "refuse"
        assert reports(bus)[0].data["event_type"] == "Order.PLACED"

    def test_17_handler_error_says_where_the_handler_was_defined_and_the_event_published(self):
        """Both places are given as file and line, so that a notebook reader can go there."""
        bus = self.make_bus()
        bus.subscribe(STARTED, refuse)
        here = publish.__code__.co_firstlineno
        publish(bus, STARTED)
        data = reports(bus)[0].data
        assert data["defined_at"] == f"{refuse.__code__.co_filename}:{refuse.__code__.co_firstlineno}"
        file, _, line = data["published_at"].rpartition(":")
        assert file == publish.__code__.co_filename
        assert here < int(line) < here + 8

    @both_policies
    def test_17_handler_error_is_caused_by_the_event_that_was_handled(self, on_error):
        """The report's parent is the original event, so a chain of causes leads to it."""
        bus = self.make_bus(on_error=on_error)
        bus.subscribe(STARTED, refuse)
        publish(bus, STARTED)
        assert reports(bus)[0].parent_id == bus.history[0].id

    def test_17_there_is_one_report_for_each_failure(self):
        """Two failing handlers of one event make two reports, in the order in which they failed."""
        bus = self.make_bus()
        bus.subscribe(STARTED, refuse, name="first")
        bus.subscribe(STARTED, refuse, name="second")
        bus.publish(STARTED)
        assert [report.data["handler"] for report in reports(bus)] == ["first", "second"]

    def test_17_handler_error_reaches_its_subscribers(self):
        """Whoever subscribes to HANDLER_ERROR gets the report while the publish is still under way."""
        bus = self.make_bus()
        seen: list[str] = []
        bus.subscribe(HANDLER_ERROR, lambda event: seen.append(event.data["message"]))
        bus.subscribe(STARTED, refuse)
        bus.publish(STARTED, "entry")
        assert seen == ["no entry"]

    @both_policies
    def test_17_handler_error_is_plain_text(self, on_error):
        """No exception, traceback or frame can be reached from the report: it is JSON of strings."""
        bus = self.make_bus(on_error=on_error)
        bus.subscribe(STARTED, refuse)
        publish(bus, STARTED)
        (report,) = reports(bus)
        assert {type(value) for value in report.data.values()} == {str}
        assert json.loads(json.dumps(report.data)) == report.data
        assert json.loads(json.dumps(report.metadata)) == report.metadata

    def test_17_the_live_exception_is_let_go(self, monkeypatch):
        """Neither the bus nor its history keeps the exception, or what its frames held, alive."""
        monkeypatch.setattr(logging.getLogger("atlas_lab"), "disabled", True)  # pytest keeps what is logged

        class Held:
            pass

        held: list[weakref.ref[Any]] = []

        def fail(event: Event[Any]) -> None:
            local = Held()
            error = Refused()
            held.extend([weakref.ref(local), weakref.ref(error)])
            raise error

        bus = self.make_bus()
        bus.subscribe(STARTED, fail)
        bus.publish(STARTED)
        gc.collect()
        assert len(reports(bus)) == 1
        assert [reference() for reference in held] == [None, None]

    @both_policies
    def test_17_the_traceback_is_logged(self, caplog, on_error):
        """One record of level ERROR on the ``atlas_lab`` logger names handler and event and carries the traceback."""
        bus = self.make_bus(on_error=on_error)
        bus.subscribe(STARTED, refuse, name="the gate")
        with caplog.at_level(logging.DEBUG):
            publish(bus, STARTED, "entry")
        (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert record.name == "atlas_lab"
        assert "the gate" in record.getMessage() and "AGENT_STARTED" in record.getMessage()
        assert record.exc_info is not None and isinstance(record.exc_info[1], Refused)
        assert "in refuse" in caplog.text and "Refused: no entry" in caplog.text

    def test_17_raise_gives_the_publisher_a_group_of_all_errors(self):
        """`HandlerErrors` is an ExceptionGroup that holds the very exceptions, in the order of the handlers."""
        errors = [Refused(), ValueError("odd"), KeyError("lost")]

        def failing(error: Exception) -> Callable[[Event[Any]], None]:
            def fail(event: Event[Any]) -> None:
                raise error

            return fail

        bus = self.make_bus(on_error="raise")
        for error in errors:
            bus.subscribe(STARTED, failing(error))
        with pytest.raises(HandlerErrors) as caught:
            bus.publish(STARTED)
        assert isinstance(caught.value, ExceptionGroup)
        assert list(caught.value.exceptions) == errors

    def test_17_raise_waits_until_all_handlers_ran(self):
        """When the group is raised, the last handler ran, the event is stored and each failure is reported."""
        bus = self.make_bus(on_error="raise")
        seen: list[str] = []
        bus.subscribe(HANDLER_ERROR, lambda event: seen.append("report"))
        bus.subscribe(STARTED, refuse)
        bus.subscribe(STARTED, lambda event: seen.append("last"))
        with pytest.raises(HandlerErrors):
            bus.publish(STARTED)
        assert seen == ["report", "last"]
        assert [event.type for event in bus.history] == [STARTED, HANDLER_ERROR]

    def test_17_raise_raises_nothing_when_nothing_fails(self):
        """Under "raise" a publish that goes well returns the event's id."""
        bus = self.make_bus(on_error="raise")
        bus.subscribe(STARTED, lambda event: None)
        event_id = bus.publish(STARTED)
        assert bus.history[-1].id == event_id

    def test_17_except_star_sorts_the_errors(self):
        """``except*`` takes single kinds out of the group, and the rest is a `HandlerErrors` still."""
        bus = self.make_bus(on_error="raise")
        bus.subscribe(STARTED, refuse)
        bus.subscribe(STARTED, lambda event: 1 // 0)
        refused: list[Exception] = []
        with pytest.raises(HandlerErrors) as rest:
            try:
                bus.publish(STARTED)
            except* Refused as group:
                refused.extend(group.exceptions)
        assert [type(error) for error in rest.value.exceptions] == [ZeroDivisionError]
        assert [type(error) for error in refused] == [Refused]

    def test_17_emit_raises_as_publish_does(self):
        """An event that exists already is handled by the same policy."""
        bus = self.make_bus(on_error="raise")
        bus.subscribe(STARTED, refuse)
        with pytest.raises(HandlerErrors):
            bus.emit(Event(STARTED))

    @both_policies
    def test_17_a_condition_that_fails_is_an_error_of_its_handler(self, on_error):
        """What `where` raises is reported under the handler's name, and the handler is not called."""
        bus = self.make_bus(on_error=on_error)
        seen: list[Event[Any]] = []
        bus.subscribe(STARTED, seen.append, where=lambda event: 1 // 0, name="picky")
        raised = publish(bus, STARTED)
        assert seen == []
        assert [(one.data["handler"], one.data["error_type"]) for one in reports(bus)] == [
            ("picky", "ZeroDivisionError")
        ]
        assert (raised is not None) == (on_error == "raise")

    @both_policies
    def test_17_the_subscription_counts_its_errors(self, on_error):
        """A token knows how often its handler failed and what the latest failure was."""
        bus = self.make_bus(on_error=on_error)
        token = bus.subscribe(STARTED, refuse)
        publish(bus, STARTED, "one")
        publish(bus, STARTED, "two")
        assert (token.errors, token.last_error) == (2, "Refused: no two")

    def test_17_errors_of_an_inner_publish_reach_the_inner_publisher(self):
        """Under "raise" the handler that publishes gets the group, and may deal with it."""
        bus = self.make_bus(on_error="raise")
        bus.subscribe(STOPPED, refuse)
        caught: list[HandlerErrors] = []

        def stop(event: Event[Any]) -> None:
            try:
                bus.publish(STOPPED)
            except HandlerErrors as errors:
                caught.append(errors)

        bus.subscribe(STARTED, stop)
        bus.publish(STARTED)
        assert [type(error) for error in caught[0].exceptions] == [Refused]
        assert [report.data["event_type"] for report in reports(bus)] == ["AGENT_STOPPED"]

    def test_17_errors_of_an_inner_publish_that_nobody_catches_fail_the_outer_handler(self):
        """Under "raise" the group of the inner publish is one error of the outer one, and both are reported."""
        bus = self.make_bus(on_error="raise")
        bus.subscribe(STOPPED, refuse)
        bus.subscribe(STARTED, lambda event: bus.publish(STOPPED), name="stopper")
        last: list[Event[Any]] = []
        bus.subscribe(STARTED, last.append)
        with pytest.raises(HandlerErrors) as caught:
            bus.publish(STARTED)
        (inner,) = caught.value.exceptions
        assert isinstance(inner, HandlerErrors)
        assert [type(error) for error in inner.exceptions] == [Refused]
        assert [(report.data["event_type"], report.data["error_type"]) for report in reports(bus)] == [
            ("AGENT_STOPPED", "Refused"),
            ("AGENT_STARTED", "HandlerErrors"),
        ]
        assert len(last) == 1

    def test_17_errors_of_an_inner_publish_stay_inside_under_the_event_policy(self):
        """The handler that publishes does not fail because a handler of what it published did."""
        bus = self.make_bus()
        bus.subscribe(STOPPED, refuse)
        token = bus.subscribe(STARTED, lambda event: bus.publish(STOPPED))
        bus.publish(STARTED)
        assert token.errors == 0
        assert [report.data["event_type"] for report in reports(bus)] == ["AGENT_STOPPED"]

    def test_17_under_queued_the_first_publisher_gets_the_errors_of_all_that_followed(self):
        """With ``nested="queued"`` the inner call has long returned, so its errors go to the outer one."""
        bus = self.make_bus(on_error="raise", nested="queued")
        bus.subscribe(STOPPED, refuse)
        token = bus.subscribe(STARTED, lambda event: bus.publish(STOPPED))
        with pytest.raises(HandlerErrors) as caught:
            bus.publish(STARTED)
        assert [type(error) for error in caught.value.exceptions] == [Refused]
        assert token.errors == 0

    @both_policies
    def test_17_errors_of_awaited_handlers_are_treated_alike(self, on_error):
        """Under ``publish_async`` plain and async handlers fail by the same policy, and stop no other."""

        async def main() -> tuple[EventBus, list[Event[Any]], Exception | None]:
            bus = self.make_bus(on_error=on_error)
            seen: list[Event[Any]] = []

            async def fail(event: Event[Any]) -> None:
                await asyncio.sleep(0)
                raise Refused("late")

            bus.subscribe(STARTED, fail)
            bus.subscribe(STARTED, refuse)
            bus.subscribe(STARTED, seen.append)
            try:
                await bus.publish_async(STARTED, "entry")
            except HandlerErrors as errors:
                return bus, seen, errors
            return bus, seen, None

        bus, seen, raised = asyncio.run(main())
        assert len(seen) == 1
        assert [report.data["message"] for report in reports(bus)] == ["late", "no entry"]
        if on_error == "event":
            assert raised is None
        else:
            assert isinstance(raised, HandlerErrors)
            assert [str(error) for error in raised.exceptions] == ["late", "no entry"]

    @both_policies
    def test_17_the_error_of_a_scheduled_handler_is_logged_and_reported(self, on_error, caplog):
        """An async handler that `publish` started fails too late for the publisher, but never silently."""

        async def main() -> EventBus:
            bus = self.make_bus(on_error=on_error)

            async def fail(event: Event[Any]) -> None:
                raise Refused("late")

            bus.subscribe(STARTED, fail)
            bus.publish(STARTED)
            await bus.join()
            return bus

        bus = asyncio.run(main())
        (report,) = reports(bus)
        assert report.data["message"] == "late"
        assert report.data["event_id"] == report.parent_id == bus.history[0].id
        assert "Refused: late" in caplog.text

    @both_policies
    def test_17_safe_subscribe_keeps_errors_from_the_publisher(self, on_error, caplog):
        """A safe handler's error is logged and published, and never raised, on any bus."""
        bus = self.make_bus(on_error=on_error)
        unsubscribe = safe_subscribe(bus, STARTED, refuse)
        bus.publish(STARTED, "entry")
        assert [report.data["message"] for report in reports(bus)] == ["no entry"]
        assert "Refused: no entry" in caplog.text
        assert (unsubscribe(), unsubscribe()) == (True, False)
        bus.publish(STARTED)
        assert len(reports(bus)) == 1

    def test_17_safe_subscribe_is_for_one_handler(self):
        """The other handlers of a bus that raises go on raising, and the group holds only theirs."""
        bus = self.make_bus(on_error="raise")
        safe_subscribe(bus, STARTED, lambda event: 1 // 0)
        bus.subscribe(STARTED, refuse)
        with pytest.raises(HandlerErrors) as caught:
            bus.publish(STARTED)
        assert [type(error) for error in caught.value.exceptions] == [Refused]
        assert len(reports(bus)) == 2

    def test_17_safe_subscribe_takes_the_options_of_subscribe(self):
        """Priority, conditions and the rest mean what they mean elsewhere."""
        bus = self.make_bus(on_error="raise")
        order: list[str] = []
        bus.subscribe(STARTED, lambda event: order.append("plain"))
        safe_subscribe(bus, STARTED, lambda event: order.append("safe"), priority=1, source="gate")
        bus.publish(STARTED, source="gate")
        bus.publish(STARTED, source="other")
        assert order == ["safe", "plain", "plain"]

    def test_17_safe_subscribe_keeps_the_errors_of_async_handlers_too(self):
        """Awaited under ``publish_async``, a safe async handler fails without the publisher seeing it."""

        async def main() -> EventBus:
            bus = self.make_bus(on_error="raise")

            async def fail(event: Event[Any]) -> None:
                raise Refused

            safe_subscribe(bus, STARTED, fail)
            await bus.publish_async(STARTED)
            return bus

        assert len(reports(asyncio.run(main()))) == 1

    # -- 18: errors while handling errors

    @both_policies
    def test_18_an_error_while_handling_handler_error_goes_no_further(self, on_error, caplog):
        """It is logged, makes no second report, and other handlers of the first report still run."""
        bus = self.make_bus(on_error=on_error)
        seen: list[Event[Any]] = []
        bus.subscribe(STARTED, refuse)
        bus.subscribe(HANDLER_ERROR, lambda event: 1 // 0, name="reporter")
        bus.subscribe(HANDLER_ERROR, seen.append)
        raised = publish(bus, STARTED)
        assert len(reports(bus)) == len(seen) == 1
        logged = [record.getMessage() for record in caplog.records if record.name == "atlas_lab"]
        assert len(logged) == 2
        assert "reporter" in logged[1] and "ZeroDivisionError" in caplog.text
        if on_error == "raise":
            assert isinstance(raised, HandlerErrors)
            assert [type(error) for error in raised.exceptions] == [Refused]

    @both_policies
    def test_18_a_report_published_by_hand_raises_nothing(self, on_error):
        """A HANDLER_ERROR that user code publishes is treated like the bus's own, also under "raise"."""
        bus = self.make_bus(on_error=on_error)
        bus.subscribe(HANDLER_ERROR, refuse)
        assert publish(bus, HANDLER_ERROR) is None
        assert len(reports(bus)) == 1

    @both_policies
    def test_18_a_handler_of_everything_that_always_fails_ends(self, on_error):
        """It fails on the event and on the report about that, and that is all."""
        bus = self.make_bus(on_error=on_error)
        token = bus.subscribe(None, refuse)
        publish(bus, STARTED)
        assert token.errors == 2
        assert [event.type for event in bus.history] == [STARTED, HANDLER_ERROR]

    @both_policies
    def test_18_async_handlers_of_handler_error_go_no_further_either(self, on_error, caplog):
        """Started by a plain publish, an async handler of HANDLER_ERROR that fails is logged and makes no report."""

        async def main() -> EventBus:
            bus = self.make_bus(on_error=on_error)

            async def fail(event: Event[Any]) -> None:
                await asyncio.sleep(0)
                raise Refused("reporting")

            bus.subscribe(STARTED, lambda event: 1 // 0)
            bus.subscribe(HANDLER_ERROR, fail)
            publish(bus, STARTED)
            await bus.join()
            return bus

        assert len(reports(asyncio.run(main()))) == 1
        assert "Refused: reporting" in caplog.text

    @both_policies
    def test_18_awaited_handlers_of_handler_error_go_no_further_either(self, on_error):
        """``publish_async`` of a HANDLER_ERROR raises nothing and reports nothing."""

        async def main() -> EventBus:
            bus = self.make_bus(on_error=on_error)

            async def fail(event: Event[Any]) -> None:
                raise Refused

            bus.subscribe(HANDLER_ERROR, fail)
            await bus.publish_async(HANDLER_ERROR)
            return bus

        assert len(reports(asyncio.run(main()))) == 1

    @both_policies
    @pytest.mark.parametrize("nested", ["immediate", "queued"])
    def test_18_a_handler_of_handler_error_that_causes_the_next_error_is_bounded(self, on_error, nested):
        """When reporting an error publishes what fails again, `max_depth` ends the circle."""
        bus = self.make_bus(on_error=on_error, nested=nested, max_depth=12)
        calls: list[Event[Any]] = []

        def fail(event: Event[Any]) -> None:
            calls.append(event)
            raise Refused

        bus.subscribe(STARTED, fail)
        bus.subscribe(HANDLER_ERROR, lambda event: bus.publish(STARTED))
        with contextlib.suppress(HandlerErrors, RuntimeError):
            bus.publish(STARTED)
        assert 1 < len(calls) <= 13
        assert bus.publish(STOPPED) == bus.history[-1].id

    def test_18_several_errors_that_cause_each_other_are_bounded_by_the_depth(self):
        """Two failing handlers don't turn a circle of errors into a tree that doubles at every level."""
        bus = self.make_bus(max_depth=16)
        calls: list[Event[Any]] = []

        def fail(event: Event[Any]) -> None:
            calls.append(event)
            raise Refused

        bus.subscribe(STARTED, fail)
        bus.subscribe(STARTED, fail)
        bus.subscribe(HANDLER_ERROR, lambda event: bus.publish(STARTED))
        with contextlib.suppress(RuntimeError):
            bus.publish(STARTED)
        assert len(calls) <= 2 * 16

    @both_policies
    def test_18_a_report_that_middleware_refuses_is_logged(self, on_error, caplog):
        """Middleware that fails on HANDLER_ERROR stops neither the other handlers nor the publisher."""
        bus = self.make_bus(on_error=on_error)

        def picky(event: Event[Any]) -> Event[Any]:
            if event.type is HANDLER_ERROR:
                raise ValueError("no reports")
            return event

        bus.add_middleware(picky)
        seen: list[Event[Any]] = []
        bus.subscribe(STARTED, refuse)
        bus.subscribe(STARTED, seen.append)
        raised = publish(bus, STARTED)
        assert len(seen) == 1 and reports(bus) == []
        assert "no reports" in caplog.text
        assert (raised is not None) == (on_error == "raise")

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

    @both_policies
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
            for data in numbers:
                with contextlib.suppress(MiddlewareError):
                    bus.publish(STARTED, data)
            running.discard(number)
            if not running:
                done.set()

        running = set(range(8))
        run_threads(9, work)
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

    # -- 22: dead letters

    def test_22_an_event_without_a_handler_is_a_dead_letter(self):
        """It is stored like any other, and counted by the name of its type."""
        bus = self.make_bus()
        for event_type in (STARTED, Order.PLACED, STARTED):
            bus.publish(event_type)
        assert bus.stats().dead_letters == {"AGENT_STARTED": 2, "Order.PLACED": 1}
        assert len(bus.history) == 3

    @pytest.mark.parametrize("event_type", [STARTED, None])
    def test_22_an_event_with_a_handler_is_none(self, event_type):
        """A handler of its type, or of everything, is enough."""
        bus = self.make_bus()
        bus.subscribe(event_type, lambda event: None)
        bus.publish(STARTED)
        assert bus.stats().dead_letters == {}

    def test_22_after_the_last_handler_left_events_are_dead_letters(self):
        """The count starts with the first event that finds nobody, and stops when somebody comes."""
        bus = self.make_bus()
        with bus.subscribe(STARTED, lambda event: None):
            bus.publish(STARTED)
        bus.publish(STARTED)
        bus.subscribe(STARTED, lambda event: None)
        bus.publish(STARTED)
        assert bus.stats().dead_letters == {"AGENT_STARTED": 1}

    def test_22_a_dropped_event_is_no_dead_letter(self):
        """What middleware dropped or failed on never came as far as needing a handler."""
        bus = self.make_bus()
        bus.add_middleware(lambda event: None)
        bus.publish(STARTED)
        assert bus.stats().dead_letters == {}

    def test_22_a_report_that_nobody_reads_is_a_dead_letter(self):
        """HANDLER_ERROR without a handler is listed like everything else."""
        bus = self.make_bus()
        bus.subscribe(STARTED, refuse)
        bus.publish(STARTED)
        assert bus.stats().dead_letters == {"HANDLER_ERROR": 1}

    def test_22_each_bus_counts_its_own_dead_letters(self):
        """An event may be a dead letter on its scope and handled on the parent, or the other way round."""
        bus = self.make_bus()
        scope = self.make_scope(bus, "agent")
        bus.subscribe(STARTED, lambda event: None)
        scope.subscribe(STOPPED, lambda event: None)
        scope.publish(STARTED)
        scope.publish(STOPPED)
        assert scope.stats().dead_letters == {"AGENT_STARTED": 1}
        assert bus.stats().dead_letters == {"AGENT_STOPPED": 1}

    def test_22_dead_letters_are_exact_with_many_threads(self):
        """No dead letter is lost when many threads publish at once."""
        bus = self.make_bus(history_limit=0)
        run_threads(4, lambda number: [bus.publish(STARTED) for _ in range(500)])
        assert bus.stats().dead_letters == {"AGENT_STARTED": 2000}
