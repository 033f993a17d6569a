"""Locks and ids on both sides of a fork."""

from __future__ import annotations

import gc
import os
import threading
from typing import Any

import pytest

from atlas_lab import Event, EventBus, EventType, forks
from atlas_lab.testing.contract.forking import in_child
from atlas_lab.testing.contract.workers import PATIENCE

CHUNK = EventType.STREAM_CHUNK

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no os.fork")


def test_a_lock_held_by_another_thread_is_free_in_the_child():
    """The fork waits until the lock is free, so that no child inherits it from a thread it has not."""
    bus = EventBus()
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with bus._lock:
            held.set()
            let_go.wait(PATIENCE)

    def child() -> Any:
        done: list[str] = []
        thread = threading.Thread(target=lambda: done.append(bus.publish(CHUNK)), daemon=True)
        thread.start()
        thread.join(PATIENCE / 2)
        return len(done)

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    assert held.wait(PATIENCE)
    threading.Timer(0.05, let_go.set).start()
    assert in_child(child) == 1
    thread.join(PATIENCE)


def test_an_id_source_of_ones_own_goes_on_in_the_child():
    """What was given as `new_id` is the user's, and is not renewed."""
    numbers = iter(range(100))
    bus = EventBus(new_id=lambda: f"{next(numbers):032x}")
    bus.publish(CHUNK)
    assert in_child(lambda: bus.publish(CHUNK)) == f"{1:032x}"
    assert bus.publish(CHUNK) == f"{1:032x}"


def test_a_stream_that_another_thread_was_writing_to_works_in_the_child():
    """No lock of a stream is inherited from a thread that the child has not."""
    bus = EventBus()
    stream = bus.stream(CHUNK)
    locks = [value for value in vars(stream).values() if hasattr(value, "acquire")]
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        for lock in locks:
            lock.acquire()
        held.set()
        let_go.wait(PATIENCE)
        for lock in locks:
            lock.release()

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    assert held.wait(PATIENCE)
    threading.Timer(0.05, let_go.set).start()
    assert len(in_child(lambda: bus.publish(CHUNK))) == 32
    thread.join(PATIENCE)


def test_buses_that_are_gone_are_forgotten():
    """A bus is not kept alive for forks to come, and one that is gone is in nobody's way."""
    buses = [EventBus(), EventBus(new_id=lambda: "0" * 32)]
    known = [forks._buses[id(bus)] for bus in buses]
    assert [reference() for reference in known] == buses
    buses.clear()
    gc.collect()
    assert [reference() for reference in known] == [None, None]
    assert not any(reference is one for reference in known for one in forks._buses.values())


def test_a_thread_that_forks_gives_back_its_own_locks_only():
    """When two threads fork at once, the second takes its locks while the first gives its own back."""
    taken, order = threading.Event(), []

    class Watched:
        """A lock that, when first given back, waits until the other thread has taken it."""

        def __init__(self) -> None:
            self.lock = threading.RLock()

        def __enter__(self) -> None:
            self.lock.acquire()
            order.append(threading.current_thread().name)
            if len(order) == 2:
                taken.set()

        def __exit__(self, *exc_info: object) -> None:
            self.lock.release()
            if threading.current_thread().name == "first":
                taken.wait(PATIENCE)
                # Time for the other thread to note what it took; it then waits for `go_on`.
                noted.wait(PATIENCE)

    class Bus:
        _lock = Watched()

    bus = Bus()
    noted, go_on = threading.Event(), threading.Event()
    failures: list[BaseException] = []

    def first() -> None:
        try:
            forks._take_locks()
            second_thread.start()
            forks._give_locks_back()
        except BaseException as error:
            failures.append(error)
        finally:
            go_on.set()

    def second() -> None:
        try:
            forks._take_locks()
            noted.set()
            go_on.wait(PATIENCE)
            forks._give_locks_back()
        except BaseException as error:
            failures.append(error)

    gc.collect()
    others = dict(forks._buses)
    forks._buses.clear()  # only the lock that is watched
    try:
        forks.survive_forks(bus)
        first_thread = threading.Thread(target=first, name="first", daemon=True)
        second_thread = threading.Thread(target=second, name="second", daemon=True)
        first_thread.start()
        first_thread.join(PATIENCE)
        second_thread.join(PATIENCE)
    finally:
        forks._buses.clear()
        forks._buses.update(others)
    assert order == ["first", "second"]
    assert failures == []
    free = threading.Thread(
        target=lambda: bus._lock.lock.acquire(timeout=PATIENCE) and order.append("free"), daemon=True
    )
    free.start()
    free.join(PATIENCE)
    assert order[-1] == "free"


@pytest.mark.parametrize("end", ["_give_locks_back", "_start_anew"])
def test_both_sides_give_back_every_lock(end, monkeypatch):
    """What was taken before the fork is free afterwards, in the parent and in the child."""
    monkeypatch.setattr(forks, "_buses", {})
    buses = [EventBus(), EventBus()]

    def free() -> list[bool]:
        answers: list[bool] = []

        def ask() -> None:
            for bus in buses:
                answers.append(bus._lock.acquire(blocking=False))
                if answers[-1]:
                    bus._lock.release()

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(PATIENCE)
        return answers

    forks._take_locks()
    assert free() == [False, False]
    getattr(forks, end)()
    assert free() == [True, True]


def test_starting_anew_ends_the_pauses_of_other_threads_only():
    """In the child a pause of the thread that forked goes on, and those of threads that are not there are over."""
    bus = EventBus()
    got: list[Any] = []
    bus.subscribe(CHUNK, lambda event: got.append(event.data))
    paused, go_on = threading.Event(), threading.Event()

    def pause() -> None:
        with bus.paused():
            paused.set()
            go_on.wait(PATIENCE)

    thread = threading.Thread(target=pause, daemon=True)
    thread.start()
    assert paused.wait(PATIENCE)
    with bus.paused():
        bus._start_anew()
        bus.publish(CHUNK, 1)
        assert got == []
    assert got == [1]
    go_on.set()
    thread.join(PATIENCE)
    bus.publish(CHUNK, 2)
    assert got == [1, 2]


def test_starting_anew_renews_the_ids_of_the_bus_but_not_those_given():
    """Only a source of the bus's own is renewed."""
    own, given = EventBus(), EventBus(new_id=lambda: "0" * 32)
    before = own.publish(CHUNK)
    for bus in (own, given):
        bus._start_anew()
    assert own.publish(CHUNK)[:12] != before[:12]
    assert given.publish(CHUNK) == "0" * 32


def test_ids_of_events_made_outside_a_bus_differ_too():
    """`Event` draws its ids from a source that is renewed in the child."""
    first = Event(CHUNK).id
    assert in_child(lambda: Event(CHUNK).id) not in {first, Event(CHUNK).id}
