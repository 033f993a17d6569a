"""A provider that asks a server which speaks the OpenAI-style chat API, with server-sent events, over httpx."""

from __future__ import annotations

import email.utils
import math
import re
import time
from collections.abc import AsyncIterator, Awaitable, Generator
from typing import Any, TypeVar

import msgspec

from atlas_lab import MissingExtraError

from .checking import check, check_seconds
from .provider_errors import (
    BadResponseError,
    NotConnectedError,
    ProviderConnectionError,
    ProviderError,
    ProviderStatusError,
    ProviderTimeoutError,
)
from .provider_types import Completion, Delta, Message, Prompt
from .secrets import HIDDEN, EnvironmentSecret, HidingPieces
from .sse import ServerSentEvents

try:
    import httpx
except ImportError as error:
    raise MissingExtraError("httpx", "atlas") from error

T = TypeVar("T")

_LONGEST_MESSAGE = 300
_STREAM = "text/event-stream"


class _Text(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Text | None = None
    delta: _Text | None = None
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice] = []
    model: str | None = None
    usage: _Usage | None = None
    error: Any = None


class _Bearer(httpx.Auth):
    """Reads the key when a request is sent, so that nothing of ours holds it."""

    def __init__(self, secret: EnvironmentSecret) -> None:
        self._secret = secret

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._secret.read()}"
        yield request


class ChatCompletionsProvider:
    """A provider on a server that speaks the OpenAI-style chat API: ``POST {base_url}/chat/completions``.

    The API key stays in the environment: it is read when a request is sent, and appears in no event, repr or error,
    also if the server repeats it.

    Parameters
    ----------
    base_url : str
        Such as ``"http://localhost:11434/v1"``.
    model : str
    api_key_env : str, optional
        The environment variable that holds the API key. Without, none is sent.
    timeout : float, seconds, default 30
        For connecting, and for every wait for more of an answer.

    Raises
    ------
    ValueError
        If `base_url` is no address of HTTP, or `timeout` not above 0.

    Examples
    --------
    >>> from atlas_lab.atlas import ChatCompletionsProvider
    >>> ChatCompletionsProvider("http://localhost:11434/v1", "small", api_key_env="MY_KEY")
    ChatCompletionsProvider('http://localhost:11434/v1', 'small', api_key_env='MY_KEY')
    """

    def __init__(self, base_url: str, model: str, *, api_key_env: str | None = None, timeout: float = 30.0) -> None:
        check("base_url", base_url, str, "the address of a server")
        check("model", model, str, "the name of a model")
        check("api_key_env", api_key_env, str | None, "the name of an environment variable or None")
        if not base_url.startswith(("http://", "https://")):
            raise ValueError("base_url must begin with http:// or https://")
        self.base_url = base_url.rstrip("/")
        self.model = model
        self.api_key_env = api_key_env
        self.timeout = check_seconds("timeout", timeout)
        self._secret = None if api_key_env is None else EnvironmentSecret(api_key_env)
        self._client: httpx.AsyncClient | None = None

    async def connect(self) -> None:
        """Open connections, and ask for the models, which tells whether the server is there and takes the key."""
        if self._client is None:
            if self._secret is not None:
                self._secret.read()
            auth = None if self._secret is None else _Bearer(self._secret)
            self._client = httpx.AsyncClient(auth=auth, timeout=self.timeout)
            try:
                await self.health()
            except BaseException:
                await self.disconnect()
                raise

    async def disconnect(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def health(self) -> str:
        """Return that the server answers, or raise.

        A server without a list of models (404, 405) is well too.
        """
        response = await self._guarded(self._open().get(f"{self.base_url}/models"))
        if response.is_error and response.status_code not in {404, 405}:
            raise self._refusal(response)
        return f"answers with {response.status_code}"

    async def complete(self, prompt: Prompt) -> Completion:
        """Return the answer to a prompt."""
        response = await self._guarded(self._open().post(self._url, json=self._body(prompt, stream=False)))
        if not response.is_success:
            raise self._refusal(response)
        answer = self._answer(response.content)
        if not answer.choices or answer.choices[0].message is None:
            raise BadResponseError("the server's answer holds no message")
        choice = answer.choices[0]
        text = (choice.message.content if choice.message else None) or ""
        usage = answer.usage or _Usage()
        return Completion(
            self._hide(text),
            self._hide(answer.model or self.model),
            self._hide(choice.finish_reason or ""),
            usage.prompt_tokens,
            usage.completion_tokens,
        )

    async def stream(self, prompt: Prompt) -> AsyncIterator[Delta]:
        """Give the answer as the server sends it."""
        request = self._open().build_request("POST", self._url, json=self._body(prompt, stream=True))
        response = await self._guarded(self._open().send(request, stream=True))
        try:
            if not response.is_success:
                await self._guarded(response.aread())
                raise self._refusal(response)
            events, hiding = ServerSentEvents(), HidingPieces(self._secret)
            finished, beginning = "", b""
            pieces = response.aiter_bytes()
            while (piece := await self._guarded(anext(pieces, None))) is not None:
                beginning = beginning or piece
                for data in events.feed(piece):
                    if data == "[DONE]":
                        yield Delta(hiding.hide("", last=True), finished)
                        return
                    for choice in self._answer(data.encode()).choices[:1]:
                        finished = self._hide(choice.finish_reason or finished)
                        text = hiding.hide((choice.delta.content if choice.delta else None) or "")
                        if text:
                            yield Delta(text)
            if not finished and not events.seen and not response.headers.get("Content-Type", "").startswith(_STREAM):
                said = " ".join(self._hide(beginning.decode(errors="replace")).split())[:_LONGEST_MESSAGE]
                raise BadResponseError(f"the server sent no stream of events, but {said!r}{self._advice()}")
            if not finished:
                raise ProviderConnectionError("the connection ended before the answer did")
            yield Delta(hiding.hide("", last=True), finished)
        finally:
            await response.aclose()

    @property
    def _shown(self) -> str:
        """The address, without a name and password that it may hold."""
        return re.sub(r"//[^/]*@", f"//{HIDDEN}@", self.base_url)

    @property
    def _url(self) -> str:
        return f"{self.base_url}/chat/completions"

    def _body(self, prompt: Prompt, *, stream: bool) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [_message(message) for message in prompt.messages],
            "max_tokens": prompt.max_tokens,
            "temperature": prompt.temperature,
            "stream": stream,
        }
        if prompt.seed is not None:
            body["seed"] = prompt.seed
        if prompt.stop:
            body["stop"] = list(prompt.stop)
        return body

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            raise NotConnectedError(f"{self!r} is not connected")
        return self._client

    async def _guarded(self, awaitable: Awaitable[T]) -> T:
        """Await a call of httpx. Its errors hold the request with its headers, so none of them is kept as a cause."""
        failure: ProviderError
        try:
            return await awaitable
        except httpx.TimeoutException as error:
            failure = ProviderTimeoutError(f"the server sent nothing for {self.timeout:g} s ({type(error).__name__})")
        except httpx.ConnectError as error:
            what = self._hide(f"cannot reach {self._shown} ({type(error).__name__}: {error})")
            failure = ProviderConnectionError(f"{what}; check that the server runs there")
        except httpx.TransportError as error:
            failure = ProviderConnectionError(self._hide(f"{type(error).__name__}: {error}"))
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            failure = BadResponseError(self._hide(f"{type(error).__name__}: {error}"))
        raise failure

    def _refusal(self, response: httpx.Response) -> ProviderStatusError:
        """Return the error for an answer that is none; its body, which can be anything, is cut."""
        said = " ".join(self._hide(_message_of(response.content)).split())[:_LONGEST_MESSAGE]
        message = f"the server answered with {response.status_code}" + (f": {said}" if said else "")
        if response.status_code in {401, 403}:
            key = "pass api_key_env" if self.api_key_env is None else f"check the API key in {self.api_key_env}"
            message += f"; {key}"
        elif response.status_code == 404 or response.is_redirect:
            message += self._advice()
        wait = _seconds(response.headers.get("Retry-After", ""))
        return ProviderStatusError(message, status=response.status_code, retry_after=wait)

    def _answer(self, body: bytes) -> _Answer:
        problem = ""
        try:
            answer = msgspec.json.decode(body, type=_Answer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            problem = str(error)
        if problem:
            what = self._hide(f"the server's answer does not fit the chat API: {problem}")
            raise BadResponseError(what + self._advice())
        if answer.error is not None:
            said = self._hide(_message_of(body))[:_LONGEST_MESSAGE]
            raise BadResponseError(f"the server broke off with an error: {said}")
        return answer

    def _advice(self) -> str:
        return self._hide(f"; check base_url, {self._shown}, and model, {self.model}")

    def _hide(self, text: str) -> str:
        return text if self._secret is None else self._secret.hide(text)

    def __repr__(self) -> str:
        key = "" if self.api_key_env is None else f", api_key_env={self.api_key_env!r}"
        return f"ChatCompletionsProvider({self._shown!r}, {self.model!r}{key})"


def _message(message: Message) -> dict[str, str]:
    return {"role": message.role, "content": message.content}


def _message_of(body: bytes) -> str:
    """Return what an error of a server says: its message, or what there is of a body."""
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body[: 4 * _LONGEST_MESSAGE].decode(errors="replace")
    for key in ("error", "message"):
        if isinstance(said, dict) and key in said:
            said = said[key]
    return str(said)


def _seconds(retry_after: str) -> float | None:
    """Return a Retry-After in seconds, which is a number or a date."""
    try:
        return max(0.0, float(retry_after)) if math.isfinite(float(retry_after)) else None
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
