"""Something done again and again at a steady rate, on a thread of its own that can be stopped."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

from atlas_lab.arguments import check_count, check_kind
from atlas_lab.naming import describe

MOST_TIMES = 1_000_000
FASTEST = 100_000.0
"""Times a second at most."""

_BREATH = 0.02
"""Seconds that may be spent on an event loop before it gets to breathe."""


class Repeating:
    """Calls a function a number of times, paced by intended times: a call that is late does not delay the others.

    Attributes
    ----------
    times : int
        How often it is to be called.
    rate : float
        Calls a second.
    done : int
        How often it was called without an error.
    late : float, seconds
        How late the latest call was.
    problem : BaseException or None
        The error of the call that ended it.
    running : bool
        Whether it still goes on.

    Parameters
    ----------
    act : callable
        Called without arguments. The first error ends it all.
    times : int
        1 to 1,000,000.
    rate : float
        Calls a second, above 0 to 100,000.
    ended : callable, optional
        Called once when it is over, on the thread that did it.

    Raises
    ------
    TypeError, ValueError
        If `times` or `rate` is not as described.

    Examples
    --------
    >>> from atlas_lab.widgets.repeating import Repeating
    >>> seen = []
    >>> run = Repeating(lambda: seen.append(len(seen)), times=3, rate=1000)
    >>> run.start()
    >>> run.join(5), run.done, seen
    (True, 3, [0, 1, 2])
    """

    def __init__(
        self, act: Callable[[], object], *, times: int, rate: float, ended: Callable[[], object] | None = None
    ) -> None:
        check_count("times", times, 1)
        if times > MOST_TIMES:
            raise ValueError(f"times must be {MOST_TIMES:,} or less, got {times:,}")
        check_kind("rate", rate, int | float, "a number of times a second")
        if not 0 < rate <= FASTEST:
            raise ValueError(f"rate must be above 0 and at most {FASTEST:,.0f} a second, got {rate}")
        self.times = times
        self.rate = float(rate)
        self.done = 0
        self.late = 0.0
        self.problem: BaseException | None = None
        self._act = act
        self._ended = ended
        self._stop = threading.Event()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether it still goes on."""
        return not self._over.is_set()

    @property
    def stopped(self) -> bool:
        """Whether it was asked to stop."""
        return self._stop.is_set()

    def start(self) -> None:
        """Begin; where no thread can be started, as a task on the running event loop.

        Raises
        ------
        RuntimeError
            If there is neither a thread nor an event loop to do it.
        """
        thread = threading.Thread(target=self._run, name="atlas_lab repeat", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            try:
                self._task = asyncio.get_running_loop().create_task(self._run_on_loop())
            except RuntimeError:
                self._over.set()
                raise RuntimeError(f"neither a thread nor an event loop can repeat this: {describe(error)}") from error
        else:
            self._thread = thread

    def stop(self) -> None:
        """End it before the next call; a call that runs is not interrupted."""
        self._stop.set()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until it is over, at most `timeout` seconds. True if it is."""
        if self._thread is threading.current_thread():
            return False
        if self._thread is not None:
            self._thread.join(timeout)
            return not self._thread.is_alive()
        return self._over.wait(0 if self._task is not None else timeout)

    def _run(self) -> None:
        try:
            start = time.perf_counter()
            while (left := self._left(start)) is not None:
                if left > 0:
                    self._stop.wait(left)
                elif not self._once(-left):
                    break
        finally:
            self._finish()

    async def _run_on_loop(self) -> None:
        try:
            start = breath = time.perf_counter()
            while (left := self._left(start)) is not None:
                if left > 0 or time.perf_counter() - breath > _BREATH:
                    await asyncio.sleep(max(left, 0))
                    breath = time.perf_counter()
                elif not self._once(-left):
                    break
        finally:
            self._finish()

    def _left(self, start: float) -> float | None:
        """Return the seconds until the next call is due; None if there is none."""
        if self._stop.is_set() or self.done >= self.times:
            return None
        return start + self.done / self.rate - time.perf_counter()

    def _once(self, late: float) -> bool:
        try:
            self._act()
        except Exception as error:  # noqa: BLE001 - told to whoever looks
            self.problem = error
            return False
        self.late = late
        self.done += 1
        return True

    def _finish(self) -> None:
        self._over.set()
        if self._ended is not None:
            self._ended()
