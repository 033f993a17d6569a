"""How the process and its bus are doing: health checks and metrics as events, from the start to the last moment."""

from __future__ import annotations

import atexit
import contextvars
import itertools
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Self, TypeAlias

from atlas_lab import EventBus, EventType, MissingExtraError

from .checking import check, check_seconds
from .checks import Check, RunningCheck
from .system_events import SystemHealth, SystemInit, SystemMetric, SystemShutdown
from .telling import tell

try:
    import psutil
except ImportError as error:
    raise MissingExtraError("psutil", "atlas") from error

Metric: TypeAlias = Callable[[], float]


_Told: TypeAlias = tuple[str, float, str]


def _of_user(name: str, function: Metric, unit: str) -> list[_Told]:
    return [(name, float(function()), unit)]


_OF_PROCESS: dict[str, tuple[str, Callable[[psutil.Process], float]]] = {
    "cpu": ("%", lambda process: process.cpu_percent()),
    "memory": ("bytes", lambda process: process.memory_info().rss),
    "threads": ("threads", lambda process: process.num_threads()),
}


class CoreServices:
    """Health checks and metrics of this process and a bus, told on that bus.

    Parameters
    ----------
    bus : EventBus
        Gets SYSTEM_INIT, SYSTEM_HEALTH, SYSTEM_METRIC and SYSTEM_SHUTDOWN, with `name` as source. Their payloads are
        the classes `SystemInit` and so on.
    interval : float, seconds, default 5
        From one round of checks and metrics to the next.
    checks : mapping of str to callable, optional
        More can be added with `add_check`.
    check_timeout : float, seconds, default 5
        A check that takes longer is not healthy, and is not called again while it hangs.
    name : str, default "services"
        Tells several on one bus apart.

    Notes
    -----
    SYSTEM_SHUTDOWN also comes when the interpreter exits without `close`, after the main program has ended and while
    handlers can still write. A process that is killed cannot tell.

    The events of the services count among those of the bus. A number that the system refuses to give is told as a check
    that is not healthy, ``metric process.memory`` for example, and the others come all the same.

    Examples
    --------
    >>> from atlas_lab import EventBus
    >>> from atlas_lab.atlas import CoreServices
    >>> bus = EventBus()
    >>> with CoreServices(bus, checks={"disk": lambda: "plenty of room"}) as services:
    ...     health, metrics = services.sample()
    >>> health[0].detail, sorted(metric.metric for metric in metrics)[-2:]
    ('plenty of room', ['process.memory', 'process.threads'])
    >>> bus.history[0].type.name, bus.history[-1].type.name
    ('SYSTEM_INIT', 'SYSTEM_SHUTDOWN')
    """

    def __init__(
        self,
        bus: EventBus,
        *,
        interval: float = 5.0,
        checks: Mapping[str, Check] | None = None,
        check_timeout: float = 5.0,
        name: str = "services",
    ) -> None:
        check("bus", bus, EventBus, "an EventBus")
        check("name", name, str, "a str")
        check("checks", checks, Mapping | None, "a mapping of names to callables")
        self.bus = bus
        self.name = name
        self.interval = check_seconds("interval", interval)
        self.check_timeout = check_seconds("check_timeout", check_timeout)
        self._lock = threading.Lock()
        self._checks: dict[str, Check] = {}
        self._metrics: dict[str, tuple[Metric, str]] = {}
        self._running: dict[str, RunningCheck] = {}
        self._ticks = itertools.count(1)
        self._tick = 0
        self._process: psutil.Process | None = None
        self._before = (time.perf_counter(), bus.stats())
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._started: float | None = None
        self._pid = 0
        self._closed = False
        for key, function in (checks or {}).items():
            self.add_check(key, function)

    # -- what is watched

    def add_check(self, name: str, function: Check) -> None:
        """Add a health check, or put another in its place.

        Parameters
        ----------
        name : str
        function : callable without arguments
            Not healthy if it raises or returns False. What else it returns is the detail. It runs in a thread of its
            own.
        """
        check("name", name, str, "a str")
        if not callable(function):
            raise TypeError(f"function must be callable, got {type(function).__name__}")
        with self._lock:
            self._checks[name] = function

    def add_metric(self, name: str, function: Metric, unit: str = "") -> None:
        """Add a metric, or put another in its place; one that raises is told as a check that is not healthy."""
        check("name", name, str, "a str")
        check("unit", unit, str, "a str")
        if not callable(function):
            raise TypeError(f"function must be callable, got {type(function).__name__}")
        with self._lock:
            self._metrics[name] = (function, unit)

    # -- start, round, end

    def start(self) -> Self:
        """Tell SYSTEM_INIT, and begin with rounds; a second time, do nothing."""
        with self._lock:
            if self._closed:
                raise RuntimeError("these CoreServices are closed; make new ones")
            if self._started is not None:
                return self
            self._started, self._pid = time.perf_counter(), os.getpid()
            context = contextvars.copy_context()
            self._thread = threading.Thread(
                target=context.run, args=(self._tick_on,), name=f"services of {self.name}", daemon=True
            )
        atexit.register(self._exit)
        cpus = os.cpu_count() or 0
        init = SystemInit(self.name, self._pid, platform.python_version(), sys.platform, cpus, self.interval)
        try:
            self.bus.publish(EventType.SYSTEM_INIT, init, self.name)
        finally:
            self._thread.start()
        return self

    def sample(self) -> tuple[list[SystemHealth], list[SystemMetric]]:
        """Make a round now: run every check, measure every metric, tell each of them, and return them.

        Raises
        ------
        RuntimeError
            If they are closed.
        """
        if self._closed:
            raise RuntimeError("these CoreServices are closed; make new ones")
        return self._round()

    def _round(self) -> tuple[list[SystemHealth], list[SystemMetric]]:
        with self._lock:
            self._tick = tick = next(self._ticks)
            checks, metrics = dict(self._checks), dict(self._metrics)
        health = self._check_all(checks, tick)
        measured = []
        sources: dict[str, Callable[[], list[_Told]]] = {
            f"process.{name}": partial(self._of_process, name, *how) for name, how in _OF_PROCESS.items()
        }
        sources["bus"] = self._of_bus
        sources |= {name: partial(_of_user, name, *metric) for name, metric in metrics.items()}
        for name, source in sources.items():
            began = time.perf_counter()
            try:
                measured += [SystemMetric(*told, tick) for told in source()]
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told
                detail = f"{type(error).__name__}: {error}"
                health.append(SystemHealth(f"metric {name}", False, detail, time.perf_counter() - began, tick))
        if self._stop.is_set():  # a round that comes after the shutdown is none
            return [], []
        for found in health:
            tell(self.bus, EventType.SYSTEM_HEALTH, found, self.name)
        for metric in measured:
            tell(self.bus, EventType.SYSTEM_METRIC, metric, self.name)
        return health, measured

    def _check_all(self, checks: dict[str, Check], tick: int) -> list[SystemHealth]:
        with self._lock:
            begun = {}
            for name, function in checks.items():
                hanging = self._running.get(name)
                begun[name] = self._running[name] = (
                    RunningCheck(function, name) if hanging is None or hanging.outcome is not None else hanging
                )
        ends = time.perf_counter() + self.check_timeout
        found = []
        for name, running in begun.items():
            while not running.wait(min(0.05, max(ends - time.perf_counter(), 0))):
                if self._stop.is_set() or time.perf_counter() >= ends:
                    break
            if running.outcome is not None:
                found.append(SystemHealth(name, *running.outcome, running.latency, tick))
            else:
                latency = time.perf_counter() - running.began
                found.append(SystemHealth(name, False, f"no answer in {latency:.1f} s", latency, tick))
        return found

    def _of_process(self, name: str, unit: str, measure: Callable[[psutil.Process], float]) -> list[_Told]:
        if self._process is None:
            self._process = psutil.Process()  # a sandbox may refuse it
        return [(f"process.{name}", float(measure(self._process)), unit)]

    def _of_bus(self) -> list[_Told]:
        now, stats = time.perf_counter(), self.bus.stats()
        with self._lock:
            before, self._before = self._before, (now, stats)
        passed = max(now - before[0], 1e-9)
        return [
            ("bus.accepted", float(stats.accepted), "events"),
            ("bus.rate", (stats.accepted - before[1].accepted) / passed, "events/s"),
            ("bus.calls", float(stats.calls), "calls"),
            ("bus.errors", float(stats.errors), "errors"),
            ("bus.rejected", float(stats.rejected), "events"),
            ("bus.dead_letters", float(sum(stats.dead_letters.values())), "events"),
            ("bus.kept", float(stats.kept), "events"),
            ("bus.pushed_out", float(stats.pushed_out), "events"),
            ("bus.subscriptions", float(stats.subscriptions), "subscriptions"),
        ]

    def _tick_on(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set() and not self.bus.closed:
            self._round()
            due = max(due + self.interval, time.monotonic())  # what was missed is not made up for
            self._stop.wait(due - time.monotonic())

    def close(self, reason: str = "closed") -> None:
        """Stop the rounds and tell SYSTEM_SHUTDOWN; a second time, do nothing."""
        with self._lock:
            closed, self._closed = self._closed, True
        if closed:
            return
        self._stop.set()
        atexit.unregister(self._exit)
        thread = self._thread
        if thread is not None and thread is not threading.current_thread() and thread.ident is not None:
            thread.join(1.0 + self.check_timeout)  # a metric of a user's may take as long
        if self._started is not None:
            uptime = time.perf_counter() - self._started
            shutdown = SystemShutdown(self.name, reason, uptime, self._tick)
            tell(self.bus, EventType.SYSTEM_SHUTDOWN, shutdown, self.name)

    def _exit(self) -> None:
        if os.getpid() == self._pid:  # a fork is another process, which was not started here
            self.close("exit")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        self.close("closed" if kind is None else f"error: {kind.__name__}")

    def __repr__(self) -> str:
        state = "closed" if self._closed else "not started" if self._started is None else f"round {self._tick}"
        return f"<CoreServices {self.name}: {state}, {len(self._checks)} checks>"
