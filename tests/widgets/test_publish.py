"""The publish form with its widgets, driven from Python as a person drives it in the browser."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import Enum
from typing import Literal

import pytest
from ipywidgets.widgets.widget import _instances

from atlas_lab import Event, EventBus, EventType, PublishPanel
from atlas_lab.testing.contract.workers import PATIENCE

CHUNK = EventType.STREAM_CHUNK
HOSTILE = "<img src=x onerror=alert(1)>"


class Order(Enum):
    PLACED = 1


@dataclass
class Chunk:
    text: str
    index: int
    mode: Literal["fast", "slow"] = "fast"
    final: bool = False


@pytest.fixture
def bus():
    bus = EventBus(name="run")

    @bus.on(CHUNK)
    def show(event: Event[Chunk]) -> None: ...

    return bus


@pytest.fixture
def panel(bus):
    panel = PublishPanel(bus)
    yield panel
    panel.close()


def shown(widget):
    return widget.layout.display != "none"


def test_what_is_typed_is_published(bus, panel):
    """Fields, then the button; the outcome says as what."""
    panel.data.value = '{"text": "hello", "index": 1}'
    panel.source.value = "me"
    panel.metadata.value = '{"run": 1}'
    panel.publish.click()
    event = bus.history[-1]
    assert (event.data, event.source, event.metadata) == (Chunk("hello", 1), "me", {"run": 1})
    assert "published as #1; 1 handler" in panel._outcome.value


def test_what_is_wrong_is_shown_at_the_field(panel):
    """With a border and a message; it goes when the payload is right."""
    panel.data.value = '{"text": "hello", "index": "two"}'
    assert "index: expected int, got str" in panel._messages["data"].value
    assert 'role="alert"' in panel._messages["data"].value
    assert "atlas-bad" in panel.data._dom_classes
    assert shown(panel.anyway)
    panel.data.value = '{"text": "hello", "index": 2}'
    assert panel._messages["data"].value == ""
    assert "atlas-bad" not in panel.data._dom_classes
    assert not shown(panel.anyway)
    panel.event_type.value = "NOTHING"
    assert panel.event_type.bad
    assert "no event type has this name" in panel._messages["event_type"].value


def test_the_form_and_the_json_are_one(bus, panel):
    """A field writes into the JSON, and the JSON into the fields; each kind has a widget of its own."""
    assert panel.data.description == "Payload (Chunk)"
    assert (shown(panel.data), shown(panel._form_box)) == (True, False)
    panel.as_form.value = True
    assert (shown(panel.data), shown(panel._form_box)) == (False, True)
    panel.form["text"].value = "hello"
    panel.form["index"].value = "7"
    panel.form["mode"].value = "slow"
    panel.form["final"].value = True
    panel.publish.click()
    assert bus.history[-1].data == Chunk("hello", 7, "slow", True)
    panel.form["index"].value = "seven"
    assert panel.form["index"].value == "seven"
    assert "expected a whole number" in panel._form_messages["index"].value
    panel.data.value = '{"text": "bye", "index": 8}'
    assert (panel.form["text"].value, panel.form["index"].value, panel.form["final"].value) == ("bye", "8", False)


def test_what_is_wrong_with_a_field_is_told_once(bus, panel):
    """At the field while the form is shown, below the text while the JSON is."""
    panel.data.value = '{"text": 5, "index": 8}'
    assert "text: expected str, got int" in panel._messages["data"].value
    panel.as_form.value = True
    assert "expected str, got int" in panel._form_messages["text"].value
    assert panel._messages["data"].value == ""


def test_forms_that_are_gone_leave_no_widget(bus, panel):
    """Changing the type many times costs no more than once."""
    panel.event_type.value = "AGENT_STARTED"
    assert (panel.form, shown(panel.as_form)) == ({}, False)
    before = len(_instances)
    for _ in range(3):
        panel.event_type.value = "STREAM_CHUNK"
        assert list(panel.form) == ["text", "index", "mode", "final"]
        panel.event_type.value = "AGENT_STARTED"
    assert len(_instances) == before


def test_a_recent_payload_is_sent_again(bus, panel):
    """With one click, and stands in the form then."""
    assert not shown(panel.again[0])
    for number in (1, 2):
        panel.data.value = f'{{"text": "{number}", "index": {number}}}'
        panel.publish.click()
    assert panel.again[1].description == '↻ STREAM_CHUNK {"text": "1", "index": 1}'
    panel.again[1].click()
    assert [event.data.index for event in bus.history] == [1, 2, 1]
    assert panel.data.value == '{"text": "1", "index": 1}'
    panel.again[3].click()
    assert len(bus.history) == 3


def test_repeat_shows_its_progress_and_can_be_stopped(bus, panel):
    """Stop takes the place of repeat while it runs."""
    panel.data.value = '{"text": "a", "index": 1}'
    panel.times.value, panel.rate.value = 1000, 50.0
    panel.repeat.click()
    assert (shown(panel.stop), shown(panel.repeat), panel.progress.max) == (True, False, 1000)
    run = panel.model.repeating
    end = time.monotonic() + PATIENCE
    while not run.done:
        assert time.monotonic() < end
        run._over.wait(0.02)
    panel.refresh()
    assert 0 < panel.progress.value < 1000
    panel.stop.click()
    assert run.join(PATIENCE)
    panel.refresh()
    assert (shown(panel.stop), shown(panel.repeat)) == (False, True)
    assert "stopped after" in panel._outcome.value


def test_closing_the_panel_ends_what_is_repeated(bus):
    """And leaves no thread."""
    panel = PublishPanel(bus, CHUNK)
    panel.data.value = '{"text": "a", "index": 1}'
    panel.repeat.click()
    run = panel.model.repeating
    panel.close()
    assert run.join(PATIENCE)


def test_a_closed_bus_disables_the_buttons(bus, panel):
    """What cannot work is not offered, and why is told in place of what came of the last publish."""
    panel.displayed = True
    panel.data.value = '{"text": "hello", "index": 2}'
    panel.publish.click()
    assert "published as #1" in panel._outcome.value
    bus.close()
    panel.tick()
    assert all(one.disabled for one in (panel.publish, panel.repeat, panel.data, panel.source, panel.metadata))
    assert "the bus is closed" in panel._outcome.value
    assert "published as" not in panel._outcome.value
    panel.publish.click()
    assert "the bus is closed" in panel._outcome.value


def test_new_event_types_are_offered_with_the_next_tick(bus, panel):
    """A type of one's own is there as soon as the bus has met it."""
    panel.displayed = True
    bus.subscribe(Order.PLACED, print)
    panel.tick()
    assert "Order.PLACED" in panel.event_type.options


def test_what_a_payload_holds_is_text_wherever_it_is_shown(bus, panel):
    """Messages are HTML, and a payload is anybody's."""
    panel.event_type.value = HOSTILE
    panel.data.value = HOSTILE
    panel.publish.click()
    strict = EventBus()
    strict.add_middleware(lambda event: 1 / 0, name=HOSTILE)
    other = PublishPanel(strict)
    other.publish.click()
    for form in (panel, other):
        for widget in (form._outcome, *form._messages.values()):
            assert "<img" not in widget.value
    assert "&lt;img" in other._outcome.value
    other.close()


def test_text_that_is_no_unicode_is_left_alone(panel):
    """A field of the browser may hold half a character; the kernel cannot send it back."""
    panel.data.value = "\ud800"
    assert panel.model.draft.data != "\ud800"
