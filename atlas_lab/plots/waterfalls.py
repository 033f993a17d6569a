"""What led to what: one tree of causes, an event per row, and when its handlers were at work."""

from __future__ import annotations

from typing import Any

from atlas_lab.arguments import check_count, check_optional
from atlas_lab.errors import MissingExtraError
from atlas_lab.tables.causes import causality
from atlas_lab.tables.columns import NAT, nanoseconds
from atlas_lab.tables.comparing import HasFrames

from .drawing import axes_for, finish, frame_of, not_kept, say_empty
from .lettering import enumerated, label, plural, span_text
from .looks import BLUE, ERROR, mixed, muted
from .marks import beside, boxes, grid, write
from .sizes import fitting, points_from_left, room, rows_for, size_in_rows, width_of
from .time_axes import TimeAxis, moments_of

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

_INDENT = 10  # points
_NARROW = 300
_DEEPEST = 0.25  # of the room, at most, for indents
_GAP = 8


def plot_causality(
    events: HasFrames | pd.DataFrame,
    root: str | None = None,
    *,
    limit: int = 40,
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw what an event led to: its tree, one event per row, and when the handlers of each were at work.

    Parameters
    ----------
    events : recording, or DataFrame of events
        A recording knows how long handlers took. A frame of events, as `to_frame` makes it, knows only when each
        event came, and how long it was until the last that it led to.
    root : str, optional
        Id of the event at the top; by default that of the largest tree.
    limit : int, default 40
        Most rows.
    ax : Axes, optional
        To draw on, best of a figure with ``layout="constrained"``, which makes room for names; by default a new figure.
    **kwargs
        Options of `matplotlib.collections.PolyCollection` for the bars.

    Returns
    -------
    Axes
        Rows as in `causality`. A bar is a call of a handler, with all that it published before it returned; one that
        failed is crossed. At the right stand the handlers and the time of their calls together.

    Raises
    ------
    TypeError, ValueError
        As `causality` does, if no event has the id `root`, or if `limit` is not an int of 1 or more.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from atlas_lab import Event, EventType, describe, plot_causality, to_frame
    >>> task = Event(EventType.AGENT_TASK_ASSIGNED, id="a", timestamp=0.0)
    >>> look = Event(EventType.RETRIEVAL_STARTED, id="b", timestamp=0.25, parent_id="a")
    >>> done = Event(EventType.AGENT_TASK_COMPLETED, timestamp=90.0, parent_id="a")
    >>> print(describe(plot_causality(to_frame([task, look, done]), ax=Figure().subplots())))
    AGENT_TASK_ASSIGNED led to 2 events, 1 level deep, over 1.5 min.
    """
    frame = frame_of(events, "events")
    check_optional("root", root, str, "the id of an event")
    check_count("limit", limit, 1)
    table = causality(frame)
    if table.empty:
        return say_empty(axes_for(ax, 8, 2), "What led to what", "there are no events")
    tree = _tree(table, root)
    limit = rows_for(ax, limit)
    shown = tree.head(limit).reset_index(drop=True)
    notes = not_kept(events, "events")
    roots = int((table["depth"] == 0).sum())
    if root is None and roots > 1:
        notes.append(f"the largest of {roots:,} trees")
    if len(tree) > limit:
        notes.append(f"{plural(len(tree) - limit, 'more event')} of this tree not shown (limit={limit})")
    ax = axes_for(ax, 8, 1.2 + 0.24 * len(shown))
    calls = _calls(events, shown)
    if calls.empty:
        over = _draw_moments(ax, frame, shown, kwargs)
    else:
        over = _draw_calls(ax, calls, kwargs)
        _name_handlers(ax, calls, len(shown))
    grid(ax)
    _name_events(ax, shown)
    top, deepest = label(shown["type"][0]), int(tree["depth"].max() - tree["depth"].iloc[0])
    number = plural(len(tree) - 1, "event") if len(tree) > 1 else "no event"
    sentence = f"{top} led to {number}" + (f", {plural(deepest, 'level')} deep" if deepest else "")
    sentence += f", over {span_text(over)}" if over else ""
    if not calls.empty:
        longest = calls.iloc[int(nanoseconds(calls, "duration").argmax())]
        failed = int((calls["outcome"] == "error").sum())
        sentence += f"; of {plural(len(calls), 'call')} of handlers {failed or 'none'} failed, and the longest is "
        sentence += f"{label(longest['handler'])} on {label(longest['type'])} with {span_text(longest['duration'])}"
    return finish(ax, f"What {top} led to: {number}", f"{sentence}.", notes)


def _tree(table: pd.DataFrame, root: str | None) -> pd.DataFrame:
    """Return the rows of one event and all below it: in pre-order they follow one another."""
    if root is None:
        start = int(table["descendants"].to_numpy().argmax())
    else:
        found = np.flatnonzero((table["event_id"] == root).to_numpy(bool))
        if not len(found):
            raise ValueError(f"root must be the id of an event in the frame, got {root!r}; see its column 'event_id'")
        start = int(found[0])
    size = int(table["descendants"].to_numpy(np.int64)[start]) + 1
    return table.iloc[start : start + size]


def _calls(given: HasFrames | pd.DataFrame, shown: pd.DataFrame) -> pd.DataFrame:
    """Return the calls of handlers with the events of a tree that ran, with the row of each; none of a plain frame."""
    if isinstance(given, pd.DataFrame):
        return pd.DataFrame()
    calls = frame_of(given, "deliveries")
    row_of = {event_id: row for row, event_id in enumerate(shown["event_id"])}
    row = calls["event_id"].map(row_of)
    ran = (row.notna() & (calls["outcome"] != "skipped")).to_numpy(bool)
    return calls.loc[ran].assign(row=row[ran].astype(np.int64))


def _draw_calls(ax: Axes, calls: pd.DataFrame, options: dict[str, Any]) -> int:
    """Draw a bar for each call; return the nanoseconds from the first to the end of the last."""
    begin = nanoseconds(calls, "start")
    begin = begin - begin.min()
    end = begin + nanoseconds(calls, "duration")
    axis = TimeAxis(0, int(end.max()), None, "the first call")
    axis.set_up(ax)
    row, left, right = calls["row"].to_numpy(np.int64), axis.place(begin), axis.place(end)
    failed = (calls["outcome"] == "error").to_numpy(bool)
    for here, colour in ((~failed, BLUE), (failed, ERROR)):
        boxes(ax, left[here], right[here], row[here] - 0.3, row[here] + 0.3, **({"color": colour} | options))
    ax.plot(right[failed], row[failed], linestyle="none", marker="x", color=ERROR, markersize=5, clip_on=False)
    return int(end.max())


def _draw_moments(ax: Axes, events: pd.DataFrame, shown: pd.DataFrame, options: dict[str, Any]) -> int:
    """Draw when each event came, and a line to the last that it led to; return the nanoseconds over all."""
    at, zone = moments_of(events)
    place_of = {event_id: place for place, event_id in reversed(list(enumerate(events["event_id"])))}
    at = at[[place_of[event_id] for event_id in shown["event_id"]]]
    known = np.flatnonzero(at != NAT)
    if not len(known):
        ax.set_xticks([])
        return 0
    at, span = at[known], np.maximum(nanoseconds(shown, "span")[known], 0)
    end = at + span
    axis = TimeAxis(int(at.min()), int(end.max()), zone)
    axis.set_up(ax)
    left, right = axis.place(at), axis.place(end)
    boxes(ax, left, right, known - 0.08, known + 0.08, **({"color": BLUE} | options))
    ax.plot(left, known, linestyle="none", marker="o", color=BLUE, markersize=5)
    return int(end.max() - at.min())


def _name_handlers(ax: Axes, calls: pd.DataFrame, rows: int) -> None:
    """Write beside each row how long its handlers took together, and which took longest."""
    by_row = dict(list(calls.groupby("row")))
    width, narrow = fitting(ax, 28), room(ax) < _NARROW
    ax.set_ylim(rows - 0.5, -0.5)
    for row in range(rows):
        told = "no handler"
        if row in by_row:
            here = by_row[row]
            names = here.sort_values("duration", ascending=False, kind="stable")["handler"].unique()
            who = [label(name, width) for name in names]
            more = f" +{len(who) - 1}" * (len(who) > 1)
            told = f"{span_text(here['duration'].sum())}  {who[0] + more if narrow else enumerated(who, 1)}"
        beside(ax, row, told)


def _name_events(ax: Axes, shown: pd.DataFrame) -> None:
    """Write the events at the left as a tree: each below the one that caused it, moved to the right."""
    names = [label(kind, fitting(ax, 30)) for kind in shown["type"]]
    level = (shown["depth"] - shown["depth"][0]).tolist()
    indent = min(_INDENT, room(ax) * _DEEPEST / max(level, default=1)) if any(level) else _INDENT
    width = max(width_of(name) + indent * depth for name, depth in zip(names, level, strict=True)) + _GAP
    place = points_from_left(ax)
    ax.set_yticks([])
    ax.set_ylim(len(shown) - 0.5, -0.5)
    size = size_in_rows(ax)
    lines, above = [], dict.fromkeys(level, 0)
    for row, (name, depth) in enumerate(zip(names, level, strict=True)):
        x = indent * depth - width
        write(ax, x, row, name, va="center", transform=place, fontsize=size)
        above[depth] = row
        if depth:
            elbow = x - indent * 0.6
            lines.append([(elbow, above[depth - 1] + 0.35), (elbow, row), (x - 2, row)])
    tree = LineCollection(lines, colors=[mixed(muted(ax), ax, 0.6)], linewidths=0.8, transform=place, clip_on=False)
    ax.add_collection(tree, autolim=False)
