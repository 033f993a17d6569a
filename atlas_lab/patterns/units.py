"""Units of work, what a worker does with one, and what is told of it."""

from __future__ import annotations

import asyncio
import inspect
import os
import pickle
import socket
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, NamedTuple

import msgspec

from atlas_lab import Event, EventId, EventType


@dataclass(frozen=True)
class Unit:
    """A piece of work: ``function(*args, *results_of_needs, **kwargs)``.

    Parameters
    ----------
    name : str
    function : callable
        For processes and other machines, one that they can import. ``async def`` is run to its end in the worker.
    args : tuple, optional
    needs : tuple of str, optional
        Names of the units that must be done before. Their results follow `args`, in this order.
    kwargs : mapping, optional

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or `name` is empty.
    """

    name: str
    function: Callable[..., object]
    args: tuple[Any, ...] = ()
    needs: tuple[str, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise TypeError(f"name must be a str, got {self.name!r:.80}")
        if not self.name:
            raise ValueError("name is empty; units are told apart by it")
        if not callable(self.function):
            raise TypeError(f"function of unit {self.name!r} must be callable, got {self.function!r:.80}")
        if not isinstance(self.args, tuple):
            raise TypeError(
                f"args of unit {self.name!r} must be a tuple, got {self.args!r:.80}; write (value,) for one"
            )
        needs: object = self.needs
        if not isinstance(needs, tuple) or not all(isinstance(one, str) for one in needs):
            hint = 'write ("name",) for one'
            raise TypeError(f"needs of unit {self.name!r} must be a tuple of names, got {self.needs!r:.80}; {hint}")
        if not isinstance(self.kwargs, Mapping):
            raise TypeError(f"kwargs of unit {self.name!r} must be a mapping, got {self.kwargs!r:.80}")


class TaskSubmitted(msgspec.Struct, frozen=True):
    """Payload of TASK_SUBMITTED: a unit goes to the executor.

    Parameters
    ----------
    partition : str
        Name of the `Partitioner`.
    unit : str
    needs : tuple of str
        The units that it had to wait for.
    given : tuple of str
        What it needs more, which was done before this run.
    """

    partition: str
    unit: str
    needs: tuple[str, ...] = ()
    given: tuple[str, ...] = ()


class TaskDone(msgspec.Struct, frozen=True):
    """Payload of TASK_COMPLETED: what came of a unit.

    Parameters
    ----------
    partition, unit : str
        As in `TaskSubmitted`.
    outcome : str
        ``ok``, ``failed``, or ``lost`` if a worker died.
    worker : str or None
        Machine, process and thread; None if it did not come back.
    started, ended : float or None
        Seconds since the epoch, by the worker's clock.
    seconds : float
        How long it took.
    error : str or None
        Why there is no result.
    traceback : str or None
        Of the function's exception.
    """

    partition: str
    unit: str
    outcome: str
    worker: str | None
    started: float | None
    ended: float | None
    seconds: float
    error: str | None = None
    traceback: str | None = None


class PartitionRefused(msgspec.Struct, frozen=True):
    """Payload of COMMAND_FAILED: units cannot be put in order, and none was run.

    Parameters
    ----------
    partition : str
    error : str
    """

    partition: str
    error: str


class Report(NamedTuple):
    """What comes back from a worker: the event that tells of it, and the result or the exception."""

    event: Event[TaskDone]
    result: object
    error: BaseException | None


def perform(
    function: Callable[..., object],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    partition: str,
    unit: str,
    cause: EventId,
) -> Report:
    """Do a unit's work, in the worker, and return the event that tells of it with the result."""
    worker = f"{socket.gethostname()}:{os.getpid()}:{threading.get_ident()}"
    started, began = time.time(), perf_counter()
    result: object = None
    failure: BaseException | None = None
    told: str | None = None
    trace: str | None = None
    try:
        result = function(*args, **kwargs)
        if inspect.iscoroutine(result):
            result = asyncio.run(result)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - it is told, and raised where the unit was submitted
        failure, told = error, f"{type(error).__name__}: {error}"
        trace = "".join(traceback.format_exception(error))
    seconds = perf_counter() - began
    outcome = "ok" if told is None else "failed"
    done = TaskDone(partition, unit, outcome, worker, started, started + seconds, seconds, told, trace)
    event = Event(EventType.TASK_COMPLETED, done, worker, parent_id=cause, timestamp=started + seconds)
    return Report(event, result, _portable(failure))


def _portable(error: BaseException | None) -> BaseException | None:
    """Return an exception that can be sent to another process; without what it was caused by, if that cannot."""
    if error is None:
        return None
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own, made in this line
    except Exception:  # noqa: BLE001 - any code may run in there
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
