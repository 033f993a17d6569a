"""The plots of partitioned work draw the table that they are given, and say what they show."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.figure import Figure

from atlas_lab import Event, EventType, describe
from atlas_lab.patterns import TaskDone, TaskSubmitted, plot_schedule, plot_speedup, task_table

SPEEDUPS = pd.DataFrame({"workers": [1, 2, 4], "speedup": [1.0, 1.8, 2.4], "ceiling": 2.5})


def axes():
    return Figure(figsize=(8, 4)).subplots()


def schedule():
    """Return the events of: load, then one and two beside each other, of which two fails and three is lost."""
    events = []
    rows = [("load", (), "a", 0, 2, "ok"), ("one", ("load",), "a", 2, 6, "ok"), ("two", ("load",), "b", 2, 3, "failed"),
            ("three", ("load",), None, None, None, "lost")]  # fmt: skip
    for unit, needs, worker, start, end, outcome in rows:
        sent = Event(EventType.TASK_SUBMITTED, TaskSubmitted("p", unit, needs), timestamp=0.0)
        told = TaskDone("p", unit, outcome, worker, start, end, (end or 0) - (start or 0))
        events += [sent, Event(EventType.TASK_COMPLETED, told, parent_id=sent.id)]
    return task_table([event.replace(seq=place) for place, event in enumerate(events, start=1)])


def test_a_schedule_has_a_row_for_each_worker_and_marks_the_critical_path():
    """Bars stand where units ran; what was lost is counted, and nothing is told by colour alone."""
    ax = plot_schedule(schedule(), ax=axes())
    assert [label.get_text() for label in ax.get_yticklabels()] == ["worker 1", "worker 2"]
    assert [bar.get_hatch() for bar in ax.collections] == ["//", "//", "xx"]
    extents = [bar.get_paths()[0].get_extents() for bar in ax.collections]
    assert [(one.x0, one.x1) for one in extents] == [(0, 2), (2, 6), (2, 3)]
    assert {text.get_text() for text in ax.texts} == {"load", "one", "two"}
    assert describe(ax) == (
        "3 units on 2 workers in 6 s, 1 of them failed; hatched: the critical path, load > one; 1 not drawn, which did "
        "not come back."
    )


def test_an_empty_schedule_is_drawn():
    """No units, no error."""
    assert describe(plot_schedule(task_table([]), ax=axes())) == "0 units on 0 workers in 0 s, 0 of them failed."


def test_speedup_is_drawn_below_its_ceiling():
    """The line of what is possible bends at the ceiling; dots are the table's."""
    ax = plot_speedup(SPEEDUPS, ax=axes())
    possible, measured = ax.lines
    assert possible.get_xydata().tolist() == [[1, 1], [2.5, 2.5], [4, 2.5]]
    assert measured.get_xydata().tolist() == [[1, 1], [2, 1.8], [4, 2.4]]
    assert "the critical path allows 2.5×" in {text.get_text() for text in ax.texts}
    assert describe(ax) == (
        "Times faster than one worker, by workers: 1 1, 2 1.8, 4 2.4; the critical path allows 2.5."
    )


def test_plots_draw_on_the_axes_given_or_on_new_ones():
    """They return the Axes, and refuse what is none."""
    import matplotlib.pyplot as plt  # noqa: PLC0415

    ax = axes()
    assert plot_speedup(SPEEDUPS, ax=ax) is ax
    made = plot_schedule(schedule())
    assert made.figure.number in plt.get_fignums()
    plt.close(made.figure)
    for plot in (plot_speedup, plot_schedule):
        with pytest.raises(TypeError, match="ax must be the Axes to draw on or None, got str"):
            plot(SPEEDUPS if plot is plot_speedup else schedule(), ax="here")
