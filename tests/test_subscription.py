"""A token by itself: what it shows, counts and does when it is over."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest

from atlas_lab import Event, EventBus, EventType, Subscription, safe_subscribe
from atlas_lab.subscription import Route, Slot

CHUNK = EventType.STREAM_CHUNK
DONE = EventType.STREAM_COMPLETED


class Order(Enum):
    PLACED = "placed"


def handle(event: Event[Any]) -> None:
    if event.data == "bad":
        raise ValueError(event.data)


@pytest.mark.parametrize(
    "event_type, types",
    [(CHUNK, "STREAM_CHUNK"), ([DONE, Order.PLACED], "STREAM_COMPLETED, Order.PLACED"), (None, "every type")],
)
def test_a_token_shows_what_it_is(event_type, types):
    """Handler, event types, state, calls and failures, for whoever looks at it in a notebook."""
    bus = EventBus()
    token = bus.subscribe(event_type, handle)
    assert repr(token) == f"<Subscription handle to {types}: active, 0 calls>"
    assert token.last_error is None
    for data in ("good", "bad"):
        for one in (CHUNK, DONE, Order.PLACED):
            bus.publish(one, data)
    calls, errors = token.calls, token.errors
    assert (calls, errors) == {"every type": (9, 3)}.get(types, (2 * (types.count(",") + 1), types.count(",") + 1))
    assert (bus.stats().calls, bus.stats().errors, token.last_error) == (calls, errors, "ValueError: bad")
    token.pause()
    assert repr(token) == f"<Subscription handle to {types}: paused, {calls} calls, {errors} failed>"
    token.resume()
    assert repr(token) == f"<Subscription handle to {types}: active, {calls} calls, {errors} failed>"
    token()
    assert repr(token) == f"<Subscription handle to {types}: ended, {calls} calls, {errors} failed>"


def test_paused_says_yes_or_no():
    """``paused`` is a bool, whatever was done before, and what is over is not paused."""
    token = EventBus().subscribe(CHUNK, handle)
    states = [token.paused]
    for step in (token.pause, token.pause, token.resume, token.resume, token, token.pause):
        step()
        states.append(token.paused)
    assert states == [False, True, True, False, False, False, False]


def test_a_token_knows_since_when_it_stands():
    """``created_at`` is the time of the bus's clock, and a token is not isolated unless it was asked to be."""
    times = iter([5.0, 6.0])
    bus = EventBus(clock=lambda: next(times))
    tokens = [bus.subscribe(CHUNK, handle), safe_subscribe(bus, CHUNK, handle)]
    assert [token.created_at for token in tokens] == [5.0, 6.0]
    assert [token.isolated for token in tokens] == [False, True]


class Collector:
    """A recorder that does nothing."""

    def collect(self, event: Event[Any]) -> None:
        """Take an event."""

    def around(self, subscription: Subscription, slot: Slot) -> Slot:
        return slot

    def awaiting(self, subscription: Subscription, slot: Slot) -> Slot:
        return slot


def test_what_belongs_to_no_subscription_stands_in_front_of_all():
    """The place of a slot is that of its subscription; recorders, and what is no slot, are before the first."""
    bus = EventBus()
    tokens = tuple(bus.subscribe(CHUNK, handle) for _ in range(2))
    route = Route(tokens, (Collector(), Collector(), Collector()))
    assert [route.position(slot) for slot in route.slots] == [-1, -1, -1, 0, 1]
    assert [route.position(slot) for slot in (None, print)] == [-1, -1]


def test_a_token_knows_the_type_that_payloads_are_checked_against():
    """Tools can offer a form for it; the annotation of a handler counts as well as the argument."""
    bus = EventBus()
    assert bus.subscribe(CHUNK, handle).data_type is None
    assert bus.subscribe(CHUNK, handle, data_type=dict).data_type is dict

    @bus.on(CHUNK)
    def typed(event: Event[int]) -> None: ...

    assert bus.subscriptions()[-1].data_type is int
