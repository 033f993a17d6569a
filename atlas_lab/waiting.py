"""Subscribers that a coroutine waits on: the next event, or a stream of them."""

from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractContextManager
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from .arguments import check_count, check_optional
from .errors import BusClosedError, NoEventLoopError
from .events import Event, EventType, check_event_types, event_type_name
from .subscription import Handler, Subscription

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

FOREVER = 1e9
"""Seconds, some thirty years: as long as an event loop can be asked to wait."""


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
    bus: Bus, enlist: Callable[[object], None], event_type: Any, timeout: float | None, **options: Any
) -> Awaitable[Event[Any]]:
    """Return an awaitable of the next event that fits; it is subscribed before this returns."""
    types = () if event_type is None else check_event_types(event_type)
    check_optional("timeout", timeout, int | float, "a number of seconds")
    if timeout is not None and not timeout <= math.inf:
        raise ValueError(f"timeout must be a number of seconds, got {timeout}")
    waiter = Waiter(f"waiting for {', '.join(map(event_type_name, types)) or 'any event'}")
    enlist(waiter)  # first, or a bus that is closed right after subscribing would not tell it
    try:
        subscription = bus.subscribe(types or None, waiter.arrive, weak=False, once=True, **options)
    except BaseException:
        waiter.future.cancel()
        raise
    timer = (
        None if timeout is None else waiter.future.get_loop().call_later(min(timeout, FOREVER), waiter.expire, timeout)
    )

    def tidy(_: object) -> None:
        subscription.unsubscribe()
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

    def __init__(
        self,
        bus: Bus,
        enlist: Callable[[object], None],
        lock: AbstractContextManager[object],
        event_type: Any,
        limit: int | None,
        **options: Any,
    ) -> None:
        if limit is not None:
            check_count("limit", limit, 1)
        self._queue: deque[Event[T]] = deque(maxlen=limit)
        self._limit = limit
        self._waiter: Waiter | None = None
        self._closed = False
        self._lock = lock  # the bus's, which comes through forks
        self.dropped = 0
        enlist(self)  # first, or a bus that is closed right after subscribing would not tell it
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
