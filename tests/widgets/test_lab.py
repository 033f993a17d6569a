"""The whole panel: its parts are one, and it goes as a whole."""

from __future__ import annotations

import pytest
from ipywidgets.widgets.widget import _instances

from atlas_lab import EventBus, EventType, Lab, drop
from atlas_lab.widgets.cells import CellRun, replace_earlier

CHUNK = EventType.STREAM_CHUNK


@pytest.fixture
def bus():
    return EventBus(name="run")


@pytest.fixture
def lab(bus):
    lab = Lab(bus)
    yield lab
    lab.close()


def test_it_is_made_of_the_parts_that_also_stand_alone(lab):
    """Whoever knows one of them knows it here."""
    kinds = ["RateView", "PublishPanel", "MiddlewarePanel", "EventFeed", "SubscriptionsPanel"]
    parts = (lab.rate, lab.publish, lab.middleware, lab.feed, lab.subscriptions)
    assert [type(part).__name__ for part in parts] == kinds
    assert set(parts) == set(lab.parts)


def test_what_is_done_in_one_part_shows_in_the_others(bus, lab):
    """Publish from the form, switch a middleware off, and see the next event arrive."""
    bus.add_middleware(drop(CHUNK), name="quiet")
    bus.subscribe(CHUNK, lambda event: None, name="show")
    lab.publish.data.value = '{"n": 1}'
    lab.publish.publish.click()
    assert lab.middleware.model.rows()[0].said == "1 in · all dropped"
    lab.middleware.model.switch("quiet", on=False)
    lab.publish.publish.click()
    lab.feed.model.update()
    assert [event.data for event in lab.feed.model.window()] == [{"n": 1}]
    assert lab.subscriptions.model.rows()[0].calls == 1


def test_recording_is_on_unless_it_is_not_wanted(bus):
    """It can be turned on and off, is shared by the parts, and ends with the panel."""
    lab = Lab(bus, record=False)
    assert lab.recording is None
    lab.record(True)
    recording = lab.recording
    assert recording.on
    assert lab.feed.recording is recording
    lab.close()
    assert not recording.on
    own = Lab(bus)
    assert own.recording.on
    own.record(False)
    assert not own.recording.on
    own.close()


def test_a_recording_of_somebody_else_is_theirs_to_stop(bus):
    """The panel only reads it."""
    with bus.record() as recording:
        lab = Lab(bus, record=recording)
        assert lab.recording is recording
        lab.close()
        assert recording.on


def test_pause_holds_what_is_shown(bus, lab):
    """Events, middleware and subscriptions; and the feed's own pause is the same one."""
    bus.publish(CHUNK, 1)
    lab.pause.value = True
    bus.publish(CHUNK, 2)
    lab.feed.model.update()
    assert [event.data for event in lab.feed.model.window()] == [1]
    assert (lab.middleware.paused, lab.subscriptions.paused, lab.pause.description) == (True, True, "Go on")
    lab.feed.paused = False
    assert (lab.pause.value, lab.middleware.paused, lab.pause.description) == (False, False, "Pause")
    lab.feed.model.update()
    assert [event.data for event in lab.feed.model.window()] == [2, 1]


def test_showing_it_shows_the_parts(lab):
    """They look for news from then on."""
    assert not any(part.displayed for part in lab.parts)
    lab._repr_mimebundle_()
    assert all(part.displayed for part in (lab, *lab.parts))


def test_running_the_cell_again_leaves_one_panel(bus):
    """As many widgets as after the first run, and the earlier panel is closed with all its parts."""
    first = Lab(bus)
    replace_earlier(first, CellRun("cell", 1))
    count = len(_instances)
    second = Lab(bus)
    replace_earlier(second, CellRun("cell", 2))
    assert (first.closed, second.closed) == (True, False)
    assert all(part.closed for part in first.parts)
    assert len(_instances) == count
    second.close()


def test_the_exported_page_holds_every_part(bus, lab):
    """The last state of form, middleware, events and subscriptions, without a kernel."""
    bus.add_middleware(drop(EventType.SYSTEM_HEALTH), name="quiet")
    bus.subscribe(CHUNK, lambda event: None, name="show")
    bus.publish(CHUNK, {"n": 41})
    page = lab._repr_mimebundle_()["text/html"]
    for part in ("Publish", "Middleware", "quiet", "1 in · all passed", "STREAM_CHUNK", "41", "1 subscription", "show"):
        assert part in page
