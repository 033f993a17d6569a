"""What travels on a bus: events, their types, and their ids."""

from __future__ import annotations

import itertools
import operator
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec
from msgspec.structs import force_setattr

from .arguments import came, check_optional, is_kind, refuse
from .cards import event_card

T = TypeVar("T")

EventId: TypeAlias = str
"""An event's id: 32 hexadecimal digits that ``uuid.UUID`` parses."""


class EventType(Enum):
    """The event types that atlas_lab knows from the start.

    Your own ``Enum`` members work wherever these do, under the name ``ClassName.MEMBER``.

    Examples
    --------
    >>> from atlas_lab import EventType
    >>> EventType.STREAM_CHUNK.value
    'stream.chunk'
    """

    SYSTEM_INIT = "system.init"
    SYSTEM_SHUTDOWN = "system.shutdown"
    SYSTEM_HEALTH = "system.health"
    SYSTEM_METRIC = "system.metric"

    PROVIDER_CREATED = "provider.created"
    PROVIDER_CONNECTED = "provider.connected"
    PROVIDER_DISCONNECTED = "provider.disconnected"
    PROVIDER_RESPONSE = "provider.response"
    PROVIDER_ERROR = "provider.error"

    AGENT_CREATED = "agent.created"
    AGENT_STARTED = "agent.started"
    AGENT_STOPPED = "agent.stopped"
    AGENT_TASK_ASSIGNED = "agent.task_assigned"
    AGENT_TASK_COMPLETED = "agent.task_completed"
    AGENT_STATE_CHANGED = "agent.state_changed"
    AGENT_ERROR = "agent.error"

    STREAM_STARTED = "stream.started"
    STREAM_CHUNK = "stream.chunk"
    STREAM_PAUSED = "stream.paused"
    STREAM_RESUMED = "stream.resumed"
    STREAM_COMPLETED = "stream.completed"
    STREAM_ERROR = "stream.error"

    WORKFLOW_STARTED = "workflow.started"
    WORKFLOW_NODE_ENTERED = "workflow.node_entered"
    WORKFLOW_NODE_EXITED = "workflow.node_exited"
    WORKFLOW_COMPLETED = "workflow.completed"
    WORKFLOW_ERROR = "workflow.error"

    DOCUMENT_ADDED = "document.added"
    DOCUMENT_PROCESSED = "document.processed"
    RETRIEVAL_STARTED = "retrieval.started"
    RETRIEVAL_COMPLETED = "retrieval.completed"

    COMMAND_EXECUTED = "command.executed"
    COMMAND_REVERTED = "command.reverted"
    COMMAND_FAILED = "command.failed"

    STATE_VERSIONED = "state.versioned"
    STATE_PROJECTED = "state.projected"
    EFFECT_REQUESTED = "effect.requested"
    EFFECT_COMPLETED = "effect.completed"
    TASK_SUBMITTED = "task.submitted"
    TASK_COMPLETED = "task.completed"

    HANDLER_ERROR = "handler.error"

    # Members are looked up on every publish; Enum's own hash runs in Python and costs three times as much.
    __hash__ = object.__hash__


def check_event_type(value: object, argument: str = "event_type") -> Enum:
    """Return `value` if it can be an event's type.

    Raises
    ------
    TypeError
        If `value` is not a member of an ``Enum``; the message says what to pass.
    """
    if type(value) is EventType or is_kind(value, Enum):
        return value
    if is_kind(value, type) and issubclass(value, Enum):
        hint = f"pass one of its members, such as {value.__name__}.{next(iter(value.__members__), 'MEMBER')}"
    elif is_kind(value, str) and (name := str.upper(value).replace(".", "_")) in EventType.__members__:
        hint = f"pass EventType.{name}"
    else:
        hint = "pass a member of EventType, or of an Enum of your own: class Order(Enum): PLACED = 'placed'"
    raise TypeError(f"{argument} must be a member of an Enum, got {came(value)}; {hint}")


def check_event_types(value: Any, argument: str = "event_type") -> tuple[Enum, ...]:
    """Return one event type, or an iterable of several, as a tuple without repeats.

    Raises
    ------
    TypeError
        If a value is not a member of an ``Enum``.
    ValueError
        If the iterable is empty.
    """
    if type(value) is EventType or is_kind(value, Enum):
        return (value,)
    if is_kind(value, str | type) or not is_kind(value, Iterable):
        return (check_event_type(value, argument),)
    types = {event_type_name(one): one for one in (check_event_type(one, argument) for one in value)}
    if not types:
        raise ValueError(f"{argument} is empty; name at least one event type, or pass None for all")
    return tuple(types.values())


def event_type_name(event_type: Enum) -> str:
    """Return the name that stands for an event type in frames, plots and messages.

    Parameters
    ----------
    event_type : Enum
        A member of `EventType` (named by the member alone) or of your own Enum (``ClassName.MEMBER``).

    Examples
    --------
    >>> from enum import Enum
    >>> from atlas_lab import EventType, event_type_name
    >>> class Order(Enum):
    ...     PLACED = 1
    >>> event_type_name(EventType.STREAM_CHUNK), event_type_name(Order.PLACED)
    ('STREAM_CHUNK', 'Order.PLACED')
    """
    if type(event_type) is EventType:
        return event_type.name
    return f"{check_event_type(event_type).__class__.__name__}.{event_type.name}"


_HEX_BYTES = tuple(f"{byte:02x}" for byte in range(256))


def id_stream() -> Iterator[EventId]:
    """Return new event ids without end, made faster than by any ``uuid`` function.

    An id is a UUID of version 8 (RFC 9562, section 5.8): 74 random bits drawn once for the stream,
    then a count of 48 bits. Ids of one stream sort in the order they were made. Two streams never
    share an id, so long as neither is carried across a fork; a bus renews its own there.

    Examples
    --------
    >>> import uuid
    >>> from atlas_lab.events import id_stream
    >>> ids = id_stream()
    >>> first, second = next(ids), next(ids)
    >>> first < second, uuid.UUID(first).version
    (True, 8)
    """
    digits = os.urandom(10).hex()
    variant = "89ab"[int(digits[16], 16) % 4]
    prefix = f"{digits[:12]}8{digits[13:16]}{variant}{digits[17:]}"
    # A pipeline of C iterators: no Python frame, and so no thread switch, inside one id. The last byte is added
    # to what 256 ids share.
    blocks = map("".join, itertools.product((prefix,), *[_HEX_BYTES] * 5))
    ids = map(partial(map, operator.add), map(itertools.repeat, blocks), itertools.repeat(_HEX_BYTES))
    return itertools.chain.from_iterable(ids)


_ids = id_stream()


def _renew_ids() -> None:
    global _ids
    _ids = id_stream()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_ids)


def new_event_id() -> EventId:
    """Return a new event id, unique across processes and forks."""
    return next(_ids)


UNCHECKED = -(2**100)
"""The ``seq`` of an event that a bus is making. It is told by identity, so no other number means this."""


class Event(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """One thing that happened. It cannot be assigned to; `replace` makes a changed copy.

    Parameters
    ----------
    type : Enum
        A member of `EventType` or of your own Enum.
    data : T, optional
        The payload. `Event[T]` says its type to a type checker and to ``@bus.on``.
    source : str, optional
        Who published it.
    metadata : dict of str to object, optional
        What middleware and tools note about it. Copied: the dict is the event's own.
    id : str
        32 hexadecimal digits that ``uuid.UUID`` parses, unique across processes and forks.
    timestamp : float
        Seconds since the epoch; on a bus, from the bus's clock.
    parent_id : str or None
        Id of the event whose handler published this one.
    scope : str or None
        Path of the bus it was published on, such as ``run/agent-1``; None if it was on no bus yet.
    seq : int
        Its place in the history of its bus, from 1 without gaps; 0 until a bus accepts it.

    Raises
    ------
    TypeError
        If `type` is not a member of an Enum, `source` is not a str, or `metadata` is not a mapping.

    Notes
    -----
    Events are kept out of Python's cycle collector, which makes a full collection over a million of
    them seven times faster. The price: an event whose payload refers back to that event is never freed.

    Examples
    --------
    >>> from atlas_lab import Event, EventType
    >>> event = Event(EventType.AGENT_STARTED, {"task": "plan"}, source="planner")
    >>> event.data["task"], event.source, event.metadata, event.seq
    ('plan', 'planner', {}, 0)
    >>> event.replace(source="critic").source
    'critic'
    """

    type: Enum
    data: T = None  # type: ignore[assignment]
    source: str | None = None
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    id: EventId = msgspec.field(default_factory=new_event_id)
    timestamp: float = msgspec.field(default_factory=time.time)
    parent_id: EventId | None = None
    scope: str | None = None
    seq: int = 0

    def __post_init__(self) -> None:
        if self.seq is UNCHECKED:  # made by a bus, which checks by itself
            return
        check_event_type(self.type, "type")
        check_source(self.source)
        force_setattr(self, "metadata", own_metadata(self.metadata))

    def replace(self, **changes: object) -> Event[Any]:
        """Return a copy with some fields changed; its metadata is a dict of its own.

        Parameters
        ----------
        **changes
            New values by field name.

        Raises
        ------
        TypeError
            If a name is not a field, or a value is not what `Event` takes.
        """
        return msgspec.structs.replace(self, **changes)

    __replace__ = replace

    def __copy__(self) -> Event[T]:
        return self.replace()

    def __hash__(self) -> int:
        return hash(self.id)

    def _repr_html_(self) -> str:
        return event_card(self)

    @property
    def type_name(self) -> str:
        """Name of the type, as `event_type_name` gives it."""
        return event_type_name(self.type)


def check_source(source: object) -> None:
    """Raise TypeError if `source` is neither a str nor None."""
    check_optional("source", source, str, "a str")


def own_metadata(metadata: Any) -> dict[str, Any]:
    """Return a new dict with what `metadata`, a mapping or None, holds.

    Raises
    ------
    TypeError
        If `metadata` is neither a mapping nor None.
    """
    if metadata is None:
        return {}
    if type(metadata) is not dict and not is_kind(metadata, Mapping):
        raise refuse("metadata", metadata, "a mapping such as a dict")
    return dict(metadata)


def unnumbered(event: Event[Any]) -> Event[Any]:
    """Return a copy of an event for another bus to number; faster than ``event.replace(seq=0)``."""
    return Event(
        event.type,
        event.data,
        event.source,
        dict(event.metadata),
        event.id,
        event.timestamp,
        event.parent_id,
        event.scope,
        UNCHECKED,
    )
