"""Locks and ids on both sides of a fork."""

from __future__ import annotations

import gc
import json
import os
import signal
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from atlas_lab import Event, EventBus, EventType, forks

CHUNK = EventType.STREAM_CHUNK
PATIENCE = 20

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no os.fork")


def in_child(work: Callable[[], object]) -> Any:
    """Run `work` in a forked child and return what it returned; fail if it raised, or hung for ten seconds."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)
        child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(10)
            os.write(writing, json.dumps(work()).encode())
            status = 0
        except BaseException as error:  # noqa: BLE001 - nothing may reach pytest in the child
            os.write(writing, json.dumps(repr(error)).encode())
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, f"the child ended with {status}: {answer.decode()}"
    return json.loads(answer)


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
        thread.join(5)
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
    before = len(forks._buses)
    buses = [EventBus(), EventBus(new_id=lambda: "0" * 32)]
    assert len(forks._buses) == before + 2
    buses.clear()
    gc.collect()
    assert len(forks._buses) == before
    assert forks._renewing <= set(forks._buses)


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
        _lock: Any
        _new_id: Any

    bus = Bus()
    bus._lock = Watched()
    noted, go_on = threading.Event(), threading.Event()
    failures: list[BaseException] = []

    def first() -> None:
        try:
            forks._take_locks()
            second_thread.start()
            forks._give_locks_back()
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)
        finally:
            go_on.set()

    def second() -> None:
        try:
            forks._take_locks()
            noted.set()
            go_on.wait(PATIENCE)
            forks._give_locks_back()
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    gc.collect()
    others = dict(forks._buses)
    forks._buses.clear()  # only the lock that is watched
    try:
        forks.survive_forks(bus, renew_ids=False)
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
    free = threading.Thread(target=lambda: bus._lock.lock.acquire(timeout=2) and order.append("free"), daemon=True)
    free.start()
    free.join(PATIENCE)
    assert order[-1] == "free"


def test_ids_of_events_made_outside_a_bus_differ_too():
    """`Event` draws its ids from a source that is renewed in the child."""
    first = Event(CHUNK).id
    assert in_child(lambda: Event(CHUNK).id) not in {first, Event(CHUNK).id}
