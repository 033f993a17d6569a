"""What changed between two runs."""

from __future__ import annotations

from typing import Any

from atlas_lab.arguments import check_count
from atlas_lab.errors import MissingExtraError
from atlas_lab.tables.comparing import HasFrames, diff_runs

from .drawing import axes_for, finish, say_empty
from .lettering import label, plural, span_text
from .looks import BLUE, ORANGE, Look, ink, muted
from .marks import beside, grid, group_rows, key
from .sizes import fitting, rows_for

try:
    from matplotlib.axes import Axes
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator, SymmetricalLogLocator
except ImportError as error:
    raise MissingExtraError("matplotlib", "lab") from error
try:
    import numpy as np
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error

_SLOWER = 1.5  # from this ratio of medians on, or below its inverse, a time has changed
_WIDE = 50  # from this ratio of counts on, a linear axis hides the small ones
_A, _B = Look(ORANGE, "s"), Look(BLUE, "o")


def plot_diff(
    a: HasFrames | pd.DataFrame,
    b: HasFrames | pd.DataFrame,
    *,
    limit: int = 24,
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw how two runs differ: what is new, what is gone, what became more frequent or slower.

    Parameters
    ----------
    a, b : recording, or DataFrame of events
        As for `diff_runs`, which this draws. Recordings are called by their names.
    limit : int, default 24
        Most rows: what only one run has, then the greatest changes.
    ax : Axes, optional
        To draw on, best of a figure with ``layout="constrained"``, which makes room for names; by default a new figure.
    **kwargs
        Options of `matplotlib.axes.Axes.plot` for the dots.

    Returns
    -------
    Axes
        A row for each event type, handler, transition and middleware entry whose count differs, or whose median time
        is 1.5 times as long or as short. A line goes from its count in `a`, a square, to that in `b`, a dot. The
        axis is logarithmic from 1 on if counts differ widely.

    Raises
    ------
    TypeError, ValueError
        As `diff_runs` does, or if `limit` is not an int of 1 or more.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from atlas_lab import Event, EventType, describe, plot_diff, to_frame
    >>> asked = Event(EventType.RETRIEVAL_STARTED, id="a", timestamp=0.0)
    >>> found = Event(EventType.RETRIEVAL_COMPLETED, timestamp=2.0, parent_id="a")
    >>> before, after = to_frame([asked]), to_frame([asked, found])
    >>> print(describe(plot_diff(before, after, ax=Figure().subplots())))
    From a to b 2 of 3 things changed: 2 are new; the greatest change is event type RETRIEVAL_COMPLETED, from 0 to 1.
    """
    check_count("limit", limit, 1)
    table = diff_runs(a, b)
    first, second = _name(a, "a"), _name(b, "b")
    if first == second:
        first, second = f"a: {first}", f"b: {second}"
    title = f"From {first} to {second}"
    timed = (table["ratio"] >= _SLOWER) | (table["ratio"] <= 1 / _SLOWER)
    changed = table[((table["change"] != 0) | timed).to_numpy(bool)]
    if changed.empty:
        return say_empty(axes_for(ax, 8, 2), title, f"none of {plural(len(table), 'count')} changed, nor any time much")
    limit = rows_for(ax, limit, others=changed["kind"].nunique())
    shown = changed.head(limit).sort_values("kind", kind="stable")
    ax = axes_for(ax, 8, 1.6 + 0.27 * (len(shown) + shown["kind"].nunique()))
    places = group_rows(ax, shown["kind"].astype("str"), [label(name, fitting(ax, 44)) for name in shown["name"]])
    left, right = shown["count_a"].to_numpy(), shown["count_b"].to_numpy()
    _scale(ax, np.concatenate([left, right]))
    grid(ax)
    ax.hlines(places, left, right, color=muted(ax), linewidth=1.2, zorder=2)
    for at, mark, size in ((left, _A, 6.5), (right, _B, 6)):
        style = {"marker": mark.marker, "color": mark.colour, "markersize": size, "clip_on": False}
        some = at > 0
        ax.plot(at[some], places[some], linestyle="none", **(style | kwargs))
    for place, row in zip(places.tolist(), shown.itertuples(), strict=True):
        beside(ax, place, _told(row), x=1.02, color=ink())
    notes = [f"{plural(len(table) - len(changed), 'thing')} did not change"] * (len(table) > len(changed))
    if len(changed) > limit:
        notes.append(f"the {limit} greatest of {len(changed):,} changes")
    above = key(ax, [(first, _A), (second, _B)])
    return finish(ax, title, _sentence(table, changed, first, second), notes, above=above)


def _name(run: HasFrames | pd.DataFrame, otherwise: str) -> str:
    return label(getattr(run, "name", otherwise)) if not isinstance(run, pd.DataFrame) else otherwise


def _scale(ax: Axes, counts: np.ndarray[Any, np.dtype[np.int64]]) -> None:
    most = int(counts.max())
    if most > _WIDE * max(float(np.median(counts)), 1):
        ax.set_xscale("symlog", linthresh=1, linscale=0.4)
        ax.xaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=1))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xlim(-0.2, most * 1.3)
    else:
        ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
        ax.set_xlim(-0.02 * most, most * 1.03)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _told(row: Any) -> str:
    """Return what is written beside a row."""
    told = {"a": ["gone"], "b": ["new"]}.get(row.only_in, [f"{row.change:+,}"] if row.change else [])
    if row.ratio >= _SLOWER:
        told.append(f"{row.ratio:.2g}× as long: {span_text(row.p50_a)} → {span_text(row.p50_b)}")
    elif row.ratio <= 1 / _SLOWER:
        told.append(f"{row.ratio:.0%} of the time: {span_text(row.p50_a)} → {span_text(row.p50_b)}")
    return ", ".join(told).replace("-", "−").replace("%", " %")


def _sentence(table: pd.DataFrame, changed: pd.DataFrame, first: str, second: str) -> str:
    only = changed["only_in"].value_counts()
    slower = int((changed["ratio"] >= _SLOWER).sum())
    numbers = {"new": only["b"], "gone": only["a"], f"at least {_SLOWER} times as slow": slower}
    told = [f"{number:,} {'is' if number == 1 else 'are'} {what}" for what, number in numbers.items() if number]
    top = changed.iloc[0]
    return (
        f"From {first} to {second} {len(changed):,} of {plural(len(table), 'thing')} changed"
        f"{': ' if told else ''}{', '.join(told)}; the greatest change is {top['kind']} {label(top['name'], 60)}, "
        f"from {top['count_a']:,} to {top['count_b']:,}."
    )
