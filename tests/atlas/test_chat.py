"""The chat provider against a real server that streams, stalls, drops, refuses and repeats secrets."""

from __future__ import annotations

import email.utils
import itertools
import json
import logging
import pickle
import threading
import time
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas_lab import EventBus, EventType, to_frame
from atlas_lab.atlas import (
    BadResponseError,
    ChatCompletionsProvider,
    Message,
    NotConnectedError,
    Prompt,
    ProviderConnectionError,
    ProviderManager,
    ProviderStatusError,
    ProviderTimeoutError,
    RetryPolicy,
)
from atlas_lab.atlas.secrets import EnvironmentSecret, HidingPieces
from atlas_lab.atlas.sse import LONGEST, ServerSentEvents
from atlas_lab.testing.contract.workers import PATIENCE
from tests.atlas.chat_server import WORDS, ChatServer

KEY = "Qk-V3rySecretKey0123456789"
ANSWER = "".join(WORDS)
QUICK = RetryPolicy(attempts=3, first_wait=0.001, jitter=0.001)


@pytest.fixture
def server():
    with ChatServer() as server:
        yield server


@pytest.fixture
def bus():
    return EventBus(history_limit=None)


@pytest.fixture
def manager(bus, server, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("TEST_API_KEY", KEY)
    with ProviderManager(bus, retry=QUICK, timeout=20) as manager:
        manager.register("chat", ChatCompletionsProvider(server.url, "tiny", api_key_env="TEST_API_KEY", timeout=20))
        manager.connect("chat")
        yield manager


def names(bus):
    return [event.type.name for event in bus.history]


def errors(bus):
    return [event.data for event in bus.history["PROVIDER_ERROR"]]


def test_a_request_goes_out_as_the_chat_api_asks_and_the_answer_comes_back(manager, server, bus):
    """Messages, limits and key are sent; text, counts and reason are returned and told with latency and sizes."""
    prompt = Prompt.of([Message("user", "hé?")], system="short", max_tokens=7, temperature=0.5, seed=3, stop=["\n"])
    answer = manager.request("chat", prompt)
    assert (answer.text, answer.model, answer.finish_reason) == (ANSWER, "tiny", "stop")
    assert (answer.prompt_tokens, answer.completion_tokens) == (3, 5)
    method, path, headers, body = server.seen[-1]
    assert (method, path, headers["Authorization"]) == ("POST", "/v1/chat/completions", f"Bearer {KEY}")
    assert body == {
        "model": "tiny", "max_tokens": 7, "temperature": 0.5, "seed": 3, "stop": ["\n"], "stream": False,
        "messages": [{"role": "system", "content": "short"}, {"role": "user", "content": "hé?"}],
    }  # fmt: skip
    told = bus.history[-1].data
    assert (told.prompt_characters, told.characters, told.attempts) == (8, len(ANSWER), 1)
    assert told.latency > 0


def test_a_stream_comes_word_by_word(manager, bus):
    """Each piece of the server is one chunk, and the end tells why it ended."""
    stream = manager.stream("chat", "hello")
    assert list(stream) == WORDS
    assert stream.result(PATIENCE) == ANSWER
    assert names(bus)[2:] == ["STREAM_STARTED", *["STREAM_CHUNK"] * 5, "STREAM_COMPLETED"]
    end = bus.history[-1].data
    assert (end.finish_reason, end.chunks, end.characters) == ("stop", 5, len(ANSWER))
    assert 0 < end.first_chunk <= end.duration


def test_a_stream_arrives_while_the_server_still_writes(manager, server):
    """The first word is there before the server has sent the second: nothing waits for the whole answer."""
    server.gate.clear()
    first = threading.Event()
    manager.bus.subscribe(EventType.STREAM_CHUNK, lambda event: first.set())
    stream = manager.stream("chat", "hello")
    assert not first.is_set()
    threading.Timer(0, server.gate.set).start()
    assert first.wait(PATIENCE)
    assert stream.result(PATIENCE) == ANSWER


@pytest.mark.parametrize("fault", ["500", "429", "drop"])
@pytest.mark.parametrize("way", ["request", "stream"])
def test_what_passes_is_tried_again(manager, server, bus, fault, way):
    """A refusal that passes, or a connection that breaks, costs an attempt and an event, not the answer."""
    server.faults = [fault, fault]
    text = manager.request("chat", "q").text if way == "request" else manager.stream("chat", "q").result(PATIENCE)
    assert text == ANSWER
    assert [(error.operation, error.attempt) for error in errors(bus)] == [(way, 1), (way, 2)]
    assert all(error.retry_in is not None and error.latency > 0 for error in errors(bus))
    kind = "ProviderConnectionError" if fault == "drop" else "ProviderStatusError"
    assert {error.error_type for error in errors(bus)} == {kind}
    assert {error.status for error in errors(bus)} == {None if fault == "drop" else int(fault)}


@pytest.mark.parametrize("way", ["seconds", "date"])
def test_retry_after_is_kept(manager, server, bus, way):
    """A server that says how long to wait is not asked sooner, whether it says it in seconds or as a date."""
    began = time.time()
    until = began + 1 if way == "seconds" else float(int(began + 2))  # a date has no fractions of a second
    server.retry_after = "1" if way == "seconds" else email.utils.formatdate(until, usegmt=True)
    server.faults = ["429"]
    manager.request("chat", "q")
    assert time.time() >= until
    assert len(errors(bus)) == 1


def test_a_server_that_wants_a_longer_wait_than_allowed_is_not_asked_again(manager, server, bus):
    """Asking sooner would be refused too, and waiting an hour is not what the caller meant."""
    server.retry_after, server.faults = "3600", ["429"]
    with pytest.raises(ProviderStatusError, match="429: slow down") as caught:
        manager.request("chat", "q")
    assert (caught.value.retry_after, errors(bus)[-1].retry_in, len(server.seen)) == (3600, None, 2)


def test_attempts_end(manager, server, bus):
    """When every attempt fails, the last error is raised, and each was told."""
    server.faults = ["500"] * 9
    with pytest.raises(ProviderStatusError, match="500: <h1>oops"):
        manager.request("chat", "q")
    assert [(error.attempt, error.retry_in is None) for error in errors(bus)] == [(1, False), (2, False), (3, True)]
    assert len(server.faults) == 6


@pytest.mark.parametrize("fault", ["401", "nonsense"])
def test_what_does_not_pass_is_not_tried_again(manager, server, bus, fault):
    """A wrong key or an answer that is none is an error at once."""
    server.faults = [fault]
    with pytest.raises(ProviderStatusError if fault == "401" else BadResponseError):
        manager.request("chat", "q")
    assert [error.retry_in for error in errors(bus)] == [None]


@pytest.mark.parametrize(
    "fault, error",
    [
        ("drop_later", ProviderConnectionError),
        ("end_early", ProviderConnectionError),
        ("error_inside", BadResponseError),
    ],
)
def test_a_stream_that_breaks_off_keeps_what_came_and_is_not_begun_again(manager, server, bus, fault, error):
    """Text that was delivered is never delivered twice: the reader gets it, then the error."""
    server.faults = [fault]
    stream = manager.stream("chat", "q")
    got = []
    with pytest.raises(error):
        got.extend(stream)
    stream.join(PATIENCE)
    assert WORDS[: len(stream.text.split())] == list(map(str, stream._chunks))
    assert stream.text.startswith(WORDS[0])
    end = bus.history[-1]
    assert (end.type, end.data.error_type, end.data.cancelled) == (EventType.STREAM_ERROR, error.__name__, False)
    assert end.data.characters == len(stream.text)
    assert sum(1 for entry in server.seen if entry[0] == "POST") == 1


@pytest.mark.parametrize(
    "fault, problem",
    [
        ("page", r"sent no stream of events, but '<h1>Please log in</h1>'; check base_url, http://.*, and model, tiny"),
        ("moved", "answered with 302; check base_url"),
        ("404", "answered with 404: no such model; check base_url"),
        ("401", r"answered with 401: .*; check the API key in TEST_API_KEY"),
    ],
)
def test_what_is_not_the_chat_api_says_what_to_check(manager, server, bus, fault, problem):
    """A page in place of a stream, another address, another model or a wrong key, which no retry can mend."""
    server.faults = [fault]
    with pytest.raises(BadResponseError if fault == "page" else ProviderStatusError, match=problem):
        manager.stream("chat", "q").result(10)
    assert [error.retry_in for error in errors(bus)] == [None]


def test_a_silent_server_is_a_timeout(manager, server, bus):
    """A server that takes the question and says nothing ends the attempt, and the next one can succeed."""
    server.faults = ["stall"]
    assert manager.request("chat", "q", timeout=1).text == ANSWER
    assert [error.error_type for error in errors(bus)] == ["ProviderTimeoutError"]


def test_a_stream_that_falls_silent_is_a_timeout(manager, server):
    """Also in the middle of an answer."""
    server.faults = ["stall_later"]
    stream = manager.stream("chat", "q", timeout=1)
    with pytest.raises(ProviderTimeoutError, match="nothing for 1 s"):
        stream.result(PATIENCE)
    assert stream.text == WORDS[0]


def test_httpx_timeouts_are_provider_timeouts(server, bus, monkeypatch):
    """The provider's own limit holds too."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ProviderManager(bus, retry=RetryPolicy(attempts=1)) as manager:
        manager.register("chat", ChatCompletionsProvider(server.url, "tiny", timeout=1))
        manager.connect("chat")
        server.faults = ["stall"]
        with pytest.raises(ProviderTimeoutError, match="ReadTimeout"):
            manager.request("chat", "q")


def test_cancelling_ends_a_stream_that_is_silent(manager, server, bus):
    """The reader need not wait for a timeout."""
    server.faults = ["stall_later"]
    stream = manager.stream("chat", "q")
    assert server.stalled.wait(PATIENCE)
    assert stream.cancel("enough")
    assert not stream.cancel()
    stream.join(PATIENCE)
    assert (stream.state, bus.history[-1].data.message) == ("cancelled", "enough")


def test_no_server_is_a_connection_error_and_no_key_says_what_to_do(bus, monkeypatch):
    """Connecting finds out, and says in words what is wrong."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("TEST_API_KEY", raising=False)
    with ChatServer() as server:
        url = server.url
        keyless = ChatCompletionsProvider(url, "tiny", api_key_env="TEST_API_KEY")
        with ProviderManager(bus, retry=QUICK) as manager:
            manager.register("keyless", keyless)
            with pytest.raises(NotConnectedError, match="TEST_API_KEY is not set"):
                manager.connect("keyless")
            server.models = (401, {"error": "who are you?"})
            manager.register("refused", ChatCompletionsProvider(url, "tiny"))
            with pytest.raises(ProviderStatusError, match="401: who are you"):
                manager.connect("refused")
            server.models = (404, b"")
            manager.register("no list", ChatCompletionsProvider(url, "tiny"))
            manager.connect("no list")
            assert manager.health("no list").detail == "answers with 404"
    with ProviderManager(bus, retry=QUICK) as manager:
        manager.register("gone", ChatCompletionsProvider(url, "tiny"))
        with pytest.raises(ProviderConnectionError, match=rf"cannot reach {url} .*; check that the server runs there"):
            manager.connect("gone")
    assert bus.history["PROVIDER_ERROR"][-1].data.attempt == 3


# -- the key


def everything_said(bus, *objects):
    """Whatever a reader of events, frames, reprs and errors could come across."""
    said = [repr(event) + json.dumps(str(event.data)) for event in bus.history]
    said += [to_frame(bus, data="expand").to_csv(), repr(pickle.dumps([event.data for event in bus.history]))]
    for one in objects:
        thing = one
        said += [repr(thing), str(thing), repr(getattr(thing, "__dict__", ""))]
        while isinstance(thing, BaseException):
            said += ["".join(traceback.format_exception(thing)), repr(thing.args), repr(vars(thing))]
            request = getattr(thing, "request", None)
            said.append(str(getattr(request, "headers", "")) + str(dict(getattr(request, "headers", {}))))
            thing = thing.__cause__ or thing.__context__
    return "\n".join(said)


def test_the_key_is_nowhere(manager, server, bus, caplog):
    """Not in events, frames, reprs, logs or errors, in no fault, and not when the server repeats it."""
    caplog.set_level(logging.DEBUG)
    caught = []
    provider = manager._entries["chat"].provider
    faults = ["401", "500", "429", "drop", "nonsense", "echo", "stall_later", "drop_later", "error_inside", "end_early"]
    for fault in faults:
        for way in ("request", "stream"):
            if way == "request" and fault in {"stall_later", "drop_later", "error_inside", "end_early"}:
                continue
            server.faults = [fault]
            try:
                if way == "request":
                    caught.append(manager.request("chat", "q", retry=RetryPolicy(attempts=1)))
                else:
                    caught.append(manager.stream("chat", "q", timeout=0.3, retry=RetryPolicy(attempts=1)))
                    caught.append(caught[-1].result(PATIENCE))
            except Exception as error:
                caught.append(error)
    said = everything_said(bus, manager, provider, provider._client, *caught)
    assert server.seen[-1][2]["Authorization"] == f"Bearer {KEY}"  # it was sent, so it could have been told
    assert "[redacted]" in said
    for text in (said, caplog.text):
        assert KEY not in text
        assert KEY[5:] not in text
    assert len([one for one in caught if isinstance(one, Exception)]) >= 10


@pytest.mark.parametrize("key", [KEY + "\nX: y", KEY + "é", KEY + " more"])
def test_a_key_that_cannot_be_sent_is_not_shown_either(server, bus, monkeypatch, key):
    """HTTP libraries print the header that they refuse; it must not come that far."""
    monkeypatch.setenv("TEST_API_KEY", key)
    with ProviderManager(bus, retry=QUICK) as manager:
        manager.register("chat", ChatCompletionsProvider(server.url, "tiny", api_key_env="TEST_API_KEY"))
        with pytest.raises(NotConnectedError, match="spaces or signs") as caught:
            manager.connect("chat")
    assert KEY not in everything_said(bus, caught.value)
    with_variables = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert KEY not in str([frame.locals for frame in with_variables.stack if frame.filename != __file__])


def test_a_password_in_the_address_is_not_shown(bus, server, monkeypatch):
    """An error tells the address to check, and an event keeps it: without what opens the door."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server.faults = ["404"]
    with ProviderManager(bus, retry=QUICK) as manager:
        provider = ChatCompletionsProvider(server.url.replace("//", "//me:open@sesame@"), "tiny")
        assert repr(provider).startswith("ChatCompletionsProvider('http://[redacted]@127.0.0.1:")
        manager.register("chat", provider)
        manager.connect("chat")
        assert server.seen[-1][2]["Authorization"].startswith("Basic ")
        with pytest.raises(ProviderStatusError, match=r"check base_url, http://\[redacted\]@127") as caught:
            manager.request("chat", "q")
    assert "sesame" not in str(caught.value) + repr(list(bus.history))


@given(st.lists(st.integers(0, 60)), st.text(alphabet="Qk-V3ry ", max_size=20))
def test_a_secret_is_hidden_wherever_pieces_end(cuts, around):
    """However a text that holds the key is cut, the pieces together are that text without the key."""
    secret = EnvironmentSecret("HYPOTHESIS_KEY")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYPOTHESIS_KEY", KEY)
        text = f"{around}{KEY}{around}{KEY[:7]}{around}"
        ends = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
        hiding = HidingPieces(secret)
        pieces = [hiding.hide(text[start:end]) for start, end in itertools.pairwise(ends)]
        pieces.append(hiding.hide("", last=True))
        assert "".join(pieces) == text.replace(KEY, "[redacted]")


# -- server-sent events


@given(st.data(), st.lists(st.text(st.characters(exclude_characters="\r\n", codec="utf-8")), max_size=6))
def test_events_are_the_same_however_the_bytes_are_cut(data, texts):
    """Networks cut where they like: inside a letter, and between CR and LF."""
    ending = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    body = "".join(
        f"data: {text}{ending}: note{ending}data:{text}{ending}id: 7{ending}{ending}" for text in texts
    ).encode()
    body = data.draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + body + b"\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    events, found = ServerSentEvents(), []
    for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
        found += events.feed(body[start:end])
    assert found == [f"{text}\n{text.removeprefix(' ')}" for text in texts]


def test_events_that_are_none_are_refused():
    """Bytes that are no text, and an event without an end, are errors and no full memory."""
    with pytest.raises(BadResponseError, match="no UTF-8"):
        ServerSentEvents().feed(b"data: \xff\n\n")
    with pytest.raises(BadResponseError, match="more than"):
        ServerSentEvents().feed(b"x" * (LONGEST + 1))
    endless = ServerSentEvents()
    with pytest.raises(BadResponseError, match="more than"):
        for _ in range(10):
            endless.feed(b"data: " + b"x" * (LONGEST // 4) + b"\n")


def test_separators_inside_of_json_are_no_line_ends(manager, server):
    """U+2028 and the next-line sign may stand in what a model says."""
    server.words = ["one\u2028two", "three\x85four\x0c"]
    assert list(manager.stream("chat", "q")) == server.words


@pytest.mark.parametrize(
    "arguments, problem",
    [
        (("ftp://x", "m"), "begin with http"),
        ((7, "m"), "base_url must be"),
        (("http://x", None), "model must be"),
    ],
)
def test_wrong_arguments_are_refused(arguments, problem):
    """The message names the argument."""
    with pytest.raises((TypeError, ValueError), match=problem):
        ChatCompletionsProvider(*arguments)
