"""stream_quality: where streams begin and end, and the gaps between their chunks."""

from itertools import count

import pandas as pd

from atlas_lab import Event, EventBus, EventType, ScopedEventBus, to_frame
from atlas_lab.tables import stream_quality
from tests.frame_builders import agents, seconds


def stream(case, *events, start=0.0):
    kinds = {
        "S": EventType.STREAM_STARTED,
        ".": EventType.STREAM_CHUNK,
        "P": EventType.STREAM_PAUSED,
        "R": EventType.STREAM_RESUMED,
        "C": EventType.STREAM_COMPLETED,
        "E": EventType.STREAM_ERROR,
        "x": EventType.AGENT_STARTED,
    }
    return [Event(kinds[kind], source=case, timestamp=start + time) for kind, time in events]


def test_streams_of_one_source():
    """Streams follow one another in a case: what is before the first, or after an end, belongs to none."""
    events = stream(
        *("m", (".", 0), ("S", 1), ("x", 1.5), (".", 2), (".", 2.5), (".", 4), ("C", 5), (".", 6), ("C", 7)),
        *(("S", 8), ("E", 9), ("S", 10), (".", 10.5), ("S", 20), ("P", 21)),
    )
    table = stream_quality(to_frame(events))
    assert seconds(table["started"] - pd.Timestamp(0, tz="UTC")) == [1, 8, 10, 20]
    assert seconds(table["first_chunk"]) == [1, None, 0.5, None]
    assert table["chunks"].tolist() == [3, 0, 1, 0]
    assert table["outcome"].tolist() == ["completed", "error", "open", "paused"]
    assert seconds(table["duration"]) == [4, 1, 0.5, 1]
    assert seconds(table["gap_p50"]) == [0.5, None, None, None] and seconds(table["gap_max"]) == [1.5, *[None] * 3]
    assert table["outcome"].cat.categories.tolist() == ["completed", "error", "paused", "open"]


def test_a_pause_is_no_gap():
    """The time that a stream was held does not count as a gap between its chunks."""
    events = stream("m", ("S", 0), (".", 1), (".", 2), ("P", 3), ("R", 99), (".", 100), (".", 100.5), ("C", 101))
    table = stream_quality(to_frame(events))
    assert seconds(table["gap_max"]) == [1.0] and seconds(table["gap_p50"]) == [0.5]


def test_streams_at_the_same_time():
    """Interleaved streams of several sources are told apart, and come in the order in which they started."""
    one, two = stream("z", ("S", 0), (".", 1), (".", 3), ("C", 9)), stream("a", ("S", 0.5), (".", 1), (".", 2))
    table = stream_quality(
        to_frame([event for pair in zip(one, [*two, *stream("a", ("x", 5))], strict=True) for event in pair])
    )
    assert table["stream"].tolist() == ["z", "a"]
    assert seconds(table["gap_max"]) == [2, 1] and table["outcome"].tolist() == ["completed", "open"]


def test_streams_of_agents():
    """The streams of an agent run are complete, whichever column tells them apart."""
    table = stream_quality(agents())
    assert table["stream"].tolist() == ["model-0", "model-1", "model-2"] and table["chunks"].tolist() == [2, 3, 4]
    assert stream_quality(agents(), case="root_id")["chunks"].tolist() == [2, 3, 4]


def test_a_stream_is_whole_on_the_bus_above_its_scope():
    """A start that a handler in a scope answers with chunks comes up to the bus after them, and is still the start."""
    bus = EventBus(clock=count(0.0).__next__)
    scope = ScopedEventBus(parent=bus, scope_name="model")

    def answer(event):
        for kind in (EventType.STREAM_CHUNK, EventType.STREAM_CHUNK, EventType.STREAM_COMPLETED):
            scope.publish(kind, source="m")

    scope.subscribe(EventType.STREAM_STARTED, answer)
    scope.publish(EventType.STREAM_STARTED, source="m")
    assert bus.history[-1].type is EventType.STREAM_STARTED
    for frame in (bus.history.to_frame(), scope.history.to_frame()):
        [stream] = stream_quality(frame).itertuples()
        assert (stream.chunks, stream.outcome, stream.first_chunk.total_seconds()) == (2, "completed", 1)
