"""Marble diagrams, as the documentation of Rx has them: who saw which event, in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from atlas_lab.arguments import check_count, is_kind, refuse
from atlas_lab.errors import MissingExtraError
from atlas_lab.naming import attribute_of
from atlas_lab.tables.columns import Numbers, check_column, check_frame, nanoseconds
from atlas_lab.tables.comparing import HasFrames

from .drawing import axes_for, finish, frame_of, say_empty
from .folding import Folded, fold
from .lettering import label, plural
from .looks import Look, Options, contrasting, faint, ink, marker_size, mixed
from .marks import beside, group_rows, key, write
from .sizes import fitting, width_in_points

try:
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_rgb
except ImportError as error:
    raise MissingExtraError("matplotlib", "lab") from error
try:
    import numpy as np
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error

Run: TypeAlias = "HasFrames | pd.DataFrame"

_SHAPES = 8
_LARGEST = 17.0  # points
_LEGIBLE = 8  # below, a marble has no room for its letter
_TOLD = 4
_ROOMY = ["o", "s", "p", "D", "h", "^", "8", "H"]  # shapes with room for a letter


def plot_marbles(
    runs: Run | Mapping[str, Run] | Sequence[Run],
    *,
    by: str | None = None,
    limit: int = 30,
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw who saw which event, in which order, as a marble diagram.

    Parameters
    ----------
    runs : recording, DataFrame, or several of them
        Of a recording or a frame of deliveries each call of a handler is a marble; of a frame of events each event.
        Several, in a mapping of names to them or in a list of recordings, are drawn below one another.
    by : str, optional
        Column whose values are the rows; by default ``"handler"`` for deliveries and ``"source"`` for events.
    limit : int, default 30
        Most marbles of a run, the first ones.
    ax : Axes, optional
        To draw on, best of a figure with ``layout="constrained"``, which makes room for names; by default a new figure.
    **kwargs
        Options of `matplotlib.axes.Axes.scatter` for the marbles.

    Returns
    -------
    Axes
        Marbles with one letter are one event, letters go by the order in which events came, and the shape tells the
        type. From left to right stand the calls in the order in which they began. A band goes from a
        call to the last one that began before it was over: these it caused, or they ran beside it. Thin lines join
        the calls with one event; where they cross, handlers saw events in different orders. In a frame of events they
        go from a cause to what it led to.

    Raises
    ------
    TypeError
        If an argument is not as described.
    ValueError
        If a column is missing, there is no run, or `limit` is below 1.

    Examples
    --------
    Two handlers, of which the first publishes another event; the second then sees that one first.

    >>> from matplotlib.figure import Figure
    >>> from atlas_lab import EventBus, EventType, describe, plot_marbles
    >>> bus = EventBus()
    >>> def answer(event):
    ...     if event.type is EventType.AGENT_TASK_ASSIGNED:
    ...         bus.publish(EventType.AGENT_TASK_COMPLETED)
    >>> _ = bus.subscribe(None, answer, name="answer")
    >>> _ = bus.subscribe(None, lambda event: None, name="log")
    >>> with bus.record() as run:
    ...     _ = bus.publish(EventType.AGENT_TASK_ASSIGNED)
    >>> print(describe(plot_marbles(run, ax=Figure().subplots())))
    In run, answer saw A B; log saw B A.
    """
    check_count("limit", limit, 1)
    parts = [_marbles(name, run, by, limit, fitting(ax, 28)) for name, run in _named(runs).items()]
    calls = any(part.calls for part in parts)
    title = "Who saw which event, in which order" if calls else "Events in order"
    if not any(len(part.x) for part in parts):
        return say_empty(axes_for(ax, 8, 2), title, "no handler was called" if calls else "there are no events")
    ax = axes_for(ax, 8, 1.2 + 0.42 * sum(len(part.rows.names) + 1 for part in parts))
    heads = pd.Series([part.name if len(parts) > 1 else "" for part in parts for _ in part.rows.names])
    places = group_rows(ax, heads, [name for part in parts for name in part.rows.names])
    most = max(len(part.x) for part in parts)
    ax.set_xlim(-0.7, most - 0.3)
    ax.set_xticks([])
    kinds = fold(pd.concat([part.kind for part in parts]), _SHAPES)
    size = min(_LARGEST, 0.7 * width_in_points(ax) / (most + 1))
    first_row = first_mark = 0
    for part in parts:
        rows = places[first_row : first_row + len(part.rows.names)]
        _draw_tracks(ax, part, rows, size)
        _draw_marbles(ax, part, rows, kinds, slice(first_mark, first_mark + len(part.x)), size, kwargs)
        first_row, first_mark = first_row + len(rows), first_mark + len(part.x)
    what = "calls of handlers, in the order in which they began" if calls else "events, in the order of the frame"
    ax.set_xlabel(f"{what}  →", fontsize="small")
    above = key(ax, list(zip(kinds.names, _roomy(kinds), strict=True)))
    notes = [f"{part.name}: the first {limit:,} of {len(part.x) + part.more:,}" for part in parts if part.more]
    return finish(ax, title, " ".join(map(_sentence, parts)), notes, above=above)


class _Marbles(NamedTuple):
    """The marbles of a run, from left to right."""

    name: str
    calls: bool
    rows: Folded
    kind: pd.Series[str]
    letter: Numbers  # of the event of each
    x: Numbers
    end: Numbers  # x of the last one that began before it was over
    links: list[tuple[int, int]]  # marbles to join
    more: int


def _named(runs: Any) -> dict[str, Run]:
    if is_kind(runs, pd.DataFrame):
        return {"run": runs}
    if attribute_of(runs, "deliveries") is not None:
        return {label(getattr(runs, "name", "run")): runs}
    if is_kind(runs, Mapping):
        named = {label(name): run for name, run in runs.items()}
    elif is_kind(runs, Sequence) and not is_kind(runs, str | bytes):
        named = {label(getattr(run, "name", f"run {place + 1}")): run for place, run in enumerate(runs)}
    else:
        raise refuse("runs", runs, "a recording, a DataFrame, a mapping of names to them or a list of recordings")
    if not named or len(named) < len(runs):
        problem = "none" if not named else "two with one name"
        raise ValueError(f"runs must hold at least one run, each with a name of its own, got {problem}")
    return named


def _marbles(name: str, run: Run, by: str | None, limit: int, width: int) -> _Marbles:
    frame = frame_of(run, "deliveries")
    calls = "handler" in frame
    by = by if by is not None else "handler" if calls else "source"
    if calls:
        check_frame(frame, "deliveries", ("event_id", "type", "start", "duration", "outcome"), f"runs[{name!r}]")
        frame = frame[(frame["outcome"] != "skipped").to_numpy(bool)]
        frame = frame.iloc[np.argsort(nanoseconds(frame, "start"), kind="stable")]
    else:
        check_frame(frame, "events", ("event_id", "parent_id", "type"), f"runs[{name!r}]")
    check_column(frame, "by", by)
    shown = frame.head(limit)
    x = np.arange(len(shown))
    letter, ids = pd.factorize(shown["event_id"].array)
    end, links = x, []
    if calls:
        start = nanoseconds(frame, "start")
        end = np.minimum(np.searchsorted(start, start + nanoseconds(frame, "duration")) - 1, len(shown) - 1)[: len(x)]
        last: dict[int, int] = {}
        for place, event in enumerate(letter.tolist()):
            links += [(last[event], place)] if event in last else []
            last[event] = place
    else:
        parent = pd.Index(ids).get_indexer(shown["parent_id"].array)
        links = [(above, place) for place, above in enumerate(parent.tolist()) if above >= 0]
    rows = fold(shown[by], max(len(shown), 1), width=width)
    kind = shown["type"].astype("str")
    return _Marbles(name, calls, rows, kind, letter, x, np.maximum(end, x), links, len(frame) - len(shown))


def _draw_tracks(ax: Axes, part: _Marbles, rows: Numbers, size: float) -> None:
    """Draw the line of each row, how long each call lasted, and what joins marbles; write what each row saw."""
    ax.hlines(rows, -0.5, len(part.x) - 0.5, color=faint(ax), linewidth=1, zorder=1)
    y = rows[part.rows.of]
    bands = [[(x, row), (end, row)] for x, row, end in zip(part.x, y, part.end, strict=True) if end > x]
    ax.add_collection(LineCollection(bands, colors=[faint(ax)], linewidths=size * 0.8, capstyle="round", zorder=1))
    joined = [[(part.x[one], y[one]), (part.x[two], y[two])] for one, two in part.links]
    ax.add_collection(LineCollection(joined, colors=[mixed(ink(), ax, 0.4)], linewidths=0.8, zorder=2))
    for row, place in enumerate(rows.tolist()):
        told = _order(part, row, 12)
        beside(ax, place, told, fontsize="small", family="monospace", color=ink())


def _draw_marbles(
    ax: Axes, part: _Marbles, rows: Numbers, kinds: Folded, mine: slice, size: float, options: Options
) -> None:
    y, kind = rows[part.rows.of], kinds.of[mine]
    for place, mark in enumerate(_roomy(kinds)):
        here = kind == place
        style: Options = {"marker": mark.marker, "color": mark.colour, "s": marker_size(mark, size) ** 2}
        style |= {"linewidths": 0, "zorder": 3}
        ax.scatter(part.x[here], y[here], **(style | options))
    if size < _LEGIBLE:
        return
    middle: Options = {"ha": "center", "va": "center", "fontsize": size * 0.55, "zorder": 4}
    for x, row, letter, of in zip(part.x.tolist(), y.tolist(), part.letter.tolist(), kind.tolist(), strict=True):
        write(ax, x, row, _letter(letter), color=contrasting(to_rgb(kinds.looks[of].colour)), **middle)


def _roomy(kinds: Folded) -> list[Look]:
    """Return the looks of types, in shapes that have room for a letter."""
    shaped = zip(kinds.looks, _ROOMY, strict=False)
    return [mark if mark.marker == "X" else mark._replace(marker=shape) for mark, shape in shaped]


def _letter(place: int) -> str:
    """Return A to Z, then AA, AB and so on."""
    letters = ""
    place += 1
    while place:
        place, letter = divmod(place - 1, 26)
        letters = chr(ord("A") + letter) + letters
    return letters


def _order(part: _Marbles, row: int, most: int) -> str:
    """Return the letters of a row from left to right."""
    seen = [_letter(letter) for letter in part.letter[part.rows.of == row].tolist()]
    return " ".join(seen[:most]) + (" …" if len(seen) > most else "")


def _sentence(part: _Marbles) -> str:
    if not len(part.x):
        return f"In {part.name} nothing was seen."
    verb = "saw" if part.calls else "published"
    told = [f"{name} {verb} {_order(part, row, 12)}" for row, name in enumerate(part.rows.names[:_TOLD])]
    more = len(part.rows.names) - _TOLD
    rest = f"; and {plural(more, 'more row')}" if more > 0 else ""
    return f"In {part.name}, {'; '.join(told)}{rest}."
