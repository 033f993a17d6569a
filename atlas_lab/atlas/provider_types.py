"""What goes to a provider and what comes back, and the payloads of the events that tell of it.

Sizes are numbers of characters, and times are seconds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Protocol

import msgspec

from .checking import check


class Message(msgspec.Struct, frozen=True):
    """One turn of a conversation.

    Attributes
    ----------
    role : str
        "system", "user" or "assistant".
    content : str
    """

    role: str
    content: str


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider is asked.

    Attributes
    ----------
    messages : tuple of Message
    max_tokens : int, default 256
        The longest answer.
    temperature : float, default 0
        0 for the likeliest answer, above for more varied ones.
    seed : int or None
        Makes varied answers come out the same again, where the provider can do that.
    stop : tuple of str
        The answer ends before the first of these.

    Examples
    --------
    >>> from atlas_lab.atlas import Prompt
    >>> Prompt.of("What is a bus?", system="Answer in one line.").size
    33
    """

    messages: tuple[Message, ...]
    max_tokens: int = 256
    temperature: float = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.messages:
            raise ValueError("messages is empty; a prompt has one message at least")
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens must be 1 or more, got {self.max_tokens}")
        if not 0 <= self.temperature < float("inf"):
            raise ValueError(f"temperature must be 0 or more, got {self.temperature}")
        if "" in self.stop:
            raise ValueError("stop must name texts that are not empty")

    @classmethod
    def of(
        cls,
        asked: str | Message | Iterable[Message] | Prompt,
        *,
        system: str = "",
        max_tokens: int = 256,
        temperature: float = 0.0,
        seed: int | None = None,
        stop: Iterable[str] = (),
    ) -> Prompt:
        """Return a prompt of a text, which a user says, or of messages; one that is a prompt already stays as it is.

        Parameters
        ----------
        asked : str, Message, iterable of Message, or Prompt
        system : str, optional
            What the model is told beforehand.
        max_tokens, temperature, seed, stop
            As in `Prompt`.

        Raises
        ------
        TypeError
            If `asked` is none of the above.
        """
        if isinstance(asked, Prompt):
            return asked
        if isinstance(asked, str):
            said: tuple[Message, ...] = (Message("user", asked),)
        else:
            expected = "a str, a Message or several, or a Prompt"
            check("prompt", asked, Message | Iterable, expected)
            if isinstance(asked, bytes | Mapping):
                check("prompt", asked, Message, expected)
            said = (asked,) if isinstance(asked, Message) else tuple(asked)
            for one in said:
                check("prompt", one, Message, expected)
        before = (Message("system", system),) if system else ()
        return cls(messages=before + said, max_tokens=max_tokens, temperature=temperature, seed=seed, stop=tuple(stop))

    @property
    def size(self) -> int:
        """Number of characters of all messages."""
        return sum(len(message.content) for message in self.messages)


class Completion(msgspec.Struct, frozen=True):
    """An answer.

    Attributes
    ----------
    text : str
    model : str
    finish_reason : str
        "stop" for an answer that is complete, "length" for one that was cut; "" if the provider does not say.
    prompt_tokens, completion_tokens : int or None
        As the provider counts them.
    """

    text: str
    model: str = ""
    finish_reason: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Delta(msgspec.Struct, frozen=True):
    """A piece of an answer that comes as a stream; the last one tells in `finish_reason` why it ends."""

    text: str
    finish_reason: str = ""


class Provider(Protocol):
    """What gives answers: write these five coroutines for another one.

    All run on the event loop of a `ProviderManager`, in a thread of its own. They raise `ProviderError` or another
    exception; its ``transient`` says whether a retry is worth it. They may be cancelled at any ``await``.

    Examples
    --------
    >>> from atlas_lab import EventBus
    >>> from atlas_lab.atlas import Completion, Delta, ProviderManager
    >>> class Echo:
    ...     async def connect(self): pass
    ...     async def disconnect(self): pass
    ...     async def health(self): return "always well"
    ...     async def complete(self, prompt): return Completion(prompt.messages[-1].content)
    ...     async def stream(self, prompt):
    ...         for word in prompt.messages[-1].content.split():
    ...             yield Delta(word + " ")
    >>> with ProviderManager(EventBus()) as manager:
    ...     manager.register("echo", Echo())
    ...     manager.connect("echo")
    ...     print(manager.request("echo", "hello").text, list(manager.stream("echo", "one two")))
    hello ['one ', 'two ']
    """

    async def connect(self) -> None:
        """Get ready; called again when it is ready, do nothing."""

    async def disconnect(self) -> None:
        """Give back what `connect` took."""

    async def health(self) -> str:
        """Return a few words on how it is doing, or raise if it is not well."""

    async def complete(self, prompt: Prompt) -> Completion:
        """Return the answer to a prompt."""

    def stream(self, prompt: Prompt) -> AsyncIterator[Delta]:
        """Return the answer to a prompt in pieces, as an async generator does."""


class ProviderHealth(msgspec.Struct, frozen=True):
    """How a provider is doing, as ``manager.health(name)`` returns it."""

    provider: str
    connected: bool
    healthy: bool
    latency: float
    detail: str


class ProviderCreated(msgspec.Struct, frozen=True):
    """Payload of PROVIDER_CREATED: a provider was registered."""

    provider: str
    kind: str


class ProviderConnected(msgspec.Struct, frozen=True):
    """Payload of PROVIDER_CONNECTED."""

    provider: str
    latency: float
    attempts: int


class ProviderDisconnected(msgspec.Struct, frozen=True):
    """Payload of PROVIDER_DISCONNECTED."""

    provider: str
    reason: str


class ProviderResponded(msgspec.Struct, frozen=True):
    """Payload of PROVIDER_RESPONSE: the answer, how long it took with all attempts, and its size."""

    provider: str
    request: str
    model: str
    text: str
    finish_reason: str
    latency: float
    attempts: int
    prompt_characters: int
    characters: int
    prompt_tokens: int | None
    completion_tokens: int | None


class ProviderFailed(msgspec.Struct, frozen=True):
    """Payload of PROVIDER_ERROR: one attempt failed.

    Attributes
    ----------
    operation : str
        "connect", "disconnect", "health", "request" or "stream".
    request : str
        Which request or stream; "" for other operations.
    attempt : int
        From 1.
    retry_in : float or None
        Seconds until the next attempt; None if there is none.
    latency : float
        How long the attempt took.
    """

    provider: str
    operation: str
    request: str
    error_type: str
    message: str
    status: int | None
    attempt: int
    retry_in: float | None
    latency: float


class StreamStarted(msgspec.Struct, frozen=True):
    """Payload of STREAM_STARTED."""

    provider: str
    stream: str
    prompt_characters: int


class StreamChunk(msgspec.Struct, frozen=True):
    """Payload of STREAM_CHUNK: a piece of the text, its number from 0, and how long it was waited for."""

    provider: str
    stream: str
    index: int
    text: str
    size: int
    waited: float


class StreamPaused(msgspec.Struct, frozen=True):
    """Payload of STREAM_PAUSED; until STREAM_RESUMED there comes no chunk."""

    provider: str
    stream: str
    chunks: int


class StreamResumed(msgspec.Struct, frozen=True):
    """Payload of STREAM_RESUMED."""

    provider: str
    stream: str
    paused_for: float


class StreamCompleted(msgspec.Struct, frozen=True):
    """Payload of STREAM_COMPLETED: all of the text is there."""

    provider: str
    stream: str
    finish_reason: str
    chunks: int
    characters: int
    first_chunk: float | None
    duration: float


class StreamFailed(msgspec.Struct, frozen=True):
    """Payload of STREAM_ERROR: the stream broke off, or was cancelled."""

    provider: str
    stream: str
    error_type: str
    message: str
    cancelled: bool
    chunks: int
    characters: int
    duration: float
