"""replay: order, pace, ids, causes, scopes, clocks, and what is left out."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import random
import signal
import sys
import time
from collections import Counter
from enum import Enum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import atlas_lab
from atlas_lab import (
    BusClosedError,
    Event,
    EventBus,
    EventType,
    HandlerErrors,
    MiddlewareError,
    ReplayClock,
    ScopedEventBus,
    drop,
    load_flights,
    replay,
    to_frame,
)
from atlas_lab.datasets import FlightEvent

ASSIGNED, COMPLETED = EventType.AGENT_TASK_ASSIGNED, EventType.AGENT_TASK_COMPLETED
CHUNK = EventType.STREAM_CHUNK


class Order(Enum):
    PLACED = "placed"
    PAID = "paid"


class FakeTime:
    """A clock that only sleeping and handlers move."""

    def __init__(self):
        self.now = 100.0
        self.slept = []

    def timer(self):
        return self.now

    def sleep(self, seconds):
        assert seconds > 0
        self.slept.append(seconds)
        self.now += seconds


def shop(bus):
    """Put a system on a bus that answers each order, twice over, with a payment in between that may fail."""

    @bus.on(Order.PLACED)
    def pay(event):
        bus.publish(Order.PAID, event.data, "till", {"for": event.id})

    @bus.on(Order.PAID)
    def pack(event):
        bus.publish(ASSIGNED, event.data, "packer")

    return bus


def run():
    """A history of a system of causes: order, payment, task, three levels deep."""
    times = itertools.count(1000.0, 0.5)
    bus = shop(EventBus(name="shop", history_limit=None, clock=lambda: next(times)))
    for item in ("book", "lamp"):
        bus.publish(Order.PLACED, {"item": item}, "web", {"trace": item})
    return bus


def alike(events):
    """Return what events say beside ids and their place on a bus."""
    place = {event.id: number for number, event in enumerate(events)}
    return [(event.type, event.data, event.source, event.metadata, place.get(event.parent_id)) for event in events]


def at(moment, data=None):
    return Event(CHUNK, data, timestamp=moment)


def test_a_history_comes_out_as_it_was():
    """With ids kept, the new history is the old one: ids, times, sources, parents, scopes, payloads, order."""
    recorded = run()
    bus = EventBus(name="other")
    done = replay(recorded, onto=bus)
    assert list(bus.history) == list(recorded.history)
    assert (done.count, done.skipped, done.first_seq, done.last_seq, done.lag) == (6, 0, 1, 6, None)
    assert done.new_ids == {event.id: event.id for event in recorded.history}
    assert done.seconds > 0


@pytest.mark.parametrize("kind", ["bus", "history", "list", "iterator", "frame"])
def test_it_takes_whatever_holds_events(kind):
    """A bus, its history, a list, an iterator or a frame: the same replay."""
    recorded = run()
    events = {
        "bus": recorded,
        "history": recorded.history,
        "list": list(recorded.history),
        "iterator": iter(recorded.history),
        "frame": recorded.history.to_frame(),
    }[kind]
    bus = EventBus()
    assert replay(events, bus, types=Order).count == 6
    assert list(bus.history) == list(recorded.history)


def test_published_anew_events_have_new_ids_and_the_same_causes():
    """Ids, times and scope come from the bus, what happened and why from the recording."""
    recorded = run()
    numbers = itertools.count()
    bus = EventBus(name="second", clock=lambda: 5.0, new_id=lambda: f"new-{next(numbers)}")
    done = replay(recorded, bus, keep_ids=False)
    assert alike(bus.history) == alike(recorded.history)
    assert [event.id for event in bus.history] == [f"new-{number}" for number in range(6)]
    assert {(event.timestamp, event.scope) for event in bus.history} == {(5.0, "second")}
    assert done.new_ids == dict(
        zip([event.id for event in recorded.history], [event.id for event in bus.history], strict=True)
    )


def test_a_replay_on_the_bus_that_recorded_needs_new_ids():
    """Every event twice under one id would make every table wrong; published anew, the system answers again."""
    bus = run()
    for events in (bus, bus.history):
        with pytest.raises(ValueError, match="would hold each of them twice; pass keep_ids=False"):
            replay(events, bus)
    before = list(bus.history)
    assert replay(bus, bus, keep_ids=False, which="roots").count == 2
    after = list(bus.history)[6:]
    assert [event.data for event in after] == [event.data for event in before]
    assert {event.id for event in before}.isdisjoint(event.id for event in after)


def test_all_events_are_for_those_who_watch():
    """A handler that only watches sees the whole recorded tree, once."""
    recorded = run()
    bus = EventBus()
    seen = []
    bus.subscribe(None, seen.append)
    replay(recorded, bus)
    assert alike(seen) == alike(recorded.history)


@pytest.mark.parametrize("keep_ids", [True, False])
def test_roots_are_for_the_system_itself(keep_ids):
    """Its handlers publish again what follows from the roots, so the same system makes the same tree, once."""
    recorded = run()
    bus = shop(EventBus(name="second"))
    done = replay(recorded, bus, which="roots", keep_ids=keep_ids)
    assert (done.count, done.skipped) == (2, 4)
    assert (done.first_seq, done.last_seq) == (1, 6)
    assert [(event.type, event.data) for event in bus.history] == [
        (event.type, event.data) for event in recorded.history
    ]
    assert [row[-1] for row in alike(bus.history)] == [row[-1] for row in alike(recorded.history)]


def test_a_cause_that_is_not_given_makes_a_root():
    """Of a history that pushed the beginning out, what is left of it is replayed."""
    recorded = run()
    later = list(recorded.history)[1:]
    bus = EventBus()
    done = replay(later, bus, which="roots")
    assert (done.count, done.skipped) == (2, 3)
    assert [event.type for event in bus.history] == [Order.PAID, Order.PLACED]
    assert bus.history[0].parent_id == recorded.history[0].id
    anew = EventBus()
    replay(later, anew, keep_ids=False)
    assert anew.history[0].parent_id is None


def failing(bus):
    """Put a handler on a bus that fails, and one that acts on the report of it."""

    @bus.on(Order.PLACED)
    def broken(event):
        raise LookupError(event.data)

    @bus.on(EventType.HANDLER_ERROR)
    def restart(event):
        bus.publish(EventType.AGENT_STARTED, source="supervisor")

    return bus


def test_reports_of_errors_are_not_replayed_unless_asked_for(caplog):
    """They tell what handlers did; a handler that fails again reports again."""
    caplog.set_level(logging.CRITICAL, "atlas_lab")
    recorded = failing(EventBus())
    recorded.publish(Order.PLACED, "book")
    kinds = [Order.PLACED, EventType.HANDLER_ERROR, EventType.AGENT_STARTED]
    assert [event.type for event in recorded.history] == kinds

    watching = EventBus()
    done = replay(recorded, watching)
    assert (done.count, done.skipped) == (2, 1)
    assert [event.type for event in watching.history] == [kinds[0], kinds[2]]
    assert replay(recorded, EventBus(), errors=True).count == 3

    again = failing(EventBus())
    assert replay(recorded, again, which="roots").count == 1
    assert [event.type for event in again.history] == kinds


def test_what_a_report_led_to_keeps_its_cause(caplog):
    """Published anew without the report, it hangs on the nearest ancestor that was replayed, not in the air."""
    caplog.set_level(logging.CRITICAL, "atlas_lab")
    recorded = failing(EventBus())
    recorded.publish(Order.PLACED, "book")
    bus = EventBus()
    replay(recorded, bus, keep_ids=False)
    assert bus.history[1].parent_id == bus.history[0].id


def test_order_is_that_of_one_history_or_else_of_time():
    """A frame sorted by anything comes out in history order; events of no history come by time, as stable as they are."""
    events = list(run().history)
    mixed = random.Random(2).sample(events, len(events))
    bus = EventBus()
    replay(mixed, bus)
    assert list(bus.history) == events

    loose = [at(3.0, "d"), at(1.0, "a"), at(math.nan, "last"), at(2.0, "b"), at(2.0, "c")]
    bus = EventBus()
    replay(loose, bus)
    assert [event.data for event in bus.history] == ["a", "b", "c", "d", "last"]

    two = [*run().history, *run().history]
    bus = EventBus()
    replay(two, bus)
    assert [event.timestamp for event in bus.history] == sorted(event.timestamp for event in two)


@pytest.mark.parametrize("speed, slept", [(1.0, [1.0, 0.5]), (10, [0.1, 0.05]), (0.5, [2.0, 1.0])])
def test_the_recorded_rhythm_is_kept(speed, slept):
    """At speed 10, what took ten seconds takes one."""
    fake = FakeTime()
    done = replay([at(50.0), at(51.0), at(51.0), at(51.5)], EventBus(), speed=speed, sleep=fake.sleep, timer=fake.timer)
    assert fake.slept == pytest.approx(slept)
    assert done.lag == 0
    assert done.seconds == pytest.approx(sum(slept))


def test_delays_do_not_add_up():
    """A handler that takes 0.3 s a second leaves 0.7 s to wait, and one long delay is caught up with."""
    fake = FakeTime()
    bus = EventBus()
    costs = iter([0.3, 0.3, 2.5, 0.0, 0.0, 0.0])
    when = []

    @bus.on(CHUNK)
    def slow(event):
        when.append(fake.now - 100)
        fake.now += next(costs)

    done = replay([at(float(second)) for second in range(6)], bus, speed=1, sleep=fake.sleep, timer=fake.timer)
    assert when == pytest.approx([0, 1, 2, 4.5, 4.5, 5])
    assert done.lag == pytest.approx(1.5)


def test_a_sleep_that_ends_early_is_taken_up_again():
    """No event comes before its time, whatever wakes the thread."""
    fake = FakeTime()

    def nap(seconds):
        fake.sleep(min(seconds, 0.4))

    when = []
    bus = EventBus()
    bus.subscribe(CHUNK, lambda event: when.append(fake.now - 100))
    replay([at(0.0), at(1.0)], bus, speed=1, sleep=nap, timer=fake.timer)
    assert when == pytest.approx([0, 1])


def test_events_out_of_time_do_not_wait():
    """A flight that left before it was scheduled, or an event without a time, follows at once."""
    fake = FakeTime()
    events = [
        event.replace(seq=place) for place, event in enumerate([at(5.0), at(3.0), at(math.nan), at(6.0)], start=1)
    ]
    done = replay(events, EventBus(), speed=1, sleep=fake.sleep, timer=fake.timer)
    assert fake.slept == [1.0]
    assert done.lag == 0
    assert replay([at(math.nan)], EventBus(), speed=1, sleep=fake.sleep, timer=fake.timer).count == 1


def test_waiting_can_be_interrupted():
    """The stop button ends a day-long replay at once; what came before is on the bus, and a note says where it ended."""
    bus = EventBus()

    def stopped(seconds):
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as raised:
        replay([at(0.0, "first"), at(9e9, "second")], bus, speed=1, sleep=stopped)
    assert [event.data for event in bus.history] == ["first"]
    assert raised.value.__notes__[0].startswith("The replay ended at event 2 of 2, STREAM_CHUNK ")


def test_a_replay_can_set_the_clock():
    """What handlers publish and read during a replay happens in recorded time."""
    clock = ReplayClock()
    bus = EventBus(clock=clock)
    read = []

    @bus.on(CHUNK)
    def answer(event):
        read.append(clock())
        bus.publish(COMPLETED)

    replay([at(1000.0), at(2000.5)], bus, clock=clock)
    assert read == [1000.0, 2000.5]
    assert [event.timestamp for event in bus.history] == [1000.0, 1000.0, 2000.5, 2000.5]
    anew = EventBus(clock=clock)
    replay([at(1000.0), at(2000.5)], anew, clock=clock, keep_ids=False)
    assert [event.timestamp for event in anew.history] == [1000.0, 2000.5]
    assert repr(clock) == "<ReplayClock at 2000.5>"


def test_events_can_go_to_buses_of_their_own():
    """The first notebook sends each flight to the scope of its airport: replay does the same in one call."""

    def region():
        clock = ReplayClock()
        bus = EventBus(name="nyc", history_limit=None, clock=clock)
        airports = {code: ScopedEventBus(bus, code, history_limit=None) for code in ("EWR", "JFK", "LGA")}
        bus.add_middleware(drop(FlightEvent.SCHEDULED))
        in_a_row = Counter()

        @bus.on(FlightEvent.CANCELLED)
        def watch(event):
            in_a_row[event.source] += 1
            if in_a_row[event.source] == 10:
                airports[event.source].publish(EventType.SYSTEM_HEALTH, "shut")

        return clock, bus, airports

    flights = load_flights()
    clock, by_hand, airports = region()
    for event in flights:
        clock.now = event.timestamp
        airports[event.source].emit(event)
    clock, replayed, others = region()
    done = replay(flights, onto=lambda event: others[event.source], clock=clock)

    assert (done.count, done.first_seq, done.last_seq) == (2315, None, None)
    for first, second in zip([by_hand, *airports.values()], [replayed, *others.values()], strict=True):
        assert [(event.type, event.data, event.timestamp, event.scope) for event in first.history] == [
            (event.type, event.data, event.timestamp, event.scope) for event in second.history
        ]
    assert replayed.history.select(EventType.SYSTEM_HEALTH) != []


def test_the_same_history_goes_through_other_middleware():
    """What a middleware would have dropped is seen without running the system again; nothing accepted, no seq."""
    recorded = run()
    bus = EventBus()
    entry = bus.add_middleware(drop(Order.PAID))
    assert replay(recorded, bus).last_seq == 4
    assert entry.stats.dropped == 2
    bus.add_middleware(drop(lambda event: True))
    done = replay(recorded, bus)
    assert (done.count, done.first_seq, done.last_seq) == (6, None, None)


def test_what_stops_a_publish_stops_a_replay():
    """The error says at which event; those before it are on the bus."""
    recorded = run()
    bus = EventBus()

    @bus.add_middleware
    def refuse(event):
        return 1 / 0 if event.type is ASSIGNED else event

    with pytest.raises(MiddlewareError) as raised:
        replay(recorded, bus)
    third = recorded.history[2]
    assert raised.value.__notes__ == [f"The replay ended at event 3 of 6, AGENT_TASK_ASSIGNED {third.id}."]
    assert len(bus.history) == 2

    bus = failing(EventBus(on_error="raise"))
    logging.getLogger("atlas_lab").disabled = True
    try:
        with pytest.raises(HandlerErrors):
            replay(recorded, bus, keep_ids=False)
    finally:
        logging.getLogger("atlas_lab").disabled = False
    bus.close()
    with pytest.raises(BusClosedError):
        replay(recorded, bus)


def test_inside_a_handler_the_replay_has_a_cause():
    """Roots are then caused by the event whose handler replays them, and children still by their own parents."""
    recorded = run()
    bus = EventBus()

    @bus.on(EventType.COMMAND_EXECUTED)
    def again(event):
        replay(recorded, bus, keep_ids=False)

    bus.publish(EventType.COMMAND_EXECUTED)
    rows = alike(bus.history)
    assert [row[-1] for row in rows] == [None, 0, 1, 2, 0, 4, 5]


def test_async_handlers_run_after_the_replay():
    """They are started in order, and the replay does not wait for them."""
    log = []

    async def main():
        bus = EventBus()

        @bus.on(CHUNK)
        async def slow(event):
            log.append(event.data)

        assert replay([at(1.0, "a"), at(2.0, "b")], bus).count == 2
        log.append("replayed")
        await bus.join()

    asyncio.run(main())
    assert log == ["replayed", "a", "b"]


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"events": 3}, TypeError, "events must be a bus, a history, an iterable of Event or a DataFrame"),
        ({"events": "abc"}, TypeError, "events must be a bus"),
        ({"events": [at(1.0), 3]}, TypeError, "events must hold only Event, got int 3 at place 1"),
        ({"events": to_frame([Event(Order.PLACED)])}, ValueError, r"types=\[Order\]"),
        ({"onto": 3}, TypeError, "onto must be an EventBus, or callable"),
        ({"onto": lambda event: 3}, TypeError, "what onto returns for STREAM_CHUNK must be an EventBus, got int 3"),
        ({"speed": 0}, ValueError, "speed must be a number above 0, or None for no waiting, got 0"),
        ({"speed": -1.0}, ValueError, "speed must be"),
        ({"speed": math.nan}, ValueError, "speed must be"),
        ({"speed": math.inf}, ValueError, "speed must be"),
        ({"speed": "fast"}, TypeError, "speed must be a number above 0"),
        ({"keep_ids": 1}, TypeError, "keep_ids must be True or False"),
        ({"which": "children"}, ValueError, "which must be 'all' or 'roots', got 'children'"),
        ({"errors": None}, TypeError, "errors must be True or False"),
        ({"clock": time.time}, TypeError, "clock must be a ReplayClock or None"),
    ],
)
def test_wrong_arguments_are_told(arguments, error, message):
    """Before anything is published."""
    bus = EventBus()
    with pytest.raises(error, match=message):
        replay(**({"events": [at(1.0)], "onto": bus} | arguments))
    assert len(bus.history) == 0


def test_replay_works_without_tqdm(monkeypatch):
    """The core has no tqdm; the bar is left out, nothing else."""
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    assert replay(run(), EventBus()).count == 6


def test_public_names_are_the_functions():
    """Whatever is imported first: a module of the same name would hide the function."""
    assert callable(atlas_lab.replay)
    assert atlas_lab.ReplayClock is ReplayClock


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(-1, 12), st.booleans()), max_size=13), st.randoms())
def test_any_tree_of_causes_keeps_its_shape(plan, chance):
    """Whatever caused what, in whatever order the events are given: published anew, the shape is the same."""
    events = []
    for number, (cause, is_error) in enumerate(plan):
        parent = events[cause].id if 0 <= cause < number else None
        kind = EventType.HANDLER_ERROR if is_error else CHUNK
        events.append(Event(kind, number, parent_id=parent, seq=number + 1))
    bus = EventBus(history_limit=None)
    done = replay(chance.sample(events, len(events)), bus, keep_ids=False, errors=True)
    assert alike(bus.history) == alike(events)
    assert done.count == len(events)

    roots = EventBus(history_limit=None)
    replay(events, roots, which="roots", errors=True)
    assert [event.id for event in roots.history] == [event.id for event in events if event.parent_id is None]
