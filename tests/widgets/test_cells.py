"""Running a cell again replaces what it made; nothing else does."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from atlas_lab.widgets import cells
from atlas_lab.widgets.cells import CellRun, current_run, forget, replace_earlier


class View:
    def __init__(self):
        self.closed = False

    def close(self):
        self.closed = True
        forget(self)


@pytest.fixture
def request_of(monkeypatch):
    """``request_of(cell, run)``: be in this run of this cell."""
    monkeypatch.setattr(cells, "_views", [])

    def request(cell, run, kind="execute_request"):
        parent = {"header": {"msg_type": kind, "msg_id": run}, "metadata": {"cellId": cell} if cell else {}}
        shell = SimpleNamespace(get_parent=lambda: parent)
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))

    return request


def made(number=1):
    views = [View() for _ in range(number)]
    for view in views:
        replace_earlier(view)
    return views


def test_another_run_closes_what_the_earlier_one_made(request_of):
    """All views of a cell stay, until it is run again."""
    request_of("a", "1")
    first = made(3)
    assert [view.closed for view in first] == [False] * 3
    request_of("a", "2")
    second = made(2)
    assert [view.closed for view in first + second] == [True] * 3 + [False] * 2


def test_other_cells_are_left_alone(request_of):
    """Two cells each have a panel of their own."""
    request_of("a", "1")
    (first,) = made()
    request_of("b", "2")
    (second,) = made()
    assert (first.closed, second.closed) == (False, False)


def test_a_callback_replaces_nothing(request_of):
    """What is made while a button is pressed belongs to no run of a cell."""
    request_of("a", "1")
    (first,) = made()
    request_of("a", "2", kind="comm_msg")
    assert current_run() is None
    made()
    assert not first.closed


def test_without_ids_the_place_in_the_code_tells_cells_apart(request_of):
    """As in nbclient, which does not say which cell it runs."""

    def cell(run, line):
        request_of(None, run)
        names = {"made": made}
        exec(compile("\n" * line + "views = made()", "ipykernel_1/123.py", "exec"), names)
        return names["views"][0]

    first, second = cell("1", 1), cell("2", 5)
    again = cell("3", 1)
    assert (first.closed, second.closed, again.closed) == (True, False, False)


def test_outside_of_a_kernel_nothing_is_replaced(monkeypatch):
    """A script that makes two views in one line keeps both."""
    monkeypatch.setattr(cells, "_views", [])
    views = made(2) + made(2)
    assert [view.closed for view in views] == [False] * 4
    assert cells._views == []


def test_views_are_held_weakly_and_forgotten_when_closed(request_of):
    """Nothing keeps a view alive for the case that its cell runs again."""
    request_of("a", "1")
    (kept,) = made()
    made()
    run = CellRun("a", "1")
    replace_earlier(kept, run)
    kept.close()
    replace_earlier(View(), CellRun("b", "9"))
    assert [one() for _, one in cells._views if one() is not None] == []
