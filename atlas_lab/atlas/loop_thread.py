"""An event loop in a thread of its own, which threads hand coroutines to."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Coroutine
from concurrent.futures import Future
from inspect import isawaitable
from typing import Any, TypeVar

T = TypeVar("T")


async def awaited(made: Awaitable[T], name: str) -> T:
    """Await what a method gave that should be ``async def``.

    Raises
    ------
    TypeError
        If it is not.
    """
    if not isawaitable(made):
        raise TypeError(f"{name} must be async def, but it returned {type(made).__name__}")
    return await made


class LoopThread:
    """An event loop in a daemon thread that starts with the first coroutine."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._closed = False

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine; cancelling the future that comes back cancels it.

        Raises
        ------
        RuntimeError
            If it is closed, or if this is called on the loop's own thread, which would wait for itself.
        """
        try:
            with self._lock:
                if self._closed:
                    raise RuntimeError(f"{self._name} is closed")
                if threading.current_thread() is self._thread:
                    raise RuntimeError(f"{self._name} would wait for itself; await what you need instead")
                return asyncio.run_coroutine_threadsafe(coroutine, self._loop or self._start())
        except BaseException:
            coroutine.close()
            raise

    def _start(self) -> asyncio.AbstractEventLoop:
        started: Future[asyncio.AbstractEventLoop] = Future()

        async def live() -> None:
            self._stop = asyncio.Event()
            started.set_result(asyncio.get_running_loop())
            await self._stop.wait()

        self._thread = threading.Thread(target=lambda: asyncio.run(live()), name=self._name, daemon=True)
        self._thread.start()
        self._loop = started.result()
        return self._loop

    def close(self, *, wait: bool = True) -> None:
        """Cancel what still runs, and end the thread."""
        with self._lock:
            loop, thread, stop = self._loop, self._thread, self._stop
            self._closed, self._loop = True, None
        if loop is not None and stop is not None:
            loop.call_soon_threadsafe(stop.set)
        if wait and thread is not None and thread is not threading.current_thread():
            thread.join()
