"""Async handlers that a plain publish starts and does not wait for: kept until done, then awaited by join."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from .errors import NoEventLoopError
from .waiting import current_loop

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future


class Background:
    """The async handlers of one bus that are still running."""

    def __init__(self) -> None:
        self._running: dict[Future[None], tuple[asyncio.AbstractEventLoop, asyncio.Task[None] | None]] = {}

    def __len__(self) -> int:
        return len(self._running)

    def start(
        self,
        coroutine: Coroutine[Any, Any, object],
        home: asyncio.AbstractEventLoop,
        failed: Callable[[Exception], object],
    ) -> None:
        """Run a coroutine on the running loop, or on `home` if this thread has none.

        Parameters
        ----------
        coroutine : coroutine
        home : asyncio.AbstractEventLoop
            The loop that was running when the handler was subscribed.
        failed : callable of Exception
            Told what the coroutine raised.

        Raises
        ------
        NoEventLoopError
            If no loop runs in this thread and `home` has ended.
        """
        from concurrent.futures import Future  # noqa: PLC0415 - only who uses async handlers pays for it

        done: Future[None] = Future()

        async def run() -> None:
            try:
                await coroutine
            except Exception as error:  # noqa: BLE001 - isolation of handlers is what the bus promises
                failed(error)

        def begin() -> None:
            loop = current_loop() or home
            task = loop.create_task(run())
            self._running[done] = (loop, task)
            task.add_done_callback(finish)

        def finish(_: object) -> None:
            coroutine.close()  # nothing to close, unless the task was cancelled before it began
            self._running.pop(done, None)
            done.set_result(None)

        if current_loop() is not None:
            begin()
        elif home.is_running():
            self._running[done] = (home, None)
            home.call_soon_threadsafe(begin)
        else:
            coroutine.close()
            raise NoEventLoopError(
                "an async handler was not run: this thread has no running event loop, and the loop on which it "
                "was subscribed has ended; use publish_async, or publish while the loop runs"
            )

    async def join(self) -> None:
        """Wait until no async handler is running, except the one that is waiting."""
        import asyncio  # noqa: PLC0415 - see start

        me = asyncio.current_task()
        while others := [
            done for done, (loop, task) in list(self._running.items()) if task is not me and not loop.is_closed()
        ]:
            await asyncio.wait([asyncio.wrap_future(done) for done in others])
