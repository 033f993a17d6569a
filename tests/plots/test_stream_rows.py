"""plot_stream: when the chunks of each stream came, where it stalled, how it ended."""

import pandas as pd
import pytest

from atlas_lab import Event, EventType, concat_frames, describe, plot_stream, stream_quality, to_frame
from tests.plot_builders import agents, key_of, new_axes, rectangles, rows, segments, words

START, CHUNK = EventType.STREAM_STARTED, EventType.STREAM_CHUNK
END = {"completed": EventType.STREAM_COMPLETED, "error": EventType.STREAM_ERROR, "paused": EventType.STREAM_PAUSED}


def stream(source, start, chunks, end=None, after=0.0):
    kinds = [(START, start), *((CHUNK, start + chunk) for chunk in chunks)]
    kinds += [(END[end], start + chunks[-1] + after)] if end else []
    return [Event(kind, source=source, timestamp=at) for kind, at in kinds]


def ends(ax):
    """Return the place and shape of the end of each stream."""
    return sorted(
        (round(y), float(x), line.get_marker()) for line in ax.lines for x, y in zip(*line.get_data(), strict=True)
    )


def test_a_tick_is_a_chunk_and_a_bar_is_the_stream():
    """Both count from the start of their stream, whenever that was."""
    sent = [*stream("a", 10.0, [1.0, 1.5, 4.0], "completed", 1.0), *stream("b", 20.0, [0.5, 0.75], "error")]
    ax = plot_stream(to_frame(sent), ax=new_axes())
    assert rows(ax) == ["a", "b"]
    assert sorted((round((line[0][1] + line[1][1]) / 2), line[0][0]) for line in segments(ax)) == [
        *((0, 1.0), (0, 1.5), (0, 4.0), (1, 0.5), (1, 0.75)),
    ]
    assert [(left, right) for left, right, *_ in sorted(rectangles(ax), key=lambda box: box[2])] == [(0, 5), (0, 0.75)]
    assert words(ax)[:2] == ["3 chunks, gap ≤ 2.5 s", "2 chunks, gap ≤ 250 ms"]


def test_ends_have_shapes():
    """How a stream ended is told by a shape, with its name in the key."""
    sent = [event for end in (*END, None) for event in stream(str(end), 0.0, [1.0], end)]
    ax = plot_stream(to_frame(sent), ax=new_axes())
    assert key_of(ax) == ["completed", "error", "paused", "open"]
    assert len({shape for *_, shape in ends(ax)}) == 4
    assert describe(ax) == "4 streams: 1 completed, 1 error, 1 paused, 1 open; the first chunk took 1 s (median)."


def test_every_chunk_of_a_run_is_drawn():
    """As many ticks as chunks in `stream_quality`, also where one source streams several times."""
    frame = agents().events
    again = frame.assign(timestamp=frame["timestamp"] + pd.Timedelta("1h"))
    both = pd.concat([frame, again], ignore_index=True)
    ax = plot_stream(both, ax=new_axes())
    assert len(segments(ax)) == stream_quality(both)["chunks"].sum() == 2 * stream_quality(frame)["chunks"].sum()


def test_the_worst_streams_are_shown():
    """Those that failed, then those with the longest gaps, in the order in which they started."""
    sent = [
        *stream("slow", 0.0, [1.0, 9.0], "completed"),
        *stream("fine", 20.0, [1.0, 2.0], "completed"),
        *stream("torn", 40.0, [1.0, 1.1], "error"),
    ]
    ax = plot_stream(to_frame(sent), limit=2, ax=new_axes())
    assert rows(ax) == ["slow", "torn"]
    assert "2 of 3 streams: those that failed, then those with the longest gaps" in words(ax)[-1].replace("\n", " ")
    assert describe(ax).endswith("and the longest gap was 8 s, in slow.")


def test_runs_are_kept_apart():
    """Two runs of one clock have streams of one name at one time, and each has its own chunks."""
    one = to_frame(stream("a", 0.0, [1.0, 2.0], "completed"), run="one")
    two = to_frame(stream("a", 0.0, [0.25, 3.0], "completed"), run="two")
    ax = plot_stream(concat_frames([one, two]), ax=new_axes())
    assert sorted((round(line[0][1] + 0.3), line[0][0]) for line in segments(ax)) == [(0, 1), (0, 2), (1, 0.25), (1, 3)]


def test_streams_can_be_told_apart_by_another_column():
    """Several streams of one source run at a time."""
    frame = agents().events
    assert len(rows(plot_stream(frame, case="root_id", ax=new_axes()))) == len(stream_quality(frame, case="root_id"))
    with pytest.raises(ValueError, match="case must be the name of a column"):
        plot_stream(frame, case="model", ax=new_axes())
