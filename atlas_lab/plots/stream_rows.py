"""How streams went: when their chunks came, where they stalled, how they ended."""

from __future__ import annotations

from typing import Any

from atlas_lab.arguments import check_count
from atlas_lab.errors import MissingExtraError
from atlas_lab.events import EventType
from atlas_lab.tables.columns import Numbers, Shares, nanoseconds
from atlas_lab.tables.comparing import HasFrames
from atlas_lab.tables.streams import stream_quality

from .drawing import axes_for, finish, frame_of, not_kept, say_empty
from .lettering import label, plural, span_text
from .looks import BLUE, ERROR, GREEN, ORANGE, Look, Options, faint, marker_size, paper
from .marks import beside, boxes, grid, key, name_rows
from .sizes import fitting, rows_for
from .time_axes import TimeAxis

try:
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection
except ImportError as error:
    raise MissingExtraError("matplotlib", "lab") from error
try:
    import numpy as np
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error

_ENDS = {
    "completed": Look(GREEN, "o"),
    "error": Look(ERROR, "X"),
    "paused": Look(ORANGE, "s"),
    "open": Look("0.5", ">"),
}
_TICKS = 2000  # more than the pixels of a row


def plot_stream(
    events: HasFrames | pd.DataFrame,
    *,
    case: str = "source",
    limit: int = 24,
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw how streams went: one row each, from its start, a tick for every chunk, and how it ended.

    Parameters
    ----------
    events : recording, or DataFrame of events
        As for `stream_quality`, which this draws.
    case : str, default "source"
        Column that tells streams apart that run at the same time.
    limit : int, default 24
        Most rows. Of more streams, those that failed and those with the longest gaps are drawn.
    ax : Axes, optional
        To draw on, best of a figure with ``layout="constrained"``, which makes room for names; by default a new figure.
    **kwargs
        Options of `matplotlib.collections.LineCollection` for the ticks.

    Returns
    -------
    Axes
        Rows come in the order in which the streams started. The light bar goes from the start to the end, a tick is a
        chunk. At the right stand their number and the longest gap between two of them.

    Raises
    ------
    TypeError, ValueError
        As `stream_quality` does, or if `limit` is not an int of 1 or more.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from atlas_lab import Event, EventType, describe, plot_stream, to_frame
    >>> kinds = [EventType.STREAM_STARTED, *[EventType.STREAM_CHUNK] * 3, EventType.STREAM_COMPLETED]
    >>> times = [0.0, 0.5, 0.75, 1.5, 1.5]
    >>> sent = [Event(kind, source="model", timestamp=time) for kind, time in zip(kinds, times)]
    >>> print(describe(plot_stream(to_frame(sent), ax=Figure().subplots())))
    1 stream: 1 completed; the first chunk took 500 ms (median), and the longest gap was 750 ms, in model.
    """
    frame = frame_of(events, "events")
    check_count("limit", limit, 1)
    runs = [frame] if "run" not in frame else [part for _, part in frame.groupby("run", dropna=False, observed=True)]
    tables = [stream_quality(run, case=case).assign(part=part) for part, run in enumerate(runs or [frame])]
    table = pd.concat(tables, ignore_index=True)
    title = "Streams, from their start"
    if table.empty:
        return say_empty(axes_for(ax, 8, 2), title, "no stream started")
    limit = rows_for(ax, limit)
    shown = _worst(table, limit)
    ax = axes_for(ax, 8, 1.5 + 0.27 * len(shown))
    duration = nanoseconds(shown, "duration")
    axis = TimeAxis(0, int(duration.max()), None, "its start")
    axis.set_up(ax)
    grid(ax)
    row, end = np.arange(len(shown)), axis.place(duration)
    boxes(ax, np.zeros(len(shown)), end, row - 0.36, row + 0.36, color=[faint(ax)], edgecolor="none")
    parts = shown["part"].to_numpy(np.int64).tolist()
    ticks = [axis.place(_chunks(runs[part], one, case)) for part, one in zip(parts, shown.itertuples(), strict=True)]
    lines = [
        [(x, place - 0.3), (x, place + 0.3)] for place, found in enumerate(ticks) for x in _apart(found, end.max())
    ]
    drawn: Options = {"color": BLUE, "linewidth": 1} | kwargs
    ax.add_collection(LineCollection(lines, **drawn), autolim=False)
    outcome = shown["outcome"].astype("str").to_numpy()
    for kind, mark in _ENDS.items():
        style: Options = {
            "marker": mark.marker,
            "color": mark.colour,
            "markersize": marker_size(mark, 7),
            "clip_on": False,
        }
        here = outcome == kind
        ax.plot(end[here], row[here], linestyle="none", markeredgecolor=paper(ax), markeredgewidth=0.7, **style)
    name_rows(ax, [label(name, fitting(ax, 32)) for name in shown["stream"]])
    for place, (chunks, gap) in enumerate(zip(shown["chunks"], shown["gap_max"], strict=True)):
        told = plural(chunks, "chunk") + (f", gap ≤ {span_text(gap)}" if gap is not pd.NaT else "")
        beside(ax, place, told, x=1.02)
    notes = [*not_kept(events, "events"), "ticks: chunks"]
    if len(table) > limit:
        notes.append(f"{limit} of {plural(len(table), 'stream')}: those that failed, then those with the longest gaps")
    above = key(ax, [(kind, _ENDS[kind]) for kind in _ENDS if kind in outcome])
    return finish(ax, title, _sentence(table), notes, above=above)


def _worst(table: pd.DataFrame, limit: int) -> pd.DataFrame:
    """Return the streams that failed and those with the longest gaps, in the order in which they started."""
    gap = nanoseconds(table, "gap_max")  # a missing one is the least
    order = np.lexsort((-gap.astype(np.float64), (table["outcome"] != "error").to_numpy(bool)))
    return table.iloc[np.sort(order[:limit])].sort_values("started", kind="stable")


def _chunks(run: pd.DataFrame, stream: Any, case: str) -> Numbers:
    """Return the times of the chunks of a stream since its start, in nanoseconds."""
    same = (run["type"] == EventType.STREAM_CHUNK.name).to_numpy(bool) & (run[case] == stream.stream).to_numpy(bool)
    since = nanoseconds(run[same], "timestamp") - stream.started.as_unit("ns").value
    inside: Numbers = since[(since >= 0) & (since <= stream.duration.as_unit("ns").value)]
    return inside


def _apart(places: Shares, span: float) -> list[float]:
    """Return the places without those that would fall on one pixel with another."""
    _, first = np.unique(np.floor(places / (span or 1) * _TICKS), return_index=True)
    apart: list[float] = places[first].tolist()
    return apart


def _sentence(table: pd.DataFrame) -> str:
    ends = [f"{number:,} {kind}" for kind in _ENDS if (number := int((table["outcome"] == kind).sum()))]
    sentence = f"{plural(len(table), 'stream')}: {', '.join(ends)}"
    if table["first_chunk"].notna().any():
        sentence += f"; the first chunk took {span_text(table['first_chunk'].median())} (median)"
    if table["gap_max"].notna().any():
        worst = table.iloc[int(nanoseconds(table, "gap_max").argmax())]
        sentence += f", and the longest gap was {span_text(worst['gap_max'])}, in {label(worst['stream'])}"
    return f"{sentence}."
