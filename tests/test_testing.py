"""Recording and assertions for users' own tests, the clock that ticks, and ids that count."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from enum import Enum

import msgspec
import pytest

import atlas_lab.testing
from atlas_lab import BusClosedError, Event, EventBus, EventType, ScopedEventBus
from atlas_lab.testing import (
    TickingClock,
    assert_nothing_published,
    assert_published,
    assert_sequence,
    exactly,
    matching,
    numbered_ids,
    record,
)
from atlas_lab.testing.contract.workers import in_threads, many_switches

STARTED = EventType.STREAM_STARTED
CHUNK = EventType.STREAM_CHUNK
DONE = EventType.STREAM_COMPLETED


class Order(Enum):
    PLACED = "placed"


@dataclass
class Usage:
    tokens: int
    model: str = "small"


class Chunk(msgspec.Struct):
    text: str


class Unequal:
    """What answers a comparison with neither True nor False, as an array does."""

    def __eq__(self, other):
        return self

    def __bool__(self):
        raise ValueError("more than one")

    __hash__ = None


def events(*fields):
    return [Event(*one) for one in fields]


STORY = events(
    (STARTED, None, "model"), (CHUNK, {"text": "to", "n": 0}, "model"), (CHUNK, {"text": "be", "n": 1}, "me"), (DONE,)
)


def message_of(assertion, *arguments, **options):
    with pytest.raises(AssertionError) as caught:
        assertion(*arguments, **options)
    return str(caught.value)


# -- record


def test_a_recording_begins_and_ends_with_its_block():
    """What was published before and after is not in it, and no subscription is left on the bus."""
    bus = EventBus()
    bus.publish(STARTED)
    with record(bus) as published:
        bus.publish(CHUNK)
        assert published.types == [CHUNK]
        bus.publish(Order.PLACED)
    bus.publish(DONE)
    assert published.types == [CHUNK, Order.PLACED]
    assert published.events == bus.history[1:3]
    assert bus.subscriptions() == []


def test_a_recording_ends_when_its_block_fails():
    """An error in the block leaves no subscription behind, and what was recorded until then can be read."""
    bus = EventBus()
    with pytest.raises(ZeroDivisionError):
        with record(bus) as published:
            bus.publish(CHUNK)
            raise ZeroDivisionError
    assert bus.subscriptions() == []
    assert len(published) == 1


def test_a_bus_may_be_closed_while_it_is_recorded():
    """Closing the bus under test ends the recording without an error."""
    bus = EventBus()
    with record(bus) as published:
        bus.publish(CHUNK)
        bus.close()
    assert published.types == [CHUNK]


def test_an_event_is_recorded_before_any_handler_runs():
    """One whose delivery a handler ends, by closing the bus or by an interrupt, is recorded all the same."""
    bus = EventBus()
    bus.subscribe(CHUNK, lambda event: sys.exit())
    bus.subscribe(DONE, lambda event: bus.close())
    with record(bus) as published:
        with pytest.raises(SystemExit):
            bus.publish(CHUNK)
        bus.publish(DONE)
    assert published.types == [CHUNK, DONE]


def test_failed_handlers_are_recorded():
    """A handler that fails in silence shows as HANDLER_ERROR, after the event it failed on."""
    bus = EventBus()
    bus.subscribe(CHUNK, lambda event: 1 / 0)
    with record(bus) as published:
        bus.publish(CHUNK)
    assert published.types == [CHUNK, EventType.HANDLER_ERROR]


def test_what_scopes_pass_on_is_recorded_and_what_they_keep_is_not():
    """A recording of a bus holds the events of its scopes; one of a scope, its own and none of the bus."""
    bus = EventBus(name="run")
    scope = ScopedEventBus(bus, "agent")
    quiet = ScopedEventBus(bus, "quiet", propagate=False)
    with record(bus) as whole, record(scope) as part:
        bus.publish(STARTED)
        scope.publish(CHUNK)
        quiet.publish(DONE)
    assert [event.scope for event in whole] == ["run", "run/agent"]
    assert part.types == [CHUNK]


def test_what_middleware_drops_is_not_published():
    """Recorded is what the bus accepted, as its middleware changed it."""
    bus = EventBus()
    bus.add_middleware(lambda event: None if event.data == "drop" else event.replace(source="gate"))
    with record(bus) as published:
        bus.publish(CHUNK, "drop")
        bus.publish(CHUNK, "keep")
    assert [(event.data, event.source) for event in published] == [("keep", "gate")]


@pytest.mark.parametrize("nested", ["immediate", "queued"])
def test_a_recording_is_in_the_order_of_the_history(nested):
    """Also when a handler that comes even before the recording publishes more."""
    bus = EventBus(nested=nested)
    bus.subscribe(STARTED, lambda event: bus.publish(CHUNK), priority=sys.maxsize)
    bus.subscribe(CHUNK, lambda event: bus.publish(DONE), priority=sys.maxsize)
    with record(bus) as published:
        bus.publish(STARTED)
    assert published.events == list(bus.history)
    assert published.types == [STARTED, CHUNK, DONE]


def test_a_recording_is_whole_and_in_order_with_many_threads():
    """Eight threads publish at once, with handlers that publish more: the recording is the history."""
    bus = EventBus(history_limit=None)
    bus.subscribe(STARTED, lambda event: bus.publish(CHUNK))
    with many_switches(), record(bus) as published:
        in_threads(*[lambda: [bus.publish(STARTED) for _ in range(100)]] * 8)
    assert [event.seq for event in published] == list(range(1, 1601))


def test_async_publishes_are_recorded():
    """``publish_async`` is recorded as `publish` is."""
    bus = EventBus()
    with record(bus) as published:
        asyncio.run(bus.publish_async(CHUNK))
    assert published.types == [CHUNK]


def test_recordings_do_not_disturb_each_other():
    """Two recordings of one bus both hold everything, and ending one leaves the other on."""
    bus = EventBus()
    with record(bus) as outer:
        with record(bus) as inner:
            bus.publish(STARTED)
        bus.publish(DONE)
    assert (inner.types, outer.types) == ([STARTED], [STARTED, DONE])


@pytest.mark.parametrize("wrong", [None, 5, [], EventBus])
def test_only_a_bus_can_be_recorded(wrong):
    """Whatever else is passed, the message says what came and what is expected."""
    with pytest.raises(TypeError, match="bus must be an EventBus, got "):
        with record(wrong):
            pass


def test_a_closed_bus_cannot_be_recorded():
    """A recording that would stay empty for ever is refused at once."""
    bus = EventBus()
    bus.close()
    with pytest.raises(BusClosedError), record(bus):
        pass


def test_a_recording_reads_like_a_list():
    """Length, indexes, slices, membership, iteration and reversal, and a repr that tells the types."""
    bus = EventBus()
    with record(bus) as published:
        assert not published
        assert repr(published) == "<Published: nothing>"
        for number in range(12):
            bus.publish(CHUNK, number, source="even" if number % 2 == 0 else "odd")
    assert len(published) == 12
    assert (published[0].data, published[-1].data) == (0, 11)
    assert [event.data for event in published[2:4]] == [2, 3]
    assert published[3] in published
    assert [event.data for event in reversed(published)] == list(range(11, -1, -1))
    assert repr(published).count("STREAM_CHUNK") == 10
    assert "... 2 more ..." in repr(published)
    with pytest.raises(IndexError, match="12 events were published, there is none at 12"):
        published[12]
    published.events.reverse()
    assert published[0].data == 0


def test_events_can_be_selected_from_a_recording():
    """By type, source, payload and condition, alone and together."""
    bus = EventBus()
    with record(bus) as published:
        for event in STORY:
            bus.emit(event)
    assert [event.data["n"] for event in published.select(CHUNK)] == [0, 1]
    assert published.select([STARTED, DONE]) == [published[0], published[3]]
    assert published.select(source="model") == [published[0], published[1]]
    assert published.select(CHUNK, source="me", data={"text": "be"}, where=lambda event: event.seq == 3) == [
        published[2]
    ]
    assert published.select() == published.events
    assert published.select(Order.PLACED) == []


# -- matching


@pytest.mark.parametrize(
    "payload, expected, misses",
    [
        ({"a": 1, "b": 2}, {"a": 1}, []),
        ({"a": 1}, {"a": 1, "b": 2}, ["data has no 'b'"]),
        ({"a": 1}, {"a": 2}, ["data['a'] is 1, not 2"]),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, []),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, ["data['a']['b'] is 1, not 2"]),
        ({"a": {"b": 1, "c": 2}}, {"a": exactly({"b": 1})}, ["data['a'] is {'b': 1, 'c': 2}, not {'b': 1}"]),
        ({"a": None}, {"a": ...}, []),
        ({}, {"a": ...}, ["data has no 'a'"]),
        ({"a": 5}, {"a": int}, []),
        ({"a": "5"}, {"a": int}, ["data['a'] is no int"]),
        ({"a": 5, 7: 8}, {7: 8}, []),
        ({}, {}, []),
        ({"a": 1}, {}, ["data is not {}"]),
        (None, {}, ["data is not {}"]),
        (None, {"a": 1, "b": 2}, ["data has no 'a', 'b'"]),
        ("text", {"a": 1}, ["data has no 'a'"]),
        (Usage(5), {"tokens": 5}, []),
        (Usage(5), {"tokens": 6, "cost": 1}, ["data has no 'cost'", "data.tokens is 5, not 6"]),
        (Usage(5), {5: 1}, ["data has no 5"]),
        (Chunk("to"), {"text": "to"}, []),
        (Usage(5), Usage(5), []),
        (Usage(5), Usage(6), ["data is not Usage(tokens=6, model='small')"]),
        (Usage(5), Usage, []),
        (Usage(5), Chunk, ["data is no Chunk"]),
        ({"a": 1}, exactly({"a": 1}), []),
        ({"a": 1, "b": 2}, exactly({"a": 1}), ["data is not {'a': 1}"]),
        (None, None, []),
        (0, None, ["data is not None"]),
        (7, ..., []),
        (7, bool, ["data is no bool"]),
        ([1, 2], [1, 2], []),
        ([1, 2], [1], ["data is not [1]"]),
    ],
)
def test_a_payload_is_compared_as_a_whole_or_in_parts(payload, expected, misses):
    """Mappings ask for some keys or attributes, at any depth; classes for an instance; the rest for equality."""
    matcher = matching(CHUNK, data=expected)
    assert matcher.misses(Event(CHUNK, payload)) == misses
    assert matcher.fits(Event(CHUNK, payload)) == (misses == [])


def test_a_function_may_judge_the_payload_or_a_part_of_it():
    """It is true or false of it, and its name is told."""

    def large(number):
        return number > 10

    assert matching(CHUNK, data=large).fits(Event(CHUNK, 11))
    assert matching(CHUNK, data=large).misses(Event(CHUNK, 5)) == [f"{large.__qualname__} is not true of data"]
    part = matching(CHUNK, data={"usage": {"tokens": large}})
    assert part.fits(Event(CHUNK, {"usage": {"tokens": 11}}))
    assert "is not true of data['usage']['tokens']" in part.misses(Event(CHUNK, {"usage": {"tokens": 5}}))[0]


def test_conditions_see_only_events_that_fit_so_far():
    """`where` and functions may rely on the type, and `where` on source and payload too."""

    def read(value):
        raise AssertionError("asked about an event of another type")

    for matcher in (
        matching(CHUNK, where=read),
        matching(CHUNK, data=lambda data: data["n"] == 0),
        matching(CHUNK, data={"text": lambda text: text.upper()}),
    ):
        assert not matcher.fits(Event(DONE, {"text": 5}))
        assert matcher.misses(Event(DONE, {"text": 5}))[0] == "type is STREAM_COMPLETED"
    assert not matching(CHUNK, source="me", where=read).fits(Event(CHUNK, source="model"))
    assert not matching(CHUNK, data=1, where=read).fits(Event(CHUNK, 2))


def test_an_error_in_a_condition_is_the_tests_own():
    """What a condition raises about an event that fits is not hidden."""
    with pytest.raises(KeyError):
        assert_published(STORY, CHUNK, where=lambda event: event.data["missing"])


def test_what_cannot_be_compared_is_no_match():
    """A payload whose comparison gives no bool is told as such, with what to do."""
    (miss,) = matching(CHUNK, data=Unequal()).misses(Event(CHUNK, 5))
    assert "not to be compared" in miss and "give a function" in miss
    same = Unequal()
    assert matching(CHUNK, data=same).fits(Event(CHUNK, same))


def test_types_match_by_name():
    """One of several, any, and an Enum that was defined anew in a re-run cell."""
    again = Enum("Order", {"PLACED": "placed"})
    assert matching([STARTED, Order.PLACED]).fits(Event(again.PLACED))
    assert matching().fits(Event(DONE))
    assert not matching([STARTED, DONE]).fits(Event(CHUNK))


def test_a_matcher_says_what_it_expects():
    """Its text reads like a sentence of the message it stands in."""

    def recent(event):
        return True

    matcher = matching([CHUNK, DONE], source="me", data={"n": ..., "use": {"t": int}, "f": recent}, where=recent)
    name = recent.__qualname__
    expected = f"{{'n': ..., 'use': {{'t': of type int}}, 'f': {name}}}"
    assert str(matcher) == f"STREAM_CHUNK or STREAM_COMPLETED from 'me' with data {expected} where {name}"
    assert str(matching()) == "an event"
    assert str(matching(CHUNK, data=exactly({"a": 1}))) == "STREAM_CHUNK with data exactly {'a': 1}"
    assert str(matching(CHUNK, data=Usage)) == "STREAM_CHUNK with data of type Usage"


@pytest.mark.parametrize(
    "options, message",
    [
        ({"event_type": "chunk"}, "event_type must be a member of an Enum"),
        ({"event_type": CHUNK, "source": 5}, "source must be a str or None, got int 5"),
        ({"event_type": CHUNK, "where": "x"}, "where must be callable with one event, got str 'x'"),
    ],
)
def test_wrong_arguments_of_matching(options, message):
    """The message names the argument, what came and what is expected; the assertions pass it on."""
    with pytest.raises(TypeError, match=message):
        matching(**options)
    with pytest.raises(TypeError, match=message):
        assert_published([], **options)


# -- assert_published


def test_what_was_published_is_returned():
    """All events that are as described, oldest first."""
    assert assert_published(STORY, CHUNK) == STORY[1:3]
    assert assert_published(STORY, None) == STORY
    assert assert_published(STORY, CHUNK, data={"n": 1}) == [STORY[2]]
    assert assert_published(STORY, matching(source="model"), times=2) == STORY[:2]
    assert assert_published(STORY, Order.PLACED, times=0) == []


def test_a_bus_a_history_and_any_events_can_be_asked():
    """A bus stands for its history; events may come from anywhere, such as a generator."""
    bus = EventBus()
    for event in STORY:
        bus.emit(event)
    for recorded in (bus, bus.history, STORY, tuple(STORY), iter(STORY)):
        assert len(assert_published(recorded, CHUNK, times=2)) == 2


@pytest.mark.parametrize(
    "recorded, came",
    [(5, "int 5"), (None, "NoneType"), ("text", "not str objects"), ([CHUNK], "not EventType objects")],
)
def test_what_holds_no_events_is_refused(recorded, came):
    """It is an error of the test, not a failure."""
    for call in (
        lambda: assert_published(recorded, CHUNK),
        lambda: assert_sequence(recorded, [CHUNK]),
        lambda: assert_nothing_published(recorded),
    ):
        with pytest.raises(TypeError, match="recorded must be what record.bus. gives, a bus, or events") as caught:
            call()
        assert came in str(caught.value)


@pytest.mark.parametrize("times, error", [("2", TypeError), (-1, ValueError), (True, TypeError), (1.0, TypeError)])
def test_times_is_a_count(times, error):
    """Anything else is refused."""
    with pytest.raises(error, match="times must be"):
        assert_published(STORY, CHUNK, times=times)


@pytest.mark.parametrize("option", [{"source": "me"}, {"data": None}, {"where": print}])
def test_a_matcher_is_whole(option):
    """Conditions beside a matcher would be overlooked, so they are refused."""
    with pytest.raises(TypeError, match="part of a Matcher"):
        assert_published(STORY, matching(CHUNK), **option)


@pytest.mark.parametrize(
    "times, said",
    [
        (0, "STREAM_CHUNK was published 2 times, and should not have been:"),
        (1, "STREAM_CHUNK was published 2 times, not once:"),
        (3, "STREAM_CHUNK was published 2 times, not 3 times"),
    ],
)
def test_how_often_is_counted(times, said):
    """Once too often or too seldom is a failure, and says how often it was."""
    message = message_of(assert_published, STORY, CHUNK, times=times)
    assert message.splitlines()[0] == said
    assert "[1] STREAM_CHUNK from 'model': {'text': 'to', 'n': 0}" in message


def test_the_nearest_miss_comes_first():
    """The right type first, those with fewest differences before the others; then other types, alike ones first."""
    bus = EventBus()
    with record(bus) as published:
        bus.publish(STARTED)
        bus.publish(CHUNK, {"text": "or", "n": 7}, source="me")
        bus.publish(DONE, {"text": "be", "n": 1}, source="model")
        bus.publish(CHUNK, {"text": "bee", "n": 1}, source="model")
    message = message_of(assert_published, published, CHUNK, source="model", data={"text": "be", "n": 1})
    assert (
        message
        == """\
STREAM_CHUNK from 'model' with data {'text': 'be', 'n': 1} was not published

published, nearest first:
  [3] STREAM_CHUNK from 'model': {'text': 'bee', 'n': 1}
      data['text'] is 'bee', not 'be'
  [1] STREAM_CHUNK from 'me': {'text': 'or', 'n': 7}
      source is 'me', not 'model'
      data['text'] is 'or', not 'be'
      data['n'] is 7, not 1
  [2] STREAM_COMPLETED from 'model': {'text': 'be', 'n': 1}
      only its type is another
  [0] STREAM_STARTED"""
    )


def test_a_failure_tells_which_handlers_failed():
    """Why something was not published is often that a handler failed; equal failures are told once."""
    bus = EventBus()
    bus.subscribe(STARTED, lambda event: event.data["task"], name="planner")
    with record(bus) as published:
        bus.publish(STARTED, {})
        bus.publish(STARTED, {})
    assert (
        message_of(assert_published, published, DONE)
        == """\
STREAM_COMPLETED was not published

published, nearest first:
  [0] STREAM_STARTED: {}
  [2] STREAM_STARTED: {}

handlers failed meanwhile:
  planner failed on STREAM_STARTED: KeyError: 'task' (2 times)"""
    )


def test_a_long_story_is_cut():
    """Ten events are shown and the rest counted, each on a line of limited width; the scope is told if there is one."""
    bus = EventBus(name="run")
    scope = ScopedEventBus(bus, "agent")
    scope.publish(CHUNK, "x\n" * 500)
    for number in range(14):
        bus.publish(STARTED, number)
    lines = message_of(assert_published, bus, DONE).splitlines()
    assert lines[3].startswith(r"  [0] STREAM_CHUNK in run/agent: 'x\nx\n") and lines[3].endswith(" ...")
    assert len(lines) == 3 + 10 + 1 and lines[-1] == "  and 5 more"
    assert max(map(len, lines)) < 160


def test_a_payload_that_cannot_be_shown_stops_no_message():
    """The failure is told all the same."""

    class Hostile:
        def __repr__(self):
            raise RuntimeError("no")

    message = message_of(assert_published, [Event(CHUNK, Hostile())], DONE)
    assert "<Hostile that cannot be shown: RuntimeError: no>" in message


def test_nothing_published_at_all_is_said():
    """An empty recording gives no empty list."""
    assert message_of(assert_published, [], CHUNK) == "STREAM_CHUNK was not published\n\nnothing else was published"


def test_what_a_history_pushed_out_is_not_taken_for_unpublished():
    """Where the history of a bus has lost events, what depends on them fails and says what to do."""
    bus = EventBus(history_limit=2)
    for event_type in (STARTED, CHUNK, DONE):
        bus.publish(event_type)
    assert len(assert_published(bus, DONE)) == 1
    assert "the history has pushed out an older event; use record(bus)" in message_of(assert_published, bus, STARTED)
    for failing in (
        lambda: assert_published(bus, DONE, times=1),
        lambda: assert_nothing_published(bus, Order.PLACED),
        lambda: assert_sequence(bus, [CHUNK, DONE], strict=True),
    ):
        assert "cannot be told: the history has pushed out an older event" in message_of(failing)
    assert "pushed out" in message_of(assert_sequence, bus, [STARTED, CHUNK])


# -- assert_sequence


@pytest.mark.parametrize(
    "steps",
    [
        [STARTED],
        [STARTED, CHUNK, CHUNK, DONE],
        [CHUNK, DONE],
        [matching(source="model"), matching(source="model")],
        [matching(CHUNK, data={"n": 1}), DONE],
        [matching([DONE, CHUNK]), matching()],
    ],
)
def test_a_sequence_may_have_gaps(steps):
    """Other events may come before, between and after; those found are returned."""
    found = assert_sequence(STORY, steps)
    assert len(found) == len(steps)
    assert sorted(found, key=STORY.index) == found


@pytest.mark.parametrize("steps", [[DONE, STARTED], [CHUNK, CHUNK, CHUNK], [STARTED, Order.PLACED, DONE], [DONE, DONE]])
def test_a_sequence_out_of_order_or_incomplete_fails(steps):
    """One event is one step, and a later step needs a later event."""
    message_of(assert_sequence, STORY, steps)


def test_a_step_out_of_order_is_shown_where_it_was():
    """The message tells which event was which step, and that the missing one came too early."""
    assert (
        message_of(assert_sequence, STORY, [CHUNK, STARTED])
        == """\
step 2, STREAM_STARTED, was not published after step 1

  step 1, STREAM_CHUNK: [1] STREAM_CHUNK from 'model': {'text': 'to', 'n': 0}
> step 2, STREAM_STARTED: too early, as [0] STREAM_STARTED from 'model'"""
    )


def test_a_step_that_is_missing_is_shown_beside_what_came_instead():
    """Of what came after the step before, the nearest comes first."""
    steps = [STARTED, CHUNK, matching(CHUNK, data={"n": 2}), DONE]
    assert (
        message_of(assert_sequence, STORY, steps)
        == """\
step 3, STREAM_CHUNK with data {'n': 2}, was not published after step 2

  step 1, STREAM_STARTED: [0] STREAM_STARTED from 'model'
  step 2, STREAM_CHUNK: [1] STREAM_CHUNK from 'model': {'text': 'to', 'n': 0}
> step 3, STREAM_CHUNK with data {'n': 2}: missing

published after that, nearest first:
  [2] STREAM_CHUNK from 'me': {'text': 'be', 'n': 1}
      data['n'] is 1, not 2
  [3] STREAM_COMPLETED"""
    )


def test_a_strict_sequence_is_the_whole_story():
    """With strict nothing else may come before, between or after."""
    assert assert_sequence(STORY, [STARTED, CHUNK, CHUNK, DONE], strict=True) == STORY
    for steps in (
        [STARTED, CHUNK, CHUNK],
        [CHUNK, CHUNK, DONE],
        [STARTED, CHUNK, DONE],
        [STARTED, CHUNK, CHUNK, DONE, DONE],
    ):
        message_of(assert_sequence, STORY, steps, strict=True)


@pytest.mark.parametrize(
    "steps, message",
    [
        (
            [STARTED, matching(CHUNK, data={"n": 1}), CHUNK],
            """\
step 2, STREAM_CHUNK with data {'n': 1}, was not what was published there

  step 1, STREAM_STARTED: [0] STREAM_STARTED from 'model'
> step 2, STREAM_CHUNK with data {'n': 1}: [1] STREAM_CHUNK from 'model': {'text': 'to', 'n': 0}
      data['n'] is 0, not 1
  step 3, STREAM_CHUNK: [2] STREAM_CHUNK from 'me': {'text': 'be', 'n': 1}
  no step: [3] STREAM_COMPLETED""",
        ),
        (
            [STARTED, CHUNK],
            """\
more was published than 2 steps

  step 1, STREAM_STARTED: [0] STREAM_STARTED from 'model'
  step 2, STREAM_CHUNK: [1] STREAM_CHUNK from 'model': {'text': 'to', 'n': 0}
> no step: [2] STREAM_CHUNK from 'me': {'text': 'be', 'n': 1}
  no step: [3] STREAM_COMPLETED""",
        ),
        (
            [STARTED, CHUNK, CHUNK, DONE, DONE],
            """\
step 5, STREAM_COMPLETED, was not published

  step 1, STREAM_STARTED: [0] STREAM_STARTED from 'model'
  step 2, STREAM_CHUNK: [1] STREAM_CHUNK from 'model': {'text': 'to', 'n': 0}
  step 3, STREAM_CHUNK: [2] STREAM_CHUNK from 'me': {'text': 'be', 'n': 1}
  step 4, STREAM_COMPLETED: [3] STREAM_COMPLETED
> step 5, STREAM_COMPLETED: nothing""",
        ),
    ],
    ids=["another", "more", "less"],
)
def test_a_strict_sequence_shows_the_first_difference(steps, message):
    """Steps and events stand side by side, the first pair that differs is marked."""
    assert message_of(assert_sequence, STORY, steps, strict=True) == message


@pytest.mark.parametrize("steps", [CHUNK, Order, "text", 5, None, matching(CHUNK)])
def test_steps_come_as_a_list(steps):
    """One type alone, or what is no type, is refused."""
    with pytest.raises(TypeError, match="steps must be a list"):
        assert_sequence(STORY, steps)


def test_a_sequence_has_a_step():
    """A check of nothing is refused, and the message names the assertion that is meant."""
    with pytest.raises(ValueError, match="steps is empty.*assert_nothing_published"):
        assert_sequence(STORY, [])
    with pytest.raises(TypeError, match="strict must be True or False, got int 1"):
        assert_sequence(STORY, [CHUNK], strict=1)


# -- assert_nothing_published


def test_nothing_published():
    """It passes on no event at all, or on none of the types asked for, and else lists what there was."""
    assert_nothing_published([])
    assert_nothing_published(STORY, [Order.PLACED, EventType.HANDLER_ERROR])
    assert_nothing_published(STORY, matching(CHUNK, source="nobody"))
    assert (
        message_of(assert_nothing_published, STORY, [STARTED, DONE])
        == """\
STREAM_STARTED or STREAM_COMPLETED was published 2 times, and should not have been:
  [0] STREAM_STARTED from 'model'
  [3] STREAM_COMPLETED"""
    )
    assert message_of(assert_nothing_published, STORY).startswith("an event was published 4 times, and should not")


# -- clock and ids


def test_the_clock_ticks_with_each_reading():
    """From start, by step; looking at ``now`` moves nothing, and advance goes either way."""
    clock = TickingClock(100, 0.5)
    assert [clock(), clock()] == [100.0, 100.5]
    assert (clock.now, clock.now, clock()) == (101.0, 101.0, 101.0)
    clock.advance(60)
    assert clock() == 161.5
    clock.advance(-162)
    assert clock() == 0.0
    assert repr(clock) == "<TickingClock at 0.5, step 0.5>"


def test_a_clock_without_a_step_moves_only_when_told_to():
    """With step 0 every event has the same time until `advance`."""
    clock = TickingClock(5, step=0)
    assert [clock(), clock()] == [5.0, 5.0]
    clock.advance(1)
    assert clock() == 6.0


def test_no_two_threads_get_the_same_time():
    """Readings are neither lost nor doubled with four threads that take turns after every line."""
    clock = TickingClock()

    def take_turns(*_):
        time.sleep(0)
        return take_turns

    def read():
        sys.settrace(take_turns)
        return [clock() for _ in range(100)]

    assert sorted(one for times in in_threads(*[read] * 4) for one in times) == list(range(400))


@pytest.mark.parametrize("wrong", ["1", None, True, float("nan"), float("inf")])
@pytest.mark.parametrize("argument", ["start", "step", "seconds"])
def test_a_clock_takes_finite_numbers(argument, wrong):
    """Anything else is refused by name, at once."""
    clock = TickingClock()
    with pytest.raises(TypeError, match=f"{argument} must be a finite number of seconds"):
        clock.advance(wrong) if argument == "seconds" else TickingClock(**{argument: wrong})
    assert clock() == 0.0


def test_numbered_ids_are_ids():
    """They parse as UUIDs, sort in the order made, and no two threads get the same."""
    new_id = numbered_ids()
    first = new_id()
    assert uuid.UUID(first).int == 1
    with many_switches():
        made = in_threads(*[lambda: [new_id() for _ in range(200)]] * 8)
    assert sorted(one for ids in made for one in ids) == [f"{number:032x}" for number in range(2, 1602)]


# -- what is shipped


def test_only_the_contract_needs_pytest():
    """Recording and asserting work with any test runner; the contract is loaded when it is asked for."""
    program = """
import sys
from atlas_lab.testing import assert_published, matching, record, TickingClock
print([name for name in ("pytest", "unittest", "asyncio", "pandas") if name in sys.modules])
from atlas_lab.testing import BusContract
print("pytest" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\nTrue\n"


def test_a_misspelt_name_is_an_attribute_error():
    """The module says that it has no such name, as any module does."""
    with pytest.raises(AttributeError, match="'atlas_lab.testing' has no attribute 'BusContact'"):
        atlas_lab.testing.BusContact
