"""A run on one page."""

from __future__ import annotations

import textwrap
from typing import NamedTuple

from atlas_lab.arguments import is_kind
from atlas_lab.errors import MissingExtraError
from atlas_lab.tables.columns import NAT
from atlas_lab.tables.comparing import HasFrames

from .drawing import DescribedFigure, axes_for, frame_of, say_empty
from .funnels import plot_funnel
from .latencies import plot_latency
from .lettering import PLAIN, drawable, enumerated, label, plural, span_text
from .matrices import plot_handler_heatmap
from .rate_rows import plot_rate
from .time_axes import bounds, moments_of
from .timelines import plot_timeline

try:
    from matplotlib.axes import Axes
except ImportError as error:
    raise MissingExtraError("matplotlib", "lab") from error
try:
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error

_LANES, _TYPES, _ENTRIES, _HANDLERS = 10, 8, 8, 6
_WIDTH = 12  # inches
_LETTERS = 110
_TITLES = ("Time in handlers", "Errors of handlers", "What middleware did with events")


def overview(run: HasFrames | pd.DataFrame) -> DescribedFigure:
    """Draw a run on one page: its events along the time, its slowest handlers, its errors, its middleware.

    Parameters
    ----------
    run : recording, or DataFrame of events
        A frame of events, as `to_frame` makes it, has no handlers and no middleware; their places say so.

    Returns
    -------
    Figure
        With `plot_timeline`, `plot_rate`, `plot_latency`, `plot_funnel` and `plot_handler_heatmap`. The last expression
        of a cell shows it; pyplot does not know it, so that it is never shown twice.

    Raises
    ------
    TypeError
        If `run` is neither of the two.
    ValueError
        If a frame lacks a column.

    Examples
    --------
    >>> from atlas_lab import load_flights, overview, to_frame
    >>> figure = overview(to_frame(load_flights(), run="8 February 2013"))
    >>> figure.headline
    '8 February 2013: 2,315 events over 19.1 h.'
    """
    known = not is_kind(run, pd.DataFrame)
    page = _Page.of(run)
    lanes = min(_LANES, page.events["source"].nunique(dropna=False)) if "source" in page.events else 1
    types = min(_TYPES, page.events["type"].nunique()) if "type" in page.events else 1
    failures, entries = (_rows(page.deliveries), _steps(page.middleware)) if known else (0, 0)
    heights = [1.5 + 0.25 * lanes, 0.9 + 0.27 * types, max(3.6, failures + entries) if known else 1.6]
    figure = DescribedFigure(figsize=(_WIDTH, sum(heights) + 0.6), layout="constrained")
    figure.headline = _headline(page)
    headline = textwrap.fill(drawable(figure.headline.removesuffix(".")), _LETTERS)
    figure.suptitle(headline, x=0.01, ha="left", fontsize="large", weight="bold", **PLAIN)
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[sum(heights[:2]), heights[2]])[:, 0]
    _draw_times(page, *upper.subplots(2, height_ratios=heights[:2]))
    if not known:
        for ax, title in zip(lower.subplots(1, 3), _TITLES, strict=True):
            say_empty(axes_for(ax, 1, 1), title, "a frame of events does not tell; a recording does: bus.record()")
        return figure
    left, right = lower.subfigures(1, 2, squeeze=False, width_ratios=[1.1, 1])[0]
    above, below = right.subfigures(2, 1, squeeze=False, height_ratios=[failures, entries])[:, 0]
    plot_latency(page, limit=_HANDLERS, ax=left.subplots())
    plot_handler_heatmap(page, limit=_HANDLERS, ax=above.subplots())
    plot_funnel(page, limit=_ENTRIES, ax=below.subplots())
    return figure


class _Page(NamedTuple):
    """What a recording knows, read once."""

    name: str
    events: pd.DataFrame
    deliveries: pd.DataFrame
    middleware: pd.DataFrame
    not_kept: tuple[int, int, int] | None

    @classmethod
    def of(cls, run: HasFrames | pd.DataFrame) -> _Page:
        events = frame_of(run, "events", "run")
        if isinstance(run, pd.DataFrame):
            runs = events["run"].dropna().unique().tolist() if "run" in events else []
            return cls(label(runs[0]) if len(runs) == 1 else "Events", events, pd.DataFrame(), pd.DataFrame(), None)
        name = label(getattr(run, "name", "Run"))
        return cls(name, events, run.deliveries, run.middleware, getattr(run, "not_kept", None))


def _rows(deliveries: pd.DataFrame) -> float:
    """Return the height of the matrix of errors, in inches."""
    failed = deliveries[(deliveries["outcome"] == "error").to_numpy(bool)]
    handlers, types = (min(_HANDLERS, failed[name].nunique()) for name in ("handler", "type"))
    return 1.1 + 0.36 * handlers + 0.18 * types


def _steps(middleware: pd.DataFrame) -> float:
    """Return the height of the funnel, in inches."""
    entries = len(middleware[["scope", "middleware"]].drop_duplicates())
    return 1.2 + 0.26 * (min(_ENTRIES, entries) + min(middleware["scope"].nunique(), _ENTRIES))


def _draw_times(run: _Page, timeline: Axes, rate: Axes) -> None:
    """Draw events and their rate, so that the same time is at the same place."""
    plot_timeline(run, lanes=_LANES, ax=timeline)
    plot_rate(run, limit=_TYPES, ax=rate)
    if timeline.get_xlabel() == rate.get_xlabel():
        timeline.set_xlim(rate.get_xlim())  # whole stretches reach at least as far as their events
        timeline.tick_params(labelbottom=False)
        timeline.xaxis.offsetText.set_visible(False)
        timeline.set_xlabel("")


def _headline(run: _Page) -> str:
    """Return how much happened in how long, and whether that is all."""
    parts = [plural(len(run.events), "event")]
    if not run.deliveries.columns.empty:
        parts += [plural(len(run.deliveries), "handler call"), plural(len(run.middleware), "middleware step")]
    at, _ = moments_of(run.events)
    if (at != NAT).any():
        first, last = bounds(at)
        parts[-1] += "" if first == last else f" over {span_text(last - first)}"
    if run.not_kept is not None:
        nouns = ("event", "handler call", "middleware step")
        told = [plural(number, noun) for number, noun in zip(run.not_kept, nouns, strict=True) if number]
        parts.append(f"and {enumerated(told)} before that not kept" if told else "all kept")
    return f"{run.name}: {', '.join(parts)}."
