"""summarize and fit: held against slow and plain computations, and against data whose truth is known."""

from __future__ import annotations

import itertools
import statistics

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from atlas_lab import concat_frames, fit, latency, summarize, throughput
from atlas_lab.experiments.summaries import _drawn_percentiles


def costs(values, **columns):
    """A frame of throughput: `values` maps a system to the ns per event of each round, or of each x and round."""
    rows = [
        {"system": system, "handlers": handlers, "round": number, "ns_per_event": float(cost)}
        for system, by_handlers in values.items()
        for handlers, rounds in (by_handlers.items() if isinstance(by_handlers, dict) else [(1, by_handlers)])
        for number, cost in enumerate(rounds)
    ]
    frame = pd.DataFrame(rows).assign(**columns)
    frame["system"] = pd.Categorical(frame["system"], list(values))
    frame["events_per_s"] = 1e9 / frame["ns_per_event"]
    return frame


def times(latencies, rate=1000.0, rounds=1, **columns):
    """A frame of latency: the latencies of one block after the other."""
    per_round = len(latencies) // rounds
    event = np.arange(len(latencies)) % per_round
    return pd.DataFrame(
        {
            "system": pd.Categorical(["ours"] * len(latencies)),
            "rate": rate,
            "round": np.arange(len(latencies)) // per_round,
            "event": event,
            "intended": event / rate,
            "latency_ns": np.asarray(latencies, np.int64),
            "service_ns": np.asarray(latencies, np.int64) // 2,
            "share": 1.0,
        }
    ).assign(**columns)


def test_medians_are_those_of_the_rounds():
    """Held against the standard library."""
    frame = costs({"ours": [3, 1, 2, 10], "theirs": [5, 5, 6, 9]})
    table = summarize(frame).set_index("system")
    assert table["ns_per_event"].to_dict() == {"ours": 2.5, "theirs": 5.5}
    assert table.loc["ours", "events_per_s"] == statistics.median([1e9 / cost for cost in (3, 1, 2, 10)])
    assert table["rounds"].to_dict() == {"ours": 4, "theirs": 4}


def test_ratios_are_taken_within_a_round():
    """What slows a whole round down by ten does not blur that one system takes twice as long as the other."""
    noise = [1, 10, 2, 0.5, 30]
    frame = costs({"ours": [100 * slow for slow in noise], "theirs": [200 * slow for slow in noise]})
    table = summarize(frame.sample(frac=1, random_state=1)).set_index("system")
    assert table.loc["theirs", ["ratio", "ratio_low", "ratio_high"]].tolist() == [2, 2, 2]
    assert table.loc["ours", ["ratio", "ratio_low", "ratio_high"]].tolist() == [1, 1, 1]
    assert table.loc["theirs", "ns_per_event_high"] > 10 * table.loc["theirs", "ns_per_event_low"]
    assert summarize(frame, base="theirs").set_index("system").loc["ours", "ratio"] == 0.5


def test_ratios_are_taken_within_a_configuration():
    """Ten handlers of one are compared with ten of the other; where the other has none there is no ratio."""
    frame = costs({"ours": {1: [10, 10], 10: [20, 20], 100: [30, 30]}, "theirs": {1: [10, 10], 10: [60, 60]}})
    table = summarize(frame, base="theirs").set_index(["system", "handlers"])["ratio"]
    assert table["theirs"].tolist() == [1, 1]
    assert table["ours", 1] == 1
    assert table["ours", 10] == pytest.approx(1 / 3)
    assert np.isnan(table["ours", 100])


def test_one_system_has_no_ratio():
    """A column of ones says nothing."""
    table = summarize(costs({"ours": [1, 2]}))
    assert table.columns.tolist() == [
        "system", "rounds",
        "ns_per_event", "ns_per_event_low", "ns_per_event_high",
        "events_per_s", "events_per_s_low", "events_per_s_high",
    ]  # fmt: skip


def test_intervals_hold_what_they_promise():
    """Of 200 experiments on noise around a known median, some 95 % of the intervals hold it."""
    chance = np.random.default_rng(1)
    held = 0
    for number in range(200):
        table = summarize(costs({"ours": 100 * np.exp(chance.normal(0, 0.3, 15))}), draws=300, seed=number)
        held += table["ns_per_event_low"].item() <= 100 <= table["ns_per_event_high"].item()
    assert 0.90 < held / 200 < 0.99


def test_one_round_has_no_interval():
    """A width of nothing would look like certainty."""
    table = summarize(costs({"ours": [7]}))
    assert table["ns_per_event"].item() == 7
    assert table[["ns_per_event_low", "ns_per_event_high"]].isna().all(axis=None)


def test_the_seed_decides_the_intervals():
    """A table can be had again to the last digit."""
    frame = costs({"ours": np.random.default_rng(1).normal(100, 9, 20)})
    assert_frame_equal(summarize(frame), summarize(frame))
    assert not summarize(frame).equals(summarize(frame, seed=1))


def test_rows_are_told_apart_by_what_varies():
    """By default the system and what was varied; a run among them, as soon as there are two."""
    frame = costs({"ours": {1: [1, 2], 10: [3, 4]}}, middleware=5, run="a")
    assert summarize(frame).columns[:3].tolist() == ["system", "handlers", "rounds"]
    both = concat_frames([frame.astype({"run": "category"}), frame.assign(run="b").astype({"run": "category"})])
    table = summarize(both)
    assert table.columns[:4].tolist() == ["run", "system", "handlers", "rounds"]
    assert table["ns_per_event"].tolist() == [1.5, 3.5, 1.5, 3.5]
    assert table["rounds"].tolist() == [2] * 4
    pooled = summarize(frame, by="middleware")
    assert pooled.columns[:2].tolist() == ["middleware", "rounds"]
    assert pooled["ns_per_event"].tolist() == [2.5]


def test_a_run_that_is_there_twice_is_noticed():
    """Pairing its rounds with themselves would make four ratios of two."""
    frame = costs({"ours": [1, 2], "theirs": [3, 4]})
    for table in (summarize, fit):
        with pytest.raises(ValueError, match=r"once per round, got round 0 of .*system=ours.*twice; give runs"):
            table(pd.concat([frame, frame]))


def test_percentiles_are_latencies_that_occurred():
    """The definition is NumPy's inverted_cdf: of 1000 latencies 1 to 1000, p99 is 990 and not 990.01."""
    latencies = np.random.default_rng(1).permutation(np.arange(1, 1001))
    table = summarize(times(latencies, rounds=4))
    assert table[["p50_ns", "p90_ns", "p99_ns", "max_ns"]].to_numpy().tolist() == [[500, 900, 990, 1000]]
    assert table[["service_p50_ns", "service_p99_ns"]].to_numpy().tolist() == [[250, 495]]
    assert (table["rounds"].item(), table["events"].item()) == (4, 1000)


def test_what_was_achieved_is_told():
    """A block of a second that took two because the system was too slow shows half the rate."""
    kept_up = times(np.full(1000, 10_000))
    late = times(np.linspace(1_000_000, 1_000_000_000, 1000))
    assert summarize(kept_up)["achieved_per_s"].item() == pytest.approx(1000, rel=0.01)
    assert summarize(late)["achieved_per_s"].item() == pytest.approx(500, rel=0.01)
    half = late[::2].assign(share=0.5)
    assert summarize(half)["achieved_per_s"].item() == pytest.approx(500, rel=0.01)


def test_drawn_percentiles_are_those_of_drawn_stretches():
    """The counting over marks gives what sorting each drawn sample would."""
    chance = np.random.default_rng(1)
    values = np.round(chance.lognormal(10, 1, 800))
    stretch = np.sort(chance.integers(0, 12, 800))
    drawn = _drawn_percentiles(values, stretch, 40, np.random.default_rng(7))
    times_drawn = np.random.default_rng(7).multinomial(12, np.full(12, 1 / 12), 40)
    for row, times_each in zip(drawn, times_drawn, strict=True):
        sample = np.concatenate([np.tile(values[stretch == place], times) for place, times in enumerate(times_each)])
        expected = np.quantile(sample, [0.5, 0.9, 0.99, 1.0], method="inverted_cdf")
        assert row.tolist() == expected.tolist()


def test_many_latencies_keep_their_percentiles():
    """Where there are more latencies than marks, a drawn percentile is off by less than the interval is wide."""
    chance = np.random.default_rng(1)
    values = np.round(chance.lognormal(10, 1, 200_000))
    stretch = np.repeat(np.arange(100), 2000)
    drawn = np.median(_drawn_percentiles(values, stretch, 200, chance), axis=0)
    assert drawn == pytest.approx(np.quantile(values, [0.5, 0.9, 0.99, 1.0]), rel=0.01)


def test_latencies_that_hang_together_have_wide_intervals():
    """One stall that delays a hundred events is one thing that happened, not a hundred."""
    chance = np.random.default_rng(1)
    latencies = chance.integers(1000, 2000, 5000)
    alone, together = latencies.copy(), latencies.copy()
    alone[chance.choice(5000, 100, replace=False)] = 10**6
    together[2000:2100] = 10**6
    widths = [
        table["p99_ns_high"].item() - table["p99_ns_low"].item()
        for table in (summarize(times(one, rounds=5)) for one in (alone, together))
    ]
    assert widths[0] == 0
    assert widths[1] > 900_000


def test_a_line_is_found():
    """500 ns and 30 more for each handler come out as that, however slow the rounds were as a whole."""
    noise = [1, 1.1, 0.9, 3, 1]
    levels = {x: [(500 + 30 * x) * slow for slow in noise] for x in (0, 1, 10, 100)}
    table = fit(costs({"ours": levels, "theirs": {1: [7] * 3, 5: [7] * 3}})).set_index("system")
    assert table.loc["ours", ["slope_ns", "intercept_ns"]].tolist() == pytest.approx([30, 500])
    assert table.loc["theirs", ["slope_ns", "intercept_ns"]].tolist() == pytest.approx([0, 7])
    assert table.loc["ours", ["values", "rounds"]].tolist() == [4, 5]
    assert table["misfit"].max() == pytest.approx(0)


def test_the_cheap_end_counts_as_much_as_the_dear_one():
    """With errors in proportion, a plain fit would lose the intercept in the scatter of 1000 handlers."""
    chance = np.random.default_rng(1)
    found = []
    for _ in range(50):
        levels = {x: (500 + 30 * x) * np.exp(chance.normal(0, 0.1, 9)) for x in (1, 10, 100, 1000)}
        found.append(fit(costs({"ours": levels}), draws=200))
    table = pd.concat(found)
    assert table["intercept_ns"].std() < 50  # some 700 in a fit of absolute errors
    assert table["slope_ns_low"].lt(30).mul(table["slope_ns_high"].gt(30)).mean() > 0.85
    assert table["intercept_ns_low"].lt(500).mul(table["intercept_ns_high"].gt(500)).mean() > 0.85


def test_what_is_no_line_is_told():
    """A quadratic cost has slope and intercept, and they mean nothing."""
    assert fit(costs({"ours": {x: [x**2] * 3 for x in (1, 10, 100)}}))["misfit"].item() > 0.3


def test_there_is_a_line_for_whatever_else_varies():
    """With and without middleware are two lines, and so are two runs."""
    frames = [
        costs({"ours": {1: [base + 3], 2: [base + 6]}}, middleware=entries, run=run)
        for run, entries, base in [("a", 0, 100), ("a", 5, 200), ("b", 0, 300), ("b", 5, 400)]
    ]
    table = fit(pd.concat(frames))
    assert table[["run", "system", "middleware"]].to_numpy().tolist() == [
        ["a", "ours", 0], ["a", "ours", 5], ["b", "ours", 0], ["b", "ours", 5],
    ]  # fmt: skip
    assert table["intercept_ns"].tolist() == pytest.approx([100, 200, 300, 400])
    assert table["slope_ns_low"].isna().all()  # of one round
    sizes = frames[0].rename(columns={"handlers": "size"})
    assert fit(sizes, x="size")["slope_ns"].item() == pytest.approx(3)


def test_only_rounds_with_all_values_count():
    """A row that somebody filtered out does not shift the line."""
    frame = costs({"ours": {1: [10, 10, 10], 2: [20, 20, 99]}})
    table = fit(frame[frame.index != 2])
    assert (table["rounds"].item(), table["slope_ns"].item()) == (2, pytest.approx(10))


@pytest.mark.parametrize("frame", [costs({"ours": {1: [1, 2], 9: [3, 4]}}), times([1, 2, 3, 4], rounds=2)])
def test_tables_do_not_change_their_frame_nor_need_its_index(frame):
    """A frame can be filtered, sorted and looked at again."""
    before = frame.copy()
    table = summarize(frame)
    assert_frame_equal(frame, before)
    shuffled = frame.sample(frac=1, random_state=3).set_index("round", drop=False).rename_axis(None)
    columns = [name for name in table if not name.endswith(("low", "high"))]
    assert_frame_equal(summarize(shuffled)[columns], table[columns])


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: summarize([1]), TypeError, "frame must be a DataFrame, as throughput or latency returns it, got list"),
        (lambda: summarize(pd.DataFrame({"a": [1]})), ValueError, "lacks events_per_s, ns_per_event, round, system"),
        (lambda: summarize(times([1]).drop(columns="share")), ValueError, "lacks share"),
        (lambda: summarize(costs({"ours": [1]})[:0]), ValueError, "frame must hold at least one row"),
        (
            lambda: summarize(costs({"ours": [1]}), by="size"),
            ValueError,
            "by must name columns of frame, got size; there",
        ),
        (lambda: summarize(costs({"ours": [1]}), by=[]), ValueError, "by must name columns of frame, got none"),
        (lambda: summarize(costs({"ours": [1]}), by=3), TypeError, "by must be the name of a column"),
        (lambda: summarize(costs({"a": [1], "b": [1]}), base="c"), ValueError, "got 'c'; there are a, b"),
        (lambda: summarize(times([1]), base="ours"), ValueError, "base is for frames of throughput"),
        (lambda: summarize(costs({"ours": [1]}), draws=0), ValueError, "draws must be 1 or more"),
        (lambda: summarize(costs({"ours": [1]}), seed=-1), ValueError, "seed must be 0 or more"),
        (lambda: fit(times([1])), ValueError, "frame must come from throughput, got one of latency"),
        (lambda: fit(costs({"ours": [1]}), x=["handlers"]), TypeError, "x must be the name of a column"),
        (lambda: fit(costs({"ours": [1]}), x="size"), ValueError, "x must name columns of frame, got size"),
        (lambda: fit(costs({"ours": [1]}), x="system"), ValueError, "x must name a column of numbers, got 'system'"),
        (lambda: fit(costs({"ours": [1, 2]})), ValueError, "two or more values of 'handlers' .* system=ours"),
    ],
)
def test_wrong_arguments_are_told(call, error, message):
    """Each error names what came and what is expected."""
    with pytest.raises(error, match=message):
        call()


def test_real_frames_go_through():
    """What the experiments return is what the tables take, with several systems, factors and rates."""
    systems = {"none": lambda configuration: lambda: None}
    frame = throughput(handlers=(1, 10), threads=(1, 2), against=systems, rounds=3, block=0.0005, progress=False)
    table = summarize(frame)
    pairs = itertools.product(["atlas_lab", "none"], [1, 10], [1, 2])
    assert table[["system", "handlers", "threads"]].to_numpy().tolist() == [list(pair) for pair in pairs]
    assert table.notna().all(axis=None)
    assert table["handlers"].dtype == "int32"
    assert fit(frame)[["system", "threads"]].to_numpy().tolist() == [
        ["atlas_lab", 1], ["atlas_lab", 2], ["none", 1], ["none", 2],
    ]  # fmt: skip
    frame = latency(rates=(1000, 3000), seconds=0.02, rounds=2, against=systems, progress=False)
    table = summarize(frame)
    assert table[["system", "rate"]].to_numpy().tolist() == [
        ["atlas_lab", 1000], ["atlas_lab", 3000], ["none", 1000], ["none", 3000],
    ]  # fmt: skip
    assert table["events"].sum() == len(frame)
    assert (table["p50_ns"] <= table["max_ns"]).all()
