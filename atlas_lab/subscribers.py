"""How a handler is called: held weakly or strongly, once, filtered, with a typed payload, or awaited.

Each function here wraps a call in another one, so that a plain handler is called directly and pays for
none of it. `EventStream` and `wait_for` are subscribers that a coroutine can wait on.
"""

from __future__ import annotations

import functools
import inspect
import sys
import threading
import types
import weakref
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, get_args, get_origin

from .errors import BusClosedError, NoEventLoopError, PayloadTypeError, callable_name
from .events import Event, EventType, event_type_name
from .payloads import fit_payload
from .signals import Handler, Slot, Subscription

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")


class Bus(Protocol):
    """What is needed of a bus here."""

    def subscribe(
        self,
        event_type: Enum | Iterable[Enum] | None,
        handler: Handler,
        *,
        weak: bool | None = None,
        once: bool = False,
        where: Callable[[Event[Any]], object] | None = None,
        source: str | None = None,
        data_type: Any = None,
    ) -> Subscription:
        """Subscribe a handler."""


def is_async(handler: Handler) -> bool:
    """Whether calling `handler` gives a coroutine to await."""
    if isinstance(handler, functools.partial):
        return is_async(handler.func)
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(getattr(handler, "__call__", None))  # noqa: B004


def definition_of(handler: Handler) -> object:
    """Return the function in which a handler is written."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    return getattr(handler, "__func__", handler)


def bind(subscription: Subscription, handler: Handler, weak: bool | None) -> Slot:
    """Return a call of `handler` that holds it as `weak` asks; see ``EventBus.subscribe``.

    Raises
    ------
    TypeError
        If `handler` would be gone at once when held weakly, or cannot be held weakly.
    """
    if weak is False or (weak is None and not isinstance(handler, types.MethodType)):
        subscription.recover = lambda: handler
        return handler
    name = callable_name(handler)
    if isinstance(handler, functools.partial | types.BuiltinMethodType) or name.endswith("<lambda>"):
        raise TypeError(
            f"weak=True would lose the handler {name} at once: nothing else is sure to keep a lambda, a partial or a "
            "built-in method alive. Leave weak out to have the bus keep it until it is unsubscribed."
        )
    owner: Any = handler.__self__ if isinstance(handler, types.MethodType) else handler
    function = handler.__func__ if isinstance(handler, types.MethodType) else None
    try:
        reference = weakref.ref(owner, lambda _: subscription.signals.orphan(subscription))
    except TypeError:
        raise TypeError(
            f"{type(owner).__name__} objects cannot be referenced weakly, so {name} cannot be held weakly; "
            "pass weak=False, or add '__weakref__' to the class's __slots__"
        ) from None

    def recover() -> Handler | None:
        alive: Any = reference()
        return alive if alive is None or function is None else types.MethodType(function, alive)

    def call_if_alive(event: Event[Any]) -> object:
        alive = recover()
        if alive is None:
            subscription.signals.bury()
            return subscription.miss()
        return alive(event)

    subscription.recover = recover
    return call_if_alive


def only_from(subscription: Subscription, call: Slot, source: str) -> Slot:
    """Return `call` for the events of one source."""

    def from_source(event: Event[Any]) -> object:
        if event.source == source:
            return call(event)
        return subscription.miss()

    return from_source


def only_where(subscription: Subscription, call: Slot, where: Callable[[Event[Any]], object]) -> Slot:
    """Return `call` for the events that meet a condition."""

    def if_met(event: Event[Any]) -> object:
        try:
            met = where(event)
        except BaseException:
            subscription.miss()
            raise
        return call(event) if met else subscription.miss()

    return if_met


def only_once(subscription: Subscription, call: Slot) -> Slot:
    """Return `call` for the first event; the subscription ends before the handler runs."""

    def first(event: Event[Any]) -> object:
        return call(event) if subscription.unsubscribe() else subscription.miss()

    return first


def typed(subscription: Subscription, call: Slot, data_type: Any) -> Slot:
    """Return `call` for events whose payload is, or fits, `data_type`."""

    def with_payload(event: Event[Any]) -> object:
        try:
            payload = fit_payload(event.data, data_type)
        except PayloadTypeError:
            subscription.miss()
            raise
        return call(event if payload is event.data else event.replace(data=payload))

    return with_payload


def annotated_payload(handler: Handler, names: Mapping[str, Any]) -> Any:
    """Return T if the first parameter of `handler` is annotated ``Event[T]``, else None.

    Parameters
    ----------
    handler : callable
    names : mapping of str to object
        Local names that an annotation written as text may use.

    Raises
    ------
    TypeError
        If the annotation names something that cannot be found.
    """
    function = definition_of(handler)
    if not isinstance(function, types.FunctionType):
        return None
    parameters = list(inspect.signature(handler).parameters.values())
    annotation = parameters[0].annotation if parameters else None
    if isinstance(annotation, str):
        if "[" not in annotation:
            return None
        try:
            annotation = eval(annotation, function.__globals__, dict(names))  # noqa: S307 - the handler's own source
        except Exception as error:
            raise TypeError(
                f"cannot tell what {annotation!r}, the annotation of {callable_name(handler)}, means ({error}); "
                "pass data_type= to bus.on instead"
            ) from error
    if get_origin(annotation) is not Event:
        return None
    (data_type,) = get_args(annotation)
    return None if data_type in {Any, object} or isinstance(data_type, TypeVar) else data_type


def safe_subscribe(
    bus: Any, event_type: Enum | Iterable[Enum] | None, handler: Handler, **options: Any
) -> Subscription:
    """Subscribe a handler whose errors never reach the publisher, whatever the bus does with errors.

    An error is logged and published as HANDLER_ERROR, also on a bus with ``on_error="raise"``.

    Parameters
    ----------
    bus : EventBus
    event_type : Enum, iterable of Enum, or None for every type
    handler : callable of Event
    **options
        As in ``EventBus.subscribe``.

    Returns
    -------
    Subscription
        Call it to unsubscribe.

    Examples
    --------
    >>> import logging; logging.getLogger("atlas_lab").setLevel(logging.CRITICAL)
    >>> from atlas_lab import EventBus, EventType, safe_subscribe
    >>> bus = EventBus(on_error="raise")
    >>> unsubscribe = safe_subscribe(bus, EventType.AGENT_STARTED, lambda event: 1 / 0)
    >>> _ = bus.publish(EventType.AGENT_STARTED)
    >>> bus.history[-1].data["error_type"]
    'ZeroDivisionError'
    >>> unsubscribe()
    True
    """
    subscription: Subscription = bus.subscribe(event_type, handler, **options)
    subscription.isolated = True
    return subscription


def running_loop(purpose: str) -> asyncio.AbstractEventLoop:
    """Return the running event loop.

    Raises
    ------
    NoEventLoopError
        If none is running in this thread.
    """
    loop = current_loop()
    if loop is None:
        raise NoEventLoopError(
            f"{purpose} needs a running event loop, and none is running in this thread; "
            "call it inside a coroutine (asyncio.run(main())) or in a notebook cell"
        )
    return loop


def current_loop() -> asyncio.AbstractEventLoop | None:
    """Return the running event loop, or None; asyncio is not imported to find out."""
    asyncio = sys.modules.get("asyncio")
    return None if asyncio is None else asyncio._get_running_loop()  # noqa: SLF001 - documented in asyncio.events


class Waiter:
    """One event awaited by a coroutine."""

    def __init__(self, purpose: str) -> None:
        self._purpose = purpose
        self._loop = running_loop(purpose)
        self.future: asyncio.Future[Event[Any]] = self._loop.create_future()

    def arrive(self, event: Event[Any]) -> None:
        """Take the event, from any thread."""
        self._tell(lambda: self.future.set_result(event))

    def expire(self, timeout: float) -> None:
        """Give up after `timeout` seconds."""
        self._tell(lambda: self.future.set_exception(TimeoutError(f"{self._purpose}: none came in {timeout:g} s")))

    def bus_closed(self) -> None:
        """Give up, because no event can come any more."""
        self._tell(lambda: self.future.set_exception(BusClosedError(f"{self._purpose}: the bus was closed")))

    def _tell(self, settle: Callable[[], None]) -> None:
        def settle_once() -> None:
            if not self.future.done():
                settle()

        if current_loop() is self._loop:
            settle_once()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(settle_once)


def wait_for(
    bus: Bus, waiting: weakref.WeakSet[Any], event_type: Any, timeout: float | None, **options: Any
) -> Awaitable[Event[Any]]:
    """Return an awaitable of the next event that fits; it is subscribed before this returns."""
    names = "any event" if event_type is None else _names(event_type)
    waiter = Waiter(f"waiting for {names}")
    subscription = bus.subscribe(event_type, waiter.arrive, weak=False, once=True, **options)
    timer = None if timeout is None else waiter.future.get_loop().call_later(timeout, waiter.expire, timeout)
    waiting.add(waiter)

    def tidy(_: object) -> None:
        subscription.unsubscribe()
        waiting.discard(waiter)
        if timer is not None:
            timer.cancel()

    waiter.future.add_done_callback(tidy)
    return waiter.future


class EventStream(AsyncIterator[Event[T]], Generic[T]):
    """Events as an async iterator, from the moment it is made; see ``EventBus.stream``.

    It ends when the bus is closed or when `close` is called. The bus does not keep it alive: a loop that
    is left ends the subscription.

    Attributes
    ----------
    dropped : int
        Number of events that the `limit` pushed out before they were read.
    """

    def __init__(self, bus: Bus, event_type: Any, limit: int | None, **options: Any) -> None:
        if limit is not None and limit < 1:
            raise ValueError(f"limit must be 1 or more, or None for no limit, got {limit}")
        self._queue: deque[Event[T]] = deque(maxlen=limit)
        self._limit = limit
        self._waiter: Waiter | None = None
        self._closed = False
        self._lock = threading.Lock()
        self.dropped = 0
        self.subscription = bus.subscribe(event_type, self._arrive, weak=True, **options)

    def _arrive(self, event: Event[T]) -> None:
        with self._lock:
            self.dropped += len(self._queue) == self._limit
            self._queue.append(event)
        self._wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            waiter.arrive(_WAKE)

    def __aiter__(self) -> EventStream[T]:
        return self

    async def __anext__(self) -> Event[T]:
        if self._waiter is not None:
            raise RuntimeError("this stream is being read already; give every reader a stream of its own")
        while True:
            if self._queue:
                return self._queue.popleft()
            if self._closed:
                raise StopAsyncIteration
            self._waiter = Waiter("reading a stream")
            try:
                # An event of another thread may have come between the look and the waiter.
                if not self._queue and not self._closed:
                    await self._waiter.future
            finally:
                self._waiter = None

    def close(self) -> None:
        """End the subscription and, once what has come is read, the iteration."""
        self.subscription.unsubscribe()
        self.bus_closed()

    def bus_closed(self) -> None:
        """End the iteration once what has come is read."""
        self._closed = True
        self._wake()

    async def __aenter__(self) -> EventStream[T]:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.close()


_WAKE: Event[Any] = Event(EventType.SYSTEM_METRIC)  # only wakes a reader; it is never handed out


def _names(event_type: Any) -> str:
    return event_type_name(event_type) if isinstance(event_type, Enum) else ", ".join(map(event_type_name, event_type))
