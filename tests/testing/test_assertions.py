"""Assertions about what was published, and what they show when they fail."""

from __future__ import annotations

from enum import Enum

import pytest

from atlas_lab import Event, EventBus, EventType, ScopedEventBus
from atlas_lab.testing import assert_nothing_published, assert_published, assert_sequence, matching, record

STARTED = EventType.STREAM_STARTED
CHUNK = EventType.STREAM_CHUNK
DONE = EventType.STREAM_COMPLETED


class Order(Enum):
    PLACED = "placed"


STORY = [
    Event(STARTED, None, "model"),
    Event(CHUNK, {"text": "to", "n": 0}, "model"),
    Event(CHUNK, {"text": "be", "n": 1}, "me"),
    Event(DONE),
]


def message_of(assertion, *arguments, **options):
    with pytest.raises(AssertionError) as caught:
        assertion(*arguments, **options)
    return str(caught.value)


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


@pytest.mark.parametrize("check", [assert_published, assert_sequence, assert_nothing_published])
def test_what_was_recorded_comes_first(check):
    """Who swaps the arguments, or forgets the block of `record`, is told so."""
    second = [CHUNK] if check is assert_sequence else CHUNK
    with pytest.raises(TypeError, match="recorded must be .* it comes first"):
        check(CHUNK, STORY)
    with pytest.raises(TypeError, match=r"use record in a with statement: with record\(bus\) as published"):
        check(record(EventBus()), second)


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
