"""Runs of workflows as their events tell them: read from a history, a frame or a file, and kept in a file."""

from __future__ import annotations

import datetime as dt
import decimal
import os
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import msgspec

from atlas_lab import DataError, Event, EventBus, EventType, PayloadTypeError

from .checking import check
from .workflow_events import WorkflowNodeExited, WorkflowStarted

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")

_WORKFLOW = [one for one in EventType if one.name.startswith("WORKFLOW_")]
_KEPT = (bytes, dt.datetime, dt.date, dt.time, dt.timedelta, decimal.Decimal, uuid.UUID)


class Recorded(msgspec.Struct, frozen=True):
    """How far a run came, as its events tell.

    Attributes
    ----------
    workflow, run : str
    graph : dict of str to list of str
        What each node needs.
    inputs : dict of str to object
    results : dict of str to object
        What each node gave that has completed.
    skipped : list of str
    completed : bool
        Whether the run came to its end.
    """

    workflow: str
    run: str
    graph: dict[str, list[str]]
    inputs: dict[str, Any]
    results: dict[str, Any]
    skipped: list[str]
    completed: bool = False


def recorded_run(
    events: EventBus | Iterable[Event[Any]] | pd.DataFrame | str | os.PathLike[str],
    workflow: str | None = None,
    run: str | None = None,
) -> Recorded:
    """Return how far a run of a workflow came.

    Parameters
    ----------
    events : bus, history, iterable of Event, DataFrame, or path
        A frame is one of `to_frame` with ``data="keep"``; a path is that of a file of `Checkpoint` or `write_parquet`.
    workflow, run : str, optional
        Which one; by default the one that was started last.

    Raises
    ------
    LookupError
        If there is no such run among the events.
    DataError
        If an event's payload is none of a workflow, or the file is damaged.

    Examples
    --------
    >>> from atlas_lab import EventBus
    >>> from atlas_lab.atlas import Workflow, WorkflowEngine, recorded_run
    >>> flow = Workflow("add", inputs={"a": int})
    >>> _ = flow.add(lambda a: a + 1, "a", name="more")
    >>> bus = EventBus()
    >>> with WorkflowEngine(bus) as engine:
    ...     _ = engine.run(flow, {"a": 1}, run="first")
    >>> recorded_run(bus).results
    {'more': 2}
    """
    found: WorkflowStarted | None = None
    results: dict[str, Any] = {}
    skipped: list[str] = []
    completed = False
    seen: dict[str, None] = {}
    for row, name, data in _rows(events):
        if name == "WORKFLOW_STARTED":
            started = _payload(data, WorkflowStarted, row, name)
            seen[f"{started.run!r} of {started.workflow!r}"] = None
            if (workflow is None or started.workflow == workflow) and (run is None or started.run == run):
                if found is None or (found.workflow, found.run) != (started.workflow, started.run):
                    results, skipped, completed = {}, [], False
                found = started
                results |= started.carried
                skipped += [one for one in started.skipped if one not in skipped]
        elif found is not None and _field(data, "workflow") == found.workflow and _field(data, "run") == found.run:
            if name == "WORKFLOW_NODE_EXITED":
                exited = _payload(data, WorkflowNodeExited, row, name)
                if exited.status == "completed":
                    results[exited.node] = exited.result
                elif exited.status == "skipped":
                    skipped.append(exited.node)
            completed = completed or name == "WORKFLOW_COMPLETED"
    if found is None:
        wanted = " ".join(
            [f"run {run!r}" if run else "a run", f"of workflow {workflow!r}" if workflow else "of a workflow"]
        )
        raise LookupError(
            f"no WORKFLOW_STARTED of {wanted} is among the events; there are: {', '.join(seen) or 'none'}. "
            "A bounded history pushes out the oldest: give the bus a larger history_limit, or keep a Checkpoint."
        )
    return Recorded(found.workflow, found.run, found.graph, found.inputs, results, skipped, completed)


def as_declared(value: Any, kind: Any, what: str) -> Any:
    """Return a value as it was before it went through a file: what is declared as a class is one again.

    Raises
    ------
    DataError
        If it does not fit.
    """
    if kind is Any or kind is None or (isinstance(kind, type) and isinstance(value, kind)):
        return value
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise DataError(f"{what} does not fit {kind}: {error}") from error
    except TypeError:  # a type that msgspec does not know
        return value


class Checkpoint:
    """Keeps the events of workflows in a Parquet file, from which another process can resume after this one is killed.

    The file is replaced as a whole when a run starts and ends and when a node is over, so it is complete at any moment.
    A file that is there already is gone on with: no run in it is lost.

    A file holds plain data. What a node gives comes back as what its function is declared to return; where nothing is
    declared, a tuple or set comes back as a list, and an object with fields as a dict.

    Parameters
    ----------
    bus : EventBus
    path : str or path-like

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    DataError
        If the file that is there is damaged, or none of this kind.
    PayloadTypeError
        In the handler, and so as HANDLER_ERROR: a result that no file can hold. It is left out, and its node is run
        again by who resumes.
    MissingExtraError
        If pandas or pyarrow is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from atlas_lab import EventBus
    >>> from atlas_lab.atlas import Checkpoint, Workflow, WorkflowEngine, recorded_run
    >>> flow = Workflow("add", inputs={"a": int})
    >>> _ = flow.add(lambda a: a + 1, "a", name="more")
    >>> bus = EventBus()
    >>> with tempfile.TemporaryDirectory() as folder, WorkflowEngine(bus) as engine:
    ...     with Checkpoint(bus, Path(folder) / "run.parquet"):
    ...         _ = engine.run(flow, {"a": 1}, run="first")
    ...     recorded_run(Path(folder) / "run.parquet").results
    {'more': 2}
    """

    def __init__(self, bus: EventBus, path: str | os.PathLike[str]) -> None:
        from atlas_lab import read_parquet, replay, to_frame, write_parquet  # noqa: PLC0415 - they need pandas

        check("bus", bus, EventBus, "an EventBus")
        check("path", path, str | os.PathLike, "a path")
        folder = Path(path).parent
        if not folder.is_dir():
            raise FileNotFoundError(f"path is in {str(folder)!r}, which is no folder; make it first")
        self.path = path
        self._to_frame = to_frame
        self._write = write_parquet
        self._events: list[Event[Any]] = []
        if Path(path).exists():
            with EventBus(history_limit=None) as earlier:
                replay(read_parquet(path), earlier, progress=False)
            self._events += earlier.history
        self._lock = threading.Lock()
        self._subscription = bus.subscribe(_WORKFLOW, self._keep)

    def close(self) -> None:
        """Keep no more events."""
        self._subscription.unsubscribe()

    def __repr__(self) -> str:
        return f"<Checkpoint {os.fspath(self.path)!r}: {len(self._events)} events>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _keep(self, event: Event[Any]) -> None:
        try:
            plain = msgspec.to_builtins(event.data, builtin_types=_KEPT)
        except (TypeError, ValueError) as error:
            node = _field(event.data, "node")
            raise PayloadTypeError(
                f"{event.type_name} of node {node!r} cannot be kept in a file, and the node would be run again: {error}"
            ) from error
        with self._lock:
            self._events.append(event.replace(data=plain))
            if event.type is not EventType.WORKFLOW_NODE_ENTERED:
                try:
                    self._write(self._to_frame(self._events), self.path)
                except PayloadTypeError:
                    self._events.pop()
                    raise


def _rows(events: Any) -> Iterator[tuple[int, str, Any]]:
    """Give the number, the type's name and the payload of each event of a workflow."""
    check("events", events, EventBus | Iterable | os.PathLike, "a bus, a history, events, a frame or a path")
    if isinstance(events, str | os.PathLike):
        from atlas_lab import read_parquet  # noqa: PLC0415 - it needs pandas

        events = read_parquet(events)
    if hasattr(events, "columns"):
        if not {"type", "data"} <= set(events.columns):
            raise ValueError("events must be a frame with the columns type and data, of to_frame(.., data='keep')")
        pairs: Iterable[tuple[str, Any]] = zip(events["type"], events["data"], strict=True)
    else:
        history = events.history if isinstance(events, EventBus) else events
        pairs = (_pair(event) for event in history)
    return ((row, name, data) for row, (name, data) in enumerate(pairs) if str(name).startswith("WORKFLOW_"))


def _pair(event: Any) -> tuple[str, Any]:
    check("events", event, Event, "instances of Event, a frame or a path")
    return event.type_name, event.data


def _payload(data: Any, kind: type[T], row: int, name: str) -> T:
    if isinstance(data, kind):
        return data
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise DataError(f"{name} in row {row} is not what a workflow tells: {error}") from error


def _field(data: Any, name: str) -> Any:
    return data.get(name) if isinstance(data, Mapping) else getattr(data, name, None)
