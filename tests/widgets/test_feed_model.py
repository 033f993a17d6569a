"""What a feed lists and tells, without a widget."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum

import msgspec
import numpy as np
import pandas as pd
import pytest

from atlas_lab import Event, EventBus, EventType, ScopedEventBus, redact
from atlas_lab.widgets.density import Density
from atlas_lab.widgets.feed_detail import value_text
from atlas_lab.widgets.feed_model import FeedModel, type_names
from atlas_lab.widgets.matches import EventFilter, Matching
from atlas_lab.widgets.record_switch import RecordSwitch

CHUNK, DONE, START = EventType.STREAM_CHUNK, EventType.STREAM_COMPLETED, EventType.AGENT_STARTED


class Order(Enum):
    PLACED = 1


def filled(number, limit=None, name="run"):
    bus = EventBus(limit, name=name)
    for index in range(number):
        bus.publish(CHUNK if index % 3 else DONE, {"i": index}, source=f"s{index % 4}")
    return bus


def seqs(model, **window):
    return [event.seq for event in model.window(**window)]


def test_the_window_holds_the_newest_first():
    """However many events there are, a window is what is asked for."""
    model = FeedModel(filled(1000))
    model.update()
    model.look_at(0, 3)
    assert seqs(model) == [1000, 999, 998]
    model.look_at(500, 3)
    assert seqs(model) == [500, 499, 498]
    model.look_at(999, 3)
    assert seqs(model) == [1]
    model.look_at(5000, 3)
    assert (seqs(model), model.count) == ([], 1000)


def test_pushed_out_events_are_not_listed():
    """The list is as long as what is kept."""
    model = FeedModel(filled(1000, limit=10))
    model.update()
    assert (model.count, seqs(model)) == (10, list(range(1000, 990, -1)))
    assert model.state()["dropped"] == 990


@pytest.mark.parametrize(
    "wanted, expected",
    [
        (EventFilter(types=("STREAM_COMPLETED",)), lambda e: e.type is DONE),
        (EventFilter(types=("STREAM_COMPLETED", "Order.PLACED")), lambda e: e.type in {DONE, Order.PLACED}),
        (EventFilter(source="s1"), lambda e: e.source == "s1"),
        (EventFilter(scope="run"), lambda e: True),
        (EventFilter(scope="ru"), lambda e: False),
        (EventFilter(text="'I': 7"), lambda e: "'i': 7" in repr(e.data)),
        (EventFilter(types=("STREAM_CHUNK",), source="s2", text="i': 9"), lambda e: e.type is CHUNK and e.source == "s2" and "'i': 9" in repr(e.data)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("limit", [None, 100])
def test_filters_list_what_matches(wanted, expected, limit):
    """What was there, what comes while it is looked through, and what was pushed out since, in pieces of any size."""
    bus = EventBus(limit, name="run")
    chance = random.Random(3)
    model = FeedModel(bus)

    def more(number):
        for _ in range(number):
            index = chance.randrange(100)
            kind = chance.choice([CHUNK, DONE, Order.PLACED])
            bus.publish(kind, {"i": index}, source=f"s{index % 4}")

    more(3000)
    model.filter_by(**wanted._asdict())
    for number in (0, 1, 40, 2500, 7):
        more(number)
        model.update(0)
        more(number)
        while model.behind:
            model.update(1e-6)
        model.update()
        right = [event.seq for event in bus.history if expected(event)][::-1]
        assert model.count == len(right)
        assert seqs(model, first=0, rows=200) == right[:200]
        assert seqs(model, first=57, rows=20) == right[57:77]
        head = bus.history.accepted - 31
        model.go_to(head)
        earlier = [seq for seq in right if seq <= head]
        assert (model.count, seqs(model, first=3, rows=9)) == (len(earlier), earlier[3:12])
        model.go_to(None)


def test_the_newest_matches_are_there_first():
    """The first page of a filter over a long history does not wait for the rest."""
    bus = filled(20_000)
    found = Matching(EventFilter(types=("STREAM_COMPLETED",)), list(bus.history), 20_000)
    found.work(bus.history, 0)
    assert 0 < found.behind < 20_000
    assert found.newest(20_000, 0, 2) == [19_999, 19_996]


def test_scopes_include_those_below():
    """A feed of the run can show one agent and its parts."""
    bus = EventBus(name="run")
    agent = ScopedEventBus(bus, "agent-1")
    other = ScopedEventBus(bus, "agent-10")
    tool = ScopedEventBus(agent, "tool")
    for one in (bus, agent, tool, other):
        one.publish(START)
    model = FeedModel(bus)
    model.filter_by(scope="run/agent-1")
    assert [event.scope for event in model.window()] == ["run/agent-1/tool", "run/agent-1"]
    assert model.state()["scopes"] == ["run", "run/agent-1", "run/agent-1/tool", "run/agent-10"]


def test_paused_it_keeps_what_it_shows():
    """Nothing comes in and nothing is pushed out, however fast the bus is; the filters still work."""
    bus = filled(10, limit=10)
    model = FeedModel(bus)
    model.pause(True)
    for index in range(100):
        bus.publish(START, index)
    model.update()
    assert (model.count, seqs(model)) == (10, list(range(10, 0, -1)))
    model.filter_by(types=("STREAM_COMPLETED",))
    assert seqs(model) == [10, 7, 4, 1]
    assert model.select(1)
    model.pause(False)
    assert seqs(model) == []
    model.filter_by(types=())
    assert seqs(model)[0] == 110


def test_the_head_shows_the_feed_as_it_was():
    """At any number, also while more comes in."""
    bus = filled(100)
    model = FeedModel(bus)
    model.go_to(40)
    bus.publish(START)
    model.update()
    assert (model.count, seqs(model, rows=2)) == (40, [40, 39])
    model.go_to(None)
    assert (model.count, seqs(model, rows=1)) == (101, [101])


def test_steps_go_through_what_is_listed():
    """Arrow keys move among the matches, and stop at the ends."""
    model = FeedModel(filled(10))
    model.filter_by(types=("STREAM_COMPLETED",))
    assert [model.step(1), model.step(1), model.step(1)] == [10, 7, 4]
    assert [model.step(100), model.step(-1), model.step(-100)] == [1, 4, 10]
    assert model.selected_row == 0
    assert not model.select(999)
    assert model.selected == 10


def test_the_time_of_an_event_fits_its_column():
    """The longer it is after the first, the less a thousandth of a second says."""
    times = iter([0.0, 0.0012, 999.5, 1740.0, 86_400.0, 1e6])
    bus = EventBus(clock=lambda: next(times))
    for _ in range(6):
        bus.publish(CHUNK)
    model = FeedModel(bus)
    shown = [row[1] for row in model.cells(model.window())]
    assert shown == ["1,000,000", "86,400", "1,740.0", "999.500", "0.001", "0.000"]


def test_the_detail_tells_causes_across_scopes():
    """Also those that come later in the history, as a scope passes an event on when its handlers are done."""
    bus = EventBus(name="run")
    agent = ScopedEventBus(bus, "agent-1")
    bus.subscribe(START, lambda event: agent.publish(CHUNK, "x"))
    agent.subscribe(CHUNK, lambda event: bus.publish(DONE))
    bus.publish(START)
    assert [event.type for event in bus.history] == [START, DONE, CHUNK]
    model = FeedModel(bus)
    model.select(2)
    detail = model.detail()
    assert [cause[:2] for cause in detail["causes"]] == [[1, "AGENT_STARTED"], [3, "STREAM_CHUNK"]]
    assert detail["why"] == ""


def test_a_cause_that_is_not_kept_is_told():
    """The chain does not pretend to be whole."""
    bus = EventBus(1)
    bus.subscribe(START, lambda event: bus.publish(DONE))
    bus.publish(START)
    model = FeedModel(bus)
    model.select(2)
    assert model.detail()["causes"] == []
    assert "not kept" in model.detail()["why"]


def test_the_detail_of_a_failure_holds_the_traceback():
    """What failed, where, and the way there."""
    bus = EventBus()
    bus.subscribe(START, lambda event: 1 / 0, name="divide")
    bus.publish(START)
    model = FeedModel(bus)
    model.select(2)
    detail = model.detail()
    assert ["error", "ZeroDivisionError: division by zero"] in detail["fields"]
    assert ["handler", "divide"] in detail["fields"]
    assert "1 / 0" in detail["traceback"]
    assert model.cells(model.window())[0][5:] == ["ZeroDivisionError: division by zero in divide", -1]


@dataclass
class Part:
    name: str
    inside: object


class Shape(msgspec.Struct):
    sides: int


@pytest.mark.parametrize(
    "payload, kind, pairs",
    [
        ({"a": 1, "b": [1, 2]}, "", [["a", "1"], ["b", "[1, 2]"]]),
        (Part("p", Shape(3)), "Part", [["name", "'p'"], ["inside", "Shape(sides=3)"]]),
        (Shape(3), "Shape", [["sides", "3"]]),
        (pd.DataFrame({"a": [1]}), "DataFrame", [["", "   a\n0  1"]]),
        (b"\x00" * 2, "", [["", r"b'\x00\x00'"]]),
        (ValueError("no"), "", [["", "ValueError('no')"]]),
        ("two\nlines", "", [["", "two\nlines"]]),
        ({}, "", [["", "{}"]]),
        ([{"a": "x" * 40}, 2], "", [["", f"[\n {{\n  'a': '{'x' * 40}',\n }},\n 2,\n]"]]),
    ],
)
def test_the_detail_tells_what_a_payload_holds(payload, kind, pairs):
    """Its fields, if it has any, and what is inside of them line by line; a data frame and the like as they are."""
    bus = EventBus()
    bus.publish(CHUNK, payload)
    model = FeedModel(bus)
    model.select(1)
    detail = model.detail()
    assert (detail["kind"], detail["payload"]) == (kind, pairs)


def test_a_huge_payload_is_cut_in_the_detail():
    """What is sent is bounded, however deep and wide the payload."""
    payload = {}
    for _ in range(50):
        payload = {str(number): payload for number in range(30)}
    bus = EventBus()
    bus.publish(CHUNK, payload)
    model = FeedModel(bus)
    model.select(1)
    text = str(model.detail()["payload"])
    assert len(text) < 500_000
    assert value_text([{}] * 30).splitlines()[-2:] == [" … 10 more", "]"]


def test_the_detail_holds_what_was_recorded():
    """Handlers with durations and outcome, and steps of middleware; what middleware hid stays hidden."""
    bus = EventBus(name="run")
    switch = RecordSwitch(bus, True)
    bus.add_middleware(redact("data.token"), name="redact")
    bus.subscribe(START, lambda event: 1 / 0, name="divide")
    bus.subscribe(START, lambda event: None, name="fine")
    bus.publish(START, {"token": "s3cret", "task": "plan"})
    model = FeedModel(bus, switch)
    model.select(1)
    detail = model.detail()
    assert [call[:2] for call in detail["calls"]] == [["divide", "error"], ["fine", "ok"]]
    assert all(call[2] > 0 for call in detail["calls"])
    assert [step[:2] for step in detail["steps"]] == [["redact", "transformed"]]
    assert "s3cret" not in repr(model.state())
    switch.close()
    bus.publish(DONE)
    assert model.detail()["calls"] != []
    assert model.detail()["recording"] is False


def test_without_a_recording_the_detail_says_so():
    """Nothing is made up."""
    model = FeedModel(filled(1))
    model.select(1)
    assert (model.detail()["recorded"], model.detail()["calls"]) == (False, [])


class Hostile:
    def __repr__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "data",
    [
        Hostile(),
        {"a": Hostile()},
        [Hostile()],
        {Hostile(): 1},
        "x" * 10**6,
        {"x" * 10**5: "y" * 10**6},
        10**5000,
        "\ud800",
        b"\0",
    ],
    ids=range(9),
)
def test_any_payload_can_be_shown(data):
    """What fails or is huge is shown as far as it can be, and searched without an error."""
    bus = EventBus()
    bus.publish(START, data)
    model = FeedModel(bus)
    model.select(1)
    state = model.state()
    assert len(repr(state)) < 40_000
    model.filter_by(text="no such text")
    assert (model.count, model.behind) == (0, 0)


def test_names_of_types():
    """A filter takes names, members and several of them, and nothing else."""
    assert type_names(None) == type_names("") == type_names([]) == ()
    assert type_names("A") == ("A",)
    assert type_names([CHUNK, Order.PLACED, "A", CHUNK]) == ("STREAM_CHUNK", "Order.PLACED", "A")
    for wrong in (5, [5], Order, object()):
        with pytest.raises(TypeError, match="type_filter must be"):
            type_names(wrong)


def test_the_density_counts_errors_and_rates():
    """Each place of the history knows how many events a second there were, and how many errors."""
    now = iter(np.concatenate([np.arange(1000) * 0.1, 100 + np.arange(1001) * 0.001]))
    bus = EventBus(None, clock=lambda: float(next(now)))
    for index in range(2000):
        if index == 1500:
            bus.emit(Event(EventType.HANDLER_ERROR, timestamp=float(next(now))))
        bus.publish(CHUNK)
    density = Density()
    density.update(bus.history, 1)
    rates, errors = density.bins(bus.history.seqs)
    assert (rates.dtype, len(rates), errors.sum(), int(errors.argmax())) == (np.float32, 240, 1, 1500 * 240 // 2001)
    assert np.allclose(rates[:110], 10, rtol=0.01)
    assert rates[130:].min() > 90


def test_the_density_is_kept_up_to_date():
    """Read a piece at a time it comes to the same as read at once, also when events are pushed out or cleared."""
    now = [0.0]
    bus = EventBus(5000, clock=lambda: now[0])
    pieces = Density()
    chance = random.Random(1)
    for turn in range(30):
        for _ in range(chance.randrange(900)):
            now[0] += chance.random()
            bus.publish(EventType.HANDLER_ERROR if chance.random() < 0.01 else CHUNK)
        pieces.update(bus.history, bus.stats().by_type.get("HANDLER_ERROR", 0))
        if turn == 20:
            bus.history.clear()
        pieces.update(bus.history, bus.stats().by_type.get("HANDLER_ERROR", 0))
    whole = Density()
    whole.update(bus.history)
    for one, other in zip(pieces.bins(bus.history.seqs), whole.bins(bus.history.seqs), strict=True):
        assert np.allclose(one, other, rtol=0.5)
    assert np.array_equal(pieces.bins(bus.history.seqs)[1], whole.bins(bus.history.seqs)[1])


def test_an_empty_history_has_no_density():
    """Nor does one that keeps nothing."""
    for bus in (EventBus(), EventBus(0)):
        model = FeedModel(bus)
        assert [len(values) for values in model.density()] == [0, 0]
        assert model.state()["rows"] == []
        bus.publish(START)
        model.update()
        assert len(model.state()["rows"]) == len(bus.history)
