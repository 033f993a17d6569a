"""The part of a bus that handlers meet: subscribing, by call or decorator, waiting, and streaming."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterable
from enum import Enum
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from .arguments import check_callable, check_condition, check_kind, check_optional, text_or_none
from .events import Event, check_event_types
from .naming import callable_name, code_of, is_async
from .parts import BusParts
from .payloads import PayloadType
from .signals import OrderedSignal
from .subscribers import annotated_payload, bind, only_from, only_once, only_where, typed
from .subscription import SKIPPED, Handler, Slot, Subscription
from .waiting import EventStream, running_loop, wait_for

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

T = TypeVar("T")
R = TypeVar("R")
H = TypeVar("H", bound=Callable[..., object])


class Subscribing(BusParts):
    """Everything a bus offers to handlers. `EventBus` adds publishing; see there."""

    @overload
    def subscribe(
        self,
        event_type: Enum | Iterable[Enum] | None,
        handler: Callable[[Event[T]], object],
        *,
        data_type: type[T],
        weak: bool | None = None,
        priority: int = 0,
        once: bool = False,
        where: Callable[[Event[T]], object] | None = None,
        source: str | None = None,
        name: str | None = None,
    ) -> Subscription: ...
    @overload
    def subscribe(
        self,
        event_type: Enum | Iterable[Enum] | None,
        handler: Handler,
        *,
        weak: bool | None = None,
        priority: int = 0,
        once: bool = False,
        where: Callable[[Event[Any]], object] | None = None,
        source: str | None = None,
        data_type: None = None,
        name: str | None = None,
    ) -> Subscription: ...
    def subscribe(
        self,
        event_type: Enum | Iterable[Enum] | None,
        handler: Handler,
        *,
        weak: bool | None = None,
        priority: int = 0,
        once: bool = False,
        where: Callable[[Event[Any]], object] | None = None,
        source: str | None = None,
        data_type: Any = None,
        name: str | None = None,
    ) -> Subscription:
        """Have `handler` called with every event of a type, from the next one published.

        Handlers run by priority, high first, then in the order of subscription. Subscribing one handler
        twice is two subscriptions.

        Parameters
        ----------
        event_type : Enum, iterable of Enum, or None
            One type, several, or None for every type.
        handler : callable of Event
            May be ``async def``: ``publish_async`` awaits it in order, ``publish`` starts it on the
            running loop (see ``join``).
        weak : bool or None, default None
            How the bus holds the handler. None holds a bound method weakly, so that the bus never keeps
            its object alive, and everything else strongly until it is unsubscribed. True holds any
            handler weakly, False strongly.
        priority : int, default 0
            Handlers with a higher priority run first.
        once : bool, default False
            End the subscription with the first event that meets the conditions.
        where : callable of Event to bool, optional
            Only events for which it is true reach the handler. It runs without a lock, and its errors
            are the handler's.
        source : str, optional
            Only events from this source reach the handler.
        data_type : type, optional
            Payloads of this type reach the handler as they are; a mapping that fits it (a dataclass,
            msgspec Struct or TypedDict) arrives converted; anything else does not reach it and is a
            handler error of kind ``PayloadTypeError``. `where` sees the converted payload.
        name : str, optional
            Shown instead of the handler's qualified name. A subscription with the same name is replaced.

        Returns
        -------
        Subscription
            Call it to unsubscribe; use it in a ``with`` statement; see there for what it can tell.

        Raises
        ------
        TypeError
            If an argument is of the wrong kind, or ``weak=True`` is asked for a handler that would be
            gone at once, such as a lambda.
        NoEventLoopError
            If `handler` is async and no event loop is running to run it on.
        BusClosedError
            If the bus is closed.

        Examples
        --------
        >>> from dataclasses import dataclass
        >>> from atlas_lab import EventBus, EventType
        >>> @dataclass
        ... class Chunk:
        ...     text: str
        >>> bus = EventBus()
        >>> unsubscribe = bus.subscribe(EventType.STREAM_CHUNK, lambda event: print(event.data.text), data_type=Chunk)
        >>> _ = bus.publish(EventType.STREAM_CHUNK, {"text": "hello"})
        hello
        >>> unsubscribe()
        True
        """
        return self._subscribe(
            event_type,
            handler,
            weak=weak,
            priority=priority,
            once=once,
            where=where,
            source=source,
            data_type=data_type,
            name=name,
            key=name,
        )

    @overload
    def on(
        self,
        event_type: Enum | Iterable[Enum] | None,
        *,
        data_type: type[T],
        weak: bool | None = None,
        priority: int = 0,
        once: bool = False,
        where: Callable[[Event[T]], object] | None = None,
        source: str | None = None,
        name: str | None = None,
    ) -> Callable[[Callable[[Event[T]], R]], Callable[[Event[T]], R]]: ...
    @overload
    def on(
        self,
        event_type: Enum | Iterable[Enum] | None,
        *,
        weak: bool | None = None,
        priority: int = 0,
        once: bool = False,
        where: Callable[[Event[Any]], object] | None = None,
        source: str | None = None,
        data_type: None = None,
        name: str | None = None,
    ) -> Callable[[H], H]: ...
    def on(
        self,
        event_type: Enum | Iterable[Enum] | None,
        *,
        data_type: Any = None,
        name: str | None = None,
        **options: Any,
    ) -> Callable[[Any], Any]:
        """Subscribe the decorated function; takes the options of `subscribe` and returns the function.

        It is safe to run again, as a notebook cell is: a function of the same module and qualified name
        takes the place of its older version instead of joining it. To keep several that share one name,
        such as those made in a loop for one event type, give each a ``name``.

        The new version starts counting its calls from 0.

        A parameter annotated ``Event[T]`` means ``data_type=T``.

        Examples
        --------
        >>> from atlas_lab import Event, EventBus, EventType
        >>> bus = EventBus()
        >>> for _ in range(2):  # as if the cell ran twice
        ...     @bus.on(EventType.STREAM_CHUNK, priority=5)
        ...     def show(event: Event[dict]) -> None:
        ...         print(event.data["text"])
        >>> _ = bus.publish(EventType.STREAM_CHUNK, {"text": "once"})
        once
        """
        if event_type is not None:
            check_event_types(event_type)

        def decorate(handler: Any) -> Any:
            wanted = data_type
            if wanted is None and callable(handler):
                caller = sys._getframe(1)  # noqa: SLF001 - where the names of local classes are known
                wanted = annotated_payload(handler, lambda: caller.f_locals)
            key: object = name
            if key is None and isinstance(handler, FunctionType) and not handler.__name__.startswith("<"):
                key = (handler.__module__, handler.__qualname__)
            self._subscribe(event_type, handler, data_type=wanted, name=name, key=key, **options)
            return handler

        return decorate

    def wait_for(
        self,
        event_type: Enum | Iterable[Enum] | None,
        *,
        timeout: float | None = None,
        where: Callable[[Event[Any]], object] | None = None,
        source: str | None = None,
    ) -> Awaitable[Event[Any]]:
        """Return an awaitable of the next event that fits. It listens from now on, not from the await.

        Parameters
        ----------
        event_type, where, source
            As in `subscribe`.
        timeout : float, optional
            Seconds to wait at most.

        Raises
        ------
        TimeoutError
            When awaited, if no event came in time.
        BusClosedError
            When awaited, if the bus was closed first.
        NoEventLoopError
            If no event loop is running.

        Examples
        --------
        >>> import asyncio
        >>> from atlas_lab import EventBus, EventType
        >>> async def main() -> None:
        ...     bus = EventBus()
        ...     started = bus.wait_for(EventType.AGENT_STARTED, timeout=5)
        ...     bus.publish(EventType.AGENT_STARTED, "planner")
        ...     print((await started).data)
        >>> asyncio.run(main())
        planner
        """
        return wait_for(self, self._enlist, event_type, timeout, where=where, source=source)

    @overload
    def stream(
        self,
        event_type: Enum | Iterable[Enum] | None = None,
        *,
        data_type: type[T],
        limit: int | None = None,
        where: Callable[[Event[T]], object] | None = None,
        source: str | None = None,
    ) -> EventStream[T]: ...
    @overload
    def stream(
        self,
        event_type: Enum | Iterable[Enum] | None = None,
        *,
        limit: int | None = None,
        where: Callable[[Event[Any]], object] | None = None,
        source: str | None = None,
        data_type: None = None,
    ) -> EventStream[Any]: ...
    def stream(
        self,
        event_type: Enum | Iterable[Enum] | None = None,
        *,
        limit: int | None = None,
        where: Callable[[Event[Any]], object] | None = None,
        source: str | None = None,
        data_type: Any = None,
    ) -> EventStream[Any]:
        """Return the events that come from now on as an async iterator; it ends when the bus is closed.

        Parameters
        ----------
        event_type, where, source, data_type
            As in `subscribe`.
        limit : int, optional
            Unread events to keep at most; the oldest make room and are counted in ``.dropped``. No limit
            by default.

        Examples
        --------
        >>> import asyncio
        >>> from atlas_lab import EventBus, EventType
        >>> async def main() -> None:
        ...     with EventBus() as bus:
        ...         chunks = bus.stream(EventType.STREAM_CHUNK)
        ...         for text in ("to", "be"):
        ...             bus.publish(EventType.STREAM_CHUNK, text)
        ...     async for event in chunks:
        ...         print(event.data)
        >>> asyncio.run(main())
        to
        be
        """
        options = {"where": where, "source": source, "data_type": data_type}
        return EventStream(self, self._enlist, self._lock, event_type, limit, **options)

    def subscriptions(self) -> list[Subscription]:
        """Return the active subscriptions, in the order in which they would receive one event."""
        return self._signals.subscriptions()

    def departed(self) -> list[Subscription]:
        """Return the latest 100 subscriptions that ended because their object was garbage-collected, oldest first.

        Examples
        --------
        >>> from atlas_lab import EventBus, EventType
        >>> class Agent:
        ...     def work(self, event): ...
        >>> bus = EventBus()
        >>> _ = bus.subscribe(EventType.AGENT_STARTED, Agent().work)
        >>> bus.departed()
        [<Subscription Agent.work to AGENT_STARTED: ended, 0 calls>]
        """
        return self._signals.departed()

    def get_signal(self, event_type: Enum) -> OrderedSignal:
        """Return the Blinker signal behind an event type.

        What is connected to it is subscribed to the bus; ``signal.send(event)`` calls the receivers in
        order and does nothing else of what `publish` does.

        Raises
        ------
        TypeError
            If `event_type` is not a member of an Enum.
        BusClosedError
            If the bus is closed.
        """
        return self._signals.signal(event_type)

    async def join(self) -> None:
        """Wait until the async handlers that `publish` started are done, and those they started in turn."""
        await self._background.join()

    def _subscribe(
        self,
        event_type: Enum | Iterable[Enum] | None,
        handler: Handler,
        *,
        weak: bool | None = None,
        priority: int = 0,
        once: bool = False,
        where: Callable[[Event[Any]], object] | None = None,
        source: str | None = None,
        data_type: Any = None,
        name: str | None = None,
        key: object = None,
    ) -> Subscription:
        check_callable("handler", handler, "callable with one event")
        types = () if event_type is None else check_event_types(event_type)
        check_optional("weak", weak, bool, "True, False")
        check_kind("priority", priority, int, "an int; higher runs first")
        check_kind("once", once, bool, "True or False")
        check_condition("where", where)
        source, name = text_or_none("source", source), text_or_none("name", name)
        key = key if name is None else name
        payload_type = None if data_type is None else PayloadType(data_type, "data_type")
        filters = [f"source={source!r}"] if source is not None else []
        filters += [f"data_type={payload_type.name}"] if payload_type is not None else []
        filters += [f"where={callable_name(where)}"] if where is not None else []
        subscription = Subscription(
            self._signals,
            types,
            handler_name=name or callable_name(handler),
            priority=priority,
            filters=(*filters, "once") if once else tuple(filters),
            key=key,
            code=code_of(handler),
            created_at=self._clock(),
            data_type=data_type,
        )
        home = running_loop(f"the async handler {subscription.handler_name}") if is_async(handler) else None
        call = bind(subscription, handler, weak)
        if once:
            call = only_once(subscription, call)
        if where is not None:
            call = only_where(subscription, call, where)
        if payload_type is not None:
            call = typed(subscription, call, payload_type)
        if source is not None:
            call = only_from(subscription, call, source)
        if home is not None:
            subscription.awaited = call
            subscription.starting = partial(self._start_later, subscription, home)
            call = subscription.starting(call)
        subscription.slot = call
        self._signals.connect(subscription)
        self._signals.mourn()
        return subscription

    def _start_later(self, subscription: Subscription, home: AbstractEventLoop, call: Slot) -> Slot:
        """Return what a plain publish calls in place of an async handler."""

        def start(event: Event[Any]) -> None:
            coroutine: Any = call(event)
            if coroutine is not SKIPPED:
                self._background.start(coroutine, home, lambda error: self._task_failed(subscription, event, error))

        return start

    def _task_failed(self, subscription: Subscription, event: Event[Any], error: Exception) -> None:
        raise NotImplementedError
