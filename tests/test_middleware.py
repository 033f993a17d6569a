"""Stock middleware without a bus: what each lets pass, changes, drops and refuses."""

from __future__ import annotations

import copy
from collections import UserDict
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from types import MappingProxyType
from typing import Any, Protocol, TypedDict

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas_lab import middleware, redaction, thinning
from atlas_lab.errors import PayloadTypeError
from atlas_lab.events import Event, EventType
from atlas_lab.middleware import drop, enrich, iso_timestamp, keep, validate

CHUNK = EventType.STREAM_CHUNK
HEALTH = EventType.SYSTEM_HEALTH
STARTED = EventType.AGENT_STARTED


def test_all_stock_middleware_is_found_in_one_place():
    """Every stock middleware can be imported from atlas_lab.middleware, wherever it is made."""
    assert middleware.redact is redaction.redact
    assert (middleware.sample, middleware.rate_limit) == (thinning.sample, thinning.rate_limit)
    assert middleware.dedupe is thinning.dedupe
    assert all(hasattr(middleware, name) for name in middleware.__all__)


# iso_timestamp


@pytest.mark.parametrize(
    "timestamp, expected",
    [
        (1360321200.0, "2013-02-08T11:00:00.000000+00:00"),
        (1360321200.25, "2013-02-08T11:00:00.250000+00:00"),
        (0, "1970-01-01T00:00:00.000000+00:00"),
        (-1.5, "1969-12-31T23:59:58.500000+00:00"),
    ],
)
def test_iso_time(timestamp, expected):
    """metadata["iso_time"] is the event's time in UTC with microseconds, before the epoch too; other entries stay."""
    event = Event(CHUNK, "x", metadata={"a": 1}, timestamp=timestamp)
    assert iso_timestamp(event).metadata == {"a": 1, "iso_time": expected}
    assert event.metadata == {"a": 1}


@given(st.floats(-6e10, 2e11))
def test_iso_time_reads_back(timestamp):
    """The text parses back to the timestamp, to the microsecond."""
    parsed = datetime.fromisoformat(iso_timestamp(Event(CHUNK, timestamp=timestamp)).metadata["iso_time"])
    assert parsed.tzinfo == UTC
    assert parsed.timestamp() == pytest.approx(timestamp, abs=1e-6, rel=1e-15)


def test_iso_time_is_added_once():
    """An event that has its iso_time passes as it is; one with another's is corrected."""
    event = iso_timestamp(Event(CHUNK, timestamp=5.0))
    assert iso_timestamp(event) is event
    assert iso_timestamp(event.replace(timestamp=6.0)).metadata["iso_time"] == "1970-01-01T00:00:06.000000+00:00"


@pytest.mark.parametrize("timestamp", [1e18, float("nan")])
def test_iso_time_of_no_date(timestamp):
    """A timestamp that is no date raises instead of writing nonsense."""
    with pytest.raises((OverflowError, ValueError)):
        iso_timestamp(Event(CHUNK, timestamp=timestamp))


# keep and drop


@pytest.mark.parametrize(
    "what",
    [CHUNK, [CHUNK], {CHUNK, STARTED}, (CHUNK, STARTED), lambda event: event.type is CHUNK],
    ids=["member", "list", "set", "tuple", "predicate"],
)
def test_keep_and_drop_are_opposites(what):
    """By member, members or predicate, keep lets pass exactly what drop drops, and both pass the very same event."""
    for event, meant in ((Event(CHUNK), True), (Event(HEALTH), False)):
        assert keep(what)(event) is (event if meant else None)
        assert drop(what)(event) is (None if meant else event)


def test_one_pass_iterables_are_read_once():
    """A generator of types goes on working after the first event."""
    quiet = drop(one for one in [CHUNK, STARTED])
    assert [quiet(Event(kind)) for kind in (CHUNK, STARTED, CHUNK, STARTED)] == [None] * 4


def test_an_enum_defined_again_is_the_same_type():
    """After a notebook cell that defines an Enum ran again, keep and drop still mean its members."""
    first, again = (Enum("Order", "PLACED PAID") for _ in range(2))  # type: ignore[misc]
    event = Event(again.PLACED)
    assert keep(first.PLACED)(event) is event
    assert drop([first.PLACED])(event) is None
    assert drop(first.PAID)(event) is event


def test_members_of_one_name_in_different_enums_differ():
    """A user's own member is not taken for the core type of the same name."""

    class Mine(Enum):
        STREAM_CHUNK = 1

    event = Event(Mine.STREAM_CHUNK)
    assert drop(CHUNK)(event) is event


def is_long(event):
    return len(event.data) > 1


async def later(event):
    return True


@pytest.mark.parametrize("make", [keep, drop])
@pytest.mark.parametrize(
    "what, error, message",
    [
        ("stream.chunk", TypeError, "what must be a member .* pass EventType.STREAM_CHUNK, or pass a predicate"),
        (EventType, TypeError, "what must be a member .* or pass a predicate"),
        (5, TypeError, "what must be a member of an Enum, got int 5"),
        (None, TypeError, "what must be a member of an Enum, got NoneType"),
        ([CHUNK, "x"], TypeError, "what must be a member of an Enum, got str 'x'"),
        (dict, TypeError, "what must be a member of an Enum, got type"),
        ([], ValueError, "what is empty; name at least one event type$"),
        (later, TypeError, "what must be a plain predicate, got the async function later"),
    ],
)
def test_keep_and_drop_refuse_what_names_no_events(make, what, error, message):
    """Anything but members and predicates raises at construction; so does an async predicate, which would always be true."""
    with pytest.raises(error, match=message):
        make(what)


# enrich


def test_enrich_adds_values_and_what_callables_return():
    """Plain values and the results of callables become metadata of a copy."""
    event = Event(CHUNK, source="me", metadata={"a": 1})
    result = enrich({"not a word": 1}, run="x", who=lambda event: event.source)(event)
    assert result.metadata == {"a": 1, "not a word": 1, "run": "x", "who": "me"}
    assert event.metadata == {"a": 1}


def test_enrich_keeps_what_is_there():
    """An existing entry, even None, stays and its callable is not called, unless overwriting was asked for."""
    called = []
    event = Event(CHUNK, metadata={"run": None})
    fields = {"run": lambda event: called.append(event) or "mine"}
    assert enrich(fields)(event) is event
    assert called == []
    assert enrich(fields, overwrite=True)(event).metadata == {"run": "mine"}


def test_enrich_that_changes_nothing_passes_the_event():
    """Overwriting an entry with itself makes no copy."""
    value = [1]
    event = Event(CHUNK, metadata={"run": value})
    assert enrich(run=value, overwrite=True)(event) is event
    assert enrich(run=[1], overwrite=True)(event) is not event


def test_enrich_copies_the_fields_it_was_given():
    """Changing the mapping later does not change the middleware."""
    fields = {"a": 1}
    mark = enrich(fields)
    fields["b"] = 2
    assert mark(Event(CHUNK)).metadata == {"a": 1}


@pytest.mark.parametrize(
    "args, message",
    [
        ((), r"^enrich needs something to add: enrich\(run='baseline'\)$"),
        (([("a", 1)],), "fields must be a mapping of names to values, got list"),
        (({1: 2},), "fields must have str keys, got int 1"),
    ],
)
def test_enrich_refuses_wrong_fields(args, message):
    """Wrong fields raise a TypeError at construction that says what came."""
    with pytest.raises(TypeError, match=message):
        enrich(*args)


# validate


@dataclass
class Task:
    name: str
    steps: int = 1


class Job(msgspec.Struct):
    task: Task
    due: datetime | None = None


class Options(TypedDict):
    depth: int


class Named(Protocol):
    name: str


def refusal(payload_type: object, data: object, **options: Any) -> str:
    with pytest.raises(PayloadTypeError) as caught:
        validate({STARTED: payload_type}, **options)(Event(STARTED, data))
    return str(caught.value)


DUE = {"task": {"name": "a"}, "due": "2013-02-08T11:00:00Z"}


@pytest.mark.parametrize(
    "payload_type, data",
    [
        (Task, Task("a")),
        (Task, {"name": "a"}),
        (Task, MappingProxyType({"name": "a", "steps": 2})),
        (Task, UserDict(name="a")),
        (Job, DUE),
        (Options, {"depth": 1}),
        (list[int], [1, 2]),
        (dict[str, list[Task]], {"a": [{"name": "b"}, Task("c")]}),
        (int | str, "x"),
        (Task | None, None),
        (Task | None, {"name": "a"}),
        (None, None),
        (float, 1),
        (dict, {"any": "thing"}),
        (object, "anything"),
        (Any, "anything"),
        (datetime, datetime(2013, 2, 8, tzinfo=UTC)),
    ],
)
def test_payloads_that_fit_pass_unchanged(payload_type, data):
    """An instance passes, and so does what fits; without convert the very same event comes back."""
    event = Event(STARTED, data)
    assert validate({STARTED: payload_type})(event) is event


@pytest.mark.parametrize(
    "payload_type, data, parts",
    [
        (Task, {"name": "a", "steps": "x"}, ["AGENT_STARTED", "Task", "`int`", "$.steps"]),
        (Task, {"name": "a", "steps": "2"}, ["AGENT_STARTED", "Task", "`int`", "$.steps"]),
        (Task, {}, ["AGENT_STARTED", "Task", "required field `name`"]),
        (Job, {"task": {"name": 5}}, ["AGENT_STARTED", "Job", "`str`", "$.task.name"]),
        (Task, "a", ["AGENT_STARTED", "Task", "got `str`"]),
        (Task, Job(Task("a")), ["AGENT_STARTED", "Task", "got `Job`"]),
        (Task, None, ["AGENT_STARTED", "Task", "got `NoneType`"]),
        (Options, {"depth": "x"}, ["AGENT_STARTED", "Options", "`int`", "$.depth"]),
        (list[int], [1, "x"], ["AGENT_STARTED", "list[int]", "`int`", "$[1]"]),
        (int, 1.0, ["AGENT_STARTED", "int", "got `float`"]),
        (int, "1", ["AGENT_STARTED", "int", "got `str`"]),
        (datetime, "2013-02-08T11:00:00Z", ["AGENT_STARTED", "datetime", "got `str`"]),
        (EventType, "stream.chunk", ["AGENT_STARTED", "EventType", "got `str`"]),
        (Task | None, "a", ["AGENT_STARTED", "Task", "got `str`"]),
    ],
)
def test_payloads_that_do_not_fit_are_refused(payload_type, data, parts):
    """The error names the event type, the payload type, the field and what is expected there."""
    message = refusal(payload_type, data)
    assert [part for part in parts if part not in message] == []


def test_refusals_do_not_show_the_payload():
    """The error tells types only, so that a secret in a payload does not end in a log."""
    assert "hunter2" not in refusal(Task, "hunter2") + refusal(Task, {"name": "a", "steps": "hunter2"})


@pytest.mark.parametrize(
    "payload_type, data, expected",
    [
        (Task, {"name": "a", "steps": 2}, Task("a", 2)),
        (Job, DUE, Job(Task("a"), datetime(2013, 2, 8, 11, tzinfo=UTC))),
        (list[Task], [{"name": "a"}], [Task("a")]),
        (Options, {"depth": 1, "other": 2}, {"depth": 1}),
    ],
)
def test_convert_makes_instances(payload_type, data, expected):
    """With convert, what fits arrives as the type, and the event given and its payload stay as they are."""
    event = Event(STARTED, data)
    before = copy.deepcopy(data)
    result = validate({STARTED: payload_type}, convert=True)(event)
    assert (type(result.data), result.data) == (type(expected), expected)
    assert (result.id, event.data) == (event.id, before)


@pytest.mark.parametrize(
    "payload_type, data",
    [
        (Task, Task("a")),
        (Task | None, None),
        (dict, {}),
        (Any, {}),
    ],
)
def test_convert_that_changes_nothing_passes_the_event(payload_type, data):
    """With convert, a payload that is as it should be makes no copy."""
    event = Event(STARTED, data)
    assert validate({STARTED: payload_type}, convert=True)(event) is event


@pytest.mark.parametrize("data, shown", [([1], "[1.0]"), ([1.0, 2], "[1.0, 2.0]")])
def test_convert_tells_equal_values_of_other_types_apart(data, shown):
    """An int that becomes a float is a change, although the two are equal."""
    result = validate({STARTED: list[float]}, convert=True)(Event(STARTED, data))
    assert repr(result.data) == shown


def test_convert_still_refuses():
    """With convert, what does not fit is refused with the field named."""
    assert "$.steps" in refusal(Task, {"name": "a", "steps": "x"}, convert=True)


def test_other_event_types_are_not_validated():
    """Events of types without a rule pass, and a redefined Enum keeps its rule."""
    first, again = (Enum("Order", "PLACED PAID") for _ in range(2))  # type: ignore[misc]
    check = validate({first.PLACED: int})
    paid = Event(again.PAID, "x")
    assert check(paid) is paid
    with pytest.raises(PayloadTypeError, match=r"Order\.PLACED payload does not fit int"):
        check(Event(again.PLACED, "x"))


@pytest.mark.parametrize(
    "types, message",
    [
        ([(CHUNK, int)], "types must map event types to payload types, got list"),
        ({"stream.chunk": int}, "a key of types must be a member of an Enum"),
        ({CHUNK: 5}, r"types\[STREAM_CHUNK\] must be a type .* got int 5"),
        ({CHUNK: "Task"}, r"types\[STREAM_CHUNK\] must be a type"),
        ({CHUNK: Named}, r"types\[STREAM_CHUNK\] must be a type .* Named"),
        ({CHUNK: list["Nowhere"]}, r"types\[STREAM_CHUNK\] must be a type"),  # noqa: F821
        ({CHUNK: Task | Job}, r"types\[STREAM_CHUNK\] must be a type .* more than one dict-like"),
    ],
)
def test_validate_refuses_types_it_cannot_check(types, message):
    """Types that cannot be checked raise at construction, not at the first event."""
    with pytest.raises(TypeError, match=message):
        validate(types)


@pytest.mark.parametrize(
    "make, name",
    [
        (lambda: iso_timestamp, "iso_timestamp"),
        (lambda: keep(is_long), "keep(is_long)"),
        (lambda: drop({HEALTH, CHUNK}), "drop(STREAM_CHUNK, SYSTEM_HEALTH)"),
        (lambda: enrich(run=1, host=2), "enrich(run, host)"),
        (lambda: validate({CHUNK: str}), "validate(STREAM_CHUNK)"),
        (lambda: validate({CHUNK: str, HEALTH: int}), "validate(STREAM_CHUNK, SYSTEM_HEALTH)"),
    ],
)
def test_names_tell_how_it_was_made(make, name):
    """Panels and errors show each middleware by a name that tells how it was made."""
    function = make()
    assert (function.__name__, function.__qualname__) == (name, name)
