"""What holds for every panel of controls: what it takes, what it sends, what it leaves behind."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading

import numpy as np
import pytest
from ipywidgets.widgets.widget import _instances

from atlas_lab import (
    EventBus,
    EventFeed,
    EventType,
    Lab,
    MiddlewarePanel,
    PublishPanel,
    RateView,
    SubscriptionsPanel,
)
from atlas_lab.testing.contract.workers import PATIENCE
from atlas_lab.widgets.view import VIEW

CHUNK = EventType.STREAM_CHUNK
VIEWS = [PublishPanel, MiddlewarePanel, SubscriptionsPanel, Lab]
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def bus():
    bus = EventBus(name="run")
    bus.add_middleware(lambda event: event, name=HOSTILE)
    bus.subscribe(CHUNK, lambda event: None, name=HOSTILE)
    return bus


def ticking():
    return [thread for thread in threading.enumerate() if thread.name == "atlas_lab ticker"]


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("wrong", [None, "bus", EventBus])
def test_what_is_no_bus_is_refused(view, wrong):
    """With what came and what is expected, and nothing is left of it."""
    before = len(_instances)
    with pytest.raises(TypeError, match="^bus must be an EventBus, got "):
        view(wrong)
    assert len(_instances) == before


@pytest.mark.parametrize("view", VIEWS)
def test_closing_leaves_nothing_behind(view, bus):
    """No widget, no thread, no subscription, no recording; closing twice is no error."""
    subscribed, before, threads = len(bus.subscriptions()), len(_instances), ticking()
    panel = view(bus)
    panel._repr_mimebundle_()
    panel.tick()
    panel.close()
    panel.close()
    assert len(_instances) == before
    assert len(bus.subscriptions()) == subscribed
    assert bus._signals.recorders == ()
    for thread in set(ticking()) - set(threads):
        thread.join(PATIENCE)
    assert set(ticking()) <= set(threads)


@pytest.mark.parametrize("view", VIEWS)
def test_an_exported_page_shows_the_last_state_and_runs_nothing(view, bus):
    """View, HTML and text come together; what the bus holds is escaped."""
    panel = view(bus)
    bus.publish(CHUNK, {"text": HOSTILE}, source=HOSTILE)
    if view in (PublishPanel, Lab):
        form = getattr(panel, "publish", panel) if view is Lab else panel
        form.data.value = f'{{"text": "{HOSTILE}"'
        form.source.value = HOSTILE
        form.publish.click()
    bundle = panel._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html", VIEW}
    assert "<img" not in bundle["text/html"]
    assert "&lt;img" in bundle["text/html"]
    assert re.fullmatch(rf"<{view.__name__} of run: 1 events>", bundle["text/plain"])
    panel.close()
    assert VIEW not in panel._repr_mimebundle_()


@pytest.mark.parametrize("view", VIEWS)
def test_it_sends_nothing_while_nobody_sees_it_or_nothing_changes(view, bus, monkeypatch):
    """A panel costs nothing in a notebook that is closed, and next to nothing in one that is quiet."""
    panel = view(bus)
    parts = panel.parts if view is Lab else (panel,)
    sent = []
    for part in parts:
        for one in (part, *getattr(part, "children", ())):
            monkeypatch.setattr(type(one), "send", lambda self, content, buffers=None: sent.append(content))
    for part in (panel, *parts):
        part.displayed = False
        part.tick()
    assert sent == []
    panel._repr_mimebundle_()
    for part in parts:
        part.tick()
    first = len(sent)
    for _ in range(3):
        for part in parts:
            part._spoken = float("-inf")
            part.tick()
    assert len(sent) == first
    panel.close()


def test_what_was_moves_on_in_the_curves_while_nothing_happens(bus, monkeypatch):
    """Else a burst would stand where it was for ever; it moves once a second, and a curve at rest is not sent."""
    now = 0.0
    monkeypatch.setattr("atlas_lab.widgets.rate.time.monotonic", lambda: now)
    view = RateView(bus)
    view.model._clock = lambda: now
    sent = []

    def look(until):
        nonlocal now
        while now < until:
            now += 0.5
            if (news := view.news(everything=False)) is not None:
                sent.append((now, np.frombuffer(news[1][0], np.float32).argmax()))

    look(1)
    bus.publish(EventType.STREAM_CHUNK)
    sent.clear()
    look(20)
    times, tops = zip(*sent, strict=True)
    assert 18 <= len(sent) <= 24
    assert tops[0] - tops[-1] == pytest.approx((times[-1] - times[0]) * 5, abs=6)
    look(70)
    sent.clear()
    look(90)
    assert sent == []
    view.close()


@pytest.mark.parametrize("view", [EventFeed, MiddlewarePanel, SubscriptionsPanel, RateView])
def test_text_that_no_message_can_hold_does_not_silence_a_view(view, monkeypatch):
    """Half a surrogate pair in a name or a source is shown as "?", and what is new goes on arriving."""
    bus, sent = EventBus(name="b\ud83d"), []
    bus.add_middleware(lambda event: event, name="m\ud83d")
    bus.subscribe(CHUNK, lambda event: 1 / 0, name="h\ud83d")
    panel = view(bus)
    monkeypatch.setattr(type(panel), "send", lambda self, content, buffers=None: sent.append(content))
    panel._repr_mimebundle_()
    bus.publish(CHUNK, "\ud83d", source="s\ud83d", metadata={"\ud83d": "\ud83d"})
    panel._spoken = float("-inf")
    panel.tick()
    assert json.dumps(sent, ensure_ascii=False).encode()
    assert sent != []
    panel.close()


@pytest.mark.parametrize("view", [MiddlewarePanel, SubscriptionsPanel])
@pytest.mark.parametrize(
    "content",
    [None, 5, {}, {"do": 5}, {"do": "switch"}, {"do": "switch", "name": 5, "on": True}, {"do": "switch", "name": "x", "on": "yes"},
     {"do": "move", "name": HOSTILE, "by": "up"}, {"do": "move", "name": HOSTILE, "by": 10**9}, {"do": "remove", "name": ["x"]},
     {"do": "pause", "key": "x"}, {"do": "pause", "key": -1}, {"do": "unsubscribe", "key": 1e300}, {"do": "search", "text": 5},
     {"do": "search", "text": "x" * 10_000}, {"do": "close"}, {"do": "__class__", "key": 1}],
)  # fmt: skip
def test_a_message_that_makes_no_sense_changes_nothing(view, bus, content, caplog):
    """Whatever a browser sends; nothing of it reaches the log of the kernel."""
    panel = view(bus)
    panel._handle_custom_msg(content, [])
    assert [entry.enabled for entry in bus.middleware] == [True]
    assert [one.paused for one in bus.subscriptions()] == [False]
    assert caplog.records == []
    panel.close()


def test_the_browser_switches_moves_and_removes_middleware(bus):
    """Each at once, and the answer shows how it stands then."""
    bus.add_middleware(lambda event: event, name="second")
    panel = MiddlewarePanel(bus)
    panel._handle_custom_msg({"do": "move", "name": "second", "by": -7}, [])  # no button does that
    assert [entry.name for entry in bus.middleware] == [HOSTILE, "second"]
    for content in (
        {"do": "switch", "name": "second", "on": False},
        {"do": "move", "name": "second", "by": -1},
        {"do": "remove", "name": HOSTILE},
    ):
        panel._handle_custom_msg(content, [])
    assert [(entry.name, entry.enabled) for entry in bus.middleware] == [("second", False)]
    panel.close()


def test_the_browser_pauses_and_ends_subscriptions(bus):
    """By key; a search narrows what is sent."""
    panel = SubscriptionsPanel(bus)
    key = panel.news(True)[0]["rows"][0]["key"]
    panel._handle_custom_msg({"do": "pause", "key": key}, [])
    assert bus.subscriptions()[0].paused
    panel._handle_custom_msg({"do": "resume", "key": key}, [])
    assert not bus.subscriptions()[0].paused
    panel._handle_custom_msg({"do": "search", "text": "nobody"}, [])
    assert panel.news(True)[0]["rows"] == []
    panel._handle_custom_msg({"do": "unsubscribe", "key": key}, [])
    assert bus.subscriptions() == []
    panel.close()


@pytest.mark.parametrize("view", [MiddlewarePanel, SubscriptionsPanel])
def test_a_paused_panel_answers_a_person_only(view, bus):
    """What is held stays as it is until somebody does something there."""
    panel = view(bus)
    panel.paused = True
    panel.news(True)
    bus.publish(CHUNK)
    panel._looked = float("-inf")
    assert panel.news(False) is None
    assert panel.news(True) is not None
    panel.close()


@pytest.mark.parametrize("view", [MiddlewarePanel, SubscriptionsPanel])
def test_the_end_of_the_bus_is_told(view, bus):
    """A panel that goes on as if nothing had happened would lie."""
    panel = view(bus)
    assert panel.news(True)[0]["closed"] is False
    bus.close()
    assert panel.news(True)[0]["closed"] is True
    panel.close()


@pytest.mark.parametrize("package", ["ipywidgets", "anywidget", "numpy"])
def test_a_missing_package_is_named_with_its_extra(package):
    """Whoever installed only the bus reads what to install."""
    program = f"""
import sys
sys.modules[{package!r}] = None
import atlas_lab
try:
    atlas_lab.Lab
except atlas_lab.MissingExtraError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == f"{package} is not installed; run: pip install 'atlas_lab[lab]'\n"
