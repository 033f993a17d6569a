"""plot_rate: how many events came in each stretch of time."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from atlas_lab import Event, EventType, describe, load_flights, load_quakes, plot_rate, rates, to_frame
from atlas_lab.plots.looks import ERROR
from tests.plot_builders import new_axes, rectangles, rows, words


def areas(ax):
    """Return the area of the bars of each row."""
    found = {}
    for left, right, top, bottom in rectangles(ax):
        found[round(bottom)] = found.get(round(bottom), 0) + (right - left) * (bottom - top)
    return found


def test_each_type_has_a_row_and_all_have_one():
    """The number of bars is that of the stretches with events, in `rates` and on the plot."""
    flights = to_frame(load_flights())
    ax = plot_rate(flights, ax=new_axes())
    by_type, together = rates(flights), rates(flights, by=None)
    kinds = [kind for kind in flights["type"].cat.categories if (flights["type"] == kind).any()]
    assert rows(ax) == ["all", *kinds]
    bars = pd.Series([round(bottom) for *_, bottom in rectangles(ax)]).value_counts()
    assert bars[0] == (together["count"] > 0).sum()
    for row, kind in enumerate(kinds, start=1):
        assert bars[row] == ((by_type["type"] == kind) & (by_type["count"] > 0)).sum()


def test_bars_are_as_high_as_counts():
    """Rows of types share one scale: twice as many events are twice as high, in whichever row."""
    sent = [(0.2, "a")] * 4 + [(1.2, "a")] * 2 + [(1.2, "b")] * 1
    frame = to_frame([Event(EventType.SYSTEM_HEALTH, source=source, timestamp=at) for at, source in sent])
    ax = plot_rate(frame, every="1s", by="source", ax=new_axes())
    heights = sorted((round(bottom), left, bottom - top) for left, _, top, bottom in rectangles(ax))
    of_all, of_a, of_b = ([height for row, _, height in heights if row == place] for place in range(3))
    assert of_all[0] / of_all[1] == pytest.approx(4 / 3)
    assert of_a[0] / of_a[1] == pytest.approx(2)
    assert of_a[0] / of_b[0] == pytest.approx(4)


def test_rows_tell_their_sum_and_their_highest_number():
    """The scale is read off the numbers, which are those of `rates`."""
    quakes = to_frame(load_quakes())
    ax = plot_rate(quakes, every="1D", by="source", ax=new_axes())
    table = rates(quakes, every="1D", by="source").groupby("source", observed=True)["count"]
    expected = [f"{number:,}" for number in (*table.max(), *table.sum())]
    assert set(expected) <= set(words(ax))
    assert {"1,707", "301"} <= set(words(ax))


def test_stretches_are_where_they_are_in_the_table():
    """A bar begins and ends with its stretch of time."""
    frame = to_frame([Event(EventType.SYSTEM_HEALTH, timestamp=at) for at in (10.25, 12.75)])
    ax = plot_rate(frame, every="1s", ax=new_axes())
    assert ax.get_xlabel() == "s since 1970-01-01 00:00:10.250 UTC"
    assert sorted(left for left, *_ in rectangles(ax)) == pytest.approx([-0.25, 1.75])
    assert {round(right - left, 9) for left, right, *_ in rectangles(ax)} == {1}


def test_rare_types_share_a_row_and_none_is_lost():
    """Of more types than there is room for, the others are counted together, errors last of all."""
    kinds = [f"KIND_{place}" for place in range(30)] + ["LATE_ERROR"]
    frame = pd.DataFrame({
        "timestamp": pd.to_datetime(np.arange(620) * 10**9, utc=True),
        "type": pd.Categorical(np.resize(np.array(kinds), 620)),
    })  # fmt: skip
    ax = plot_rate(frame, limit=4, ax=new_axes())
    assert rows(ax) == ["all", "KIND_0", "KIND_1", "LATE_ERROR", "28 others"]
    assert {"620", "20", "560"} <= set(words(ax))
    colours = {to_hex(colour) for collection in ax.collections for colour in collection.get_facecolor()}
    assert ERROR.lower() in colours


def test_a_type_alone_needs_no_second_row():
    """One series is one row, and it has no colour for a difference that there is not."""
    quakes = to_frame(load_quakes())
    assert rows(plot_rate(quakes, ax=new_axes())) == rows(plot_rate(quakes, by=None, ax=new_axes())) == ["all"]


def test_the_sentence_names_the_busiest_stretch():
    """It is the first with the highest number."""
    sent = [(0, "a"), (60, "b"), (61, "b"), (62, "a"), (180, "b"), (181, "b"), (182, "b")]
    frame = to_frame([Event(EventType.SYSTEM_HEALTH, source=source, timestamp=float(at)) for at, source in sent])
    assert describe(plot_rate(frame, every="1min", by="source", ax=new_axes())) == (
        "7 events from 1970-01-01 00:00 to 00:03:02 UTC; the busiest minute began at 1970-01-01 00:01 with 3; "
        "the most frequent source is b (5)."
    )


def test_areas_are_in_proportion_to_counts():
    """Over a whole row, area is number of events."""
    frame = to_frame([Event(EventType.SYSTEM_HEALTH, source="ab"[at % 3 == 0], timestamp=at * 1.0) for at in range(30)])
    found = areas(plot_rate(frame, every="1s", by="source", ax=new_axes()))
    numbers = frame["source"].value_counts()
    assert found[1] / found[2] == pytest.approx(numbers["a"] / numbers["b"])
