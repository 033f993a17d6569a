"""Workflows on a bus: a graph of nodes, run in parallel where it allows, told by events, and resumed from them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import copy_context
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from atlas_lab import BusClosedError, Event, EventBus, EventType, new_event_id

from .causes import Causes
from .checking import check
from .graphs import GraphError, Node, Workflow
from .workflow_events import WorkflowFailed
from .workflow_history import as_declared, recorded_run
from .workflow_runs import WorkflowRun

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")


class WorkflowEngine:
    """Runs workflows, and tells each step by WORKFLOW_* events, each with its cause.

    A run has one thread that decides; the nodes run on an executor. When a node has failed for good, those under way
    are waited for and no other is begun.

    Parameters
    ----------
    bus : EventBus
    executor : concurrent.futures.Executor, optional
        What the nodes run on: threads, processes, or ``client.get_executor(pure=False)`` of dask.distributed. The
        engine does not shut it down. By default threads of the engine.
    workers : int, default 4
        How many, if the engine has its own.

    Examples
    --------
    >>> from atlas_lab import EventBus
    >>> from atlas_lab.atlas import Workflow, WorkflowEngine
    >>> flow = Workflow("count", inputs={"text": str})
    >>> words = flow.add(str.split, "text", name="words")
    >>> longest = flow.add(lambda words: max(words, key=len), words, name="longest")
    >>> bus = EventBus()
    >>> with WorkflowEngine(bus) as engine:
    ...     run = engine.run(flow, {"text": "events tell what happened"})
    >>> run[longest]
    'happened'
    >>> [event.type_name for event in bus.history][:3]
    ['WORKFLOW_STARTED', 'WORKFLOW_NODE_ENTERED', 'WORKFLOW_NODE_EXITED']
    """

    def __init__(self, bus: EventBus, executor: Executor | None = None, *, workers: int = 4) -> None:
        if not isinstance(bus, EventBus):
            raise TypeError(f"bus must be an EventBus, got {type(bus).__name__}")
        if executor is not None and not isinstance(executor, Executor):
            raise TypeError(f"executor must be a concurrent.futures.Executor, got {type(executor).__name__}")
        check("workers", workers, int, "an int of 1 or more")
        if workers < 1:
            raise ValueError(f"workers must be 1 or more, got {workers}")
        self._bus = bus
        self._own = ThreadPoolExecutor(workers, thread_name_prefix="workflow") if executor is None else None
        self._executor: Executor = executor or self._own  # type: ignore[assignment]  # one of the two is there
        self._causes = Causes(
            bus,
            [
                EventType.WORKFLOW_STARTED,
                EventType.WORKFLOW_NODE_ENTERED,
                EventType.WORKFLOW_NODE_EXITED,
                EventType.WORKFLOW_COMPLETED,
                EventType.WORKFLOW_ERROR,
            ],
        )
        self._runs: dict[WorkflowRun, threading.Thread | None] = {}  # None: in the thread that asked for it
        self._lock = threading.Lock()
        self._closed = False

    def run(
        self, workflow: Workflow, inputs: Mapping[str, Any] | None = None, *, run: str | None = None
    ) -> WorkflowRun:
        """Run a workflow to its end, and return the run with its results.

        Parameters
        ----------
        workflow : Workflow
        inputs : mapping of str to object, optional
            A value for each input of the workflow.
        run : str, optional
            Names the run in its events; by default a new id.

        Raises
        ------
        GraphError
            If the graph or the inputs cannot be run.
        WorkflowError
            If a node failed for good.
        WorkflowCancelledError
            If it was cancelled.
        """
        return self._wait(self.start(workflow, inputs, run=run))

    def start(
        self, workflow: Workflow, inputs: Mapping[str, Any] | None = None, *, run: str | None = None
    ) -> WorkflowRun:
        """Start a run as `run` does, and return it at once.

        Raises
        ------
        GraphError
            If the graph or the inputs cannot be run.
        TypeError
            If an argument is not as described.
        """
        check("workflow", workflow, Workflow, "a Workflow")
        check("inputs", inputs, Mapping | None, "a mapping of names to values")
        check("run", run, str | None, "a str")
        name = new_event_id() if run is None else run
        return self._start(workflow, dict(inputs or {}), name)

    def resume(
        self,
        workflow: Workflow,
        events: EventBus | Iterable[Event[Any]] | pd.DataFrame | str | os.PathLike[str],
        *,
        run: str | None = None,
    ) -> WorkflowRun:
        """Go on with a run where its events end, to its end. Nodes that are finished are not run again.

        Parameters
        ----------
        workflow : Workflow
            With the same nodes and needs as before. Their functions may be others, such as one that was mended.
        events : bus, history, iterable of Event, DataFrame, or path
            As in `recorded_run`.
        run : str, optional
            The name of the run; by default the latest of the workflow.

        Raises
        ------
        LookupError
            If there is no such run among the events.
        GraphError
            If the workflow is no longer what it was.
        DataError
            If what is recorded is damaged, or does not fit the types of the workflow.
        WorkflowError, WorkflowCancelledError
            As in `run`.
        """
        check("workflow", workflow, Workflow, "a Workflow")
        recorded = recorded_run(events, workflow.name, run)
        try:
            if recorded.graph != workflow.graph:
                changed = [
                    name
                    for name in {**recorded.graph, **workflow.graph}
                    if recorded.graph.get(name) != workflow.graph.get(name)
                ]
                raise GraphError(
                    f"workflow {workflow.name!r} is not what it was in run {recorded.run!r}: it differs in "
                    f"{', '.join(changed)}; start a new run"
                )
        except GraphError as error:
            self._refuse(workflow, recorded.run, error)
            raise
        results = {
            name: as_declared(value, workflow.type_of(name), f"the result of node {name!r}")
            for name, value in recorded.results.items()
        }
        return self._wait(self._start(workflow, recorded.inputs, recorded.run, results, recorded.skipped))

    def execute_node(
        self, node: Node[T] | Callable[..., T], *values: object, workflow: str = "", run: str = ""
    ) -> T | None:
        """Run one node by itself, on values that you give, and return its result.

        It is run as in a workflow: on the executor, with its condition, retries and timeout, and told by
        WORKFLOW_NODE_ENTERED and WORKFLOW_NODE_EXITED, and by WORKFLOW_ERROR if it fails. No other node is run, and
        there is nothing to resume. That is the way to try a node before its workflow is complete, or to see any single
        step on the bus.

        Parameters
        ----------
        node : Node, or callable
            A node of any workflow, or a function, which is run as a node of its name.
        *values : object
            What the node is called with, one value for each of its needs.
        workflow, run : str, optional
            What its events say; by default the name of the node.

        Returns
        -------
        object
            What the node returned; None if its condition was not met.

        Raises
        ------
        WorkflowError
            If it failed; its own error is the ``__cause__``.
        WorkflowCancelledError
            If the engine was closed meanwhile.
        GraphError
            If the number of values is not that of its needs.
        TypeError
            If `node` is neither a node nor callable.

        Examples
        --------
        >>> from atlas_lab import EventBus
        >>> from atlas_lab.atlas import Workflow, WorkflowEngine
        >>> flow = Workflow("count", inputs={"text": str})
        >>> words = flow.add(str.split, "text", name="words")
        >>> with WorkflowEngine(EventBus()) as engine:
        ...     engine.execute_node(words, "to be"), engine.execute_node(max, 3, 4)
        (['to', 'be'], 4)
        """
        if not isinstance(node, Node):
            if not callable(node):
                raise TypeError(f"node must be a Node, as Workflow.add returns it, or callable, got {node!r:.80}")
            node = Workflow("alone").add(node, *(f"value {place}" for place in range(1, len(values) + 1)))
        if len(values) != len(node.needs):
            needs = ", ".join(node.needs) or "nothing"
            raise GraphError(f"node {node.name!r} needs {len(node.needs)} values ({needs}), got {len(values)}")
        alone = Workflow(workflow or node.name, inputs=dict.fromkeys(node.needs, Any))
        alone.nodes[node.name] = node
        inputs = dict(zip(node.needs, values, strict=True))
        made = WorkflowRun(alone, run or node.name, inputs, self._executor, self._causes, whole=False)
        with self._lock:
            self._check_open()
            self._runs[made] = None
        try:
            made.drive()
        finally:
            with self._lock:
                del self._runs[made]
        result: T | None = made.result().get(node.name)
        return result

    def close(self, timeout: float = 5.0) -> None:
        """Cancel the runs that are under way, and end the threads of the engine. May be called again.

        A node that does not end within `timeout` seconds is left behind; see `is_cancelled`.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            runs = dict(self._runs)
        deadline = time.monotonic() + timeout
        for run in runs:
            run.cancel()
        for run, thread in runs.items():
            left = max(deadline - time.monotonic(), 0.0)
            if thread is None:
                run.wait(left)
            elif thread is not threading.current_thread():
                thread.join(left)
        self._causes.close()
        if self._own is not None:
            self._own.shutdown(wait=False, cancel_futures=True)
            for worker in list(self._own._threads):  # noqa: SLF001 - shutdown() waits without a bound
                worker.join(max(deadline - time.monotonic(), 0.0))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<WorkflowEngine on {type(self._executor).__name__}: {len(self._runs)} runs under way>"

    def _start(
        self,
        workflow: Workflow,
        inputs: dict[str, Any],
        name: str,
        results: dict[str, Any] | None = None,
        skipped: list[str] | None = None,
    ) -> WorkflowRun:
        try:
            given = _inputs(workflow, inputs)
            run = WorkflowRun(workflow, name, given, self._executor, self._causes, carried=results, skipped=skipped)
        except GraphError as error:
            self._refuse(workflow, name, error)
            raise
        context = copy_context()

        def drive() -> None:
            try:
                context.run(run.drive)
            finally:
                with self._lock:
                    del self._runs[run]

        thread = threading.Thread(target=drive, name=f"workflow {workflow.name}", daemon=True)
        with self._lock:
            self._check_open()
            self._runs[run] = thread
        thread.start()
        return run

    def _wait(self, run: WorkflowRun) -> WorkflowRun:
        try:
            run.result()
        except KeyboardInterrupt:
            run.cancel()
            raise
        return run

    def _refuse(self, workflow: Workflow, run: str, error: GraphError) -> None:
        told = WorkflowFailed(
            workflow.name, run, "refused", None, type(error).__name__, str(error), list(workflow.nodes)
        )
        self._bus.publish(EventType.WORKFLOW_ERROR, told, source=workflow.name)

    def _check_open(self) -> None:
        if self._closed:
            raise BusClosedError("the engine is closed; it runs no more workflows")


def _inputs(workflow: Workflow, inputs: dict[str, Any]) -> dict[str, Any]:
    """Return the inputs as what they are declared."""
    lacking = [name for name in workflow.inputs if name not in inputs]
    unknown = [name for name in inputs if name not in workflow.inputs]
    if lacking or unknown:
        problem = f"lacks {', '.join(lacking)}" if lacking else f"has no input {', '.join(unknown)}"
        raise GraphError(f"workflow {workflow.name!r} {problem}; it takes: {', '.join(workflow.inputs) or 'nothing'}")
    given = {}
    for name, kind in workflow.inputs.items():
        try:
            given[name] = as_declared(inputs[name], kind, f"input {name!r} of workflow {workflow.name!r}")
        except ValueError as error:
            raise GraphError(str(error)) from error
    return given
