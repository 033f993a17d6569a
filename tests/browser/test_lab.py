"""The whole lab in a real browser: published from, switched, paused, run again, and used by keyboard alone."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from atlas_lab import Event, EventBus, EventType, Lab
from tests.browser.feed_pages import notebook_of, picture, run_cell, set_theme

SETUP = """
import logging, threading
from dataclasses import dataclass
from ipywidgets.widgets.widget import _instances
from atlas_lab import Event, EventBus, EventType, Lab, drop, iso_timestamp
logging.getLogger("atlas_lab").setLevel(logging.CRITICAL)

@dataclass
class Chunk:
    text: str
    index: int

bus = EventBus(name="run")
bus.add_middleware(iso_timestamp)
bus.add_middleware(drop(EventType.SYSTEM_HEALTH), name="drop heartbeat")

@bus.on(EventType.STREAM_CHUNK)
def show(event: Event[Chunk]): ...

@bus.on(EventType.AGENT_STARTED)
def fragile(event):
    raise ValueError("no such tool 'grep'")

for number in range(40):
    bus.publish(EventType.STREAM_CHUNK, {"text": "word", "index": number}, source="model")
    if number % 8 == 0:
        bus.publish(EventType.SYSTEM_HEALTH)
bus.publish(EventType.AGENT_STARTED, {"agent": "planner"}, source="boss")
"""

SHOW = "lab = Lab(bus)\nlab"

COUNTS = "print(len(_instances), sorted(t.name for t in threading.enumerate() if t.name.startswith('atlas_lab')))"


@pytest.fixture
def view(open_notebook, tmp_path):
    """A notebook with the lab on a small system."""
    view = open_notebook(notebook_of(tmp_path, SETUP, SHOW, COUNTS, "None", name="lab.ipynb"))
    view.page.set_viewport_size({"width": 1500, "height": 1100})
    view.run_all()
    expect(row(view, "AGENT_STARTED")).to_be_visible()
    return view


def row(view, text):
    return view.page.locator(".atlas-feed .row", has_text=text).first


def field(view, label):
    return view.page.locator(".atlas-publish").get_by_label(label, exact=True)


def button(view, name):
    return view.page.locator(".atlas-lab").get_by_role("button", name=name, exact=True)


def set_width(view, width):
    """Make the browser so wide that the lab is."""
    page = view.page
    now = page.locator(".atlas-lab").bounding_box()["width"]
    page.set_viewport_size({"width": round(page.viewport_size["width"] + width - now), "height": 1400})
    page.wait_for_function(
        "(n) => Math.abs(document.querySelector('.atlas-lab').getBoundingClientRect().width - n) < 2", arg=width
    )


def choose_type(view, text):
    chooser = view.page.get_by_role("combobox", name="Type", exact=True).first
    chooser.click()
    chooser.fill(text)
    chooser.press("Enter")


def boxes(locator):
    """Where things are, and how large, once they are all to be seen."""
    found = locator.all()
    for one in found:
        expect(one).to_be_visible()
    return [one.bounding_box() for one in found]


def python(view, code):
    """Run code in the last cell, and return what it printed."""
    view.page.evaluate(
        """async (code) => {
          const panel = window.jupyterapp.shell.currentWidget;
          const last = panel.content.widgets.length - 1;
          panel.content.widgets[last].model.sharedModel.setSource(code);
          panel.content.activeCellIndex = last;
          await window.jupyterapp.commands.execute('notebook:run-cell');
        }""",
        code,
    )
    return "".join(output.get("text", "") for output in view.read().cells[-1].outputs)


def test_an_event_is_published_from_the_form_and_arrives(view):
    """Choose a type, write a payload, press the button, and there it is in the feed."""
    choose_type(view, "task sub")
    field(view, "Payload").fill('{"task": "plan"}')
    field(view, "Source").fill("notebook")
    button(view, "Publish").click()
    expect(row(view, "TASK_SUBMITTED")).to_contain_text("plan")
    expect(view.page.locator(".atlas-outcome")).to_contain_text("nobody listens to TASK_SUBMITTED")
    assert python(view, "print(bus.history[-1].type_name, bus.history[-1].data, bus.history[-1].source)") == (
        "TASK_SUBMITTED {'task': 'plan'} notebook\n"
    )


def test_a_payload_that_does_not_fit_is_told_at_the_field(view):
    """While it is typed; the form for the type writes one that fits."""
    payload = field(view, "Payload (Chunk)")
    payload.fill('{"text": "hello", "index": "two"}')
    alert = view.page.locator(".atlas-publish").get_by_role("alert")
    expect(alert).to_have_text("index: expected int, got str")
    payload.fill('{"text": "hello" "index": 2}')
    expect(alert).to_contain_text("line 1, column 18")
    button(view, "Form").click()
    field(view, "text").fill("hello")
    field(view, "index").fill("2")
    button(view, "Publish").click()
    expect(row(view, "hello")).to_be_visible()


def test_the_form_of_a_type_is_lines_of_one_height(view):
    """A choice takes no more room than a text, and a checkbox stands in front of its name."""
    python(
        view,
        """
from typing import Literal
@dataclass
class Inner:
    rows: int
@dataclass
class Plan:
    title: str
    mode: Literal["slow", "fast"]
    inner: Inner
    final: bool = False
@bus.on(EventType.TASK_SUBMITTED)
def plan(event: Event[Plan]): ...
""",
    )
    choose_type(view, "TASK_SUBMITTED")
    button(view, "Form").click()
    form = view.page.locator(".atlas-form")
    expect(form.get_by_label("inner.rows")).to_have_value("0")
    expect(form.locator("input[type=text], select")).to_have_count(3)
    assert {round(box["height"]) for box in boxes(form.locator("input[type=text], select"))} == {28}
    (box,), (name,) = (
        boxes(form.locator("input[type=checkbox]")),
        boxes(form.get_by_text("final (optional)", exact=True)),
    )
    assert 0 < name["x"] - box["x"] - box["width"] < 20
    picture(view, "form", ".atlas-publish")


def test_the_columns_of_the_feed_fit_at_every_width(view):
    """With scopes too, of which the end of the path is what one sees."""
    python(
        view,
        """
from atlas_lab import ScopedEventBus
deep = ScopedEventBus(ScopedEventBus(bus, "a-scope-with-a-name"), "the-end")
_ = deep.publish(EventType.STREAM_CHUNK, {"text": "word", "index": 1})
""",
    )
    page = view.page
    expect(row(view, "the-end")).to_be_visible()
    for width in (1390, 1250, 1105, 1000, 850, 600, 400):
        set_width(view, width)
        over = page.evaluate(
            """() => [...document.querySelectorAll('.atlas-feed :is(.head, .row)')].filter((node) => node.checkVisibility())
              .map((node) => [node.scrollWidth - node.clientWidth, 20 - node.clientHeight])"""
        )
        assert [one for one in over if max(one) > 0] == [], width
        picture(view, f"columns_{width}", ".atlas-lab")
    set_width(view, 1390)
    ends = page.evaluate(
        """() => [...document.querySelectorAll('.atlas-feed .row .scope')].filter((node) => node.textContent.includes('end'))
          .map((node) => node.firstElementChild.getBoundingClientRect().right - node.getBoundingClientRect().right)"""
    )
    assert max(ends) < 1


def test_many_middleware_and_handlers_scroll_in_their_own_place(view):
    """The panel is as tall with forty of each as with five."""
    lab = view.page.locator(".atlas-lab")
    before = lab.bounding_box()["height"]
    python(
        view,
        """
for number in range(40):
    _ = bus.add_middleware(lambda event: event, name=f"a step with a long name {number}")
    _ = bus.subscribe(EventType.STREAM_CHUNK, lambda event: None, name=f"a handler with a long name {number}")
""",
    )
    expect(lab.locator(".atlas-mw-list li")).to_have_count(42)
    assert lab.bounding_box()["height"] < before + 300
    picture(view, "many", ".atlas-lab")


def test_a_lost_kernel_is_told_and_moves_nothing(view):
    """What was seen stays where it was, pale."""
    page, lab = view.page, view.page.locator(".atlas-lab")
    parts = [lab.locator(part) for part in (".atlas-publish", ".atlas-mw", ".atlas-feed", ".atlas-subs")]
    before = [(box["x"], box["width"]) for part in parts for box in boxes(part)]
    page.evaluate(
        "async () => { await window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart(); }"
    )
    expect(page.locator(".atlas-rate .state")).to_contain_text("No sign of the kernel", timeout=30_000)
    assert [(box["x"], box["width"]) for part in parts for box in boxes(part)] == before
    picture(view, "lost", ".atlas-lab")


def test_a_middleware_that_is_switched_changes_the_next_event(view):
    """Off, and the heartbeat arrives; on, and it does not. The counts follow."""
    page = view.page
    choose_type(view, "SYSTEM_HEALTH")
    button(view, "Publish").click()
    expect(page.locator(".atlas-outcome")).to_contain_text("dropped by middleware")
    switch = page.get_by_role("switch", name="drop heartbeat")
    expect(switch).to_have_attribute("aria-checked", "true")
    switch.click()
    expect(page.locator(".atlas-mw li", has_text="drop heartbeat")).to_contain_text("off since")
    button(view, "Publish").click()
    expect(row(view, "SYSTEM_HEALTH")).to_be_visible()
    page.get_by_role("button", name="Move drop heartbeat up").click()
    expect(page.locator(".atlas-mw li").first).to_contain_text("drop heartbeat")
    assert python(view, "print([entry.name for entry in bus.middleware])") == "['drop heartbeat', 'iso_timestamp']\n"


def test_a_subscription_is_paused_and_ended(view):
    """The handler is called no more, and the table says so."""
    page = view.page
    page.get_by_role("button", name="Pause show").click()
    expect(page.get_by_role("button", name="Resume show")).to_be_visible()
    end = page.get_by_role("button", name="Unsubscribe fragile")
    end.click()
    page.get_by_role("button", name="Unsubscribe fragile: press again").click()
    expect(page.locator(".atlas-subs tbody tr")).to_have_count(1)
    assert python(view, "print([(s.handler_name, s.paused) for s in bus.subscriptions()])") == "[('show', True)]\n"


def test_repeat_runs_while_the_panel_stays_live_and_stops(view):
    """The count in the header goes on, and the button stops it."""
    page = view.page
    field(view, "times").fill("1000")
    field(view, "a second").fill("50")
    field(view, "a second").press("Tab")
    field(view, "Payload (Chunk)").fill('{"text": "again", "index": 1}')
    button(view, "Repeat").click()
    expect(row(view, "again")).to_be_visible()
    button(view, "Stop").click()
    expect(page.locator(".atlas-outcome")).to_contain_text("stopped after")


def test_everything_can_be_done_by_keyboard(view):
    """Tab reaches every control in the order of the page, and each has a name that a screen reader says."""
    page = view.page
    page.get_by_role("combobox", name="Type", exact=True).first.focus()
    page.keyboard.type("agent_created")
    page.keyboard.press("Enter")
    expect(field(view, "Payload")).to_be_visible()
    names = []
    for _ in range(60):
        page.keyboard.press("Tab")
        inside, name = page.evaluate(
            """() => {
              const at = document.activeElement;
              const labels = [...(at.labels ?? [])].map((label) => label.textContent).join(' ');
              return [!!at.closest('.atlas-lab'), at.getAttribute('aria-label') || labels || at.textContent || at.title];
            }"""
        )
        if not inside:
            break
        names.append(name.strip())
        if name == "Publish":
            page.keyboard.press("Enter")
    expect(row(view, "AGENT_CREATED")).to_be_visible()
    assert "" not in names
    wanted = ["Payload", "Source", "Metadata", "Publish", "times", "a second", "Repeat", "drop heartbeat", "Pause show"]
    assert [name for name in wanted if name not in names] == []
    assert [names.index(name) for name in wanted] == sorted(names.index(name) for name in wanted)


def test_keys_in_the_panel_do_nothing_to_the_notebook(view):
    """Else a letter pressed on a list would cut the cell away that shows the panel; and arrows move what has the focus."""
    page = view.page
    cells = [cell.source for cell in view.read().cells]
    lab = page.locator(".atlas-lab")
    slider = page.get_by_label("history: show the feed as it was at event")
    for place in (
        lab.get_by_role("combobox", name="type", exact=True).last, button(view, "Publish"), button(view, "Pause"),
        page.get_by_role("switch", name="drop heartbeat"), page.get_by_role("switch", name="record"), slider,
        lab.locator(".scroll"), lab.get_by_role("region", name="event in detail"),
    ):  # fmt: skip
        place.focus()
        for key in ("x", "b", "m", "Shift+M", "ArrowLeft"):
            page.keyboard.press(key)
    page.wait_for_timeout(300)
    assert [cell.source for cell in view.read().cells] == cells
    assert {cell.cell_type for cell in view.read().cells} == {"code"}
    expect(button(view, "Go live")).to_be_visible()
    expect(lab.locator(".note")).to_contain_text("The feed as it was at event 41.")
    field(view, "Source").focus()
    page.keyboard.type("x b")
    expect(field(view, "Source")).to_have_value("x b")
    page.evaluate(
        "() => { window.told = []; window.jupyterapp.commands.commandExecuted.connect((_, { id }) => told.push(id)); }"
    )
    slider.focus()
    page.keyboard.press("Control+s")
    page.wait_for_function("() => window.told.includes('docmanager:save')")


def test_controls_have_names_in_the_accessibility_tree(view):
    """What assistive technology reads: roles, names and states."""
    lab = view.page.locator(".atlas-lab")
    for role, name in [
        ("combobox", "Type"), ("textbox", "Payload (Chunk)"), ("textbox", "Source"), ("textbox", "Metadata"),
        ("button", "Publish"), ("spinbutton", "times"), ("button", "Repeat"), ("switch", "iso_timestamp"),
        ("button", "Remove iso_timestamp"), ("region", "Middleware"), ("table", "Subscriptions"),
        ("button", "Pause show"), ("button", "Pause"),
    ]:  # fmt: skip
        expect(lab.get_by_role(role, name=name, exact=True).first, f"{role} {name}").to_be_visible()


def test_running_the_cell_again_leaves_one_panel(view):
    """No widget, no thread more than after the first run."""
    run_cell(view, 2)
    first = view.read().cells[2].outputs[0].text
    for _ in range(3):
        run_cell(view, 1)
    run_cell(view, 2)
    assert view.read().cells[2].outputs[0].text == first
    assert "['atlas_lab ticker']" in first
    expect(view.page.locator(".atlas-lab")).to_have_count(1)
    button(view, "Publish").click()
    expect(view.page.locator(".atlas-outcome")).to_contain_text("published as #43")
    assert python(view, "lab.close(); print(len(_instances))") == "0\n"


def test_the_end_of_the_bus_is_shown(view):
    """Controls that cannot work any more say so."""
    python(view, "bus.close()")
    expect(view.page.locator(".atlas-rate")).to_contain_text("closed")
    expect(button(view, "Publish")).to_be_disabled()


def test_a_still_picture_breaks_no_word(browser):
    """In an exported page, too, a type or a number stands on one line; what an event holds may take several."""
    bus = EventBus(name="New York")
    for seconds in range(12):
        bus.emit(
            Event(EventType.WORKFLOW_NODE_ENTERED, {"text": "words " * 100}, "a-source", timestamp=seconds * 1000.0)
        )
    lab = Lab(bus)
    page = browser.new_page(viewport={"width": 800, "height": 800})
    page.set_content(str(lab.snapshot()))
    lab.close()
    broken = page.evaluate(
        """() => [...document.querySelectorAll('td:not(:last-child)')]
          .map((node) => { const range = document.createRange(); range.selectNodeContents(node); return [node, range]; })
          .filter(([, range]) => new Set([...range.getClientRects()].map((box) => box.y)).size > 1)
          .map(([node]) => node.textContent)"""
    )
    assert broken == []
    page.close()


CUT_OFF = """() => {
  const lab = document.querySelector('.atlas-lab').getBoundingClientRect();
  return [...document.querySelectorAll('.atlas-lab button, .atlas-lab input, .atlas-lab textarea')]
    .filter((node) => node.checkVisibility() && !node.closest('.scrub'))
    .filter((node) => {
      const box = node.getBoundingClientRect();
      const over = node.tagName === 'BUTTON' && !node.matches('.atlas-again') && node.scrollWidth > node.clientWidth + 1;
      return over || box.left < lab.left || box.right > lab.right + 1;
    })
    .map((node) => node.outerHTML.slice(0, 120));
}"""


def test_it_looks_right_in_light_and_dark_wide_and_narrow(view):
    """Nothing is cut off, and the colours are those of the theme."""
    page = view.page
    run_cell(view, 3)
    expect(page.locator(".atlas-feed .where")).to_contain_text("of 42")
    field(view, "Payload (Chunk)").fill('{"text": "hello", "index": "two"}')
    row(view, "HANDLER_ERROR").click()
    expect(page.locator(".atlas-feed .detail")).to_contain_text("Traceback")
    for width in (1180, 700):
        set_width(view, width)
        for theme, background in (("JupyterLab Light", 255), ("JupyterLab Dark", 17)):
            set_theme(page, theme)
            colour = page.locator(".atlas-publish").evaluate("(node) => getComputedStyle(node).backgroundColor")
            assert abs(int(re.findall(r"\d+", colour)[0]) - background) < 30
            assert page.evaluate(CUT_OFF) == []
            picture(view, f"lab_{width}_{theme.split()[1].lower()}", ".atlas-lab")
