"""What workflows tell: the payload of each WORKFLOW_* event, and the errors."""

from __future__ import annotations

from typing import Any

import msgspec

from atlas_lab import AtlasLabError


class WorkflowStarted(msgspec.Struct, frozen=True):
    """WORKFLOW_STARTED: all that another process needs to go on with a run.

    Attributes
    ----------
    workflow, run : str
        Name of the workflow, and of this run of it.
    graph : dict of str to list of str
        What each node needs.
    inputs : dict of str to object
    carried : dict of str to object
        Results that a run which is resumed brings along; these nodes are not run again.
    skipped : list of str
        Nodes that were skipped before it was resumed.
    """

    workflow: str
    run: str
    graph: dict[str, list[str]]
    inputs: dict[str, Any] = {}
    carried: dict[str, Any] = {}
    skipped: list[str] = []


class WorkflowNodeEntered(msgspec.Struct, frozen=True):
    """WORKFLOW_NODE_ENTERED: an attempt at a node, counted from 1, is handed to the executor."""

    workflow: str
    run: str
    node: str
    attempt: int = 1


class WorkflowNodeExited(msgspec.Struct, frozen=True):
    """WORKFLOW_NODE_EXITED: an attempt at a node is over, or the node was skipped, which is attempt 0.

    Attributes
    ----------
    workflow, run, node : str
    attempt : int
    status : str
        "completed", "skipped", "failed", "timed out" or "cancelled".
    result : object
        Of a node that completed.
    seconds : float
        From the event of entering to this one.
    waited : float, seconds
        The part of it before a worker began.
    error : str or None
        Type and message of what went wrong.
    retry_in : float or None, seconds
        When there will be another attempt.
    """

    workflow: str
    run: str
    node: str
    attempt: int
    status: str
    result: Any = None
    seconds: float = 0.0
    waited: float = 0.0
    error: str | None = None
    retry_in: float | None = None


class WorkflowCompleted(msgspec.Struct, frozen=True):
    """WORKFLOW_COMPLETED: every node was run, skipped, or carried over, the last two also counted."""

    workflow: str
    run: str
    seconds: float
    nodes: int
    skipped: int = 0
    carried: int = 0


class WorkflowFailed(msgspec.Struct, frozen=True):
    """WORKFLOW_ERROR: a run came to its end before its last node, or could not start.

    Attributes
    ----------
    workflow, run : str
    status : str
        "failed", "cancelled" or "refused", for a graph or inputs that cannot be run.
    node : str or None
        The node that failed.
    kind, message : str
        Of the error.
    unfinished : list of str
        Nodes that have no result; they are what a resumed run has to do.
    """

    workflow: str
    run: str
    status: str
    node: str | None
    kind: str
    message: str
    unfinished: list[str] = []


class WorkflowError(AtlasLabError, RuntimeError):
    """A node failed, and with it the run; the node's error is the ``__cause__``.

    Attributes
    ----------
    workflow, run : str
    node : str or None
    problem : str
    whole : bool
        Whether it was a run of the workflow, which can be resumed; not one node by itself.
    """

    def __init__(self, workflow: str, run: str, node: str | None, problem: str, whole: bool = True) -> None:
        self.workflow = workflow
        self.run = run
        self.node = node
        self.problem = problem
        self.whole = whole
        super().__init__(workflow, run, node, problem, whole)

    def __str__(self) -> str:
        if not self.whole:
            return f"node {self.node!r} failed: {self.problem}"
        place = f"node {self.node!r} of " if self.node else ""
        return (
            f"{place}workflow {self.workflow!r} failed: {self.problem}. What is finished is in the events: "
            "engine.resume(workflow, history) does the rest."
        )


class WorkflowCancelledError(AtlasLabError, RuntimeError):
    """The run was cancelled. What was finished is in the events, and can be resumed."""
