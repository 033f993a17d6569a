"""Promise 14: which events reach a handler."""

from __future__ import annotations

from typing import Any

import pytest

from atlas_lab import Event, EventType, safe_subscribe

from .kinds import Step
from .making import MakesBuses

A = EventType.AGENT_STARTED
B = EventType.AGENT_TASK_ASSIGNED
C = EventType.AGENT_STOPPED


class FiltersContract(MakesBuses):
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
