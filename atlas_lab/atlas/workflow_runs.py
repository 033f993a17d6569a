"""One run of a workflow: hands nodes that are ready to an executor, and decides what follows from each end.

One thread decides. Workers, timers and `cancel` put what happened into its inbox, so that no state is shared.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor, CancelledError, Executor
from contextvars import Context
from queue import Empty, SimpleQueue
from typing import Any, Literal, TypeVar, overload

from atlas_lab import EventType

from .attempts import Attempt, Call, Trying
from .causes import Causes
from .graphs import Node, Workflow
from .workflow_events import (
    WorkflowCancelledError,
    WorkflowCompleted,
    WorkflowError,
    WorkflowFailed,
    WorkflowNodeEntered,
    WorkflowNodeExited,
    WorkflowStarted,
)

T = TypeVar("T")


class WorkflowRun:
    """A run of a workflow, as `WorkflowEngine.start` and `WorkflowEngine.run` return it.

    Attributes
    ----------
    workflow : Workflow
    name : str
        Names it in its events.
    state : {"running", "completed", "failed", "cancelled"}
    results : dict of str to object
        What each node gave that has completed.
    skipped : list of str
    """

    def __init__(
        self,
        workflow: Workflow,
        name: str,
        inputs: Mapping[str, Any],
        executor: Executor,
        causes: Causes,
        *,
        carried: Mapping[str, Any] | None = None,
        skipped: list[str] | None = None,
        whole: bool = True,
    ) -> None:
        self.workflow = workflow
        self.name = name
        self.state: Literal["running", "completed", "failed", "cancelled"] = "running"
        self.results: dict[str, Any] = dict(carried or {})
        self.skipped: list[str] = list(skipped or [])
        self._inputs = dict(inputs)
        self._carried = len(self.results)
        self._sorter = workflow.sorter()
        self._executor = executor
        self._causes = causes
        self._whole = whole
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._flying: dict[Attempt, None] = {}
        self._retries: list[tuple[float, Attempt, Context]] = []
        self._failure: BaseException | None = None
        self._failed_node: str | None = None
        self._last: Context | None = None
        self._to_end = False
        self._over = threading.Event()

    def result(self, timeout: float | None = None) -> dict[str, Any]:
        """Wait for the end, and return the results of all nodes, by name.

        Raises
        ------
        WorkflowError
            If a node failed.
        WorkflowCancelledError
            If the run was cancelled.
        TimeoutError
            If it is not over after `timeout` seconds; it goes on.
        """
        if not self.wait(timeout):
            raise TimeoutError(f"workflow {self.workflow.name!r} is not over after {timeout:g} s; it goes on")
        if self._failure is not None:
            raise self._failure
        return self.results

    @overload
    def __getitem__(self, node: Node[T]) -> T: ...

    @overload
    def __getitem__(self, node: str) -> Any: ...

    def __getitem__(self, node: Node[Any] | str) -> Any:
        """Return the result of a node, given itself or its name.

        Raises
        ------
        KeyError
            If there is none: it has not completed, was skipped, or is not known.
        """
        name = node if isinstance(node, str) else node.name
        if name not in self.results:
            how = "was skipped" if name in self.skipped else f"has no result in a run that is {self.state}"
            what = f"node {name!r} {how}" if name in self.workflow.nodes else f"there is no node {name!r}"
            raise KeyError(f"{what}; results: {', '.join(self.results) or 'none'}")
        return self.results[name]

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end, and return whether it has come."""
        return self._over.wait(timeout)

    @property
    def done(self) -> bool:
        """Whether it is over."""
        return self._over.is_set()

    def cancel(self) -> None:
        """End the run at once. No node is begun any more; those under way are told (`is_cancelled`) and left alone."""
        self._to_end = True
        self._inbox.put(self._cancel)

    def __repr__(self) -> str:
        return f"<WorkflowRun {self.name} of {self.workflow.name}: {self.state}, {len(self.results)} nodes completed>"

    def drive(self) -> None:
        """Run the workflow to its end, in this thread; what goes wrong is told by `result`."""
        began = time.monotonic()
        try:
            self._begin()
            while self._flying or self._retries or (self._to_end and self._sorter.is_active() and not self._failure):
                self._step()
            self._conclude(time.monotonic() - began)
        except BaseException as error:  # from the bus: it is closed, or strict, or a middleware fails
            self._abandon()
            self.state = "failed"
            self._failure = error
            if not isinstance(error, Exception):
                raise
        finally:
            self._over.set()

    def _begin(self) -> None:
        cause = None
        if self._whole:
            started = WorkflowStarted(
                self.workflow.name, self.name, self.workflow.graph, self._inputs, dict(self.results), self.skipped[:]
            )
            cause = self._publish(EventType.WORKFLOW_STARTED, started, None)
        self._release(cause)

    def _release(self, cause: Context | None) -> None:
        """Begin the nodes that are ready now."""
        if self._failure is None:
            self._last = cause
        while ready := self._sorter.get_ready() if self._failure is None and not self._to_end else ():
            for name in ready:
                if name in self.results or name in self.skipped:
                    self._sorter.done(name)
                elif self._failure is None and not self._to_end:
                    self._enter(self.workflow.nodes[name], cause)

    def _enter(self, node: Node[Any], cause: Context | None) -> None:
        nodes = [need for need in node.needs if need in self.workflow.nodes]
        missing = [need for need in nodes if need in self.skipped]
        values = tuple(self._inputs[need] if need in self._inputs else self.results.get(need) for need in node.needs)
        try:
            skip = len(missing) == len(nodes) if node.join == "any" else True
            if not (missing and skip):
                skip = node.when is not None and not node.when(*values)
        except Exception as error:  # noqa: BLE001 - a condition is a part of the node
            attempt = Attempt(node, values, 0, None)
            attempt.cause = cause
            self._exit(attempt, "failed", error=error, fatal=True)
            return
        if skip:
            self.skipped.append(node.name)
            self._sorter.done(node.name)
            exited = WorkflowNodeExited(self.workflow.name, self.name, node.name, 0, "skipped")
            self._release(self._publish(EventType.WORKFLOW_NODE_EXITED, exited, cause))
            return
        self._attempt(Attempt(node, values, 1, None if node.retry is None else Trying(node.retry)), cause)

    def _attempt(self, attempt: Attempt, cause: Context | None) -> None:
        node = attempt.node
        told = WorkflowNodeEntered(self.workflow.name, self.name, node.name, attempt.number)
        attempt.cause = self._publish(EventType.WORKFLOW_NODE_ENTERED, told, cause)
        attempt.entered = time.monotonic()

        def began() -> None:
            now = time.monotonic()
            self._inbox.put(lambda: self._began(attempt, now))

        label = f"{self.name}/{node.name}/{attempt.number}"
        self._flying[attempt] = None
        try:
            attempt.future = self._executor.submit(Call(node.run, attempt.values, label, attempt.context(), began))
        except Exception as error:  # noqa: BLE001 - it is broken or shut down
            self._exit(attempt, "failed", error=error, fatal=True)
            return
        attempt.future.add_done_callback(lambda future: self._inbox.put(lambda: self._finished(attempt)))

    def _step(self) -> None:
        """Wait for the next thing to happen, and follow it up."""
        moments = [due for due, _, _ in self._retries]
        moments += [deadline for attempt in self._flying if (deadline := attempt.deadline) is not None]
        try:
            happened = self._inbox.get(timeout=max(min(moments) - time.monotonic(), 0.0) if moments else None)
        except Empty:
            now = time.monotonic()
            for retry in [one for one in self._retries if one[0] <= now]:
                self._retries.remove(retry)
                _, last, cause = retry
                self._attempt(Attempt(last.node, last.values, last.number + 1, last.trying), cause)
            for attempt in [one for one in self._flying if (one.deadline or now + 1) <= now]:
                if attempt.future is not None and not attempt.future.done():
                    late = TimeoutError(f"it took longer than {attempt.node.timeout:g} s; what it does now is ignored")
                    attempt.flag.set()
                    attempt.future.cancel()
                    self._exit(attempt, "timed out", error=late)
                else:
                    self._finished(attempt)
        else:
            happened()

    def _began(self, attempt: Attempt, now: float) -> None:
        if attempt.began is None:
            attempt.began = now

    def _finished(self, attempt: Attempt) -> None:
        if attempt not in self._flying or attempt.future is None:
            return  # it was given up before
        try:
            result = attempt.future.result()
        except BrokenExecutor as error:
            self._exit(attempt, "failed", error=error, fatal=True)
        except (Exception, CancelledError, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001 - the worker's
            self._exit(attempt, "failed", error=error)
        else:
            self._exit(attempt, "completed", result=result)

    def _exit(
        self,
        attempt: Attempt,
        status: str,
        *,
        result: object = None,
        error: BaseException | None = None,
        fatal: bool = False,
    ) -> None:
        """Tell the end of an attempt, and decide what follows: the nodes behind it, another attempt, or the end."""
        self._flying.pop(attempt, None)
        node = attempt.node
        retry_in = None
        if attempt.trying is not None and not fatal:
            try:
                retry_in = attempt.trying.next_in(result, error)
            except Exception as given_up:  # noqa: BLE001 - tenacity's, around the last error
                error = error or given_up
        if error is not None or retry_in is not None:
            status = "failed" if status == "completed" else status
            result = None
        now = time.monotonic()
        exited = WorkflowNodeExited(
            self.workflow.name,
            self.name,
            node.name,
            attempt.number,
            status,
            result,
            now - attempt.entered,
            0.0 if attempt.began is None else max(attempt.began - attempt.entered, 0.0),
            None if error is None else _described(error),
            None if self._failure else retry_in,
        )
        cause = self._publish(EventType.WORKFLOW_NODE_EXITED, exited, attempt.cause)
        if status == "completed":
            self.results[node.name] = result
            self._sorter.done(node.name)
            self._release(cause)
        elif self._failure is not None:
            return
        elif retry_in is not None:
            self._retries.append((now + retry_in, attempt, cause))
        else:
            self._fail(node.name, error, cause)

    def _fail(self, node: str, error: BaseException | None, cause: Context) -> None:
        problem = "unknown" if error is None else _described(error)
        if isinstance(error, BrokenExecutor):
            problem = f"a worker died, or the executor is broken; make a new one ({problem})"
        elif type(error).__name__ == "KilledWorker":  # of dask.distributed, whose cluster lives on
            problem = f"a worker died, which the node may have brought about ({problem})"
        elif "pickle" in problem.lower() or "local object" in problem:  # as different versions of Python put it
            problem = (
                f"what goes to another process is sent there by pickle: define it at the top of a module ({problem})"
            )
        failure = WorkflowError(self.workflow.name, self.name, node, problem, self._whole)
        failure.__cause__ = error
        self._failure = failure
        self._failed_node = node
        self._last = cause
        self._retries.clear()

    def _cancel(self) -> None:
        if self._failure is None or self._flying:
            self._retries.clear()
            for attempt in self._abandon():
                told = WorkflowNodeExited(
                    self.workflow.name,
                    self.name,
                    attempt.node.name,
                    attempt.number,
                    "cancelled",
                    None,
                    time.monotonic() - attempt.entered,
                )
                self._last = self._publish(EventType.WORKFLOW_NODE_EXITED, told, attempt.cause)
            self._failure = self._failure or WorkflowCancelledError(
                f"run {self.name!r} of workflow {self.workflow.name!r} was cancelled"
            )

    def _abandon(self) -> list[Attempt]:
        """Give up what is under way."""
        given_up = list(self._flying)
        self._flying.clear()
        for attempt in given_up:
            attempt.flag.set()
            if attempt.future is not None:
                attempt.future.cancel()
        return given_up

    def _conclude(self, seconds: float) -> None:
        if self._failure is None:
            self.state = "completed"
            if self._whole:
                ran = len(self.results) - self._carried
                completed = WorkflowCompleted(
                    self.workflow.name, self.name, seconds, ran, len(self.skipped), self._carried
                )
                self._publish(EventType.WORKFLOW_COMPLETED, completed, self._last)
            return
        cancelled = isinstance(self._failure, WorkflowCancelledError)
        self.state = "cancelled" if cancelled else "failed"
        cause = self._failure.__cause__ or self._failure
        told = WorkflowFailed(
            self.workflow.name,
            self.name,
            self.state,
            self._failed_node,
            type(cause).__name__,
            getattr(self._failure, "problem", str(self._failure)),
            [name for name in self.workflow.nodes if name not in self.results and name not in self.skipped],
        )
        self._publish(EventType.WORKFLOW_ERROR, told, self._last)

    def _publish(self, event_type: EventType, data: object, cause: Context | None) -> Context:
        return self._causes.publish(event_type, data, self.workflow.name, cause=cause)


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
