"""What a row says of a call of a handler and of a step of a middleware, and when there is one."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from contextlib import suppress
from typing import Any

import pytest

from atlas_lab import (
    Event,
    EventBus,
    HandlerErrors,
    MiddlewareError,
    PublishDepthError,
    Recording,
)
from atlas_lab.testing.contract.workers import in_threads, many_switches
from tests.recordings import ERROR, A, B, C, Clock, both_modes, both_ways, calls, nanoseconds, publish, steps


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr("atlas_lab.recorder.perf_counter_ns", made)
    monkeypatch.setattr("atlas_lab.recording.perf_counter_ns", made)
    return made


@pytest.fixture(autouse=True)
def quiet():
    """The errors of handlers that are made here are not for the log."""
    logger = logging.getLogger("atlas_lab")
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(logging.NOTSET)


# What a row says of a call


@both_ways
def test_handlers_stand_in_the_order_in_which_they_were_called(way):
    """One row for each call: by priority, then in the order of subscription, those for every type among them."""
    bus = EventBus()
    bus.subscribe(A, lambda event: None, name="second")
    bus.subscribe(None, lambda event: None, name="third")
    bus.subscribe(A, lambda event: None, name="first", priority=1)
    bus.subscribe(B, lambda event: None, name="other")
    with bus.record() as run:
        publish(bus, way)
        publish(bus, way)
    assert calls(run, "seq", "handler", "outcome") == [
        (seq, handler, "ok") for seq in (1, 2) for handler in ("first", "second", "third")
    ]
    assert run.deliveries["event_id"].tolist() == [event.id for event in bus.history for _ in range(3)]


def test_one_function_subscribed_twice_has_two_rows():
    """Each subscription is called, and each call is one row, of its first attempt."""
    bus, got = EventBus(), []

    def handle(event: Event[Any]) -> None:
        got.append(event)

    for _ in range(2):
        bus.subscribe(A, handle)
    with bus.record() as run:
        bus.publish(A)
    assert len(got) == 2
    assert calls(run, "outcome", "attempt") == [("ok", 1), ("ok", 1)]


@both_ways
@pytest.mark.parametrize("on_error", ["event", "raise"])
def test_an_error_is_told_by_type_and_message(way, on_error):
    """A handler that fails has its error in its row, and the others their own; the report is delivered and recorded."""
    bus = EventBus(on_error=on_error)

    def fail(event: Event[Any]) -> None:
        raise LookupError("no such agent")

    bus.subscribe(A, fail, name="fail")
    bus.subscribe(A, lambda event: None, name="fine")
    bus.subscribe(ERROR, lambda event: None, name="report")
    with bus.record() as run:
        try:
            publish(bus, way)
        except HandlerErrors:
            assert on_error == "raise"
    frame = run.deliveries.set_index("handler")
    assert frame["outcome"].to_dict() == {"fail": "error", "report": "ok", "fine": "ok"}
    assert frame.loc["fail", ["error_type", "error_message"]].tolist() == ["LookupError", "no such agent"]
    assert frame.loc[["fine", "report"], ["error_type", "error_message"]].isna().all(axis=None)


def test_an_error_without_a_message_is_an_error():
    """Its message is empty, not missing."""
    bus = EventBus()

    def fail(event: Event[Any]) -> None:
        raise ValueError

    bus.subscribe(A, fail)
    with bus.record() as run:
        bus.publish(A)
    assert calls(run, "outcome", "error_type", "error_message") == [("error", "ValueError", "")]


def test_an_error_that_cannot_be_shown_is_recorded_all_the_same():
    """An exception whose text raises, or that no encoding holds, disturbs neither the bus nor the frame."""

    class Unshowable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("not even this")

    bus, got = EventBus(), []

    def fail(event: Event[Any]) -> None:
        raise event.data

    bus.subscribe(A, fail)
    bus.subscribe(A, got.append)
    with bus.record() as run:
        bus.publish(A, Unshowable())
        bus.publish(A, ValueError("half of a pair: \ud83d"))
    rows = [row for row in calls(run, "outcome", "error_type", "error_message") if row[0] == "error"]
    assert rows[0] == ("error", "Unshowable", "<its text cannot be shown: RuntimeError>")
    assert rows[1][:2] == ("error", "ValueError") and rows[1][2].startswith("half of a pair: ")
    assert len(got) == 2


class Owner:
    def handle(self, event: Event[Any]) -> None: ...


def make_call(is_async: bool, code: Any = lambda event: None) -> Any:
    """Return a plain or an async function around `code`."""

    async def later(event: Event[Any]) -> None:
        code(event)

    def at_once(event: Event[Any]) -> None:
        code(event)

    return later if is_async else at_once


def record_one(way: str, subscribe: Any, **options: Any) -> list[tuple[Any, ...]]:
    """Return the rows of one publish of A on a bus with handlers that `subscribe` makes, inside a running loop."""

    async def main() -> list[tuple[Any, ...]]:
        bus = EventBus(**options)
        subscribe(bus)
        with bus.record() as run:
            if way == "publish":
                bus.publish(A, source="x")
                await bus.join()
            else:
                await bus.publish_async(A, source="x")
        return calls(run, "handler", "outcome", "error_type")

    return asyncio.run(main())


@both_ways
@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
@pytest.mark.parametrize(
    "options, outcome",
    [
        ({}, ("ok", None)),
        ({"where": lambda event: True, "source": "x", "once": True, "data_type": type(None)}, ("ok", None)),
        ({"where": lambda event: False}, ("skipped", None)),
        ({"source": "y"}, ("skipped", None)),
        ({"where": lambda event: 1 // 0}, ("error", "ZeroDivisionError")),
        ({"data_type": int}, ("error", "PayloadTypeError")),
    ],
    ids=["none", "all met", "where", "source", "failing where", "data_type"],
)
def test_a_filter_that_keeps_an_event_out_is_told(way, is_async, options, outcome):
    """`where` and `source` skip, what fails is an error, and conditions that are met leave an ordinary row."""
    rows = record_one(way, lambda bus: bus.subscribe(A, make_call(is_async), name="it", **options))
    assert rows == [("it", *outcome)]


@both_ways
@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
@pytest.mark.parametrize("how", ["unsubscribe", "pause", "pause and resume", "close"])
def test_who_is_taken_out_in_flight_is_skipped(way, is_async, how):
    """A subscription that an earlier handler ends or pauses stands in the rows as skipped."""

    def subscribe(bus: EventBus) -> None:
        def act(event: Event[Any]) -> None:
            if how == "close":
                bus.close()
            elif how == "unsubscribe":
                victim()
            else:
                victim.pause()
                if how == "pause and resume":
                    victim.resume()

        bus.subscribe(A, act, name="act")
        victim = bus.subscribe(A, make_call(is_async), name="victim")

    assert record_one(way, subscribe) == [("act", "ok", None), ("victim", "skipped", None)]


def test_who_was_paused_or_gone_before_has_no_row():
    """Only those whom the event would have reached are in the rows."""
    bus, owner = EventBus(), Owner()
    bus.subscribe(A, lambda event: None, name="paused").pause()
    bus.subscribe(A, lambda event: None, name="ended")()
    bus.subscribe(A, owner.handle, name="dead")
    with bus.record() as run:
        del owner
        gc.collect()
        bus.publish(A)
    assert len(run.deliveries) == 0


def test_whose_object_dies_in_flight_is_skipped():
    """A handler held weakly whose object an earlier handler lets go was not called."""
    bus, owners = EventBus(), [Owner()]
    bus.subscribe(A, lambda event: owners.clear(), name="act")
    bus.subscribe(A, owners[0].handle, name="victim")
    with bus.record() as run:
        bus.publish(A)
        gc.collect()
        bus.publish(A)
    assert calls(run) == [("act", "ok"), ("victim", "skipped"), ("act", "ok")]


def test_once_is_called_once_and_skipped_for_what_was_in_flight():
    """The event around the one that a once handler took passes it by."""
    bus = EventBus()
    bus.subscribe(A, lambda event: event.data and bus.publish(A, event.data - 1), name="again")
    bus.subscribe(A, lambda event: None, name="once", once=True)
    with bus.record() as run:
        bus.publish(A, 1)
        bus.publish(A, 0)
    assert calls(run, "seq", "handler", "outcome") == [
        (1, "again", "ok"),
        (2, "again", "ok"),
        (2, "once", "ok"),
        (1, "once", "skipped"),
        (3, "again", "ok"),
    ]


@both_ways
@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_is_an_error_and_skips_the_rest(way, interrupt):
    """The interrupted handler and those that the interrupt kept the event from are in the rows, the event as well."""
    bus = EventBus()

    def stop(event: Event[Any]) -> None:
        raise interrupt

    bus.subscribe(A, lambda event: None, name="before")
    bus.subscribe(A, stop, name="stop")
    bus.subscribe(A, lambda event: None, name="after")
    with bus.record() as run, pytest.raises(interrupt):
        publish(bus, way)
    assert calls(run) == [("before", "ok"), ("stop", "error"), ("after", "skipped")]
    assert run.deliveries["error_type"][1] == interrupt.__name__
    assert [subscription.calls for subscription in bus.subscriptions()] == [1, 1, 0]


def test_what_an_interrupt_leaves_in_the_queue_is_skipped():
    """Under "queued", an accepted event whose turn never came is among the events, and its handlers are skipped."""
    bus = EventBus(nested="queued")

    def stop(event: Event[Any]) -> None:
        bus.publish(B)
        raise KeyboardInterrupt

    bus.subscribe(A, stop, name="stop")
    bus.subscribe(B, lambda event: None, name="waiting")
    with bus.record("one") as one, bus.record("two") as two, pytest.raises(KeyboardInterrupt):
        bus.publish(A)
    for run in (one, two):
        assert calls(run) == [("stop", "error"), ("waiting", "skipped")]
        assert run.events["seq"].tolist() == [1, 2]


def test_a_chain_that_is_too_deep_is_an_error_of_every_handler_in_it():
    """The depth error passes through every handler of the chain, and the ones behind them are skipped."""
    bus = EventBus(max_depth=3)
    bus.subscribe(A, lambda event: bus.publish(A), name="circle")
    bus.subscribe(A, lambda event: None, name="behind")
    with bus.record() as run, pytest.raises(PublishDepthError):
        bus.publish(A)
    rows = calls(run, "seq", "handler", "outcome")
    assert sorted(rows) == [(seq, *one) for seq in (1, 2, 3) for one in [("behind", "skipped"), ("circle", "error")]]


# Time and order


def test_start_counts_from_the_beginning_and_duration_is_that_of_the_call(clock):
    """Nanoseconds, by a clock that never goes back."""
    bus = EventBus()

    def work(event: Event[Any]) -> None:
        clock.now += 500

    bus.subscribe(A, work)
    clock.now = 7_000
    with bus.record() as run:
        clock.now += 100
        bus.publish(A)
    assert nanoseconds(run, "start") == [101]
    assert nanoseconds(run, "duration") == [501]


@both_ways
def test_nested_calls_stand_where_they_began_and_within_the_outer_one(way):
    """A handler that publishes comes before those it calls, and its time holds theirs."""
    bus = EventBus()
    bus.subscribe(A, lambda event: bus.publish(B), name="outer")
    bus.subscribe(A, lambda event: None, name="next")
    bus.subscribe(B, lambda event: None, name="inner")
    with bus.record() as run:
        publish(bus, way)
    frame = run.deliveries
    assert frame["handler"].tolist() == ["outer", "inner", "next"]
    end = frame["start"] + frame["duration"]
    assert frame["start"][0] <= frame["start"][1] <= end[1] <= end[0] <= frame["start"][2]
    assert frame["start"].is_monotonic_increasing


@both_ways
def test_queued_calls_stand_one_after_the_other(way):
    """Under "queued", what a handler published begins when the event around it has reached everybody."""
    bus = EventBus(nested="queued")
    bus.subscribe(A, lambda event: bus.publish(B), name="outer")
    bus.subscribe(A, lambda event: None, name="next")
    bus.subscribe(B, lambda event: None, name="inner")
    with bus.record() as run:
        publish(bus, way)
    frame = run.deliveries
    assert frame["handler"].tolist() == ["outer", "next", "inner"]
    end = frame["start"] + frame["duration"]
    assert (end[:-1] <= frame["start"][1:].reset_index(drop=True)).all()


@both_modes
def test_what_a_pause_holds_is_recorded_when_it_is_delivered(nested, clock):
    """Events published in a paused block get their rows at its end, in the order of the history."""
    bus = EventBus(nested=nested)
    bus.subscribe(None, lambda event: None, name="it")
    with bus.record() as run:
        with bus.paused():
            bus.publish(A)
            bus.publish(B)
            clock.now += 1000
            assert len(run.deliveries) == len(run.events) == 0
        assert calls(run, "seq", "type") == [(1, "AGENT_STARTED"), (2, "AGENT_TASK_ASSIGNED")]
    assert min(nanoseconds(run, "start")) > 1000
    assert run.events["seq"].tolist() == [1, 2]


def test_what_is_held_when_a_recording_begins_or_ends():
    """What was accepted before it began is not recorded; what was accepted while it was on is, also when it is over."""
    bus = EventBus()
    bus.subscribe(A, lambda event: None)
    before, after = bus.record(), bus.record()
    with bus.paused():
        with before:
            bus.publish(A)
        with after:
            pass
        after_all = bus.record().start()
    assert [calls(run, "seq", "outcome") for run in (before, after, after_all)] == [[(1, "ok")], [], []]
    assert [len(run.events) for run in (before, after, after_all)] == [1, 0, 0]


# Threads


@both_modes
def test_nothing_is_lost_with_many_threads(nested):
    """Eight threads publish at once: every call has its row, under the name of its thread and the number of its event."""
    bus = EventBus(nested=nested, history_limit=None)
    bus.add_middleware(lambda event: event)
    got: list[tuple[str, int]] = []
    bus.subscribe(A, lambda event: got.append((threading.current_thread().name, event.seq)))
    bus.subscribe(A, lambda event: event.data or bus.publish(A, 1), name="nesting")
    run = bus.record().start()
    with many_switches():
        in_threads(*[lambda: [bus.publish(A) for _ in range(100)]] * 8)
    run.stop()
    frame = run.deliveries
    assert len(frame) == 2 * len(got) == 3200
    first = frame[frame["handler"] != "nesting"]
    assert sorted(zip(first["thread"], first["seq"], strict=True)) == sorted(got)
    assert first["thread"].nunique() == 8
    assert run.events["seq"].tolist() == list(range(1, 1601))
    assert run.events["event_id"].tolist() == [event.id for event in bus.history]
    by_id = {event.id: event.seq for event in bus.history}
    assert [by_id[event_id] for event_id in frame["event_id"]] == frame["seq"].tolist()
    assert len(run.middleware) == 1600
    assert run.not_kept == (0, 0, 0)


def test_threads_are_told_by_their_names():
    """Also when one takes the number of another that has ended."""
    bus = EventBus()
    bus.subscribe(A, lambda event: None)
    with bus.record() as run:
        bus.publish(A)
        for name in ("first", "second", "third"):
            thread = threading.Thread(target=bus.publish, args=(A,), name=name)
            thread.start()
            thread.join()
    assert run.deliveries["thread"].tolist() == [threading.current_thread().name, "first", "second", "third"]


# Async handlers


@both_ways
def test_an_async_handler_lasts_until_it_was_awaited(way, clock):
    """Its duration runs from the moment its code begins, wherever it waits, until it ends."""

    async def main() -> Recording:
        bus = EventBus()

        async def work(event: Event[Any]) -> None:
            clock.now += 50
            await asyncio.sleep(0)
            clock.now += 500
            await asyncio.sleep(0)

        bus.subscribe(A, work, name="work")
        with bus.record() as run:
            if way == "publish":
                bus.publish(A)
                clock.now += 10_000  # before the loop comes to it
                await bus.join()
            else:
                await bus.publish_async(A)
        return run

    run = asyncio.run(main())
    assert calls(run) == [("work", "ok")]
    assert 550 < nanoseconds(run, "duration")[0] < 600
    if way == "publish":
        assert nanoseconds(run, "start")[0] > 10_000


@both_ways
def test_an_async_handler_that_fails_or_is_skipped_says_so(way):
    """Its error has type and message; who was filtered out is skipped; each is one row."""

    async def fail(event: Event[Any]) -> None:
        await asyncio.sleep(0)
        raise LookupError("late")

    def subscribe(bus: EventBus) -> None:
        bus.subscribe(A, fail, name="fail")
        bus.subscribe(A, fail, name="skip", source="nobody")

    assert sorted(record_one(way, subscribe)) == [("fail", "error", "LookupError"), ("skip", "skipped", None)]


def test_an_async_handler_that_is_cancelled_is_an_error():
    """One that was waiting failed with CancelledError, and one that never began was skipped."""

    async def main() -> Recording:
        bus = EventBus()

        async def wait(event: Event[Any]) -> None:
            await asyncio.sleep(60)

        bus.subscribe(A, wait, name="wait")
        with bus.record() as run:
            task = asyncio.ensure_future(bus.publish_async(A))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            bus.publish(B)
            bus.publish(A)
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await bus.join()
        return run

    assert calls(asyncio.run(main()), "seq", "handler", "outcome", "error_type")[0] == (
        1, "wait", "error", "CancelledError",
    )  # fmt: skip
    assert calls(asyncio.run(main()), "seq", "outcome")[1:] == [(3, "skipped")]


def test_an_async_handler_that_is_closed_in_the_midst_is_an_error():
    """A publish that is thrown away while it awaits a handler leaves its row."""
    bus = EventBus()

    async def main() -> None:
        async def wait(event: Event[Any]) -> None:
            await asyncio.sleep(60)

        bus.subscribe(A, wait, name="wait")
        bus.subscribe(A, wait, name="next")

    asyncio.run(main())
    with bus.record() as run:
        publishing = bus.publish_async(A)

        async def begin() -> None:
            publishing.send(None)

        asyncio.run(begin())
        publishing.close()
    assert calls(run, "handler", "outcome", "error_type")[0] == ("wait", "error", "GeneratorExit")
    assert calls(run)[1:] == [("next", "skipped")]


def test_an_async_handler_that_swallows_its_end_is_told_as_the_bus_tells_it():
    """What closing it raises is its error, and it is raised as without a recording."""
    bus = EventBus()

    async def main() -> None:
        async def stubborn(event: Event[Any]) -> None:
            try:
                await asyncio.sleep(60)
            finally:
                raise LookupError("on the way out")

        bus.subscribe(A, stubborn)

    asyncio.run(main())
    with bus.record() as run:
        publishing = bus.publish_async(A)

        async def begin() -> None:
            publishing.send(None)

        asyncio.run(begin())
        publishing.close()
    assert calls(run, "outcome", "error_type") == [("error", "LookupError")]
    assert bus.stats().errors == 1


def test_async_handlers_run_as_without_a_recording():
    """What they await, return to them and catch is passed through: values, errors and cancellation."""

    async def main(recorded: bool) -> list[Any]:
        bus, got = EventBus(), []
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def talk(event: Event[Any]) -> None:
            got.append(await future)
            try:
                await asyncio.wait_for(asyncio.sleep(60), 0.001)
            except TimeoutError as error:
                got.append(type(error))
            with pytest.raises(KeyError):
                await asyncio.gather(failing())

        async def failing() -> None:
            raise KeyError

        bus.subscribe(A, talk)
        if recorded:
            bus.record("one").start()
            bus.record("two").start()
        asyncio.get_running_loop().call_soon(future.set_result, "value")
        await bus.publish_async(A)
        got.append(bus.stats().errors)
        return got

    assert asyncio.run(main(True)) == asyncio.run(main(False)) == ["value", TimeoutError, 0]


def test_a_plain_handler_that_returns_a_coroutine_is_recorded_as_it_is_run(clock):
    """publish_async awaits what it returns: the row lasts until then and has its error; a publish does not."""
    bus = EventBus()

    async def work(event: Event[Any]) -> None:
        await asyncio.sleep(0)
        clock.now += 500
        if event.data:
            raise LookupError

    def start(event: Event[Any]) -> Any:
        clock.now += 30
        return work(event)

    bus.subscribe(A, start, name="start")
    with bus.record() as run:
        publish(bus, "publish_async")
        publish(bus, "publish_async", data="fail")
        with pytest.warns(RuntimeWarning, match="never awaited"):  # at once: nothing else holds the coroutine
            publish(bus, "publish")
    assert calls(run, "outcome") == [("ok",), ("error",), ("ok",)]
    durations = nanoseconds(run, "duration")
    assert 530 < durations[0] < 560 and 530 < durations[1] < 560 and 30 < durations[2] < 40


def test_async_handlers_started_from_another_thread_are_recorded_in_their_own():
    """A publish from a thread leaves an async handler to the loop it was subscribed on; the row names that thread."""

    async def main() -> Recording:
        bus = EventBus()

        async def work(event: Event[Any]) -> None: ...

        bus.subscribe(A, work, name="work")
        bus.subscribe(A, lambda event: None, name="plain")
        with bus.record() as run:
            thread = threading.Thread(target=bus.publish, args=(A,), name="publisher")
            thread.start()
            await asyncio.to_thread(thread.join)
            await bus.join()
        return run

    assert sorted(calls(asyncio.run(main()), "handler", "thread")) == [
        ("plain", "publisher"),
        ("work", threading.current_thread().name),
    ]


# Middleware


def run_middleware(function: Any, event: Event[Any] | None = None) -> tuple[Recording, EventBus]:
    """Record one event on its way through one middleware, called "it"."""
    bus = EventBus()
    bus.add_middleware(function, name="it")
    with bus.record() as run:
        with suppress(MiddlewareError):
            bus.emit(event or Event(A, "data", "source", {"key": 1}))
    return run, bus


class Hostile:
    """A value that no code but its user's may touch."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("compared")

    def __bool__(self) -> bool:
        raise RuntimeError("asked")

    __hash__ = None  # type: ignore[assignment]


def mutate(event: Event[Any]) -> Event[Any]:
    event.metadata["note"] = Hostile()
    return event


STEPS = {
    "pass": (lambda event: event, "passed", ""),
    "add metadata": (mutate, "passed", "metadata"),
    "clear metadata": (lambda event: (event.metadata.clear(), event)[1], "passed", "metadata"),
    "same metadata": (lambda event: (event.metadata.update(key=1), event)[1], "passed", ""),
    "copy": (lambda event: event.replace(), "transformed", ""),
    "equal fields": (
        lambda event: event.replace(source=event.source.upper().lower(), timestamp=event.timestamp + 0), "transformed", "",
    ),
    "data": (lambda event: event.replace(data="other"), "transformed", "data"),
    "hostile data": (lambda event: event.replace(source=None, data=Hostile()), "transformed", "data, source"),
    "three": (lambda event: event.replace(type=B, metadata={}, timestamp=1.5), "transformed", "type, timestamp, metadata"),
    "ids": (lambda event: event.replace(id="1", parent_id="2", scope="x"), "transformed", "id, parent_id, scope"),
    "hostile metadata": (lambda event: event.replace(metadata={"key": Hostile()}), "transformed", "metadata"),
    "other metadata": (lambda event: event.replace(metadata={"other": 1}), "transformed", "metadata"),
    "add metadata and copy": (lambda event: mutate(event).replace(), "transformed", "metadata"),
    "drop": (lambda event: None, "dropped", ""),
    "change and drop": (lambda event: mutate(event) and None, "dropped", ""),
    "raise": (lambda event: 1 // 0, "raised", ""),
    "return text": (lambda event: "event", "raised", ""),
    "return anything": (lambda event: Hostile(), "raised", ""),
}  # fmt: skip


@pytest.mark.parametrize("function, action, changed", STEPS.values(), ids=STEPS.keys())
def test_a_step_tells_what_the_middleware_did(function, action, changed):
    """Passed, transformed, dropped or raised, with the names of the fields that hold something else afterwards."""
    run, _ = run_middleware(function)
    assert steps(run, "middleware", "step", "action", "changed") == [("it", 0, action, changed)]


@pytest.mark.parametrize("place", ["data", "metadata"])
def test_values_are_not_touched(place):
    """What the user carries is neither compared nor asked, whatever becomes of it."""
    value = Hostile()
    event = Event(A, value) if place == "data" else Event(A, metadata={"key": value})
    run, bus = run_middleware(lambda event: event.replace(metadata={**event.metadata}), event)
    assert steps(run, "action", "changed") == [("transformed", "")]
    assert len(bus.history) == 1


def test_steps_stand_in_order_with_the_event_as_it_came_in():
    """Each entry that an event comes to has a row; those after a drop have none."""
    bus = EventBus(name="run")
    bus.add_middleware(lambda event: event.replace(type=B) if event.type is A else event, name="rename")
    bus.add_middleware(lambda event: None if event.type is C else event, name="quiet")
    off = bus.add_middleware(lambda event: event, name="off")
    bus.add_middleware(lambda event: event, name="last")
    off.enabled = False
    with bus.record() as run:
        renamed, dropped = bus.publish(A), bus.publish(C)
    assert steps(run, "event_id", "type", "scope", "step", "middleware", "action") == [
        (renamed, "AGENT_STARTED", "run", 0, "rename", "transformed"),
        (renamed, "AGENT_TASK_ASSIGNED", "run", 1, "quiet", "passed"),
        (renamed, "AGENT_TASK_ASSIGNED", "run", 2, "last", "passed"),
        (dropped, "AGENT_STOPPED", "run", 0, "rename", "passed"),
        (dropped, "AGENT_STOPPED", "run", 1, "quiet", "dropped"),
    ]
    assert len(run.events) == 1


def test_steps_are_recorded_on_the_way_that_is_sampled_and_on_the_fast_one():
    """Every event has its rows, however the pipeline counts and times it, and its counts are those without."""
    bus = EventBus(history_limit=None)
    entries = [bus.add_middleware(lambda event: event, name=f"entry {number}") for number in range(2)]
    with bus.record() as run:
        for _ in range(200):
            bus.publish(A)
    assert len(run.middleware) == 400
    assert [entry.stats.passed for entry in entries] == [200, 200]


def test_an_entry_switched_off_in_flight_has_no_row():
    """It does not see the event; switched on or added meanwhile, it sees the next one."""
    bus = EventBus()

    def switch(event: Event[Any]) -> Event[Any]:
        later.enabled = not later.enabled
        return event

    bus.add_middleware(switch, name="switch")
    later = bus.add_middleware(lambda event: event, name="later")
    with bus.record() as run:
        for _ in range(3):
            bus.publish(A)
    assert [name for name, _ in steps(run)] == ["switch", "switch", "switch"]
    assert later.stats.seen == 0


def test_middleware_that_publishes_has_its_own_time(clock):
    """A step holds what happened inside it, and the steps stand in the order in which they began."""
    bus = EventBus()

    def announce(event: Event[Any]) -> Event[Any]:
        if event.type is A:
            clock.now += 100
            bus.publish(B)
        return event

    bus.add_middleware(announce)
    with bus.record() as run:
        bus.publish(A)
    frame = run.middleware
    assert frame["type"].tolist() == ["AGENT_STARTED", "AGENT_TASK_ASSIGNED"]
    durations = frame["duration"].to_numpy().astype(int).tolist()
    assert durations[0] > 100 > durations[1]


def test_an_interrupt_in_middleware_is_a_step_that_raised():
    """It goes through, and the row says so."""
    bus = EventBus()

    def stop(event: Event[Any]) -> Event[Any]:
        raise KeyboardInterrupt

    bus.add_middleware(stop, name="stop")
    with bus.record() as run, pytest.raises(KeyboardInterrupt):
        bus.publish(A)
    assert steps(run) == [("stop", "raised")]
