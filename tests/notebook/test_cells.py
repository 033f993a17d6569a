"""The cells of a notebook are events, once each, and the cause of what they publish."""

from __future__ import annotations

import importlib
import logging
import subprocess
import sys

import pytest
from IPython.core.completer import provisionalcompleter

import atlas_lab
from atlas_lab import EventBus, EventType, MissingExtraError, notebook
from atlas_lab.notebook import CellEvent
from atlas_lab.notebook.cells import first_line

STARTED, FINISHED, FAILED = CellEvent


@pytest.fixture
def loaded(shell):
    shell.extension_manager.load_extension("atlas_lab")
    return shell


def hooks(shell):
    return (
        len(shell.events.callbacks["pre_run_cell"]),
        len(shell.events.callbacks["post_run_cell"]),
        len(shell.input_transformers_cleanup),
        sorted(set(shell.magics_manager.magics["line"]) & {"record", "events"}),
        sorted(set(shell.magics_manager.magics["cell"]) & {"record", "events"}),
    )


def test_a_cell_is_an_event_at_its_start_and_at_its_end(loaded):
    """Both tell the number and the first line of the cell; the end tells how long it took, and has the start as cause."""
    loaded.run_cell("\n1 + 1  \nprint('second line')", store_history=True)
    started, finished = notebook.bus().history
    assert (started.type, finished.type) == (STARTED, FINISHED)
    assert started.data == {"execution_count": 1, "cell_id": None, "source": "1 + 1"}
    assert finished.data.keys() - started.data.keys() == {"duration"}
    assert 0 < finished.data["duration"] < 60
    assert (started.source, finished.source) == ("In[1]", "In[1]")
    assert (started.parent_id, finished.parent_id) == (None, started.id)
    loaded.run_cell("2", store_history=True)
    assert notebook.bus().history[-1].data["execution_count"] == 2


@pytest.mark.parametrize(
    "code, kind, message",
    [
        ("1 / 0", "ZeroDivisionError", "division by zero"),
        ("raise ValueError('x' * 1000)", "ValueError", "x" * 200),
        ("raise KeyboardInterrupt", "KeyboardInterrupt", ""),
        ("if", "SyntaxError", "invalid syntax"),
    ],
)
def test_a_cell_that_fails_says_how(loaded, capsys, code, kind, message):
    """Its last event is CELL_FAILED, with the type and the message of the error as text, not too long."""
    loaded.run_cell(code, store_history=True)
    event = notebook.bus().history[-1]
    assert (event.type, event.data["error_type"]) == (FAILED, kind)
    assert message in event.data["error"]
    assert len(event.data["error"]) <= 200


def test_a_cell_is_the_cause_of_what_it_publishes(loaded):
    """On any bus, also in handlers; what is published between cells has no cause."""
    loaded.user_ns["bus"] = bus = EventBus()
    bus.subscribe(EventType.AGENT_STARTED, lambda event: bus.publish(EventType.AGENT_STOPPED))
    loaded.run_cell("from atlas_lab import EventType\nbus.publish(EventType.AGENT_STARTED)")
    cell = notebook.bus().history[-2]
    outer, inner = bus.history
    assert (cell.type, outer.parent_id, inner.parent_id) == (STARTED, cell.id, outer.id)
    bus.publish(EventType.AGENT_CREATED)
    assert bus.history[2].parent_id is None


def test_a_cell_inside_a_cell_is_caused_by_it(loaded):
    """As with %run or %%time: events nest, and the outer cell is the cause again afterwards."""
    loaded.user_ns["bus"] = bus = EventBus()
    loaded.user_ns["kind"] = EventType.AGENT_STARTED
    loaded.run_cell("get_ipython().run_cell('bus.publish(kind)')\nbus.publish(kind)")
    outer, inner, inner_end, outer_end = notebook.bus().history
    assert [event.type for event in notebook.bus().history] == [STARTED, STARTED, FINISHED, FINISHED]
    assert (inner.parent_id, inner_end.parent_id, outer_end.parent_id) == (outer.id, inner.id, outer.id)
    assert [event.parent_id for event in bus.history] == [inner.id, outer.id]


def test_loading_unloading_and_reloading_leave_nothing_doubled(shell):
    """One hook each while loaded, none after, and the same bus again."""
    before = hooks(shell)
    manager = shell.extension_manager
    manager.load_extension("atlas_lab")
    once, bus = hooks(shell), notebook.bus()
    assert once == (before[0] + 1, before[1] + 1, before[2] + 1, ["events", "record"], ["record"])
    atlas_lab.load_ipython_extension(shell)
    manager.load_extension("atlas_lab")
    assert hooks(shell) == once
    manager.unload_extension("atlas_lab")
    assert hooks(shell) == before
    atlas_lab.unload_ipython_extension(shell)
    shell.run_cell("1")
    assert len(bus.history) == 0
    manager.load_extension("atlas_lab")
    manager.reload_extension("atlas_lab")
    assert hooks(shell) == once
    shell.run_cell("1")
    assert notebook.bus() is bus
    assert [event.type for event in bus.history] == [STARTED, FINISHED]


def test_the_cell_that_loads_is_no_event_and_one_that_unloads_has_no_end(shell):
    """Half a pair is left out, and disturbs nothing."""
    shell.run_cell("%load_ext atlas_lab")
    assert len(notebook.bus().history) == 0
    shell.run_cell("%unload_ext atlas_lab")
    assert [event.type for event in notebook.bus().history] == [STARTED]
    bus = EventBus()
    bus.publish(EventType.AGENT_STARTED)
    assert bus.history[0].parent_id is None
    shell.run_cell("%load_ext atlas_lab")
    shell.run_cell("1")
    assert [event.type for event in notebook.bus().history] == [STARTED, STARTED, FINISHED]


def test_a_bus_that_refuses_fails_no_cell(loaded, caplog):
    """A middleware that raises is logged; a closed bus takes no more, and cells run on."""
    bus = notebook.bus()
    with caplog.at_level(logging.CRITICAL + 1, "atlas_lab"):
        entry = bus.add_middleware(lambda event: 1 / 0)
        assert loaded.run_cell("x = 1").success
    entry.enabled = False
    bus.close()
    assert loaded.run_cell("x = 2").success
    assert loaded.user_ns["x"] == 2


def test_a_handler_that_fails_on_a_cell_says_that_the_notebook_told_of_it(loaded, caplog):
    """No line of the user's published the event, so none is named, and no file of this package either."""
    caplog.set_level(logging.CRITICAL + 1, logger="atlas_lab")
    with notebook.bus().subscribe(STARTED, lambda event: 1 // 0):
        loaded.run_cell("1")
    (report,) = notebook.bus().history.select(EventType.HANDLER_ERROR)
    assert report.data["published_at"] == "the notebook, around a cell"


def test_silent_cells_are_no_events(loaded):
    """What front ends run behind the scenes is not shown."""
    loaded.run_cell("1", silent=True)
    assert len(notebook.bus().history) == 0


def test_cells_in_a_kernel_have_ids_and_may_await(kernel):
    """With JupyterLab's cell id; awaiting cells are causes too, and one that is interrupted has failed."""
    kernel.run(
        "from atlas_lab import *\nimport asyncio\n%load_ext atlas_lab\nbus = EventBus()\nimport atlas_lab.notebook as nb"
    )
    kernel.run("await bus.publish_async(EventType.AGENT_STARTED)\nawait asyncio.sleep(0)", cell="c-7")
    ran = kernel.run(
        "start, end = nb.bus().history[:2]\nprint(start.data, end.type_name, bus.history[0].parent_id == start.id)"
    )
    assert ran.streams["stdout"] == (
        "{'execution_count': 2, 'cell_id': 'c-7', 'source': 'await bus.publish_async(EventType.AGENT_STARTED)'} "
        "CellEvent.CELL_FINISHED True\n"
    )
    waiting = "print('on')\nfor _ in range(300): await asyncio.sleep(0.1)"  # the kernel sees interrupts between waits
    for code in (waiting, "import time; print('on'); time.sleep(30)"):
        request = kernel.start(code)
        while kernel.client.get_iopub_msg(timeout=60)["msg_type"] != "stream":
            pass
        kernel.manager.interrupt_kernel()
        kernel.finish(request)
        ran = kernel.run("last = nb.bus().history.latest(2)[0]\nprint(last.type_name, last.data['error_type'])")
        kind = "CancelledError" if code is waiting else "KeyboardInterrupt"  # as the cell itself shows it
        assert ran.streams["stdout"] == f"CellEvent.CELL_FAILED {kind}\n"


def test_completion_offers_event_types(loaded):
    """Where a type is asked for, and where a history is asked for one."""
    loaded.run_cell(
        "from atlas_lab import *\nbus = EventBus()\nbus.publish(EventType.STREAM_CHUNK)\nhistory = bus.history"
    )

    def offered(text):
        with provisionalcompleter():
            return " ".join(one.text for one in loaded.Completer.completions(text, len(text)))

    for text in ("bus.on(EventType.STREAM_C", 'history["', 'bus.history["', 'bus.history["STR'):
        assert "STREAM_CHUNK" in offered(text), text


def test_without_the_extension_there_is_no_bus(shell):
    """And the error says what to do."""
    with pytest.raises(RuntimeError, match="%load_ext atlas_lab"):
        notebook.bus()


def test_without_ipython_the_error_names_what_to_install(monkeypatch):
    """What a notebook needs is an extra."""
    monkeypatch.setitem(sys.modules, "IPython", None)
    monkeypatch.delitem(sys.modules, "atlas_lab.notebook")
    with pytest.raises(MissingExtraError, match=r"atlas_lab\[lab\]"):
        importlib.import_module("atlas_lab.notebook")


def test_asking_whether_it_is_an_extension_is_all_that_loads_ipython():
    """`import atlas_lab` stays light, and knows the names."""
    program = """
import sys, atlas_lab
assert {'captured', 'load_ipython_extension', 'unload_ipython_extension'} <= set(dir(atlas_lab))
print('IPython' in sys.modules, callable(atlas_lab.load_ipython_extension), 'ipywidgets' in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False True False\n"


def test_the_first_line_of_a_cell():
    """Empty lines don't count, and a long one is cut."""
    assert first_line("\n \n  x = 1\ny") == "x = 1"
    assert first_line("") == ""
    assert len(first_line("x" * 1000)) == 200
