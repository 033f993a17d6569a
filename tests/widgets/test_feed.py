"""The views of feed and rates: when they speak, what they listen to, and that nothing is left of them."""

from __future__ import annotations

import logging
import random
import threading
import time

import ipywidgets
import pytest
import traitlets
from ipywidgets.widgets.widget import _instances

from atlas_lab import EventBus, EventType, Recording
from atlas_lab.markup import element
from atlas_lab.testing.contract.forking import in_child
from atlas_lab.testing.contract.workers import PATIENCE
from atlas_lab.widgets import messages
from atlas_lab.widgets.feed import EventFeed
from atlas_lab.widgets.pulse import Pulse
from atlas_lab.widgets.rate import RateView
from atlas_lab.widgets.ticker import ticker
from atlas_lab.widgets.view import VIEW, LiveView, check_bus

CHUNK, DONE = EventType.STREAM_CHUNK, EventType.STREAM_COMPLETED
VIEWS = [EventFeed, RateView]


class Clock:
    """Time for what limits messages, which a test moves."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(messages, "time", clock)
    return clock


@pytest.fixture
def bus():
    return EventBus(name="run")


@pytest.fixture
def show(clock, monkeypatch):
    """``show(View, bus)``: a view that only the test ticks, and the messages it sends."""
    monkeypatch.setattr(ticker, "add", lambda view: None)
    shown = []

    def show(view_class, bus, **options):
        view = view_class(bus, **options)
        sent = []
        view.send = lambda content, buffers=None: sent.append((content, buffers))
        shown.append(view)
        hear(view, do="shown", viewer="a")
        clock.now += 1
        return view, sent

    yield show
    for view in shown:
        view.close()


def hear(view, **content):
    """Do as the front end does."""
    view._handle_custom_msg(content, [])


def tick(view, clock):
    clock.now += 0.1
    view.tick()


@pytest.mark.parametrize("view_class", VIEWS)
@pytest.mark.parametrize("wrong", [None, "run", EventBus, object()])
def test_what_is_no_bus_is_refused(view_class, wrong):
    """The message names what came, and no widget is left."""
    before = len(_instances)
    with pytest.raises(TypeError, match="bus must be an EventBus, got "):
        view_class(wrong)
    assert len(_instances) == before


def test_what_is_no_recording_is_refused(bus):
    """Neither does a wrong `record` leave a widget."""
    before = len(_instances)
    with pytest.raises(TypeError, match="record must be True, False or a Recording, got int 5"):
        EventFeed(bus, record=5)
    assert len(_instances) == before


@pytest.mark.parametrize("view_class", VIEWS)
def test_one_message_per_tick_with_the_last_state(show, clock, bus, view_class):
    """However much happens, and nothing while nothing does."""
    view, sent = show(view_class, bus)
    for _ in range(20):
        tick(view, clock)  # until a rate has come to rest
    sent.clear()
    tick(view, clock)
    assert sent == []
    for index in range(5000):
        bus.publish(CHUNK, index)
    tick(view, clock)
    ((message, buffers),) = sent
    assert message["kind"] == "news"
    assert message["n"] == view.number
    assert (message["state"].get("accepted") or message["state"]["events"]) == 5000
    assert all(type(buffer) is bytes for buffer in buffers)


@pytest.mark.parametrize("view_class", VIEWS)
def test_messages_are_numbered_without_gaps(show, clock, bus, view_class):
    """So that the front end sees that one is missing; a heartbeat tells the number of the last."""
    view, sent = show(view_class, bus)
    for _ in range(5):
        bus.publish(CHUNK)
        tick(view, clock)
    view.beat()
    numbers = [message["n"] for message, _ in sent]
    assert numbers == [1, 2, 3, 4, 5, 6, 6]
    assert sent[-1][0]["kind"] == "beat"


@pytest.mark.parametrize("view_class", VIEWS)
def test_asked_again_it_tells_everything(show, clock, bus, view_class):
    """A browser that missed a message, or that comes later, gets the whole state."""
    view, sent = show(view_class, bus)
    first = sent[0][0]
    assert first["all"] is True
    bus.publish(CHUNK)
    tick(view, clock)
    assert sent[-1][0]["all"] is False
    clock.now += 1
    hear(view, do="again", viewer="a")
    assert sent[-1][0]["all"] is True
    assert sent[-1][0]["state"].keys() == first["state"].keys()


@pytest.mark.parametrize("view_class", VIEWS)
def test_never_more_than_twenty_messages_a_second(show, clock, bus, view_class):
    """However often a person does something; and the last state always arrives."""
    view, sent = show(view_class, bus)
    sent.clear()
    start = clock.now
    for _ in range(1000):
        bus.publish(CHUNK)
        clock.now += 0.002
        hear(view, do="again", viewer="a")
        if random.random() < 0.02:
            view.tick()
    tick(view, clock)
    assert 10 <= len(sent) <= 20 * (clock.now - start) + 1
    state = sent[-1][0]["state"]
    assert (state.get("accepted") or state["events"]) == 1000


@pytest.mark.parametrize("view_class", VIEWS)
def test_nothing_is_sent_to_nobody(show, clock, bus, view_class):
    """A view that no browser shows says nothing, and does not even look."""
    view, sent = show(view_class, bus)
    hear(view, do="shown", viewer="b")
    hear(view, do="hidden", viewer="a")
    sent.clear()
    bus.publish(CHUNK)
    tick(view, clock)
    assert len(sent) == 1
    hear(view, do="hidden", viewer="b")
    sent.clear()
    view.news = None  # would raise
    bus.publish(CHUNK)
    tick(view, clock)
    view.beat()
    assert sent == []


def test_a_view_is_displayed_when_it_is_asked_for_its_looks(bus):
    """Before the browser has said so, which it cannot while a long cell runs."""
    feed = EventFeed(bus)
    assert not feed.displayed
    bundle = feed._repr_mimebundle_()
    assert feed.displayed
    assert set(bundle) == {"text/plain", "text/html", VIEW}
    assert bundle["text/plain"] == "<EventFeed of run: 0 events>"
    feed.close()
    assert set(feed._repr_mimebundle_()) == {"text/plain", "text/html"}


def test_an_exported_page_shows_the_latest_events(bus):
    """As a table that needs no kernel, with everything escaped."""
    for index in range(30):
        bus.publish(CHUNK, f"<script>alert({index})</script>", source="<b>")
    feed, rate = EventFeed(bus), RateView(bus)
    page = feed._repr_mimebundle_()["text/html"]
    assert "run: 30 events, newest 20 of 30" in page
    assert "&lt;script&gt;alert(29)" in page
    assert "<script" not in page
    assert "<b>" not in page.replace("<b>run</b>", "")
    assert "30 events, 0 subscriptions, 0 errors" in rate._repr_mimebundle_()["text/html"]
    feed.close()
    rate.close()


@pytest.mark.parametrize("view_class", VIEWS)
def test_closing_leaves_nothing(bus, view_class):
    """No widget, no recording and no place in the ticker; the bus goes on."""
    before = set(_instances)
    view = view_class(bus, record=True)
    recording = view.model.switch.recording
    assert recording.on
    view.close()
    view.close()
    assert set(_instances) == before
    assert (view.closed, recording.on, bus.closed) == (True, False, False)
    view.tick()
    view.beat()
    hear(view, do="shown", viewer="a")
    assert not view.displayed
    deadline = time.monotonic() + PATIENCE
    while any(thread.name == "atlas_lab ticker" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_recording_of_somebody_else_goes_on(bus):
    """Who started it stops it."""
    with bus.record() as recording:
        feed = EventFeed(bus, record=recording)
        assert feed.recording is recording
        feed.close()
        assert recording.on


def test_recording_can_be_switched(show, clock, bus):
    """From the browser and from Python."""
    feed, _ = show(EventFeed, bus)
    assert feed.recording is None
    hear(feed, do="record", value=True)
    assert isinstance(feed.recording, Recording)
    assert feed.recording.on
    feed.record(False)
    assert not feed.recording.on
    bus.close()
    feed.record(True)
    assert not feed.recording.on


def test_a_closed_bus_is_shown(show, clock, bus):
    """The feed says so, and can still be read."""
    feed, sent = show(EventFeed, bus)
    bus.publish(CHUNK)
    bus.close()
    tick(feed, clock)
    assert sent[-1][0]["state"]["closed"] is True
    assert sent[-1][0]["state"]["count"] == 1
    assert repr(feed) == "<EventFeed of run: 1 events, bus closed>"


def test_it_is_driven_from_python(show, clock, bus):
    """Everything that a person can do, and what is shown can be read from the model."""
    feed, sent = show(EventFeed, bus)
    for index in range(9):
        bus.publish(DONE if index % 3 else CHUNK, index, source="model" if index % 2 else "tool")
    feed.type_filter = CHUNK
    assert feed.type_filter == ("STREAM_CHUNK",)
    assert [event.data for event in feed.model.window()] == [6, 3, 0]
    feed.source_filter = "tool"
    feed.selected = 7
    tick(feed, clock)
    state = sent[-1][0]["state"]
    assert (state["count"], state["selected"], state["row"], state["detail"]["seq"]) == (2, 7, 0, 7)
    feed.type_filter = None
    feed.source_filter = ""
    feed.head = 4
    feed.paused = True
    bus.publish(CHUNK)
    assert [event.seq for event in feed.model.window()] == [4, 3, 2, 1]
    feed.go_live()
    assert (feed.head, feed.paused, feed.model.count) == (None, False, 10)
    feed.text = "no such"
    assert feed.model.count == 0


@pytest.mark.parametrize(
    "name, value",
    [
        ("type_filter", 5),
        ("selected", 99),
        ("selected", "1"),
        ("head", -1),
        ("head", "x"),
        ("paused", "yes"),
        ("text", 5),
    ],
)
def test_a_wrong_attribute_is_refused(show, bus, name, value):
    """By traitlets, which name it; the feed stays as it was."""
    feed, _ = show(EventFeed, bus)
    before = getattr(feed, name)
    with pytest.raises(traitlets.TraitError):
        setattr(feed, name, value)
    assert getattr(feed, name) == before


def test_scrolling_away_holds_the_feed(show, clock, bus):
    """What a person reads does not run away; at the top the feed follows again."""
    feed, _ = show(EventFeed, bus)
    for _ in range(100):
        bus.publish(CHUNK)
    hear(feed, do="see", value=[20, 30])
    assert (feed.head, feed.model.first, feed.model.rows) == (100, 20, 30)
    bus.publish(CHUNK)
    hear(feed, do="see", value=[0, 30])
    assert feed.head is None
    hear(feed, do="head", value=50)
    hear(feed, do="see", value=[3, 30])
    hear(feed, do="see", value=[0, 30])
    assert feed.head == 50
    hear(feed, do="live")
    assert feed.head is None


ODD = [
    None,
    True,
    -1,
    0,
    1.5,
    float("nan"),
    10**40,
    "",
    "x",
    "x" * 10**5,
    "\ud800",
    [],
    [1],
    [-1, 5],
    [1, 10**9],
    {},
    {"a": 1},
]


@pytest.mark.parametrize("view_class", VIEWS)
def test_nonsense_from_the_front_end_does_nothing(show, clock, bus, view_class, caplog):
    """Any value for anything: no error, no word in the log, and the view still works."""
    view, sent = show(view_class, bus)
    for _ in range(5):
        bus.publish(CHUNK)
    actions = ["see", "step", "select", "head", "type", "source", "scope", "text", "pause", "record", "live", "no such"]
    with caplog.at_level(logging.DEBUG, "atlas_lab"):
        for do in [*actions, *ODD]:
            for value in ODD:
                hear(view, do=do, value=value, viewer=value)
        for content in ODD:
            view._handle_custom_msg(content, [])
    assert caplog.records == []
    hear(view, do="shown", viewer="a")
    if view_class is EventFeed:
        view.set_trait("type_filter", ())
        view.source_filter = view.scope_filter = view.text = ""
        view.go_live()
    sent.clear()
    bus.publish(CHUNK)
    tick(view, clock)
    state = sent[-1][0]["state"]
    assert (state.get("accepted") or state["events"]) == 6


def test_a_state_of_the_front_end_changes_no_filter(show, bus):
    """What a browser may set it says by messages that are checked; traits of the feed are not synchronized."""
    feed, _ = show(EventFeed, bus)
    assert not {"type_filter", "text", "paused", "head", "selected"} & set(feed.keys)


class Panel(LiveView, ipywidgets.VBox):
    def __init__(self, bus):
        check_bus(bus)
        self.label = ipywidgets.Label("0", style={"text_color": "red"}, layout=ipywidgets.Layout(width="10em"))
        self.pulse = Pulse(self)
        super().__init__([self.pulse, ipywidgets.HBox([self.label])])
        self.watch(bus)
        self.pulse.watch(bus)

    def refresh(self):
        self.label.value = str(self.bus.history.accepted)

    def snapshot(self):
        return element("p", self.label.value)


def test_a_panel_of_widgets_closes_all_it_is_made_of(bus):
    """Children, their children, layouts and styles."""
    before = set(_instances)
    panel = Panel(bus)
    panel._repr_mimebundle_()
    bus.publish(CHUNK)
    panel.tick()
    assert panel.label.value == "1"
    panel.close()
    assert set(_instances) == before
    assert panel.pulse.closed


def test_the_pulse_tells_a_panel_whether_it_is_displayed(bus):
    """A browser that shows the pulse shows the panel."""
    panel = Panel(bus)
    hear(panel.pulse, do="shown", viewer="a")
    assert panel.displayed
    hear(panel.pulse, do="hidden", viewer="a")
    assert not panel.displayed
    panel.close()


def test_a_copy_made_by_a_fork_is_silent(show, clock, bus):
    """The child of a fork sends nothing to the notebook of its parent."""
    feed, sent = show(EventFeed, bus)

    def child():
        sent.clear()
        bus.publish(CHUNK)
        tick(feed, clock)
        feed.beat()
        assert sent == []
        feed.close()

    in_child(child)


def test_views_stay_live_while_many_threads_publish(bus):
    """The ticker reads while others write: no error, and the last state in the end."""
    feed, rate = EventFeed(bus, record=True), RateView(bus, record=True)
    sent = {id(view): [] for view in (feed, rate)}
    for view in (feed, rate):
        view.send = lambda content, buffers=None, view=view: sent[id(view)].append(content)
        hear(view, do="shown", viewer="a")
    feed.text = "7"

    def work():
        for index in range(5000):
            bus.publish(CHUNK, {"i": index})

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    expected = sum("7" in repr(event.data) or "7" in event.id for event in bus.history)
    deadline = time.monotonic() + PATIENCE
    while feed.model.behind or feed.model.count != expected or len(sent[id(rate)]) < 2:
        assert time.monotonic() < deadline
        feed.tick()
        time.sleep(0.01)
    feed.close()
    rate.close()
    numbers = [message["n"] for message in sent[id(feed)] if message["kind"] == "news"]
    assert numbers == list(range(1, len(numbers) + 1))
