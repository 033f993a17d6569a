"""plot_latency: the whole distribution of the times of each handler."""

import numpy as np
import pytest

from atlas_lab import describe, handler_latency, plot_latency
from tests.plot_builders import agents, deliveries, new_axes, words

MS = 1_000_000


def curves(ax):
    """Return the points of each distribution, those of its percentiles, and no sample of the key."""
    lines = [line for line in ax.lines if line.get_transform() == ax.transData]
    return lines[::2], lines[1::2]


def calls(**times):
    return deliveries(*[{"handler": name, "duration": ns} for name, all_ns in times.items() for ns in all_ns])


def test_a_curve_tells_what_share_of_calls_was_done_after_what_time():
    """It is the empirical cumulative distribution of the durations."""
    ax = plot_latency(calls(plan=[4 * MS, 1 * MS, 3 * MS, 2 * MS]), ax=new_axes())
    [curve], _ = curves(ax)
    x, y = curve.get_data()
    assert x.tolist()[1:] == [1 * MS, 2 * MS, 3 * MS, 4 * MS]
    assert y.tolist()[1:] == [0.25, 0.5, 0.75, 1]


def test_percentiles_are_marked_where_the_table_has_them():
    """A dot at p50, p90 and p99 of each handler, and the numbers beside its name."""
    frame = agents().deliveries
    ax = plot_latency(frame, ax=new_axes())
    table = handler_latency(frame)
    _, marked = curves(ax)
    for (_, row), dots in zip(table.iterrows(), marked, strict=True):
        assert list(dots.get_xdata()) == [row[name].value for name in ("p50", "p90", "p99")]
        assert list(dots.get_ydata()) == [0.5, 0.9, 0.99]
    assert [word for word in words(ax) if word in set(table["handler"])] == table["handler"].tolist()


def test_handlers_with_the_most_time_are_shown():
    """Of more than the limit, these are the ones to look at; the rest is told."""
    frame = calls(a=[1], b=[5 * MS], c=[3 * MS], d=[2])
    ax = plot_latency(frame, limit=2, ax=new_axes())
    assert [word for word in words(ax) if word in "abcd"] == ["b", "c"]
    assert any("the 2 of 4 handlers with the most time" in word for word in words(ax))
    assert len(curves(ax)[0]) == 2


def test_skipped_calls_do_not_count():
    """A filter that kept events away makes a handler no faster."""
    frame = deliveries(
        {"duration": 5 * MS}, {"duration": 1, "outcome": "skipped"}, {"handler": "x", "outcome": "skipped"}
    )
    ax = plot_latency(frame, ax=new_axes())
    [curve], _ = curves(ax)
    assert np.unique(curve.get_xdata()[1:]).tolist() == [5 * MS]
    assert describe(ax) == "1 call of 1 handler took 5 ms, with p50 5 ms and p99 5 ms."


@pytest.mark.parametrize("times, scale", [([1 * MS, 2 * MS], "linear"), ([1, 2, 900 * MS], "log"), ([0, 0, 50], "log")])
def test_times_that_differ_widely_have_a_logarithmic_axis(times, scale):
    """The fast ones are not a line at the edge, and a call that took no measurable time is there too."""
    ax = plot_latency(calls(plan=times), ax=new_axes())
    assert ax.get_xscale() == scale
    [curve], _ = curves(ax)
    left, right = ax.get_xlim()
    known = curve.get_xdata()[1:]
    assert (known >= left).all() and (known <= right).all() and len(known) >= len(set(times))
