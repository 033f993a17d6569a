"""Atlas on the bus: worked systems of agents, providers and knowledge, each told by events, on public names of atlas_lab.

=================  ============================================================================================
module             what it does
=================  ============================================================================================
``providers``      `ProviderManager`: connects providers of answers, asks them and streams, with retries and limits
``chat``           `ChatCompletionsProvider`: asks a server that speaks the OpenAI-style chat API
``ngram``          `NgramProvider`: answers without a network, by a small model trained on the text that it is given
``knowledge``      `KnowledgeBase`: finds documents by what they say, ranked by BM25
``agents``         `AgentController`: agents that take tasks from events, in threads or on an event loop
``workflow``       `WorkflowEngine`: runs a graph of nodes in parallel, and goes on where its events end
``services``       `CoreServices`: tells how the process and its bus are doing, at an interval
``answering``      `AnsweringSystem`: all of them at work on one bus, to answer questions from documents
=================  ============================================================================================

Each part is loaded when it is first used, so that none needs the libraries of another. They come with
``pip install 'atlas_lab[atlas]'``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING as _TYPE_CHECKING

if _TYPE_CHECKING:
    from .agent_events import AgentCreated as AgentCreated
    from .agent_events import AgentError as AgentError
    from .agent_events import AgentFailed as AgentFailed
    from .agent_events import AgentInterruptedError as AgentInterruptedError
    from .agent_events import AgentStarted as AgentStarted
    from .agent_events import AgentStateChanged as AgentStateChanged
    from .agent_events import AgentStopped as AgentStopped
    from .agent_events import AgentTaskAssigned as AgentTaskAssigned
    from .agent_events import AgentTaskCompleted as AgentTaskCompleted
    from .agent_events import UnknownAgentError as UnknownAgentError
    from .agents import AgentController as AgentController
    from .answering import AnsweringSystem as AnsweringSystem
    from .answers import Answer as Answer
    from .answers import Draft as Draft
    from .answers import Passage as Passage
    from .answers import Verdict as Verdict
    from .answers import answer_table as answer_table
    from .answers import grounding as grounding
    from .answers import reading_of as reading_of
    from .answers import summary_of as summary_of
    from .attempts import is_cancelled as is_cancelled
    from .cancelling import Cancellation as Cancellation
    from .chat import ChatCompletionsProvider as ChatCompletionsProvider
    from .corpus import stdlib_docstrings as stdlib_docstrings
    from .documents import Document as Document
    from .documents import DocumentAdded as DocumentAdded
    from .documents import DocumentProcessed as DocumentProcessed
    from .documents import Hit as Hit
    from .documents import RetrievalCompleted as RetrievalCompleted
    from .documents import RetrievalStarted as RetrievalStarted
    from .graphs import GraphError as GraphError
    from .graphs import Node as Node
    from .graphs import Workflow as Workflow
    from .knowledge import DocumentError as DocumentError
    from .knowledge import KnowledgeBase as KnowledgeBase
    from .machines import LIFECYCLE as LIFECYCLE
    from .machines import StateMachine as StateMachine
    from .machines import TransitionError as TransitionError
    from .ngram import NgramModel as NgramModel
    from .ngram import NgramProvider as NgramProvider
    from .outages import Outage as Outage
    from .provider_errors import BadResponseError as BadResponseError
    from .provider_errors import NotConnectedError as NotConnectedError
    from .provider_errors import ProviderConnectionError as ProviderConnectionError
    from .provider_errors import ProviderError as ProviderError
    from .provider_errors import ProviderStatusError as ProviderStatusError
    from .provider_errors import ProviderTimeoutError as ProviderTimeoutError
    from .provider_errors import RequestCancelledError as RequestCancelledError
    from .provider_errors import UnknownProviderError as UnknownProviderError
    from .provider_types import Completion as Completion
    from .provider_types import Delta as Delta
    from .provider_types import Message as Message
    from .provider_types import Prompt as Prompt
    from .provider_types import Provider as Provider
    from .provider_types import ProviderConnected as ProviderConnected
    from .provider_types import ProviderCreated as ProviderCreated
    from .provider_types import ProviderDisconnected as ProviderDisconnected
    from .provider_types import ProviderFailed as ProviderFailed
    from .provider_types import ProviderHealth as ProviderHealth
    from .provider_types import ProviderResponded as ProviderResponded
    from .provider_types import StreamChunk as StreamChunk
    from .provider_types import StreamCompleted as StreamCompleted
    from .provider_types import StreamFailed as StreamFailed
    from .provider_types import StreamPaused as StreamPaused
    from .provider_types import StreamResumed as StreamResumed
    from .provider_types import StreamStarted as StreamStarted
    from .providers import ProviderManager as ProviderManager
    from .quality import retrieval_quality as retrieval_quality
    from .questions import HELD_OUT as HELD_OUT
    from .questions import Question as Question
    from .retrievals import Retrieval as Retrieval
    from .retrying import RetryPolicy as RetryPolicy
    from .service_views import plot_services as plot_services
    from .service_views import service_health as service_health
    from .service_views import service_metrics as service_metrics
    from .services import CoreServices as CoreServices
    from .shifts import Agent as Agent
    from .streams import ProviderStream as ProviderStream
    from .system_events import SystemHealth as SystemHealth
    from .system_events import SystemInit as SystemInit
    from .system_events import SystemMetric as SystemMetric
    from .system_events import SystemShutdown as SystemShutdown
    from .workflow import WorkflowEngine as WorkflowEngine
    from .workflow_events import WorkflowCancelledError as WorkflowCancelledError
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
        "AgentCreated", "AgentError", "AgentFailed", "AgentInterruptedError", "AgentStarted", "AgentStateChanged",
        "AgentStopped", "AgentTaskAssigned", "AgentTaskCompleted", "UnknownAgentError",
    ),
    "agents": ("AgentController",),
    "answering": ("AnsweringSystem",),
    "answers": ("Answer", "Draft", "Passage", "Verdict", "answer_table", "grounding", "reading_of", "summary_of"),
    "attempts": ("is_cancelled",),
    "cancelling": ("Cancellation",),
    "chat": ("ChatCompletionsProvider",),
    "corpus": ("stdlib_docstrings",),
    "documents": ("Document", "DocumentAdded", "DocumentProcessed", "Hit", "RetrievalCompleted", "RetrievalStarted"),
    "graphs": ("GraphError", "Node", "Workflow"),
    "knowledge": ("DocumentError", "KnowledgeBase"),
    "machines": ("LIFECYCLE", "StateMachine", "TransitionError"),
    "ngram": ("NgramModel", "NgramProvider"),
    "outages": ("Outage",),
    "provider_errors": (
        "BadResponseError", "NotConnectedError", "ProviderConnectionError", "ProviderError", "ProviderStatusError",
        "ProviderTimeoutError", "RequestCancelledError", "UnknownProviderError",
    ),
    "provider_types": (
        "Completion", "Delta", "Message", "Prompt", "Provider", "ProviderConnected", "ProviderCreated",
        "ProviderDisconnected", "ProviderFailed", "ProviderHealth", "ProviderResponded", "StreamChunk",
        "StreamCompleted", "StreamFailed", "StreamPaused", "StreamResumed", "StreamStarted",
    ),
    "providers": ("ProviderManager",),
    "quality": ("retrieval_quality",),
    "questions": ("HELD_OUT", "Question"),
    "retrievals": ("Retrieval",),
    "retrying": ("RetryPolicy",),
    "service_views": ("plot_services", "service_health", "service_metrics"),
    "services": ("CoreServices",),
    "shifts": ("Agent",),
    "streams": ("ProviderStream",),
    "system_events": ("SystemHealth", "SystemInit", "SystemMetric", "SystemShutdown"),
    "workflow": ("WorkflowEngine",),
    "workflow_events": (
        "WorkflowCancelledError", "WorkflowCompleted", "WorkflowError", "WorkflowFailed", "WorkflowNodeEntered",
        "WorkflowNodeExited", "WorkflowStarted",
    ),
    "workflow_history": ("Checkpoint", "Recorded", "recorded_run"),
    "workflow_runs": ("WorkflowRun",),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _LAZY.items() for name in names}


def __getattr__(name: str) -> object:
    if name == "__all__":  # asked for by ``from .. import *`` and by help()
        return sorted(_MODULE_OF)
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - only who asks for a lazy name pays for it

    value: object = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_MODULE_OF)
