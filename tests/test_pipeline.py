"""Middleware on the fast path and beside it: what is sampled, counted and snapshotted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest

from atlas_lab import BusClosedError, Event, EventBus, EventType, MiddlewareError
from atlas_lab.stage import SAMPLE_EVERY
from atlas_lab.testing.contract.workers import PATIENCE

CHUNK = EventType.STREAM_CHUNK
DONE = EventType.STREAM_COMPLETED


def pass_on(event: Event[Any]) -> Event[Any]:
    return event


def publish_many(bus: EventBus, count: int) -> None:
    for number in range(count):
        bus.publish(CHUNK, number)


@pytest.mark.parametrize("count", [1, 2, SAMPLE_EVERY, SAMPLE_EVERY + 1, 3 * SAMPLE_EVERY])
def test_passes_are_counted_however_many_there_are(count):
    """The shared count of passes and the sampled ones add up, whenever one looks."""
    bus = EventBus()
    entries = [bus.add_middleware(pass_on) for _ in range(3)]
    publish_many(bus, count)
    assert [entry.stats.passed for entry in entries] == [count] * 3
    publish_many(bus, count)
    assert [entry.stats.seen for entry in entries] == [2 * count] * 3


def test_at_least_one_event_in_many_is_timed():
    """Also when nothing ever happens but passing."""
    bus = EventBus()
    entry = bus.add_middleware(pass_on)
    publish_many(bus, 3 * SAMPLE_EVERY)
    assert 3 <= entry.timed <= 4, "the others cost no more than a call"
    assert entry.stats.total_time > 0


def test_time_is_that_of_the_entry(monkeypatch):
    """Seconds in an entry are measured around it, and scaled from the events timed to all it saw."""
    now = [0.0]
    monkeypatch.setattr("atlas_lab.stage.perf_counter", lambda: now[0])

    def slow(event: Event[Any]) -> Event[Any]:
        now[0] += 2.0
        return event

    bus = EventBus()
    fast, slow_entry = bus.add_middleware(pass_on), bus.add_middleware(slow)
    publish_many(bus, 10)
    assert fast.stats.total_time == 0.0
    assert slow_entry.stats.total_time == pytest.approx(20.0)
    publish_many(bus, 2 * SAMPLE_EVERY)
    assert slow_entry.timed > 1
    assert slow_entry.stats.total_time == pytest.approx(20.0 + 4.0 * SAMPLE_EVERY)


@pytest.mark.parametrize("outcome", ["pass", "transform", "drop", "raise"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_outcome_on_the_fast_path_is_booked_to_the_right_entries(outcome, place):
    """The entries before it passed the event, the ones after it passed it too or never saw it; each ran once."""
    bus = EventBus()
    calls: list[Enum] = []

    def act(event: Event[Any]) -> Event[Any] | None:
        calls.append(event.type)
        if event.type is DONE:
            return event
        if outcome == "raise":
            raise ValueError
        return {"pass": event, "transform": event.replace(source="x"), "drop": None}[outcome]

    entries = [bus.add_middleware(act if number == place else pass_on) for number in range(3)]
    bus.publish(DONE)
    try:
        bus.publish(CHUNK)
    except MiddlewareError:
        assert outcome == "raise"
    assert calls == [DONE, CHUNK]
    stats = [entry.stats for entry in entries]
    name = {"pass": "passed", "transform": "transformed", "drop": "dropped", "raise": "raised"}[outcome]
    for number, one in enumerate(stats):
        if number == place:
            assert getattr(one, name) == (2 if outcome == "pass" else 1) and one.seen == 2
        else:
            reached = number < place or outcome in {"pass", "transform"}
            assert (one.passed, one.seen) == ((2, 2) if reached else (1, 1))


def test_changing_the_event_and_back_is_transforming():
    """Two entries that undo each other's work still both transformed the event, and it is counted once."""
    bus = EventBus()
    originals: list[Event[Any]] = []

    def change(event: Event[Any]) -> Event[Any]:
        originals.append(event)
        return event if event.type is DONE else event.replace(source="x")

    first = bus.add_middleware(change)
    second = bus.add_middleware(lambda event: originals[-1])
    publish_many(bus, 1)
    bus.publish(DONE)
    publish_many(bus, 1)
    for entry in (first, second):
        assert (entry.stats.transformed, entry.stats.passed, entry.stats.seen) == (2, 1, 3)
    assert [event.seq for event in bus.history] == [1, 2, 3]
    copied = [event is not original for event, original in zip(bus.history, originals, strict=True)]
    assert copied == [True, False, True]


@pytest.mark.parametrize("send", [EventBus.publish, lambda bus, event_type: bus.emit(Event(event_type, seq=7))])
def test_middleware_sees_an_event_that_has_no_number_yet(send):
    """An event gets its ``seq`` when it is accepted, on the fast path as beside it."""
    bus = EventBus()
    seen: list[int] = []
    bus.add_middleware(lambda event: seen.append(event.seq) or event)
    for _ in range(3):
        send(bus, CHUNK)
    assert seen == [0, 0, 0]
    assert [event.seq for event in bus.history] == [1, 2, 3]


def test_an_event_from_elsewhere_is_numbered_as_a_copy():
    """Middleware may return an event that another bus has numbered, or none has; neither is changed."""
    other, bus = EventBus(), EventBus(name="run")
    other.publish(CHUNK, "stored")
    stored, fresh = other.history[0], Event(CHUNK, "fresh")
    answers = iter([stored, fresh, stored])
    bus.add_middleware(lambda event: next(answers))
    publish_many(bus, 3)
    assert [(event.seq, event.data, event.scope) for event in bus.history] == [
        (1, "stored", ""),
        (2, "fresh", "run"),
        (3, "stored", ""),
    ]
    assert (stored.seq, fresh.seq, fresh.scope) == (1, 0, None)


def test_an_entry_added_under_way_gets_the_next_event():
    """Adding middleware from inside middleware changes nothing for the event in flight."""
    bus = EventBus()
    seen: list[Any] = []

    def grow(event: Event[Any]) -> Event[Any]:
        if len(bus.middleware) == 1:
            bus.add_middleware(lambda event: seen.append(event.data) or event)
        return event

    bus.add_middleware(grow)
    publish_many(bus, 3)
    assert seen == [1, 2]


def test_an_entry_switched_on_under_way_gets_the_next_event():
    """The event in flight passes it by, and it does not count as seen."""
    bus = EventBus()

    def switch(event: Event[Any]) -> Event[Any]:
        later.enabled = True
        return event

    bus.add_middleware(switch)
    later = bus.add_middleware(pass_on)
    later.enabled = False
    publish_many(bus, 2)
    assert later.stats.seen == 1


def test_an_event_under_way_while_an_entry_is_switched_is_counted_once():
    """What another thread is passing through when the middleware changes is booked to the entries it saw."""
    bus = EventBus()
    inside, go_on = threading.Event(), threading.Event()

    def wait(event: Event[Any]) -> Event[Any]:
        if event.data == "slow":
            inside.set()
            assert go_on.wait(PATIENCE)
        return event

    first = bus.add_middleware(pass_on)
    waiting = bus.add_middleware(wait)
    other = bus.add_middleware(pass_on, name="other", before=first)
    bus.publish(CHUNK)
    thread = threading.Thread(target=bus.publish, args=(CHUNK, "slow"), daemon=True)
    thread.start()
    assert inside.wait(PATIENCE)
    other.enabled = False
    bus.publish(CHUNK)
    go_on.set()
    thread.join(PATIENCE)
    assert [entry.stats.passed for entry in (first, waiting, other)] == [3, 3, 2]


def test_switching_off_the_last_entry_leaves_the_pipeline_empty():
    """With nothing switched on, events take the way of a bus without middleware."""
    bus = EventBus()
    entry = bus.add_middleware(lambda event: None)
    entry.enabled = False
    assert bus._pipeline.stage is None
    bus.publish(CHUNK)
    assert len(bus.history) == 1 and entry.active


@pytest.mark.parametrize("again", [True, False])
def test_switching_to_the_same_state_changes_nothing(again):
    """Counts and place stay."""
    bus = EventBus()
    entry = bus.add_middleware(pass_on)
    entry.enabled = again
    publish_many(bus, 2)
    entry.enabled = again
    assert entry.stats.seen == (2 if again else 0)


def test_names_that_are_taken_get_a_number():
    """Entries of one function can be told apart."""
    bus = EventBus()
    assert [bus.add_middleware(pass_on).name for _ in range(3)] == ["pass_on", "pass_on (2)", "pass_on (3)"]


@pytest.mark.parametrize(
    "names, there", [([], "none"), (["first"], "'first'"), (["first", "quiet"], "'first', 'quiet'")]
)
def test_a_place_that_is_not_there_is_refused(names, there):
    """The message names what was asked for, be it a name or an entry of another bus, and what there is."""
    bus, other = EventBus(), EventBus()
    for name in names:
        bus.add_middleware(pass_on, name=name)
    for wrong in ("lost", other.add_middleware(pass_on, name="lost")):
        with pytest.raises(ValueError, match=f"^before names no middleware of this bus: 'lost'; there are: {there}$"):
            bus.add_middleware(pass_on, before=wrong)
    assert [entry.name for entry in bus.middleware] == names


async def later(event: Event[Any]) -> Event[Any]:
    return event


@pytest.mark.parametrize(
    "function, options, message",
    [
        (5, {}, "middleware must be callable with one event, got int 5"),
        (later, {}, "middleware runs inside publish and cannot be async, got later"),
        (pass_on, {"name": 5}, "name must be a str or None, got int 5"),
    ],
)
def test_what_cannot_be_an_entry_is_refused(function, options, message):
    """The message names what is wrong, what it may be, and what came."""
    bus = EventBus()
    with pytest.raises(TypeError, match=f"^{message}$"):
        bus.add_middleware(function, **options)
    assert bus.middleware == ()


def three_entries() -> tuple[EventBus, list]:
    bus = EventBus()
    return bus, [bus.add_middleware(pass_on, name=name) for name in ("first", "second", "third")]


@pytest.mark.parametrize(
    "moved, before, order",
    [
        ("third", "first", ["third", "first", "second"]),
        ("first", "third", ["second", "first", "third"]),
        ("first", None, ["second", "third", "first"]),
        ("third", None, ["first", "second", "third"]),
        ("second", "second", ["first", "second", "third"]),
        ("second", "third", ["first", "second", "third"]),
    ],
)
@pytest.mark.parametrize("by_name", [True, False])
def test_an_entry_moves_to_another_place(moved, before, order, by_name):
    """The next event meets the entries in their new order, and what they counted stays."""
    bus, entries = three_entries()
    named = {entry.name: entry for entry in entries}
    publish_many(bus, 2)
    named[moved].move(before if by_name or before is None else named[before])
    assert [entry.name for entry in bus.middleware] == order
    publish_many(bus, 1)
    assert [entry.stats.passed for entry in entries] == [3, 3, 3]


def test_an_entry_moved_under_way_lets_the_event_finish_in_the_old_order():
    """Each entry sees an event once, also while their order is changed."""
    bus, met = EventBus(), []

    def note(name):
        def noted(event):
            met.append(name)
            if name == "first" and event.data == 0:
                entries["third"].move(before="first")
            return event

        return noted

    entries = {name: bus.add_middleware(note(name), name=name) for name in ("first", "second", "third")}
    publish_many(bus, 2)
    assert met == ["first", "second", "third", "third", "first", "second"]
    assert [entry.stats.seen for entry in entries.values()] == [2, 2, 2]


def test_an_entry_that_is_off_moves_and_stays_off():
    """A place is a place, switched on or not."""
    bus, (first, _, third) = three_entries()
    third.enabled = False
    third.move(before=first)
    publish_many(bus, 1)
    assert [(entry.name, entry.stats.seen) for entry in bus.middleware] == [("third", 0), ("first", 1), ("second", 1)]


def test_a_move_that_cannot_be_is_refused_and_changes_nothing():
    """The message names what is there, or says that the entry itself is gone."""
    bus, (first, second, third) = three_entries()
    with pytest.raises(ValueError, match="^before names no middleware of this bus: 'lost'; there are: 'first', "):
        first.move(before="lost")
    with pytest.raises(TypeError, match="^before must be a Middleware, or the name of one, got int 1$"):
        first.move(before=1)
    third.remove()
    with pytest.raises(ValueError, match="^middleware 'third' was removed from its bus; add it again with "):
        third.move(before=first)
    assert bus.middleware == (first, second)


def test_an_entry_shows_what_it_is():
    """Name, state and counts, for whoever looks at it in a notebook."""
    bus = EventBus()
    outcomes = iter(["pass", "change", "change", "drop", "drop", "drop", "raise", "raise", "raise", "raise"])

    def act(event: Event[Any]) -> Event[Any] | None:
        outcome = next(outcomes)
        if outcome == "raise":
            raise ValueError
        return {"pass": event, "change": event.replace(source="x"), "drop": None}[outcome]

    entry = bus.add_middleware(act, name="act")
    for _ in range(10):
        try:
            bus.publish(CHUNK)
        except MiddlewareError:
            continue
    counts = "10 seen, 1 passed, 2 transformed, 3 dropped, 4 raised"
    assert repr(entry) == f"<Middleware 'act': {counts}>"
    entry.enabled = False
    assert repr(entry) == f"<Middleware 'act', off: {counts}>"
    entry()
    assert repr(entry) == f"<Middleware 'act', removed: {counts}>"


def test_entries_of_two_buses_are_apart():
    """One function on two buses is two entries, counted and removed on their own."""
    one, two = EventBus(), EventBus()
    entries = [bus.add_middleware(pass_on) for bus in (one, two)]
    one.publish(CHUNK)
    assert [entry.stats.seen for entry in entries] == [1, 0]
    entries[0]()
    assert len(two.middleware) == 1


def test_middleware_may_publish():
    """An event published inside middleware is accepted before the one that is under way, and has no parent."""
    bus = EventBus()

    def announce(event: Event[Any]) -> Event[Any]:
        if event.type is CHUNK:
            bus.publish(DONE)
        return event

    entry = bus.add_middleware(announce)
    bus.publish(CHUNK)
    assert [(event.type, event.seq, event.parent_id) for event in bus.history] == [(DONE, 1, None), (CHUNK, 2, None)]
    assert entry.stats.seen == 2


@pytest.mark.parametrize("before", [0, 1])
def test_no_lock_is_held_while_middleware_runs(before):
    """Middleware may wait for a thread that uses the bus, on the fast path and beside it."""
    bus = EventBus()
    free: list[bool] = []

    def ask(event: Event[Any]) -> Event[Any]:
        thread = threading.Thread(target=lambda: free.append(bus.stats().accepted >= 0), daemon=True)
        thread.start()
        thread.join(PATIENCE)
        return event

    bus.add_middleware(ask)
    publish_many(bus, before + 1)
    assert free == [True] * (before + 1)


def test_middleware_that_closes_the_bus_stops_its_event():
    """The publisher learns that the bus is closed, and the event is not stored."""

    def close(event: Event[Any]) -> Event[Any]:
        bus.close()
        return event

    bus = EventBus()
    bus.add_middleware(close)
    with pytest.raises(BusClosedError):
        bus.publish(CHUNK)
    assert len(bus.history) == 0


def test_a_callable_object_is_middleware():
    """Anything that can be called with an event will do, under its class's name."""

    class Stamp:
        def __call__(self, event: Event[Any]) -> Event[Any]:
            return event.replace(source="stamp")

    bus = EventBus()
    stamp: Callable[[Event[Any]], Event[Any]] = Stamp()
    assert bus.add_middleware(stamp).name.endswith("Stamp")
    bus.publish(CHUNK)
    assert bus.history[-1].source == "stamp"
