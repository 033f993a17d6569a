"""Versions are made by events and commits, stay as they are, share what is the same, and tell their cause."""

from __future__ import annotations

import threading
import tracemalloc
from dataclasses import dataclass
from functools import reduce
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_lab import BusClosedError, Event, EventBus, EventType
from atlas_lab.patterns import ReducerError, Versioned, VersionedState, differences, freeze

CHUNK, STARTED = EventType.STREAM_CHUNK, EventType.STREAM_STARTED


def put(state, event):
    key, value = event.data
    return state.set(key, value)


def test_events_make_versions_that_tell_their_cause():
    """Each event that changes the state makes a version, and a STATE_VERSIONED event that is its child."""
    bus = EventBus(clock=count(100.0).__next__)
    gates = VersionedState(bus, {}, {CHUNK: put}, name="gates")
    first = bus.publish(CHUNK, ("a", 1))
    bus.publish(STARTED)
    second = bus.publish(CHUNK, ("b", 2))
    bus.publish(CHUNK, ("b", 2))  # changes nothing
    assert [(one.number, one.parent, one.cause, one.cause_type) for one in gates.log()] == [
        (2, 1, second, "STREAM_CHUNK"), (1, 0, first, "STREAM_CHUNK"), (0, None, None, None),
    ]  # fmt: skip
    told = bus.history["STATE_VERSIONED"]
    assert [event.parent_id for event in told] == [first, second]
    assert told[1].data == Versioned("gates", 2, 1, "main", "STREAM_CHUNK", 4, second, "STREAM_CHUNK")
    assert told[0].source == "gates"
    assert told[0].timestamp == gates.at(1).timestamp == bus.history[0].timestamp


def test_versions_of_another_state_are_refused():
    """Their numbers would name another version here."""
    mine, other = (VersionedState(EventBus(), {"n": 0}, name=name) for name in ("mine", "other"))
    for state in (mine, other):
        state.commit({"n": state.name}, "named")
    assert mine.revert(mine.head).state == {"n": "mine"}
    for call in (mine.diff, mine.revert, lambda version: mine.branch("b", at=version)):
        with pytest.raises(LookupError, match="this version 1, 'named', is none of mine"):
            call(other.head)
    assert mine.branches == {"main": 2}


def test_a_bus_that_is_closed_leaves_the_versions_as_they_are():
    """No version is made that could not be told, and all can be read."""
    bus = EventBus()
    state = VersionedState(bus, {"n": 0})
    state.commit({"n": 1})
    bus.close()
    for call in (lambda: state.commit({"n": 2}), lambda: state.revert(0)):
        with pytest.raises(BusClosedError, match="could not tell of a version; state can still be read"):
            call()
    assert (state.head.number, state.state, state.at(0).state) == (1, {"n": 1}, {"n": 0})


def test_at_finds_versions_by_number_time_and_event():
    """The state at any time is that of the newest version then."""
    bus = EventBus(clock=count(100.0).__next__)
    gates = VersionedState(bus, {}, {CHUNK: put}, clock=lambda: 50.0)
    for n in range(3):
        bus.publish(CHUNK, ("n", n))
        bus.publish(STARTED)
    times = [one.timestamp for one in reversed(gates.log())]
    assert gates.at(2).state == {"n": 1}
    assert [gates.at(time=one).number for one in times] == [0, 1, 2, 3]
    assert gates.at(time=times[2] - 0.5).number == 1
    assert gates.at(time=0.0).number == 0
    seqs = [one.seq for one in reversed(gates.log())]
    assert [gates.at(seq=one).number for one in seqs] == [0, 1, 2, 3]
    assert gates.at(seq=seqs[3] - 1).number == 2
    for bad in ({}, {"version": 1, "seq": 1}):
        with pytest.raises(TypeError, match="at takes one of version, time and seq"):
            gates.at(**bad)
    with pytest.raises(LookupError, match="no version 9; there are 0 to 3"):
        gates.at(9)
    with pytest.raises(TypeError, match="version must be"):
        gates.at("2")


def test_commit_diff_revert_and_branch():
    """A branch leaves the one that it comes from alone; a revert keeps what came between."""
    bus = EventBus()
    plan = VersionedState(bus, {"open": True, "gates": ["A1", "A2"]}, name="plan")
    closed = plan.commit(plan.state.set("open", False), "storm")
    assert [str(one) for one in plan.diff(0)] == ["open: True -> False"]
    what_if = plan.branch("what-if", at=0)
    what_if.commit(lambda state: state.set("gates", state["gates"].append("A3")), "build")
    assert plan.state is closed.state
    assert plan.branches == {"main": 1, "what-if": 2}
    assert [one.number for one in what_if.log()] == [2, 0]
    assert [str(one) for one in plan.diff(1, 2)] == ["gates.2: added 'A3'", "open: False -> True"]
    again = plan.revert(0)
    assert again.state is plan.at(0).state
    assert [(one.number, one.message, one.restores) for one in plan.log()] == [
        (3, "back to version 0", 0), (1, "storm", None), (0, "initial", None),
    ]  # fmt: skip
    assert [event.data.version for event in bus.history["STATE_VERSIONED"]] == [1, 2, 3]
    assert plan.frame()["parent"].tolist()[1:] == [0, 0, 1]
    assert set(plan.frame()) == set(type(again).__struct_fields__) - {"state"}
    with pytest.raises(ValueError, match="there is a branch 'main' already; branches: main, what-if"):
        plan.branch("main")


def test_a_commit_inside_a_handler_or_with_a_cause_is_its_child():
    """Manual commits take part in causality too."""
    bus = EventBus()
    plan = VersionedState(bus, 0)
    bus.subscribe(STARTED, lambda event: plan.commit(1))
    handled = bus.publish(STARTED)
    named = Event(CHUNK)
    assert plan.commit(2, cause=named).cause == named.id
    assert [event.parent_id for event in bus.history["STATE_VERSIONED"]] == [handled, named.id]


def test_versions_share_what_did_not_change():
    """Two hundred versions of twenty thousand entries take a small part of what as many copies take."""
    bus = EventBus(history_limit=0)
    big = VersionedState(bus, {"rows": dict.fromkeys(range(20_000), 0), "rest": {"x": 1}})
    tracemalloc.start()
    try:
        for n in range(200):
            big.commit(big.state.set("rows", big.state["rows"].set(n, n)))
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    one_copy = 20_000 * 8
    assert grown < 10 * one_copy
    assert big.at(200).state["rest"] is big.at(0).state["rest"]
    assert (big.at(0).state["rows"][199], big.at(200).state["rows"][199]) == (0, 199)
    assert [str(change) for change in big.diff(199, 200)] == ["rows.199: 0 -> 199"]


def test_versions_cannot_be_changed():
    """Neither a version nor what is in it, plain containers included."""
    plan = VersionedState(EventBus(), {"gates": ["A1"], "tags": {"x"}})
    with pytest.raises(AttributeError):
        plan.head.state = {}
    with pytest.raises(TypeError):
        plan.state["gates"] = []
    with pytest.raises(TypeError):
        plan.state["gates"][0] = "A2"
    assert not hasattr(plan.state["tags"], "__ior__") or plan.state["tags"] == {"x"}


operations = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=30)


@settings(max_examples=60, deadline=None)
@given(operations, st.data())
def test_every_version_is_what_was_committed_and_diffs_lead_from_one_to_another(story, data):
    """Whatever is published, version n is the plain fold of the first n changes, and a diff tells all of it."""
    bus = EventBus()
    board = VersionedState(bus, {}, {CHUNK: put})
    for key_value in story:
        bus.publish(CHUNK, key_value)
    states = [{}]
    for key, value in story:
        if states[-1].get(key, None) != value:
            states.append(states[-1] | {key: value})
    assert [one.state for one in reversed(board.log())] == states
    before, after = (data.draw(st.integers(0, len(states) - 1)) for _ in range(2))
    rebuilt = reduce(applied, board.diff(before, after), states[before])
    assert rebuilt == states[after]


def applied(state, change):
    rest = {key: value for key, value in state.items() if key != change.path[0]}
    return rest if change.kind == "removed" else rest | {change.path[0]: change.after}


def test_a_reducer_that_fails_leaves_the_last_good_version():
    """The failure is told in events with its cause; what came after waits for resume."""
    bus = EventBus()
    gates = VersionedState(bus, {}, {CHUNK: put}, name="gates")
    bus.publish(CHUNK, ("a", 1))
    bad = bus.publish(CHUNK, "xyz")
    bus.publish(CHUNK, ("b", 2))
    assert gates.head.number == 1
    assert gates.pending == 2
    told = bus.history["STATE_VERSIONED"][-1]
    assert (told.parent_id, told.data.version, told.data.error) == (bad, 1, str(gates.failure))
    assert bus.history["HANDLER_ERROR"][0].data["event_id"] == bad
    assert "2 events wait" in repr(gates)
    gates.resume(skip=True)
    assert (gates.state, gates.failure) == ({"a": 1, "b": 2}, None)
    bus.publish(CHUNK, "xyz")
    gates.resume({CHUNK: lambda state, event: state.set("last", event.data)})
    assert gates.state["last"] == "xyz"
    with pytest.raises(ReducerError, match="gates: reducer put raised ValueError"):
        VersionedState(bus, {}, {CHUNK: put}, name="gates")


def test_commits_from_threads_lose_nothing():
    """A commit given as a function is made of the state that it replaces."""
    bus = EventBus(history_limit=None)
    counter = VersionedState(bus, 0)

    def work():
        for _ in range(100):
            counter.commit(lambda n: n + 1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.state == 400
    assert sorted(event.data.version for event in bus.history["STATE_VERSIONED"]) == list(range(1, 401))


def test_closing_stops_events_and_not_commits():
    """After close, events make no versions; calling it again does nothing."""
    bus = EventBus()
    with VersionedState(bus, {}, {CHUNK: put}) as gates:
        bus.publish(CHUNK, ("a", 1))
    gates.close()
    bus.publish(CHUNK, ("a", 2))
    assert gates.state == {"a": 1}
    assert bus.subscriptions() == []
    assert gates.commit({"a": 3}).number == 2


@dataclass(frozen=True)
class Gate:
    name: str
    plane: str | None


def test_differences_go_as_deep_as_what_tells_them_apart():
    """Keys, indices, members and fields; anything else as a whole."""
    before = freeze({"g": Gate("A1", None), "s": {1, 2}, "l": [1, 2, 3], "t": "abc", 5: 0})
    after = freeze({"g": Gate("A1", "N1"), "s": {2, 3}, "l": [1, 2], "t": "abd", "new": {}})
    assert sorted(map(str, differences(before, after))) == [
        "5: removed 0",
        "g.plane: None -> 'N1'",
        "l.2: removed 3",
        "new: added pmap({})",
        "s.1: removed 1",
        "s.3: added 3",
        "t: 'abc' -> 'abd'",
    ]
    assert differences(1, 2)[0].path == ()
    assert str(differences(1, 2)[0]) == "state: 1 -> 2"
    assert differences({"a": [1]}, {"a": [1]}) == ()


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: VersionedState(None, {}), TypeError, "bus must be an EventBus"),
        (lambda: VersionedState(EventBus(), {}, {}), ValueError, "reducers is empty"),
        (lambda: VersionedState(EventBus(), {}, name=1), TypeError, "name must be a str, got 1"),
        (lambda: VersionedState(EventBus(), {}, clock=1), TypeError, "clock must be callable"),
        (lambda: VersionedState(EventBus(), 0).commit(1, 2), TypeError, "message must be a str"),
        (lambda: VersionedState(EventBus(), 0).commit(1, cause="x"), TypeError, "cause must be an Event"),
        (lambda: VersionedState(EventBus(), 0).branch(2), TypeError, "name must be a str, got 2"),
        (lambda: VersionedState(EventBus(), 0).revert(5), LookupError, "no version 5"),
        (lambda: VersionedState(EventBus(), 0).branch(""), ValueError, "name is empty"),
        (lambda: VersionedState(EventBus(), 0).at(time="noon"), TypeError, "time must be a number, got 'noon'"),
        (lambda: VersionedState(EventBus(), 0).at(seq="1"), TypeError, "seq must be a number, got '1'"),
    ],
)
def test_bad_arguments_are_refused(call, error, message):
    """Each error names the argument."""
    with pytest.raises(error, match=message):
        call()
