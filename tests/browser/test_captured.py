"""What a captured handler prints, below its cell in a real browser."""

from __future__ import annotations

from tests.browser.feed_pages import notebook_of, picture, run_cell

SUBSCRIBE = """
from atlas_lab import EventBus, EventType, captured
bus = EventBus()

@bus.on(EventType.STREAM_CHUNK)
@captured
def show(event):
    print("got", event.data)
"""
AREA = "document.querySelector('.jp-OutputArea .widget-box')"


def test_an_area_is_no_taller_than_a_screen_and_follows_its_end(open_notebook, tmp_path):
    """The latest line is in sight, however much a handler prints."""
    few = "for number in range(2):\n    bus.publish(EventType.STREAM_CHUNK, number)"
    many = "for number in range(200):\n    bus.publish(EventType.STREAM_CHUNK, number)"
    view = open_notebook(notebook_of(tmp_path, SUBSCRIBE, few, many, name="captured.ipynb"))
    run_cell(view, 0)
    run_cell(view, 1)
    view.page.locator(".jp-OutputArea pre", has_text="got 1").wait_for()
    picture(view, "captured few", ".jp-NotebookPanel")
    assert view.page.evaluate(f"() => {AREA}.clientHeight") < 100
    run_cell(view, 2)
    view.page.locator(".jp-OutputArea pre", has_text="got 199").wait_for()
    picture(view, "captured many", ".jp-NotebookPanel")
    height, below = view.page.evaluate(
        f"""() => {{
          const area = {AREA}.getBoundingClientRect(), texts = document.querySelectorAll('.jp-OutputArea pre');
          return [area.height, texts[texts.length - 1].getBoundingClientRect().bottom - area.bottom];
        }}"""
    )
    assert height <= 400
    assert below < 10
