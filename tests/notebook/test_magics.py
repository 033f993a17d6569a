"""``%%record`` records a cell and shows it; ``%events`` shows the latest; wrong uses say what to do and run nothing."""

from __future__ import annotations

import pytest
from IPython.core.error import UsageError
from matplotlib.figure import Figure

from atlas_lab import EventBus, EventType, Recording, ScopedEventBus, notebook
from atlas_lab.notebook import magics
from atlas_lab.notebook.magics import recorded_lines


@pytest.fixture
def bench(shell, monkeypatch):
    """A shell with the extension, a bus in it, and a list of what was displayed."""
    shell.extension_manager.load_extension("atlas_lab")
    shell.displayed = []
    monkeypatch.setattr(magics, "display", shell.displayed.append)
    shell.user_ns |= {"bus": EventBus(name="run"), "EventType": EventType}
    return shell


def usage_error(shell, code):
    result = shell.run_cell(code)
    assert isinstance(result.error_in_exec, UsageError)
    return str(result.error_in_exec)


def test_a_recorded_cell_shows_its_overview_and_leaves_the_recording(bench):
    """What happened in the cell is recorded, what came before and after is not; the figure is none of pyplot's."""
    from matplotlib import pyplot as plt  # noqa: PLC0415 - only to see that nothing is left there

    before = plt.get_fignums()
    bus = bench.user_ns["bus"]
    bus.subscribe(EventType.AGENT_STARTED, lambda event: None, name="work")
    bus.publish(EventType.AGENT_STARTED)
    result = bench.run_cell("%%record storm\nbus.publish(EventType.AGENT_STARTED, 2)\nlen(bus.history)")
    bus.publish(EventType.AGENT_STARTED)
    run = bench.user_ns["storm"]
    assert result.result == 2
    assert isinstance(run, Recording)
    assert not run.on
    assert (run.name, len(run.events), list(run.deliveries["handler"])) == ("storm", 1, ["work"])
    (figure,) = bench.displayed
    assert isinstance(figure, Figure)
    assert figure.headline.startswith("storm: 1 event, 1 handler call")
    assert plt.get_fignums() == before


def test_a_cell_that_fails_is_recorded_up_to_there(bench, capsys):
    """The error is the cell's, and the overview is shown all the same, once."""
    result = bench.run_cell(
        "%%record\nbus.publish(EventType.AGENT_STARTED)\n1 / 0\nbus.publish(EventType.AGENT_STARTED)"
    )
    assert isinstance(result.error_in_exec, ZeroDivisionError)
    assert "line 3" in capsys.readouterr().out
    assert len(bench.user_ns["run"].events) == 1
    bench.run_cell("1")
    assert len(bench.displayed) == 1


def test_recording_inside_other_magics_and_in_code(bench):
    """``%%time`` above it, a blank line above it, or called from code: it is recorded once."""
    for code in (
        "%%time\n%%record one\nbus.publish(EventType.AGENT_STARTED)",
        "\n\n%%record two\nbus.publish(EventType.AGENT_STARTED)",
        "get_ipython().run_cell_magic('record', 'three', 'bus.publish(EventType.AGENT_STARTED)')",
        "x = 1\n%record four\nbus.publish(EventType.AGENT_STARTED)",
    ):
        assert bench.run_cell(code).success
    assert [len(bench.user_ns[name].events) for name in ("one", "two", "three", "four")] == [1, 1, 1, 1]
    assert len(bench.displayed) == 4


def test_a_recorded_cell_in_a_kernel_may_await(kernel):
    """It is shown below its own cell, after what the cell shows, and the last expression stays the result."""
    kernel.run("from atlas_lab import *\n%load_ext atlas_lab\nbus = EventBus()")
    ran = kernel.run("%%record storm\nawait bus.publish_async(EventType.AGENT_STARTED)\n'the end'", seconds=60)
    assert [sorted(data) for data in ran.shown] == [["text/plain"], ["image/png", "text/plain"]]
    assert ran.shown[0]["text/plain"] == "'the end'"
    assert ran.shown[1]["text/plain"].startswith("storm: 1 event")
    assert kernel.run("len(storm.events)").shown == [{"text/plain": "1"}]


def test_the_only_bus_is_recorded_and_of_several_one_must_be_named(bench):
    """One called bus goes first; scopes, closed buses and the notebook's own don't count; another is named."""
    names = bench.user_ns
    names["other"] = EventBus()
    assert bench.run_cell("%%record\nother.publish(EventType.AGENT_STARTED)").success
    assert len(names["run"].events) == 0
    assert bench.run_cell("%%record --bus other\nother.publish(EventType.AGENT_STARTED)").success
    assert len(names["run"].events) == 1
    names["team"], names["scope"] = names.pop("bus"), ScopedEventBus(names["other"], "a")
    names["same"], names["mine"] = names["other"], notebook.bus()
    assert usage_error(bench, "%%record\nhidden = 1").startswith("%%record found several buses (same, team)")
    assert "hidden" not in names
    names["team"].close()
    assert bench.run_cell("%%record again\nother.publish(EventType.AGENT_STARTED)").success
    assert len(names["again"].events) == 1
    for name in ("other", "same", "scope"):
        del names[name]
    assert "found no bus" in usage_error(bench, "%%record\nhidden = 1")


@pytest.mark.parametrize(
    "line, message",
    [
        ("a-b", "'a-b' is no name"),
        ("a b", "unrecognized arguments"),
        ("--bus nothing", "NameError"),
        ("--bus EventType", "must name an EventBus, got EnumType"),
        ("--bus closed", "BusClosedError"),
    ],
)
def test_wrong_uses_of_record_run_nothing(bench, line, message):
    """The error says what is wrong, before the cell does anything."""
    closed = bench.user_ns["closed"] = EventBus()
    closed.close()
    assert message in usage_error(bench, f"%%record {line}\nhidden = 1")
    assert "hidden" not in bench.user_ns
    assert bench.displayed == []


def test_without_plots_the_recording_itself_is_shown(bench, monkeypatch):
    """Where pandas or matplotlib is missing, nothing fails."""
    import sys  # noqa: PLC0415 - beside its use

    monkeypatch.setitem(sys.modules, "atlas_lab.plots", None)
    bench.run_cell("%%record\nbus.publish(EventType.AGENT_STARTED)")
    assert bench.displayed == [bench.user_ns["run"]]


def test_the_latest_events_are_shown(bench):
    """Ten of the notebook's own; a number, a type or another bus on demand, in any order."""
    for _ in range(8):
        bench.run_cell("1")
    shown = bench.run_line_magic("events", "")
    assert [event.seq for event in shown] == list(range(7, 17))
    assert shown.title == "the latest 10 of 16 events on this notebook"
    shown = bench.run_line_magic("events", "CellEvent.CELL_FINISHED 2")
    assert [event.seq for event in shown] == [14, 16]
    bus = bench.user_ns["bus"]
    bus.publish(EventType.AGENT_STARTED, {"a": "\x1b[31m"}, source="a\x1b]0;b\x07\nc")
    shown = bench.run_line_magic("events", "EventType.AGENT_STARTED --bus bus")
    assert list(shown) == list(bus.history)
    assert "AGENT_STARTED" in shown._repr_html_()
    text = bench.display_formatter.format(shown)[0]["text/plain"]
    assert text.splitlines()[0] == "the latest 1 of 1 AGENT_STARTED event on bus"
    assert r"a\x1b]0;b\x07\nc" in text
    assert len(text.splitlines()) == 3
    assert bench.run_line_magic("events", "0") == []
    assert bench.run_line_magic("events", "--bus bus STREAM_CHUNK") == []


@pytest.mark.parametrize(
    "line, message",
    [
        ("CELL", "no event of a type 'CELL'; types in it: CellEvent.CELL"),
        ("A B", "takes one event type, got A, B"),
        ("--bus 3", "must name an EventBus, got int 3"),
        ("--nope", "unrecognized arguments"),
    ],
)
def test_wrong_uses_of_events_say_what_to_do(bench, line, message):
    """By name."""
    assert message in usage_error(bench, f"%events {line}")


def test_help_is_left_alone():
    """``%%record?`` shows its documentation; what only begins like it is not ours."""
    for lines in (["%%record?\n"], ["%%recorder\n"], ["x\n", "%%record\n"], [], ["\n"]):
        assert recorded_lines(lines) == lines
    assert recorded_lines(["%%record a\n", "x\n"]) == ["%record a\n", "x\n"]
