"""What a bus and its parts look like in a notebook: what is told is right, and nothing an event holds is HTML."""

from __future__ import annotations

from enum import Enum
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas_lab import Event, EventBus, EventType, ScopedEventBus
from atlas_lab.cards import LATEST
from atlas_lab.markup import element
from atlas_lab.naming import short_repr

CHUNK = EventType.STREAM_CHUNK
HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "</td></table></div><iframe srcdoc='<script>alert(1)</script>'>",
    "<!--",
    "<![CDATA[",
    "</style><script>alert(1)</script>",
    "&lt;script&gt;",
    "javascript:alert(1)",
    "\x00<\x00script>",
    "\ud800<b>",
    "<a href=javascript:alert(1)>x",
]


class Page(HTMLParser):
    """The elements, attributes and text of a card; a card that is not well-formed fails."""

    def __init__(self, card: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(card)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1] != "style":
            self.text += data + "\n"

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(f"a declaration: {decl}")


OURS = {"div", "style", "details", "summary", "table", "thead", "tbody", "tr", "th", "td", "b", "span"}


def all_cards(bus: EventBus) -> list[str]:
    parts: list[Any] = [bus, *bus.scopes, bus.history, *bus.history, *bus.subscriptions()]
    return [part._repr_html_() for part in parts]


def busy_bus(text: str) -> EventBus:
    """Return a bus on which `text` stands wherever a user's text can stand."""
    bus = EventBus(name=text)
    scope = ScopedEventBus(bus, text.replace("/", "|") or "scope")
    bus.add_middleware(lambda event: event.replace(metadata={text: text}), name=text or "entry")

    def fail(event: Event[Any]) -> None:
        raise ValueError(text)

    bus.subscribe(CHUNK, fail, name=text or "fail")
    scope.publish(CHUNK, {text: [text]}, source=text)
    bus.publish(CHUNK, text, source=text)
    return bus


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_an_event_holds_becomes_html(text):
    """Names, sources, payloads, metadata and errors are shown as text: no element and no attribute comes of them."""
    for card in all_cards(busy_bus(text)):
        page = Page(card)
        assert page.elements <= OURS
        assert page.attributes <= {"class", "open", "style"}
        assert "<script" not in card


@given(st.text())
def test_any_text_comes_through_element(text):
    """What was put in is what a browser shows, but for characters that no document may hold."""
    page = Page(str(element("td", text, element("b", text), title=text)))
    assert page.elements == {"td", "b"}
    shown = page.text.replace("\n", "")
    kept = [char for char in text if char.isprintable()]
    assert [char for char in shown if char in kept][: len(kept)] == kept[: len(kept)] or "\r" in text


def test_text_that_reverses_what_follows_is_shown_as_a_mark():
    """A source that is made to look like another one is seen not to be; letters that are written so stay."""
    assert str(element("td", "a\u202egpj.exe\u2066 \u05d0\u200d")) == "<td>a\ufffdgpj.exe\ufffd \u05d0\u200d</td>"


def test_no_formula_is_made_of_an_event():
    """What stands between dollar signs is shown as it is."""
    for card in all_cards(busy_bus("$x^2$")):
        assert 'class="atlas-card tex2jax_ignore mathjax_ignore"' in card


def test_what_cannot_be_shown_says_so():
    """A payload whose repr fails, or that is endless, or a time that is none, is no reason to show nothing."""

    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    endless: list[Any] = []
    endless.append(endless)
    bus = EventBus(clock=lambda: float("nan"))
    for data in (Broken(), endless, {"a": Broken()}, "x" * 10**6, {n: n for n in range(1000)}):
        bus.publish(CHUNK, data)
    texts = [Page(event._repr_html_()).text for event in bus.history]
    assert "Broken" in texts[0]
    assert all(len(text) < 10_000 for text in texts)
    assert "950 more" in texts[-1]
    assert "nan s" in texts[0]
    Page(bus._repr_html_())


def test_the_card_of_a_bus_tells_what_its_stats_tell():
    """Counts, alarms, middleware, subscriptions, dead letters, latest events and scopes are all there."""

    class Order(Enum):
        PLACED = 1

    bus = EventBus(name="run", history_limit=20)
    scope = ScopedEventBus(bus, "agent")
    bus.add_middleware(lambda event: None if event.data == "drop" else event, name="quiet")
    bus.subscribe(CHUNK, lambda event: 1 / 0, name="fragile")
    for n in range(30):
        scope.publish(Order.PLACED, {"number": n})
    bus.publish(CHUNK, "drop")
    bus.publish(CHUNK)
    text = Page(bus._repr_html_()).text
    for part in (
        "run\n open\n · 32 events · 1 subscription · 1 call · \n1 handler error\n",
        "1 event dropped or refused by middleware\n",
        "31 dead letters\n",
        "quiet\non\n33\n32\n0\n1\n0\n",
        "fragile\nSTREAM_CHUNK\nactive\n1\n1\nZeroDivisionError: division by zero\n",
        "20 events kept, 12 pushed out\n",
        f"latest {LATEST} of 20\n",
        "run/agent\n",
        "Order.PLACED\n",
    ):
        assert part in text, part
    bus.close()
    assert "run\n closed\n" in Page(bus._repr_html_()).text


def test_an_empty_bus_and_an_empty_history_have_a_card():
    """There is something to see before anything happened."""
    assert "0 events" in Page(EventBus()._repr_html_()).text
    assert "0 events kept" in Page(EventBus().history._repr_html_()).text


def test_what_has_nothing_inside_cannot_be_unfolded():
    """A triangle that opens nothing would be a riddle."""
    assert "<summary>" not in EventBus()._repr_html_()


def test_an_error_is_told_as_an_error():
    """In a list by what went wrong, and on its own with the lines of its traceback."""
    bus = EventBus()
    bus.subscribe(CHUNK, lambda event: 1 / 0, name="fragile")
    bus.publish(CHUNK)
    assert "ZeroDivisionError: division by zero in fragile" in Page(bus.history._repr_html_()).text
    (report,) = bus.history.select(EventType.HANDLER_ERROR)
    assert 'Traceback (most recent call last):\n  File "' in Page(report._repr_html_()).text


def test_what_has_items_and_is_no_mapping_is_shown_whole():
    """A data frame, say: its columns are no keys of a payload."""

    class Frame:
        def items(self):
            return [("a", 1)]

        def __repr__(self):
            return "   a\n0  1"

    assert "   a\n0  1" in Page(Event(CHUNK, Frame())._repr_html_()).text


def test_a_small_payload_that_holds_itself_many_times_costs_no_time():
    """The text is bounded, and so is the work for it: 20 to the power of 12 parts here."""
    payload: Any = "ha"
    for _ in range(12):
        payload = [payload] * 20
    assert short_repr(payload, 100).startswith("[[[[[[[...")
    assert short_repr({"b": 1, "a": [{}]}, 100) == "{'b': 1, 'a': [{}]}"
    assert short_repr(dict.fromkeys(range(30), 0), 1000).endswith("19: 0, ...}")
    assert short_repr(bytes(10**8), 20).startswith("b'\\x00\\x00")


def test_history_completes_and_finds_types_by_name():
    """``history["<TAB>`` offers the types that are there, and the name gives their events."""

    class Order(Enum):
        PLACED = 1

    bus = EventBus()
    bus.publish(Order.PLACED, 1)
    bus.publish(CHUNK, 2)
    assert bus.history._ipython_key_completions_() == ["Order.PLACED", "STREAM_CHUNK"]
    assert [event.data for event in bus.history["Order.PLACED"]] == [1]
    assert [event.data for event in bus.history[CHUNK]] == [2]
    assert bus.history["AGENT_STARTED"] == []
    with pytest.raises(KeyError, match=r"no event of a type 'Ordr'.*Order.PLACED, STREAM_CHUNK"):
        bus.history["Ordr"]


def test_the_card_of_a_recording_tells_the_slowest_handlers_first():
    """Counts, failures and time of each handler; skipped calls do not count; more than fit are named."""
    bus = EventBus()
    bus.subscribe(CHUNK, lambda event: sum(range(100_000)), name="slow")
    bus.subscribe(CHUNK, lambda event: 1 / 0, name="<b>fragile")
    bus.subscribe(CHUNK, lambda event: None, name="deaf", source="nobody")
    run = bus.record("first")
    assert "not started" in Page(run._repr_html_()).text
    with run:
        bus.publish(CHUNK)
        assert "recording" in Page(run._repr_html_()).text
    card = Page(run._repr_html_())
    assert card.elements <= OURS
    assert "first\n over: 2 events, 3 deliveries, 0 middleware steps\n" in card.text
    rows = card.text[card.text.index("time in all") :].split("\n")
    assert (rows[1:4], rows[5:8]) == (["slow", "1", "0"], ["<b>fragile", "1", "1"])
    assert "deaf" not in card.text
    for number in range(LATEST):
        bus.subscribe(CHUNK, lambda event: None, name=f"handler {number}")
    with bus.record() as many:
        bus.publish(CHUNK)
    assert f"the {LATEST} slowest of {LATEST + 2} handlers" in Page(many._repr_html_()).text
