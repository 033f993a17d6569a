"""Plots on little room: one of several on a figure is still read, and tells what there was no room for."""

import functools
import io
import itertools
import re
import warnings

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from atlas_lab import (
    Event,
    EventBus,
    EventType,
    overview,
    plot_causality,
    plot_handler_heatmap,
    plot_latency,
    plot_rate,
    to_frame,
)
from atlas_lab.plots.cells import CellWords
from atlas_lab.plots.looks import ERROR
from tests.plot_builders import agents, deliveries, frames_of, rectangles, words
from tests.plots.test_plots import PLOTS

SIZES = {"small": (4, 3), "wide": (14, 3), "narrow": (3.6, 6)}


@functools.cache
def crowded():
    """Thirty handlers, types and scopes with long names, of which many fail."""
    bus = EventBus(name="crowded")
    kinds = list(EventType)[:30]

    def fail(event):
        if event.seq % 3:
            raise ValueError("it went wrong, and here is a long explanation of what went wrong")

    for number, kind in enumerate(kinds):
        bus.subscribe(kind, fail, name=f"handler_{number}.with_a_long.qualified_name.of_a_method")
        bus.add_middleware(lambda event: event, name=f"entry_{number}.with_a_long.qualified_name")
    bus.subscribe(None, lambda event: None, name="log")
    with bus.record() as recording:
        for number in range(90):
            bus.publish(kinds[number % 30], number, source=f"source_{number % 40}.with_a_long.qualified_name")
    return frames_of(recording)


def drawn(draw, run, size):
    """Draw a run on a figure of a size, and lay it out."""
    figure = Figure(figsize=size, layout="constrained")
    ax = draw(run, ax=figure.subplots())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(io.BytesIO(), dpi=figure.dpi)
    return ax


def shown(ax):
    """Return the texts of a plot, without the numbers at its x axis, which matplotlib looks after."""
    ticks = {*ax.get_xticklabels(), *ax.get_xticklabels(minor=True), ax.xaxis.offsetText}
    return [text for text in ax.findobj(Text) if text.get_text() and text not in ticks]


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("run", [agents, crowded])
@pytest.mark.parametrize("draw", PLOTS.values(), ids=PLOTS)
def test_a_plot_is_read_at_any_size(draw, run, size):
    """No name is cut off at the edge or stands on another, and what is drawn keeps a place of its own."""
    ax = drawn(draw, run(), size)
    box, page = ax.get_window_extent(), ax.figure.bbox
    assert box.width > 0.2 * page.width
    for text in shown(ax):
        extent = text.get_window_extent()
        assert page.x0 - 2 <= extent.x0 and extent.x1 <= page.x1 + 2, text.get_text()
    names = sorted(label.get_window_extent().y0 for label in ax.get_yticklabels() if label.get_text())
    heights = [label.get_window_extent().height for label in ax.get_yticklabels() if label.get_text()]
    assert all(upper - lower >= 0.6 * max(heights) for lower, upper in itertools.pairwise(names))


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_words_stay_in_their_cells(size):
    """A matrix of many small cells has small words, and no words before they run over one another."""
    ax = drawn(plot_handler_heatmap, crowded(), size)
    cells = [text for text in ax.get_children() if isinstance(text, CellWords)]
    assert cells
    for text in cells:
        column, row = text.get_position()
        (left, top), (right, bottom) = ax.transData.transform([(column - 0.5, row - 0.5), (column + 0.5, row + 0.5)])
        if text.get_text():
            extent = text.get_window_extent()
            assert left <= extent.x0 and extent.x1 <= right
            assert bottom - 3 <= extent.y0 and extent.y1 <= top + 3


def test_words_of_a_cell_are_as_many_as_there_is_room_for():
    """Below one another, beside one another where cells are low, and the number alone where they are also narrow."""
    calls = deliveries(
        *[
            {"handler": f"h{one}", "type": kind.name, "outcome": "error", "error_type": "KeyError"}
            for one in range(6)
            for kind in list(EventType)[:6]
        ]
    )
    told = {}
    for name, size in {"large": (8, 6), "flat": (12, 2.4), "tiny": (2.6, 2.6)}.items():
        ax = drawn(plot_handler_heatmap, calls, size)
        told[name] = {text.get_text() for text in ax.get_children() if isinstance(text, CellWords)}
    assert told == {"large": {"1\n100 %"}, "flat": {"1  100 %"}, "tiny": {"1"}}


def test_what_has_no_room_is_counted():
    """A plot that shows fewer rows than asked for says so."""
    kind = EventType.AGENT_STARTED
    chain = [Event(kind, id=f"e{place}", parent_id=f"e{place - 1}" if place else None) for place in range(30)]
    low, high = (drawn(plot_causality, to_frame(chain), (5, height)) for height in (2, 8))
    assert any("of this tree not shown" in text for text in words(low))
    assert not any("not shown" in text for text in words(high))
    ax = drawn(plot_handler_heatmap, crowded(), (4, 2))
    assert re.search(r"6 of \d+ handlers shown, those with most", " ".join(words(ax)).replace("\n", " "))


def test_percentiles_are_told_as_far_as_there_is_room():
    """The name and the median of a handler stand beside even a small plot, and everything beside a large one."""
    for size, parts in {(8, 4): ("call", "p50", "p90", "p99"), (2.4, 3): ("p50",)}.items():
        told = " ".join(words(drawn(plot_latency, agents(), size))[:-1])
        assert [part for part in ("call", "p50", "p90", "p99") if f"{part} " in told or f"{part}s" in told] == list(
            parts
        )


def test_a_shortened_name_is_still_that_of_an_error():
    """On little room HANDLER_ERROR loses its middle, and keeps the colour of errors."""
    ax = drawn(plot_rate, agents(), (2.4, 3))
    assert not any("ERROR" in label.get_text() for label in ax.get_yticklabels())
    colours = [tuple(colour) for collection in ax.collections for colour in collection.get_facecolor()]
    expected = tuple(int(ERROR[place : place + 2], 16) / 255 for place in (1, 3, 5))
    assert rectangles(ax)
    assert any(colour[:3] == pytest.approx(expected) for colour in colours)


def test_an_overview_of_many_long_names_has_room_for_all_its_parts():
    """Without a warning that the layout collapsed."""
    figure = overview(crowded())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(io.BytesIO(), dpi=40)
    assert all(ax.get_window_extent().width > 0.08 * figure.bbox.width for ax in figure.axes)
