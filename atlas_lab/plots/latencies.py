"""How long handlers took: the whole distribution, not an average."""

from __future__ import annotations

from typing import Any

from atlas_lab.arguments import check_count
from atlas_lab.errors import MissingExtraError
from atlas_lab.tables.columns import Numbers, nanoseconds
from atlas_lab.tables.comparing import HasFrames
from atlas_lab.tables.handling import handler_latency

from .drawing import axes_for, finish, frame_of, not_kept, say_empty
from .lettering import label, plural, span_text
from .looks import Look, Options, look, marker_size, muted, paper
from .marks import grid, write
from .sizes import fitting, points, points_from_right, room, width_of

try:
    from matplotlib.axes import Axes
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
except ImportError as error:
    raise MissingExtraError("matplotlib", "lab") from error
try:
    import numpy as np
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error

_PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
_INDENT = 32  # points from the right end of the plot to what is told of a handler
_BESIDE = 0.4  # of the room, at most, for how long its calls took
_WIDE = 10  # from this ratio of the longest to the median on, a logarithmic axis shows more


def plot_latency(
    deliveries: HasFrames | pd.DataFrame,
    *,
    limit: int = 6,
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw how long the calls of each handler took: what share of them was done after what time.

    Parameters
    ----------
    deliveries : recording, or DataFrame of deliveries
        As for `handler_latency`, whose percentiles are marked. Skipped calls do not count.
    limit : int, default 6
        Most handlers, those with the greatest total time.
    ax : Axes, optional
        To draw on, best of a figure with ``layout="constrained"``, which makes room for names; by default a new figure.
    **kwargs
        Options of `matplotlib.axes.Axes.ecdf` for the lines.

    Returns
    -------
    Axes
        One empirical cumulative distribution for each handler, with a dot at p50, p90 and p99. Where its
        line stands at 90 %, nine of ten calls were at least so fast. The axis is logarithmic if times differ widely.

    Raises
    ------
    TypeError, ValueError
        As `handler_latency` does, or if `limit` is not an int of 1 or more.

    Examples
    --------
    >>> import pandas as pd
    >>> from matplotlib.figure import Figure
    >>> from atlas_lab import describe, plot_latency
    >>> deliveries = pd.DataFrame({
    ...     "handler": ["plan", "log", "plan", "log"], "outcome": "ok",
    ...     "duration": pd.to_timedelta([30, 1, 50, 3], unit="ms"),
    ... })
    >>> print(describe(plot_latency(deliveries, ax=Figure().subplots())))
    4 calls of 2 handlers took 84 ms; plan took the most, 80 ms in 2 calls, with p50 30 ms and p99 50 ms.
    """
    frame = frame_of(deliveries, "deliveries")
    check_count("limit", limit, 1)
    table = handler_latency(frame)
    ran = table[table["calls"] > 0]
    title = "Time in handlers"
    if ran.empty:
        return say_empty(axes_for(ax, 8, 2), title, "no handler was called")
    ax = axes_for(ax, 8, 3.6)
    shown = ran.head(limit)
    times = [_times(frame, handler) for handler in shown["handler"]]
    texts = _told(ax, shown)
    beside = max(
        width_of(text, size) for lines in texts for text, size in zip(lines, ("small", "x-small"), strict=True)
    )
    _scale(ax, np.concatenate(times), room(ax) - beside)
    for place, took in enumerate(times):
        mark = look(place)
        style = {"color": mark.colour, "linestyle": mark.dash, "linewidth": 1.6}
        ax.ecdf(took, **(style | kwargs))
        row = shown.iloc[place]
        at = [max(row[name].value, 1) for name in _PERCENTILES]
        ax.plot(at, list(_PERCENTILES.values()), linestyle="none", marker=mark.marker, color=mark.colour,
                markersize=marker_size(mark, 6), markeredgecolor=paper(ax), markeredgewidth=0.8)  # fmt: skip
        _explain(ax, place, mark, texts)
    ax.set_ylabel("share of calls", fontsize="small")
    notes = not_kept(deliveries, "deliveries")
    if len(ran) > limit:
        notes.append(f"the {limit} of {plural(len(ran), 'handler')} with the most time")
    first = ran.iloc[0]
    calls = int(ran["calls"].sum())
    sentence = f"{plural(calls, 'call')} of {plural(len(ran), 'handler')} took {span_text(ran['total'].sum())}"
    told = f"with p50 {span_text(first['p50'])} and p99 {span_text(first['p99'])}"
    if len(ran) > 1:
        told = f"{label(first['handler'])} took the most, {span_text(first['total'])} in {plural(first['calls'], 'call')}, {told}"
    return finish(ax, title, f"{sentence}{'; ' if len(ran) > 1 else ', '}{told}.", [*notes, "dots: p50, p90 and p99"])


def _times(deliveries: pd.DataFrame, handler: Any) -> Numbers:
    """Return the durations of the calls that ran, in nanoseconds; none is 0, which a logarithmic axis lacks."""
    same = deliveries["handler"].isna() if pd.isna(handler) else deliveries["handler"] == handler
    took = nanoseconds(deliveries[(same & (deliveries["outcome"] != "skipped")).to_numpy(bool)], "duration")
    return np.maximum(took, 1)


def _told(ax: Axes, shown: pd.DataFrame) -> list[tuple[str, str]]:
    """Return what is written beside the plot of each handler: its name, and as much of the rest as there is room for."""
    rest: list[list[str]] = [[f"{name} {span_text(row[name])}" for name in _PERCENTILES] for _, row in shown.iterrows()]
    calls = [plural(number, "call") for number in shown["calls"]]
    whole = [[", ".join([number, *row]) for number, row in zip(calls, rest, strict=True)]]
    shorter = [[", ".join(row[place] for place in kept) for row in rest] for kept in ((0, 1, 2), (0, 2), (0,))]
    most = room(ax) * _BESIDE
    fits = (texts for texts in [*whole, *shorter] if max(width_of(text, "x-small") for text in texts) <= most)
    names = [label(name, fitting(ax, 30)) for name in shown["handler"]]
    return list(zip(names, next(fits, shorter[-1]), strict=True))


def _scale(ax: Axes, times: Numbers, width: float) -> None:
    if times.max() > _WIDE * np.median(times) or times.max() > _WIDE**2 * times.min():
        ax.set_xscale("log")
        ticks = int(width / (points("small") * 5))
        ax.xaxis.set_major_locator(LogLocator(10, numticks=max(2, min(9, ticks))))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_xlim(times.min() / 1.3, times.max() * 1.3)
    else:
        ax.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10]))
        ax.set_xlim(0, times.max() * 1.05)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: span_text(round(value))))
    ax.set_yticks([0, 0.5, 0.9, 1], ["0 %", "50 %", "90 %", "100 %"])
    ax.set_ylim(0, 1.02)
    ax.tick_params(which="minor", length=0)
    ax.tick_params(axis="x", which="both", pad=8)  # below the 0 % of the other axis
    grid(ax, "both")


def _explain(ax: Axes, place: int, mark: Look, texts: list[tuple[str, str]]) -> None:
    """Tell beside the plot what the line of a handler looks like, and how long its calls took."""
    y = 1 - (place + 0.5) / max(len(texts), 4)
    line: Options = {
        "color": mark.colour,
        "linestyle": mark.dash,
        "marker": mark.marker,
        "markersize": marker_size(mark, 6),
    }
    right = points_from_right(ax)
    ax.plot([8, 17, 26], [y] * 3, transform=right, clip_on=False, markevery=[1], **line)
    name, times = texts[place]
    write(ax, _INDENT, y, name, up=1, transform=right, va="bottom")
    write(ax, _INDENT, y, times, up=-1, transform=right, va="top", fontsize="x-small", color=muted(ax))
