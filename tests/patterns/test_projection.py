"""A projection is the plain fold of the history: live, from any source, at any time, and after a failure."""

from __future__ import annotations

import threading
from enum import Enum
from functools import reduce

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_lab import Event, EventBus, EventType, HandlerErrors, ScopedEventBus, to_frame
from atlas_lab.patterns import Projected, Projection, ReducerError, Snapshot

CHUNK, STARTED, COMPLETED = EventType.STREAM_CHUNK, EventType.STREAM_STARTED, EventType.STREAM_COMPLETED


class Order(Enum):
    PLACED = 1


def trail(state, event):
    """Tell apart every order: not commutative, not associative."""
    return (hash((state, event.data)) % 1_000_003, event.data)


def count(state, event):
    return state.set(event.data, state.get(event.data, 0) + 1)


def note(state, event):
    return (*state, event.data)


def published(*words, bus=None):
    bus = bus or EventBus()
    for word in words:
        bus.publish(CHUNK, word)
    return bus


histories = st.lists(
    st.tuples(st.sampled_from([CHUNK, STARTED, COMPLETED, Order.PLACED]), st.integers(0, 9)), max_size=60
)


@settings(max_examples=60, deadline=None)
@given(histories, st.integers(1, 9), st.integers(0, 60))
def test_several_projections_agree_with_a_plain_fold(story, every, cut):
    """Live, over a history, a list and a frame, from a snapshot and at any time, the state is that of a plain fold."""
    reducers = {CHUNK: trail, Order.PLACED: trail}
    bus = EventBus(history_limit=None)
    live = Projection((0, None), reducers, snapshot_every=every).follow(bus, announce=False)
    counts = Projection({}, {STARTED: count}, snapshot_every=every).follow(bus, announce=False)
    for event_type, data in story:
        bus.publish(event_type, data)
    events = list(bus.history)
    mine = [event for event in events if event.type in reducers]
    states = {
        seq: reduce(trail, [event for event in mine if event.seq <= seq], (0, None)) for seq in range(len(events) + 1)
    }
    assert live.state == states[len(events)]
    assert {seq: live.at(seq) for seq in states} == states
    assert counts.state == {n: k for n in range(10) if (k := sum(e.type is STARTED and e.data == n for e in events))}
    for source in (bus, bus.history, events, events[::-1], to_frame(events), iter(events)):
        assert Projection((0, None), reducers).fold(source).state == live.state
    early = Projection((0, None), reducers).fold(events[:cut])
    assert Projection(None, reducers, start=early.snapshot()).fold(bus).state == live.state
    assert early.fold(bus).state == live.state
    assert [state for _, state in live.steps()] == [states[event.seq] for event in mine]


@pytest.mark.parametrize("nested", ["immediate", "queued"])
def test_a_handler_that_publishes_does_not_turn_the_order_round(nested):
    """A handler called before the projection publishes; the state is still that of the history's order."""
    bus = EventBus(nested=nested)
    bus.subscribe(CHUNK, lambda event: bus.publish(CHUNK, event.data - 1) if event.data else None)
    live = Projection((), {CHUNK: note}).follow(bus, announce=False)
    bus.publish(CHUNK, 3)
    bus.publish(CHUNK, 1)
    assert live.state == (3, 2, 1, 0, 1, 0)


def test_threads_that_publish_at_once_give_the_state_of_the_history():
    """With four threads publishing, each event is folded once, in the order of the history."""
    bus = EventBus(history_limit=None)
    live = Projection((), {CHUNK: note}).follow(bus)
    threads = [threading.Thread(target=published, args=range(k, k + 200), kwargs={"bus": bus}) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert live.state == tuple(event.data for event in bus.history.select(CHUNK))
    assert len(live.state) == 800
    assert live.failure is None


def test_snapshots_spare_folding_again():
    """Looking back over 10,000 events calls reducers at most as often as there are events between snapshots."""
    calls = []

    def counting(state, event):
        calls.append(event.seq)
        return state + 1

    events = [Event(CHUNK, seq=seq) for seq in range(1, 10_001)]
    total = Projection(0, {CHUNK: counting}, snapshot_every=100).fold(events)
    assert len(calls) == 10_000
    calls.clear()
    assert total.at(7_950) == 7_950
    assert len(calls) <= 100
    calls.clear()
    more = [*events, Event(CHUNK, seq=10_001)]
    assert Projection(0, {CHUNK: counting}, start=total.snapshot()).fold(more).state == 10_001
    assert calls == [10_001]
    assert total.snapshot() == Snapshot(10_000, 10_000)


def test_keep_bounds_what_is_kept_and_not_the_state():
    """A long-running projection keeps a bounded past; asked about more, it says so."""
    total = Projection(0, {CHUNK: lambda state, event: state + 1}, snapshot_every=10, keep=25)
    total.fold([Event(CHUNK, seq=seq) for seq in range(1, 1001)])
    assert total.state == 1000
    assert total.at(975) == 975
    assert 25 <= len(total.frame()) < 45
    with pytest.raises(LookupError, match="keeps no state before event 9"):
        total.at(100)


def test_projected_events_tell_what_was_folded():
    """On a bus, each publish that is folded is followed by a STATE_PROJECTED event whose cause it is."""
    bus = EventBus()
    published("a", bus=bus)
    with Projection((), {CHUNK: note}, name="words").follow(bus):
        word = bus.publish(CHUNK, "b")
        bus.publish(STARTED)
    told = bus.history["STATE_PROJECTED"]
    assert [event.data for event in told] == [Projected("words", 1, 1), Projected("words", 3, 1)]
    assert [event.parent_id for event in told] == [None, word]
    assert {event.source for event in told} == {"words"}


def broken(state, event):
    if event.data == "bad":
        raise KeyError("missing")
    return (*state, event.data)


def test_a_reducer_that_raises_stops_before_its_event_and_loses_nothing():
    """The state stays the last good one, two events tell why, later events wait, and go in when it is mended."""
    bus = EventBus()
    words = Projection((), {CHUNK: broken}, name="words").follow(bus, announce=False)
    bad = published("a", bus=bus).publish(CHUNK, "bad")
    published("c", "d", bus=bus)
    assert words.state == ("a",)
    assert (words.seq, words.pending) == (1, 3)
    assert isinstance(words.failure, ReducerError)
    assert isinstance(words.failure.__cause__, KeyError)
    assert "reducer broken raised KeyError: 'missing' at event 2, STREAM_CHUNK" in str(words.failure)
    assert "3 events wait" in repr(words)
    (told,) = bus.history["STATE_PROJECTED"]
    assert (told.parent_id, told.data.seq, told.data.error) == (bad, 1, str(words.failure))
    (error,) = bus.history["HANDLER_ERROR"]
    assert error.data["event_id"] == bad
    assert [one.handler_name for one in bus.subscriptions()] == ["words"]
    assert words.at(1) == ("a",)
    with pytest.raises(LookupError, match="stands at event 1"):
        words.at(2)
    with pytest.raises(ReducerError):
        words.resume()
    words.resume({CHUNK: note})
    assert words.state == ("a", "bad", "c", "d")
    assert (words.failure, words.pending) == (None, 0)
    assert words.at(2) == ("a", "bad")
    published("e", bus=bus)
    assert words.state[-1] == "e"


def test_an_event_that_fails_can_be_passed_over():
    """Skipping leaves out that event alone."""
    words = Projection((), {CHUNK: broken})
    with pytest.raises(ReducerError, match="event 2"):
        words.fold(published("a", "bad", "c", "bad", "e"))
    with pytest.raises(ReducerError, match="event 4"):
        words.resume(skip=True)
    assert words.resume(skip=True).state == ("a", "c", "e")
    assert words.frame()["state"].tolist() == [("a",), ("a", "c"), ("a", "c", "e")]


def test_a_failure_on_what_the_bus_keeps_is_raised_and_told():
    """Following a bus whose history breaks the reducer raises, and the bus is told."""
    bus = published("a", "bad")
    words = Projection((), {CHUNK: broken})
    with pytest.raises(ReducerError):
        words.follow(bus)
    assert [event.data.error is None for event in bus.history["STATE_PROJECTED"]] == [False]
    assert words.state == ("a",)


def test_under_on_error_raise_the_publisher_sees_the_failure():
    """A bus that raises hands the reducer's error to whoever published."""
    bus = EventBus(on_error="raise")
    with Projection((), {CHUNK: broken}).follow(bus), pytest.raises(HandlerErrors) as raised:
        bus.publish(CHUNK, "bad")
    assert isinstance(raised.value.exceptions[0], ReducerError)


def test_a_reducer_that_returns_nothing_or_changes_the_state_in_place_fails():
    """The two commonest mistakes are told, and cannot spoil the past."""
    with pytest.raises(ReducerError, match="returned None instead of the next state"):
        Projection({}, {CHUNK: lambda state, event: None}).fold(published("a"))

    def in_place(state, event):
        state["n"] = 1
        return state

    spoilt = Projection({"n": 0}, {CHUNK: in_place})
    with pytest.raises(ReducerError, match="TypeError"):
        spoilt.fold(published("a"))
    assert spoilt.state == {"n": 0}


def test_plain_containers_are_frozen():
    """A reducer may return a dict or a list; nobody can change the state that it becomes."""
    words = Projection([], {CHUNK: lambda state, event: [*state, event.data]}).fold(published("a", "b"))
    assert list(words.state) == ["a", "b"]
    with pytest.raises(TypeError):
        words.state[0] = "z"
    assert words.at(1) == ["a"]


def test_a_history_that_forgot_events_is_refused():
    """A projection of half a history is asked for by name, or begins at a snapshot."""
    bus = published(*"abcde", bus=EventBus(history_limit=2))
    with pytest.raises(ValueError, match="bus has forgotten 3 events"):
        Projection((), {CHUNK: note}).follow(bus)
    assert Projection((), {CHUNK: note}).follow(bus, partial=True, announce=False).state == ("d", "e")
    start = Snapshot(3, ("a", "b", "c"))
    assert Projection((), {CHUNK: note}, start=start).follow(bus).state == tuple("abcde")


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_a_short_history_does_for_one_thread(limit):
    """Live, a history that keeps next to nothing loses nothing, also with other events between."""
    bus = EventBus(history_limit=limit)
    words = Projection((), {CHUNK: note}).follow(bus, announce=False)
    for word in "abc":
        published(word, bus=bus)
        for _ in range(5):
            bus.publish(STARTED)
    assert words.state == ("a", "b", "c")
    assert words.failure is None


def test_an_event_that_a_short_history_lost_is_told():
    """When order cannot be had, the projection says so rather than fold out of order."""
    bus = EventBus(history_limit=1)
    bus.subscribe(CHUNK, lambda event: bus.publish(CHUNK, event.data - 1) if event.data else None)
    words = Projection((), {CHUNK: note}).follow(bus)
    bus.publish(CHUNK, 1)
    assert words.state == (0,)
    assert "later events were folded" in str(words.failure)
    assert words.pending == 1


def test_closing_stops_and_a_second_bus_can_be_followed():
    """After close, events pass by; one bus at a time."""
    bus, other = EventBus(), EventBus()
    words = Projection((), {CHUNK: note}).follow(bus)
    with pytest.raises(RuntimeError, match="follows a bus already"):
        words.follow(other)
    with pytest.raises(RuntimeError, match="follows a bus already"):
        words.fold([])
    words.close()
    words.close()
    published("x", bus=bus)
    assert words.state == ()
    assert bus.subscriptions() == []
    assert words.fold(bus).state == ("x",)


def test_a_scope_is_followed_as_a_bus():
    """A projection of one scope folds that scope's events by its own numbers."""
    bus = EventBus(name="run")
    scope = ScopedEventBus(parent=bus, scope_name="a")
    words = Projection((), {CHUNK: note}).follow(scope, announce=False)
    published("no", bus=bus)
    published("yes", bus=scope)
    assert (words.state, words.seq) == (("yes",), 1)


def test_the_frame_has_a_row_for_each_event():
    """The evolution has fixed columns; a mapping gives one for each of its keys."""
    bus = published("a", "b", "a", bus=EventBus(clock=iter(range(9)).__next__))
    frame = Projection({}, {CHUNK: count}).fold(bus).frame()
    assert frame.drop(columns=["timestamp", "event_id"]).to_dict("list") == {
        "seq": [1, 2, 3], "type": ["STREAM_CHUNK"] * 3, "changed": [True] * 3, "state.a": [1, 1, 2],
        "state.b": pytest.approx([float("nan"), 1, 1], nan_ok=True),
    }  # fmt: skip
    assert str(frame["timestamp"].dtype) == "datetime64[ns, UTC]"
    assert frame["event_id"].tolist() == [event.id for event in bus.history]
    empty = Projection((), {CHUNK: note}).frame()
    assert list(empty) == ["seq", "timestamp", "type", "event_id", "changed", "state"]


def test_events_of_no_bus_are_numbered():
    """A list that somebody made by hand can be looked back on."""
    words = Projection((), {CHUNK: note}).fold([Event(STARTED), Event(CHUNK, "a"), Event(CHUNK, "b")])
    assert (words.seq, words.at(2)) == (3, ("a",))


@pytest.mark.parametrize(
    "source, error, message",
    [
        ([*published("a").history, *published("b").history], ValueError, "2 of them have seq 1"),
        ("abc", TypeError, "events must be a bus, a history, an iterable of Event or a DataFrame, got str"),
        (7, TypeError, "got int"),
        ([1], TypeError, "events must be instances of Event, got int 1"),
        (to_frame(published("a"), data="expand").rename(columns={"data": "data.x"}), ValueError, "whole payloads"),
        (to_frame(published("a")).drop(columns="seq"), ValueError, "lack the column seq"),
    ],
)
def test_other_sources_are_refused(source, error, message):
    """What is no history is refused with what came."""
    with pytest.raises(error, match=message):
        Projection((), {CHUNK: note}).fold(source)


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        (((), {}), ValueError, "reducers is empty"),
        (((), [1]), TypeError, "reducers must be a mapping"),
        (((), {"x": note}), TypeError, "must be a member of an Enum"),
        (((), {CHUNK: 1}), TypeError, "the reducer of STREAM_CHUNK must be callable"),
    ],
)
def test_bad_arguments_are_refused(arguments, error, message):
    """Each error names the argument."""
    with pytest.raises(error, match=message):
        Projection(*arguments)
    with pytest.raises(ValueError, match="snapshot_every must be an int of 1 or more"):
        Projection((), {CHUNK: note}, snapshot_every=0)
    with pytest.raises(ValueError, match="keep must be"):
        Projection((), {CHUNK: note}, keep=-1)
    with pytest.raises(TypeError, match="start must be a Snapshot"):
        Projection((), {CHUNK: note}, start=(1, ()))
    with pytest.raises(ValueError, match="not add one of STREAM_STARTED"):
        Projection((), {CHUNK: note}).resume({STARTED: note})
