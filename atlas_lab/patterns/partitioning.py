"""Partitioned work: units with dependencies run in parallel on any Executor, and are seen on the bus."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from graphlib import TopologicalSorter
from time import perf_counter
from typing import Any

from atlas_lab import Event, EventBus, EventType

from .failures import DeadWorkerError, PartitionError
from .planning import planned
from .schedules import PartitionRun
from .units import PartitionRefused, Report, TaskDone, TaskSubmitted, Unit, perform


class Partitioner:
    """Runs units of work in parallel, each as soon as what it needs is done.

    A TASK_SUBMITTED event, with a `TaskSubmitted`, tells that a unit goes to the executor; its parent is the
    completion that it waited for last. The worker makes the TASK_COMPLETED event, with a `TaskDone`: a child of the
    submission, from that worker, at the worker's time. It comes to the bus with the result.

    Parameters
    ----------
    bus : EventBus
    executor : concurrent.futures.Executor
        Threads, processes, or the workers of several machines, such as ``dask.distributed.Client().get_executor()``.
        It stays yours to shut down.
    name : str, default "partition"
        Shown in events and messages.
    clock : callable, optional
        Gives the time of completions in place of the workers' clocks; for a bus with a clock of its own.

    Raises
    ------
    TypeError
        If an argument is not as described.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from atlas_lab import EventBus
    >>> from atlas_lab.patterns import Partitioner, Unit, order_violations
    >>> bus = EventBus()
    >>> units = [Unit("low", sum, ([1, 2],)), Unit("high", sum, ([3, 4],)), Unit("all", max, needs=("low", "high"))]
    >>> with ThreadPoolExecutor(2) as executor:
    ...     run = Partitioner(bus, executor).run(units)
    >>> run.results
    {'low': 3, 'high': 7, 'all': 7}
    >>> order_violations(bus)
    []
    """

    def __init__(
        self,
        bus: EventBus,
        executor: Executor,
        *,
        name: str = "partition",
        clock: Callable[[], float] | None = None,
    ) -> None:
        if not isinstance(bus, EventBus):
            raise TypeError(f"bus must be an EventBus or a scope of one, got {type(bus).__name__}")
        if not isinstance(executor, Executor):
            raise TypeError(f"executor must be a concurrent.futures.Executor, got {type(executor).__name__}")
        if not isinstance(name, str):
            raise TypeError(f"name must be a str, got {name!r:.80}")
        if clock is not None and not callable(clock):
            raise TypeError(f"clock must be callable, got {clock!r:.80}")
        self.name = name
        self._bus = bus
        self._executor = executor
        self._clock = clock

    def __repr__(self) -> str:
        return f"<Partitioner {self.name} on {type(self._executor).__name__}>"

    def run(self, units: Iterable[Unit], *, done: Mapping[str, object] | None = None) -> PartitionRun:
        """Run units, and return their results and how it went.

        Parameters
        ----------
        units : iterable of Unit
        done : mapping of str to object, optional
            Results of units that need not run again, as a `PartitionError` has them.

        Returns
        -------
        PartitionRun

        Raises
        ------
        TypeError, ValueError
            If `units` holds something else, two have the same name, one needs a unit that there is not, or they need each other in a circle.
            A COMMAND_FAILED event tells it too; nothing was run.
        PartitionError
            If a unit failed. Units that do not need it have been run; their results are in ``error.run.results``.
        DeadWorkerError
            If the executor lost a worker, or takes no more units. What was in its hands is told in TASK_COMPLETED events.
        """
        if done is not None and not isinstance(done, Mapping):
            raise TypeError(f"done must be a mapping of names to results, got {type(done).__name__}")
        results = dict(done or {})
        try:
            every, sorter = planned(units, results)
        except (TypeError, ValueError) as error:
            told = PartitionRefused(self.name, str(error))
            self._bus.publish(EventType.COMMAND_FAILED, told, source=self.name)
            raise
        return _Run(self, every, sorter, results).go()


class _Run:
    """One run of a partitioner: what is under way, and what was told."""

    def __init__(
        self, owner: Partitioner, units: dict[str, Unit], sorter: TopologicalSorter[str], results: dict[str, object]
    ) -> None:
        self.owner = owner
        self.bus: EventBus = owner._bus  # noqa: SLF001 - two halves of one thing
        self.units = units
        self.sorter = sorter
        self.results = results
        self.given = frozenset(results)
        self.failed: dict[str, TaskDone] = {}
        self.causes: dict[str, BaseException] = {}
        self.flying: dict[Future[Report], tuple[str, Event[TaskSubmitted]]] = {}
        self.events: list[Event[Any]] = []
        self.completions: dict[str, str] = {}  # id of the TASK_COMPLETED event by unit
        self.order: list[str] = []
        self.broken: Exception | None = None

    def go(self) -> PartitionRun:
        began = perf_counter()
        try:
            self.submit_ready()
            while self.flying:
                finished, _ = wait(self.flying, return_when=FIRST_COMPLETED)
                for future in sorted(finished, key=lambda one: self.flying[one][1].seq):
                    self.collect(future)
                self.submit_ready()
        except BaseException:
            for future in self.flying:
                future.cancel()
            raise
        results = {name: self.results[name] for name in self.units if name in self.results}
        run = PartitionRun(self.owner.name, results, tuple(self.events), perf_counter() - began)
        if self.failed:
            self.fail(run)
        return run

    def submit_ready(self) -> None:
        ready = self.sorter.get_ready() if self.broken is None else ()
        for name in sorted(ready, key=list(self.units).index):
            self.submit(self.units[name])

    def submit(self, unit: Unit) -> None:
        arguments = (*unit.args, *(self.results[need] for need in unit.needs))
        waited_for = [name for name in self.order if name in unit.needs]
        parent = self.completions.get(waited_for[-1]) if waited_for else None
        own = tuple(need for need in unit.needs if need not in self.given)
        given = tuple(need for need in unit.needs if need in self.given)
        data = TaskSubmitted(self.owner.name, unit.name, own, given)
        submitted = Event(EventType.TASK_SUBMITTED, data, self.owner.name, parent_id=parent, timestamp=self.now())
        submitted = self.publish(submitted)
        try:
            future = self.owner._executor.submit(  # noqa: SLF001
                perform, unit.function, arguments, dict(unit.kwargs), self.owner.name, unit.name, submitted.id
            )
        except Exception as error:  # noqa: BLE001 - it is broken, shut down, or cut off from its workers
            self.lost(unit.name, submitted, error, "the executor takes no more")
        else:
            self.flying[future] = (unit.name, submitted)

    def collect(self, future: Future[Report]) -> None:
        name, submitted = self.flying.pop(future)
        try:
            report = future.result()
        except BaseException as error:
            if not isinstance(error, Exception):
                raise
            self.lost(name, submitted, error)
            return
        event, clock = report.event, self.owner._clock  # noqa: SLF001
        self.completions[name] = event.id
        self.publish(event if clock is None else event.replace(timestamp=clock()))
        self.order.append(name)
        if event.data.outcome == "ok":
            self.results[name] = report.result
            self.sorter.done(name)
        else:
            self.failed[name] = event.data
            if report.error is not None:
                self.causes[name] = report.error

    def lost(self, name: str, submitted: Event[TaskSubmitted], error: Exception, why: str = "") -> None:
        """Tell that a unit did not come back."""
        if isinstance(error, BrokenExecutor) or type(error).__name__ == "KilledWorker":
            why = "a worker died"
        elif type(error).__name__ == "CancelledError":
            why = "it was cancelled, as when the executor is closed"
        dead = bool(why)
        outcome = "lost" if dead else "failed"
        why = why or "it could not be sent to a worker, or its result could not come back"
        told = TaskDone(
            self.owner.name, name, outcome, None, None, None, 0.0, f"{why}: {type(error).__name__}: {error}"
        )
        event = Event(EventType.TASK_COMPLETED, told, self.owner.name, parent_id=submitted.id, timestamp=self.now())
        self.publish(event)
        self.failed[name] = told
        self.causes[name] = error
        if dead:
            self.broken = error

    def fail(self, run: PartitionRun) -> None:
        """Raise what tells of every unit that has no result."""
        not_run = [name for name in self.units if name not in self.failed and name not in run.results]
        told = [f"{name}: {one.error}" for name, one in self.failed.items()]
        after = f" Not run: {', '.join(not_run)}." if not_run else ""
        first = next(iter(self.causes.values()), None)
        if self.broken is not None:
            raise DeadWorkerError(
                f"{self.owner.name} lost {len(self.failed)} of {len(self.units)} units: {'; '.join(told)}.{after} Where a worker "
                f"died, one of them may have ended it. {len(run.results)} results are kept: run again on a new executor with "
                "done=error.run.results",
                run,
                tuple(self.failed),
            ) from self.broken
        raise PartitionError(
            f"{len(self.failed)} of {len(self.units)} units of {self.owner.name} failed: {'; '.join(told)}.{after} "
            f"{len(run.results)} results are kept in error.run.results",
            run,
            tuple(self.failed),
        ) from first

    def now(self) -> float:
        clock = self.owner._clock  # noqa: SLF001
        return time.time() if clock is None else clock()

    def publish(self, event: Event[Any]) -> Event[Any]:
        self.bus.emit(event)
        numbered = event.replace(seq=len(self.events) + 1)  # its place among the events of this run
        self.events.append(numbered)
        return numbered
