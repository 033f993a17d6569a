"""Forms for payload types: fields, their kinds, and what may stand in them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Literal, NotRequired, TypedDict

import msgspec
import pytest

from atlas_lab.payloads import PayloadType
from atlas_lab.widgets.forms import LEFT_OUT, MOST_FIELDS, fields_of, new_payload


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Everything:
    text: str
    number: int
    share: float
    maybe: int | None
    mode: Literal["fast", "slow"]
    colour: Colour
    parts: list[int]
    rest: dict
    yes: bool = True
    colours: list[Colour] = field(default_factory=lambda: [Colour.RED])


class Part(TypedDict):
    name: str
    size: NotRequired[int]


class Tagged(msgspec.Struct, tag="tagged"):
    name: str


def test_each_field_is_of_a_kind():
    """A checkbox for a bool, a list for a choice, JSON for what has parts."""
    assert {one.name: one.kind for one in fields_of(Everything)} == {
        "text": "text", "number": "int", "share": "float", "maybe": "int", "mode": "choice", "colour": "choice",
        "parts": "json", "rest": "json", "yes": "bool", "colours": "json",
    }  # fmt: skip
    assert [(one.name, one.required) for one in fields_of(Part)] == [("name", True), ("size", False)]


@dataclass
class Inner:
    x: int
    name: str = "n"


@dataclass
class Outer:
    inner: Inner
    mode: Literal["slow", "fast", 3]
    when: datetime
    maybe: Inner | None = None
    own: Inner = field(default_factory=lambda: Inner(7))


class Order(TypedDict):
    who: str
    colours: list[Colour]
    at: NotRequired[Inner]
    how: Literal["b", "a"] | None


@dataclass
class Endless:
    again: Endless


def test_the_fields_of_a_type_inside_a_type_stand_in_the_form():
    """One that may be missing is written as JSON, as is what is deeper than a form can show."""
    assert [one.name for one in fields_of(Outer)] == [
        "inner.x", "inner.name", "mode", "when", "maybe", "own.x", "own.name",
    ]  # fmt: skip
    assert new_payload(Outer) == {
        "inner": {"x": 0, "name": "n"}, "mode": "slow", "when": "", "maybe": None, "own": {"x": 7, "name": "n"},
    }  # fmt: skip
    assert [(one.name, one.kind) for one in fields_of(Endless)] == [("again.again.again", "json")]


def test_fields_and_choices_stand_in_the_order_of_the_type():
    """A person looks for them in the order in which they were written, and the first choice is the one to start with."""
    assert [one.name for one in fields_of(Order)] == ["who", "colours", "at", "how"]
    assert {one.name: one.choices for one in fields_of(Order)}["how"] == ("b", "a")
    assert {one.name: one.choices for one in fields_of(Outer)}["mode"] == ("slow", "fast", 3)


def test_what_json_holds_as_text_is_written_without_quotes():
    """A date is no JSON of its own; nothing written where the type has a value of its own leaves it out."""
    when = next(one for one in fields_of(Outer) if one.name == "when")
    assert (when.kind, when.read(" 2026-01-31T14:30:00 "), when.hint) == (
        "written", "2026-01-31T14:30:00", "2026-01-31T14:30:00",
    )  # fmt: skip


def test_a_field_inside_an_object_is_put_there_and_nothing_else_changes():
    """Also when the object is not there yet, or is no object at all."""
    x = fields_of(Outer)[0]
    for before in ({}, {"inner": 5}, {"inner": {"name": "m"}}):
        given = json.loads(json.dumps(before))
        x.put(given, 3)
        kept = before["inner"] if isinstance(before.get("inner"), dict) else {}
        assert given == {"inner": {**kept, "x": 3}}
        assert x.within(given) == 3
    assert x.within({"inner": 5}) is LEFT_OUT


@pytest.mark.parametrize("kind", [Everything, Part, Tagged, Inner])
def test_a_new_payload_fits_its_type(kind):
    """The form starts with a payload that can be published as it is."""
    PayloadType(kind, "data_type").fit(new_payload(kind))


def test_a_new_payload_takes_what_the_type_has_of_its_own():
    """Values of the type itself, nothing for what may be left out, and something empty for the rest."""
    made = new_payload(Everything)
    assert (made["yes"], made["colours"], made["mode"], made["colour"], made["parts"]) == (
        True, ["red"], "fast", "red", [],
    )  # fmt: skip
    assert new_payload(Part) == {"name": ""}
    assert new_payload(Tagged) == {"type": "tagged", "name": ""}


class Row(msgspec.Struct, array_like=True):
    a: int


Wide = msgspec.defstruct("Wide", [(f"f{number}", int) for number in range(MOST_FIELDS + 1)])


@pytest.mark.parametrize("kind", [int, dict, list[int], Row, Wide, Colour, 5])
def test_a_type_without_named_fields_has_no_form(kind):
    """Its payload is written as JSON."""
    assert fields_of(kind) == ()
    assert new_payload(kind) is None


@pytest.mark.parametrize(
    "name, text, value",
    [
        ("text", "", ""), ("text", "12", "12"), ("number", " 12 ", 12), ("share", "1.5", 1.5), ("share", "2", 2),
        ("maybe", "", None), ("mode", "slow", "slow"), ("colour", "blue", "blue"), ("parts", "[1]", [1]),
        ("yes", "False", False), ("yes", "", LEFT_OUT),
    ],
)  # fmt: skip
def test_a_text_is_read_as_the_field_asks(name, text, value):
    """The same text is a number in one field and text in another."""
    one = {one.name: one for one in fields_of(Everything)}[name]
    assert one.read(text) == value
    if text.strip():
        assert one.read(one.show(value)) == value


@pytest.mark.parametrize(
    "name, text, problem",
    [
        ("number", "two", "expected a whole number"), ("number", "1.5", "expected a whole number"),
        ("number", "", "expected a whole number"), ("number", "true", "expected a whole number"),
        ("share", "much", "expected a number"), ("mode", "medium", "expected one of fast, slow"),
        ("parts", "[1", "line 1, column 3"), ("yes", "perhaps", "expected true or false"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_says_what_is_expected(name, text, problem):
    """The message stands at the field."""
    one = {one.name: one for one in fields_of(Everything)}[name]
    with pytest.raises(ValueError, match=problem):
        one.read(text)
