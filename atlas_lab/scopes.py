"""A bus inside a bus: what is published in a scope stays visible as a whole on its parent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from .arguments import check_kind
from .bus import EventBus
from .errors import BusClosedError
from .events import EventId
from .naming import short_repr


class ScopedEventBus(EventBus):
    """A bus of its own whose events also go to a parent bus.

    An event published here runs through this scope's middleware, history and handlers first. Then the
    same event, with the same id and the scope's path such as ``run/agent-1``, goes through those of the
    parent, and so on up. What this scope's middleware drops goes no further; what the parent's drops was
    delivered here all the same. What is published on the parent does not come down.

    Parameters
    ----------
    parent : EventBus
        The bus to pass events on to; it may be a scope itself.
    scope_name : str
        The last part of the path; it holds no "/".
    propagate : bool, default True
        Whether events go on to the parent.
    history_limit : int or None, default 1000
        As in `EventBus`.
    on_error, nested, clock, max_depth, new_id
        As in `EventBus`; by default the parent's.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or the parent is this bus or one of its own scopes.
    BusClosedError
        If the parent is closed.

    Examples
    --------
    >>> from atlas_lab import EventBus, EventType, ScopedEventBus
    >>> bus = EventBus(name="run")
    >>> agent = ScopedEventBus(parent=bus, scope_name="agent-1")
    >>> _ = agent.publish(EventType.AGENT_STARTED)
    >>> bus.history[-1].scope, bus.history[-1].id == agent.history[-1].id
    ('run/agent-1', True)
    """

    def __init__(
        self,
        parent: EventBus,
        scope_name: str,
        *,
        propagate: bool = True,
        history_limit: int | None = 1000,
        on_error: Literal["event", "raise"] | None = None,
        nested: Literal["immediate", "queued"] | None = None,
        clock: Callable[[], float] | None = None,
        max_depth: int | None = None,
        new_id: Callable[[], EventId] | None = None,
    ) -> None:
        check_kind("parent", parent, EventBus, "an EventBus")
        check_kind("scope_name", scope_name, str, "a str")
        scope_name = str.__str__(scope_name)  # of no subclass, whose methods might do anything
        check_kind("propagate", propagate, bool, "True or False")
        if not scope_name or "/" in scope_name:
            raise ValueError(
                f"scope_name must be a name without '/', got {short_repr(scope_name)}; nest scopes for a path"
            )
        ancestor: EventBus | None = parent
        while ancestor is not None:
            if ancestor is self:
                raise ValueError(f"scope {scope_name!r} would be its own ancestor; parents cannot form a cycle")
            ancestor = ancestor.parent_bus
        if parent.closed:
            raise BusClosedError("the parent bus is closed; it takes no new scopes")
        super().__init__(
            history_limit,
            name=scope_name,
            on_error=parent.on_error if on_error is None else on_error,
            nested=parent.nested if nested is None else nested,
            clock=parent._clock if clock is None else clock,
            max_depth=parent._max_depth if max_depth is None else max_depth,
            new_id=new_id,
        )
        self._path = f"{parent.path}/{scope_name}" if parent.path else scope_name
        self._above = parent
        self._parent = parent if propagate else None
        with parent._lock:
            parent._scopes.add(self)
        for recorder in parent._signals.recorders:
            recorder.extend_to(self)

    @property
    def scope_name(self) -> str:
        """The last part of the path."""
        return self.name or ""

    @property
    def propagate(self) -> bool:
        """Whether its events go on to the parent."""
        return self._parent is not None

    @property
    def parent_bus(self) -> EventBus:
        """The bus that this one is a scope of."""
        return self._above

    @property
    def event_bus(self) -> EventBus:
        """The scope as a bus: a scope is one."""
        return self
