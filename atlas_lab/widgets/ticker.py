"""One clock for all views of a process: twelve times a second it asks each of them whether there is something to show.

An event waits for the next tick up to the whole interval. At ten ticks a second 5 % of the events would wait for 95 ms
and more, and then be shown; so that 95 % are shown within 100 ms, the interval is shorter than that.

Publishing does nothing for a view. A view reads what the bus keeps anyway, when its turn comes, and so costs the
same at any rate of events.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
import weakref
from typing import Protocol

INTERVAL = 0.08  # seconds from tick to tick
BEAT = 2.0  # seconds from heartbeat to heartbeat

_log = logging.getLogger("atlas_lab")


class Ticked(Protocol):
    """What a ticker calls, from its own thread."""

    def tick(self) -> None:
        """Show what changed since the last time, if anything did."""

    def beat(self) -> None:
        """Tell the front end that the kernel is alive."""


class _Entry:
    """One view, and whether it was told in the log that it fails."""

    __slots__ = ("told", "view")

    def __init__(self, view: Ticked) -> None:
        self.view = weakref.ref(view)
        self.told = False


class Ticker:
    """Calls ``tick()`` of every view in turn, and ``beat()`` every two seconds, until no view is left.

    It holds views weakly. It runs in a daemon thread that begins with the first view and ends with the last one;
    where no thread can be started, in a task on the event loop that is running. What a view raises is logged once.
    In the child of a fork it is empty: the views belong to the parent process.

    Parameters
    ----------
    interval : float, default 0.08
        Seconds from tick to tick.
    beat : float, default 2.0
        Seconds from heartbeat to heartbeat.

    Examples
    --------
    >>> import threading
    >>> from atlas_lab.widgets.ticker import Ticker
    >>> class View:
    ...     ticked = threading.Event()
    ...     def tick(self):
    ...         self.ticked.set()
    ...     def beat(self):
    ...         pass
    >>> ticker, view = Ticker(interval=0.01), View()
    >>> ticker.add(view)
    >>> view.ticked.wait(10), ticker.runs_in
    (True, 'thread')
    >>> ticker.remove(view)
    """

    def __init__(self, interval: float = INTERVAL, beat: float = BEAT) -> None:
        self.interval = interval
        self.every = beat
        self._start_anew()

    def _start_anew(self) -> None:
        self._lock = threading.RLock()
        self._entries: dict[int, _Entry] = {}
        self._stop: threading.Event | None = None
        self._task: asyncio.Task[None] | None = None
        self._beaten = time.monotonic()

    @property
    def runs_in(self) -> str | None:
        """Where it runs: "thread" or "task"; None while it does not."""
        with self._lock:
            if self._stop is not None:
                return "thread"
            return "task" if self._has_task() else None

    def add(self, view: Ticked) -> None:
        """Tick a view from now on. Adding it twice is adding it once."""
        with self._lock:
            entry = self._entries.get(id(view))
            if entry is None or entry.view() is not view:
                self._entries[id(view)] = _Entry(view)
            if self._stop is None and not self._has_task():
                self._start()

    def remove(self, view: Ticked) -> None:
        """Tick a view no more. It is no error if it was not ticked."""
        with self._lock:
            entry = self._entries.get(id(view))
            if entry is not None and entry.view() is view:
                del self._entries[id(view)]
            if not self._entries:
                self._end()

    def _has_task(self) -> bool:
        task = self._task
        return task is not None and not task.done() and not task.get_loop().is_closed()

    def _start(self) -> None:
        stop = threading.Event()
        thread = threading.Thread(target=self._run, args=(stop,), name="atlas_lab ticker", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no thread can be started here
            self._start_task()
        else:
            self._stop = stop

    def _start_task(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            _log.warning("no thread can be started and no event loop is running: views show what is new when asked")
        else:
            self._task = loop.create_task(self._run_as_task())

    def _end(self) -> None:
        stop, self._stop = self._stop, None
        if stop is not None:
            stop.set()
        task, self._task = self._task, None
        if task is not None and not task.get_loop().is_closed():
            task.get_loop().call_soon_threadsafe(task.cancel)

    def _run(self, stop: threading.Event) -> None:
        due = time.monotonic()
        while True:
            due = max(due + self.interval, time.monotonic() + self.interval / 4)
            if stop.wait(due - time.monotonic()) or not self._turn():
                return

    async def _run_as_task(self) -> None:
        while True:
            await asyncio.sleep(self.interval)
            if not self._turn():
                return

    def _turn(self) -> bool:
        """Tick every view once; return whether there is one."""
        entries = self._alive()
        now = time.monotonic()
        beats = now - self._beaten >= self.every
        if beats:
            self._beaten = now
        for entry in entries:
            view = entry.view()
            if view is None:
                continue
            try:
                view.tick()
                if beats:
                    view.beat()
            except Exception:  # noqa: BLE001 - any code may run in there
                if not entry.told:
                    entry.told = True
                    _log.exception("%s failed to show what is new; this is told once", type(view).__name__)
        return bool(entries)

    def _alive(self) -> list[_Entry]:
        """Return the views that are left; if there is none, end."""
        with self._lock:
            self._entries = {key: entry for key, entry in self._entries.items() if entry.view() is not None}
            if not self._entries:
                self._end()
            return list(self._entries.values())


ticker = Ticker()
"""The one of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=ticker._start_anew)  # noqa: SLF001 - its own module
