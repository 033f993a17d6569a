"""What happened when: every event a dot, every call of a handler a bar, in lanes along the time."""

from __future__ import annotations

from typing import Any

from atlas_lab.arguments import check_count, check_optional
from atlas_lab.errors import MissingExtraError
from atlas_lab.tables.causes import causality
from atlas_lab.tables.columns import NAT, Mask, Numbers, Shares, check_column, check_frame, nanoseconds
from atlas_lab.tables.comparing import HasFrames

from .drawing import axes_for, finish, frame_of, not_kept, say_empty
from .folding import Folded, fold
from .lanes import counts_of, draw_counts
from .lettering import label, period_text, plural, span_text, stretch_text, text_of
from .looks import BLUE, ERROR, Look, Options, marker_size, muted, tells_of_error
from .marks import boxes, key, name_rows
from .sizes import fitting, rows_for
from .time_axes import TimeAxis, bounds, moment, moments_of

try:
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_hex
except ImportError as error:
    raise MissingExtraError("matplotlib", "lab") from error
try:
    import numpy as np
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error

_SHAPES = 8  # types with a look of their own
_CAUSES = {"event_id", "parent_id", "root_id", "depth"}


def plot_timeline(
    events: HasFrames | pd.DataFrame,
    *,
    by: str | None = None,
    lanes: int = 20,
    limit: int = 3000,
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw events as dots along the time, or calls of handlers as bars, in lanes.

    Parameters
    ----------
    events : recording, or DataFrame
        Of a recording the events are drawn, as of a frame that `to_frame` makes. A frame of deliveries, such as
        ``recording.deliveries``, is drawn as bars, from the beginning to the end of each call.
    by : str, optional
        Column whose values are the lanes, such as ``"source"``, the default for events, ``"handler"``, that for
        deliveries, ``"scope"``, or ``"data.model"``.
    lanes : int, default 20
        Most lanes. Of more values, the rarest share the last one.
    limit : int, default 3000
        Most dots or bars. Of more, each lane shows the number in each stretch of time.
    ax : Axes, optional
        To draw on, best of a figure with ``layout="constrained"``, which makes room for names; by default a new figure.
    **kwargs
        Options of what is drawn: of `matplotlib.axes.Axes.plot` for dots, else of
        `matplotlib.collections.PolyCollection`.

    Returns
    -------
    Axes
        Lanes come in the order of their first mark, and tell their number of marks at the right. Each type of
        event has a shape, a colour and a height in its lane; a thin line goes from an event to the last that it
        led to. Calls that failed are crossed; among more than `limit`, so are the stretches of time with such calls, or with
        events of types that tell of errors.

    Raises
    ------
    TypeError
        If an argument is not as described.
    ValueError
        If a column is missing, or `lanes` or `limit` is below 1.

    Notes
    -----
    Clock times are those of the zone of ``timestamp``. To see those of New York, give the frame
    ``events.assign(timestamp=events["timestamp"].dt.tz_convert("America/New_York"))``.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from atlas_lab import describe, load_flights, plot_timeline, to_frame
    >>> ax = plot_timeline(to_frame(load_flights()), ax=Figure().subplots())
    >>> [text.get_text() for text in ax.get_yticklabels()]
    ['EWR', 'LGA', 'JFK']
    """
    frame = frame_of(events, "events")
    check_count("lanes", lanes, 1)
    check_count("limit", limit, 1)
    check_optional("by", by, str, "the name of a column")
    calls = "handler" in frame and "timestamp" not in frame
    by = by or ("handler" if calls else "source")
    if calls:
        check_frame(frame, "deliveries", ("start", "duration", "outcome"))
    else:
        check_frame(frame, "events", ("timestamp", "type"))
    check_column(frame, "by", by)
    at, zone = (nanoseconds(frame, "start"), None) if calls else moments_of(frame)
    shown, at = frame.loc[at != NAT], at[at != NAT]
    number = plural(len(shown), "handler call" if calls else "event")
    title = f"{number} by {label(by)}"
    if shown.empty:
        return say_empty(axes_for(ax, 8, 2), title, "there is nothing to draw")
    notes = not_kept(events, "events")
    if len(shown) < len(frame):
        notes.append(f"{plural(len(frame) - len(shown), 'event')} without a time not drawn")
    rows = fold(shown[by], rows_for(ax, lanes, lowest=8), width=fitting(ax, 32))
    ax = axes_for(ax, 8, 1.6 + 0.34 * len(rows.names))
    first, last = bounds(at)
    end = at + np.maximum(nanoseconds(shown, "duration"), 0) if calls else at
    axis = TimeAxis(0 if calls else first, int(end.max()), zone, "the recording began")
    axis.set_up(ax)
    name_rows(ax, rows.names, rows.sizes)
    above: float = 0
    if len(shown) > limit:
        counts = counts_of(at, rows.of)
        failed = counts_of(at, rows.of, counts.width, _failed(shown, calls))
        for lane in counts.apart():
            draw_counts(ax, lane, axis, kwargs, failed.where(failed.kind == lane.kind[0]))
        if len(failed.kind):
            what = "calls" if calls else "events"
            above = key(ax, [(what, Look(BLUE, "s")), ("errors among them", Look(ERROR, "x"))])
        notes.append(f"bars: the number in each {stretch_text(counts.width)}, every lane to a scale of its own")
    elif calls:
        above = _draw_bars(ax, shown, axis.place(at), axis.place(end), rows, kwargs)
    else:
        above = _draw_dots(ax, shown, at, rows, axis, kwargs)
    when = f"in {span_text(int(end.max()) - first)}" if calls else period_text(moment(first, zone), moment(last, zone))
    most = f"; {rows.names[rows.frequent]} has the most, {rows.sizes[rows.frequent]:,}"
    return finish(ax, title, f"{number} {when}{most if rows.one_leads else ''}.", notes, above=above)


def _failed(shown: pd.DataFrame, calls: bool) -> Mask:
    """Return which calls failed, or which events are of a type that tells of an error."""
    if calls:
        return (shown["outcome"] == "error").to_numpy(bool)
    kinds = [kind for kind in shown["type"].unique() if tells_of_error(text_of(kind))]
    return shown["type"].isin(kinds).to_numpy(bool)


def _draw_dots(ax: Axes, events: pd.DataFrame, at: Numbers, rows: Folded, axis: TimeAxis, options: Any) -> float:
    """Draw a dot for each event, and a line to the last that it led to; return the lines that the key takes."""
    kinds = fold(events["type"], _SHAPES, "category")
    step = 0.64 / max(len(kinds.names) - 1, 1)
    height = (kinds.of - (len(kinds.names) - 1) / 2) * step
    x, y = axis.place(at), rows.of + height
    _draw_spans(ax, events, at, y, axis)
    size = 6 if len(at) <= 300 else 4.5
    for place, mark in enumerate(kinds.looks):
        style = {"marker": mark.marker, "color": mark.colour, "markersize": marker_size(mark, size), "alpha": 0.8}
        style |= {"linestyle": "none", "markeredgewidth": 1 if mark.marker == "x" else 0}
        ax.plot(x[kinds.of == place], y[kinds.of == place], **(style | options))
    entries = list(zip(kinds.names, kinds.looks, strict=True))
    return key(ax, entries) if len(entries) > 1 else 0


def _draw_spans(ax: Axes, events: pd.DataFrame, at: Numbers, y: Shares, axis: TimeAxis) -> None:
    if not set(events.columns) >= _CAUSES:
        return
    trees = causality(events)
    spans = trees[(trees["parent_id"].isna() & (trees["span"] > pd.Timedelta(0))).to_numpy(bool)]
    place_of = {event_id: place for place, event_id in enumerate(events["event_id"])}
    row = np.array([place_of[event_id] for event_id in spans["event_id"]], np.int64)
    begin, end = axis.place(at[row]), axis.place(at[row] + nanoseconds(spans, "span"))
    lines = [[(left, height), (right, height)] for left, right, height in zip(begin, end, y[row], strict=True)]
    ax.add_collection(LineCollection(lines, colors=[muted(ax)], linewidths=0.8, zorder=1), autolim=False)


def _draw_bars(ax: Axes, calls: pd.DataFrame, begin: Shares, end: Shares, rows: Folded, options: Any) -> float:
    """Draw a bar for each call; return the lines that the key takes."""
    outcome = calls["outcome"].astype("str").to_numpy()
    marks = {"ok": Look(BLUE, "s"), "error": Look(ERROR, "x"), "skipped": Look(to_hex(muted(ax)), "|")}
    for kind, mark in marks.items():
        here, half = outcome == kind, 0.12 if kind == "skipped" else 0.3
        style: Options = {"color": mark.colour} | options
        boxes(ax, begin[here], end[here], rows.of[here] - half, rows.of[here] + half, **style)
    failed = outcome == "error"
    ax.plot(end[failed], rows.of[failed], linestyle="none", marker="x", color=ERROR, markersize=5)
    told = [(kind, mark) for kind, mark in marks.items() if (outcome == kind).any()]
    return key(ax, told) if failed.any() or len(told) > 1 else 0
