"""Many threads publish for all they are worth while others come and go."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import pytest

from atlas_lab import Event, EventBus, EventType

from .guards import NumbersLate, bus_without_lock, no_tracing, switches_everywhere
from .threads import all_at_once, many_switches

A, B = EventType.AGENT_STARTED, EventType.AGENT_STOPPED
PUBLISHERS = 8


class Load:
    """Eight threads that publish, two that subscribe and unsubscribe all the while, and three handlers that stay."""

    def __init__(self, bus: EventBus, events_each: int) -> None:
        self.bus = bus
        self.events_each = events_each
        self.got: list[list[Event[Any]]] = [[], [], []]
        bus.subscribe(A, self.got[0].append)
        bus.subscribe(None, self._note, priority=1)  # held weakly
        bus.subscribe([A, B], self.got[2].append, priority=-1)
        self.comings = 0
        self._publishing = list(range(PUBLISHERS))

    def run(self) -> None:
        publishers = [partial(self._publish, number) for number in range(PUBLISHERS)]
        visitors = [partial(self._come_and_go, event_type) for event_type in (A, None)]
        all_at_once([*publishers, *visitors])

    def check(self) -> None:
        """Check what was delivered and stored: each event once, those of one publisher in order, history by number."""
        total = PUBLISHERS * self.events_each
        for got in self.got:
            self._check_publishers(event.data for event in got)
        assert [event.seq for event in self.bus.history] == list(range(1, total + 1)), "history is not in order"
        self._check_publishers(event.data for event in self.bus.history)
        stats = self.bus.stats()
        assert (stats.accepted, stats.subscriptions) == (total, 3)
        assert [subscription.calls for subscription in self.bus.subscriptions()] == [total] * 3
        assert self.comings > 100, "hardly anybody came and went"

    def _check_publishers(self, data: Iterable[int]) -> None:
        """Check that the numbers come once each, and those of one publisher one after the other."""
        following = [publisher * self.events_each for publisher in range(PUBLISHERS)]
        for number in data:
            publisher = number // self.events_each
            assert number == following[publisher], "an event was lost, doubled, or overtaken by a later one"
            following[publisher] += 1
        assert following == [(publisher + 1) * self.events_each for publisher in range(PUBLISHERS)], (
            "events are missing"
        )

    def _note(self, event: Event[Any]) -> None:
        self.got[1].append(event)

    def _publish(self, publisher: int) -> None:
        publish = self.bus.publish
        first = publisher * self.events_each
        try:
            for number in range(first, first + self.events_each):
                publish(A, number)
        finally:
            self._publishing.remove(publisher)

    def _come_and_go(self, event_type: EventType | None) -> None:
        while self._publishing:
            got: list[Event[Any]] = []
            subscription = self.bus.subscribe(event_type, got.append)
            assert subscription()
            ids = [event.id for event in got]  # a call that had begun in another thread may still arrive
            assert len(ids) == len(set(ids)), "an event was delivered twice"
            self.comings += 1


def test_eight_threads_publish_a_hundred_thousand_events_each():
    """Each steady handler gets each of 800,000 events once, a publisher's in order; history is numbered in its order."""
    with no_tracing(), many_switches():
        load = Load(EventBus(history_limit=None), 100_000)
        load.run()
        load.check()


def test_numbering_outside_the_lock_does_not_pass():
    """Control: a bus that draws a number in one step and uses it in another is found out."""
    with no_tracing(), many_switches():
        load = Load(NumbersLate(history_limit=None), 5_000)
        load.run()
        with pytest.raises(AssertionError, match="history is not in order"):
            load.check()


def test_a_few_events_with_switches_at_every_line():
    """The same holds when the threads take turns in the middle of everything, wherever a line of the bus ends."""
    with no_tracing(), many_switches(), switches_everywhere():
        load = Load(EventBus(history_limit=None), 1_500)
        load.run()
        load.check()


def test_without_its_lock_the_bus_does_not_pass():
    """Control: with such switches, a bus without its lock loses events, or trips over itself."""
    with no_tracing(), many_switches(), switches_everywhere():
        load = Load(bus_without_lock(history_limit=None), 250)
        with pytest.raises((AssertionError, AttributeError, KeyError, RuntimeError, ValueError, IndexError)):
            load.run()
            load.check()
