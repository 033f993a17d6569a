"""The live feed as a person meets it, in JupyterLab and a real browser."""

from __future__ import annotations

import pytest

from tests.browser.feed_pages import SYSTEM, notebook_of, picture, run_cell, set_theme

FEED = "feed = EventFeed(bus, record=True)\nfeed"
RATE = "rate = RateView(bus, record=feed.model.switch)\nrate"


@pytest.fixture
def opened(open_notebook, tmp_path, request):
    """``opened(*cells)``: a notebook with the system, a feed and these cells, of which the first two have run."""

    def opened(*cells, width=1480):
        name = request.node.name.split("[")[0].removeprefix("test_")
        view = open_notebook(notebook_of(tmp_path, SYSTEM, FEED, *cells, name=f"{name}.ipynb"))
        view.problems = []
        view.page.on("pageerror", lambda error: view.problems.append(str(error)))
        view.page.set_default_timeout(60_000)
        view.page.set_viewport_size({"width": width, "height": 1100})
        view.page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
        run_cell(view, 0)
        run_cell(view, 1)
        view.page.wait_for_selector(".atlas-feed .foot")
        return view

    return opened


def rows(view):
    """Return what the rows in sight show."""
    return view.page.evaluate(
        """() => [...document.querySelectorAll('.atlas-feed .row')].filter((row) => row.style.display !== 'none')
        .map((row) => [...row.children].map((cell) => cell.textContent))"""
    )


def first_row(view, seq):
    """Wait until the first row in sight is this event."""
    view.page.wait_for_function(
        "(seq) => document.querySelector('.atlas-feed .row > span')?.textContent === seq", arg=str(seq)
    )


def where(view, text):
    view.page.locator(".atlas-feed .where", has_text=text).wait_for()


def note(view, text):
    view.page.locator(".atlas-feed .note", has_text=text).wait_for()


def value_of(view, index):
    """Run a cell, and return the text of its last output."""
    run_cell(view, index)
    return view.read().cells[index].outputs[-1]["data"]["text/plain"]


def test_an_event_arrives(opened):
    """Published in another cell it stands at the top, with what it holds."""
    view = opened(
        "bus.publish(T.DOCUMENT_ADDED, {'title': '<img src=x onerror=alert(1)>'}, source='shelf');",
        "bus.close()",
    )
    view.page.locator(".atlas-feed .empty", has_text="No event yet").wait_for()
    run_cell(view, 2)
    first_row(view, 1)
    assert rows(view)[0][2:] == ["DOCUMENT_ADDED", "shelf", "run", "{'title': '<img src=x onerror=alert(1)>'}"]
    assert view.page.locator(".atlas-feed img").count() == 0
    run_cell(view, 3)
    note(view, "The bus is closed.")
    assert view.problems == []


def test_a_burst_of_100_000_events_ends_with_the_exact_number(opened):
    """Nothing of the last state is lost, and the scrollbar goes over all of it."""
    view = opened("for _ in range(100_000):\n    bus.publish(T.SYSTEM_METRIC, 1, source='burst')", RATE)
    run_cell(view, 3)
    run_cell(view, 2)
    where(view, "seq 100,000 of 100,000")
    first_row(view, 100_000)
    view.page.locator(".atlas-rate .pill", has_text="100,000 events").wait_for()
    scroll = view.page.locator(".atlas-feed .scroll")
    assert scroll.evaluate("(node) => node.scrollHeight") == 100_000 * 24
    scroll.evaluate("(node) => { node.scrollTop = 50_000 * 24 }")
    first_row(view, 50_000)
    assert [row[0] for row in rows(view)][:3] == ["50000", "49999", "49998"]
    scroll.evaluate("(node) => { node.scrollTop = node.scrollHeight }")
    view.page.locator(".atlas-feed .row", has_text="SYSTEM_METRIC").filter(has_text="0.000").last.wait_for()
    view.page.wait_for_function(
        "() => [...document.querySelectorAll('.atlas-feed .row')].some((row) => row.style.display !== 'none' "
        "&& row.children[0].textContent === '1')"
    )
    note(view, "The feed as it was at event 100,000")
    view.page.get_by_label("contains", exact=True).fill("burst")
    note(view, "100,000 of 100,000 kept events match")
    first_row(view, 100_000)
    assert scroll.evaluate("(node) => node.scrollTop") == 0
    assert view.problems == []


def test_filters(opened):
    """By type, source, scope and text; the notice says how many match."""
    view = opened("play(100)", "feed.type_filter, feed.source_filter, feed.scope_filter, feed.text")
    run_cell(view, 2)
    where(view, "of 105")
    view.page.get_by_label("type", exact=True).select_option("HANDLER_ERROR")
    note(view, "1 of 105 kept events match")
    assert [row[2] for row in rows(view)] == ["HANDLER_ERROR"]
    view.page.get_by_label("type", exact=True).select_option("")
    view.page.get_by_label("scope", exact=True).select_option("run/agent-1")
    note(view, "2 of 105 kept events match")
    view.page.get_by_label("scope", exact=True).select_option("")
    view.page.get_by_label("source", exact=True).fill("ngram")
    note(view, "100 of 105 kept events match")
    view.page.get_by_label("contains", exact=True).fill("'INDEX': 42")
    note(view, "1 of 105 kept events match")
    assert rows(view)[0][5] == "{'text': 'of the', 'index': 42}"
    assert value_of(view, 3) == """((), 'ngram', '', "'INDEX': 42")"""
    view.page.get_by_label("contains", exact=True).fill("no such thing")
    view.page.locator(".atlas-feed .empty", has_text="No kept event matches").wait_for()
    assert view.problems == []


def test_pause_and_scrub(opened):
    """Paused nothing moves; the slider shows the feed as it was; Go live follows again."""
    view = opened("play(100)", "feed.head, feed.paused", "feed.head = 30")
    run_cell(view, 2)
    where(view, "of 105")
    view.page.get_by_role("button", name="Pause").click()
    note(view, "Paused at event 105")
    run_cell(view, 2)
    note(view, "105 newer events")
    first_row(view, 105)
    view.page.get_by_role("button", name="Go live").click()
    first_row(view, 210)
    slider = view.page.get_by_role("slider")
    slider.fill("50")
    first_row(view, 50)
    where(view, "seq 50 of 210")
    picture(view, "scrubbed", ".atlas-feed")
    assert value_of(view, 3) == "(50, False)"
    run_cell(view, 4)
    first_row(view, 30)
    assert slider.input_value() == "30"
    view.page.get_by_role("button", name="Go live").click()
    first_row(view, 210)
    assert view.problems == []


def test_an_event_in_detail(opened):
    """Payload, causes to jump to, handlers with durations, middleware steps, and the traceback of a failure."""
    view = opened("play(30)")
    run_cell(view, 2)
    where(view, "of 35")
    view.page.locator(".atlas-feed .row", has_text="HANDLER_ERROR").click()
    detail = view.page.locator(".atlas-feed .detail")
    detail.get_by_role("heading", name="Event 34").wait_for()
    text = detail.inner_text()
    assert "ValueError: no such tool 'grep'" in text
    assert "alert" in text
    assert "stamp" in text
    assert 'raise ValueError("no such tool' in text
    picture(view, "detail light", ".atlas-feed")
    detail.get_by_role("button", name="cause: RETRIEVAL_COMPLETED").click()
    detail.get_by_role("heading", name="Event 33").wait_for()
    assert "'hits'" not in detail.inner_text()
    assert "hits" in detail.inner_text()
    assert view.page.locator(".atlas-feed .row[aria-selected=true]").inner_text().startswith("33")
    assert view.problems == []


def test_what_was_pressed_is_chosen(opened):
    """While the feed follows the newest, rows move on: the event is chosen on which the button was pressed."""
    view = opened("play(3)")
    run_cell(view, 2)
    where(view, "of 8")
    view.page.locator(".atlas-feed .row", has_text="RETRIEVAL_COMPLETED").hover()
    view.page.mouse.down()
    run_cell(view, 2)
    where(view, "of 16")
    view.page.mouse.up()
    view.page.locator(".atlas-feed .detail h3", has_text="Event 6").wait_for()


def test_the_keyboard_alone(opened):
    """Tab reaches everything, arrow keys go through the events, also through those out of sight, and Home goes live."""
    view = opened("play(300)", "feed.selected, feed.head")
    run_cell(view, 2)
    where(view, "of 305")
    view.page.get_by_label("type", exact=True).focus()
    reached = []
    for _ in range(8):
        reached.append(
            view.page.evaluate(
                "() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"
            )
        )
        view.page.keyboard.press("Tab")
    assert reached[:7] == [
        "type", "source", "scope", "contains", "Pause", "events, newest first", "event in detail",
    ]  # fmt: skip
    view.page.locator(".atlas-feed .scroll").focus()
    for number in range(3):
        view.page.keyboard.press("ArrowDown")
        chosen = view.page.locator(f".atlas-feed .row[aria-selected=true]:has-text('{305 - number}')")
        chosen.wait_for()
    for _ in range(3):
        view.page.keyboard.press("PageDown")
        view.page.wait_for_timeout(300)
    below = int(view.page.locator(".atlas-feed .row[aria-selected=true] > span").first.inner_text())
    assert below < 270
    assert view.page.evaluate("() => document.activeElement.className") == "scroll"
    cells = len(view.read().cells)
    view.page.keyboard.press("Home")
    first_row(view, 305)
    assert value_of(view, 3) == f"({below}, None)"
    assert len(view.read().cells) == cells
    assert view.problems == []


def test_labels_for_those_who_do_not_see(opened):
    """The accessibility tree names every control and tells rows, columns and what is chosen."""
    view = opened("play(30)")
    run_cell(view, 2)
    where(view, "of 35")
    feed = view.page.locator(".atlas-feed")
    tree = feed.aria_snapshot()
    for part in (
        'combobox "type"', 'combobox "scope"', "source", "contains", 'button "Pause"', 'grid "events, newest first"',
        'columnheader "seq"', 'row "35', 'slider "history: show the feed as it was at event"', 'switch "record"',
        'region "event in detail"',
    ):  # fmt: skip
        assert part in tree, tree
    unnamed = feed.evaluate(
        """(feed) => [...feed.querySelectorAll('button, input, select, [tabindex]')].filter((node) =>
        !(node.getAttribute('aria-label') || node.textContent.trim() || node.labels?.length)).map((node) => node.outerHTML)"""
    )
    assert unnamed == []


def test_run_again_the_cell_replaces_the_feed(opened):
    """One feed is seen, no widget is left of the other, and its thread is the only one."""
    view = opened(
        "play(10)",
        "import threading, ipywidgets\nfrom ipywidgets.widgets.widget import _instances\n"
        "len(_instances), [t.name for t in threading.enumerate()].count('atlas_lab ticker'), feed.closed",
    )
    run_cell(view, 2)
    where(view, "of 15")
    before = value_of(view, 3)
    for _ in range(3):
        run_cell(view, 1)
    first_row(view, 15)
    assert view.page.locator(".atlas-feed").count() == 1
    assert value_of(view, 3) == before
    assert "1, False)" in before
    run_cell(view, 2)
    first_row(view, 30)
    assert view.problems == []


def test_a_restarted_kernel_is_noticed(opened):
    """The old feed says that it is one, and lets nobody press a button that does nothing."""
    view = opened("play(10)")
    run_cell(view, 2)
    where(view, "of 15")
    view.page.evaluate(
        "async () => { await window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart(); }"
    )
    note(view, "No sign of the kernel. If it was restarted, run this cell again.")
    feed = view.page.locator(".atlas-feed")
    assert "atlas-gone" in feed.get_attribute("class")
    assert feed.locator(".body").evaluate("(node) => getComputedStyle(node).pointerEvents") == "none"
    picture(view, "gone", ".atlas-feed")
    run_cell(view, 0)
    run_cell(view, 1)
    view.page.locator(".atlas-feed:not(.atlas-gone) .empty", has_text="No event yet").wait_for()


def test_a_busy_kernel_is_live(opened):
    """While a cell runs for long, what it publishes is seen; the heartbeat goes on."""
    view = opened("import time\nfor _ in range(40):\n    play(5)\n    time.sleep(0.2)")
    view.page.evaluate(
        "() => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = 2;"
        "window.jupyterapp.commands.execute('notebook:run-cell'); }"
    )
    seen = set()
    for _ in range(20):
        view.page.wait_for_timeout(200)
        seen.add(view.page.locator(".atlas-feed .where").inner_text())
    assert len(seen) >= 4
    assert "atlas-gone" not in view.page.locator(".atlas-feed").get_attribute("class")
    where(view, "seq 400 of 400")


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
@pytest.mark.parametrize("width", [1480, 900])
def test_it_is_readable(opened, theme, width):
    """In both themes, wide and narrow: text stands out from what is behind it, and nothing sticks out."""
    view = opened("for _ in range(20):\n    play(20)", RATE, width=width)
    set_theme(view.page, theme)
    run_cell(view, 3)
    run_cell(view, 2)
    where(view, "of 500")
    view.page.locator(".atlas-feed .row", has_text="HANDLER_ERROR").first.click()
    view.page.locator(".atlas-feed .detail h3", has_text="Traceback").wait_for()
    view.page.wait_for_timeout(500)
    picture(view, f"feed {theme} {width}", ".atlas-feed")
    picture(view, f"rate {theme} {width}", ".atlas-rate")
    poor = view.page.evaluate(CONTRAST)
    assert poor == []
    out = view.page.evaluate("""() => [...document.querySelectorAll('.atlas-feed, .atlas-feed .bar, .atlas-feed .foot, .atlas-rate')]
      .filter((node) => node.scrollWidth > node.clientWidth + 1).map((node) => node.className)""")
    assert out == []
    assert view.problems == []
    set_theme(view.page, "JupyterLab Light")


# Texts of the feed whose contrast is below what WCAG asks of small text, 4.5 to 1.
CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const ground = (node) => {
    const colors = [];
    for (let one = node; one; one = one.parentElement) colors.unshift(rgba(getComputedStyle(one).backgroundColor));
    return colors.reduce((under, top) => over(top, under), [255, 255, 255, 1]);
  };
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2106, 0.7152, 0.0722][i], 0);
  const poor = [];
  for (const node of document.querySelectorAll('.atlas-feed *, .atlas-rate *')) {
    const text = [...node.childNodes].filter((child) => child.nodeType === 3).map((child) => child.textContent.trim()).join('');
    if (!text || !node.getClientRects().length || node.tagName === 'OPTION') continue;
    const back = ground(node);
    const front = over(rgba(getComputedStyle(node).color), back);
    const [a, b] = [light(front), light(back)].sort((one, other) => other - one);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) poor.push(`${ratio.toFixed(2)} ${node.className}: ${text.slice(0, 40)}`);
  }
  return [...new Set(poor)];
}"""
