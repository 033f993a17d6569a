"""Taps: an existing system is heard on a bus, is never harmed by it, and is left as it was."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any

import blinker
import flask
import pytest

from atlas_lab import EventBus, EventType, LogEvent, TaskEvent, tap, tap_asyncio, tap_logging


def told(bus: EventBus) -> list[tuple[str, str | None, Any]]:
    return [(event.type_name, event.source, event.data) for event in bus.history]


# -- Blinker


def test_one_signal_several_and_a_namespace_are_heard():
    """A signal, a list of signals and a namespace are tapped alike; a type is named after its signal."""
    shop = blinker.Namespace()
    sold, left = shop.signal("item-sold"), shop.signal("guest.left")
    for signals in (shop, [sold, left], {"item-sold": sold, "guest.left": left}):
        bus = EventBus()
        with tap(signals, bus, name="Shop") as shop_tap:
            sold.send("till", item="owl")
            left.send()
        assert told(bus) == [("Shop.ITEM_SOLD", "till", {"item": "owl"}), ("Shop.GUEST_LEFT", None, {})]
        assert shop_tap.types.GUEST_LEFT.value == "guest.left"
    bus = EventBus()
    tap(sold, bus)
    sold.send("till", item="owl")
    assert told(bus) == [("Signal.ITEM_SOLD", "till", {"item": "owl"})]


def test_undoing_leaves_the_signals_as_they_were():
    """After undo nothing is heard and no receiver is left; undoing again is no error."""
    signal = blinker.signal("left as it was")
    bus = EventBus()
    undo = tap(signal, bus)
    assert undo() is True
    assert undo() is False
    assert not signal.receivers
    signal.send("x")
    assert told(bus) == []


def test_the_history_keeps_no_object_of_the_system():
    """Objects become text in the default payload; `payload` decides otherwise."""
    signal = blinker.signal("carries objects")

    class Request:
        def __repr__(self) -> str:
            return "<Request " + "x" * 500

    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    bus = EventBus()
    tap(signal, bus)
    signal.send(Request(), request=Request(), error=ValueError("no"), broken=Broken(), count=3, ok=None)
    (event,) = bus.history
    assert event.source == "Request"
    assert len(event.data["request"]) == 200
    assert (event.data["error"], event.data["count"], event.data["ok"]) == ("ValueError: no", 3, None)
    assert event.data["broken"] == "<Broken whose repr failed: RuntimeError>"
    gc.collect()
    assert not [one for one in gc.get_objects() if type(one) is Request]
    tap(signal, other := EventBus(), payload=lambda sender, given: (sender, given["n"]))
    signal.send("s", n=1)
    assert other.history[-1].data == ("s", 1)


def test_what_goes_wrong_on_the_bus_never_reaches_the_system(caplog):
    """A refusing middleware, a failing handler, a failing `payload` and a closed bus leave `send` undisturbed."""
    signal = blinker.signal("undisturbed")
    heard = []
    signal.connect(heard.append, weak=False)
    bus = EventBus(on_error="raise")
    refusal = bus.add_middleware(lambda event: 1 / 0)
    undo = tap(signal, bus)
    tap(signal, bus, payload=lambda sender, given: 1 / 0)
    signal.send("a")
    refusal()
    bus.subscribe(None, lambda event: 1 / 0)
    signal.send("b")
    bus.close()
    signal.send("c")
    assert heard == ["a", "b", "c"]
    assert not undo.active
    assert "could not publish" in caplog.text
    assert "could not be made" in caplog.text


def test_signals_that_are_sent_by_async_senders():
    """``send_async`` reaches a tap made with ``sent="send_async"``."""
    signal = blinker.Signal()
    bus = EventBus()
    tap({"later": signal}, bus, sent="send_async")
    asyncio.run(signal.send_async("loop", n=1))
    assert told(bus) == [("Signal.LATER", "loop", {"n": 1})]


def test_a_flask_app_is_heard_without_a_change():
    """A request to a real Flask app shows its signals in order, an error among them, in one causal picture."""
    app = flask.Flask("shop")

    @app.get("/owl")
    def owl() -> str:
        return "owl"

    @app.get("/broken")
    def broken() -> str:
        raise RuntimeError("out of owls")

    signals = [flask.request_started, flask.got_request_exception, flask.request_finished]
    bus = EventBus()
    with tap(signals, bus, name="Flask"):
        assert app.test_client().get("/owl").text == "owl"
        assert app.test_client().get("/broken").status_code == 500
    assert [event.type.name for event in bus.history] == [
        "REQUEST_STARTED", "REQUEST_FINISHED", "REQUEST_STARTED", "GOT_REQUEST_EXCEPTION", "REQUEST_FINISHED",
    ]  # fmt: skip
    assert {event.source for event in bus.history} == {"shop"}
    assert bus.history[3].data["exception"] == "RuntimeError: out of owls"
    assert "500" in bus.history[4].data["response"]
    assert app.test_client().get("/owl").text == "owl"
    assert len(bus.history) == 5


@pytest.mark.parametrize(
    "signals, options, error, message",
    [
        (blinker.Namespace(), {}, ValueError, "signals is empty"),
        (blinker.Signal(), {}, ValueError, "pass {'its-name': signal}"),
        ([1], {}, TypeError, "signals must be a Blinker signal.*got int 1"),
        (7, {}, TypeError, "signals must be a Blinker signal.*got int 7"),
        ({"a-b": blinker.Signal(), "a.b": blinker.Signal()}, {}, ValueError, "names that differ"),
        (blinker.signal("x"), {"name": "no name"}, ValueError, "valid Python name"),
        (blinker.signal("x"), {"payload": 3}, TypeError, "payload must be callable"),
        (blinker.signal("x"), {"sent": "later"}, ValueError, "sent must be"),
    ],
)
def test_wrong_arguments(signals, options, error, message):
    """Each names the argument, what came, and what to pass."""
    with pytest.raises(error, match=message):
        tap(signals, EventBus(), **options)
    with pytest.raises(TypeError, match="bus must be an EventBus"):
        tap(blinker.signal("x"), 3)


# -- logging


def test_records_are_heard_by_level_with_their_traceback():
    """Every record from `level` on is an event with message, place and traceback; then the logger is as before."""
    log = logging.getLogger("tests.taps")
    log.setLevel(logging.DEBUG)
    before = list(log.handlers)
    bus = EventBus()
    with tap_logging(log, bus, level=logging.INFO):
        log.debug("too quiet")
        log.info("at %d", 7)
        try:
            raise KeyError("lost")
        except KeyError:
            log.exception("failed")
        log.log(logging.ERROR + 5, "between levels")
    log.error("after")
    assert [(name, data["message"]) for name, _, data in told(bus)] == [
        ("LogEvent.INFO", "at 7"),
        ("LogEvent.ERROR", "failed"),
        ("LogEvent.ERROR", "between levels"),
    ]
    assert "KeyError: 'lost'" in bus.history[1].data["traceback"]
    assert bus.history[0].source == "tests.taps"
    assert log.handlers == before


def test_a_failing_handler_does_not_feed_itself():
    """What atlas_lab logs, and what handlers of log events log, is not heard again."""
    log = logging.getLogger("tests.feedback")
    bus = EventBus()
    bus.subscribe(LogEvent.WARNING, lambda event: log.warning("heard %s", event.data["message"]))
    bus.subscribe(LogEvent.WARNING, lambda event: 1 / 0)
    with tap_logging("", bus):
        log.warning("once")
    assert [event.data["message"] for event in bus.history if event.type is LogEvent.WARNING] == ["once"]
    assert len(bus.history) == 2  # and its HANDLER_ERROR


def test_wrong_arguments_of_tap_logging():
    """Each names the argument."""
    with pytest.raises(TypeError, match="watched must be a logger"):
        tap_logging(3, EventBus())
    with pytest.raises(TypeError, match="level must be a level"):
        tap_logging("x", EventBus(), level="INFO")


# -- asyncio


def test_the_life_of_tasks_is_heard_with_its_cause():
    """Created, finished, failed and cancelled tasks are told; the event whose handler made a task is its cause."""
    bus = EventBus()
    tasks = []

    async def sleeper() -> None:
        await asyncio.sleep(60)

    async def failing() -> None:
        raise ValueError("no")

    async def main() -> None:
        before = asyncio.get_running_loop().get_task_factory()
        undo = tap_asyncio(None, bus)
        bus.subscribe(EventType.AGENT_STARTED, lambda event: tasks.append(asyncio.ensure_future(failing())))
        bus.publish(EventType.AGENT_STARTED)
        sleeping = asyncio.create_task(sleeper(), name="sleeping")
        await asyncio.sleep(0)
        sleeping.cancel()
        await asyncio.gather(sleeping, *tasks, return_exceptions=True)
        assert undo()
        assert asyncio.get_running_loop().get_task_factory() is before
        await asyncio.create_task(asyncio.sleep(0))

    asyncio.run(main())
    started = bus.history[0]
    kinds = [
        (event.type_name, event.data["coroutine"].split(".")[-1], event.parent_id) for event in list(bus.history)[1:]
    ]
    assert kinds == [
        ("TaskEvent.CREATED", "failing", started.id),
        ("TaskEvent.CREATED", "sleeper", None),
        ("TaskEvent.FAILED", "failing", started.id),
        ("TaskEvent.CANCELLED", "sleeper", None),
    ]
    assert bus.history[3].data["error"] == "ValueError: no"
    assert bus.history[4].data["task"] == "sleeping"
    assert bus.history[4].data["number"] == bus.history[2].data["number"]


def test_a_task_that_is_running_already_is_heard_when_it_ends():
    """The task that makes the tap is told when it ends."""
    bus = EventBus()

    async def main() -> None:
        tap_asyncio(asyncio.get_running_loop(), bus)

    asyncio.run(main())
    assert (bus.history[0].type, bus.history[0].data["coroutine"].split(".")[-1]) == (TaskEvent.FINISHED, "main")


def test_asyncio_still_warns_of_a_failure_that_nobody_looked_at():
    """Listening does not count as looking."""
    bus = EventBus()
    warned = []

    async def failing() -> None:
        raise ValueError("unseen")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: warned.append(context["message"]))
        tap_asyncio(loop, bus)
        task = loop.create_task(failing())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del task
        gc.collect()

    asyncio.run(main())
    assert any("never retrieved" in message for message in warned)


def test_another_factory_keeps_its_place():
    """A task factory that was there makes the tasks; one that came later is not taken away by undo."""
    made = []

    def earlier(loop: Any, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        made.append(coroutine)
        return asyncio.Task(coroutine, loop=loop, **options)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(earlier)
        undo = tap_asyncio(loop, EventBus())
        await asyncio.create_task(asyncio.sleep(0))
        assert len(made) == 1
        ours = loop.get_task_factory()

        def later(loop: Any, coroutine: Any, **options: Any) -> Any:
            return ours(loop, coroutine, **options)

        loop.set_task_factory(later)
        undo()
        assert loop.get_task_factory() is later
        await asyncio.create_task(asyncio.sleep(0))

    asyncio.run(main())


def test_wrong_arguments_of_tap_asyncio():
    """No loop, and what is none, are refused."""
    with pytest.raises(RuntimeError, match="no running event loop"):
        tap_asyncio(None, EventBus())
    with pytest.raises(TypeError, match="loop must be an event loop"):
        tap_asyncio(3, EventBus())
