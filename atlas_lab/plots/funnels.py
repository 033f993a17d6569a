"""Where events went on their way through the middleware."""

from __future__ import annotations

from typing import Any

from atlas_lab.arguments import check_count
from atlas_lab.errors import MissingExtraError
from atlas_lab.tables.columns import Numbers
from atlas_lab.tables.comparing import HasFrames
from atlas_lab.tables.funnel import middleware_funnel

from .drawing import axes_for, finish, frame_of, not_kept, say_empty
from .lettering import label, plural, share_text, span_text
from .looks import BLUE, ERROR, SKY, Look, paper
from .marks import beside, boxes, grid, group_rows, key
from .sizes import fitting, rows_for

try:
    from matplotlib.axes import Axes
    from matplotlib.ticker import FuncFormatter, MaxNLocator
except ImportError as error:
    raise MissingExtraError("matplotlib", "lab") from error
try:
    import numpy as np
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error

_MOST_BUSES = 3
_ACTIONS = {
    "passed": Look(BLUE, "s"),
    "transformed": Look(SKY, "s", "-", "////"),
    "dropped": Look("0.6", "s"),
    "raised": Look(ERROR, "s", "-", "xxxx"),
}


def plot_funnel(
    middleware: HasFrames | pd.DataFrame,
    *,
    limit: int = 24,
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw how many events each middleware entry saw, and what it did with them.

    Parameters
    ----------
    middleware : recording, or DataFrame of middleware steps
        As for `middleware_funnel`, which this draws.
    limit : int, default 24
        Most entries, in the order of the table.
    ax : Axes, optional
        To draw on, best of a figure with ``layout="constrained"``, which makes room for names; by default a new figure.
    **kwargs
        Options of `matplotlib.collections.PolyCollection` for the bars.

    Returns
    -------
    Axes
        A row for each entry of each bus, in the order in which events pass them. A bar is as long as the entry saw
        events. At the right stands what share of the events that came to this bus it let go on.

    Raises
    ------
    TypeError, ValueError
        As `middleware_funnel` does, or if `limit` is not an int of 1 or more.

    Examples
    --------
    >>> import pandas as pd
    >>> from matplotlib.figure import Figure
    >>> from atlas_lab import describe, plot_funnel
    >>> steps = pd.DataFrame({
    ...     "event_id": ["a", "a", "b"], "scope": "run", "step": [0, 1, 0],
    ...     "middleware": ["quiet", "redact", "quiet"], "action": ["passed", "transformed", "dropped"],
    ...     "duration": pd.to_timedelta([1, 4, 1], unit="us"),
    ... })
    >>> print(describe(plot_funnel(steps, ax=Figure().subplots())))
    Of 2 events that came to run, 50 % are left after 2 middleware entries; quiet dropped 1.
    """
    frame = frame_of(middleware, "middleware")
    check_count("limit", limit, 1)
    table = middleware_funnel(frame)
    title = "What middleware did with events"
    if table.empty:
        return say_empty(axes_for(ax, 8, 2), title, "no middleware saw an event")
    limit = rows_for(ax, limit, others=table["scope"].nunique())
    shown = table.head(limit)
    ax = axes_for(ax, 8, 1.6 + 0.36 * (len(shown) + shown["scope"].nunique()))
    places = group_rows(ax, shown["scope"], [label(name, fitting(ax, 32)) for name in shown["middleware"]])
    ax.set_xlim(0, table["seen"].max() * 1.02)
    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    grid(ax)
    begin = np.zeros(len(shown))
    for action, look in _ACTIONS.items():
        end = begin + shown[action].to_numpy()
        some = end > begin
        style = {"color": look.colour, "hatch": look.hatch, "edgecolor": paper(ax)}
        boxes(ax, begin[some], end[some], places[some] - 0.34, places[some] + 0.34, **(style | kwargs))
        begin = end
    _write_ends(ax, shown, places)
    acted = [action for action in _ACTIONS if shown[action].any()]
    above = key(ax, [(action, _ACTIONS[action]) for action in acted], areas=True)
    notes = not_kept(middleware, "middleware")
    if len(table) > limit:
        notes.append(f"{limit} of {plural(len(table), 'entry', 'entries')} shown")
    return finish(ax, title, _sentence(table), notes, above=above)


def _write_ends(ax: Axes, shown: pd.DataFrame, places: Numbers) -> None:
    """Write at the right of each row what did not go on, what is left, and how long it took."""
    for place, (_, row) in zip(places.tolist(), shown.iterrows(), strict=True):
        stopped = [f"{row[action]:,} {action}" for action in ("dropped", "raised") if row[action]]
        told = ", ".join([*stopped, f"{share_text(row['left'])} left", span_text(row["total"])])
        beside(ax, place, told)


def _sentence(table: pd.DataFrame) -> str:
    """Return what is left of the events on each bus, and what took most of them."""
    told = []
    for scope, entries in table.groupby("scope", observed=True, sort=False, dropna=False):
        came, last = entries["seen"].iloc[0], entries["left"].iloc[-1]
        count = plural(len(entries), "middleware entry", "middleware entries")
        where = label(scope) if scope else "the bus"
        told.append(f"of {plural(came, 'event')} that came to {where}, {share_text(last)} are left after {count}")
    sentence = "; ".join(told[:_MOST_BUSES]) + (
        f"; and {len(told) - _MOST_BUSES} more buses" * (len(told) > _MOST_BUSES)
    )
    stopped = table["dropped"] + table["raised"]
    if stopped.any():
        worst = table.iloc[int(stopped.to_numpy().argmax())]
        did = [f"{action} {worst[action]:,}" for action in ("dropped", "raised") if worst[action]]
        sentence += f"; {label(worst['middleware'])} {' and '.join(did)}"
    return f"{sentence[0].upper()}{sentence[1:]}."
