"""How partitioned work went: who did what when, what had to wait for what, and how fast it could have been."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from atlas_lab import Event, EventType, MissingExtraError

from .sources import Source, events_of, types_by_name
from .units import TaskDone, TaskSubmitted

if TYPE_CHECKING:
    import pandas as pd

_TYPES = types_by_name([EventType.TASK_SUBMITTED, EventType.TASK_COMPLETED])
_TOLERANCE = 0.001  # seconds; a worker's end is its start by one clock and its duration by another


@dataclass(frozen=True)
class PartitionRun:
    """What came of a run of a `Partitioner`.

    Attributes
    ----------
    name : str
        Of the partitioner.
    results : dict of str to object
        By unit, in the order in which they were given.
    events : tuple of Event
        Its TASK_SUBMITTED and TASK_COMPLETED events in their order, numbered from 1.
    seconds : float
        How long it took.
    """

    name: str
    results: dict[str, object]
    events: tuple[Event[Any], ...]
    seconds: float

    def frame(self) -> pd.DataFrame:
        """Return one row for each unit that was submitted; see `task_table`."""
        return task_table(self.events)

    @property
    def work(self) -> float:
        """Seconds that all units took together: what one worker would need at least."""
        return sum(one.seconds for one in _done(self.events).values())

    @property
    def critical_path(self) -> tuple[str, ...]:
        """The chain of units that need each other that took longest: no number of workers is faster than it."""
        return _critical(self.events)[0]

    @property
    def critical_seconds(self) -> float:
        """Seconds that the critical path took."""
        return _critical(self.events)[1]

    def __repr__(self) -> str:
        return f"<PartitionRun {self.name}: {len(self.results)} results in {self.seconds:.3g} s>"


class Violation(msgspec.Struct, frozen=True):
    """A constraint on the order of units that recorded events break.

    Parameters
    ----------
    unit : str
    rule : str
        ``need``, ``order``, ``clock``, ``completion`` or ``cause``.
    told : str
        What happened.
    """

    unit: str
    rule: str
    told: str

    def __str__(self) -> str:
        return f"{self.unit}: {self.told}"


def order_violations(source: Source, order: Iterable[tuple[str, str]] = ()) -> list[Violation]:
    """Verify from recorded events alone that units ran in an order that is allowed.

    Each unit that a unit needs was done before it was submitted, and by the clock of their machine before it
    started; each submission has one completion, which comes after it and names it as its cause.

    Parameters
    ----------
    source : bus, history, iterable of Event, or DataFrame
    order : iterable of (before, after), optional
        More constraints: the first must be done before the second is submitted, though that does not need it.

    Returns
    -------
    list of Violation
        Empty if the order is right.
    """
    events = events_of(source, _TYPES)
    after: dict[str, list[str]] = {}
    for before, later in order:
        after.setdefault(later, []).append(before)
    submissions = {event.id: event for event in events if isinstance(event.data, TaskSubmitted)}
    completed: set[str] = set()
    done: dict[tuple[str, str], TaskDone] = {}
    needed: dict[str, list[TaskDone]] = {}
    found: list[Violation] = []
    for event in events:
        told: Any = event.data
        if isinstance(told, TaskSubmitted):
            ready = {need: done.get((told.partition, need)) for need in told.needs}
            needed[event.id] = [one for one in ready.values() if one is not None]
            found += [
                Violation(told.unit, "need", f"was submitted before {need}, which it needs, was done")
                for need, one in ready.items()
                if one is None
            ]
            found += [
                Violation(told.unit, "order", f"was submitted before {before} was done")
                for before in after.get(told.unit, ())
                if (told.partition, before) not in done
            ]
            done.pop((told.partition, told.unit), None)
            continue
        submission = submissions.get(event.parent_id or "")
        if submission is None or submission.data.unit != told.unit:
            found.append(Violation(told.unit, "cause", "was completed, but its cause is no submission of it"))
            continue
        if event.parent_id in completed:
            found.append(Violation(told.unit, "completion", "was completed twice"))
        if submission.id not in needed:
            found.append(Violation(told.unit, "completion", "was completed before it was submitted"))
        completed.add(submission.id)
        if told.outcome == "ok":
            done[told.partition, told.unit] = told
        found += [
            Violation(
                told.unit, "clock", f"started {one.ended - told.started:.3g} s before {one.unit}, which it needs, ended"
            )
            for one in needed.get(submission.id, ())
            if _machine(one) == _machine(told)
            and one.ended is not None
            and told.started is not None
            and told.started < one.ended - _TOLERANCE
        ]
    found += [
        Violation(event.data.unit, "completion", "was submitted and never completed")
        for event_id, event in submissions.items()
        if event_id not in completed
    ]
    return found


def task_table(source: Source) -> pd.DataFrame:
    """Return how units ran, one row for each submission in their order.

    Parameters
    ----------
    source : bus, history, iterable of Event, or DataFrame

    Returns
    -------
    DataFrame
        ========= =================== ===================================================================
        column    dtype
        ========= =================== ===================================================================
        partition str
        unit      str
        needs     object              tuple of names
        worker    str                 machine, process and thread; missing if it did not come back
        submitted datetime64[ns, UTC] by the clock where it was submitted
        started   datetime64[ns, UTC] by the worker's clock
        ended     datetime64[ns, UTC] the same
        seconds   float64             that it took
        outcome   str                 ok, failed or lost; missing if it is under way
        critical  bool                whether it is on the critical path of its partition
        ========= =================== ===================================================================

    Raises
    ------
    MissingExtraError
        If pandas is not installed.
    """
    try:
        import pandas as pd  # noqa: PLC0415 - heavy, and only for those who ask for a frame
    except ImportError as error:
        raise MissingExtraError("pandas", "lab") from error

    events = events_of(source, _TYPES)
    ends: dict[Any, Any] = {event.parent_id: event.data for event in events if isinstance(event.data, TaskDone)}
    starts = [event for event in events if isinstance(event.data, TaskSubmitted)]
    critical = {
        (partition, unit)
        for partition in {event.data.partition for event in starts}
        for unit in _critical([one for one in events if one.data.partition == partition])[0]
    }
    rows = [(event, event.data, ends.get(event.id)) for event in starts]

    def times(values: list[float | None]) -> pd.Series[Any]:
        seconds = pd.Series(values, dtype="float64")
        return pd.to_datetime(seconds, unit="s", utc=True).astype("datetime64[ns, UTC]")

    return pd.DataFrame(
        {
            "partition": pd.Series([told.partition for _, told, _ in rows], dtype="str"),
            "unit": pd.Series([told.unit for _, told, _ in rows], dtype="str"),
            "needs": pd.Series([told.needs for _, told, _ in rows], dtype="object"),
            "worker": pd.Series([getattr(end, "worker", None) for *_, end in rows], dtype="str"),
            "submitted": times([event.timestamp for event, _, _ in rows]),
            "started": times([getattr(end, "started", None) for *_, end in rows]),
            "ended": times([getattr(end, "ended", None) for *_, end in rows]),
            "seconds": pd.Series([getattr(end, "seconds", None) for *_, end in rows], dtype="float64"),
            "outcome": pd.Series([getattr(end, "outcome", None) for *_, end in rows], dtype="str"),
            "critical": pd.Series([(told.partition, told.unit) in critical for _, told, _ in rows], dtype="bool"),
        }
    )


def speedup_table(runs: Mapping[int, PartitionRun]) -> pd.DataFrame:
    r"""Return how much faster the same units ran with more workers, and how much faster they could have.

    Parameters
    ----------
    runs : mapping of int to PartitionRun
        By number of workers. The run with one worker is what the others are measured against.

    Returns
    -------
    DataFrame, one row per run, fewest workers first
        ========== ======= ==========================================================================
        column     dtype
        ========== ======= ==========================================================================
        workers    int64
        seconds    float64 that the run took
        work       float64 seconds that its units took together
        critical   float64 seconds that its critical path took
        speedup    float64 seconds of the run with one worker by those of this run
        ideal      float64 as many times as there are workers, but no more than the ceiling
        ceiling    float64 the most that is possible with any number of workers: seconds of the run
                   with one by those of the critical path, in the run where it was shortest
        efficiency float64 speedup by workers
        ========== ======= ==========================================================================

    Raises
    ------
    ValueError
        If there is no run with one worker, or one that took no time.

    Notes
    -----
    With work :math:`T_1` and critical path :math:`T_\infty`, no schedule on :math:`p` workers is faster than
    :math:`\max(T_1/p, T_\infty)` (R. P. Brent, The parallel evaluation of general arithmetic expressions, 1974).
    """
    try:
        import pandas as pd  # noqa: PLC0415 - heavy, and only for those who ask for a frame
    except ImportError as error:
        raise MissingExtraError("pandas", "lab") from error

    if 1 not in runs:
        raise ValueError(f"runs must hold one with 1 worker to compare with, got {sorted(runs)}")
    one = runs[1]
    shortest = min(run.critical_seconds for run in runs.values())
    if not shortest:
        raise ValueError("the units of a run took no time, so that nothing can be faster")
    ceiling = one.seconds / shortest
    rows = [
        {
            "workers": workers,
            "seconds": run.seconds,
            "work": run.work,
            "critical": run.critical_seconds,
            "speedup": one.seconds / run.seconds,
            "ideal": min(float(workers), ceiling),
            "ceiling": ceiling,
            "efficiency": one.seconds / run.seconds / workers,
        }
        for workers, run in sorted(runs.items())
    ]
    return pd.DataFrame(rows)


def _done(events: Iterable[Event[Any]]) -> dict[str, TaskDone]:
    return {event.data.unit: event.data for event in events if isinstance(event.data, TaskDone)}


def _critical(events: Iterable[Event[Any]]) -> tuple[tuple[str, ...], float]:
    """Return the longest chain of units and its seconds; units are submitted after what they need."""
    events = list(events)
    done = _done(events)
    longest: dict[str, tuple[float, tuple[str, ...]]] = {}
    for event in events:
        if isinstance(event.data, TaskSubmitted) and event.data.unit in done:
            before = max((longest[one] for one in event.data.needs if one in longest), default=(0.0, ()))
            longest[event.data.unit] = (before[0] + done[event.data.unit].seconds, (*before[1], event.data.unit))
    seconds, path = max(longest.values(), default=(0.0, ()))
    return path, seconds


def _machine(told: TaskDone) -> str:
    return (told.worker or "").partition(":")[0]
