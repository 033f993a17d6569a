"""What a publish costs, as experiments measured it."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from atlas_lab.arguments import check_choice, check_optional, is_kind, refuse
from atlas_lab.errors import MissingExtraError
from atlas_lab.experiments.configurations import FACTORS
from atlas_lab.experiments.summaries import fit, summarize
from atlas_lab.tables.columns import Shares

from .drawing import axes_for, finish
from .lettering import label, plural, span_text
from .looks import Look, Options, look, marker_size, muted
from .marks import grid, write
from .sizes import line_height, points_from_right

try:
    from matplotlib.axes import Axes
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator
except ImportError as error:
    raise MissingExtraError("matplotlib", "lab") from error
try:
    import numpy as np
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error

_WIDE = 10  # from this ratio of values on, a logarithmic axis shows more
_LINEAR = 0.25  # misfit up to which a line says something
_ONE = {"handlers": "handler", "threads": "thread", "scopes": "scope", "payload_bytes": "byte of payload"}


def plot_throughput(
    frame: pd.DataFrame,
    x: str | None = None,
    *,
    value: Literal["ns_per_event", "events_per_s"] | None = None,
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw what a publish costs, or how many there are in a second, as `throughput` measured it.

    Parameters
    ----------
    frame : DataFrame
        As `throughput` returns it, or several of them under one another.
    x : str, optional
        Column along which costs are drawn: ``"handlers"``, ``"middleware"``, ``"threads"``, ``"scopes"`` or
        ``"payload_bytes"``; by default the one with most values in the frame.
    value : {"ns_per_event", "events_per_s"}, optional
        By default the time per event; along threads, the events per second.
    ax : Axes, optional
        To draw on, best of a figure with ``layout="constrained"``, which makes room for names; by default a new figure.
    **kwargs
        Options of `matplotlib.axes.Axes.errorbar`.

    Returns
    -------
    Axes
        A line for each system, and for each combination of whatever else varies: medians with their 95 % intervals, as
        in `summarize`. The thin line is that of `fit`, where there is one to speak of. Axes are logarithmic
        if values differ tenfold.

    Raises
    ------
    TypeError
        If `frame` is no DataFrame.
    ValueError
        If `frame` is not one of `throughput`, or `x` or `value` is none of the above.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from atlas_lab import describe, plot_throughput, throughput
    >>> measured = throughput(handlers=(1, 100), rounds=3, block=0.001, progress=False)
    >>> print(describe(plot_throughput(measured, ax=Figure().subplots())))
    With 1 to 100 handlers, an event takes atlas_lab ... to ... (medians of 3 rounds).
    """
    if not is_kind(frame, pd.DataFrame):
        raise refuse("frame", frame, "a DataFrame, as throughput returns it")
    if "ns_per_event" not in frame:
        raise ValueError("frame must come from throughput: it lacks the column 'ns_per_event'")
    check_optional("x", x, str, "the name of a column")
    factors = [name for name in FACTORS if name in frame]
    x = x or max(factors, key=lambda name: frame[name].nunique())
    check_choice("x", x, tuple(factors))
    value = value or ("events_per_s" if x == "threads" else "ns_per_event")
    check_choice("value", value, ("ns_per_event", "events_per_s"))
    apart = [name for name in ("run", *factors) if name in frame and name != x and len(frame[name].unique()) > 1]
    table = summarize(frame, by=["system", *apart, x])
    lines = _lines(table, ["system", *apart], x, value)
    ax = axes_for(ax, 8, 4)
    _scale(ax, x, value, lines)
    fits = _fits(frame, ["system", *apart], x) if value == "ns_per_event" else {}
    ends = []
    for place, line in enumerate(lines):
        mark, told = look(place), ""
        style = {"color": mark.colour, "linestyle": mark.dash, "marker": mark.marker, "capsize": 2, "linewidth": 1.4}
        spread = [line.y - line.low, line.high - line.y]
        ax.errorbar(line.x, line.y, np.nan_to_num(spread), **(style | {"markersize": marker_size(mark, 5)} | kwargs))
        if line.key in fits:
            told = _draw_fit(ax, line, mark, *fits[line.key], one=_ONE.get(x, x))
        ends.append((line.name, told, float(line.y[-1]), mark))
    _name_lines(ax, ends)
    rounds = int(table["rounds"].min())
    notes = [f"medians of {plural(rounds, 'round')}" + " with 95 % intervals" * (rounds > 1)]
    if any(told for _, told, *_ in ends):
        notes.append("thin: the line through the medians")
    of = "What a publish costs" if value == "ns_per_event" else "Events per second"
    return finish(ax, f"{of}, by {label(x)}", _sentence(lines, x, value, rounds), notes)


class _Line(NamedTuple):
    """One line: the medians and intervals of a system, at each value of x."""

    key: tuple[Any, ...]
    name: str
    x: Shares
    y: Shares
    low: Shares
    high: Shares


def _lines(table: pd.DataFrame, keys: list[str], x: str, value: str) -> list[_Line]:
    lines = []
    for key, group in table.groupby(keys, observed=True, sort=False):
        others = [_with_unit(of, one) for of, one in zip(keys[1:], key[1:], strict=True)]
        name = ", ".join([label(key[0]), *others])
        columns = (x, value, f"{value}_low", f"{value}_high")
        lines.append(_Line(key, name, *(group[column].to_numpy(np.float64) for column in columns)))
    return lines


def _with_unit(name: str, value: Any) -> str:
    if name == "run":
        return label(value)
    one = _ONE.get(name, name)
    return f"{value:,} {one if value == 1 or name not in _ONE else name.replace('_', ' ')}"


def _fits(frame: pd.DataFrame, keys: list[str], x: str) -> dict[tuple[Any, ...], tuple[float, float]]:
    """Return intercept and slope of each line that fits."""
    enough = frame.groupby(keys, observed=True)[x].transform("nunique") > 1
    if not enough.any():
        return {}
    found = fit(frame[enough], x)
    for name in keys:  # what varies in the whole frame need not in this part of it
        if name not in found:
            found[name] = frame.loc[enough, name].iloc[0]
    found = found[found["misfit"] <= _LINEAR]
    return {tuple(row[name] for name in keys): (row["intercept_ns"], row["slope_ns"]) for _, row in found.iterrows()}


def _draw_fit(ax: Axes, line: _Line, mark: Look, intercept: float, slope: float, *, one: str) -> str:
    """Draw a line; return what it says."""
    logarithmic = ax.get_xscale() == "log"
    at = (np.geomspace if logarithmic else np.linspace)(line.x.min(), line.x.max(), 100)
    ax.plot(at, intercept + slope * at, color=mark.colour, linewidth=0.7)
    sign = "−" if slope < 0 else "+"
    step = f"{abs(slope):.3g} ns" if abs(slope) < 1000 else span_text(round(abs(slope)))  # a byte costs less than 1 ns
    return f"{span_text(round(intercept))} {sign} {step} per {one}"


def _scale(ax: Axes, x: str, value: str, lines: list[_Line]) -> None:
    at = np.unique(np.concatenate([line.x for line in lines]))
    if at[0] > 0 and at[-1] >= _WIDE * at[0]:
        ax.set_xscale("log")
        ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticks(at, [f"{one:,.0f}" for one in at])
    ax.set_xlabel(label(x), fontsize="small")
    low, high = _least([line.y for line in lines]), _most([line.y for line in lines])
    if high >= _WIDE * low:
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0), numticks=9))
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.yaxis.set_minor_locator(NullLocator())
    else:
        ax.set_ylim(0, _most([one for line in lines for one in (line.y, line.high)]) * 1.05)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda number, _: _shown(number, value)))
    ax.set_ylabel("time per event" if value == "ns_per_event" else "events per second", fontsize="small")
    grid(ax, "y")


def _shown(number: float, value: str) -> str:
    return span_text(round(number)) if value == "ns_per_event" else f"{number:,.0f}"


def _least(values: list[Shares]) -> float:
    return float(np.nanmin(np.concatenate(values)))


def _most(values: list[Shares]) -> float:
    return float(np.nanmax(np.concatenate(values)))


def _name_lines(ax: Axes, ends: list[tuple[str, str, float, Look]]) -> None:
    """Write the name of each line at its right end, and below it what its fit says, none over another."""
    to_axes = (ax.transData + ax.transAxes.inverted()).transform
    heights = [float(to_axes((ax.get_xlim()[1], y))[1]) for *_, y, _ in ends]
    step = line_height(ax) * 2
    right = points_from_right(ax)
    free = -1.0
    for place in np.argsort(heights, kind="stable").tolist():
        name, told, _, mark = ends[place]
        y = max(heights[place], free + step)
        free = y
        mine: Options = {"transform": right, "clip_on": False, "color": mark.colour}
        ax.plot([4, 10], [heights[place], y], linewidth=0.8, **mine)
        ax.plot([15], [y], marker=mark.marker, markersize=5, **mine)
        write(ax, 22, y, name, up=1, transform=right, va="bottom" if told else "center")
        write(ax, 22, y, told, up=-1, transform=right, va="top", fontsize="x-small", color=muted(ax))


def _sentence(lines: list[_Line], x: str, value: str, rounds: int) -> str:
    low, high = round(_least([line.x for line in lines])), round(_most([line.x for line in lines]))
    values = f"{low:,} to {_with_unit(x, high)}" if high > low else _with_unit(x, low)
    told = [
        f"{line.name} {' to '.join(_shown(y, value) for y in line.y[[0, -1]][: len(line.y)])}" for line in lines[:4]
    ]
    more = f", and {len(lines) - 4} more" if len(lines) > 4 else ""
    verb = "an event takes" if value == "ns_per_event" else "a second has room for events:"
    return f"With {values}, {verb} {', '.join(told)}{more} (medians of {plural(rounds, 'round')})."
