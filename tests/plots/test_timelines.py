"""plot_timeline: every event a dot, every call a bar, in lanes along the time."""

import matplotlib.dates as mdates
import numpy as np
import pytest
from matplotlib.colors import to_hex

from atlas_lab import Event, EventType, describe, handler_latency, plot_rate, plot_timeline, rates, to_frame
from atlas_lab.plots.looks import ERROR
from tests.plot_builders import agents, deliveries, key_of, new_axes, rectangles, rows, segments, words

DAY = 86_400.0


def events(*given):
    return to_frame([Event(kind, source=source, timestamp=at) for kind, source, at in given])


def dots(ax):
    """Return x, y, shape and colour of each dot."""
    return [
        (float(x), float(y), line.get_marker(), to_hex(line.get_color()))
        for line in ax.lines
        for x, y in zip(*line.get_data(), strict=True)
    ]


def test_every_event_is_a_dot_in_its_lane_at_its_time():
    """Lanes come in the order of their first event; a type has a shape, a colour and a height of its own."""
    chunk, done = EventType.STREAM_CHUNK, EventType.STREAM_COMPLETED
    ax = plot_timeline(events((chunk, "b", 0.0), (chunk, "a", 1.0), (done, "b", 2.0)), ax=new_axes())
    assert rows(ax) == ["b", "a"]
    (x1, y1, *one), (x2, y2, *two), (x3, y3, *three) = sorted(dots(ax))
    assert [x1, x2, x3] == [0, 1, 2]
    assert [round(y1), round(y2), round(y3)] == [0, 1, 0]
    assert one == two != three and one[0] != three[0] and one[1] != three[1]
    assert y3 - y1 > 0.2 and y2 - y1 == pytest.approx(1)
    assert key_of(ax) == ["STREAM_CHUNK", "STREAM_COMPLETED"]
    assert words(ax) == ["2", "1"]


def test_no_event_is_lost():
    """There are as many dots as events, in their lanes, also where lanes and types share a place."""
    frame = agents().events
    for lanes in (2, 20):
        ax = plot_timeline(frame, lanes=lanes, ax=new_axes())
        assert len(dots(ax)) == len(frame)
        lane = [round(y) for _, y, *_ in dots(ax)]
        assert [f"{number:,}" for number in np.bincount(lane)] == words(ax)


def test_a_line_leads_to_the_last_event_that_an_event_led_to():
    """Durations are seen: from the root of a tree to its last descendant."""
    tree = [
        Event(EventType.AGENT_TASK_ASSIGNED, source="boss", id="a", timestamp=1.0),
        Event(EventType.RETRIEVAL_STARTED, source="worker", id="b", timestamp=2.0, parent_id="a"),
        Event(EventType.AGENT_TASK_COMPLETED, source="worker", timestamp=5.0, parent_id="b"),
        Event(EventType.SYSTEM_HEALTH, source="boss", timestamp=6.0),
    ]
    ax = plot_timeline(to_frame(tree), ax=new_axes())
    [[(left, y), (right, also_y)]] = segments(ax)
    assert (left, right) == (0, 4)
    assert y == also_y == next(y for x, y, *_ in dots(ax) if x == 0)


def test_many_events_are_counted():
    """Above the limit each lane has the counts of `rates`, and the plot says so."""
    frame = agents().events
    frame = frame[frame["type"] != "HANDLER_ERROR"]
    ax = plot_timeline(frame, limit=10, ax=new_axes())
    table = rates(frame.assign(source=frame["source"].astype(str)), by="source")
    assert len(rectangles(ax)) == (table["count"] > 0).sum()
    assert any("the number in each" in text for text in words(ax))
    assert dots(ax) == []


def test_what_failed_is_seen_among_many():
    """Above the limit, too, a glance finds when a handler failed, by a colour and by a cross."""
    calls = deliveries(
        *[{"handler": "plan", "start": at * 1_000_000} for at in range(40)],
        *[{"handler": "log", "start": at * 1_000_000, "outcome": ["ok", "error"][at == 30]} for at in range(40)],
    )
    ax = plot_timeline(calls, limit=10, ax=new_axes())
    [(x, y, shape, colour)] = dots(ax)
    assert (round(x), round(y), shape, colour) == (30, 1, "x", ERROR.lower())
    assert key_of(ax) == ["calls", "errors among them"]
    tops = sorted(top for left, right, top, bottom in rectangles(ax) if left <= 30 < right and round(bottom) == 1)
    assert len(tops) == 2
    sent = [(EventType.STREAM_CHUNK, "a", at / 10) for at in range(40)]
    ax = plot_timeline(events(*sent, (EventType.STREAM_ERROR, "b", 1.0)), limit=10, ax=new_axes())
    assert [round(y) for _, y, *_ in dots(ax)] == [1]
    assert key_of(plot_timeline(events(*sent), limit=10, ax=new_axes())) == []


def test_lanes_of_counts_have_scales_of_their_own():
    """What is rare beside others still shows when it happened: the highest bar of every lane is as high."""
    busy = [(EventType.STREAM_CHUNK, "busy", at / 100) for at in range(500)]
    ax = plot_timeline(events(*busy, (EventType.STREAM_CHUNK, "rare", 2.5)), limit=10, ax=new_axes())
    heights = {}
    for _, _, top, bottom in rectangles(ax):
        heights.setdefault(round(bottom), []).append(round(bottom - top, 6))
    assert max(heights[0]) == max(heights[1]) > 0.5


def test_calls_are_bars_from_beginning_to_end():
    """A frame of deliveries shows when handlers were at work, and which calls failed."""
    calls = deliveries(
        {"handler": "plan", "start": 0, "duration": 4_000_000},
        {"handler": "log", "start": 1_000_000, "duration": 2_000_000, "outcome": "error", "error_type": "KeyError"},
    )
    ax = plot_timeline(calls, ax=new_axes())
    assert rows(ax) == ["plan", "log"]
    assert ax.get_xlabel() == "ms since the recording began"
    found = sorted((left, right, round((top + bottom) / 2)) for left, right, top, bottom in rectangles(ax))
    assert found == [(0, 4, 0), (1, 3, 1)]
    assert [(x, y, shape, colour) for x, y, shape, colour in dots(ax)] == [(3, 1, "x", ERROR.lower())]
    assert key_of(ax) == ["ok", "error"]


def test_skipped_calls_are_told_from_calls():
    """They are lower, and have a name in the key."""
    calls = deliveries({"duration": 4_000}, {"start": 9_000, "outcome": "skipped"})
    ax = plot_timeline(calls, ax=new_axes())
    ran, skipped = (bottom - top for *_, top, bottom in sorted(rectangles(ax)))
    assert ran > 2 * skipped > 0
    assert key_of(ax) == ["ok", "skipped"]


def test_calls_of_a_run_add_up():
    """Bars of a handler take the time that handler_latency tells."""
    calls = agents().deliveries
    ax = plot_timeline(calls, ax=new_axes())
    unit = {"ms": 1e6, "µs": 1e3, "s": 1e9}[ax.get_xlabel().split()[0]]
    total = sum(right - left for left, right, *_ in rectangles(ax)) * unit
    assert total == pytest.approx(handler_latency(calls)["total"].dt.total_seconds().sum() * 1e9)


def test_the_time_is_that_of_the_zone_of_the_frame():
    """A day has the hours of the place where it was, and a run of milliseconds counts from its beginning."""
    frame = events((EventType.SYSTEM_HEALTH, "a", 0.0), (EventType.SYSTEM_HEALTH, "a", DAY))
    new_york = frame.assign(timestamp=frame["timestamp"].dt.tz_convert("America/New_York"))
    ax = plot_timeline(new_york, ax=new_axes())
    assert ax.get_xlabel() == "time, America/New_York"
    assert [mdates.num2date(x).timestamp() for x, *_ in dots(ax)] == [0.0, DAY]
    assert "from 1969-12-31 19:00 to 1970-01-01 19:00 America/New_York" in describe(ax)
    short = plot_timeline(
        events((EventType.SYSTEM_HEALTH, "a", DAY), (EventType.SYSTEM_HEALTH, "a", DAY + 0.5)), ax=new_axes()
    )
    assert short.get_xlabel() == "ms since 1970-01-02 00:00 UTC"
    assert [x for x, *_ in dots(short)] == [0, 500]


def test_the_hour_that_comes_twice_is_drawn():
    """A run that begins where summer time ends is no reason to fail."""
    begin = 1_792_888_200.0  # 2026-10-25 02:30, for the first time
    frame = events(*[(EventType.SYSTEM_HEALTH, "a", begin + hour * 3600) for hour in (0, 1, 2)])
    frame = frame.assign(timestamp=frame["timestamp"].dt.tz_convert("Europe/Berlin"))
    for plot in (plot_timeline, plot_rate):
        assert describe(plot(frame, ax=new_axes())).startswith("3 events from 2026-10-25 02:30 to 03:30 Europe/Berlin")


def test_events_without_a_time_are_told():
    """What cannot be placed is not silently missing."""
    frame = events((EventType.SYSTEM_HEALTH, "a", 1.0), (EventType.SYSTEM_HEALTH, "a", float("nan")))
    ax = plot_timeline(frame, ax=new_axes())
    assert len(dots(ax)) == 1
    assert "1 event without a time not drawn" in words(ax)


def test_lanes_can_be_any_column():
    """By scope, or by what is in the payload."""
    frame = agents().events.assign(**{"data.model": "m"})
    assert rows(plot_timeline(frame, by="data.model", ax=new_axes())) == ["m"]
    assert rows(plot_timeline(frame, by="scope", ax=new_axes())) == ["run"]
    with pytest.raises(ValueError, match="by must be the name of a column, got 'model'"):
        plot_timeline(frame, by="model", ax=new_axes())


def test_the_sentence_has_the_numbers_of_the_frame():
    """Words and picture tell the same."""
    frame = events(*[(EventType.STREAM_CHUNK, source, at) for at, source in enumerate("abbacb")])
    assert describe(plot_timeline(frame, ax=new_axes())) == (
        "6 events from 1970-01-01 00:00 to 00:00:05 UTC; b has the most, 3."
    )
