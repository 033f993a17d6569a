"""The Blinker signal behind an event type: connecting, disconnecting and sending through it."""

from __future__ import annotations

import gc
import logging
import threading
import weakref
from enum import Enum
from typing import Any

import blinker
import pytest

from atlas_lab import BusClosedError, Event, EventBus, EventType
from atlas_lab.subscription import Route
from atlas_lab.testing.contract.workers import PATIENCE, in_threads, many_switches

CHUNK = EventType.STREAM_CHUNK
DONE = EventType.STREAM_COMPLETED


class Order(Enum):
    PLACED = "placed"


class Listener:
    def __init__(self) -> None:
        self.got: list[Any] = []

    def hear(self, event: Event[Any]) -> None:
        self.got.append(event.data)


@pytest.mark.parametrize("event_type", [CHUNK, Order.PLACED])
def test_each_type_of_each_bus_has_one_signal_of_its_own(event_type):
    """The same signal every time, a Blinker signal, and none that another bus or Blinker's namespace knows."""
    bus = EventBus()
    signal = bus.get_signal(event_type)
    assert isinstance(signal, blinker.Signal)
    assert bus.get_signal(event_type) is signal
    assert bus.get_signal(DONE) is not signal
    assert EventBus().get_signal(event_type) is not signal
    assert "PLACED" in signal.__doc__ or "STREAM_CHUNK" in signal.__doc__
    assert not any(one is signal for one in blinker.default_namespace.values())


def test_an_enum_that_is_defined_again_and_again_leaves_nothing_behind():
    """A cell that defines event types can run any number of times; the bus keeps the signal, and one way to find it."""
    bus = EventBus()
    versions = [Enum("Step", "NEXT") for _ in range(50)]
    assert len({id(bus.get_signal(version.NEXT)) for version in versions}) == 1
    assert len(bus._signals._latest) == len(bus._signals.all()) == 1


def test_what_is_connected_receives_what_is_published():
    """Connecting to the signal is subscribing to the bus, and it returns the receiver, as in Blinker."""
    bus = EventBus()
    got: list[Event[Any]] = []

    def hear(event: Event[Any]) -> None:
        got.append(event)

    assert bus.get_signal(CHUNK).connect(hear) is hear
    event_id = bus.publish(CHUNK)
    bus.publish(DONE)
    assert [event.id for event in got] == [event_id]
    assert [token.handler_name for token in bus.subscriptions()] == [hear.__qualname__]


def test_a_decorated_receiver_is_connected():
    """``@signal.connect`` works as with any Blinker signal."""
    bus = EventBus()
    got: list[Any] = []

    @bus.get_signal(CHUNK).connect
    def hear(event: Event[Any]) -> None:
        got.append(event.data)

    bus.publish(CHUNK, 1)
    assert got == [1] and callable(hear)


@pytest.mark.parametrize("options, weak", [({}, True), ({"weak": True}, True), ({"weak": False}, False)])
def test_a_connected_method_is_held_as_asked(options, weak):
    """A bound method is held weakly, as Blinker does by default, or strongly with ``weak=False``."""
    bus = EventBus()
    listener = Listener()
    bus.get_signal(CHUNK).connect(listener.hear, **options)
    bus.publish(CHUNK, 1)
    assert listener.got == [1]
    reference = weakref.ref(listener)
    del listener
    gc.collect()
    assert (reference() is None) == weak
    assert len(bus.subscriptions()) == (not weak)


@pytest.mark.parametrize("weak", [True, False])
def test_disconnecting_ends_every_subscription_of_the_receiver_to_that_type(weak):
    """Also those made by `subscribe`; other types and other receivers stay."""
    bus = EventBus()
    listener, other = Listener(), Listener()
    signal = bus.get_signal(CHUNK)
    signal.connect(listener.hear, weak=weak)
    bus.subscribe(CHUNK, listener.hear)
    bus.subscribe(DONE, listener.hear)
    signal.connect(other.hear)
    signal.disconnect(listener.hear)
    bus.publish(CHUNK, 1)
    bus.publish(DONE, 2)
    assert (listener.got, other.got) == ([2], [1])
    signal.disconnect(listener.hear)


def test_a_receiver_may_leave_while_another_is_looked_for():
    """Comparing receivers runs their own code, which may end subscriptions; those are passed over."""
    bus = EventBus()

    class Leaving:
        __hash__ = None

        def __call__(self, event: Event[Any]) -> None:
            pass

        def __eq__(self, other: object) -> bool:
            for token in tokens:
                token()
            return False

    tokens = [bus.subscribe(CHUNK, Leaving()) for _ in range(3)]
    bus.get_signal(CHUNK).disconnect(print)
    assert bus.subscriptions() == []


def test_the_end_of_one_of_two_leaves_the_other_to_be_replaced():
    """Of two subscriptions of one decorated function, the one that is left still gives way when its cell runs again."""
    bus = EventBus()
    cell = compile("@bus.on(CHUNK)\n@bus.on(DONE)\ndef hear(event): pass", "cell", "exec")
    names = {"__name__": "notebook", "bus": bus, "CHUNK": CHUNK, "DONE": DONE}
    exec(cell, names)
    first, second = bus.subscriptions()
    first()
    exec(cell, names)
    assert not second.active
    assert len(bus.subscriptions()) == 2


def test_what_listens_to_a_type_and_others_leaves_all_of_them():
    """A subscription to several types that is disconnected from one of their signals ends as a whole."""
    bus = EventBus()
    listener = Listener()
    token = bus.subscribe([CHUNK, DONE], listener.hear)
    bus.get_signal(DONE).disconnect(listener.hear)
    bus.publish(CHUNK)
    assert not token.active and listener.got == []


def test_send_calls_the_receivers_in_order_and_does_nothing_else():
    """No middleware, no history; the results come back with what was called, as in Blinker."""
    bus = EventBus()
    order: list[str] = []
    bus.subscribe(CHUNK, lambda event: order.append("low"))
    bus.subscribe(None, lambda event: order.append("all"), priority=1)
    bus.subscribe(CHUNK, lambda event: order.append("high"), priority=2)
    entry = bus.add_middleware(lambda event: None)
    results = bus.get_signal(CHUNK).send(Event(CHUNK))
    assert order == ["high", "all", "low"]
    assert [result for _, result in results] == [None, None, None]
    assert len(bus.history) == entry.stats.seen == bus.stats().accepted == 0


def test_send_isolates_no_errors():
    """What a receiver raises reaches who sends."""
    bus = EventBus()
    bus.subscribe(CHUNK, lambda event: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        bus.get_signal(CHUNK).send(Event(CHUNK))
    assert len(bus.history) == 0


def test_calls_through_send_are_counted_right():
    """A token counts the calls of its handler, also those by `send`, and never less than none."""
    bus = EventBus()
    plain = bus.subscribe(CHUNK, lambda event: None)
    picky = bus.subscribe(CHUNK, lambda event: None, where=lambda event: False)
    for count in (1, 2):
        bus.get_signal(CHUNK).send(Event(CHUNK))
        assert (plain.calls, picky.calls) == (count, 0)
        assert bus.stats().calls == count


def test_a_sender_is_refused():
    """Filtering by Blinker's sender would not do what it says; the message names what does."""
    bus = EventBus()
    with pytest.raises(
        TypeError, match=r"^a bus's signal has no senders; use bus\.subscribe\(\.\.\., source=\.\.\.\) to "
    ):
        bus.get_signal(CHUNK).connect(lambda event: None, sender="model")
    assert bus.subscriptions() == []


def test_the_signal_of_a_bus_that_is_gone_says_so():
    """A signal does not keep its bus alive, and connecting to one left over is an error."""
    bus = EventBus()
    signal = bus.get_signal(CHUNK)
    reference = weakref.ref(bus)
    del bus
    gc.collect()
    assert reference() is None
    with pytest.raises(BusClosedError, match="^the bus of this signal is gone$"):
        signal.connect(print)


def test_connecting_says_what_weak_may_be():
    """As everywhere: the argument, what it may be, and what came."""
    signal = EventBus().get_signal(CHUNK)
    with pytest.raises(TypeError, match="^weak must be True or False, got int 1$"):
        signal.connect(print, weak=1)
    assert not signal.receivers


def test_receivers_that_cannot_be_compared_are_told_apart():
    """Disconnecting one whose comparison raises ends its subscription, and that of no other."""

    class Odd:
        def __init__(self, name: str) -> None:
            self.name = name

        def __eq__(self, other: object) -> bool:
            raise RuntimeError("compared")

        __hash__ = object.__hash__

        def __call__(self, event: Event[Any]) -> None:
            got.append(self.name)

    bus, got = EventBus(), []
    signal = bus.get_signal(CHUNK)
    one, other = Odd("one"), Odd("other")
    signal.connect(one)
    signal.connect(other)
    signal.disconnect(one)
    bus.publish(CHUNK)
    assert got == ["other"]


def test_connecting_to_the_signal_of_a_closed_bus_is_an_error():
    """What was got before closing takes nobody in afterwards."""
    bus = EventBus()
    signal = bus.get_signal(CHUNK)
    bus.close()
    with pytest.raises(BusClosedError):
        signal.connect(print)


def test_connecting_is_safe_from_many_threads():
    """Concurrent connect and disconnect of one signal lose and leave nothing."""
    bus = EventBus()
    signal = bus.get_signal(CHUNK)

    def work(name: str) -> None:
        for _ in range(100):
            listener = Listener()
            signal.connect(listener.hear)
            bus.publish(CHUNK, name)
            assert name in listener.got
            signal.disconnect(listener.hear)
            bus.publish(CHUNK, f"{name}, too late")
            assert f"{name}, too late" not in listener.got

    with many_switches():
        in_threads(*[lambda name=name: work(name) for name in "abcd"])
    assert bus.subscriptions() == []


@pytest.mark.parametrize("then", [EventBus.close, lambda bus: bus.subscribe(DONE, print)], ids=["close", "subscribe"])
@pytest.mark.parametrize("heard", [0, 1, 2])
def test_the_log_tells_of_an_object_that_died_unheard(heard, then, caplog):
    """A handler that never ran because nobody kept its object is a mistake worth a warning; one that ran is not."""
    bus = EventBus()
    listener = Listener()
    bus.subscribe(CHUNK, listener.hear)
    for number in range(heard):
        bus.publish(CHUNK, number)
    del listener
    gc.collect()
    bus.publish(CHUNK)
    assert caplog.records == [], "not while somebody publishes"
    then(bus)
    expected = (
        "Listener.hear was never called: its object was garbage-collected before an event came. "
        "Keep a reference to the object, or subscribe with weak=False."
    )
    assert [record.getMessage() for record in caplog.records] == ([] if heard else [expected])
    assert {record.levelname for record in caplog.records} <= {"WARNING"}


def test_what_departed_can_be_named():
    """`departed` gives the subscriptions whose object is gone, oldest first, and not those that were ended."""
    bus = EventBus()
    listeners = [Listener() for _ in range(3)]
    first, second, third = [bus.subscribe([CHUNK, DONE], listener.hear) for listener in listeners]
    assert bus.departed() == []
    third()
    bus.publish(CHUNK)
    while listeners:
        listeners.pop(0)
        gc.collect()
    assert bus.departed() == [first, second]
    assert not (first.active or second.active)
    assert bus.departed() == [first, second]


def test_the_departed_that_are_named_are_bounded(caplog):
    """A bus whose listeners come and go for ever remembers the latest hundred, and warns of no more at once."""
    bus = EventBus()
    listeners = [Listener() for _ in range(101)]
    tokens = [bus.subscribe(CHUNK, listener.hear) for listener in listeners]
    listeners.reverse()  # a list lets go from its end
    listeners.clear()
    assert bus.departed() == tokens[1:]
    bus.close()
    assert len(caplog.records) == 100


def test_a_finalizer_may_subscribe_while_receivers_are_looked_up(monkeypatch):
    """Garbage may be collected anywhere, and its finalizer may subscribe; what it subscribed gets the next event."""
    bus = EventBus()
    got: list[Any] = []
    bus.publish(CHUNK)
    bus.subscribe(CHUNK, print)
    finalizers = [lambda: bus.subscribe(CHUNK, lambda event: got.append(event.data))]

    def collecting(*args: Any) -> Route:
        while finalizers:
            finalizers.pop()()
        return Route(*args)

    monkeypatch.setattr("atlas_lab.signal_table.Route", collecting)
    for number in range(2):
        bus.publish(CHUNK, number)
    assert got == [0, 1]


def test_no_lock_is_held_while_a_lost_handler_is_logged():
    """A logging handler may wait for a thread that uses the bus."""
    bus = EventBus()
    free: list[bool] = []

    class Asking(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            asking = threading.Thread(target=bus.subscriptions, daemon=True)
            asking.start()
            asking.join(PATIENCE)
            free.append(not asking.is_alive())

    handler = Asking()
    logger = logging.getLogger("atlas_lab")
    logger.addHandler(handler)
    try:
        listener = Listener()
        bus.subscribe(CHUNK, listener.hear)
        del listener
        bus.publish(CHUNK)
        bus.subscribe(CHUNK, print)
    finally:
        logger.removeHandler(handler)
    assert free == [True]
