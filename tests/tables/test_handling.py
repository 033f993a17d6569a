"""handler_latency, errors_by_handler and handlers_of."""

import numpy as np
import pandas as pd
import pytest

from atlas_lab.tables import errors_by_handler, handler_latency, handlers_of
from tests.frame_builders import DELIVERIES, deliveries


def test_percentiles_are_durations_that_occurred():
    """Percentiles of calls are those of NumPy's inverted_cdf, skipped calls not counted, slowest handler first."""
    took = list(range(1, 101))
    frame = deliveries(
        *({"handler": "slow", "duration": n} for n in reversed(took)),
        *({"handler": "fast", "duration": n} for n in (1, 2)),
        {"handler": "fast", "duration": 3, "outcome": "error"},
        {"handler": "fast", "duration": 999, "outcome": "skipped"},
        {"handler": "never", "duration": 999, "outcome": "skipped"},
    )
    table = handler_latency(frame)
    assert table["handler"].tolist() == ["slow", "fast", "never"]
    assert table[["calls", "errors", "skipped"]].to_numpy().tolist() == [[100, 0, 0], [3, 1, 1], [0, 0, 1]]
    numbers = table[["p50", "p90", "p99", "max", "total"]].astype("int64").to_numpy().tolist()
    assert numbers[:2] == [[50, 90, 99, 100, 5050], [2, 3, 3, 3, 6]]
    assert table.loc[2, ["p50", "p90", "p99", "max"]].isna().all() and table["total"][2] == pd.Timedelta(0)
    assert numbers[0][:3] == [np.quantile(took, share, method="inverted_cdf") for share in (0.5, 0.9, 0.99)]


def test_totals_of_long_runs_keep_their_nanoseconds():
    """Sums are whole numbers: 200 days of calls are not rounded to what a float holds."""
    frame = deliveries({"duration": 200 * 86_400 * 10**9}, {"duration": 1})
    assert handler_latency(frame)["total"].astype("int64").tolist() == [200 * 86_400 * 10**9 + 1]


def test_own_time_is_without_what_was_led_to():
    """The own times of handlers add up, skipped calls not counted; a frame that does not tell them has none."""
    frame = deliveries(
        {"handler": "plan", "duration": 100, "own": 30},
        {"handler": "plan", "duration": 10, "own": 10, "outcome": "error"},
        {"handler": "plan", "duration": 5, "own": 5, "outcome": "skipped"},
        {"handler": "work", "duration": 70},
    )
    table = handler_latency(frame).set_index("handler")
    assert table["own"].astype("int64").to_dict() == {"plan": 40, "work": 70}
    assert handler_latency(frame.drop(columns="own"))["own"].isna().all()


def test_errors_by_handler():
    """Failures are counted by handler, event type and error, as a share of the calls that ran, with the usual message."""
    boom = {"outcome": "error", "error_type": "KeyError"}
    frame = deliveries(
        {"seq": 9, **boom, "error_message": "a"},
        {"seq": 3, **boom, "error_message": "b"},
        {"seq": 5, **boom, "error_message": "b"},
        {"seq": 6},
        {"seq": 7, "outcome": "skipped"},
        {"seq": 8, "outcome": "error", "error_type": "OSError", "error_message": "x"},
        {"seq": 9, "outcome": "error", "error_type": "OSError", "error_message": "w"},
        {"seq": 1, "type": "AGENT_STOPPED", **boom, "error_message": "c"},
        {"seq": 2, "type": "AGENT_STOPPED"},
        {"seq": 2, "handler": "fine"},
    )
    assert errors_by_handler(frame).to_numpy().tolist() == [
        ["h", "AGENT_STARTED", "KeyError", 3, 0.5, 3, 9, "b"],
        ["h", "AGENT_STARTED", "OSError", 2, 2 / 6, 8, 9, "x"],
        ["h", "AGENT_STOPPED", "KeyError", 1, 0.5, 1, 1, "c"],
    ]


def test_handlers_of_one_event():
    """The calls of an event come in order of start with their share of the time; skipped ones took none."""
    frame = deliveries(
        {"handler": "log", "start": 9, "duration": 1},
        {"handler": "plan", "start": 2, "duration": 3},
        {"handler": "off", "start": 3, "duration": 50, "outcome": "skipped"},
        {"handler": "other", "event_id": "f"},
    )
    table = handlers_of(frame, "e")
    assert table["handler"].tolist() == ["plan", "off", "log"] and table["share"].tolist() == [0.75, 0.0, 0.25]
    assert list(table) == [*DELIVERIES, "share"]
    assert handlers_of(deliveries({"duration": 0}), "e")["share"].isna().all()
    assert len(handlers_of(frame, "nobody listened")) == 0
    with pytest.raises(TypeError, match="event_id must be the id of an event, got int 3"):
        handlers_of(frame, 3)
