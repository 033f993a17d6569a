"""Who caused what, across the threads and tasks of a system: publish an event, and go on as if in its handler.

The bus takes the event that a handler is handling for the cause of what the handler publishes, and carries that in
the context (`contextvars`). What is done later, or elsewhere, for the sake of an event runs in a copy of that context.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import Context, ContextVar, copy_context
from enum import Enum
from typing import Any

from atlas_lab import Event, EventBus

_kept: ContextVar[dict[str, Context] | None] = ContextVar("atlas_lab.atlas.kept", default=None)


class Causes:
    """Publishes events on a bus and keeps the contexts in which they are the cause.

    Parameters
    ----------
    bus : EventBus
    types : iterable of Enum
        The types of event that are published through this.

    Examples
    --------
    >>> from atlas_lab import EventBus, EventType
    >>> from atlas_lab.atlas.causes import Causes
    >>> bus = EventBus()
    >>> causes = Causes(bus, [EventType.WORKFLOW_STARTED])
    >>> started = causes.publish(EventType.WORKFLOW_STARTED, {"workflow": "plan"})
    >>> _ = started.run(bus.publish, EventType.WORKFLOW_COMPLETED)  # later, in any thread
    >>> bus.history[1].parent_id == bus.history[0].id
    True
    """

    def __init__(self, bus: EventBus, types: Iterable[Enum]) -> None:
        self._bus = bus
        self._subscription = bus.subscribe(list(types), self._keep)

    def publish(
        self, event_type: Enum, data: object = None, source: str | None = None, *, cause: Context | None = None
    ) -> Context:
        """Publish an event, and return a new context in which it is the cause of what is published.

        Parameters
        ----------
        event_type, data, source
            As in `EventBus.publish`.
        cause : Context, optional
            The context that the event is published in; by default the one that is running.

        Raises
        ------
        Exception
            What `EventBus.publish` raises.
        """
        within = copy_context() if cause is None else cause.copy()
        return within.run(self._publish, event_type, data, source)

    def close(self) -> None:
        """End the subscription."""
        self._subscription.unsubscribe()

    def _publish(self, event_type: Enum, data: object, source: str | None) -> Context:
        kept: dict[str, Context] = {}
        token = _kept.set(kept)
        try:
            event_id = self._bus.publish(event_type, data, source)
        finally:
            _kept.reset(token)
        # A middleware may have dropped the event: then what caused it goes on being the cause.
        return kept.get(event_id) or copy_context()

    def _keep(self, event: Event[Any]) -> None:
        kept = _kept.get()
        if kept is not None:
            kept[event.id] = context = copy_context()
            context.run(_kept.set, None)
