"""The clock of all views: when it ticks, where it runs and that it ends."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import threading
import time
from types import SimpleNamespace

import pytest

from atlas_lab.testing.contract.forking import in_child
from atlas_lab.testing.contract.workers import PATIENCE
from atlas_lab.widgets.ticker import Ticker


class View:
    """Counts its ticks and beats, and tells when there were enough."""

    def __init__(self, enough=3):
        self.ticks = self.beats = 0
        self.threads = set()
        self.enough = enough
        self.done = threading.Event()

    def tick(self):
        self.ticks += 1
        self.threads.add(threading.current_thread().name)
        if self.ticks >= self.enough:
            self.done.set()

    def beat(self):
        self.beats += 1


@pytest.fixture
def ticker():
    return Ticker(interval=0.005, beat=0.01)


def ended(ticker):
    deadline = time.monotonic() + PATIENCE
    while ticker.runs_in or any(thread.name == "atlas_lab ticker" for thread in threading.enumerate()):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.001)
    return True


def test_one_thread_ticks_all_views(ticker):
    """However many views there are, they share a thread, which ends with the last of them."""
    views = [View() for _ in range(5)]
    for view in views:
        ticker.add(view)
        ticker.add(view)
    assert [view.done.wait(PATIENCE) for view in views] == [True] * 5
    assert set.union(*(view.threads for view in views)) == {"atlas_lab ticker"}
    assert sum(thread.name == "atlas_lab ticker" for thread in threading.enumerate()) == 1
    for view in views:
        ticker.remove(view)
        ticker.remove(view)
    assert ended(ticker)


def test_it_beats_seldomer_than_it_ticks(monkeypatch):
    """A heartbeat comes every so often, whether there is news or not."""
    seconds = itertools.count(0.25, 0.25)
    monkeypatch.setattr(threading.Thread, "start", no_threads)
    monkeypatch.setattr("atlas_lab.widgets.ticker.time", SimpleNamespace(monotonic=lambda: 0.0))
    ticker, view = Ticker(interval=0.25, beat=1.0), View()
    ticker.add(view)
    monkeypatch.setattr("atlas_lab.widgets.ticker.time", SimpleNamespace(monotonic=seconds.__next__))
    for _ in range(100):
        ticker._turn()
    assert (view.ticks, view.beats) == (100, 25)


def test_it_starts_again(ticker):
    """After the last view is gone, another one is ticked."""
    for _ in range(3):
        view = View()
        ticker.add(view)
        assert view.done.wait(PATIENCE)
        ticker.remove(view)
    assert ended(ticker)


def test_views_are_held_weakly(ticker):
    """A view that nobody else holds is let go, and the thread with it."""
    view = View()
    ticker.add(view)
    assert view.done.wait(PATIENCE)
    del view
    gc.collect()
    assert ended(ticker)


def test_a_view_that_fails_is_told_once_and_disturbs_no_other(ticker, caplog):
    """One broken view is one message in the log, and the others stay live."""

    class Broken(View):
        def tick(self):
            super().tick()
            raise ZeroDivisionError

    broken, view = Broken(), View()
    ticker.add(broken)
    ticker.add(view)
    with caplog.at_level(logging.ERROR, "atlas_lab"):
        assert broken.done.wait(PATIENCE)
        assert view.done.wait(PATIENCE)
    ticker.remove(broken)
    ticker.remove(view)
    assert ended(ticker)
    assert [record.getMessage() for record in caplog.records] == [
        "Broken failed to show what is new; this is told once"
    ]


def no_threads(self):
    raise RuntimeError("can't start new thread")


def test_without_threads_it_is_a_task(ticker, monkeypatch):
    """Where no thread can be started, the running event loop ticks, and nothing is left of it in the end."""
    monkeypatch.setattr(threading.Thread, "start", no_threads)

    async def main():
        view = View()
        ticker.add(view)
        assert ticker.runs_in == "task"
        while not view.done.is_set():  # noqa: ASYNC110 - threads tell it, too
            await asyncio.sleep(0.001)
        ticker.remove(view)
        await asyncio.sleep(0.02)
        assert ticker.runs_in is None
        assert view.threads == {threading.current_thread().name}
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_without_threads_and_loop_it_says_so(ticker, monkeypatch, caplog):
    """Nothing ticks then; the log says it, and no error reaches the cell."""
    monkeypatch.setattr(threading.Thread, "start", no_threads)
    ticker.add(view := View())
    assert ticker.runs_in is None
    assert "no thread can be started and no event loop is running" in caplog.text
    monkeypatch.undo()
    ticker.add(view)
    assert view.done.wait(PATIENCE)
    ticker.remove(view)


def test_a_loop_that_has_ended_is_not_waited_for(ticker, monkeypatch):
    """A task that died with its loop is replaced when the next view comes."""
    monkeypatch.setattr(threading.Thread, "start", no_threads)
    views = [View(), View()]

    async def main(view):
        ticker.add(view)
        assert ticker.runs_in == "task"
        while not view.done.is_set():  # noqa: ASYNC110 - threads tell it, too
            await asyncio.sleep(0.001)

    for view in views:
        asyncio.run(main(view))
    for view in views:
        ticker.remove(view)


def test_the_child_of_a_fork_starts_anew():
    """The views of a parent process are not ticked in its child, whose own ones are."""
    from atlas_lab.widgets.ticker import ticker as shared  # noqa: PLC0415 - the one that forks know

    view = View()
    shared.add(view)
    try:
        assert view.done.wait(PATIENCE)

        def child():
            before = view.ticks
            own = View()
            shared.add(own)
            assert own.done.wait(PATIENCE)
            assert view.ticks == before
            shared.remove(own)

        in_child(child)
    finally:
        shared.remove(view)
