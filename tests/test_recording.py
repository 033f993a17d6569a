"""A recording: beginning and end, scopes, limits, and that nothing else changes."""

from __future__ import annotations

import asyncio
import copy
import gc
import logging
import pickle
import subprocess
import sys
import weakref
from typing import Any

import pytest

import atlas_lab
from atlas_lab import (
    BusClosedError,
    Event,
    EventBus,
    Recording,
    ScopedEventBus,
)
from atlas_lab.testing.contract.forking import in_child
from atlas_lab.testing.contract.threads import check_usable, interrupt_at
from atlas_lab.testing.contract.workers import in_thread, in_threads, many_switches, no_finalizers
from tests.recordings import A, B, C, both_ways, calls, publish, recorded


@pytest.fixture(autouse=True)
def quiet():
    """The errors of handlers that are made here are not for the log."""
    logger = logging.getLogger("atlas_lab")
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(logging.NOTSET)


# Beginning and end


def test_a_recording_can_be_started_and_stopped_by_hand():
    """Starting returns it; only what comes in between is recorded; stopping twice is no error."""
    bus = EventBus()
    bus.subscribe(A, lambda event: None)
    run = bus.record()
    assert not run.on
    bus.publish(A)
    assert run.start() is run
    assert run.on
    bus.publish(A)
    run.stop()
    assert not run.on
    run.stop()
    bus.publish(A)
    assert run.deliveries["seq"].tolist() == run.events["seq"].tolist() == [2]


@pytest.mark.parametrize("stopped", [False, True])
def test_a_recording_is_started_once(stopped):
    """A second start is an error that says what to do, and leaves the recording as it was."""
    bus = EventBus()
    run = bus.record("mine").start()
    bus.publish(A)
    if stopped:
        run.stop()
    with pytest.raises(RuntimeError, match=r"'mine' was started before; make another with bus\.record\(\)"):
        run.start()
    assert run.on is not stopped
    bus.publish(A)
    assert len(run.events) == (1 if stopped else 2)


def test_one_of_many_threads_starts_a_recording():
    """Of threads that start one recording at once, one does, and everything is recorded once."""
    with many_switches():
        for _ in range(30):
            bus = EventBus()
            run = bus.record()

            def start(run: Recording = run) -> bool:
                try:
                    return run.start().on
                except RuntimeError:
                    return False

            assert sorted(in_threads(*[start] * 4)) == [False] * 3 + [True]
            bus.publish(A)
            assert len(run._tape.own) == 1


def test_an_event_in_flight_when_a_recording_begins_is_not_recorded():
    """Neither the call that starts it nor the ones after it; what it publishes from then on is."""
    bus = EventBus()
    run = bus.record()
    bus.subscribe(A, lambda event: (run.start(), bus.publish(B)), name="begin")
    bus.subscribe(None, lambda event: None, name="all")
    bus.publish(A)
    assert calls(run, "type", "handler") == [("AGENT_TASK_ASSIGNED", "all")]


@both_ways
def test_an_event_in_flight_when_a_recording_ends_is_recorded_to_its_end(way):
    """Its later handlers have their rows as well; what is published after the end has none."""
    bus = EventBus()
    run = bus.record().start()
    bus.subscribe(A, lambda event: (run.stop(), bus.publish(B)), name="end")
    bus.subscribe(None, lambda event: None, name="all")
    publish(bus, way)
    assert calls(run) == [("end", "ok"), ("all", "ok")]


def test_two_recordings_at_once_are_apart():
    """Each records all of its own time, whichever began first, and ending one leaves the other on."""
    bus = EventBus()
    bus.subscribe(A, lambda event: 1 // event.data, name="it")
    bus.add_middleware(lambda event: event.replace(source="x"), name="stamp")
    outer = bus.record("outer").start()
    bus.publish(A, 1)
    with bus.record("inner") as inner:
        bus.publish(A, 0)
        inside = bus.record("inside").start()
        bus.publish(A, 1)
    bus.publish(A, 1)
    outer.stop()
    bus.publish(A, 1)
    inside.stop()
    seqs = {run.name: run.deliveries["seq"].tolist() for run in (outer, inner, inside)}
    assert seqs == {"outer": [1, 2, 4, 5], "inner": [2, 4], "inside": [4, 5, 6]}
    assert [len(run.middleware) for run in (outer, inner, inside)] == [5, 3, 3]
    assert [len(run.events) for run in (outer, inner, inside)] == [5, 3, 3]
    assert inner.deliveries["outcome"].tolist() == ["error", "ok"]
    assert bus._signals.recorders == bus._pipeline.recorders == ()


def test_a_bus_may_be_closed_while_it_is_recorded():
    """What was recorded stays readable, the recording is off, and stopping it is no error."""
    with EventBus() as bus:
        bus.subscribe(A, lambda event: None)
        run = bus.record().start()
        bus.publish(A)
    assert not run.on
    assert len(run.deliveries) == len(run.events) == 1
    run.stop()
    assert bus._signals.recorders == ()


def test_a_bus_that_is_closed_or_gone_is_not_recorded():
    """The error comes at the start, and the bus is not kept alive by a recording, on or off."""
    bus = EventBus(name="short")
    run = bus.record()
    bus.close()
    with pytest.raises(BusClosedError, match="closed"):
        run.start()
    bus = EventBus(name="short")
    on, off = bus.record().start(), bus.record()
    bus.publish(A)
    reference = weakref.ref(bus)
    del bus
    gc.collect()
    assert reference() is None
    assert (on.on, len(on.events)) == (False, 1)
    on.stop()
    with pytest.raises(BusClosedError, match="bus of recording 'short' is gone"):
        off.start()


# Scopes


def rows_by_bus(run: Recording) -> list[tuple[Any, ...]]:
    return calls(run, "scope", "handler")


@pytest.fixture
def tree():
    """A bus with a scope that has a scope, and one handler for everything on each."""
    bus = EventBus(name="run")
    agent = ScopedEventBus(bus, "agent")
    tool = ScopedEventBus(agent, "tool")
    for one in (bus, agent, tool):
        one.subscribe(None, lambda event: None, name="it")
    return bus, agent, tool


def test_scopes_are_recorded_with_their_parent(tree):
    """Each bus that an event comes to has its rows; the event stands there once, as the outermost one had it."""
    bus, agent, tool = tree
    with bus.record() as run:
        tool.publish(A)
        bus.publish(B)
        agent.publish(C)
    assert rows_by_bus(run) == [
        ("run/agent/tool", "it"), ("run/agent", "it"), ("run", "it"),
        ("run", "it"),
        ("run/agent", "it"), ("run", "it"),
    ]  # fmt: skip
    assert run.events[["seq", "type", "scope"]].to_numpy().tolist() == [
        [1, "AGENT_STARTED", "run/agent/tool"],
        [2, "AGENT_TASK_ASSIGNED", "run"],
        [3, "AGENT_STOPPED", "run/agent"],
    ]


def test_scopes_made_meanwhile_are_recorded(tree):
    """Also a scope of a scope, and only until the recording ends."""
    bus, agent, _ = tree
    with bus.record() as run:
        late = ScopedEventBus(agent, "late")
        late.subscribe(A, lambda event: None, name="late")
        later = ScopedEventBus(late, "later")
        later.subscribe(A, lambda event: None, name="later")
        later.publish(A)
    last = ScopedEventBus(agent, "last")
    last.publish(A)
    late.publish(A)
    assert calls(run, "handler", "scope") == [
        ("later", "run/agent/late/later"), ("late", "run/agent/late"), ("it", "run/agent"), ("it", "run"),
    ]  # fmt: skip
    assert last._signals.recorders == late._signals.recorders == ()


def test_scopes_can_be_left_out(tree):
    """With scopes=False only the bus itself is recorded, also of what its scopes pass on to it."""
    bus, agent, tool = tree
    with bus.record(scopes=False) as run:
        made = ScopedEventBus(bus, "made")
        for one in (tool, made):
            one.publish(A)
    assert rows_by_bus(run) == [("run", "it")] * 2
    assert len(run.events) == 2
    assert agent._signals.recorders == made._signals.recorders == ()


def test_a_scope_can_be_recorded_alone(tree):
    """Recording a scope records it and those below it, not the parent."""
    bus, agent, tool = tree
    with agent.record() as run:
        tool.publish(A)
        bus.publish(B)
    assert run.name == "run/agent"
    assert rows_by_bus(run) == [("run/agent/tool", "it"), ("run/agent", "it")]
    assert run.events["seq"].tolist() == [1]


def test_what_did_not_reach_the_bus_stands_where_it_happened(tree):
    """Events of scopes that do not propagate, or that a middleware of the parent dropped, are among the others."""
    bus, agent, tool = tree
    lonely = ScopedEventBus(bus, "lonely", propagate=False)
    bus.add_middleware(lambda event: None if event.data == "dropped" else event)
    with bus.record() as run:
        bus.publish(A, 1)
        lonely.publish(A, 2)
        tool.publish(A, "dropped")
        lonely.publish(A, 3)
        agent.publish(A, 4)
        lonely.publish(A, 5)
    assert run.events["data"].tolist() == [1, 2, "dropped", 3, 4, 5]
    assert run.events["scope"].tolist() == [
        "run", "run/lonely", "run/agent/tool", "run/lonely", "run/agent", "run/lonely",
    ]  # fmt: skip
    assert run.events["seq"].tolist() == [1, 1, 1, 2, 2, 3]


def test_what_the_parent_made_of_an_event_stands_for_it():
    """A middleware of the parent that changes an event of a scope: the frame shows what reached the bus."""
    bus = EventBus(name="run")
    scope = ScopedEventBus(bus, "scope")
    bus.add_middleware(lambda event: event.replace(data="changed"))
    with bus.record() as run:
        scope.publish(A, "original")
    assert run.events["data"].tolist() == ["changed"]


def test_an_event_emitted_again_stands_for_each_time():
    """A repeat that the parent's middleware drops is one more event, seen by the scope alone."""
    bus = EventBus(name="run")
    scope = ScopedEventBus(bus, "scope")
    seen: set[str] = set()
    bus.add_middleware(lambda event: None if event.id in seen else (seen.add(event.id), event)[1])
    event = Event(A, "again", scope="elsewhere")
    with bus.record() as run:
        for _ in range(3):
            scope.emit(event)
        bus.publish(B)
    assert run.events["type"].tolist() == ["AGENT_STARTED"] * 3 + ["AGENT_TASK_ASSIGNED"]
    assert run.events["seq"].tolist() == [1, 2, 3, 2]


def test_scopes_are_not_kept_alive():
    """A scope that is dropped while it is recorded is gone from the bus as without a recording; its rows stay."""
    bus = EventBus(name="run")
    with bus.record() as run:
        scope = ScopedEventBus(bus, "short")
        scope.subscribe(A, lambda event: None, name="it")
        scope.publish(A)
        reference = weakref.ref(scope)
        del scope
        gc.collect()
        assert reference() is None and bus.scopes == []
        bus.publish(B)
    assert rows_by_bus(run) == [("run/short", "it")]
    assert run.not_kept == (0, 0, 0)


# Limits


def test_the_limit_keeps_the_latest_and_counts_the_others():
    """Events, deliveries and steps are counted for themselves, exactly."""
    bus = EventBus(history_limit=None)
    for name in ("one", "two"):
        bus.subscribe(A, lambda event: None, name=name)
    bus.add_middleware(lambda event: event)
    with bus.record(limit=10) as run:
        for number in range(1, 31):
            bus.publish(A)
            assert run.not_kept == (max(0, number - 10), max(0, 2 * number - 10), max(0, number - 10))
    assert run.events["seq"].tolist() == list(range(21, 31))
    assert run.deliveries["seq"].tolist() == [seq for seq in range(26, 31) for _ in range(2)]
    assert len(run.middleware) == 10
    assert run.not_kept == atlas_lab.recording.NotKept(events=20, deliveries=50, middleware=20)


def test_what_is_not_kept_is_counted_exactly_with_many_threads():
    """However the threads take turns."""
    bus = EventBus(history_limit=None)
    bus.subscribe(A, lambda event: None)
    bus.subscribe(A, lambda event: event.data or bus.publish(A, 1))
    bus.add_middleware(lambda event: event)
    bus.publish(A)
    with bus.record(limit=5) as run, many_switches():
        in_threads(*[lambda: [bus.publish(A) for _ in range(100)]] * 8)
    assert run.not_kept == (1600 - 5, 3200 - 5, 1600 - 5)
    assert len(run.events) == len(run.deliveries) == len(run.middleware) == 5


def test_events_of_scopes_have_the_limit_for_themselves():
    """What was pushed out of the bus is not shown as if it had been in the scope only."""
    bus = EventBus(name="run")
    scope, lonely = ScopedEventBus(bus, "scope"), ScopedEventBus(bus, "lonely", propagate=False)
    with bus.record(limit=4) as run:
        lonely.publish(A, "old")
        scope.publish(A, "both")
        for number in range(6):
            bus.publish(A, number)
        lonely.publish(A, "new")
    assert run.events["data"].tolist() == [2, 3, 4, 5, "new"]
    assert run.not_kept.events == 7 - 4
    with bus.record(limit=4) as run:
        for number in range(6):
            lonely.publish(A, number)
    assert run.events["data"].tolist() == [2, 3, 4, 5]
    assert run.not_kept.events == 2


def test_a_replayed_event_is_another_attempt():
    """A handler that meets an event again is told by the number of the time, also after it was subscribed anew."""
    bus = EventBus()
    token = bus.subscribe(A, lambda event: None, name="it")
    bus.subscribe(A, lambda event: None, name="other")
    event, once = Event(A), Event(A)
    with bus.record() as run:
        bus.emit(event)
        bus.emit(event)
        token()
        bus.subscribe(A, lambda event: None, name="it")
        bus.subscribe(A, lambda event: None, name="late")
        bus.emit(event)
        bus.emit(once)
    attempts = run.deliveries[run.deliveries["event_id"] == event.id].groupby("handler", observed=True)["attempt"]
    assert attempts.agg(list).to_dict() == {"it": [1, 2, 3], "late": [1], "other": [1, 2, 3]}
    assert run.deliveries[run.deliveries["event_id"] == once.id]["attempt"].tolist() == [1, 1, 1]


# Nothing else changes


def test_send_is_recorded_as_deliveries_alone():
    """What is sent through the Blinker signal is no event of the bus; its receivers have their rows and results."""
    bus = EventBus()
    bus.subscribe(A, lambda event: "result", name="it")
    bus.subscribe(A, lambda event: "never", name="skipped", source="nobody")
    with bus.record() as run:
        results = bus.get_signal(A).send(Event(A))
        bus.subscribe(A, lambda event: 1 // 0, name="fail")
        with pytest.raises(ZeroDivisionError):
            bus.get_signal(A).send(Event(A))
    assert results[0][1] == "result"
    assert calls(run, "seq", "handler", "outcome") == [
        (0, "it", "ok"), (0, "skipped", "skipped"), (0, "it", "ok"), (0, "skipped", "skipped"), (0, "fail", "error"),
    ]  # fmt: skip
    assert len(run.events) == len(bus.history) == 0
    assert bus.stats().calls == 3


def test_a_recording_is_not_in_the_way_of_what_the_bus_tells():
    """It is no subscriber: dead letters stay dead, and subscriptions and explanations know nothing of it."""
    bus = EventBus()
    bus.add_middleware(lambda event: event, name="pass")
    bus.subscribe(B, print, name="it")
    before = str(bus.explain(A)), bus.subscriptions(), repr(bus), str(bus.explain(B))
    with bus.record():
        assert (str(bus.explain(A)), bus.subscriptions(), repr(bus), str(bus.explain(B))) == before
        bus.publish(A)
    assert bus.stats().dead_letters == {"AGENT_STARTED": 1}
    assert bus.stats().calls == 0


def test_nothing_is_left_on_the_bus_afterwards():
    """Once it is over, the bus calls the very functions it called before, and middleware likewise."""
    bus = EventBus(name="run")
    scope = ScopedEventBus(bus, "scope")

    def handle(event: Event[Any]) -> None: ...

    def pass_on(event: Event[Any]) -> Event[Any]:
        return event

    for one in (bus, scope):
        one.subscribe(A, handle)
        one.add_middleware(pass_on)
    with bus.record():
        scope.publish(A)
        wrapped = [*bus.get_signal(A).route.slots, *scope._pipeline.stage.steps]
        assert len(wrapped) == 3 and handle not in wrapped and pass_on not in wrapped
    scope.publish(A)
    for one in (bus, scope):
        assert one.get_signal(A).route.slots == [handle]
        assert one._pipeline.stage.steps == [pass_on]
        assert one._signals.recorders == one._pipeline.recorders == ()


def test_events_are_let_go_with_the_recording():
    """A recording that is over is freed at once when it is dropped, and with it the payloads that only it kept."""

    class Payload: ...

    async def main() -> Any:
        bus = EventBus(history_limit=0)
        bus.subscribe(A, lambda event: None)
        bus.subscribe(A, work)
        with bus.record() as run:
            payload = Payload()
            await bus.publish_async(A, payload)
            reference = weakref.ref(payload)
            del payload
        assert len(run.deliveries) == 2
        gc.collect()
        assert reference() is not None
        gc.disable()
        try:
            del run
            assert reference() is None
        finally:
            gc.enable()

    async def work(event: Event[Any]) -> None: ...

    asyncio.run(main())


def test_starting_and_stopping_while_scopes_are_made_leaves_nothing():
    """Threads that make scopes and threads that record: each bus has one recorder a recording, none in the end."""
    bus = EventBus(name="run", history_limit=None)
    scopes: list[ScopedEventBus] = []
    runs: list[Recording] = []

    def make() -> None:
        for number in range(60):
            scopes.append(ScopedEventBus(bus, f"scope-{number}"))
            scopes[-1].publish(A)

    def record() -> None:
        for _ in range(60):
            with bus.record() as run:
                runs.append(run)
                bus.publish(B)

    with many_switches():
        in_threads(make, make, record, record)
    assert not recorded(bus, *scopes)
    for run in runs:
        assert len({id(event) for _, _, event in run._tape.of_scopes.rows}) == len(run._tape.of_scopes.rows)
        assert len({event.seq for event in run._tape.own}) == len(run._tape.own)


@pytest.mark.parametrize("action", ["start", "stop"])
def test_an_interrupt_while_it_starts_or_stops_leaves_nothing_on_the_bus(action):
    """Wherever Python can notice an interrupt, the bus and its scopes are unrecorded afterwards, and usable."""
    broken: list[str] = []
    kept: list[Any] = []

    def interrupted(number: int) -> bool:
        bus = EventBus(name="run")
        scope = ScopedEventBus(bus, "scope")
        bus.subscribe(A, lambda event: None)
        bus.add_middleware(lambda event: event)
        bus.publish(A)
        run = bus.record()
        kept.extend([bus, scope, run])
        if action == "start":
            point = interrupt_at(number, bus, run.start)
        else:
            run.start()
            bus.publish(A)
            point = interrupt_at(number, bus, run.stop)
        not_begun = action == "stop" and number == 1  # interrupted before its first line, as if it was not called
        if point is not None and not not_begun and (run.on or recorded(bus, scope)):
            broken.append(f"left behind: {point}")
        run.stop()
        if recorded(bus, scope):
            broken.append(f"stopping again left it behind: {point}")
        try:
            check_usable(bus)
        except BaseException as error:
            broken.append(f"{type(error).__name__} {error}: {point}")
        return point is not None

    with no_finalizers():
        number = 1
        while interrupted(number):
            number += 1
    assert broken == []
    assert number > 10


@pytest.mark.skipif(not hasattr(atlas_lab.forks.os, "fork"), reason="this system has no os.fork")
def test_a_recording_goes_on_in_a_forked_child():
    """The child records for itself; neither hangs on the other."""
    bus = EventBus()
    bus.subscribe(A, lambda event: None)
    run = bus.record().start()
    bus.publish(A)

    def child() -> list[int]:
        bus.publish(A)
        in_thread(bus.publish, A)
        run.stop()
        bus.publish(A)
        with bus.record() as another:
            bus.publish(A)
        return [*run.deliveries["seq"].tolist(), len(run.events), another.not_kept.deliveries, len(another.events)]

    assert in_child(child) == [1, 2, 3, 3, 0, 1]
    assert run.on
    bus.publish(A)
    assert run.deliveries["seq"].tolist() == [1, 2]


# What it tells of itself


def test_repr_counts_what_is_there():
    """Name, whether it is on, and how much of each there is and was."""
    bus = EventBus(name="run")
    scope = ScopedEventBus(bus, "scope", propagate=False)
    bus.subscribe(A, lambda event: None)
    bus.add_middleware(lambda event: event)
    run = bus.record("mine", limit=2)
    assert repr(run) == "<Recording 'mine': 0 events, 0 deliveries, 0 middleware steps>"
    run.start()
    bus.publish(A)
    assert repr(run) == "<Recording 'mine', on: 1 event, 1 delivery, 1 middleware step>"
    scope.publish(A)
    bus.publish(A)
    assert repr(run) == "<Recording 'mine', on: 3 events, 2 deliveries, 2 middleware steps>"
    bus.publish(A)
    run.stop()
    assert repr(run) == "<Recording 'mine': 3 events, 2 deliveries, 2 middleware steps, 3 not kept (limit 2)>"


@pytest.mark.parametrize(
    "bus, given, name",
    [
        (EventBus(), None, "run"),
        (EventBus(name="lab"), None, "lab"),
        (EventBus(name="lab"), "mine", "mine"),
        (ScopedEventBus(EventBus(name="lab"), "agent"), None, "lab/agent"),
    ],
)
def test_the_name_is_given_or_that_of_the_bus(bus, given, name):
    """It fills the run column of every frame."""
    bus.subscribe(A, lambda event: None)
    bus.add_middleware(lambda event: event)
    with bus.record(given) as run:
        bus.publish(A)
    assert run.name == name
    assert [frame["run"].tolist() for frame in (run.events, run.deliveries, run.middleware)] == [[name]] * 3


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"name": 5}, TypeError, "name must be a str or None, got int 5"),
        ({"limit": 0}, ValueError, "limit must be 1 or more, got 0"),
        ({"limit": None}, TypeError, "limit must be an int of 1 or more, got NoneType None"),
        ({"limit": True}, TypeError, "limit must be an int of 1 or more, got bool True"),
        ({"scopes": 1}, TypeError, "scopes must be True or False, got int 1"),
    ],
)
def test_wrong_arguments_are_refused(options, error, message):
    """The message names the argument, what came and what is expected."""
    with pytest.raises(error, match=message):
        EventBus().record(**options)


def test_only_a_bus_can_be_recorded():
    """`Recording` is public; made of anything else it says what it needs."""
    with pytest.raises(TypeError, match=r"bus must be an EventBus, got list \[\]"):
        Recording([])
    assert isinstance(EventBus().record(), Recording)


@pytest.mark.parametrize("use", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_recording_is_not_copied(use):
    """What it holds belongs to one bus and one process; its frames can be saved."""
    with pytest.raises(TypeError, match="frames"):
        use(EventBus().record())


def test_it_can_be_read_while_it_is_on():
    """Reading takes what is there, in the midst of a call as well."""
    bus, read = EventBus(), []
    run = bus.record().start()
    bus.subscribe(A, lambda event: read.append((len(run.deliveries), len(run.events), repr(run))))
    bus.publish(A)
    bus.publish(A)
    assert [row[:2] for row in read] == [(0, 1), (1, 2)]
    assert len(run.deliveries) == 2


def test_importing_pandas_is_left_to_who_reads():
    """Recording works where pandas is not installed, and says what is missing when a frame is asked for."""
    program = """
import sys
sys.modules["pandas"] = None
from atlas_lab import EventBus, EventType, MissingExtraError
bus = EventBus()
bus.subscribe(EventType.AGENT_STARTED, lambda event: None)
with bus.record() as run:
    bus.publish(EventType.AGENT_STARTED)
print(run)
for name in ("events", "deliveries", "middleware"):
    try:
        getattr(run, name)
    except MissingExtraError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "<Recording 'run': 1 event, 1 delivery, 0 middleware steps>",
        *["pandas is not installed; run: pip install 'atlas_lab[lab]'"] * 3,
    ]
