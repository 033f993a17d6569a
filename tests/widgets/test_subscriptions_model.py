"""The subscriptions of a bus as a panel shows them, without a widget."""

from __future__ import annotations

import gc

import pytest

from atlas_lab import EventBus, EventType
from atlas_lab.widgets.subscriptions_model import MOST_ROWS, SubscriptionsModel

CHUNK = EventType.STREAM_CHUNK


@pytest.fixture
def quiet(monkeypatch):
    monkeypatch.setattr("logging.lastResort", None)


def test_rows_tell_what_each_handler_did(quiet):
    """In the order of delivery, with what restricts it and the latest error."""
    bus = EventBus()
    bus.subscribe(CHUNK, lambda event: 1 / event.data, name="divide", source="me")
    bus.subscribe(None, print_nothing, priority=2, data_type=int)
    for number in (1, 0):
        bus.publish(CHUNK, number, source="me")
    rows = SubscriptionsModel(bus).rows()
    assert [(row.handler, row.types, row.restricted, row.calls, row.errors, row.last_error) for row in rows] == [
        ("print_nothing", "every type", "priority 2, data_type=int", 2, 1, rows[0].last_error),
        ("divide", "STREAM_CHUNK", "source='me'", 2, 1, "ZeroDivisionError: division by zero"),
    ]
    assert "PayloadTypeError" in rows[0].last_error


def print_nothing(event):
    pass


def test_the_place_shows_no_folder():
    """A panel may be exported; the folders of whoever made it are nobody's business."""
    bus = EventBus()
    bus.subscribe(CHUNK, print_nothing)
    place = SubscriptionsModel(bus).rows()[0].defined_at
    assert place.startswith("test_subscriptions_model.py:")


def test_a_handler_is_paused_resumed_and_ended():
    """By its key, which stays the same, or by its name."""
    bus = EventBus()
    bus.subscribe(CHUNK, print_nothing)
    model = SubscriptionsModel(bus)
    key = model.rows()[0].key
    assert model.pause(key)
    bus.publish(CHUNK)
    assert (model.rows()[0].calls, model.rows()[0].paused, model.rows()[0].key) == (0, True, key)
    assert model.resume("print_nothing")
    bus.publish(CHUNK)
    assert model.rows()[0].calls == 1
    assert model.unsubscribe(key)
    assert (model.rows(), model.pause(key), model.unsubscribe(key)) == ((), False, False)


def test_two_subscriptions_of_one_handler_have_keys_of_their_own():
    """Pausing one leaves the other."""
    bus = EventBus()
    for _ in range(2):
        bus.subscribe(CHUNK, print_nothing)
    model = SubscriptionsModel(bus)
    model.pause(model.rows()[1].key)
    assert [row.paused for row in model.rows()] == [False, True]


def test_a_search_looks_at_handler_type_place_and_error(quiet):
    """Capital letters or not."""
    bus = EventBus()
    bus.subscribe(CHUNK, lambda event: 1 / 0, name="fragile")
    bus.subscribe(EventType.AGENT_STARTED, print_nothing)
    bus.publish(CHUNK)
    model = SubscriptionsModel(bus)
    found = {}
    for text in ("FRAG", "agent_", "zerodivision", "model.py", "nowhere"):
        model.search = text
        found[text] = len(model.rows())
    assert found == {"FRAG": 1, "agent_": 1, "zerodivision": 1, "model.py": 2, "nowhere": 0}
    assert model.total == 2


def test_many_subscriptions_are_not_all_shown():
    """The panel stays quick, and knows how many there are."""
    bus = EventBus()
    for _ in range(MOST_ROWS + 5):
        bus.subscribe(CHUNK, print_nothing)
    model = SubscriptionsModel(bus)
    assert (len(model.rows()), model.total) == (MOST_ROWS, MOST_ROWS + 5)


def test_handlers_whose_object_is_gone_are_named():
    """Nobody else tells why they are no longer in the list."""
    bus = EventBus()

    class Agent:
        def work(self, event):
            pass

    agent = Agent()
    bus.subscribe(CHUNK, agent.work)
    bus.publish(CHUNK)
    model = SubscriptionsModel(bus)
    assert model.note() == ""
    del agent
    gc.collect()
    assert "1 handler ended with its object" in model.note()
    assert "Agent.work" in model.note()


def test_a_panel_keeps_no_subscription_alive():
    """What ended can be freed."""
    bus = EventBus()
    model = SubscriptionsModel(bus)
    bus.subscribe(CHUNK, print_nothing)
    model.rows()
    bus.subscriptions()[0]()
    gc.collect()
    assert len(model._keys) == 0
