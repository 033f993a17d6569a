"""What a bus tells about itself: `stats`, `explain`, `subscriptions`, and how things show themselves."""

from __future__ import annotations

import asyncio
import logging
import threading
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

import atlas_lab
from atlas_lab import BusStats, Event, EventBus, EventType, MiddlewareError, ScopedEventBus, tap_logging
from atlas_lab.testing.contract.workers import PATIENCE

CHUNK = EventType.STREAM_CHUNK
DONE = EventType.STREAM_COMPLETED


class Order(Enum):
    PLACED = "placed"


def handle(event: Event[Any]) -> None:
    pass


HERE = f"{__file__}:{handle.__code__.co_firstlineno}"


def test_stats_of_a_new_bus_are_all_zero():
    """Nothing happened yet, and asking for it counts nothing."""
    bus = EventBus()
    assert bus.stats() == bus.stats() == BusStats(0, 0, 0, 0, {}, {}, 0, 0, 0, 0)


def test_stats_add_up():
    """Accepted and rejected events, calls, errors, types, dead letters, subscriptions and the history agree."""
    bus = EventBus(history_limit=3)
    bus.add_middleware(lambda event: None if event.source == "spam" else event)
    bus.subscribe([CHUNK, DONE], handle)
    bus.subscribe(CHUNK, lambda event: 1 // event.data)
    bus.subscribe(DONE, handle, where=lambda event: False)
    for data in (1, 0, 2):
        bus.publish(CHUNK, data)
    bus.publish(CHUNK, source="spam")
    bus.publish(DONE)
    bus.publish(Order.PLACED)
    assert bus.stats() == BusStats(
        accepted=6,
        calls=7,
        errors=1,
        rejected=1,
        by_type={"STREAM_CHUNK": 3, "STREAM_COMPLETED": 1, "Order.PLACED": 1, "HANDLER_ERROR": 1},
        dead_letters={"Order.PLACED": 1, "HANDLER_ERROR": 1},
        subscriptions=3,
        kept=3,
        pushed_out=3,
        running=0,
    )


def test_stats_are_a_snapshot():
    """What was returned does not change with the bus."""
    bus = EventBus()
    bus.publish(CHUNK)
    before = bus.stats()
    bus.publish(CHUNK)
    assert before.accepted == 1 and before.by_type == {"STREAM_CHUNK": 1}


def test_calls_of_awaited_handlers_are_counted_alike():
    """``publish_async`` counts as `publish` does, also when a filter let the event by."""

    async def main() -> None:
        bus = EventBus()

        async def slow(event: Event[Any]) -> None:
            await asyncio.sleep(0)

        token = bus.subscribe(CHUNK, slow, where=lambda event: event.data)
        paused = bus.subscribe(CHUNK, slow)
        await bus.publish_async(CHUNK, True)
        paused.pause()
        await bus.publish_async(CHUNK, False)
        assert (token.calls, paused.calls, bus.stats().calls) == (1, 1, 2)

    asyncio.run(main())


def test_explain_tells_middleware_and_handlers_in_order():
    """Entries that are off say so; handlers come with what restricts them and where they were defined."""
    bus = EventBus(name="run")
    bus.add_middleware(lambda event: event, name="stamp")
    bus.add_middleware(lambda event: event, name="filter").enabled = False
    bus.subscribe(CHUNK, handle, source="model", data_type=dict, once=True)
    bus.subscribe(None, print)
    bus.subscribe(CHUNK, handle, priority=3, name="first").pause()
    bus.subscribe(DONE, handle, name="other")
    told = bus.explain(CHUNK)
    assert (told.bus, told.event_type, told.parent) == ("run", "STREAM_CHUNK", None)
    assert told.middleware == ("stamp", "filter (off)")
    assert told.handlers == (
        f"first (priority 3, paused) at {HERE}",
        f"handle (source='model', data_type=dict, once) at {HERE}",
        "print (listens to every type)",
    )
    assert str(told) == "\n".join([
        "STREAM_CHUNK on run",
        "  middleware:",
        "    1. stamp",
        "    2. filter (off)",
        "  handlers, in order:",
        f"    1. first (priority 3, paused) at {HERE}",
        f"    2. handle (source='model', data_type=dict, once) at {HERE}",
        "    3. print (listens to every type)",
    ])  # fmt: skip


def test_explain_says_when_there_is_nobody():
    """An event that nobody handles is called a dead letter before it is one; a bus without a name is called that."""
    assert str(EventBus().explain(Order.PLACED)) == "Order.PLACED on a bus without a name\n  middleware: none: every event passes\n  handlers, in order: none: the event is a dead letter"  # fmt: skip


def test_explain_goes_on_to_the_parent():
    """A scope tells what its parents do afterwards; one that keeps events in does not."""
    bus = EventBus(name="run")
    scope = ScopedEventBus(parent=bus, scope_name="agent")
    bus.subscribe(CHUNK, print)
    told = scope.explain(CHUNK)
    assert told.parent == bus.explain(CHUNK)
    assert str(told).splitlines()[-5:] == [
        "  then, on the parent:",
        "    STREAM_CHUNK on run",
        "      middleware: none: every event passes",
        "      handlers, in order:",
        "        1. print",
    ]
    quiet = ScopedEventBus(parent=bus, scope_name="quiet", propagate=False)
    assert quiet.explain(CHUNK).parent is None


def test_explain_agrees_with_what_happens():
    """Handlers are called in the order that was told."""
    bus = EventBus()
    order: list[str] = []
    for name, priority in (("a", 0), ("b", 5), ("c", 0), ("d", -1)):
        bus.subscribe(CHUNK, lambda event, name=name: order.append(name), priority=priority, name=name)
    told = [line.split()[0] for line in bus.explain(CHUNK).handlers]
    bus.publish(CHUNK)
    assert order == told == ["b", "a", "c", "d"]


def test_explain_changes_nothing():
    """Asking about a type is not using it."""
    bus = EventBus()
    bus.explain(CHUNK)
    assert bus.stats() == EventBus().stats()


def test_subscriptions_come_in_the_order_of_delivery():
    """Each once, however many types it listens to; those that ended are gone."""
    bus = EventBus()
    low = bus.subscribe([CHUNK, DONE], handle)
    everything = bus.subscribe(None, handle, priority=1)
    high = bus.subscribe(DONE, handle, priority=2)
    gone = bus.subscribe(DONE, handle)
    gone()
    assert bus.subscriptions() == [high, everything, low]


@pytest.mark.parametrize("state", ["active", "paused", "ended"])
def test_a_subscription_shows_itself(state):
    """Handler, types, state, calls and failures at a glance."""
    bus = EventBus()
    token = bus.subscribe([CHUNK, Order.PLACED], lambda event: 1 // event.data, name="divide")
    bus.publish(CHUNK, 1)
    if state == "paused":
        token.pause()
    elif state == "ended":
        token()
    assert repr(token) == f"<Subscription divide to STREAM_CHUNK, Order.PLACED: {state}, 1 call>"


def test_a_subscription_that_failed_shows_it():
    """Failures are counted where one looks."""
    bus = EventBus()
    token = bus.subscribe(None, lambda event: 1 // event.data, name="divide", where=lambda event: event.type is CHUNK)
    bus.publish(CHUNK, 0)
    assert repr(token) == "<Subscription divide to every type: active, 1 call, 1 failed>"


def test_a_bus_shows_itself():
    """Class, path, subscriptions and events; and that it is closed."""
    bus = EventBus(name="run")
    scope = ScopedEventBus(parent=bus, scope_name="agent")
    scope.subscribe(CHUNK, handle)
    scope.publish(CHUNK)
    assert repr(scope) == "<ScopedEventBus 'run/agent': 1 subscription, 1 event>"
    assert repr(EventBus()) == "<EventBus: 0 subscriptions, 0 events>"
    bus.close()
    assert repr(bus) == "<EventBus 'run': closed, 1 event>"


def test_an_entry_of_the_middleware_shows_itself():
    """Name, state and counts."""
    bus = EventBus()
    entry = bus.add_middleware(lambda event: {"x": 1}.get("y") if event.data else 1 // 0, name="gate")
    bus.publish(CHUNK, 1)
    with pytest.raises(MiddlewareError):
        bus.publish(CHUNK, 0)
    counts = "2 seen, 0 passed, 0 transformed, 1 dropped, 1 raised"
    assert repr(entry) == f"<Middleware 'gate': {counts}>"
    entry.enabled = False
    assert repr(entry) == f"<Middleware 'gate', off: {counts}>"
    entry()
    assert repr(entry) == f"<Middleware 'gate', removed: {counts}>"


def test_the_place_of_publishing_is_outside_the_package():
    """A report names the user's line, also when the bus was used through a scope, a pause or `emit`."""
    bus = EventBus()
    scope = ScopedEventBus(parent=bus, scope_name="agent")
    bus.subscribe(CHUNK, lambda event: 1 // 0)
    scope.publish(CHUNK)
    scope.emit(Event(CHUNK))
    with scope.paused():
        bus.publish(CHUNK)
    places = [report.data["published_at"].rpartition(":")[0] for report in bus.history.select(EventType.HANDLER_ERROR)]
    assert places == [__file__] * 3


def test_a_folder_whose_name_begins_like_the_package_is_not_the_package(tmp_path):
    """Code beside the package, such as ``atlas_lab_notes``, is the user's."""
    bus = EventBus()
    bus.subscribe(CHUNK, lambda event: 1 // 0)
    beside = str(Path(atlas_lab.__file__).parent) + "_notes/work.py"
    exec(compile("bus.publish(event_type)", beside, "exec"), {"bus": bus, "event_type": CHUNK})
    (report,) = bus.history.select(EventType.HANDLER_ERROR)
    assert report.data["published_at"] == f"{beside}:1"


def test_an_explanation_is_readable_as_the_last_line_of_a_cell():
    """As printed, also with a name that no message can hold."""
    pretty = pytest.importorskip("IPython.lib.pretty").pretty
    bus = EventBus(name="run")
    bus.add_middleware(lambda event: event, name="\ud83d")
    assert pretty(bus.explain(CHUNK)).splitlines()[:3] == ["STREAM_CHUNK on run", "  middleware:", "    1. ?"]


def test_the_traceback_begins_with_the_handler():
    """How the bus called it is the same for all; of an error of the bus itself nothing is left out."""
    bus = EventBus()
    bus.add_middleware(lambda event: event)
    bus.subscribe(CHUNK, lambda event: 1 // 0)
    bus.subscribe(CHUNK, lambda event: None, data_type=int)
    with bus.record():
        bus.publish(CHUNK, "text")
    first, second = (report.data["traceback"] for report in bus.history.select(EventType.HANDLER_ERROR))
    assert first.splitlines()[1].startswith(f'  File "{__file__}", line ')
    assert str(Path(atlas_lab.__file__).parent) not in first
    assert "payloads.py" in second


def places_of(bus: EventBus) -> list[str]:
    return [report.data["published_at"] for report in bus.history.select(EventType.HANDLER_ERROR)]


def test_an_event_of_the_panel_says_that_it_came_from_there():
    """No line of the user's published it, and the panel's own file would help nobody: on any thread."""
    pytest.importorskip("ipywidgets")
    from atlas_lab.widgets.publish_model import PublishModel  # noqa: PLC0415 - needs an extra

    bus = EventBus()
    bus.subscribe(CHUNK, lambda event: 1 // 0)
    form = PublishModel(bus)
    form.publish()
    assert form.start_repeat(1, 1000.0)
    assert form.repeating is not None
    form.repeating.join(PATIENCE)
    form.close()
    assert places_of(bus) == ["the lab's form"] * 2


def test_an_event_of_a_system_of_ours_names_the_line_that_set_it_off():
    """The user's call, not what it led to inside; where nothing of the user's runs, the system's own line."""
    bus = EventBus()
    bus.subscribe(EventType.COMMAND_EXECUTED, lambda event: 1 // 0)
    names: dict[str, Any] = {"__name__": f"{atlas_lab.__name__}.atlas.commands", "bus": bus}
    file = str(Path(atlas_lab.__file__).parent / "atlas" / "commands.py")
    exec(compile("def run(kind):\n    bus.publish(kind)", file, "exec"), names)
    names["run"](EventType.COMMAND_EXECUTED)
    thread = threading.Thread(target=names["run"], args=(EventType.COMMAND_EXECUTED,))
    thread.start()
    thread.join()
    mine, own = places_of(bus)
    assert mine.rpartition(":")[0] == __file__
    assert own == f"{file}:2"


def test_an_event_of_a_tap_names_the_line_that_logged():
    """Not a line of the logging module, which hands the record over."""
    bus, logger = EventBus(), logging.getLogger("tests.reports")
    logger.setLevel(logging.INFO)
    bus.subscribe(None, lambda event: 1 // 0, where=lambda event: event.type is not EventType.HANDLER_ERROR)
    with tap_logging(logger, bus):
        logger.info("hello")
    assert [place.rpartition(":")[0] for place in places_of(bus)] == [__file__]


def test_an_event_that_the_loop_publishes_names_nothing_of_the_loop():
    """Who runs an event loop published nothing."""
    bus = EventBus()
    bus.subscribe(CHUNK, lambda event: 1 // 0)

    async def main() -> None:
        asyncio.get_running_loop().call_soon(bus.publish, CHUNK)
        await asyncio.sleep(0.01)

    asyncio.run(main())
    assert places_of(bus) == [""]
