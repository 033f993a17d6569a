"""The provider manager: what it tells, and what it does when providers, handlers and threads misbehave."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref

import pytest

from atlas_lab import EventBus, EventType, to_frame
from atlas_lab.atlas import (
    BadResponseError,
    Cancellation,
    Completion,
    Delta,
    NgramProvider,
    NotConnectedError,
    Prompt,
    ProviderError,
    ProviderManager,
    ProviderTimeoutError,
    RequestCancelledError,
    RetryPolicy,
    UnknownProviderError,
)
from atlas_lab.testing.contract.workers import PATIENCE

ONCE = RetryPolicy(attempts=1)


class Scripted:
    """A provider that does what a test says."""

    def __init__(self, *pieces, failures=(), hang=False):
        self.pieces = list(pieces) or ["one ", "two ", "three"]
        self.failures = list(failures)
        self.hang = hang
        self.begun = threading.Event()
        self.calls = []
        self.cancelled = threading.Event()
        self.given = 0
        self.steps = threading.Semaphore(0)
        self.stepwise = False

    async def _maybe(self, what):
        self.calls.append(what)
        if self.failures:
            raise self.failures.pop(0)

    async def connect(self):
        await self._maybe("connect")

    async def disconnect(self):
        await self._maybe("disconnect")

    async def health(self):
        await self._maybe("health")
        return "fine"

    async def complete(self, prompt):
        await self._maybe("complete")
        await self._hang()
        return Completion("".join(self.pieces))

    async def stream(self, prompt):
        await self._maybe("stream")
        for piece in self.pieces:
            while self.stepwise and not self.steps.acquire(blocking=False):  # noqa: ASYNC110 - released by a thread
                await asyncio.sleep(0.001)
            self.given += 1
            yield Delta(piece)
        await self._hang()

    async def _hang(self):
        if self.hang:
            self.begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise


@pytest.fixture
def bus():
    return EventBus(history_limit=None)


@pytest.fixture
def make(bus):
    """Return ``make(provider)``: a manager in which it is connected under the name p."""
    before = set(threading.enumerate())
    made = []

    def make(provider=None, **options):
        manager = ProviderManager(bus, **({"retry": ONCE} | options))
        made.append(manager)
        manager.register("p", provider or Scripted())
        manager.connect("p")
        return manager

    yield make
    for manager in made:
        manager.close()
    assert set(threading.enumerate()) <= before, "a thread was left behind"


def names(bus, since=2):
    return [event.type.name for event in bus.history][since:]


def test_every_step_is_an_event_with_latency_and_size(make, bus):
    """What a provider did can be read from the events alone, as a frame with a column for each field."""
    manager = make(Scripted("hello"))
    manager.request("p", "four")
    manager.stream("p", "four").result(PATIENCE)
    manager.disconnect("p", reason="done")
    frame = to_frame(bus, data="expand")
    assert frame["type"].astype(str).tolist() == [
        "PROVIDER_CREATED", "PROVIDER_CONNECTED", "PROVIDER_RESPONSE", "STREAM_STARTED", "STREAM_CHUNK",
        "STREAM_COMPLETED", "PROVIDER_DISCONNECTED",
    ]  # fmt: skip
    assert set(frame["source"]) == set(frame["data.provider"]) == {"p"}
    assert frame["data.characters"].dropna().tolist() == [5, 5]
    assert frame["data.prompt_characters"].dropna().tolist() == [4, 4]
    assert (frame["data.latency"].dropna() > 0).all()
    assert frame["data.reason"].dropna().tolist() == ["done"]


def test_a_handler_may_ask_again_and_is_the_cause(make, bus):
    """Agents react to answers with questions: no deadlock, and every answer knows what led to it."""
    manager = make()
    streams = []

    @bus.on(EventType.AGENT_TASK_ASSIGNED)
    def work(event):
        manager.request("p", "first")
        streams.append(manager.stream("p", "second"))

    @bus.on(EventType.STREAM_COMPLETED)
    def more(event):
        manager.request("p", "third")

    task = bus.publish(EventType.AGENT_TASK_ASSIGNED)
    streams[0].result(PATIENCE)
    first, third = bus.history["PROVIDER_RESPONSE"]
    (completed,) = bus.history["STREAM_COMPLETED"]
    assert first.parent_id == completed.parent_id == bus.history["STREAM_CHUNK"][0].parent_id == task
    assert third.parent_id == completed.id


def test_unknown_and_unconnected_providers_are_errors_and_events(make, bus):
    """The message says what there is, or what to call first."""
    manager = make()
    for call in (manager.request, manager.stream):
        with pytest.raises(UnknownProviderError, match="no provider is named 'q'; registered: 'p'"):
            call("q", "text")
    for call in (manager.connect, manager.disconnect, manager.health):
        with pytest.raises(UnknownProviderError):
            call("q")
    manager.disconnect("p")
    with pytest.raises(NotConnectedError, match=r"call connect\('p'\) first"):
        manager.request("p", "text")
    told = [event.data for event in bus.history["PROVIDER_ERROR"]]
    assert [one.operation for one in told] == ["request", "stream", "connect", "disconnect", "health", "request"]
    assert [one.error_type for one in told] == ["UnknownProviderError"] * 5 + ["NotConnectedError"]


@pytest.mark.parametrize(
    "wrong, problem",
    [
        (lambda m: m.register("p", Scripted()), "registered already"),
        (lambda m: m.register(7, Scripted()), "name must be a str"),
        (lambda m: m.register("x", object()), "object lacks connect"),
        (lambda m: m.request("p", 7), "prompt must be"),
        (lambda m: m.request("p", ["text"]), "prompt must be a str, a Message or several"),
        (lambda m: m.request("p", []), "messages is empty"),
        (lambda m: m.request("p", "t", timeout=0), "timeout must be"),
        (lambda m: m.stream("p", "t", timeout="1"), "timeout must be a number of seconds, got str"),
        (lambda m: ProviderManager(None), "bus must be an EventBus"),
        (lambda m: ProviderManager(EventBus(), retry=3), "retry must be"),
        (lambda m: RetryPolicy(first_wait=-1), "first_wait must be"),
        (lambda m: Prompt.of("t", max_tokens=0), "max_tokens must be"),
        (lambda m: Prompt.of("t", temperature=-1), "temperature must be"),
        (lambda m: Prompt.of("t", stop=[""]), "stop must"),
        (lambda m: m.register("", Scripted()), "name is empty"),
        (lambda m: m.request("p", b"t"), "got bytes"),
        (lambda m: m.request("p", {"role": "user"}), "got dict"),
        (lambda m: m.request("p", "t", retry=3), "retry must be a RetryPolicy"),
        (lambda m: m.request("p", "t", cancel=3), "cancel must be a Cancellation"),
        (lambda m: m.stream("p", "t", retry=3), "retry must be a RetryPolicy or None, got int"),
        (lambda m: m.stream("p", "t", cancel=3), "cancel must be a Cancellation or None, got int"),
        (lambda m: RetryPolicy(attempts=2.5), "attempts must be an int"),
        (lambda m: RetryPolicy(jitter="1"), "jitter must be a number of seconds"),
    ],
)
def test_wrong_arguments_are_refused(make, bus, wrong, problem):
    """At the call, with the argument's name, and without a call of the provider."""
    manager = make()
    with pytest.raises((TypeError, ValueError), match=problem):
        wrong(manager)
    assert names(bus) == []


class Careless:
    """A provider whose author did not read `Provider`."""

    def connect(self):
        return None

    async def disconnect(self):
        pass

    async def health(self):
        return "fine"

    async def complete(self, prompt):
        return "text"

    async def stream(self, prompt):
        yield "text"


class MoreCareless(Careless):
    async def connect(self):
        pass

    async def stream(self, prompt):
        return super().stream(prompt)


def test_a_provider_that_keeps_no_contract_is_told_what_it_is(bus):
    """What came in place of what is expected is said, in an event too, and it is not tried again."""
    with ProviderManager(bus) as manager:
        for name, provider in (("first", Careless()), ("second", MoreCareless())):
            manager.register(name, provider)
        with pytest.raises(TypeError, match="connect must be async def, but it returned NoneType"):
            manager.connect("first")
        manager._entries["first"].connected = True
        manager.connect("second")
        with pytest.raises(BadResponseError, match="complete must return a Completion, got str"):
            manager.request("first", "q")
        with pytest.raises(BadResponseError, match="stream must give instances of Delta, got str"):
            manager.stream("first", "q").result(10)
        with pytest.raises(TypeError, match=r"async generator .* but it returned coroutine"):
            manager.stream("second", "q").result(10)
    told = [event.data for event in bus.history["PROVIDER_ERROR"]]
    assert [one.operation for one in told] == ["connect", "request", "stream", "stream"]
    assert {one.retry_in for one in told} == {None}


def test_connecting_again_is_nothing_new(make, bus):
    """One connection, one event."""
    provider = Scripted()
    make(provider).connect("p")
    assert (provider.calls, names(bus)) == (["connect"], [])


def test_builtin_errors_that_pass_are_tried_again_others_not(make, bus):
    """A provider need not know our errors."""
    manager = make(retry=RetryPolicy(attempts=3, first_wait=0.0, jitter=0.0))
    provider = manager._entries["p"].provider
    provider.failures = [ConnectionResetError("x"), TimeoutError("y")]
    assert manager.request("p", "t").text == "one two three"
    provider.failures = [KeyError("z"), KeyError("never")]
    with pytest.raises(KeyError, match="z"):
        manager.request("p", "t")
    told = [(event.data.error_type, event.data.retry_in) for event in bus.history["PROVIDER_ERROR"]]
    assert told == [("ConnectionResetError", 0.0), ("TimeoutError", 0.0), ("KeyError", None)]


def test_waits_grow_and_have_a_limit(bus):
    """0.1, 0.2, 0.4 .. and never more than the longest."""
    waits, told = [], []
    policy = RetryPolicy(attempts=6, first_wait=0.1, longest_wait=0.5, jitter=0.0)

    def fail():
        raise ConnectionError

    with pytest.raises(ConnectionError):
        policy.call(fail, lambda *one: told.append(one[1:]), waits.append)
    assert waits == [0.1, 0.2, 0.4, 0.5, 0.5]
    assert told == [*enumerate(waits, 1), (6, None)]


def test_a_request_that_hangs_ends_and_leaves_nothing_running(make, bus):
    """After a timeout the provider's coroutine is cancelled, not forgotten."""
    provider = Scripted(hang=True)
    manager = make(provider)
    with pytest.raises(ProviderTimeoutError, match=r"p did not answer within 0\.05 s"):
        manager.request("p", "t", timeout=0.05)
    assert provider.cancelled.wait(PATIENCE)


@pytest.mark.parametrize("way", ["cancel", "disconnect", "close"])
def test_a_request_is_cancelled_from_another_thread(make, bus, way):
    """By its own cancellation, or because its provider goes."""
    provider = Scripted(hang=True)
    manager = make(provider)
    cancel, caught = Cancellation(), []

    def ask():
        try:
            manager.request("p", "t", cancel=cancel)
        except ProviderError as error:
            caught.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    assert provider.begun.wait(PATIENCE)
    {"cancel": cancel.cancel, "disconnect": lambda: manager.disconnect("p"), "close": manager.close}[way]()
    thread.join(PATIENCE)
    assert [type(error) for error in caught] == [RequestCancelledError]
    assert provider.cancelled.wait(PATIENCE)
    assert bus.history["PROVIDER_ERROR"][-1].data.error_type == "RequestCancelledError"
    assert cancel.cancelled is (way == "cancel"), "what the caller gave is the caller's"


def test_a_wait_for_the_next_attempt_can_be_cancelled(make, bus):
    """Nobody waits half a minute for a retry that nobody wants."""
    manager = make(retry=RetryPolicy(first_wait=100, longest_wait=100))
    manager._entries["p"].provider.failures = [ConnectionError("x")]
    cancel = Cancellation()
    bus.subscribe(EventType.PROVIDER_ERROR, lambda event: cancel.cancel("no patience"))
    with pytest.raises(RequestCancelledError, match="no patience"):
        manager.request("p", "t", cancel=cancel)


def test_pausing_stops_the_pieces_and_resuming_loses_none(make, bus):
    """Between STREAM_PAUSED and STREAM_RESUMED there is no chunk; after it, the rest comes."""
    provider = Scripted(*"abcdefgh")
    provider.stepwise = True
    manager = make(provider)
    paused, fourth = threading.Event(), threading.Event()
    bus.subscribe(EventType.STREAM_PAUSED, lambda event: paused.set())

    @bus.on(EventType.STREAM_CHUNK)
    def pause_after_c(event):
        if event.data.text == "c":
            assert stream.pause()
            assert not stream.pause()
        elif event.data.text == "d":
            fourth.set()

    stream = manager.stream("p", "t", timeout=PATIENCE)
    for _ in "abc":
        provider.steps.release()
    assert paused.wait(PATIENCE)
    assert stream.state == "paused"
    for _ in "defgh":
        provider.steps.release()
    assert not fourth.wait(0.2)
    held = provider.given
    assert stream.resume()
    assert not stream.resume()
    assert stream.result(PATIENCE) == "abcdefgh"
    assert held <= 4, "a paused stream asks its provider for no more than the piece that was under way"
    assert names(bus) == [
        "STREAM_STARTED", *["STREAM_CHUNK"] * 3, "STREAM_PAUSED", "STREAM_RESUMED", *["STREAM_CHUNK"] * 5,
        "STREAM_COMPLETED",
    ]  # fmt: skip
    assert bus.history["STREAM_PAUSED"][0].data.chunks == 3
    assert bus.history["STREAM_RESUMED"][0].data.paused_for > 0


def test_a_pause_is_no_timeout(make, bus):
    """Who pauses for lunch finds the stream alive: only the provider's silence counts."""
    provider = Scripted(*"ab")
    provider.stepwise = True
    manager = make(provider)
    paused = threading.Event()
    bus.subscribe(EventType.STREAM_PAUSED, lambda event: paused.set())
    stream = manager.stream("p", "t", timeout=1)
    stream.pause()
    assert paused.wait(PATIENCE)
    assert not threading.Event().wait(1.2)
    provider.steps.release(2)
    stream.resume()
    assert stream.result(PATIENCE) == "ab"


def test_a_paused_stream_can_be_cancelled(make, bus):
    """Also by a handler of its own pause."""
    manager = make(Scripted(hang=True))
    bus.subscribe(EventType.STREAM_PAUSED, lambda event: stream.cancel("changed my mind"))
    stream = manager.stream("p", "t")
    stream.pause()
    with pytest.raises(RequestCancelledError, match="changed my mind"):
        stream.result(PATIENCE)
    assert (stream.state, bus.history[-1].data.cancelled) == ("cancelled", True)
    assert not stream.pause()


def test_several_readers_read_all_of_a_stream(make):
    """Also those that come late."""
    stream = make().stream("p", "t")
    found = []
    readers = [threading.Thread(target=lambda: found.append(list(stream))) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(PATIENCE)
    assert [*found, list(stream)] == [["one ", "two ", "three"]] * 5


def test_a_handler_that_waits_for_its_own_stream_is_told(make, bus):
    """It would wait forever; at the end, there is nothing to wait for."""
    manager, told, ends = make(), [], []
    begun = threading.Event()

    @bus.on(EventType.STREAM_CHUNK)
    def wait(event):
        assert begun.wait(PATIENCE)
        try:
            stream.result()
        except RuntimeError as error:
            told.append(str(error))

    bus.subscribe(EventType.STREAM_COMPLETED, lambda event: ends.append(stream.result()))
    stream = manager.stream("p", "t")
    begun.set()
    assert stream.result(PATIENCE) == "one two three"
    assert "would wait for itself" in told[0]
    assert ends == ["one two three"]


def test_many_streams_at_once_keep_their_own_order(make, bus):
    """Twenty streams, one bus: each one's chunks come in order, none lost and none doubled."""
    manager = make(NgramProvider("one two three four five six seven eight nine ten. " * 3))
    streams = [manager.stream("p", "one") for _ in range(20)]
    texts = {stream.id: stream.result(PATIENCE) for stream in streams}
    assert len(texts) == 20
    for stream_id, text in texts.items():
        chunks = [event.data for event in bus.history["STREAM_CHUNK"] if event.data.stream == stream_id]
        assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
        assert "".join(chunk.text for chunk in chunks) == text


@pytest.mark.parametrize("on_error", ["event", "raise"])
def test_handlers_and_middleware_that_fail_do_not_stop_a_stream(on_error, caplog):
    """What reads the events is not what makes them: the text still comes, and the failure is seen."""
    bus = EventBus(on_error=on_error)
    bus.subscribe(EventType.STREAM_CHUNK, lambda event: 1 / 0)

    def refuse(event):
        if event.type is EventType.STREAM_STARTED:
            raise ValueError("no")
        return event

    bus.add_middleware(refuse)
    with ProviderManager(bus) as manager:
        manager.register("p", Scripted())
        manager.connect("p")
        assert manager.stream("p", "t").result(PATIENCE) == "one two three"
    assert len(bus.history["HANDLER_ERROR"]) == 3
    assert any("STREAM_STARTED of p was not told" in record.getMessage() for record in caplog.records)


def test_a_bus_that_is_closed_ends_its_streams(make, bus):
    """Nobody listens any more, so nobody is asked."""
    manager = make(Scripted(hang=True))
    bus.subscribe(EventType.STREAM_CHUNK, lambda event: bus.close(), once=True)
    stream = manager.stream("p", "t")
    stream.join(PATIENCE)
    assert stream.state == "cancelled"


def test_a_provider_that_fails_to_disconnect_is_disconnected(make, bus):
    """Its error is told, and is nobody's to handle."""
    manager = make()
    manager._entries["p"].provider.failures = [ValueError("stuck")]
    manager.disconnect("p")
    assert names(bus) == ["PROVIDER_ERROR", "PROVIDER_DISCONNECTED"]
    assert manager.providers == {"p": False}
    manager.disconnect("p")
    assert len(names(bus)) == 2


def test_health_is_told_not_raised(make, bus):
    """Well, not well, and not connected."""
    manager = make()
    assert (manager.health("p").healthy, manager.health("p").detail) == (True, "fine")
    manager._entries["p"].provider.failures = [OSError("disk full")]
    sick = manager.health("p")
    assert (sick.healthy, sick.connected, sick.detail) == (False, True, "OSError: disk full")
    manager.disconnect("p")
    assert not manager.health("p").connected
    assert [event.data.operation for event in bus.history["PROVIDER_ERROR"]] == ["health", "health"]


def test_closing_ends_everything_and_can_be_repeated(make, bus):
    """Streams are cancelled, providers disconnected; what is asked after that says so."""
    manager = make(Scripted(hang=True))
    stream = manager.stream("p", "t")
    manager.close()
    manager.close()
    assert stream.state == "cancelled"
    assert names(bus)[-2:] == ["STREAM_ERROR", "PROVIDER_DISCONNECTED"]
    for call in (lambda: manager.request("p", "t"), lambda: manager.register("q", Scripted())):
        with pytest.raises(RuntimeError, match="closed"):
            call()


def test_a_manager_that_is_forgotten_takes_its_thread_along(bus):
    """A notebook cell that is run again makes another manager; the old one's thread ends."""
    before = set(threading.enumerate())
    manager = ProviderManager(bus)
    manager.register("p", Scripted())
    manager.connect("p")
    (thread,) = set(threading.enumerate()) - before
    gone = weakref.ref(manager)
    del manager
    gc.collect()
    thread.join(PATIENCE)
    assert gone() is None
    assert not thread.is_alive()


def test_a_coroutine_asks_in_a_thread(make, bus):
    """As the docstring says, and the cause is kept."""
    manager = make()

    async def main():
        return await asyncio.gather(*(asyncio.to_thread(manager.request, "p", str(number)) for number in range(5)))

    assert [answer.text for answer in asyncio.run(main())] == ["one two three"] * 5
