"""rates and interarrival: counts per bin, and gaps."""

import datetime as dt
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from atlas_lab import concat_frames, load_flights, load_quakes, to_frame
from atlas_lab.tables import interarrival, rates
from tests.frame_builders import agents, event, seconds


def test_rates_count_flights_by_the_hour():
    """Counts are those of a plain count per hour, bins without an event are 0, and the rate is per second."""
    flights = to_frame(load_flights())
    table = rates(flights, every="1h")
    hours = Counter((event.type_name, int(event.timestamp // 3600)) for event in load_flights())
    found = {(kind, int(time.timestamp()) // 3600): count for time, kind, count, _ in table.itertuples(index=False)}
    assert {key: count for key, count in found.items() if count} == hours
    assert len(table) == 4 * 21 and 0 in found.values()
    assert table["rate"].tolist() == [count / 3600 for count in table["count"]]
    assert rates(flights, every="1h", by=None)["count"].sum() == 2315


@pytest.mark.parametrize(
    "every", ["1h", "h", "60min", pd.Timedelta("1h"), dt.timedelta(hours=1), np.timedelta64(1, "h"), pd.offsets.Hour()]
)
def test_a_width_can_be_said_in_many_ways(every):
    """A bin of an hour is the same whether it is text, a timedelta or an offset."""
    quakes = to_frame(load_quakes())
    assert_frame_equal(rates(quakes, every=every), rates(quakes, every="3600s"))


@pytest.mark.parametrize(
    "every, error, message",
    [
        ("ME", ValueError, "every must be a fixed time such as '5min' or a timedelta, got 'ME'"),
        ("soon", ValueError, "every must be a fixed time"),
        (5, TypeError, "every must be a fixed time such as '5min' or a timedelta, got int 5"),
        ("0s", ValueError, "every must be longer than 0, got '0s'"),
        ("-1s", ValueError, "every must be longer than 0"),
        (pd.offsets.MonthEnd(), ValueError, "every must be a fixed time"),
        ("1ns", ValueError, r"rates would have .* rows: .* bins of .* for 1 values of 'type'. Pass a longer every"),
    ],
)
def test_impossible_widths_are_refused(every, error, message):
    """No width is an error by accident, and no typing mistake fills the memory."""
    with pytest.raises(error, match=message):
        rates(to_frame(load_quakes()), every=every)


@pytest.mark.parametrize("span", [1e-4, 0.003, 1, 59, 60, 3600, 86_400, 7 * 86_400, 3e7, 9e9])
def test_the_default_width_is_round_and_gives_about_60_bins(span):
    """Without a width a run of any length, from microseconds to centuries, shows in some dozens of bins."""
    table = rates(to_frame([event("a", timestamp=0.0), event("b", timestamp=span)]), by=None)
    width = table["time"].diff().iloc[1]
    assert 30 <= len(table) <= 100
    assert width.total_seconds() in {
        *(n * 10.0**power for n in (1, 2, 5) for power in range(-6, 1)),
        *(n * unit for n in (1, 2, 5, 10, 15, 30) for unit in (1, 60)),
        *(n * 3600 for n in (1, 2, 3, 6, 12)),
        *(n * 86_400 * 10**power for n in (1, 2, 5) for power in range(4)),
    }


def test_rates_of_one_moment():
    """Events of one moment are one bin of a second."""
    table = rates(to_frame([event("a", timestamp=2.5), event("b", timestamp=2.5)]), by=None)
    assert table["time"].tolist() == [pd.Timestamp(2, unit="s", tz="UTC")] and table["rate"].tolist() == [2.0]


def test_rates_by_payload_with_missing_values():
    """Events without a value are a group of their own, last: the counts of all groups add up to all events."""
    table = rates(agents(), by="data.n", every="10s")
    assert table["data.n"].tolist()[:-1] == [0, 1, 2, 3] and pd.isna(table["data.n"].iloc[-1])
    assert table["count"].tolist() == [3, 3, 2, 1, 21]


def test_events_without_a_time_are_not_counted():
    """NaN as a timestamp puts an event in no bin, and gives it no gap."""
    frame = to_frame([event("a", timestamp=float("nan")), event("b", timestamp=1.0), event("c", timestamp=3.0)])
    assert rates(frame, by=None, every="1s")["count"].tolist() == [1, 0, 1]
    assert seconds(interarrival(frame)["gap"]) == [None, 2.0, None]


def test_interarrival_is_in_order_of_time_and_within_groups_and_runs():
    """Gaps are never negative, and reach neither from one group nor from one run to another."""
    events = [event("a", source="x", timestamp=3.0, seq=1), event("b", source="x", timestamp=1.0, seq=2)]
    frame = to_frame([*events, event("c", timestamp=2.0, seq=3), event("d", timestamp=7.0, seq=4)], run="one")
    assert seconds(interarrival(frame)["gap"]) == [None, 1, 1, 4]
    table = interarrival(frame, by="source")
    assert table["seq"].tolist() == [2, 3, 1, 4] and seconds(table["gap"]) == [None, None, 2, 5]
    both = concat_frames([frame, to_frame([event("e", timestamp=2.5, seq=1)], run="two")])
    assert seconds(interarrival(both)["gap"]) == [None, 1, None, 1, 4]
