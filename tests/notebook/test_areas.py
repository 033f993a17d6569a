"""Output areas are bounded, change ten times a second at most, and always end up with the last state."""

from __future__ import annotations

import asyncio
import logging
import threading
import time

import pytest

from atlas_lab.notebook import areas
from atlas_lab.notebook.areas import EVERY, KEPT, Area, later, place_of
from atlas_lab.testing.contract.workers import PATIENCE
from tests.notebook.timers import until_shown


class Widget:
    """What an area needs of a widget, and a list of what it was told."""

    def __init__(self):
        self.told = []
        self.closed = False

    def __setattr__(self, name, value):
        if name == "outputs":
            self.told.append(value)
        super().__setattr__(name, value)

    def close(self):
        self.closed = True


@pytest.fixture
def area():
    return Area(Widget())


@pytest.fixture
def steps(monkeypatch):
    """What was put off, in place of timers."""
    steps = []
    monkeypatch.setattr(areas, "later", lambda seconds, step: steps.append(step))
    return steps


def texts(outputs):
    return [(one["name"], one["text"]) if one["output_type"] == "stream" else one["ename"] for one in outputs]


def test_text_of_one_stream_is_one_output_and_errors_stand_between(area):
    """In the order in which it came, as in a cell."""
    for piece in ("a", "b\n"):
        area.write("stdout", piece)
    area.write("stderr", "c")
    area.failed(ValueError("<d>"))
    area.write("stdout", "e")
    area.settle()
    assert texts(area.widget.told[-1]) == [("stdout", "ab\n"), ("stderr", "c"), "ValueError", ("stdout", "e")]
    assert area.widget.told[-1][2]["evalue"] == "<d>"


def test_what_no_message_can_hold_is_replaced(area):
    """Half a surrogate pair does not cost the rest."""
    area.write("stdout", "a\ud83db")
    area.failed(ValueError("c\ud83dd"))
    area._show()
    text, error = area.widget.told[-1]
    assert (text["text"], error["evalue"], error["traceback"][-1]) == ("a?b", "c?d", "ValueError: c?d")


def test_many_writes_are_few_changes(area):
    """Whatever is printed between two changes is shown with the second one, and nothing is lost."""
    began = time.monotonic()
    for number in range(20_000):
        area.write("stdout", f"{number % 10}")
        if number % 100 == 0:
            area.settle()
    until_shown()
    assert area.widget.told[-1][0]["text"] == "0123456789" * 2_000
    assert len(area.widget.told) <= (time.monotonic() - began) / EVERY + 3


def test_nothing_new_is_nothing_told(area, steps, monkeypatch):
    """What was put off and shown meanwhile is not shown again."""
    monkeypatch.setattr(areas, "monotonic", lambda: 1_000.0)
    area.write("stdout", "a")
    area.settle()
    area.settle()
    for step in steps:
        step()
    assert len(area.widget.told) == 1
    area.write("stdout", "b")
    area.settle()  # too early
    assert len(area.widget.told) == 1
    steps[-1]()
    assert texts(area.widget.told[-1]) == [("stdout", "ab")]


def test_what_is_kept_is_bounded(area, steps):
    """The oldest goes first, and how much went is told; one huge text or error is cut, too."""
    area.write("stdout", "x" * KEPT)
    area.write("stdout", "y" * 10)
    area._show()
    assert texts(area.widget.told[-1]) == [
        ("stderr", "… 10 characters before this were dropped\n"),
        ("stdout", "x" * (KEPT - 10) + "y" * 10),
    ]
    area.write("stderr", "z" * 10**6)
    area._show()
    assert texts(area.widget.told[-1]) == [
        ("stderr", f"… {KEPT + 10**6 + 10 - KEPT:,} characters before this were dropped\n"),
        ("stderr", "z" * KEPT),
    ]
    for _ in range(1_000):
        area.failed(ValueError("v" * 10**5))
    area._show()
    assert sum(len(str(one)) for one in area.widget.told[-1]) < 3 * KEPT + 200


def test_no_line_is_shown_that_lost_its_beginning(area):
    """Half a line would look like one that was printed."""
    for number in range(KEPT):
        area.write("stdout", f"line {number}\n")
    area._show()
    told, text = texts(area.widget.told[-1])
    lines = text[1].splitlines()
    assert lines == [f"line {number}" for number in range(KEPT - len(lines), KEPT)]
    printed = sum(len(f"line {number}\n") for number in range(KEPT))
    assert told[1] == f"… {printed - len(text[1]):,} characters before this were dropped\n"


def test_many_threads_lose_nothing(area):
    """Text of several threads stands there whole, write by write, and the last state is shown last."""
    threads = [
        threading.Thread(target=lambda n=n: [area.write("stdout", f"{n}" * 5 + "\n") for _ in range(300)])
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until_shown()
    lines = area.widget.told[-1][0]["text"].splitlines()
    assert sorted(lines) == sorted(f"{n}" * 5 for n in range(8) for _ in range(300))


def test_a_widget_that_fails_fails_nobody(area, caplog):
    """It is logged."""

    class Broken(Widget):
        outputs = property(lambda self: (), lambda self, value: 1 / 0)

        def __setattr__(self, name, value):
            object.__setattr__(self, name, value)

    area.widget = Broken()
    with caplog.at_level(logging.ERROR, "atlas_lab"):
        area.write("stdout", "a")
        area.settle()
    assert "could not be shown" in caplog.text


def test_a_closed_area_tells_nothing(area, steps):
    """What comes late is dropped."""
    area.write("stdout", "a")
    area.close()
    area.settle()
    for step in steps:
        step()
    assert (area.widget.told, area.widget.closed) == ([], True)


def test_where_no_thread_starts_the_loop_or_the_caller_does_it(monkeypatch):
    """As in a browser's Python, or where there are too many threads."""

    class NoThread(threading.Timer):
        def start(self):
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(areas, "Timer", NoThread)
    done = []
    later(0.01, lambda: done.append("now"))
    assert done == ["now"]

    async def main():
        due = asyncio.Event()
        later(0.01, due.set)
        assert not due.is_set()
        await due.wait()

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_handlers_are_told_apart_where_cells_have_no_ids():
    """By name, and lambdas by where they are written."""

    def named(event): ...

    one, two = lambda event: 1, lambda event: 2
    assert place_of(named) == (__name__, named.__qualname__)
    assert place_of(one) == place_of(two) == (__file__, one.__code__.co_firstlineno, one.__qualname__)
