"""Whatever is done with a bus: a recording changes nothing, and what it tells is what happened."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize

from atlas_lab import Event, EventBus, EventType, Recording, ScopedEventBus
from tests.properties.test_bus_model import BusMachine

A, B, C = EventType.AGENT_STARTED, EventType.STREAM_CHUNK, EventType.TASK_SUBMITTED


@pytest.fixture(autouse=True)
def quiet():
    """The errors of handlers that are made here are not for the log."""
    logger = logging.getLogger("atlas_lab")
    logger.setLevel(logging.CRITICAL + 1)
    yield
    logger.setLevel(logging.NOTSET)


# The same script with and without a recording

types = st.sampled_from([A, B, C])
buses = st.integers(0, 2)
places = st.integers(0, 5)  # of one of the subscriptions or entries made so far
payloads = st.integers(0, 3)
HANDLERS = ("note", "fail", "interrupt", "nest", "end another", "pause another", "wait", "wait and fail", "coroutine")
MIDDLEWARE = ("pass", "change", "drop some", "raise some", "return text", "note in place", "switch another", "publish")
step = st.one_of(
    st.tuples(
        st.just("subscribe"),
        buses,
        st.one_of(st.none(), types, st.just((A, C))),
        st.sampled_from(HANDLERS),
        st.fixed_dictionaries(
            {
                "priority": st.integers(-1, 1),
                "once": st.booleans(),
                "source": st.sampled_from([None, None, "x"]),
                "data_type": st.sampled_from([None, None, int, str]),
                "name": st.sampled_from([None, None, "named"]),
            }
        ),
        st.sampled_from([None, None, "odd", "fail"]),
    ),
    st.tuples(st.sampled_from(["unsubscribe", "pause", "resume"]), places),
    st.tuples(st.just("add middleware"), buses, st.sampled_from(MIDDLEWARE)),
    st.tuples(st.just("switch"), places, st.booleans()),
    st.tuples(st.sampled_from(["publish", "publish", "publish_async", "emit", "send", "hold"]), buses, types, payloads),
    st.tuples(st.just("close"), buses),
)


class Player:
    """Carries out a script on a bus, a scope in it and a scope in that, and writes down all that can be seen of it."""

    def __init__(self, nested: str, on_error: str) -> None:
        ids, ticks = count(1), count(1)
        options: Any = {
            "nested": nested,
            "on_error": on_error,
            "max_depth": 4,
            "new_id": lambda: f"{next(ids):032x}",
            "clock": lambda: float(next(ticks)),
        }
        root = EventBus(name="run", **options)
        scope = ScopedEventBus(root, "scope", new_id=options["new_id"])
        self.buses = [root, scope, ScopedEventBus(scope, "inner", new_id=options["new_id"])]
        self.tokens: list[Any] = []
        self.entries: list[Any] = []
        self.seen: list[Any] = []
        self.calls: list[tuple[str, int]] = []

    def handler(self, bus: EventBus, kind: str, number: int) -> Callable[[Event[Any]], Any]:
        def act(event: Event[Any]) -> Any:
            self.seen.append((number, *fields(event).values()))
            self.calls.append((bus.path, event.seq))
            if kind == "fail":
                raise LookupError(f"no {event.type_name}")
            if kind == "interrupt" and event.data == 3:
                raise KeyboardInterrupt
            if kind == "nest" and event.data in (1, 2):
                bus.publish(B, event.data - 1)
            if kind == "end another" and self.tokens:
                self.seen.append(self.tokens[-1]())
            if kind == "pause another" and self.tokens:
                self.tokens[0].pause()
            return later(event) if kind == "coroutine" else None

        async def later(event: Event[Any]) -> None:
            await asyncio.sleep(0)
            self.seen.append((number, "later", event.id))
            if kind == "wait and fail" or event.data == 2:
                raise ValueError("late")

        async def wait(event: Event[Any]) -> None:
            act(event)
            await later(event)

        return wait if kind.startswith("wait") else act

    def middleware(self, bus: EventBus, kind: str) -> Callable[[Event[Any]], Any]:
        def process(event: Event[Any]) -> Any:
            self.seen.append((kind, *fields(event).values()))
            if kind == "change" and event.data:
                return event.replace(source="x", data=0)
            if kind == "drop some" and event.type is C:
                return None
            if kind == "raise some" and event.data == 2:
                raise LookupError
            if kind == "return text" and event.data == 1:
                return "text"
            if kind == "note in place":
                event.metadata["noted"] = event.type_name
            if kind == "switch another":
                self.entries[-1].enabled = not self.entries[-1].enabled
            if kind == "publish" and event.type is A:
                bus.publish(C)
            return event

        return process

    async def play(self, script: list[Any]) -> None:
        for number, (what, *details) in enumerate(script):
            try:
                self.seen.append(await self.carry_out(number, what, *details))
            except (Exception, KeyboardInterrupt) as error:
                self.seen.append((type(error), str(error), [str(one) for one in getattr(error, "exceptions", ())]))
            for _ in range(4):  # what was started in the background goes on
                await asyncio.sleep(0)

    async def carry_out(self, number: int, what: str, *details: Any) -> Any:
        if what == "subscribe":
            place, of, kind, options, where = details
            bus = self.buses[place]
            conditions = {"odd": lambda event: event.data in (1, 3), "fail": lambda event: 1 // (event.data != 0)}
            handler = self.handler(bus, kind, number)
            token = bus.subscribe(of, handler, where=conditions.get(where), **options)
            self.tokens.append(token)
        elif what in {"unsubscribe", "pause", "resume"}:
            return getattr(self.tokens[details[0]], what)() if details[0] < len(self.tokens) else None
        elif what == "add middleware":
            bus = self.buses[details[0]]
            self.entries.append(bus.add_middleware(self.middleware(bus, details[1])))
        elif what == "switch":
            if details[0] < len(self.entries):
                self.entries[details[0]].enabled = details[1]
        elif what == "close":
            self.buses[details[0]].close()
        elif what == "publish":
            return self.buses[details[0]].publish(*details[1:])
        elif what == "publish_async":
            return await self.buses[details[0]].publish_async(*details[1:])
        elif what == "emit":
            return self.buses[details[0]].emit(Event(*details[1:], id=f"emitted {details[2]}", timestamp=5.0))
        elif what == "send":
            event = Event(*details[1:], id="sent", timestamp=5.0)
            results = [result for _, result in self.buses[details[0]].get_signal(details[1]).send(event)]
            for one in results:
                if asyncio.iscoroutine(one):
                    one.close()
            return [type(one) for one in results]
        elif what == "hold":
            with self.buses[details[0]].paused():
                self.buses[details[0]].publish(*details[1:])
                self.seen.append("held")
        return None

    def observe(self) -> list[Any]:
        """Return everything that a user can see of the buses afterwards."""
        found: list[Any] = [*self.seen]
        for bus in self.buses:
            found += [
                [*map(fields, bus.history)],
                bus.stats(),
                repr(bus),
                bus.closed,
                [repr(one) for one in bus.middleware],
            ]
            found += [[repr(token) for token in bus.subscriptions()], [repr(token) for token in bus.departed()]]
            found += [str(bus.explain(of)) for of in (A, B, C)]
            found += [entry.stats[:5] for entry in bus.middleware]
        found += [(token.calls, token.errors, token.last_error, token.active, token.paused) for token in self.tokens]
        return found


def fields(event: Event[Any]) -> dict[str, Any]:
    """Return the fields of an event as they are now; of the report of an error without its traceback.

    That shows every frame, and so the one that a recording puts around a handler.
    """
    values = {name: copy.copy(getattr(event, name)) for name in event.__struct_fields__}
    if isinstance(event.data, dict):
        del values["data"]["traceback"]
    return values


def play(script: list[Any], nested: str, on_error: str, record: Callable[[Player], list[Recording]]) -> Any:
    async def main() -> Any:
        player = Player(nested, on_error)
        runs = record(player)
        await player.play(script)
        for bus in player.buses:
            await bus.join()
        for run in runs:
            run.stop()
        return player, runs

    return asyncio.run(main())


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(step, max_size=25),
    st.sampled_from(["immediate", "queued"]),
    st.sampled_from(["event", "raise"]),
    st.booleans(),
)
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_a_recording_changes_nothing(script, nested, on_error, twice):
    """The same script with and without: calls, order, results, errors, history, statistics and explanations agree.

    And the recording agrees with the script: a row for each call, with the number of its event, on each bus.
    """

    def record(player: Player) -> list[Recording]:
        return [player.buses[0].record(f"{n}").start() for n in range(1 + twice)]

    bare, _ = play(script, nested, on_error, lambda player: [])
    recorded, runs = play(script, nested, on_error, record)
    assert recorded.observe() == bare.observe()
    for run in runs:
        frame = run.deliveries
        called = frame[
            frame["error_type"].isna() | ~frame["error_type"].isin(["PayloadTypeError", "ZeroDivisionError"])
        ]
        called = called[called["outcome"] != "skipped"]
        rows = Counter(zip(called["scope"], called["seq"], strict=True))
        assert rows == Counter(recorded.calls)
        accepted = [Counter(event.id for event in bus.history) for bus in recorded.buses]
        assert Counter(run.events["event_id"]) == accepted[0] | accepted[1] | accepted[2]
        root = set(accepted[0]) - set(accepted[1]) - set(accepted[2])
        assert [one for one in run.events["event_id"] if one in root] == [
            event.id for event in recorded.buses[0].history if event.id in root
        ]
        assert run.not_kept == (0, 0, 0)


# The model of a bus, recorded


class RecordedBusMachine(BusMachine):
    """The bus of the model is recorded from the start; the rows are held to the model at the end."""

    @initialize()
    def make(self) -> None:
        super().make()
        self.run = self.buses[0].record(limit=10_000).start()

    def teardown(self) -> None:
        try:
            if hasattr(self, "run"):
                self.check_rows()
        finally:
            super().teardown()

    def check_rows(self) -> None:
        frame = self.run.deliveries
        called = frame[(frame["outcome"] != "skipped") & (frame["type"] != "HANDLER_ERROR")]
        assert called["type"].tolist() == [of.name for _, of, _ in self.expected]
        assert (called["outcome"] == "error").sum() == sum(member.errors for member in self.members)
        assert called.groupby("scope", observed=True).size().sum() == sum(member.calls for member in self.members)
        root = [event.id for event in self.buses[0].history]
        assert [one for one in self.run.events["event_id"] if one in set(root)] == root
        only_there = {event.id for event in self.buses[1].history} - set(root)
        assert set(self.run.events["event_id"]) - set(root) == only_there
        steps = self.run.middleware["action"].value_counts()
        filters = [*self.entries[0], *self.entries[1], *self.removed]
        assert steps.sum() == sum(made.seen for made in filters)
        assert steps["dropped"] == sum(made.dropped for made in filters)
        assert self.run.not_kept == (0, 0, 0)


TestRecordedBusMachine = RecordedBusMachine.TestCase
TestRecordedBusMachine.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
