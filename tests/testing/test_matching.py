"""What a test may expect of an event, and how what differs is told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import msgspec
import pytest

from atlas_lab import Event, EventType
from atlas_lab.testing import assert_published, exactly, matching

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


@pytest.mark.parametrize(
    "payload, expected, misses",
    [
        ({"a": 1, "b": 2}, {"a": 1}, []),
        ({"a": 1}, {"a": 1, "b": 2}, ["data has no 'b'"]),
        ({"a": 1}, {"a": 2}, ["data['a'] is 1, not 2"]),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, []),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, ["data['a']['b'] is 1, not 2"]),
        ({"a": {"b": 1, "c": 2}}, {"a": exactly({"b": 1})}, ["data['a'] also has 'c'"]),
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
        (Usage(5), Usage(6), ["data.tokens is 5, not 6"]),
        (Usage(5), Usage, []),
        (Usage(5), Chunk, ["data is no Chunk"]),
        ({"a": 1}, exactly({"a": 1}), []),
        ({"a": 1, "b": 2}, exactly({"a": 1}), ["data also has 'b'"]),
        ({"a": 1}, exactly({"a": 2, "b": [Usage(5)]}), ["data has no 'b'", "data['a'] is 1, not 2"]),
        ([Usage(5)], [Usage(6)], ["data is not [Usage(tokens=6, model='small')]"]),
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
        assert_published([Event(CHUNK, {})], CHUNK, where=lambda event: event.data["missing"])


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


async def later(event):
    return True


@pytest.mark.parametrize(
    "options, message",
    [
        ({"event_type": "chunk"}, "event_type must be a member of an Enum"),
        ({"event_type": CHUNK, "source": 5}, "source must be a str or None, got int 5"),
        ({"event_type": CHUNK, "where": "x"}, "where must be callable with one event, got str 'x'"),
        ({"event_type": CHUNK, "where": later}, "where must be a plain function, got the async function later"),
    ],
)
def test_wrong_arguments_of_matching(options, message):
    """The message names the argument, what came and what is expected; the assertions pass it on."""
    with pytest.raises(TypeError, match=message):
        matching(**options)
    with pytest.raises(TypeError, match=message):
        assert_published([], **options)
