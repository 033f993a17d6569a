"""Promise 12: what a subscription tells, and how it ends."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import weakref
from contextlib import suppress
from typing import Any

import pytest

from atlas_lab import Event, EventType, PublishDepthError

from .kinds import CallableObject, Collector, Step, make_function, note
from .making import MakesBuses

A = EventType.AGENT_STARTED
B = EventType.AGENT_TASK_ASSIGNED


def note_nothing(event: Event[Any]) -> None: ...


class TokensContract(MakesBuses):
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
        here = "TokensContract.test_12_it_knows_its_handler_by_name.<locals>"
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
