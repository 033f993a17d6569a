"""diff_runs: what is new, gone, more frequent or slower."""

from types import SimpleNamespace

import pandas as pd
import pytest

from atlas_lab import EventBus, to_frame
from atlas_lab.tables import diff_runs
from tests.frame_builders import Step, agents, deliveries, event, middleware, seconds


def recording(events, calls=(), steps=()):
    return SimpleNamespace(events=to_frame(events), deliveries=deliveries(*calls), middleware=middleware(*steps))


def test_diff_of_recordings():
    """What only one run has comes first, then what changed most, each with its medians and their ratio."""
    a = recording(
        [event("a", timestamp=0), event("b", Step.B, "a", timestamp=1)],
        [{"handler": "log", "duration": 4}, {"handler": "gone"}],
        [{"middleware": "redact", "scope": "run", "duration": 5}],
    )
    b = recording(
        [
            event("a", timestamp=0),
            event("b", Step.B, "a", timestamp=3),
            *[event(f"{n}", timestamp=n) for n in range(5)],
        ],
        [{"handler": "log", "duration": 8}, {"handler": "never", "outcome": "skipped"}],
        [{"middleware": "redact", "scope": "run", "duration": 2}, {"middleware": "redact"}],
    )
    table = diff_runs(a, b)
    shown = table[["kind", "name", "count_a", "count_b", "change", "only_in"]].to_numpy().tolist()
    assert shown == [
        ["handler", "gone", 1, 0, -1, "a"],
        ["middleware", "redact", 0, 1, 1, "b"],
        ["event type", "Step.A", 1, 6, 5, "both"],
        ["event type", "Step.B", 1, 1, 0, "both"],
        ["handler", "log", 1, 1, 0, "both"],
        ["transition", "Step.A → Step.B", 1, 1, 0, "both"],
        ["middleware", "redact (run)", 1, 1, 0, "both"],
    ]
    assert table["ratio"].round(3).tolist()[4:] == [2.0, 3.0, 0.4] and table["ratio"][:4].isna().all()
    assert table["p50_a"].astype("int64").tolist()[4:] == [4, 10**9, 5]
    assert seconds(table["p50_b"])[2:4] == [1.0, None]


def test_diff_of_equal_runs():
    """A run does not differ from itself."""
    table = diff_runs(agents(), agents())
    assert (table["change"] == 0).all() and (table["only_in"] == "both").all()
    assert set(table["kind"]) == {"event type", "transition"}
    assert table["ratio"].dropna().eq(1.0).all()


def test_diff_with_an_empty_run():
    """Beside an empty run everything is new."""
    table = diff_runs(agents().iloc[:0], agents())
    assert (table["only_in"] == "b").all() and table["count_b"].is_monotonic_decreasing
    assert (diff_runs(agents(), agents().iloc[:0])["only_in"] == "a").all()


def test_diff_compares_what_both_have():
    """A frame beside a recording is compared by its events; deliveries of one run alone are no difference."""
    recorded = recording([event("a")], [{}], [{}])
    for pair in ((agents(), recorded), (recorded, agents())):
        assert set(diff_runs(*pair)["kind"]) == {"event type", "transition"}


def test_diff_with_a_median_of_nothing():
    """What took no time in the first run has no ratio: nothing is infinitely slower."""
    a, b = (recording([event("a")], [{"duration": took}]) for took in (0, 5))
    table = diff_runs(a, b).set_index("kind")
    assert table.loc["handler", "p50_b"] == pd.Timedelta(5) and pd.isna(table.loc["handler", "ratio"])


def test_diff_names_the_run_that_is_wrong():
    """An argument that is no run, or a run whose frame lacks a column, is named."""
    with pytest.raises(TypeError, match="b must be a recording or a DataFrame of events.*got EventBus"):
        diff_runs(agents(), EventBus())
    with pytest.raises(ValueError, match="a lacks the column 'root_id'; pass a frame of events"):
        diff_runs(agents().drop(columns="root_id"), agents())
    bad = SimpleNamespace(events=agents(), deliveries=agents(), middleware=middleware())
    with pytest.raises(ValueError, match="b.deliveries lacks the column 'handler'; pass a frame of deliveries"):
        diff_runs(agents(), bad)
