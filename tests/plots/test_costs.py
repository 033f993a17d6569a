"""plot_throughput: what a publish costs, as experiments measured it."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.container import ErrorbarContainer

from atlas_lab import describe, fit, plot_throughput, summarize
from tests.plot_builders import new_axes, words


def measured(costs, factor="handlers", rounds=5, **same):
    """A frame as `throughput` returns it: costs in ns by system and value of a factor, a bit more in each round."""
    rows = [
        {"run": "r", "system": system, "handlers": 1, "middleware": 0, "threads": 1, "round": number, "events": 1000}
        | {factor: value, "ns_per_event": ns * (1 + number / 100), "events_per_s": 1e9 / ns / (1 + number / 100)}
        | {"seconds": ns / 1e6}
        | same
        for system, by_value in costs.items()
        for value, ns in by_value.items()
        for number in range(rounds)
    ]
    return pd.DataFrame(rows).astype({"run": "category", "system": "category"})


STRAIGHT = {"ours": {1: 1020, 10: 1200, 100: 3000}, "theirs": {1: 1300, 10: 4000, 100: 31000}}


def lines(ax):
    return [container for container in ax.containers if isinstance(container, ErrorbarContainer)]


def points(container):
    x, y = container.lines[0].get_data()
    return np.asarray(x).tolist(), np.asarray(y).tolist()


def test_lines_are_medians_with_their_intervals():
    """They are those of `summarize`."""
    frame = measured(STRAIGHT)
    ax = plot_throughput(frame, ax=new_axes())
    table = summarize(frame)
    for container, system in zip(lines(ax), ["ours", "theirs"], strict=True):
        rows = table[table["system"] == system]
        assert points(container) == (rows["handlers"].tolist(), rows["ns_per_event"].tolist())
        [bars] = container.lines[2]
        spans = [(low, high) for (_, low), (_, high) in (segment for segment in bars.get_segments())]
        assert np.allclose(spans, rows[["ns_per_event_low", "ns_per_event_high"]].to_numpy())
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert describe(ax) == (
        "With 1 to 100 handlers, an event takes ours 1.04 µs to 3.06 µs, theirs 1.33 µs to 31.6 µs (medians of 5 rounds)."
    )


def test_the_line_through_the_medians_is_that_of_fit():
    """Its words tell the base and what one more costs."""
    frame = measured(STRAIGHT)
    ax = plot_throughput(frame, ax=new_axes())
    line = fit(frame).set_index("system").loc["ours"]
    thin = [one for one in ax.lines if one.get_linewidth() == 0.7]
    assert len(thin) == 2
    x, y = thin[0].get_data()
    assert np.allclose(y, line["intercept_ns"] + line["slope_ns"] * x)
    assert "1.02 µs + 20.4 ns per handler" in words(ax)


def test_no_line_is_drawn_where_there_is_none():
    """Medians far from any line have none, and nothing is said of one."""
    ax = plot_throughput(measured({"ours": {1: 1000, 2: 9000, 3: 1000, 4: 9000}}), ax=new_axes())
    assert [one for one in ax.lines if one.get_linewidth() == 0.7] == []
    assert not any("per handler" in word or "thin" in word for word in words(ax))


def test_a_slope_below_a_nanosecond_is_told():
    """A byte of payload costs little, and not nothing."""
    frame = measured({"ours": {0: 1000, 1000: 1250, 4000: 2000}}, "payload_bytes")
    assert "1.02 µs + 0.255 ns per byte of payload" in words(plot_throughput(frame, ax=new_axes()))


def test_what_else_varies_has_a_line_each():
    """One for every combination, with its name."""
    frame = pd.concat([measured(STRAIGHT), measured(STRAIGHT, middleware=5)], ignore_index=True)
    ax = plot_throughput(frame.astype({"system": "category"}), ax=new_axes())
    named = [word for word in words(ax) if word.startswith(("ours", "theirs"))]
    assert sorted(named) == ["ours, 0 middleware", "ours, 5 middleware", "theirs, 0 middleware", "theirs, 5 middleware"]


def test_along_threads_events_per_second_are_drawn():
    """There it is yield that matters, not what one thread waits."""
    frame = measured({"ours": {1: 1000, 2: 800, 4: 900}}, "threads")
    ax = plot_throughput(frame, ax=new_axes())
    assert ax.get_ylabel() == "events per second" and ax.get_xlabel() == "threads"
    assert points(lines(ax)[0])[1] == summarize(frame)["events_per_s"].tolist()
    assert describe(ax).startswith("With 1 to 4 threads, a second has room for events: ours 980,392 to ")
    assert plot_throughput(frame, "threads", value="ns_per_event", ax=new_axes()).get_ylabel() == "time per event"


def test_values_from_zero_on_have_a_linear_axis():
    """No middleware at all is a value, which a logarithmic axis lacks."""
    ax = plot_throughput(measured({"ours": {0: 1000, 1: 1100, 20: 3000}}, "middleware"), ax=new_axes())
    assert ax.get_xscale() == "linear" and points(lines(ax)[0])[0] == [0, 1, 20]


def test_one_round_has_no_interval_and_one_value_no_line():
    """A first look, before the experiment is done, is drawn too."""
    ax = plot_throughput(measured({"ours": {1: 1000}}, rounds=1), ax=new_axes())
    assert points(lines(ax)[0]) == ([1], [1000])
    assert describe(ax) == "With 1 handler, an event takes ours 1 µs (medians of 1 round)."


def test_names_at_the_ends_do_not_cover_each_other():
    """Where lines end at one height, their names stand below one another."""
    same = {f"system {place}": {1: 1000 + place, 10: 2000 + place} for place in range(5)}
    ax = plot_throughput(measured(same), ax=new_axes())
    heights = sorted(text.get_position()[1] for text in ax.texts if text.get_text().startswith("system"))
    assert np.diff(heights).min() > 0.03


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        (([1],), TypeError, "frame must be a DataFrame, as throughput returns it, got list"),
        ((pd.DataFrame({"latency_ns": [1]}),), ValueError, "frame must come from throughput"),
        ((measured(STRAIGHT), "color"), ValueError, "x must be 'handlers' or 'middleware' or 'threads', got 'color'"),
    ],
)
def test_other_frames_are_refused(arguments, error, message):
    """The error says what to pass."""
    with pytest.raises(error, match=message):
        plot_throughput(*arguments)
