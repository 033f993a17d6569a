"""Children of a process whose threads are publishing for all they are worth."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from atlas_lab import Event, EventBus, EventType, new_event_id

from .guards import no_tracing
from .threads import PATIENCE, in_child, many_switches

A, B = EventType.AGENT_STARTED, EventType.AGENT_STOPPED

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no os.fork")


def fork_under_load(forks: int, patience: int = int(PATIENCE)) -> None:
    """Fork while four threads use a bus; check that each child publishes, and that no two processes share an id."""
    bus = EventBus(history_limit=50)
    bus.add_middleware(lambda event: event)
    got: list[str] = []
    ended = threading.Event()
    parents: list[list[str]] = [[], [], [], []]

    def work(ids: list[str]) -> None:
        while not ended.is_set():
            ids.append(bus.publish(A))
            bus.subscribe(A, lambda event: None)()

    def child() -> Any:
        signal.alarm(patience)
        bus.subscribe(B, lambda event: got.append(event.id))
        ids = [bus.publish(B) for _ in range(20)]
        numbers = [event.seq for event in bus.history]
        return {
            "ids": [*ids, Event(B).id, new_event_id(), EventBus().publish(B)],
            "delivered": got == ids,
            "in order": numbers == list(range(numbers[0], numbers[0] + len(numbers)))
            and numbers[-1] == bus.stats().accepted,
        }

    threads = [threading.Thread(target=work, args=(ids,), daemon=True) for ids in parents]
    for thread in threads:
        thread.start()
    try:
        children = [in_child(child) for _ in range(forks)]
        before = [len(ids) for ids in parents]
        # What the parent draws after the last fork is what that child may have drawn, too.
        while any(len(ids) < known + 100 for ids, known in zip(parents, before, strict=True)):
            assert all(thread.is_alive() for thread in threads)
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert all(report["delivered"] for report in children), "a child's bus does not deliver"
    assert all(report["in order"] for report in children), "a child's history is not whole"
    everything = [*(one for ids in parents for one in ids), *(one for report in children for one in report["ids"])]
    assert len(everything) == len(set(everything)), "two processes share an id"


def test_fifty_children_publish_under_ids_of_their_own():
    """Each child's bus delivers and numbers on, and no id is one of the parent's or of another child's."""
    with no_tracing(), many_switches():
        fork_under_load(50)


WITHOUT_HOOKS = """
import logging, os, random, sys
os.register_at_fork = lambda **hooks: None
from tests.unbreakable.test_forks_under_load import fork_under_load
fork_under_load(5, patience=1)
"""


def test_without_its_fork_hooks_the_bus_does_not_pass():
    """Control: with nothing done about forks, a child hangs on a lock, or draws its parent's ids."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_HOOKS],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "two processes share an id" in done.stderr or "the child ended with" in done.stderr, done.stderr
