"""Who against what: which handler fails on which type of event, and which type follows which."""

from __future__ import annotations

from typing import Any

from atlas_lab.arguments import check_count
from atlas_lab.errors import MissingExtraError
from atlas_lab.tables.columns import in_time
from atlas_lab.tables.comparing import HasFrames
from atlas_lab.tables.flows import transitions
from atlas_lab.tables.handling import errors_by_handler

from .cells import Matrix
from .drawing import axes_for, finish, frame_of, not_kept, say_empty
from .lettering import label, plural, share_text, span_text
from .looks import BLUE, ERROR, muted
from .marks import write
from .sizes import fitting, size_in_rows

try:
    from matplotlib.axes import Axes
except ImportError as error:
    raise MissingExtraError("matplotlib", "lab") from error
try:
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error

_MESSAGE = 70  # characters, at most
_OF_OTHERS = 0.15  # how strong a colour is that stands for no share


def plot_handler_heatmap(
    deliveries: HasFrames | pd.DataFrame,
    *,
    limit: int = 12,
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw which handlers failed on which types of event, how often, and with what.

    Parameters
    ----------
    deliveries : recording, or DataFrame of deliveries
        As for `errors_by_handler`, which this draws.
    limit : int, default 12
        Most handlers and most types, those with the most errors.
    ax : Axes, optional
        To draw on, best of a figure with ``layout="constrained"``, which makes room for names; by default a new figure.
    **kwargs
        Options of `matplotlib.axes.Axes.pcolormesh` for the cells.

    Returns
    -------
    Axes
        A cell tells the errors of a handler on a type, and what share of its calls they were: the more, the darker.
        Its most frequent error stands at the right of each handler.

    Raises
    ------
    TypeError, ValueError
        As `errors_by_handler` does, or if `limit` is not an int of 1 or more.

    Examples
    --------
    >>> import pandas as pd
    >>> from matplotlib.figure import Figure
    >>> from atlas_lab import describe, plot_handler_heatmap
    >>> deliveries = pd.DataFrame({
    ...     "seq": [1, 2, 3], "type": "AGENT_TASK_ASSIGNED", "handler": ["plan", "plan", "log"],
    ...     "outcome": ["error", "ok", "ok"], "error_type": ["KeyError", None, None],
    ...     "error_message": ["'goal'", None, None],
    ... })
    >>> print(describe(plot_handler_heatmap(deliveries, ax=Figure().subplots())))
    1 error in 3 calls, of 1 of 2 handlers; most often plan failed on AGENT_TASK_ASSIGNED with KeyError, 1 time.
    """
    frame = frame_of(deliveries, "deliveries")
    check_count("limit", limit, 1)
    table = errors_by_handler(frame)
    ran = frame[(frame["outcome"] != "skipped").to_numpy(bool)]
    title, calls = "Errors of handlers", plural(len(ran), "call")
    if table.empty:
        return say_empty(axes_for(ax, 8, 2), title, f"{calls}, and none failed" if len(ran) else "no calls")
    by_handler, by_type = (_totals(table, name) for name in ("handler", "type"))
    most = Matrix.most(ax, limit)
    handlers = by_handler.index[:most].tolist()
    types = by_type.index[: most if len(by_type) <= most else most - 1].tolist()
    matrix = _error_matrix(table, ran, handlers, types, len(by_type) - len(types), fitting(ax, 32))
    ax = axes_for(ax, 8, 1 + 0.42 * matrix.height)
    matrix.draw(ax, kwargs)
    for row, handler in enumerate(handlers):
        worst = table[(table["handler"] == handler).to_numpy(bool)].iloc[0]
        told = label(f"{worst['error_type']}: {worst['message']}", min(matrix.beside(ax, 50), _MESSAGE))
        size = size_in_rows(ax, "x-small")
        write(ax, matrix.right + 0.1, row, told, va="center", fontsize=size, color=muted(ax))
    notes = [*not_kept(deliveries, "deliveries"), "percent: of the calls of this handler on this type"]
    notes += _cut("handler", most, len(by_handler))
    number, worst = int(table["count"].sum()), table.iloc[0]
    sentence = (
        f"{plural(number, 'error')} in {calls}, of {len(by_handler):,} of {plural(ran['handler'].nunique(), 'handler')}; "
        f"most often {label(worst['handler'])} failed on {label(worst['type'])} with {label(worst['error_type'])}, "
        f"{plural(int(worst['count']), 'time')}."
    )
    return finish(ax, title, sentence, notes)


def _error_matrix(
    table: pd.DataFrame, ran: pd.DataFrame, handlers: list[Any], types: list[Any], others: int, width: int
) -> Matrix:
    """Return the matrix of errors: a 0 where a handler was called and none failed, nothing where it was not called."""
    more = [f"{others:,} others"] if others else []
    matrix = Matrix([label(one, width) for one in handlers], [*(label(one, width) for one in types), *more])
    row_of = {handler: row for row, handler in enumerate(handlers)}
    column_of = {kind: column for column, kind in enumerate(types)}
    for handler, kind in ran[["handler", "type"]].drop_duplicates().itertuples(index=False):
        if handler in row_of and kind in column_of:
            matrix.fill(row_of[handler], column_of[kind], ERROR, 0, "0")
    pairs = table.groupby(["handler", "type"], observed=True, sort=False)[["count", "share"]].sum().reset_index()
    rest = dict.fromkeys(handlers, 0)
    for handler, kind, errors, share in pairs.itertuples(index=False):
        if handler in row_of and kind in column_of:
            matrix.fill(row_of[handler], column_of[kind], ERROR, share, f"{errors:,}", share_text(share))
        elif handler in row_of:
            rest[handler] += errors
    for handler, errors in rest.items():
        if errors:
            matrix.fill(row_of[handler], len(types), ERROR, _OF_OTHERS, f"{errors:,}")
    return matrix


def plot_transitions(
    events: HasFrames | pd.DataFrame,
    *,
    case: str = "root_id",
    limit: int = 12,
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw which type of event directly follows which, as a matrix.

    Parameters
    ----------
    events : recording, or DataFrame of events
        As for `transitions`, which this draws.
    case : str, default "root_id"
        Column that says which events belong together.
    limit : int, default 12
        Most types, those with the most transitions.
    ax : Axes, optional
        To draw on, best of a figure with ``layout="constrained"``, which makes room for names; by default a new figure.
    **kwargs
        Options of `matplotlib.axes.Axes.pcolormesh` for the cells.

    Returns
    -------
    Axes
        A row tells what came after a type: the count, and the share of all that came after it; the more of it, the
        darker. Types come in the order in which they first happened, so a process that goes
        forward is above the diagonal, and what goes back below it.

    Raises
    ------
    TypeError, ValueError
        As `transitions` does, or if `limit` is not an int of 1 or more.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from atlas_lab import Event, EventType, describe, plot_transitions, to_frame
    >>> asked = Event(EventType.RETRIEVAL_STARTED, id="a", timestamp=0.0)
    >>> found = Event(EventType.RETRIEVAL_COMPLETED, timestamp=2.0, parent_id="a")
    >>> print(describe(plot_transitions(to_frame([asked, found]), ax=Figure().subplots())))
    1 transition between 2 types within a root_id; most often RETRIEVAL_COMPLETED follows RETRIEVAL_STARTED, 1 time
    (100 %), after 2 s.
    """
    frame = frame_of(events, "events")
    check_count("limit", limit, 1)
    table = transitions(frame, case=case)
    title = f"What follows what, within a {label(case)}"
    if table.empty:
        return say_empty(axes_for(ax, 8, 2), title, f"no event follows another within a {label(case)}")
    ends = pd.concat([table[[name, "count"]].set_axis(["type", "count"], axis=1) for name in ("from_type", "to_type")])
    by_type = _totals(ends, "type")
    most = Matrix.most(ax, limit)
    shown = set(by_type.index[:most])
    types = [kind for kind in in_time(frame)["type"].drop_duplicates() if kind in shown]
    names = [label(kind, fitting(ax, 32)) for kind in types]
    matrix = Matrix(names, names)
    for before, after, number, share in table[["from_type", "to_type", "count", "share"]].itertuples(index=False):
        if before in shown and after in shown:
            matrix.fill(types.index(before), types.index(after), BLUE, share, f"{number:,}", share_text(share))
    ax = axes_for(ax, 8, 0.8 + 0.42 * matrix.height)
    matrix.draw(ax, kwargs)
    write(ax, -0.02, -0.75, "after …", transform=ax.get_yaxis_transform(), ha="right", color=muted(ax), style="italic")
    first, total = table.iloc[0], int(table["count"].sum())
    notes = [*not_kept(events, "events"), "percent: of all that came after the type of the row"]
    notes += _cut("type", most, len(by_type))
    sentence = (
        f"{plural(total, 'transition')} between {plural(len(by_type), 'type')} within a {label(case)}; most often "
        f"{label(first['to_type'])} follows {label(first['from_type'])}, {plural(int(first['count']), 'time')} "
        f"({share_text(first['share'])}), after {span_text(first['gap_p50'])}."
    )
    return finish(ax, title, sentence, notes)


def _totals(table: pd.DataFrame, name: str) -> pd.Series[int]:
    """Return the sum of the counts of each value of a column, the greatest first."""
    totals = table.groupby(name, observed=True, sort=False)["count"].sum()
    return totals.sort_values(ascending=False, kind="stable")


def _cut(one: str, limit: int, number: int) -> list[str]:
    """Return what to note where there are more rows or columns than are shown."""
    return [f"{limit} of {plural(number, one)} shown, those with most"] * (number > limit)
