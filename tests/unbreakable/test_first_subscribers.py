"""The very first subscriptions to a bus, by many threads at once."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

from atlas_lab import Event, EventBus, EventType

from .guards import LooksThenMakes, no_tracing, switches_everywhere
from .threads import all_at_once, many_switches

A = EventType.AGENT_STARTED
THREADS = 8
BATCH = 20  # buses that the threads go through between two meetings: few, or they would run away from one another


def note(got: list[int], thread: int, event: Event[Any]) -> None:
    got.append(thread)


def find_lost(make_bus: Callable[[], EventBus], buses: int) -> list[list[int]]:
    """Have eight threads subscribe to each of many fresh buses; return who heard an event where not all did once."""
    batch: list[tuple[EventBus, list[int]]] = []
    lost: list[list[int]] = []

    def check_and_renew() -> None:
        for bus, got in batch:
            bus.publish(A)
            if sorted(got) != list(range(THREADS)):
                lost.append(got)
        batch[:] = [(make_bus(), []) for _ in range(BATCH)]

    meeting = threading.Barrier(THREADS, check_and_renew)

    def subscribe(thread: int) -> None:
        try:
            for _ in range(buses // BATCH):
                meeting.wait()
                for bus, got in batch:
                    bus.subscribe(A, functools.partial(note, got, thread))
            meeting.wait()
        except BaseException:
            meeting.abort()
            raise

    all_at_once([functools.partial(subscribe, thread) for thread in range(THREADS)])
    return lost


def test_twenty_thousand_fresh_buses_lose_no_first_subscriber():
    """Whichever of eight threads comes first to a fresh bus, all are heard, each once."""
    with no_tracing(), many_switches():
        assert find_lost(EventBus, 20_000) == []


def test_looking_before_making_does_not_pass():
    """Control: a bus that looks for a list of handlers and then makes one loses some of them."""
    with no_tracing(), many_switches(), switches_everywhere(10):
        assert find_lost(LooksThenMakes, 400) != []
