"""The form that publishes, without a widget: drafts, what is wrong with them, and what comes of them."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import Enum

import pytest

from atlas_lab import Event, EventBus, EventType, drop, validate
from atlas_lab.testing.contract.workers import PATIENCE
from atlas_lab.widgets.publish_model import KEPT, PublishModel

CHUNK = EventType.STREAM_CHUNK


@dataclass
class Chunk:
    text: str
    index: int = 0


class Order(Enum):
    PLACED = "placed"


@pytest.fixture
def typed_bus():
    bus = EventBus(name="run")
    seen = []

    @bus.on(CHUNK)
    def show(event: Event[Chunk]) -> None:
        seen.append(event.data)

    bus.seen = seen
    return bus


def quiet(monkeypatch):
    monkeypatch.setattr("logging.lastResort", None)


def test_a_draft_becomes_an_event():
    """Type, payload, source and metadata arrive as they were written."""
    bus = EventBus()
    form = PublishModel(bus, EventType.AGENT_STARTED)
    form.edit(data='{"agent": "planner"}', source="me", metadata='{"run": 1}')
    event_id = form.publish()
    event = bus.history[-1]
    assert (event.id, event.type_name, event.data, event.source, event.metadata) == (
        event_id, "AGENT_STARTED", {"agent": "planner"}, "me", {"run": 1},
    )  # fmt: skip
    form.edit(data="", source="", metadata="")
    form.publish()
    assert (bus.history[-1].data, bus.history[-1].source, bus.history[-1].metadata) == (None, None, {})


def test_a_payload_is_checked_against_what_handlers_ask_for(typed_bus):
    """The message is the field and the reason, and nothing is published that does not fit."""
    form = PublishModel(typed_bus, CHUNK)
    form.edit(data='{"text": "hello", "index": "two"}')
    assert form.problems == {"data": "index: expected int, got str", "data.index": "expected int, got str"}
    assert form.publish() is None
    assert form.outcome.text == "not published: the payload does not fit"
    assert (len(typed_bus.history), form.recent) == (0, ())
    form.edit(data='{"text": "hello", "index": 2}')
    assert form.problems == {}
    form.publish()
    assert typed_bus.seen == [Chunk("hello", 2)]
    assert typed_bus.history[-1].data == Chunk("hello", 2)
    assert form.outcome.text == "published as #1; 1 handler"


def test_a_payload_that_does_not_fit_can_be_published_anyway(typed_bus, monkeypatch):
    """To see what handlers do with it; JSON that is none cannot."""
    quiet(monkeypatch)
    form = PublishModel(typed_bus, CHUNK)
    form.edit(data='{"index": 1}')
    assert form.publish(anyway=True) is not None
    assert typed_bus.history[-1].type is EventType.HANDLER_ERROR
    assert "1 handler failed: PayloadTypeError" in form.outcome.text
    form.edit(data="{")
    assert form.publish(anyway=True) is None
    assert not form.can_publish(anyway=True)


def test_handlers_that_ask_for_different_types_are_told_apart(typed_bus):
    """Then the payload stays a mapping, and the message says who does not take it."""
    typed_bus.subscribe(CHUNK, print, data_type=list[int], name="sum up")
    form = PublishModel(typed_bus, CHUNK)
    form.edit(data='{"text": "a"}')
    assert form.problems["data"].endswith("(sum up)")


def test_a_payload_that_fits_several_types_stays_as_it_was_written(typed_bus):
    """Each handler gets its own type of it."""
    typed_bus.subscribe(CHUNK, lambda event: None, data_type=dict, priority=1)
    form = PublishModel(typed_bus, CHUNK)
    form.edit(data='{"text": "a"}')
    form.publish()
    assert (typed_bus.history[-1].data, typed_bus.seen) == ({"text": "a"}, [Chunk("a")])


def test_a_form_is_offered_for_a_known_type(typed_bus):
    """It starts with an empty payload, writes into the JSON and follows it."""
    form = PublishModel(typed_bus, EventType.SYSTEM_INIT)
    assert (form.fields(), form.draft.data, form.type_name) == ((), "", "")
    form.edit(event_type=CHUNK)
    assert form.type_name == "Chunk"
    assert form.values() == {"text": "", "index": "0"}
    form.set_field("text", "hello")
    form.set_field("index", "two")
    assert form.problems == {"data.index": "expected a whole number"}
    form.set_field("index", "2")
    assert (form.draft.data, form.problems) == ('{"text": "hello",\n "index": 2}', {})
    form.edit(data='{"text": "bye"}')
    assert form.values() == {"text": "bye", "index": ""}
    with pytest.raises(KeyError):
        form.set_field("nothing", "1")


def test_a_field_inside_an_object_is_written_where_it_stands():
    """The payload offered fits its type at once, and a problem inside an object is told at its field."""

    @dataclass
    class Node:
        name: str
        size: Size

    @dataclass
    class Size:
        rows: int
        unit: str = "row"

    Node.__annotations__["size"] = Size
    bus = EventBus()
    bus.subscribe(CHUNK, lambda event: None, data_type=Node)
    form = PublishModel(bus, CHUNK)
    assert (form.draft.data, form.problems) == ('{"name": "",\n "size": {"rows": 0, "unit": "row"}}', {})
    form.set_field("size.rows", "3")
    assert form.values() == {"name": "", "size.rows": "3", "size.unit": "row"}
    form.edit(data='{"name": "", "size": {"rows": "3"}}')
    assert form.problems == {
        "data": "size.rows: expected int, got str", "data.size.rows": "expected int, got str",
    }  # fmt: skip
    assert form.publish() is None
    form.set_field("size.rows", "4")
    form.publish()
    assert bus.history[-1].data == Node("", Size(4))


def test_a_payload_that_was_touched_stays_when_the_type_changes(typed_bus):
    """Choosing another type takes nothing away that somebody wrote."""
    form = PublishModel(typed_bus, CHUNK)
    form.edit(event_type=EventType.AGENT_STARTED)
    assert form.draft.data == ""
    form.edit(data='{"mine": 1}')
    form.edit(event_type=CHUNK)
    assert form.draft.data == '{"mine": 1}'


def test_types_of_the_users_own_are_offered_once_the_bus_has_met_them():
    """Those that somebody listens to come first; a search is for any part of the name."""
    bus = EventBus()
    form = PublishModel(bus)
    assert "Order.PLACED" not in form.types()
    bus.publish(Order.PLACED)
    assert form.types("placed") == ["Order.PLACED"]
    bus.subscribe(EventType.TASK_SUBMITTED, print)
    assert form.types()[0] == "TASK_SUBMITTED"
    form.edit(event_type="Order.PLACED")
    form.publish()
    assert bus.history[-1].type is Order.PLACED


def test_an_enum_that_was_defined_again_is_the_latest_one():
    """Running the cell of an Enum again makes new members of the same names."""
    bus = EventBus()
    older = Enum("Order", {"PLACED": "placed"})
    newer = Enum("Order", {"PLACED": "placed"})
    bus.subscribe(older.PLACED, print)()
    form = PublishModel(bus, older.PLACED)
    bus.subscribe(newer.PLACED, lambda event: None)
    form.types()
    form.publish()
    assert bus.history[-1].type is newer.PLACED


@pytest.mark.parametrize(
    "changes, field, problem",
    [
        ({"event_type": "STREAM_CHUNKS"}, "event_type", "no event type has this name; did you mean STREAM_CHUNK?"),
        ({"event_type": ""}, "event_type", "choose an event type"),
        ({"data": "{"}, "data", "line 1, column 2: a key is missing, the text ends here"),
        ({"metadata": "[1]"}, "metadata", 'expected an object, such as {"run": 1}'),
    ],
)
def test_what_is_wrong_stands_at_its_field(changes, field, problem):
    """And nothing is published, by the way the outcome names the field."""
    bus = EventBus()
    form = PublishModel(bus)
    form.edit(**changes)
    assert form.problems == {field: problem}
    assert form.publish() is None
    assert len(bus.history) == 0
    assert form.outcome.text.startswith("not published: ")


@pytest.mark.parametrize("changes", [{"data": 5}, {"source": b"me"}, {"event_type": 3}, {"data": "\ud800"}])
def test_what_is_no_text_is_refused(changes):
    """By name, before anything is changed."""
    form = PublishModel(EventBus())
    before = form.draft
    with pytest.raises((TypeError, ValueError), match=next(iter(changes))):
        form.edit(**changes)
    assert form.draft == before


def test_errors_of_publishing_are_told_with_a_remedy(monkeypatch):
    """None of them reaches who pressed the button, and each says what to do."""
    quiet(monkeypatch)
    told = []

    def outcome(bus):
        form = PublishModel(bus)
        assert form.publish() is None
        told.append((form.outcome.text, bool(form.outcome.remedy), form.outcome.ok))
        return form

    refusing = EventBus()
    refusing.add_middleware(lambda event: 1 / 0, name="broken")
    outcome(refusing)
    checking = EventBus()
    checking.add_middleware(validate({CHUNK: Chunk}))
    assert outcome(checking).problems["data"] == "expected Chunk, got NoneType"
    closed = EventBus()
    closed.close()
    outcome(closed)
    circle = EventBus(max_depth=5)
    circle.subscribe(CHUNK, lambda event: circle.publish(CHUNK))
    outcome(circle)
    strict = EventBus(on_error="raise")
    strict.subscribe(CHUNK, lambda event: 1 / 0)
    outcome(strict)
    texts = [text for text, _, _ in told]
    assert [(remedy, ok) for _, remedy, ok in told] == [(True, False)] * 5
    assert "middleware 'broken' raised ZeroDivisionError" in texts[0]
    assert "PayloadTypeError" in texts[1]
    assert texts[2] == "not published: the bus is closed"
    assert texts[3].startswith("handlers publish in a circle, 5 deep")
    assert texts[4] == "published, but 1 handler failed: ZeroDivisionError: division by zero"


def test_an_event_that_middleware_drops_is_told_as_dropped():
    """It has an id all the same; a person would look for it in vain."""
    bus = EventBus()
    entry = bus.add_middleware(drop(CHUNK))
    form = PublishModel(bus)
    assert form.publish() is not None
    assert form.outcome.text == "dropped by middleware: not stored, not delivered"
    entry.enabled = False
    form.publish()
    assert form.outcome.text == "published as #1; nobody listens to STREAM_CHUNK"


def test_a_history_that_keeps_nothing_says_nothing_of_dropping():
    """What cannot be known is not told."""
    form = PublishModel(EventBus(history_limit=0))
    form.publish()
    assert form.outcome.text == "published"


def test_recent_payloads_are_sent_again():
    """Each is kept once, the latest first, and as many as the panel shows."""
    bus = EventBus()
    form = PublishModel(bus)
    for number in range(KEPT + 3):
        form.edit(data=str(number))
        form.publish()
    assert [draft.data for draft in form.recent] == [str(number) for number in range(KEPT + 2, 2, -1)]
    form.publish_again(2)
    assert bus.history[-1].data == KEPT
    assert form.recent[0].data == form.draft.data == str(KEPT)
    assert len(form.recent) == KEPT


def test_repeat_publishes_each_event_with_a_payload_of_its_own():
    """A handler that changes its payload changes one event only."""
    bus = EventBus()
    bus.subscribe(CHUNK, lambda event: event.data.append(1))
    form = PublishModel(bus)
    form.edit(data="[0]")
    assert form.start_repeat(5, 1000)
    assert form.repeating.join(PATIENCE)
    assert [event.data for event in bus.history] == [[0, 1]] * 5
    assert form.outcome.text == "published 5 of 5 events"


def test_repeat_stops_when_it_is_told_to_and_when_the_form_is_closed():
    """And leaves no thread."""
    form = PublishModel(EventBus())
    form.publish()
    for end in (form.stop, form.close):
        assert form.start_repeat(1000, 1)
        assert form.outcome is None, "what came of the publish before says nothing about a run that goes on"
        run = form.repeating
        end()
        assert run.join(PATIENCE)
    assert "stopped after" in form.outcome.text
    assert not form.start_repeat(10, 10)
    assert not [thread for thread in threading.enumerate() if thread.name == "atlas_lab repeat"]


def test_repeat_ends_with_the_bus():
    """The first error ends it, and the outcome says after how many."""
    bus = EventBus()
    bus.subscribe(CHUNK, lambda event: bus.close() if event.seq == 3 else None)
    form = PublishModel(bus)
    assert form.start_repeat(100, 1000)
    assert form.repeating.join(PATIENCE)
    assert form.outcome.text == "stopped after 3 of 100 events: not published: the bus is closed"
    assert form.outcome.remedy != ""


@pytest.mark.parametrize("times, rate", [(0, 1), (10, 0), (10_000_000, 1), (10, "fast")])
def test_a_repeat_that_makes_no_sense_is_a_problem_at_its_field(times, rate):
    """The limits are told, and nothing runs."""
    form = PublishModel(EventBus())
    assert not form.start_repeat(times, rate)
    assert "must be" in form.problems["repeat"]
    form.edit(data="1")
    assert "repeat" in form.problems


def test_whoever_wants_to_hears_of_changes():
    """The view shows what the model says, whoever changed it."""
    form, heard = PublishModel(EventBus()), []
    form.changed = lambda: heard.append(form.draft.data)
    form.edit(data="1")
    assert heard == ["1"]
    form.close()
    form.edit(data="2")
    assert heard == ["1"]
