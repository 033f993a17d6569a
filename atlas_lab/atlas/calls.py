"""How a call of a provider is made: on a loop in another thread, in time, again if that is worth it, and told if it fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, TypeVar

from atlas_lab import EventBus, EventType

from .cancelling import Cancellation, linked
from .loop_thread import LoopThread
from .provider_errors import ProviderTimeoutError, RequestCancelledError
from .provider_types import Provider, ProviderFailed
from .telling import tell

if TYPE_CHECKING:
    from .retrying import RetryPolicy
    from .streams import ProviderStream

T = TypeVar("T")


class Entry:
    """A provider that is registered, and what is under way with it."""

    def __init__(self, name: str, provider: Provider) -> None:
        self.name = name
        self.provider = provider
        self.connected = False
        self.under_way: set[Cancellation] = set()
        self.streams: set[ProviderStream] = set()


class Calls:
    """Makes the calls of a manager, until it is closed.

    Attributes
    ----------
    loop : LoopThread
        Where the coroutines of providers run.
    lock : threading.Lock
        Held while an `Entry`, or `closed`, is read or changed.
    closed : bool
    """

    def __init__(self, bus: EventBus) -> None:
        self.loop = LoopThread("providers of atlas_lab")
        self.lock = threading.Lock()
        self.closed = False
        self._bus = bus

    def check_open(self) -> None:
        """Raise RuntimeError if it is closed."""
        if self.closed:
            raise RuntimeError("this ProviderManager is closed; make another one")

    def call(
        self,
        entry: Entry,
        operation: str,
        request: str,
        make: Callable[[], Coroutine[Any, Any, T]],
        limit: float,
        retry: RetryPolicy,
        cancel: Cancellation | None = None,
    ) -> tuple[T, int]:
        """Make a call, with retries; return its result and the number of attempts."""
        cancellation = Cancellation()  # of its own: what is given may be that of other calls too
        attempts, began = 0, 0.0

        def once() -> T:
            nonlocal attempts, began
            attempts, began = attempts + 1, time.perf_counter()
            return self.attempt(entry, make, limit, cancellation)

        def failed(error: BaseException, attempt: int, retry_in: float | None) -> None:
            self.failed(entry, operation, request, error, attempt, retry_in, time.perf_counter() - began)

        with self.lock:
            self.check_open()
            entry.under_way.add(cancellation)
        try:
            with linked(cancel, cancellation):
                return retry.call(once, failed, cancellation.sleep), attempts
        finally:
            with self.lock:
                entry.under_way.discard(cancellation)

    def attempt(
        self, entry: Entry, make: Callable[[], Coroutine[Any, Any, T]], limit: float, cancel: Cancellation
    ) -> T:
        """Make a call once, and wait for its result no longer than `limit`."""
        cancel.check()
        future = self.loop.submit(make())
        try:
            with cancel.calling(future.cancel):
                return future.result(limit)
        except TimeoutError:
            if future.done() and not future.cancelled() and future.exception() is not None:
                raise
            raise ProviderTimeoutError(f"{entry.name} did not answer within {limit:g} s") from None
        except CancelledError:
            raise RequestCancelledError(cancel.reason or "the manager was closed") from None
        finally:
            future.cancel()  # also when an interrupt came

    def failed(
        self,
        entry: Entry,
        operation: str,
        request: str,
        error: BaseException,
        attempt: int,
        retry_in: float | None,
        latency: float,
    ) -> None:
        """Tell that an attempt failed; PROVIDER_ERROR."""
        status = getattr(error, "status", None)
        data = ProviderFailed(
            entry.name, operation, request, type(error).__name__, str(error),
            status if isinstance(status, int) else None, attempt, retry_in, latency,
        )  # fmt: skip
        tell(self._bus, EventType.PROVIDER_ERROR, data, entry.name)
