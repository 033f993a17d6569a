"""The frames of a recording: columns, dtypes and order, whatever the rows."""

from __future__ import annotations

import contextvars
import inspect
import re
import threading
import time
from collections import Counter
from enum import Enum
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from atlas_lab import Event, EventBus, EventType, ScopedEventBus, concat_frames, to_frame
from atlas_lab.recorded import ACTIONS, OUTCOMES, deliveries_frame, middleware_frame
from atlas_lab.recording import merged
from atlas_lab.subscription import SKIPPED
from tests.recordings import A, B, C

SECOND = 1_000_000_000


class Order(Enum):
    PLACED = 1


def documented(function: Any) -> dict[str, str]:
    """Return column and dtype as the table in a docstring says."""
    table = re.split(r"^ +=[= ]+$", inspect.cleandoc(function.__doc__), flags=re.MULTILINE)
    rows = [line.split()[:2] for line in table[2].splitlines() if re.match(r" {4}\w", line)]
    return dict(rows)


def full() -> Any:
    """Return a recording with something in every column."""
    bus = EventBus(name="run")
    scope = ScopedEventBus(bus, "scope")
    for one in (bus, scope):
        one.subscribe(A, lambda event: 1 // event.data, name="it")
        one.subscribe(A, lambda event: None, name="skipped", source="nobody")
        one.add_middleware(lambda event: event if event.data else event.replace(source="x"), name="stamp")
    with bus.record("full") as run:
        scope.publish(A, 1)
        scope.publish(Order.PLACED, 0)
    return run


FRAMES = {"deliveries": deliveries_frame, "middleware": middleware_frame}


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("run", [EventBus().record("empty"), full()], ids=["empty", "full"])
def test_columns_and_dtypes_are_those_of_the_documentation(name, run):
    """In that order, with rows and without."""
    frame = getattr(run, name)
    assert {column: str(dtype) for column, dtype in frame.dtypes.items()} == documented(FRAMES[name])
    assert list(frame) == list(documented(FRAMES[name]))
    assert len(documented(FRAMES[name])) == {"deliveries": 14, "middleware": 11}[name]
    assert isinstance(frame.index, pd.RangeIndex)
    for column in frame.select_dtypes("category"):
        assert frame[column].cat.categories.dtype == "str"


def test_the_frame_of_events_is_that_of_to_frame():
    """Same columns, dtypes, root causes and depths; the run is the recording's name."""
    bus = EventBus(name="lab", history_limit=None)
    bus.subscribe(A, lambda event: bus.publish(B, {"n": 1}))
    with bus.record("one") as run:
        bus.publish(A)
    assert_frame_equal(run.events, to_frame(bus, run="one"))
    assert_frame_equal(EventBus().record("one").events, to_frame([], run="one"))


@pytest.mark.parametrize("name", ["events", *FRAMES])
def test_frames_of_several_runs_can_be_put_under_one_another(name):
    """`concat_frames` keeps every dtype, also with an empty one among them."""
    frames = [getattr(run, name) for run in (full(), EventBus().record("empty"), full())]
    joined = concat_frames(frames)
    assert joined.dtypes.map(str).to_dict() == frames[0].dtypes.map(str).to_dict()
    assert len(joined) == 2 * len(frames[0])


def test_categories_are_fixed_or_sorted():
    """Outcomes, actions and core types are always the same ones; every other column has what occurs, in order."""
    run, empty = full(), EventBus().record()
    for one in (run, empty):
        assert one.deliveries["outcome"].cat.categories.tolist() == OUTCOMES == ["ok", "error", "skipped"]
        actions = one.middleware["action"].cat.categories.tolist()
        assert actions == ACTIONS == ["passed", "transformed", "dropped", "raised"]
        for frame in (one.deliveries, one.middleware):
            assert frame["type"].cat.categories.tolist()[: len(EventType)] == list(EventType.__members__)
    assert run.middleware["type"].cat.categories[-1] == "Order.PLACED"
    assert run.deliveries["scope"].cat.categories.tolist() == ["run", "run/scope"]
    assert run.deliveries["handler"].cat.categories.tolist() == ["it", "skipped"]
    assert empty.deliveries["scope"].cat.categories.tolist() == []


def test_a_bus_without_a_name_has_an_empty_scope():
    """Empty, not missing: the bus is known."""
    bus = EventBus()
    bus.subscribe(A, print)
    bus.add_middleware(lambda event: None)
    with bus.record() as run:
        bus.publish(A)
        bus.get_signal(A).send(Event(A))
    assert run.deliveries["scope"].tolist() == [""]
    assert run.middleware["scope"].tolist() == [""]


def test_text_that_no_encoding_holds_is_escaped():
    """A name or an id with half of a surrogate pair does not cost the frame."""
    odd = "half \ud83d"
    bus = EventBus(new_id=lambda: odd)
    bus.subscribe(A, lambda event: None, name=odd)
    bus.add_middleware(lambda event: event, name=odd)
    with bus.record(odd) as run:
        bus.publish(A)
    row = run.deliveries.iloc[0]
    assert row["handler"] == row["event_id"] == row["run"] == "half \\ud83d"
    assert run.middleware.loc[0, "middleware"] == "half \\ud83d"


def test_a_frame_stays_as_it_is():
    """It does not change with what is recorded afterwards, nor does changing it change the next one."""
    bus = EventBus()
    bus.subscribe(A, lambda event: None, name="it")
    with bus.record() as run:
        bus.publish(A)
        frame = run.deliveries
        bus.publish(A)
        assert len(frame) == 1
        frame["seq"] = 100
        assert run.deliveries["seq"].tolist() == [1, 2]


def test_more_attempts_than_the_column_can_count_stay_at_its_end():
    """An event that a handler meets 33,000 times is counted to 32,767."""
    event = Event(A)
    rows = [(event.replace(seq=n), ("", "it"), n, n, "main", None) for n in range(1, 33_001)]
    attempts = deliveries_frame(rows, "run", 0)["attempt"]
    assert attempts.tolist() == [*range(1, 32_767), *[32_767] * 234]


# Against a frame that is made as plainly as possible

ids = st.sampled_from(["a", "b", "c"])
events = st.builds(
    lambda event_id, parent_id, of, seq: Event(of, id=event_id, parent_id=parent_id, seq=seq),
    st.sampled_from(["a", "b"]),
    st.sampled_from([None, "a", "b", "c"]),
    st.sampled_from([A, B, Order.PLACED]),
    st.integers(0, 2),
)
names = st.sampled_from(["", "one"])
times = st.integers(0, 5)
outcomes = st.one_of(
    st.none(), st.just(SKIPPED), st.tuples(st.sampled_from(["ValueError", "KeyError"]), st.text(max_size=3))
)


@st.composite
def with_shared(draw: Any, *fields: Any) -> list[tuple[Any, ...]]:
    """Return rows whose events and places are shared between some of them, as they are in a recording.

    There are few of each, so that handlers meet events again, on one bus and on two.
    """
    pool = draw(st.lists(events, min_size=1, max_size=4))
    places = draw(st.lists(fields[0], min_size=1, max_size=4))
    row = st.tuples(st.sampled_from(pool), st.sampled_from(places), times, times, *fields[1:])
    return draw(st.lists(row, min_size=draw(st.integers(0, 8)), max_size=12))


def plainly(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a frame as dicts, with None for what is missing and times as whole nanoseconds."""
    for column in frame.select_dtypes("timedelta"):
        frame = frame.assign(**{column: frame[column].to_numpy().astype(np.int64)})
    frame = frame.astype(object)
    return frame.where(frame.notna(), None).to_dict("records")


def led_to(number, ordered):
    """Return the nanoseconds in which calls ran that the call at a place led to, on its thread."""
    *_, end, thread, _ = ordered[number]
    found = set()
    for other, (inner, _, begin, until, its_thread, _) in enumerate(ordered):
        callers = [
            place
            for place, (above, _, began, _, of_thread, _) in enumerate(ordered)
            if (above.id, of_thread) == (inner.parent_id, its_thread) and began <= begin
        ]
        if other != number and its_thread == thread and callers and callers[-1] == number:
            found |= set(range(begin, min(until, end)))
    return found


def test_the_own_time_of_a_call_is_without_what_it_published():
    """Whatever the depth, and each nanosecond is that of one handler; what another thread does costs the caller nothing."""
    bus = EventBus(nested="immediate")
    chain = {A: B, B: Order.PLACED}

    def pass_on(event):
        time.sleep(0.002)
        if event.type in chain:
            bus.publish(chain[event.type])

    def start_thread(event):
        thread = threading.Thread(target=contextvars.copy_context().run, args=(bus.publish, B, "from a thread"))
        thread.start()
        thread.join()

    bus.subscribe(None, pass_on, name="pass on", where=lambda event: event.data is None)
    with bus.record() as run:
        bus.publish(A)
    calls = run.deliveries
    assert calls["own"].sum() <= calls["duration"].max() == calls["duration"][0]
    assert (calls["own"] >= pd.Timedelta("2ms")).all()
    assert calls["own"].iloc[-1] == calls["duration"].iloc[-1]
    bus.subscribe(A, start_thread, name="start a thread", priority=1)
    bus.subscribe(B, lambda event: time.sleep(0.002), name="sleep")
    with bus.record() as run:
        bus.publish(A, "by a thread")
    waiting = run.deliveries.set_index("handler").loc["start a thread"]
    assert waiting["own"] == waiting["duration"] > pd.Timedelta("2ms")


@settings(max_examples=200, deadline=None)
@given(with_shared(st.tuples(names, names), names, outcomes))
def test_deliveries_are_those_of_a_plain_loop(rows):
    """Order, every column and the attempts, for any rows."""
    ordered = sorted(rows, key=lambda row: row[2])
    seqs: dict[Any, set[int]] = {}
    for event, place, *_ in rows:
        seqs.setdefault((place, event.id), set()).add(event.seq)
    expected = [
        {
            "run": "it",
            "seq": event.seq,
            "event_id": event.id,
            "type": event.type_name,
            "scope": place[0],
            "handler": place[1],
            "start": started - 2,
            "duration": ended - started,
            "outcome": "ok" if outcome is None else "skipped" if outcome is SKIPPED else "error",
            "error_type": outcome[0] if isinstance(outcome, tuple) else None,
            "error_message": outcome[1] if isinstance(outcome, tuple) else None,
            "thread": thread,
            "attempt": 1 + sorted(seqs[place, event.id]).index(event.seq),
            "own": ended - started - len(led_to(number, ordered)),
        }
        for number, (event, place, started, ended, thread, outcome) in enumerate(ordered)
    ]
    assert plainly(deliveries_frame(rows, "it", 2)) == expected


@settings(max_examples=60, deadline=None)
@given(with_shared(st.tuples(names, st.integers(0, 3), names), st.sampled_from(ACTIONS), names))
def test_steps_are_those_of_a_plain_loop(rows):
    """Order and every column, for any rows."""
    ordered = sorted(rows, key=lambda row: row[2])
    expected = [
        {
            "run": "it",
            "event_id": event.id,
            "parent_id": event.parent_id,
            "type": event.type_name,
            "scope": place[0],
            "step": place[1],
            "middleware": place[2],
            "action": action,
            "start": started - 2,
            "duration": ended - started,
            "changed": changed,
        }
        for event, place, started, ended, action, changed in ordered
    ]
    assert plainly(middleware_frame(rows, "it", 2)) == expected


@settings(max_examples=300, deadline=None)
@given(
    st.lists(ids, max_size=8),
    st.lists(st.tuples(st.integers(0, 8), st.integers(1, 3), ids), max_size=8),
)
def test_what_only_scopes_have_seen_stands_where_it_happened(own_ids, seen):
    """The events of the bus keep their order, and as many of each id are added as no bus above has seen."""
    own = [Event(A, id=one, seq=seq) for seq, one in enumerate(own_ids, 1)]
    seen = sorted(seen, key=lambda row: row[0])
    of_scopes = [(accepted, level, Event(C, id=one, seq=100 + n)) for n, (accepted, level, one) in enumerate(seen)]
    result = merged(own, of_scopes)
    assert [event for event in result if event.type is A] == own
    added = [event for event in result if event.type is C]
    assert [event.seq for event in added] == sorted(event.seq for event in added)
    accepted_at = {event.seq: accepted for accepted, _, event in of_scopes}
    for place, event in enumerate(result):
        if event.type is C:
            assert all(other.seq <= accepted_at[event.seq] for other in result[:place] if other.type is A)
            assert all(other.seq > accepted_at[event.seq] for other in result[place:] if other.type is A)
    counts = [Counter(own_ids)] + [Counter(one for _, of, one in seen if of == level) for level in (1, 2, 3)]
    assert Counter(event.id for event in result) == counts[0] | counts[1] | counts[2] | counts[3]
    for event in added:  # of the outermost bus that has more of them than the ones above
        level = next(of for _, of, one in of_scopes if one is event)
        above = Counter[str]()
        for count in counts[:level]:
            above |= count
        assert counts[level][event.id] > above[event.id]


def test_what_happened_before_the_window_is_left_out():
    """What scopes accepted before the oldest event that the bus kept may have reached it, and is not shown."""
    own = [Event(A, id="c", seq=3)]
    of_scopes = [(accepted, 1, Event(C, id=one)) for accepted, one in [(0, "a"), (1, "b"), (2, "d"), (2, "c")]]
    assert [event.id for event in merged(own, of_scopes, since=2)] == ["d", "c"]
