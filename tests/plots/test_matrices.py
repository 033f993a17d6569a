"""plot_handler_heatmap and plot_transitions: who against what, in numbers and in strength of colour."""

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.text import Annotation

from atlas_lab import (
    Event,
    EventType,
    describe,
    errors_by_handler,
    plot_handler_heatmap,
    plot_transitions,
    to_frame,
    transitions,
)
from tests.plot_builders import agents, deliveries, new_axes, rows

A, B, C = EventType.RETRIEVAL_STARTED, EventType.STREAM_CHUNK, EventType.RETRIEVAL_COMPLETED


def cells(ax):
    """Return the words in each cell, by row and column."""
    found = {}
    for text in ax.texts:
        if text.get_ha() == "center":
            x, y = text.get_position()
            found[round(y), round(x)] = text.get_text().split("\n")
    return found


def headings(ax):
    """Return the texts that name the columns, from left to right: those above the rows."""
    texts = [text for text in ax.texts if not isinstance(text, Annotation) and text.get_ha() == "left"]
    return sorted((text for text in texts if text.get_position()[1] < -0.5), key=lambda text: text.get_position()[0])


def columns(ax):
    return [text.get_text() for text in headings(ax)]


def strength(ax, row, column):
    """Return how far the colour of a cell is from white."""
    [mesh] = [collection for collection in ax.collections if isinstance(collection, QuadMesh)]
    return float(np.abs(1 - mesh.get_array()[row, column, :3]).sum())


def failing(handler, kind, outcomes, error="KeyError"):
    return [
        {"handler": handler, "type": kind.name, "outcome": outcome}
        | ({"error_type": error, "error_message": f"no {handler}"} if outcome == "error" else {})
        for outcome in outcomes
    ]


def test_errors_stand_where_handler_and_type_meet():
    """The number and share of errors, 0 where none of the calls failed, nothing where there was no call."""
    frame = deliveries(
        *failing("plan", A, ["error", "ok", "ok", "ok"]),
        *failing("plan", B, ["ok"]),
        *failing("log", B, ["error", "error", "skipped"]),
        *failing("fine", A, ["ok"]),
    )
    ax = plot_handler_heatmap(frame, ax=new_axes())
    assert (rows(ax), columns(ax)) == (["log", "plan"], [B.name, A.name])
    assert cells(ax) == {(0, 0): ["2", "100 %"], (1, 1): ["1", "25 %"], (1, 0): ["0"]}
    assert strength(ax, 0, 0) > strength(ax, 1, 1) > strength(ax, 1, 0) == strength(ax, 0, 1)
    assert "KeyError: no log" in [text.get_text() for text in ax.texts]
    assert describe(ax) == (
        "3 errors in 8 calls, of 2 of 3 handlers; most often log failed on STREAM_CHUNK with KeyError, 2 times."
    )


def test_every_error_of_a_run_is_counted():
    """The numbers in the cells are those of `errors_by_handler`, also where types share a column."""
    frame = deliveries(*[call for kind in list(EventType)[:9] for call in failing("plan", kind, ["error"] * 2)])
    for limit in (3, 12):
        ax = plot_handler_heatmap(frame, limit=limit, ax=new_axes())
        assert sum(int(shown[0]) for shown in cells(ax).values()) == errors_by_handler(frame)["count"].sum() == 18
    assert columns(plot_handler_heatmap(frame, limit=3, ax=new_axes()))[-1] == "7 others"


def test_errors_of_several_kinds_add_up_in_a_cell():
    """A handler that fails in two ways on one type has failed so often on it."""
    frame = deliveries(*failing("plan", A, ["error", "ok"]), *failing("plan", A, ["error", "error"], "ValueError"))
    ax = plot_handler_heatmap(frame, ax=new_axes())
    assert cells(ax) == {(0, 0): ["3", "75 %"]}
    assert "ValueError: no plan" in [text.get_text() for text in ax.texts]


def test_what_went_well_is_said():
    """No errors is a finding too, and not an empty box."""
    ax = plot_handler_heatmap(deliveries({}, {}), ax=new_axes())
    assert [text.get_text() for text in ax.texts] == ["2 calls, and none failed"]


def test_transitions_stand_from_row_to_column():
    """Count and share as in the table, types in the order in which they first happened."""
    frame = agents().events
    ax = plot_transitions(frame, ax=new_axes())
    table = transitions(frame)
    types = list(frame["type"].drop_duplicates())
    assert (
        rows(ax) == columns(ax) == [kind for kind in types if kind in set(table["from_type"]) | set(table["to_type"])]
    )
    expected = {
        (rows(ax).index(row.from_type), rows(ax).index(row.to_type)): [
            f"{row.count_:,}",
            f"{row.share:.0%}".replace("%", " %"),
        ]
        for row in table.rename(columns={"count": "count_"}).itertuples()
    }
    assert cells(ax) == expected


def test_a_process_that_goes_forward_is_above_the_diagonal():
    """What goes back is below it, and what repeats is on it."""
    kinds = [A, B, B, C, A]
    frame = to_frame([Event(kind, source="s", timestamp=float(at)) for at, kind in enumerate(kinds)])
    ax = plot_transitions(frame, case="source", ax=new_axes())
    assert sorted(cells(ax)) == [(0, 1), (1, 1), (1, 2), (2, 0)]
    assert strength(ax, 0, 1) > strength(ax, 1, 1) > strength(ax, 0, 0)
    assert describe(ax) == (
        "4 transitions between 3 types within a source; most often STREAM_CHUNK follows RETRIEVAL_STARTED, 1 time "
        "(100 %), after 1 s."
    )


def test_rare_types_are_cut_and_counted():
    """The types with the most transitions are shown, and how many there are."""
    kinds = [*list(EventType)[:10], A, B, A, B]
    frame = to_frame([Event(kind, source="s", timestamp=float(at)) for at, kind in enumerate(kinds)])
    ax = plot_transitions(frame, case="source", limit=2, ax=new_axes())
    assert sorted(rows(ax)) == sorted([A.name, B.name])
    assert any("2 of 12 types shown" in text.get_text() for text in ax.texts)


def test_names_of_columns_do_not_cross():
    """Each stands higher than all to its right, above its own column."""
    ax = plot_transitions(agents().events, ax=new_axes())
    above = [text.get_position() for text in headings(ax)]
    assert [round(x) for x, _ in above] == list(range(len(above)))
    assert [y for _, y in above] == sorted(y for _, y in above)
    with pytest.raises(ValueError, match="case must be the name of a column"):
        plot_transitions(agents().events, case="agent")
