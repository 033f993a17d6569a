"""How much happened when: the number of events in each stretch of time."""

from __future__ import annotations

from typing import Any

from atlas_lab.arguments import check_count
from atlas_lab.errors import MissingExtraError
from atlas_lab.tables.columns import NAT, check_column, check_frame
from atlas_lab.tables.comparing import HasFrames
from atlas_lab.tables.timing import Width

from .drawing import axes_for, finish, frame_of, not_kept, say_empty
from .folding import fold
from .lanes import counts_of, draw_counts, name_peaks
from .lettering import label, moment_text, period_text, plural, stretch_text
from .looks import BLUE, ERROR, muted
from .marks import name_rows
from .sizes import fitting, rows_for
from .time_axes import TimeAxis, bounds, moment, moments_of

try:
    from matplotlib.axes import Axes
    from matplotlib.colors import to_rgba
except ImportError as error:
    raise MissingExtraError("matplotlib", "lab") from error
try:
    import numpy as np
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error


def plot_rate(
    events: HasFrames | pd.DataFrame,
    *,
    every: Width | None = None,
    by: str | None = "type",
    limit: int = 12,
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw how many events came in each stretch of time: all together, and each type in a row of its own.

    Parameters
    ----------
    events : recording, or DataFrame of events
        As for `rates`, which this draws.
    every : str, timedelta or pandas offset, optional
        Width of a stretch; by default a round one that gives about 60.
    by : str or None, default "type"
        Column whose values have a row each. With None there is one row, for all.
    limit : int, default 12
        Most rows for values. Of more values, those of errors and the most frequent have one, and the rest share one.
    ax : Axes, optional
        To draw on, best of a figure with ``layout="constrained"``, which makes room for names; by default a new figure.
    **kwargs
        Options of `matplotlib.collections.PolyCollection` for the bars.

    Returns
    -------
    Axes
        The rows below that of all events have the same scale. Each tells its highest number above the bar, and its
        sum at the right.

    Raises
    ------
    TypeError, ValueError
        As `rates` does, or if `limit` is not an int of 1 or more.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from atlas_lab import describe, load_quakes, plot_rate, to_frame
    >>> ax = plot_rate(to_frame(load_quakes()), every="1D", by="source", ax=Figure().subplots())
    >>> [text.get_text() for text in ax.get_yticklabels()][:4]
    ['all', 'ak', 'ci', 'hv']
    """
    frame = frame_of(events, "events")
    check_count("limit", limit, 1)
    check_frame(frame, "events", ("timestamp",))
    if by is not None:
        check_column(frame, "by", by)
    at, zone = moments_of(frame)
    shown, at = frame.loc[at != NAT], at[at != NAT]
    if shown.empty:
        return say_empty(axes_for(ax, 8, 2), "Events over time", "there are no events to count")
    names, sizes, row = ["all"], [len(shown)], np.zeros(len(shown), np.int64)
    kinds = (
        fold(shown[by], rows_for(ax, limit, lowest=10, others=1), "category", fitting(ax, 32))
        if by is not None
        else None
    )
    if kinds is not None and len(kinds.names) > 1:  # every event counts in two rows
        names += kinds.names
        sizes += kinds.sizes.tolist()
        row = np.append(row, kinds.of + 1)
    counts = counts_of(np.resize(at, len(row)), row, every)
    begin = counts.begin[counts.kind == 0]
    axis = TimeAxis(int(begin[0]), int(begin[-1]) + counts.width, zone, zero=int(at.min()))
    ax = axes_for(ax, 8, 1.3 + 0.4 * len(names) + 0.9 * (len(names) == 1))
    axis.set_up(ax)
    failed = [False, *(kinds.failures if kinds is not None else [])]
    colours = np.where(np.array(failed)[counts.kind][:, np.newaxis], to_rgba(ERROR), to_rgba(BLUE))
    for chosen in (counts.kind == 0, counts.kind > 0):
        if chosen.any():
            colour = muted(ax) if len(names) > 1 and chosen[0] else colours[chosen]
            draw_counts(ax, counts.where(chosen), axis, {"color": colour} | kwargs)
            name_peaks(ax, counts.where(chosen), axis)
    name_rows(ax, names, sizes)
    peak = int(counts.number[counts.kind == 0].argmax())
    busiest, first, last = (moment(int(ns), zone) for ns in (begin[peak], *bounds(at)))
    stretch = stretch_text(counts.width)
    sentence = f"{plural(len(shown), 'event')} {period_text(first, last)}; the busiest {stretch} began at "
    sentence += f"{moment_text(busiest)} with {counts.number.max():,}"
    if kinds is not None and kinds.one_leads:
        most = kinds.frequent
        sentence += f"; the most frequent {label(by)} is {kinds.names[most]} ({kinds.sizes[most]:,})"
    lost = [f"{plural(len(frame) - len(shown), 'event')} without a time not counted"] * (len(shown) < len(frame))
    return finish(ax, f"Events per {stretch}", f"{sentence}.", [*not_kept(events, "events"), *lost])
