"""What agents tell: the payload of each AGENT_* event, and the errors."""

from __future__ import annotations

from typing import Any

import msgspec

from atlas_lab import AtlasLabError


class AgentCreated(msgspec.Struct, frozen=True):
    """AGENT_CREATED.

    Attributes
    ----------
    agent : str
    runs_on : str
        "thread" or "asyncio".
    states : dict of str to list of str
        Its state machine: what each state can change to.
    """

    agent: str
    runs_on: str
    states: dict[str, list[str]]


class AgentStarted(msgspec.Struct, frozen=True):
    """AGENT_STARTED: `waiting` tasks were assigned to `agent` before."""

    agent: str
    waiting: int = 0


class AgentStopped(msgspec.Struct, frozen=True):
    """AGENT_STOPPED.

    Attributes
    ----------
    agent : str
    reason : str
        "asked" to, "failed", or "closed" with its controller.
    clean : bool
        Whether its work ended in time. If not, the work is abandoned: it can publish no more on the agent's
        bus, and its result counts for nothing.
    waiting : int
        Tasks that it will find when it is started again.
    interrupted : str or None
        Id of the task that was under way. It is the first to be done after a new start, if the stop was clean.
    """

    agent: str
    reason: str
    clean: bool = True
    waiting: int = 0
    interrupted: str | None = None


class AgentTaskAssigned(msgspec.Struct, frozen=True):
    """AGENT_TASK_ASSIGNED: a task for an agent. Anyone may publish it.

    Attributes
    ----------
    agent : str
        Who is to do it.
    task : object
        What to do; the agent's work is called with it.
    task_id : str
        Names it in what follows; "" for the id of this event.
    """

    agent: str
    task: Any = None
    task_id: str = ""


class AgentTaskCompleted(msgspec.Struct, frozen=True):
    """AGENT_TASK_COMPLETED: what came of a task, after `seconds` of work."""

    agent: str
    task_id: str
    result: Any
    seconds: float


class AgentStateChanged(msgspec.Struct, frozen=True):
    """AGENT_STATE_CHANGED: `agent` went from the state `before` to the state `after`."""

    agent: str
    before: str
    after: str


class AgentFailed(msgspec.Struct, frozen=True):
    """AGENT_ERROR: what went wrong, as text; never the live exception.

    Attributes
    ----------
    agent : str
    task_id : str or None
        The task that failed; None if it was none.
    kind, message, traceback : str
        Of the error.
    """

    agent: str
    task_id: str | None
    kind: str
    message: str
    traceback: str = ""


class UnknownAgentError(AtlasLabError, LookupError):
    """No agent has the name asked for; the message lists those that there are."""


class AgentError(AtlasLabError, RuntimeError):
    """The task that `AgentController.ask` waited for failed.

    Attributes
    ----------
    error : AgentFailed
        What the agent told.
    """

    def __init__(self, error: AgentFailed) -> None:
        self.error = error
        super().__init__(error)

    def __str__(self) -> str:
        return f"agent {self.error.agent!r} failed at its task: {self.error.kind}: {self.error.message}"


class AgentInterruptedError(AtlasLabError, RuntimeError):
    """Work was told that its agent is to stop. Let it pass: the task is kept for the next start."""
