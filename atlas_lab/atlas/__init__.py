"""Atlas on the bus: providers, agents, knowledge, workflows and services, each built on public names of atlas_lab.

Each part is loaded when one of its names is first used, so that none needs the libraries of another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING as _TYPE_CHECKING

if _TYPE_CHECKING:
    from .agent_events import AgentCreated as AgentCreated
    from .agent_events import AgentError as AgentError
    from .agent_events import AgentFailed as AgentFailed
    from .agent_events import AgentInterrupted as AgentInterrupted
    from .agent_events import AgentStarted as AgentStarted
    from .agent_events import AgentStateChanged as AgentStateChanged
    from .agent_events import AgentStopped as AgentStopped
    from .agent_events import AgentTaskAssigned as AgentTaskAssigned
    from .agent_events import AgentTaskCompleted as AgentTaskCompleted
    from .agent_events import UnknownAgentError as UnknownAgentError
    from .agents import AgentController as AgentController
    from .attempts import is_cancelled as is_cancelled
    from .graphs import GraphError as GraphError
    from .graphs import Node as Node
    from .graphs import Workflow as Workflow
    from .machines import LIFECYCLE as LIFECYCLE
    from .machines import StateMachine as StateMachine
    from .machines import TransitionError as TransitionError
    from .shifts import Agent as Agent
    from .workflow import WorkflowEngine as WorkflowEngine
    from .workflow_events import WorkflowCancelled as WorkflowCancelled
    from .workflow_events import WorkflowCompleted as WorkflowCompleted
    from .workflow_events import WorkflowError as WorkflowError
    from .workflow_events import WorkflowFailed as WorkflowFailed
    from .workflow_events import WorkflowNodeEntered as WorkflowNodeEntered
    from .workflow_events import WorkflowNodeExited as WorkflowNodeExited
    from .workflow_events import WorkflowStarted as WorkflowStarted
    from .workflow_history import Checkpoint as Checkpoint
    from .workflow_history import Recorded as Recorded
    from .workflow_history import recorded_run as recorded_run
    from .workflow_runs import WorkflowRun as WorkflowRun

_LAZY = {
    "agent_events": (
        "AgentCreated", "AgentError", "AgentFailed", "AgentInterrupted", "AgentStarted", "AgentStateChanged",
        "AgentStopped", "AgentTaskAssigned", "AgentTaskCompleted", "UnknownAgentError",
    ),
    "agents": ("AgentController",),
    "attempts": ("is_cancelled",),
    "graphs": ("GraphError", "Node", "Workflow"),
    "machines": ("LIFECYCLE", "StateMachine", "TransitionError"),
    "shifts": ("Agent",),
    "workflow": ("WorkflowEngine",),
    "workflow_events": (
        "WorkflowCancelled", "WorkflowCompleted", "WorkflowError", "WorkflowFailed", "WorkflowNodeEntered",
        "WorkflowNodeExited", "WorkflowStarted",
    ),
    "workflow_history": ("Checkpoint", "Recorded", "recorded_run"),
    "workflow_runs": ("WorkflowRun",),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _LAZY.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - only who asks for a lazy name pays for it

    value: object = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_MODULE_OF)
