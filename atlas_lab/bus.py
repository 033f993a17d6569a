"""The event bus.

The way of an event, in `EventBus.publish` and the three steps below it:

1. stamp: id, time, source, the event whose handler is publishing, the scope;
2. middleware, which may change or drop it;
3. accept: under one hold of the lock it gets its ``seq``, enters the history and meets its receivers;
4. deliver: handlers run outside the lock, in order, each error kept from the others;
5. a scope passes the event on to its parent, where it goes through 2 to 5 again.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from msgspec.structs import force_setattr

from .arguments import is_kind, refuse
from .delivery import Delivering, joined
from .dispatch import Frame, Turn, check_depth, enter, give_back, innermost, leave, wait_for
from .errors import HandlerErrors, PublishDepthError
from .events import UNCHECKED, Event, EventId, EventType, check_event_type, check_source, own_metadata, unnumbered
from .reports import Reporting
from .subscription import Route


class EventBus(Delivering, Reporting):
    """An event bus that keeps a history, isolates errors and knows what caused what.

    It can be used from any number of threads at once. No lock is held while a handler, a middleware or
    a condition runs, and an interrupt at any point leaves the bus usable.

    Parameters
    ----------
    history_limit : int or None, default 1000
        Events to keep; 0 keeps none, None keeps all.
    name : str, optional
        Shown in messages, and the first part of the paths of its scopes.
    on_error : {"event", "raise"}, default "event"
        What becomes of a handler's error once all handlers have run. "event" logs it through the
        ``atlas_lab`` logger and publishes a HANDLER_ERROR event. "raise" does the same, then raises
        `HandlerErrors` to the publisher. Errors of handlers of HANDLER_ERROR are only logged.
    nested : {"immediate", "queued"}, default "immediate"
        When an event that is published inside a handler is delivered: before that inner call returns,
        or after the current event has reached all its handlers, so that every handler sees the events
        in the order of the history.
    clock : callable, default time.time
        Returns the time in seconds since the epoch.
    max_depth : int, default 100
        How deep publishes from inside handlers may be nested before `PublishDepthError` is raised.
    new_id : callable, optional
        Returns a new event id at each call; for runs that must come out the same each time.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> from atlas_lab import EventBus, EventType
    >>> bus = EventBus(name="run")
    >>> @bus.on(EventType.AGENT_TASK_ASSIGNED)
    ... def work(event):
    ...     bus.publish(EventType.AGENT_TASK_COMPLETED, {"task": event.data["task"]}, source="worker")
    >>> task_id = bus.publish(EventType.AGENT_TASK_ASSIGNED, {"task": "plan"}, source="boss")
    >>> [(event.seq, event.type.name, event.source) for event in bus.history]
    [(1, 'AGENT_TASK_ASSIGNED', 'boss'), (2, 'AGENT_TASK_COMPLETED', 'worker')]
    >>> bus.history[-1].parent_id == task_id
    True
    """

    def publish(
        self,
        event_type: Enum,
        data: object = None,
        source: str | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> EventId:
        """Publish an event: when this returns, it is in the history and every handler has been called.

        Events published by one thread reach every handler in that order. The event whose handler is
        publishing, if there is one, becomes the ``parent_id``; that holds across buses and scopes, in
        async tasks, and in threads started with ``contextvars.copy_context().run``.

        Parameters
        ----------
        event_type : Enum
            A member of `EventType` or of your own Enum.
        data : object, optional
            The payload.
        source : str, optional
            Who publishes it.
        metadata : mapping of str to object, optional
            Copied into the event.

        Returns
        -------
        str
            The event's id, also when a middleware dropped the event.

        Raises
        ------
        TypeError
            If an argument is not as described.
        MiddlewareError
            If a middleware raised, or returned neither an event nor None. A middleware of a parent may do
            so after the handlers of a scope have run; their errors are then in the log and in the history.
        HandlerErrors
            If handlers failed and the bus was made with ``on_error="raise"``.
        PublishDepthError
            If the chain of nested publishes is deeper than ``max_depth``.
        BusClosedError
            If the bus is closed.

        Examples
        --------
        >>> from atlas_lab import EventBus, EventType
        >>> bus = EventBus()
        >>> event_id = bus.publish(EventType.PROVIDER_CONNECTED, {"url": "local"}, source="provider")
        >>> bus.history[-1].id == event_id
        True
        """
        if source is not None and type(source) is not str:
            check_source(source)
        outer = innermost()
        clock = self._clock  # called as ``self._clock()`` it would be looked for among the methods first
        event: Event[Any] = Event(
            event_type,
            data,
            source,
            {} if metadata is None else own_metadata(metadata),
            next(self._ids),
            clock(),
            None if outer is None else outer.event_id,
            self._path,
            UNCHECKED,
        )
        errors = self._process(event, outer)
        if errors:
            raise HandlerErrors(f"{len(errors)} handler(s) failed", errors)
        return event.id

    def emit(self, event: Event[Any]) -> EventId:
        """Publish an event that exists already: it keeps its id, time, source, parent and scope.

        The bus takes a copy with a ``seq`` of its own. A scope or parent that is missing is filled in.

        Parameters
        ----------
        event : Event

        Returns
        -------
        str
            The event's id.

        Raises
        ------
        TypeError
            If `event` is not an Event.
        MiddlewareError, HandlerErrors, PublishDepthError, BusClosedError
            As in `publish`.

        Examples
        --------
        >>> from atlas_lab import Event, EventBus, EventType
        >>> bus = EventBus()
        >>> event = Event(EventType.STREAM_STARTED, timestamp=1360324800.0)
        >>> bus.emit(event) == event.id, bus.history[-1].timestamp, event.seq
        (True, 1360324800.0, 0)
        """
        if not is_kind(event, Event):
            raise refuse("event", event, "an Event (see publish for what is none yet)")
        errors = self._process(self._adopted(event), innermost())
        if errors:
            raise HandlerErrors(f"{len(errors)} handler(s) failed", errors)
        return event.id

    async def publish_async(
        self,
        event_type: Enum,
        data: object = None,
        source: str | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> EventId:
        """Publish an event and await its async handlers, one after the other in order with the plain ones.

        Parameters, result and errors are those of `publish`.

        Examples
        --------
        >>> import asyncio
        >>> from atlas_lab import EventBus, EventType
        >>> async def main() -> None:
        ...     bus = EventBus()
        ...     @bus.on(EventType.STREAM_CHUNK)
        ...     async def slow(event):
        ...         await asyncio.sleep(0)
        ...         print("handled", event.data)
        ...     await bus.publish_async(EventType.STREAM_CHUNK, 1)
        ...     print("published")
        >>> asyncio.run(main())
        handled 1
        published
        """
        check_event_type(event_type)
        event = Event(event_type, data, source, own_metadata(metadata), next(self._ids), self._clock())
        errors = await self._process_async(self._adopted(event), innermost())
        if errors:
            raise HandlerErrors(f"{len(errors)} handler(s) failed", errors)
        return event.id

    def _process(
        self,
        event: Event[Any],
        outer: Frame | None,
        route: Route | None = None,
        turn: Turn | None = None,
        accepted: list[tuple[Event[Any], Route]] | None = None,
    ) -> list[Exception] | None:
        """Steps 2 to 5: return the errors that the publisher is to see.

        An event that comes with its `route` was accepted before and is at step 4; it may be in a `turn`. With a
        list for `accepted`, stop after step 3 and put the event and its receivers there.
        """
        before = outer
        if route is not None:
            before = innermost()  # the event had to wait
        else:
            if outer is not None and outer.depth >= self._max_depth and event.type is not EventType.HANDLER_ERROR:
                check_depth(outer, event.type, self._max_depth)
            signals = self._signals
            event_type = event.type
            signal = signals.core[event_type] if type(event_type) is EventType else signals.signal(event_type)
            # 2.
            stage = self._pipeline.stage
            unchanged = True
            if stage is not None:
                force_setattr(event, "seq", 0)
                processed = stage.run(event)
                if processed is None:
                    return None
                if signals.closed:  # by a middleware
                    signals.check_open()
                if processed is not event:
                    unchanged, event = False, self._made_ours(processed)
                    signal = signals.signal(event.type)
            history = self._history
            lock = self._lock
            held = done = False
            # 3. Not `with lock`, which takes twice as long; see `wait_for` and `give_back`.
            try:
                if not lock.acquire(False):
                    wait_for(lock)
                while True:
                    seq = history._accepted + 1
                    force_setattr(event, "seq", seq)
                    if seq > history._accepted:  # else a finalizer ran in that call, and published
                        break
                history._accepted = seq
                history._events.append(event)
                route = signal.route or signals.route(signal)
                route.dispatches += 1
                if stage is not None and unchanged:
                    stage.passes += 1
                    if stage.retired:  # switched while the event was under way
                        stage.settle()
                detour = self._detour
                held = detour and self._hold(event, route, outer)
                done = True
                lock.release()
            except BaseException:
                if not done:
                    give_back(lock)
                elif route is not None and not held:  # accepted, but never delivered
                    route.abandon(None, event)
                raise
            if held:
                return self._release()
            if accepted is not None:
                accepted.append((event, route))
                return None
            if detour:
                return self._deliver_in_turn(event, route, outer)
        # 4.
        errors: list[Exception] | None = None
        if route.slots:
            frame = Frame(event.id, event.type)
            if outer is not None or turn is not None:
                frame.put_inside(outer, turn)
            token = slot = None
            try:
                token = enter(frame)
                for slot in route.slots:
                    try:
                        slot(event)
                    except PublishDepthError:
                        raise
                    except Exception as error:  # noqa: BLE001 - one failing handler never stops the others
                        subscription = route.subscriptions[route.position(slot)]
                        self._handler_failed(subscription, event, error)
                        errors = self._collect(errors, subscription, event, error)
            except BaseException:
                route.abandon(slot, event)
                raise
            finally:
                if token is None:  # an interrupt came before it was kept
                    enter(before)
                else:
                    leave(token)
                if turn is None:  # tasks that live on keep the cause of what they publish, but are not nested in it
                    frame.depth = 0
        # 5.
        if self._parent is not None:
            try:
                errors = joined(errors, self._parent._process(unnumbered(event), outer))
            except BaseException:
                enter(before)  # the parent, interrupted, would go back to `outer`, which may be over
                raise
        return errors

    async def _process_async(self, stamped: Event[Any], outer: Frame | None) -> list[Exception] | None:
        accepted: list[tuple[Event[Any], Route]] = []
        self._process(stamped, outer, accepted=accepted)
        return None if not accepted else await self._deliver_async(*accepted[0], outer)

    def _adopted(self, event: Event[Any]) -> Event[Any]:
        """Return a copy of an event from elsewhere, with what it lacks filled in."""
        check_event_type(event.type, "event.type")
        outer = innermost()
        parent_id = event.parent_id or (None if outer is None else outer.event_id)
        scope = self._path if event.scope is None else event.scope
        return unnumbered(event.replace(parent_id=parent_id, scope=scope))

    def _made_ours(self, event: Event[Any]) -> Event[Any]:
        """Return what a middleware gave for an event: one from elsewhere is not ours to number."""
        if event.seq or event.scope is None:
            return event.replace(seq=0, scope=self._path if event.scope is None else event.scope)
        return event

    @property
    def parent_bus(self) -> EventBus | None:
        """The bus that this one is a scope of; None if it is no scope."""
        return None

    @property
    def scopes(self) -> list[EventBus]:
        """The scopes of this bus that are alive, by name."""
        with self._lock:
            alive = list(self._scopes)
        return sorted(alive, key=lambda scope: scope.path)
