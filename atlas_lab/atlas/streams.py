"""A provider's answer as it comes: read, paused, resumed and cancelled from any thread."""

from __future__ import annotations

import contextvars
import itertools
import threading
import time
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from concurrent.futures import CancelledError, Future
from enum import Enum
from inspect import iscoroutine
from typing import TypeVar

from atlas_lab import EventType

from .cancelling import Cancellation, linked
from .loop_thread import LoopThread
from .provider_errors import BadResponseError, ProviderTimeoutError, RequestCancelledError
from .provider_types import (
    Delta,
    Prompt,
    Provider,
    StreamChunk,
    StreamCompleted,
    StreamFailed,
    StreamPaused,
    StreamResumed,
    StreamStarted,
)
from .retrying import RetryPolicy

T = TypeVar("T")


class ProviderStream:
    """An answer that comes in pieces, as ``manager.stream(..)`` returns it. It runs in a thread of its own at once.

    Every piece is published as STREAM_CHUNK; iterating gives the pieces too, from the first one on. What the handlers
    of one stream publish, they publish in the order of its pieces.

    Attributes
    ----------
    id : str
        Such as ``local/3``; the ``stream`` of its events.
    provider : str
        Name of the provider.
    prompt : Prompt
    error : Exception or None
        Why it broke off.
    """

    def __init__(
        self,
        stream_id: str,
        name: str,
        prompt: Prompt,
        *,
        provider: Provider,
        loop: LoopThread,
        policy: RetryPolicy,
        timeout: float,
        cancellation: Cancellation,
        cancel: Cancellation | None,
        tell: Callable[[Enum, object], bool],
        failed: Callable[[BaseException, int, float | None, float], None],
        ended: Callable[[ProviderStream], object],
    ) -> None:
        self.id = stream_id
        self.provider = name
        self.prompt = prompt
        self.error: Exception | None = None
        self._source = provider
        self._loop = loop
        self._policy = policy
        self._timeout = timeout
        self._cancellation = cancellation
        self._cancel = cancel
        self._tell_bus = tell
        self._failed_attempt = failed
        self._when_ended = ended
        self._news = threading.Condition()
        self._asked: deque[bool] = deque()  # to pause, or to go on
        self._wanted = self._paused = False
        self._paused_at = 0.0
        self._chunks: list[str] = []
        self._finish_reason = ""
        self._first_chunk: float | None = None
        self._state = "running"
        self._over = False
        context = contextvars.copy_context()  # what caused the stream is the cause of its events
        self._thread = threading.Thread(target=context.run, args=(self._run,), name=f"stream {stream_id}", daemon=True)

    def start(self) -> None:
        """Begin; the manager does it."""
        self._began = time.perf_counter()
        self._thread.start()

    # -- for whoever reads

    @property
    def state(self) -> str:
        """How it is: "running", "paused", "completed", "failed" or "cancelled"."""
        return self._state

    @property
    def text(self) -> str:
        """What has come so far."""
        return "".join(self._chunks)

    def __iter__(self) -> Iterator[str]:
        """Give the pieces from the first on, waiting for those to come.

        Raises
        ------
        Exception
            Once what came is given, if it broke off: the reason.
        """
        for place in itertools.count():
            self._await(lambda: self._over or len(self._chunks) > place)  # noqa: B023 - it is called at once
            if place >= len(self._chunks):
                break
            yield self._chunks[place]
        if self.error is not None:
            raise self.error

    def result(self, timeout: float | None = None) -> str:
        """Wait for the end and return the text.

        Parameters
        ----------
        timeout : float, seconds, optional

        Raises
        ------
        TimeoutError
            If it takes longer; the stream goes on.
        Exception
            If it broke off: the reason. What came until then is in `text`.
        """
        if not self._await(lambda: self._over, timeout):
            raise TimeoutError(f"stream {self.id} is still {self._state} after {timeout:g} s")
        if self.error is not None:
            raise self.error
        return self.text

    def _await(self, ready: Callable[[], bool], timeout: float | None = None) -> bool:
        if threading.current_thread() is self._thread:  # a handler of its own events
            if not ready() and self._state in {"running", "paused"}:
                raise RuntimeError(f"a handler of an event of stream {self.id} would wait for itself; read `text`")
            return True
        with self._news:
            return self._news.wait_for(ready, timeout)

    # -- for whoever steers

    def pause(self) -> bool:
        """Ask it to take no further pieces; False if it is paused or over. A STREAM_PAUSED tells that it did.

        A piece whose handlers are being called is still delivered to all of them. Nothing is lost: the provider is
        not asked for more until `resume`, and waiting does not count as a timeout.
        """
        return self._ask(pause=True)

    def resume(self) -> bool:
        """Go on after a pause; False if it is not paused."""
        return self._ask(pause=False)

    def _ask(self, *, pause: bool) -> bool:
        with self._news:
            if self._wanted is pause or self._state not in {"running", "paused"}:
                return False
            self._wanted = pause
            self._asked.append(pause)
            self._news.notify_all()
            return True

    def cancel(self, reason: str = "cancelled") -> bool:
        """End it early, also if the provider is silent; False if it is over or cancelled already."""
        return self._state in {"running", "paused"} and self._cancellation.cancel(reason)

    def join(self, timeout: float | None = None) -> None:
        """Wait until its thread is done, unless called on it."""
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def __repr__(self) -> str:
        return f"<ProviderStream {self.id}: {self._state}, {len(self._chunks)} chunks>"

    # -- its thread

    def _run(self) -> None:
        try:
            with self._cancellation.calling(self._wake), linked(self._cancel, self._cancellation):
                self._tell(EventType.STREAM_STARTED, StreamStarted(self.provider, self.id, self.prompt.size))
                self._read()
            self._state = "completed"
        except Exception as error:  # noqa: BLE001 - what a provider raises is told, and raised to who reads
            self.error = error
            self._state = "cancelled" if isinstance(error, RequestCancelledError) else "failed"
        finally:
            self._tell_end()
            with self._news:
                self._over = True
                self._news.notify_all()
            self._when_ended(self)

    def _read(self) -> None:
        pieces: AsyncIterator[Delta] | None = None
        try:
            pieces, delta = self._first()
            while delta is not None:
                self._take(delta)
                delta = self._next(pieces)
        finally:
            self._close(pieces)

    def _first(self) -> tuple[AsyncIterator[Delta], Delta | None]:
        """Open the stream and wait for its first piece: until then, it may be tried again."""
        began = 0.0

        def once() -> tuple[AsyncIterator[Delta], Delta | None]:
            nonlocal began
            began = time.perf_counter()
            pieces = _iterator(self._source.stream(self.prompt))
            try:
                return pieces, self._next(pieces)
            except BaseException:
                self._close(pieces)
                raise

        def failed(error: BaseException, attempt: int, retry_in: float | None) -> None:
            self._failed_attempt(error, attempt, retry_in, time.perf_counter() - began)

        return self._policy.call(once, failed, self._cancellation.sleep)

    def _next(self, pieces: AsyncIterator[Delta]) -> Delta | None:
        self._asked_at = time.perf_counter()
        return self._obey(self._loop.submit(_next_of(pieces)))

    def _obey(self, future: Future[T]) -> T:
        """Wait for the next piece, and meanwhile do what is asked for."""
        future.add_done_callback(lambda _: self._wake())
        left = self._timeout
        try:
            while True:
                with self._news:
                    if not (self._asked or self._cancellation.cancelled or (future.done() and not self._paused)):
                        since = time.perf_counter()
                        self._news.wait(None if self._paused else max(left, 0))
                        left -= 0 if self._paused else time.perf_counter() - since
                    pause = self._asked.popleft() if self._asked else None
                self._cancellation.check()
                if pause is not None:
                    self._turn(pause)
                elif not self._paused and future.done():
                    return future.result()
                elif not self._paused and left <= 0:
                    raise ProviderTimeoutError(f"{self.provider} sent nothing for {self._timeout:g} s")
        except CancelledError:  # by the loop, which is closing
            raise RequestCancelledError("the manager was closed") from None
        finally:
            future.cancel()

    def _turn(self, pause: bool) -> None:
        self._paused, self._state = pause, "paused" if pause else "running"
        if pause:
            self._paused_at = time.perf_counter()
            self._tell(EventType.STREAM_PAUSED, StreamPaused(self.provider, self.id, len(self._chunks)))
        else:
            self._tell(EventType.STREAM_RESUMED, StreamResumed(self.provider, self.id, self._since(self._paused_at)))

    def _take(self, delta: Delta) -> None:
        self._finish_reason = delta.finish_reason or self._finish_reason
        if not delta.text:
            return
        waited = self._since(self._asked_at)
        if not self._chunks:
            self._first_chunk = self._since(self._began)
        with self._news:
            self._chunks.append(delta.text)
            self._news.notify_all()
        chunk = StreamChunk(self.provider, self.id, len(self._chunks) - 1, delta.text, len(delta.text), waited)
        self._tell(EventType.STREAM_CHUNK, chunk)

    def _tell(self, event_type: EventType, data: object) -> None:
        if not self._tell_bus(event_type, data):
            raise RequestCancelledError("the bus was closed")

    def _tell_end(self) -> None:
        size, duration = len(self.text), self._since(self._began)
        if self.error is None:
            told = (self._finish_reason, len(self._chunks), size, self._first_chunk, duration)
            self._tell_bus(EventType.STREAM_COMPLETED, StreamCompleted(self.provider, self.id, *told))
        else:
            cause = (type(self.error).__name__, str(self.error), self._state == "cancelled")
            failure = StreamFailed(self.provider, self.id, *cause, len(self._chunks), size, duration)
            self._tell_bus(EventType.STREAM_ERROR, failure)

    def _close(self, pieces: AsyncIterator[Delta] | None) -> None:
        close = getattr(pieces, "aclose", None)
        if close is not None:
            try:
                self._loop.submit(close()).result(self._timeout)
            except (Exception, CancelledError):  # noqa: BLE001 - it is over either way; a closing loop closes it too
                return

    def _wake(self) -> None:
        with self._news:
            self._news.notify_all()

    def _since(self, moment: float) -> float:
        return time.perf_counter() - moment


def _iterator(pieces: object) -> AsyncIterator[Delta]:
    if isinstance(pieces, AsyncIterable):
        return aiter(pieces)
    if iscoroutine(pieces):
        pieces.close()
    raise TypeError(
        f"stream must be an async generator (async def with yield), but it returned {type(pieces).__name__}"
    )


async def _next_of(pieces: AsyncIterator[Delta]) -> Delta | None:
    try:
        delta = await anext(pieces)
    except StopAsyncIteration:
        return None
    if not isinstance(delta, Delta):
        raise BadResponseError(f"stream must give instances of Delta, got {type(delta).__name__}")
    return delta
