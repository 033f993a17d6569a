"""plot_diff: what changed between two runs."""

import pytest

from atlas_lab import Event, EventType, describe, diff_runs, plot_diff, to_frame
from tests.plot_builders import Run, agents, deliveries, key_of, middleware, new_axes, nothing, rows, words

MS = 1_000_000


def run(name, **calls):
    """A run with nothing but calls: so many of each handler, of so many milliseconds."""
    made = [{"handler": handler, "duration": ms * MS} for handler, (number, ms) in calls.items() for _ in range(number)]
    return Run(name, nothing().events, deliveries(*made), middleware())


def counts(ax):
    """Return the places of squares and dots, by the name of their row."""
    names = rows(ax)
    return [
        {names[round(y)]: float(x) for x, y in zip(*line.get_data(), strict=True)}
        for line in ax.lines
        if line.get_marker() in ("s", "o")
    ]


def test_a_line_goes_from_one_count_to_the_other():
    """Squares are the first run, dots the second; what has not changed is left out and counted."""
    before, after = (
        run("before", plan=(2, 1), log=(3, 1), old=(1, 1)),
        run("after", plan=(5, 1), log=(3, 1), new=(4, 1)),
    )
    ax = plot_diff(before, after, ax=new_axes())
    assert rows(ax) == ["handler", "new", "old", "plan"]
    assert counts(ax) == [{"plan": 2, "old": 1}, {"plan": 5, "new": 4}]
    assert words(ax) == ["new", "gone", "+3", "1 thing did not change"]
    assert key_of(ax) == ["before", "after"]
    assert describe(ax) == (
        "From before to after 3 of 4 things changed: 1 is new, 1 is gone; the greatest change is handler new, from 0 to 4."
    )


@pytest.mark.parametrize(
    "ms, told",
    [(3, "3× as long: 1 ms → 3 ms"), (0.25, "25 % of the time: 1 ms → 250 µs"), (1.4, None)],
)
def test_times_that_changed_much_are_told(ms, told):
    """As often as before, and three times as slow, is a change; a bit slower is none."""
    ax = plot_diff(run("a", plan=(2, 1)), run("b", plan=(2, ms)), ax=new_axes())
    assert (told or "none of 1 thing changed, nor any time much").replace("1 thing", "1 count") == words(ax)[0]


def test_rows_are_those_of_the_table():
    """The greatest changes are shown, by kind, and how many there are."""
    ax = plot_diff(nothing(), agents(), limit=5, ax=new_axes())
    table = diff_runs(nothing(), agents())
    shown = set(rows(ax)) - set(table["kind"].astype(str))
    assert shown == set(table.head(5)["name"])
    assert f"the 5 greatest of {len(table)} changes" in words(ax)[-1]


def test_frames_of_events_can_be_compared():
    """Without recordings there are event types and transitions, called a and b."""
    one = to_frame([Event(EventType.SYSTEM_HEALTH)])
    ax = plot_diff(one, to_frame([Event(EventType.SYSTEM_METRIC)]), ax=new_axes())
    assert rows(ax) == ["event type", "SYSTEM_HEALTH", "SYSTEM_METRIC"]
    assert key_of(ax) == ["a", "b"]


def test_runs_of_one_name_are_told_apart():
    """Recordings of one bus have its name both."""
    ax = plot_diff(run("run", plan=(1, 1)), run("run", plan=(2, 1)), ax=new_axes())
    assert key_of(ax) == ["a: run", "b: run"]


@pytest.mark.parametrize("number, scale", [(3, "linear"), (5000, "symlog")])
def test_counts_that_differ_widely_have_a_logarithmic_axis(number, scale):
    """A change from 1 to 2 is seen beside one of thousands."""
    frames = [
        to_frame([Event(EventType.SYSTEM_HEALTH)] * times + [Event(EventType.SYSTEM_METRIC)] * other)
        for times, other in ((1, 1), (number, 2))
    ]
    assert plot_diff(*frames, ax=new_axes()).get_xscale() == scale
