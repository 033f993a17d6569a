"""The event bus.

The way of an event, in `EventBus.publish` and the three steps below it:

1. stamp: id, time, source, the event whose handler is publishing, the scope;
2. middleware, which may change or drop it;
3. accept: under one hold of the lock it gets its ``seq``, enters the history and meets its receivers;
4. deliver: handlers run outside the lock, in order, each error kept from the others;
5. a scope passes the event on to its parent, where it goes through 2 to 5 again.
"""

from __future__ import annotations

import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from inspect import iscoroutine
from threading import get_ident
from typing import Any, Literal, NoReturn, Self, SupportsIndex

from msgspec.structs import force_setattr

from .background import Background
from .dispatch import Frame, Turn, Waiting, check_depth, find_turn, handling
from .errors import HandlerErrors, MiddlewareError, PublishDepthError, describe
from .events import (
    Event,
    EventId,
    EventType,
    check_event_type,
    event_type_name,
    id_source,
    own_metadata,
    unnumbered,
)
from .forks import survive_forks
from .history import History
from .pipeline import Middleware, MiddlewareFunction, Pipeline, Stage
from .reports import BusStats, Explanation, describe_middleware, describe_subscription, error_report
from .signals import Route, SignalTable, Slot, Subscription, logger
from .subscribing import Subscribing


class EventBus(Subscribing):
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

    def __init__(
        self,
        history_limit: int | None = 1000,
        *,
        name: str | None = None,
        on_error: Literal["event", "raise"] = "event",
        nested: Literal["immediate", "queued"] = "immediate",
        clock: Callable[[], float] = time.time,
        max_depth: int = 100,
        new_id: Callable[[], EventId] | None = None,
    ) -> None:
        _check_choice("on_error", on_error, ("event", "raise"))
        _check_choice("nested", nested, ("immediate", "queued"))
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name must be a str, got {type(name).__name__} {name!r:.80}")
        if not callable(clock):
            raise TypeError(f"clock must be callable and return seconds since the epoch, got {clock!r:.80}")
        if new_id is not None and not callable(new_id):
            raise TypeError(f"new_id must be callable and return a new id, got {new_id!r:.80}")
        if isinstance(max_depth, bool) or not isinstance(max_depth, int):
            raise TypeError(f"max_depth must be an int, got {type(max_depth).__name__} {max_depth!r:.80}")
        if max_depth < 1:
            raise ValueError(f"max_depth must be 1 or more, got {max_depth}")
        self.name = name
        self.on_error = on_error
        self.nested = nested
        self._clock = clock
        self._max_depth = max_depth
        self._path = name or ""
        self._new_id = new_id or id_source()
        self._signals = SignalTable()
        self._signals.bus = weakref.ref(self)
        self._lock = self._signals.lock
        self._history = History(history_limit, lock=self._lock)
        self._pipeline = Pipeline(self._lock)
        self._background = Background()
        self._waiting: weakref.WeakSet[Any] = weakref.WeakSet()
        self._parent: EventBus | None = None
        self._scopes: weakref.WeakSet[EventBus] = weakref.WeakSet()
        self._rejected = 0
        # Deliveries leave the direct way while the bus is paused, and always when nested="queued".
        self._detour = nested == "queued"
        self._pauses = 0
        self._held: deque[Waiting] = deque()
        self._releasing: int | None = None
        survive_forks(self, renew_ids=new_id is None)

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
            If a middleware raised, or returned neither an event nor None.
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
        if source.__class__ is not str and source is not None and not isinstance(source, str):
            raise TypeError(f"source must be a str or None, got {type(source).__name__} {source!r:.80}")
        outer = handling.get()
        event: Event[Any] = Event(
            event_type,
            data,
            source,
            {} if metadata is None else own_metadata(metadata),
            self._new_id(),
            self._clock(),
            None if outer is None else outer.event_id,
            self._path,
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
        if not isinstance(event, Event):
            raise TypeError(f"event must be an Event, got {type(event).__name__} {event!r:.80}; see publish")
        errors = self._process(self._adopted(event), handling.get())
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
        event = Event(event_type, data, source, own_metadata(metadata), self._new_id(), self._clock())
        errors = await self._process_async(self._adopted(event), handling.get())
        if errors:
            raise HandlerErrors(f"{len(errors)} handler(s) failed", errors)
        return event.id

    def _process(
        self, stamped: Event[Any], outer: Frame | None, accepted: list[tuple[Event[Any], Route]] | None = None
    ) -> list[Exception] | None:
        """Steps 2 to 5: return the errors that the publisher is to see.

        With a list for `accepted`, stop after step 3 and put the event and its receivers there.
        """
        event = stamped
        if outer is not None and outer.depth >= self._max_depth and event.type is not EventType.HANDLER_ERROR:
            check_depth(outer, event.type, self._max_depth)
        signals = self._signals
        signal = signals.core.get(event.type) if event.type.__class__ is EventType else None
        if signal is None:
            signal = signals.signal(event.type)
        stage = self._pipeline.stage
        if stage is not None:
            processed = self._run_middleware(stage, stamped)
            if processed is None:
                return None
            event = processed
            signal = signals.signal(event.type)
        history = self._history
        with self._lock:
            seq = 0
            while seq <= history._accepted:  # a finalizer that publishes may run at the call in between
                seq = history._accepted + 1
                force_setattr(event, "seq", seq)
            history._accepted = seq
            history._events.append(event)
            route = signal.route or signals.route(signal)
            route.dispatches += 1
            if stage is not None and event is stamped:
                stage.count_pass()
        if accepted is not None:
            accepted.append((event, route))
            return None
        if route.slots or self._parent is not None:
            return self._deliver(event, route, outer)
        return None

    async def _process_async(self, stamped: Event[Any], outer: Frame | None) -> list[Exception] | None:
        accepted: list[tuple[Event[Any], Route]] = []
        self._process(stamped, outer, accepted)
        return None if not accepted else await self._deliver_async(*accepted[0], outer)

    def _adopted(self, event: Event[Any]) -> Event[Any]:
        """Return a copy of an event from elsewhere, with what it lacks filled in."""
        check_event_type(event.type, "event.type")
        outer = handling.get()
        parent_id = event.parent_id or (None if outer is None else outer.event_id)
        return event.replace(seq=0, parent_id=parent_id, scope=self._path if event.scope is None else event.scope)

    def _run_middleware(self, stage: Stage, stamped: Event[Any]) -> Event[Any] | None:
        """Step 2: return what the middleware makes of an event, None if it was dropped."""
        try:
            event = stage.run(stamped)
        except MiddlewareError:
            self._count_rejected()
            raise
        if event is None:
            self._count_rejected()
        elif event.seq or event.scope is None:  # an event from elsewhere is not ours to number
            event = event.replace(seq=0, scope=self._path if event.scope is None else event.scope)
        return event

    def _deliver(
        self, event: Event[Any], route: Route, outer: Frame | None, turn: Turn | None = None, *, direct: bool = False
    ) -> list[Exception] | None:
        """Steps 4 and 5: call the handlers, then the parent; return the errors the publisher is to see."""
        if self._detour and not direct:
            return self._deliver_in_turn(event, route, outer)
        errors: list[Exception] | None = None
        if route.slots:
            around = None if outer is None else outer.under_way()
            frame = Frame(event.id, event.type, around, 1 if around is None else around.depth + 1, turn)
            token = handling.set(frame)
            slot: Slot | None = None
            try:
                for slot in route.slots:
                    try:
                        slot(event)
                    except PublishDepthError:
                        raise
                    except Exception as error:  # noqa: BLE001 - one failing handler never stops the others
                        errors = self._collect(errors, route.subscriptions[route.position(slot)], event, error)
            except BaseException:
                route.abandon(slot)
                raise
            finally:
                handling.reset(token)
                if turn is None:  # tasks that live on keep the cause of what they publish, but are not nested in it
                    frame.outer, frame.depth = None, 0
        if self._parent is not None:
            errors = _joined(errors, self._parent._process(unnumbered(event), outer))
        return errors

    async def _deliver_async(
        self, event: Event[Any], route: Route, outer: Frame | None, turn: Turn | None = None, *, direct: bool = False
    ) -> list[Exception] | None:
        """Steps 4 and 5 for `publish_async`: what `_deliver` does, awaiting."""
        if self._detour and not direct:
            return await self._deliver_in_turn_async(event, route, outer)
        errors: list[Exception] | None = None
        if route.slots:
            around = None if outer is None else outer.under_way()
            frame = Frame(event.id, event.type, around, 1 if around is None else around.depth + 1, turn)
            token = handling.set(frame)
            slot: Slot | None = None
            try:
                for slot, subscription in zip(route.slots, route.subscriptions, strict=True):
                    try:
                        result = (slot if subscription.paused else subscription.invoke)(event)
                        if iscoroutine(result):
                            await result
                    except PublishDepthError:
                        raise
                    except Exception as error:  # noqa: BLE001 - one failing handler never stops the others
                        errors = self._collect(errors, subscription, event, error)
            except BaseException:
                route.abandon(slot)
                raise
            finally:
                handling.reset(token)
                if turn is None:  # tasks that live on keep the cause of what they publish, but are not nested in it
                    frame.outer, frame.depth = None, 0
        if self._parent is not None:
            errors = _joined(errors, await self._parent._process_async(unnumbered(event), outer))
        return errors

    def _deliver_in_turn(self, event: Event[Any], route: Route, outer: Frame | None) -> list[Exception] | None:
        """Deliver an event when it is its turn: after a pause, or behind the event whose handler published it."""
        if self._hold(event, route, outer):
            return self._release()
        if self.nested == "immediate":
            return self._deliver(event, route, outer, direct=True)
        turn = find_turn(outer, self)
        if turn is not None:
            turn.queue.append((event, route, outer))
            return None
        with Turn(self) as turn:
            errors = self._deliver(event, route, outer, turn, direct=True)
            while turn.queue:
                errors = _joined(errors, self._deliver(*turn.queue.popleft(), turn, direct=True))
        return errors

    async def _deliver_in_turn_async(
        self, event: Event[Any], route: Route, outer: Frame | None
    ) -> list[Exception] | None:
        if self._hold(event, route, outer):
            return self._release()
        if self.nested == "immediate":
            return await self._deliver_async(event, route, outer, direct=True)
        turn = find_turn(outer, self)
        if turn is not None:
            turn.queue.append((event, route, outer))
            return None
        with Turn(self) as turn:
            errors = await self._deliver_async(event, route, outer, turn, direct=True)
            while turn.queue:
                errors = _joined(errors, await self._deliver_async(*turn.queue.popleft(), turn, direct=True))
        return errors

    def _hold(self, event: Event[Any], route: Route, outer: Frame | None) -> bool:
        """Keep an event back if the bus is paused, or is delivering what it held, in another thread."""
        with self._lock:
            waits = self._pauses > 0 or (self._releasing != get_ident() and bool(self._held or self._releasing))
            if waits:
                self._held.append((event, route, outer))
            return waits

    def _release(self) -> list[Exception] | None:
        """Deliver what was held, unless the bus is paused or another thread is at it."""
        errors: list[Exception] | None = None
        with self._lock:
            if self._pauses or self._releasing not in {None, get_ident()}:
                return None
            self._releasing = get_ident()
        try:
            while True:
                with self._lock:
                    if not self._held or self._pauses:
                        self._releasing = None
                        self._detour = self.nested == "queued" or self._pauses > 0
                        return errors
                    waiting = self._held.popleft()
                errors = _joined(errors, self._deliver(*waiting))
        finally:
            self._releasing = None

    def _collect(
        self, errors: list[Exception] | None, subscription: Subscription, event: Event[Any], error: Exception
    ) -> list[Exception] | None:
        """Report a handler's error; return `errors`, with it if the publisher is to see it."""
        self._handler_failed(subscription, event, error)
        hidden = self.on_error == "event" or subscription.isolated or event.type is EventType.HANDLER_ERROR
        return errors if hidden else _joined(errors, [error])

    def _handler_failed(self, subscription: Subscription, event: Event[Any], error: Exception) -> None:
        """Log a handler's error and publish it, unless it came from handling such a report."""
        subscription.failed(error)
        logger.error(
            "handler %s failed on %s: %s", subscription.handler_name, event.type_name, describe(error), exc_info=error
        )
        if event.type is EventType.HANDLER_ERROR:
            return
        report = error_report(subscription, event, error)
        try:
            self.publish(EventType.HANDLER_ERROR, report, subscription.handler_name)
        except Exception:  # noqa: BLE001 - a middleware may refuse the report; the error itself is logged above
            logger.exception("HANDLER_ERROR could not be published")

    def _count_rejected(self) -> None:
        with self._lock:
            self._rejected += 1

    def add_middleware(
        self, function: MiddlewareFunction, *, name: str | None = None, before: Middleware | str | None = None
    ) -> Middleware:
        """Let a function see, change or drop every event before it is stored and delivered.

        Middleware runs in the order added, in the publisher's thread, without a lock.

        Parameters
        ----------
        function : callable of Event, returning Event or None
            Returns the event itself to pass it on, a changed copy (``event.replace(...)``), or None to
            drop it. If it raises, or returns anything else, the publisher gets `MiddlewareError` and the
            event is neither stored nor delivered.
        name : str, optional
            Shown instead of the function's name. An entry with the same name is replaced in its place.
        before : Middleware or str, optional
            The entry, or the name of it, to stand in front of; at the end by default.

        Returns
        -------
        Middleware
            Call it to remove it; set ``.enabled``; read ``.stats``.

        Raises
        ------
        TypeError, ValueError
            If `function` cannot be called or is async, or `before` is not an entry of this bus.
        BusClosedError
            If the bus is closed.

        Examples
        --------
        >>> from atlas_lab import EventBus, EventType
        >>> bus = EventBus()
        >>> remove = bus.add_middleware(lambda event: event.replace(source=event.source or "unknown"))
        >>> _ = bus.publish(EventType.SYSTEM_INIT)
        >>> bus.history[-1].source, remove.stats.transformed
        ('unknown', 1)
        >>> remove()
        True
        """
        self._signals.check_open()
        return self._pipeline.add(function, name, before)

    @property
    def middleware(self) -> tuple[Middleware, ...]:
        """The entries in order, switched on or off."""
        return self._pipeline.entries

    @property
    def history(self) -> History:
        """The latest events, oldest first."""
        return self._history

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hold deliveries back during a ``with`` block, in all threads; blocks may be nested.

        Events published meanwhile pass middleware and enter the history at once. They are delivered when
        the outermost block ends, in the order of the history, by the thread that ends it. Async handlers
        are then started as by `publish`.

        Raises
        ------
        HandlerErrors
            At the end of the block, if handlers failed and the bus was made with ``on_error="raise"``.

        Examples
        --------
        >>> from atlas_lab import EventBus, EventType
        >>> bus = EventBus()
        >>> _ = bus.subscribe(EventType.STREAM_CHUNK, lambda event: print("got", event.data))
        >>> with bus.paused():
        ...     _ = bus.publish(EventType.STREAM_CHUNK, 1)
        ...     print("held")
        held
        got 1
        """
        with self._lock:
            self._pauses += 1
            self._detour = True
        try:
            yield
        finally:
            with self._lock:
                self._pauses -= 1
            errors = self._release()
        if errors:
            raise HandlerErrors(f"{len(errors)} handler(s) failed", errors)

    def stats(self) -> BusStats:
        """Return counts of what happened since the bus was made, dead letters among them.

        Examples
        --------
        >>> from atlas_lab import EventBus, EventType
        >>> bus = EventBus()
        >>> _ = bus.publish(EventType.AGENT_CREATED)
        >>> bus.stats().dead_letters
        {'AGENT_CREATED': 1}
        """
        signals = self._signals
        with self._lock:
            signals.settle()
            used = [(event_type_name(signal.event_type), signal) for signal in signals.all() if signal.event_type]
            return BusStats(
                accepted=self._history.accepted,
                calls=signals.deliveries - signals.misses,
                errors=signals.errors,
                rejected=self._rejected,
                by_type={name: signal.accepted for name, signal in used if signal.accepted},
                dead_letters={name: signal.dead_letters for name, signal in used if signal.dead_letters},
                subscriptions=len(signals.subscriptions()),
                kept=len(self._history),
                pushed_out=self._history.dropped,
                running=len(self._background),
            )

    def explain(self, event_type: Enum) -> Explanation:
        """Return what would happen to an event of a type: middleware, handlers in order, then the parent.

        Raises
        ------
        TypeError
            If `event_type` is not a member of an Enum.

        Examples
        --------
        >>> from atlas_lab import EventBus, EventType
        >>> bus = EventBus(name="run")
        >>> _ = bus.subscribe(EventType.STREAM_CHUNK, print, priority=2, source="model")
        >>> print(bus.explain(EventType.STREAM_CHUNK))
        STREAM_CHUNK on run
          middleware: none: every event passes
          handlers, in order:
            1. print (priority 2, source='model')
        """
        name = event_type_name(check_event_type(event_type))
        return Explanation(
            bus=self._path or "a bus without a name",
            event_type=name,
            middleware=tuple(describe_middleware(entry) for entry in self.middleware),
            handlers=tuple(
                describe_subscription(subscription)
                for subscription in self.subscriptions()
                if not subscription.event_types or name in map(event_type_name, subscription.event_types)
            ),
            parent=None if self._parent is None else self._parent.explain(event_type),
        )

    @property
    def path(self) -> str:
        """Names of the buses from the outermost down to this one, joined by "/"; "" for a bus without a name."""
        return self._path

    @property
    def parent_bus(self) -> EventBus | None:
        """The bus that this one is a scope of; None if it is no scope."""
        return None

    @property
    def scopes(self) -> list[EventBus]:
        """The scopes of this bus that are alive, by name."""
        return sorted(self._scopes, key=lambda scope: scope.path)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._signals.closed

    def close(self) -> None:
        """Unsubscribe everything, end streams and waits, and close the scopes of this bus.

        Afterwards publishing, subscribing and adding middleware raise `BusClosedError`; history and
        statistics stay. Closing twice is no error.
        """
        for scope in list(self._scopes):
            scope.close()
        if not self.closed:
            self._signals.close()
            for waiting in list(self._waiting):
                waiting.bus_closed()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} cannot be pickled or copied: it holds handlers and locks. "
            "Send its events instead: list(bus.history)"
        )

    def __repr__(self) -> str:
        name = f" {self._path!r}" if self._path else ""
        state = "closed" if self.closed else f"{len(self.subscriptions())} subscriptions"
        return f"<{type(self).__name__}{name}: {state}, {self._history.accepted} events>"


def _joined(errors: list[Exception] | None, more: list[Exception] | None) -> list[Exception] | None:
    return errors if not more else [*(errors or ()), *more]


def _check_choice(argument: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{argument} must be {' or '.join(map(repr, choices))}, got {value!r:.80}")
