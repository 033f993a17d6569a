"""What holds for every table: columns and dtypes, errors that name what to pass, public names."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import atlas_lab
from atlas_lab import EventBus, tables
from atlas_lab.tables import (
    causality_tree,
    diff_runs,
    errors_by_handler,
    handler_latency,
    handlers_of,
    interarrival,
    middleware_funnel,
    rates,
    transitions,
    variants,
)
from tests.frame_builders import DELIVERIES, agent_run, agents, deliveries, middleware

SPAN, TIME = "timedelta64[ns]", "datetime64[ns, UTC]"
DTYPES = {
    "rates": {"time": TIME, "type": "category", "count": "int64", "rate": "float64"},
    "interarrival": {"seq": "int64", "timestamp": TIME, "gap": SPAN},
    "transitions": {
        "from_type": "category",
        "to_type": "category",
        "count": "int64",
        "share": "float64",
        "gap_p50": SPAN,
    },
    "variants": {
        "variant": "str",
        "cases": "int64",
        "share": "float64",
        "steps": "int64",
        "duration_p50": SPAN,
        "example": "str",
    },
    "causality": {
        "root_id": "str",
        "event_id": "str",
        "parent_id": "str",
        "type": "category",
        "depth": "int32",
        "children": "int64",
        "descendants": "int64",
        "path": "str",
        "span": SPAN,
    },
    "stream_quality": {
        "stream": "category",
        "started": TIME,
        "first_chunk": SPAN,
        "chunks": "int64",
        "gap_p50": SPAN,
        "gap_p95": SPAN,
        "gap_max": SPAN,
        "duration": SPAN,
        "outcome": "category",
    },
    "handler_latency": {
        "handler": "category",
        "calls": "int64",
        "p50": SPAN,
        "p90": SPAN,
        "p99": SPAN,
        "max": SPAN,
        "total": SPAN,
        "own": SPAN,
        "errors": "int64",
        "skipped": "int64",
    },
    "errors_by_handler": {
        "handler": "category",
        "type": "category",
        "error_type": "category",
        "count": "int64",
        "share": "float64",
        "first_seq": "int64",
        "last_seq": "int64",
        "message": "str",
    },
    "handlers_of": {name: str(pd.Series([], dtype=dtype).dtype) for name, dtype in DELIVERIES.items()}
    | {"share": "float64"},
    "middleware_funnel": {
        "scope": "category",
        "middleware": "category",
        "seen": "int64",
        "passed": "int64",
        "transformed": "int64",
        "dropped": "int64",
        "raised": "int64",
        "total": SPAN,
        "left": "float64",
    },
    "diff_runs": {
        "kind": "category",
        "name": "str",
        "count_a": "int64",
        "count_b": "int64",
        "change": "int64",
        "p50_a": SPAN,
        "p50_b": SPAN,
        "ratio": "float64",
        "only_in": "category",
    },
}
NEEDS = {
    "rates": ["timestamp", "type"],
    "interarrival": ["seq", "timestamp"],
    "transitions": ["type", "timestamp", "root_id"],
    "variants": ["type", "timestamp", "root_id"],
    "causality": ["event_id", "parent_id", "root_id", "depth", "type", "timestamp"],
    "causality_tree": ["event_id", "parent_id", "root_id", "depth", "type", "timestamp"],
    "stream_quality": ["type", "timestamp", "source"],
    "handler_latency": ["handler", "duration", "outcome"],
    "errors_by_handler": ["seq", "type", "handler", "outcome", "error_type", "error_message"],
    "handlers_of": ["event_id", "start", "duration", "outcome"],
    "middleware_funnel": ["event_id", "scope", "step", "middleware", "action", "duration"],
}
OF_EVENTS = ["rates", "interarrival", "transitions", "variants", "causality", "causality_tree", "stream_quality"]


def call(name, frame):
    """Return the table of a frame, with the argument that `handlers_of` needs."""
    table = getattr(tables, name)
    if name == "handlers_of":
        return table(frame, "e")
    return table(frame, frame) if name == "diff_runs" else table(frame)


@pytest.fixture
def calls():
    return deliveries(
        {"handler": "plan", "duration": 5, "start": 3},
        {"handler": "log", "duration": 2, "start": 1},
        {"handler": "plan", "outcome": "error", "error_type": "KeyError", "error_message": "'goal'", "duration": 9},
        {"handler": "plan", "outcome": "skipped", "duration": 0},
        {"handler": "log", "event_id": "f", "seq": 2},
    )


@pytest.fixture
def steps():
    return middleware(
        {"middleware": "quiet"},
        {"middleware": "redact", "step": 1, "action": "transformed", "changed": "data"},
        {"middleware": "quiet", "event_id": "f", "action": "dropped"},
    )


@pytest.fixture
def frame_of(calls, steps):
    def frame_of(name):
        if name in {*OF_EVENTS, "diff_runs"}:
            return agents()
        return steps if name == "middleware_funnel" else calls

    return frame_of


@pytest.mark.parametrize("name", DTYPES)
def test_columns_and_dtypes_never_change(name, frame_of):
    """Every table has all its columns with their dtypes, from a full frame and from an empty one."""
    frame = frame_of(name)
    for part in (frame, frame.iloc[:0], frame.iloc[:1]):
        table = call(name, part)
        assert {column: str(dtype) for column, dtype in table.dtypes.items()} == DTYPES[name]
        assert table.index.equals(pd.RangeIndex(len(table)))
    assert len(call(name, frame)) > 0 and len(call(name, frame.iloc[:0])) == 0


@pytest.mark.parametrize("name", DTYPES)
def test_the_index_does_not_matter_and_the_input_is_not_changed(name, frame_of):
    """A filtered or sorted frame, whose index has gaps or repeats, gives the same table and stays as it was."""
    frame = frame_of(name)
    expected = call(name, frame)
    odd = frame.set_axis(np.zeros(len(frame), int), axis=0)
    before = odd.copy(deep=True)
    assert_frame_equal(call(name, odd), expected)
    assert_frame_equal(odd, before)


@pytest.mark.parametrize("name, column", [(name, column) for name, needed in NEEDS.items() for column in needed])
def test_a_missing_column_is_named(name, column, frame_of):
    """A frame that lacks a column is an error that names it, and which frame to pass or which columns there are."""
    kind = "events" if name in OF_EVENTS else "middleware" if name == "middleware_funnel" else "deliveries"
    wanted = f"{kind} lacks the column '{column}'; pass a frame of {kind}, such as .*recording.{kind}.*Columns: run, "
    chosen = f"(by|case) must be the name of a column, got '{column}'. Columns: run, "
    with pytest.raises(ValueError, match=f"{wanted}|{chosen}"):
        call(name, frame_of(name).drop(columns=column))


@pytest.mark.parametrize("name", NEEDS)
def test_only_a_frame_is_taken(name):
    """A bus in the place of a frame is an error that says what to pass."""
    with pytest.raises(TypeError, match="must be a DataFrame of .*, such as .*recording.*, got EventBus"):
        call(name, EventBus())


def test_a_column_that_is_there_twice_is_named():
    """Two columns of one name, as payload keys can make them, are refused wherever one is needed."""
    twice = pd.concat([agents(), agents()[["timestamp", "data.n"]]], axis=1)
    with pytest.raises(ValueError, match="events has the column 'timestamp' 2 times"):
        rates(twice)
    with pytest.raises(ValueError, match=r"by must name one column, and 'data.n' is the name of 2"):
        rates(agents().assign(x=0).set_axis([*agents(), "data.n"], axis=1), by="data.n")


def test_times_of_another_kind_are_refused(calls):
    """Times without a zone and durations as numbers are errors, never read as something else."""
    with pytest.raises(ValueError, match="column 'timestamp' must hold times in UTC.*got dtype datetime64"):
        transitions(agents().assign(timestamp=agents()["timestamp"].dt.tz_localize(None)))
    with pytest.raises(ValueError, match="column 'duration' must hold durations.*got dtype int64"):
        handler_latency(calls.assign(duration=1))


def test_times_of_another_unit_or_zone_count_alike(calls):
    """Seconds, microseconds and other zones, as pandas makes them on the way, are read as what they mean."""
    moved = agents().assign(timestamp=agents()["timestamp"].dt.as_unit("us").dt.tz_convert("Etc/GMT-3"))
    assert_frame_equal(rates(moved), rates(agents()))
    took = pd.Series(pd.to_timedelta([5, 2, 9, 0, 1], unit="ms"))
    ns, coarse = (handler_latency(calls.assign(duration=took.dt.as_unit(unit))) for unit in ("ns", "ms"))
    assert_frame_equal(ns, coarse)


def test_a_column_to_group_by_is_checked():
    """`by` and `case` must name a column whose values can be told apart; the errors say what there is."""
    with pytest.raises(
        ValueError, match=r"by must be the name of a column, got 'data.model'. Columns: run, seq.*expand"
    ):
        rates(agents(), by="data.model")
    with pytest.raises(TypeError, match=r"case must be the name of a column, got list \['source'\]"):
        transitions(agents(), case=["source"])
    with pytest.raises(ValueError, match="by must not be 'seq', which the table has already"):
        interarrival(agents(), by="seq")
    for table in (lambda: rates(agents(), by="metadata"), lambda: variants(agents(), case="metadata")):
        with pytest.raises(ValueError, match="column 'metadata' cannot tell groups apart.*type dict"):
            table()


def test_types_as_plain_text_work():
    """After `pandas.concat` of different runs, categories are text: every table takes that too."""
    plain = agents().astype({"type": "str", "source": "str", "run": "str"})
    for name in OF_EVENTS:
        if name == "causality_tree":
            assert causality_tree(plain) == causality_tree(agents())
            continue
        found, expected = (call(name, frame) for frame in (plain, agents()))
        found, expected = (
            table.astype(dict.fromkeys(table.columns.intersection(["type", "from_type", "to_type"]), "str"))
            for table in (found, expected)
        )
        if name == "rates":  # in the order of the categories
            found, expected = (table.sort_values(["time", "type"], ignore_index=True) for table in (found, expected))
        assert_frame_equal(found, expected, check_dtype=False, check_categorical=False)


def test_the_frames_of_these_tests_are_those_of_a_recording():
    """What the tables are tested with has the columns and dtypes that a recording gives, in the same order."""
    _, run = agent_run()
    for real, made in ((run.deliveries, deliveries({})), (run.middleware, middleware({}))):
        assert [(name, str(dtype)) for name, dtype in real.dtypes.items()] == [
            (name, str(dtype)) for name, dtype in made.dtypes.items()
        ]
        for name in ("type", "outcome", "action"):
            assert name not in real or real[name].dtype == made[name].dtype


def test_a_recording_of_agents():
    """From what a recording gives, tables tell who worked, who failed, and what middleware did."""
    _, run = agent_run()
    latency = handler_latency(run.deliveries).set_index("handler")
    assert latency[["calls", "errors"]].T.to_dict("list") == {"work": [3, 0], "retrieve": [3, 0], "check": [3, 3]}
    assert latency.index[0] == "work"  # what it publishes is handled while it runs
    errors = errors_by_handler(run.deliveries)
    assert errors.iloc[0, :5].tolist() == ["check", "AGENT_TASK_COMPLETED", "ValueError", 3, 1.0]
    assert errors["message"].tolist() == ["no answer"]
    funnel = middleware_funnel(run.middleware)
    assert funnel[["scope", "middleware", "seen", "transformed", "left"]].to_numpy().tolist() == [
        ["run", "note", 30, 30, 1.0]
    ]
    first = run.events["event_id"].iloc[0]
    assert handlers_of(run.deliveries, first)["handler"].tolist() == ["work"]
    assert (diff_runs(run, run)["only_in"] == "both").all()
    assert diff_runs(run, run)["kind"].unique().tolist() == ["event type", "handler", "transition", "middleware"]


def test_tables_are_public_names():
    """Every table is a name of the package, loaded when it is first used."""
    assert set(tables.__all__) <= set(dir(atlas_lab))
    for name in tables.__all__:
        assert getattr(atlas_lab, name) is getattr(tables, name)


def test_a_missing_pandas_is_told():
    """Without pandas, a table says which extra brings it, and the bus works."""
    program = """
import sys
sys.modules["pandas"] = None
import atlas_lab
try:
    atlas_lab.rates
except atlas_lab.MissingExtraError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "pandas is not installed; run: pip install 'atlas_lab[lab]'\n"
