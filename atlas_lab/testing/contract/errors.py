"""Promises 17, 18 and 22: errors of handlers, errors while they are told, and events that nobody handles."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import weakref
from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest

from atlas_lab import Event, EventBus, EventType, HandlerErrors, safe_subscribe

from .making import MakesBuses
from .workers import in_threads

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
        in_threads(*[lambda: [bus.publish(STARTED) for _ in range(500)]] * 4)
        assert bus.stats().dead_letters == {"AGENT_STARTED": 2000}
