"""One thread tells another to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from .provider_errors import RequestCancelledError


class Cancellation:
    """A way to cancel a call that another thread is waiting in.

    Examples
    --------
    >>> from atlas_lab.atlas import Cancellation
    >>> stop = Cancellation()
    >>> stop.cancel("no longer needed"), stop.cancelled, stop.reason
    (True, True, 'no longer needed')
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._event = threading.Event()
        self._callbacks: dict[object, Callable[[], object]] = {}
        self.reason = ""

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._event.is_set()

    def cancel(self, reason: str = "cancelled") -> bool:
        """Cancel what runs under it, now and from now on. True the first time, False after."""
        with self._lock:
            if self._event.is_set():
                return False
            self.reason = reason
            self._event.set()
            callbacks = list(self._callbacks.values())
        for callback in callbacks:
            callback()
        return True

    @contextmanager
    def calling(self, callback: Callable[[], object]) -> Iterator[None]:
        """Have `callback` called when this is cancelled; at once if it is already."""
        key = object()
        with self._lock:
            self._callbacks[key] = callback
            late = self._event.is_set()
        try:
            if late:
                callback()
            yield
        finally:
            with self._lock:
                del self._callbacks[key]

    def sleep(self, seconds: float) -> None:
        """Sleep, unless it is cancelled.

        Raises
        ------
        RequestCancelledError
        """
        self._event.wait(seconds)
        self.check()

    def check(self) -> None:
        """Raise `RequestCancelledError` if it was cancelled."""
        if self._event.is_set():
            raise RequestCancelledError(self.reason)

    def __repr__(self) -> str:
        return f"<Cancellation: {f'cancelled, {self.reason}' if self.cancelled else 'not cancelled'}>"


def linked(outer: Cancellation | None, inner: Cancellation) -> AbstractContextManager[None]:
    """Return a context in which cancelling `outer` cancels `inner` too."""
    return nullcontext() if outer is None else outer.calling(lambda: inner.cancel(outer.reason))
