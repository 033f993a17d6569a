"""Providers of answers on a bus: every connection, answer, piece of an answer and error is an event."""

from __future__ import annotations

import itertools
import time
import weakref
from collections.abc import Iterable
from typing import Any, NoReturn, Self

from atlas_lab import EventBus, EventType

from .calls import Calls, Entry
from .cancelling import Cancellation
from .checking import check, check_seconds
from .loop_thread import awaited
from .provider_errors import (
    BadResponseError,
    NotConnectedError,
    UnknownProviderError,
)
from .provider_types import (
    Completion,
    Message,
    Prompt,
    Provider,
    ProviderConnected,
    ProviderCreated,
    ProviderDisconnected,
    ProviderHealth,
    ProviderResponded,
)
from .retrying import RetryPolicy
from .streams import ProviderStream
from .telling import tell


class ProviderManager:
    """Providers by name, their connections, requests and streams, told on a bus.

    It can be used from any number of threads, and from handlers of its own events. A call waits in the thread that
    makes it and publishes there, so its events have the cause that they should have; a stream publishes in a thread of
    its own. In a coroutine, write ``await asyncio.to_thread(manager.request, ..)``.

    Parameters
    ----------
    bus : EventBus
        Gets PROVIDER_CREATED, PROVIDER_CONNECTED, PROVIDER_DISCONNECTED, PROVIDER_RESPONSE, PROVIDER_ERROR,
        STREAM_STARTED, STREAM_CHUNK, STREAM_PAUSED, STREAM_RESUMED, STREAM_COMPLETED and STREAM_ERROR, with the name of
        the provider as source. Their payloads are the classes `ProviderCreated` and so on.
    retry : RetryPolicy, optional
    timeout : float, seconds, default 30
        For one attempt of a call, and for the wait for the next piece of a stream.

    Examples
    --------
    >>> from atlas_lab import EventBus, EventType
    >>> from atlas_lab.atlas import NgramProvider, ProviderManager
    >>> bus = EventBus()
    >>> with ProviderManager(bus) as manager:
    ...     manager.register("local", NgramProvider("The bus carries events. The bus keeps a history."))
    ...     manager.connect("local")
    ...     answer = manager.request("local", "The bus")
    >>> answer.text
    ' carries events.'
    >>> [event.type.name for event in bus.history]
    ['PROVIDER_CREATED', 'PROVIDER_CONNECTED', 'PROVIDER_RESPONSE', 'PROVIDER_DISCONNECTED']
    """

    def __init__(self, bus: EventBus, *, retry: RetryPolicy | None = None, timeout: float = 30.0) -> None:
        check("bus", bus, EventBus, "an EventBus")
        check("retry", retry, RetryPolicy | None, "a RetryPolicy or None")
        self.bus = bus
        self.retry = retry or RetryPolicy()
        self.timeout = check_seconds("timeout", timeout)
        self._entries: dict[str, Entry] = {}
        self._numbers = itertools.count(1)
        self._calls = Calls(bus)
        self._lock = self._calls.lock
        weakref.finalize(self, self._calls.loop.close, wait=False)

    # -- which there are

    def register(self, name: str, provider: Provider) -> None:
        """Add a provider under a name; PROVIDER_CREATED.

        Parameters
        ----------
        name : str
        provider : Provider

        Raises
        ------
        TypeError
            If it lacks a method of `Provider`.
        ValueError
            If the name is taken, or empty.
        """
        check("name", name, str, "a str")
        if not name:
            raise ValueError("name is empty; the events of a provider are told apart by it")
        lacking = [
            method
            for method in ("connect", "disconnect", "health", "complete", "stream")
            if not callable(getattr(provider, method, None))
        ]
        if lacking:
            raise TypeError(f"provider must have the methods of Provider; {type(provider).__name__} lacks {lacking[0]}")
        with self._lock:
            self._calls.check_open()
            if name in self._entries:
                raise ValueError(f"a provider named {name!r} is registered already; choose another name")
            self._entries[name] = Entry(name, provider)
        self.bus.publish(EventType.PROVIDER_CREATED, ProviderCreated(name, type(provider).__name__), name)

    @property
    def providers(self) -> dict[str, bool]:
        """Whether each provider is connected, by name."""
        with self._lock:
            return {name: entry.connected for name, entry in self._entries.items()}

    # -- connections

    def connect(self, name: str, *, timeout: float | None = None) -> None:
        """Connect a provider, with retries; PROVIDER_CONNECTED. One that is connected stays so, without an event.

        Raises
        ------
        UnknownProviderError
            If there is none of that name.
        Exception
            What the provider raised at the last attempt.
        """
        entry = self._entry(name, "connect")
        if entry.connected:
            return
        began = time.perf_counter()
        _, attempts = self._calls.call(
            entry, "connect", "", lambda: awaited(entry.provider.connect(), "connect"), self._limit(timeout), self.retry
        )
        with self._lock:
            was_connected, entry.connected = entry.connected, True
        if not was_connected:
            connected = ProviderConnected(name, time.perf_counter() - began, attempts)
            self.bus.publish(EventType.PROVIDER_CONNECTED, connected, name)

    def disconnect(self, name: str, *, reason: str = "asked for", timeout: float | None = None) -> None:
        """Disconnect a provider: its calls and streams are cancelled; PROVIDER_DISCONNECTED.

        An error of the provider is told as PROVIDER_ERROR, and it counts as disconnected all the same.

        Raises
        ------
        UnknownProviderError
            If there is none of that name.
        """
        limit = self._limit(timeout)
        entry = self._entry(name, "disconnect")
        if self._disconnect(entry, reason, limit):
            self.bus.publish(EventType.PROVIDER_DISCONNECTED, ProviderDisconnected(name, reason), name)

    def _disconnect(self, entry: Entry, reason: str, limit: float) -> bool:
        with self._lock:
            was_connected, entry.connected = entry.connected, False
            under_way, streams = list(entry.under_way), list(entry.streams)
        for cancellation in under_way:
            cancellation.cancel(f"{entry.name} was disconnected: {reason}")
        for stream in streams:
            stream.join(self.timeout)
        if was_connected:
            began = time.perf_counter()
            try:
                self._calls.attempt(
                    entry, lambda: awaited(entry.provider.disconnect(), "disconnect"), limit, Cancellation()
                )
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told
                self._calls.failed(entry, "disconnect", "", error, 1, None, time.perf_counter() - began)
        return was_connected

    def health(self, name: str, *, timeout: float | None = None) -> ProviderHealth:
        """Return how a provider is doing; PROVIDER_ERROR if it is not well.

        Raises
        ------
        UnknownProviderError
            If there is none of that name.
        """
        limit = self._limit(timeout)
        entry = self._entry(name, "health")
        began = time.perf_counter()
        try:
            if not entry.connected:
                raise _not_connected(name)
            detail = self._calls.attempt(
                entry, lambda: awaited(entry.provider.health(), "health"), limit, Cancellation()
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            latency = time.perf_counter() - began
            self._calls.failed(entry, "health", "", error, 1, None, latency)
            return ProviderHealth(name, entry.connected, False, latency, f"{type(error).__name__}: {error}")
        return ProviderHealth(name, True, True, time.perf_counter() - began, str(detail))

    # -- answers

    def request(
        self,
        name: str,
        prompt: str | Message | Iterable[Message] | Prompt,
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        cancel: Cancellation | None = None,
    ) -> Completion:
        """Ask a provider and wait for its answer; PROVIDER_RESPONSE, and a PROVIDER_ERROR for each attempt that failed.

        Parameters
        ----------
        name : str
        prompt : str, Message, iterable of Message, or Prompt
        timeout : float, seconds, optional
            For one attempt.
        retry : RetryPolicy, optional
        cancel : Cancellation, optional
            With which another thread can end it.

        Raises
        ------
        UnknownProviderError, NotConnectedError, RequestCancelledError
        ProviderTimeoutError, ProviderConnectionError, ProviderStatusError, BadResponseError
            If the last attempt ended so.
        """
        asked = Prompt.of(prompt)
        _check_options(retry, cancel)
        entry = self._connected(name, "request")
        request = f"{name}/{next(self._numbers)}"
        began = time.perf_counter()
        answer, attempts = self._calls.call(
            entry,
            "request",
            request,
            lambda: _completion(entry.provider, asked),
            self._limit(timeout),
            retry or self.retry,
            cancel,
        )
        latency = time.perf_counter() - began
        responded = ProviderResponded(
            name, request, answer.model, answer.text, answer.finish_reason, latency, attempts,
            asked.size, len(answer.text), answer.prompt_tokens, answer.completion_tokens,
        )  # fmt: skip
        self.bus.publish(EventType.PROVIDER_RESPONSE, responded, name)
        return answer

    def stream(
        self,
        name: str,
        prompt: str | Message | Iterable[Message] | Prompt,
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        cancel: Cancellation | None = None,
    ) -> ProviderStream:
        """Ask a provider for its answer in pieces, and return at once.

        STREAM_STARTED, a STREAM_CHUNK for each piece, and STREAM_COMPLETED or STREAM_ERROR. Until the first piece has
        come, it is tried again as a request is; after that, it is not, because the text would come twice.

        Parameters
        ----------
        name : str
        prompt : str, Message, iterable of Message, or Prompt
        timeout : float, seconds, optional
            For the wait for the next piece.
        retry : RetryPolicy, optional
        cancel : Cancellation, optional
            Cancels it, as ``stream.cancel()`` does.

        Raises
        ------
        UnknownProviderError, NotConnectedError
        """
        asked = Prompt.of(prompt)
        limit = self._limit(timeout)
        _check_options(retry, cancel)
        entry = self._connected(name, "stream")
        cancellation = Cancellation()
        stream_id = f"{name}/{next(self._numbers)}"

        def ended(stream: ProviderStream) -> None:
            with self._lock:
                entry.streams.discard(stream)
                entry.under_way.discard(cancellation)

        stream = ProviderStream(
            stream_id,
            name,
            asked,
            provider=entry.provider,
            loop=self._calls.loop,
            policy=retry or self.retry,
            timeout=limit,
            cancellation=cancellation,
            cancel=cancel,
            tell=lambda event_type, data: tell(self.bus, event_type, data, name),
            failed=lambda *told: self._calls.failed(entry, "stream", stream_id, *told),
            ended=ended,
        )
        with self._lock:
            self._calls.check_open()
            entry.streams.add(stream)
            entry.under_way.add(cancellation)
        stream.start()
        return stream

    # -- the end

    def close(self) -> None:
        """Cancel what runs, disconnect every provider and end the threads; a second time, do nothing.

        One provider after the other is disconnected, and each may take as long as the timeout of the manager.
        """
        with self._lock:
            closed, self._calls.closed = self._calls.closed, True
            entries = list(self._entries.values())
        if closed:
            return
        for entry in entries:
            if self._disconnect(entry, "closed", self.timeout):
                data = ProviderDisconnected(entry.name, "closed")
                tell(self.bus, EventType.PROVIDER_DISCONNECTED, data, entry.name)
        self._calls.loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        shown = ", ".join(f"{name} {'connected' if up else 'not connected'}" for name, up in self.providers.items())
        return f"<ProviderManager: {'closed' if self._calls.closed else shown or 'no provider'}>"

    # -- what is refused

    def _entry(self, name: str, operation: str) -> Entry:
        with self._lock:
            self._calls.check_open()
            entry = self._entries.get(name)
            known = ", ".join(map(repr, self._entries)) or "none is"
        if entry is None:
            error = UnknownProviderError(f"no provider is named {name!r}; registered: {known}")
            self._refuse(Entry(str(name), _NOBODY), operation, error)
        return entry

    def _connected(self, name: str, operation: str) -> Entry:
        entry = self._entry(name, operation)
        if not entry.connected:
            self._refuse(entry, operation, _not_connected(name))
        return entry

    def _refuse(self, entry: Entry, operation: str, error: Exception) -> NoReturn:
        self._calls.failed(entry, operation, "", error, 1, None, 0.0)
        raise error

    def _limit(self, timeout: float | None) -> float:
        return self.timeout if timeout is None else check_seconds("timeout", timeout)


_NOBODY: Any = None


def _check_options(retry: RetryPolicy | None, cancel: Cancellation | None) -> None:
    check("retry", retry, RetryPolicy | None, "a RetryPolicy or None")
    check("cancel", cancel, Cancellation | None, "a Cancellation or None")


async def _completion(provider: Provider, asked: Prompt) -> Completion:
    answer = await awaited(provider.complete(asked), "complete")
    if not isinstance(answer, Completion):
        raise BadResponseError(f"complete must return a Completion, got {type(answer).__name__}")
    return answer


def _not_connected(name: str) -> NotConnectedError:
    return NotConnectedError(f"{name} is not connected; call connect({name!r}) first")
