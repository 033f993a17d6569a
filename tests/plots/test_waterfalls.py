"""plot_causality: what an event led to, and when the handlers of each were at work."""

import pytest

from atlas_lab import Event, EventType, causality, describe, plot_causality, to_frame
from tests.plot_builders import Run, agents, deliveries, middleware, new_axes, rectangles, segments, words

MS = 1_000_000
TREE = [
    Event(EventType.AGENT_TASK_ASSIGNED, id="a", timestamp=0.0),
    Event(EventType.SYSTEM_HEALTH, id="x", timestamp=0.5),
    Event(EventType.RETRIEVAL_STARTED, id="b", timestamp=1.0, parent_id="a"),
    Event(EventType.RETRIEVAL_COMPLETED, id="c", timestamp=3.0, parent_id="b"),
    Event(EventType.AGENT_TASK_COMPLETED, id="d", timestamp=4.0, parent_id="a"),
]
NAMES = ["AGENT_TASK_ASSIGNED", "RETRIEVAL_STARTED", "RETRIEVAL_COMPLETED", "AGENT_TASK_COMPLETED"]
CALLS = [
    {"event_id": "a", "handler": "plan", "start": 10 * MS, "duration": 8 * MS},
    {"event_id": "b", "handler": "search", "start": 11 * MS, "duration": 4 * MS, "outcome": "error", "error_type": "E"},
    {"event_id": "b", "handler": "log", "start": 15 * MS, "duration": 1 * MS},
    {"event_id": "b", "handler": "deaf", "start": 16 * MS, "duration": 0, "outcome": "skipped"},
    {"event_id": "x", "handler": "log", "start": 1 * MS, "duration": 90 * MS},
    {"event_id": "d", "handler": "log", "start": 17 * MS, "duration": 1 * MS},
]


def run():
    return Run("run", to_frame(TREE), deliveries(*CALLS), middleware())


def names(ax):
    """Return row, distance from the left in points, and name of each event."""
    found = [text for text in ax.texts if text.get_position()[0] < 0]
    return [(text.get_position()[1], text.get_position()[0], text.get_text()) for text in found]


def test_the_tree_is_read_from_the_top():
    """Each event stands below the one that caused it, moved to the right, in the order of `causality`."""
    ax = plot_causality(run(), ax=new_axes())
    assert [(row, name) for row, _, name in names(ax)] == list(enumerate(NAMES))
    first, second, third, fourth = (x for _, x, _ in names(ax))
    assert first < second == fourth < third
    down = [(line[0][1], line[-1][1]) for line in segments(ax)]
    assert [(round(above), below) for above, below in down] == [(0, 1), (1, 2), (0, 3)]


def test_bars_are_the_calls_of_handlers():
    """From the first call on, each in the row of its event; other trees and skipped calls are left out."""
    ax = plot_causality(run(), ax=new_axes())
    found = sorted((round((top + bottom) / 2), left, right) for left, right, top, bottom in rectangles(ax))
    assert found == [(0, 0, 8), (1, 1, 5), (1, 5, 6), (3, 7, 8)]
    assert ax.get_xlabel() == "ms since the first call"
    [crosses] = [line for line in ax.lines if line.get_marker() == "x"]
    assert [*crosses.get_xdata()] == [5] and [*crosses.get_ydata()] == [1]
    assert [word for word in words(ax) if word not in NAMES][:4] == [
        *("8 ms  plan", "5 ms  search and 1 more", "no handler", "1 ms  log"),
    ]


def test_the_sentence_names_the_longest_call():
    """Words and picture tell the same."""
    assert describe(plot_causality(run(), ax=new_axes())) == (
        "AGENT_TASK_ASSIGNED led to 3 events, 2 levels deep, over 8 ms; of 4 calls of handlers 1 failed, and the longest "
        "is plan on AGENT_STARTED with 8 ms."
    )


def test_any_event_can_be_the_top():
    """The id of an event shows it and what it led to; an unknown one is refused by name."""
    assert [name for *_, name in names(plot_causality(run(), "b", ax=new_axes()))] == NAMES[1:3]
    with pytest.raises(ValueError, match="root must be the id of an event in the frame, got 'zz'"):
        plot_causality(run(), "zz", ax=new_axes())


def test_without_handlers_there_are_the_times_of_events():
    """A frame of events tells when each came, and how long it was until the last that it led to."""
    ax = plot_causality(to_frame(TREE), ax=new_axes())
    [dots] = [line for line in ax.lines if line.get_marker() == "o"]
    assert [*dots.get_xdata()] == [0, 1, 3, 4] and [*dots.get_ydata()] == [0, 1, 2, 3]
    assert sorted((round(top + 0.08, 6), left, right) for left, right, top, _ in rectangles(ax)) == [
        *((0, 0, 4), (1, 1, 3), (2, 3, 3), (3, 4, 4)),
    ]
    assert describe(ax) == "AGENT_TASK_ASSIGNED led to 3 events, 2 levels deep, over 4 s."


def test_a_big_tree_is_cut_and_says_so():
    """The first rows are shown, and how many are not; of several trees, that the largest was chosen."""
    ax = plot_causality(agents(), limit=3, ax=new_axes())
    table = causality(agents().events)
    size = table["descendants"].max() + 1
    assert len(names(ax)) == 3
    note = words(ax)[-1]
    assert f"{size - 3} more events of this tree not shown (limit=3)" in note.replace("\n", " ")
    assert f"the largest of {(table['depth'] == 0).sum()} trees" in note


def test_an_event_that_comes_twice_is_one_row_each():
    """A replayed frame has an id more than once, and is drawn."""
    twice = to_frame([*TREE, *TREE])
    assert len(names(plot_causality(twice, ax=new_axes()))) >= len(NAMES)


def test_events_without_times_are_still_a_tree():
    """What led to what does not depend on a clock."""
    timeless = [event.replace(timestamp=float("nan")) for event in TREE]
    ax = plot_causality(to_frame(timeless), ax=new_axes())
    assert [name for *_, name in names(ax)] == NAMES
    assert describe(ax) == "AGENT_TASK_ASSIGNED led to 3 events, 2 levels deep."
