"""Two threads do two things with one bus, in every order that a scheduler which stops them at will can find."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import frontrun
import pytest

from atlas_lab import EventBus

from .bench import Bench
from .guards import NumbersLate, bus_without_lock, no_tracing
from .operations import OPERATIONS
from .threads import no_finalizers

# What is done by one thread, while the other does any of the operations.
MAIN = (
    "publish",
    "publish_to_a_once_handler",
    "publish_while_paused",
    "subscribe",
    "unsubscribe",
    "switch_middleware_off_and_on",
    "let_an_owner_die",
    "close",
)


class Blocking:
    """A lock that waits also for those who would ask again: a loop of tries has endless orders, all alike."""

    def __init__(self, lock: Any) -> None:
        self.release, self._is_owned = lock.release, lock._is_owned
        self._lock = lock

    def acquire(self, blocking: bool = True) -> bool:
        return self._lock.acquire()

    def __enter__(self) -> bool:
        return self._lock.__enter__()

    def __exit__(self, *exc_info: object) -> None:
        self._lock.__exit__(*exc_info)


@pytest.fixture(autouse=True)
def scheduler(monkeypatch):
    """Let frontrun take the threads over; keep out of it what it does not know of: the log's locks, and finalizers."""
    monkeypatch.setenv("FRONTRUN_ACTIVE", "1")
    monkeypatch.setattr(logging.getLogger("atlas_lab"), "disabled", True)
    monkeypatch.setattr("atlas_lab.signal_table.threading", SimpleNamespace(RLock=lambda: Blocking(threading.RLock())))
    with no_tracing(), no_finalizers():
        yield


def explore(make_bus: Callable[..., EventBus], one: str, other: str, **options: Any) -> str:
    """Run two operations against each other, in each order that interrupting one of them once makes different.

    Return what was found to be wrong, "" if nothing was.
    """

    def set_up() -> Bench:
        bench = Bench(make_bus(history_limit=None, **options))
        bench.shared["twice"] = one == other
        for name in (one, other):
            OPERATIONS[name].prepare(bench)
        return bench

    try:
        result = frontrun.explore(
            setup=set_up,
            workers=[OPERATIONS[one].act, OPERATIONS[other].act],
            invariant=Bench.balance,
            preemption_bound=1,
            max_executions=40,  # nearly all pairs have fewer
            timeout_per_run=60,
            deadlock_timeout=30,
            detect_io=False,
            reproduce_on_failure=0,
            trace_packages=["blinker*"],
        )
    except Exception as error:  # of an operation
        return "".join(traceback.format_exception(error))
    return "" if result.property_holds else result.explanation or result.inconclusive_reason or "no verdict"


@pytest.mark.parametrize("one", MAIN)
def test_no_order_of_two_operations_upsets_the_books(one):
    """Whatever two threads do at once: nothing is lost, doubled, misnumbered or miscounted, and no error escapes."""
    for other in OPERATIONS:
        if other not in MAIN[: MAIN.index(one)]:
            assert not (found := explore(EventBus, one, other)), f"{one} beside {other}: {found}"


@pytest.mark.parametrize("other", ["publish", "publish_nested", "unsubscribe", "pause_and_resume", "close"])
def test_no_order_upsets_the_books_of_a_queued_bus(other):
    """With events that wait their turn it is the same."""
    found = explore(EventBus, "publish_nested", other, nested="queued")
    assert not found, f"publish_nested beside {other}: {found}"


@pytest.mark.parametrize("one", MAIN)
def test_without_its_lock_the_bus_does_not_pass(one):
    """Control: in each of these tests the scheduler finds an order that upsets the books of a bus without its lock."""
    assert explore(bus_without_lock, one, "publish")


def test_numbering_outside_the_lock_does_not_pass():
    """Control: a number that is drawn in one step and used in another is drawn twice in some order."""
    assert "history is not in order" in explore(NumbersLate, "publish", "publish")
