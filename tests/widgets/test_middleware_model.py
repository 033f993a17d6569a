"""The middleware of a bus as a panel shows it, without a widget."""

from __future__ import annotations

import pytest

from atlas_lab import EventBus, EventType, MiddlewareError, drop, iso_timestamp
from atlas_lab.widgets.middleware_model import MOST_ROWS, MiddlewareModel

CHUNK = EventType.STREAM_CHUNK


def pass_on(event):
    return event


@pytest.fixture
def bus():
    bus = EventBus()
    for name in ("first", "second", "third"):
        bus.add_middleware(pass_on, name=name)
    return bus


def names(model):
    return [row.name for row in model.rows()]


def test_rows_tell_what_each_entry_did():
    """Counts, the time for one event, and a line that a person reads."""
    bus = EventBus()
    bus.add_middleware(iso_timestamp)
    bus.add_middleware(drop(CHUNK), name="quiet")
    bus.add_middleware(lambda event: 1 / 0 if event.data == 13 else event, name="fragile")
    model = MiddlewareModel(bus)
    assert [row.said for row in model.rows()] == ["0 in"] * 3
    assert model.rows()[0].mean is None
    for number in range(12):
        bus.publish(CHUNK if number % 3 else EventType.SYSTEM_INIT, number)
    with pytest.raises(MiddlewareError):
        bus.publish(EventType.SYSTEM_INIT, 13)
    said = [row.said for row in model.rows()]
    assert said == ["13 in · all transformed", "13 in · 8 dropped", "5 in · 1 raised"]
    assert 0 < model.rows()[0].mean < 1


def test_switching_takes_effect_on_the_next_event_and_tells_since_when(bus):
    """An entry that is off says from which event on."""
    model = MiddlewareModel(bus)
    bus.publish(CHUNK)
    assert model.switch("second")
    bus.publish(CHUNK)
    row = model.rows()[1]
    assert (row.enabled, row.stats.seen, row.off_since) == (False, 1, 1)
    assert model.switch("second", on=True)
    assert model.rows()[1].off_since is None
    assert not model.switch("nobody")


@pytest.mark.parametrize(
    "name, by, order, moved",
    [
        ("third", -1, ["first", "third", "second"], True),
        ("first", 1, ["second", "first", "third"], True),
        ("first", 2, ["second", "third", "first"], True),
        ("third", -5, ["third", "first", "second"], True),
        ("first", -1, ["first", "second", "third"], False),
        ("third", 1, ["first", "second", "third"], False),
        ("nobody", 1, ["first", "second", "third"], False),
    ],
)
def test_an_entry_moves_up_and_down(bus, name, by, order, moved):
    """As far as there is room; the ends stay ends."""
    model = MiddlewareModel(bus)
    assert model.move(name, by) is moved
    assert names(model) == order


def test_an_entry_is_removed(bus):
    """For good; what is gone already is no error."""
    model = MiddlewareModel(bus)
    assert (model.remove("second"), model.remove("second")) == (True, False)
    assert names(model) == ["first", "third"]


def test_what_is_changed_elsewhere_is_seen(bus):
    """The bus is the truth, not the panel."""
    model = MiddlewareModel(bus)
    model.rows()
    bus.middleware[0].enabled = False
    bus.middleware[2].move(before="first")
    assert [(row.name, row.enabled) for row in model.rows()] == [("third", True), ("first", False), ("second", True)]


def test_a_thousand_entries_are_not_all_shown():
    """The panel stays quick, and knows how many there are."""
    bus = EventBus()
    for number in range(MOST_ROWS + 5):
        bus.add_middleware(pass_on, name=str(number))
    model = MiddlewareModel(bus)
    assert (len(model.rows()), model.total) == (MOST_ROWS, MOST_ROWS + 5)


def test_a_name_is_text(bus):
    """What comes from elsewhere is refused by name."""
    with pytest.raises(TypeError, match="^name must be the name of a middleware, got int 5$"):
        MiddlewareModel(bus).find(5)
