"""How a process was doing, from its events: a table of metrics, one of checks, and a plot of both."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from atlas_lab import EventType, MissingExtraError

from .checking import check

try:
    import numpy as np
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BLUE, _ERROR, _GREEN = "#0072B2", "#D55E00", "#009E73"
_PLAIN: dict[str, Any] = {"parse_math": False, "usetex": False}
_SIZES = [("", 1), ("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12)]


def service_metrics(events: pd.DataFrame) -> pd.DataFrame:
    """Return the metrics that core services told, one row for each number.

    Parameters
    ----------
    events : DataFrame, one row per event
        As ``to_frame(bus, data="expand")`` gives it. Where several services are on a bus, those of one have its name as
        ``source``.

    Returns
    -------
    DataFrame, one row per SYSTEM_METRIC, in the order of the events
        ====== =================== =====================================
        column dtype
        ====== =================== =====================================
        time   datetime64[ns, UTC]
        tick   int64               number of the round
        metric category            in the order in which they came first
        value  float64
        unit   category
        ====== =================== =====================================

    Raises
    ------
    TypeError
        If `events` is no DataFrame.
    ValueError
        If it lacks a column.

    Examples
    --------
    >>> from atlas_lab import EventBus, to_frame
    >>> from atlas_lab.atlas import CoreServices, service_metrics
    >>> bus = EventBus()
    >>> _ = CoreServices(bus).sample()
    >>> metrics = service_metrics(to_frame(bus, data="expand"))
    >>> metrics.loc[metrics["metric"] == "bus.accepted", ["tick", "value", "unit"]]
       tick  value    unit
    3     1    0.0  events
    """
    rows = _rows(events, EventType.SYSTEM_METRIC, ("metric", "value", "unit", "tick"))
    return pd.DataFrame(
        {
            "time": rows["timestamp"].array,
            "tick": rows["data.tick"].to_numpy(np.int64),
            "metric": _in_order(rows["data.metric"]),
            "value": rows["data.value"].to_numpy(np.float64),
            "unit": _in_order(rows["data.unit"]),
        }
    )


def service_health(events: pd.DataFrame) -> pd.DataFrame:
    """Return how the health checks of core services went, one row for each check.

    Parameters
    ----------
    events : DataFrame, one row per event
        As ``to_frame(bus, data="expand")`` gives it.

    Returns
    -------
    DataFrame, one row per check, those that failed most often first
        ============ =================== =======================================
        column       dtype
        ============ =================== =======================================
        check        str
        checked      int64               how often
        failed       int64
        availability float64             share of those that did not fail
        latency_max  timedelta64[ns]
        last         bool                whether the last one did not fail
        last_failure datetime64[ns, UTC] missing if there was none
        problem      str                 what the last failure said; missing too
        ============ =================== =======================================

    Raises
    ------
    TypeError, ValueError
        As `service_metrics` does.

    Examples
    --------
    >>> from atlas_lab import EventBus, to_frame
    >>> from atlas_lab.atlas import CoreServices, service_health
    >>> bus = EventBus()
    >>> _ = CoreServices(bus, checks={"disk": lambda: True, "door": lambda: False}).sample()
    >>> service_health(to_frame(bus, data="expand"))[["check", "failed", "last"]]
      check  failed   last
    0  door       1  False
    1  disk       0   True
    """
    rows = _rows(events, EventType.SYSTEM_HEALTH, ("check", "healthy", "detail", "latency"))
    healthy = rows["data.healthy"].to_numpy(bool)
    rows = rows.assign(_failed=~healthy, _since=rows["timestamp"].where(~healthy))
    groups = rows.groupby(rows["data.check"].astype("str"), sort=False)
    failed = groups["_failed"].sum().astype(np.int64)
    checked = groups.size().astype(np.int64)
    problems = rows[~healthy].groupby(rows["data.check"].astype("str")[~healthy])["data.detail"].last()
    seconds = groups["data.latency"].max().astype(np.float64)
    table = pd.DataFrame(
        {
            "check": pd.array(list(failed.index), dtype="str"),
            "checked": checked.to_numpy(),
            "failed": failed.to_numpy(),
            "availability": 1 - failed.to_numpy() / np.maximum(checked.to_numpy(), 1),
            "latency_max": pd.to_timedelta((seconds.to_numpy() * 1e9).astype(np.int64), unit="ns").as_unit("ns"),
            "last": ~groups["_failed"].last().to_numpy(bool),
            "last_failure": groups["_since"].max().array,
            "problem": problems.reindex(failed.index).astype("str").array,
        }
    )
    table["last_failure"] = table["last_failure"].dt.as_unit("ns")
    return table.sort_values("failed", ascending=False, kind="stable", ignore_index=True)


def _rows(events: pd.DataFrame, event_type: EventType, fields: tuple[str, ...]) -> pd.DataFrame:
    check("events", events, pd.DataFrame, 'a DataFrame of events, such as to_frame(bus, data="expand")')
    for column in ("type", "timestamp"):
        if column not in events:
            raise ValueError(f'events lacks the column {column!r}; pass to_frame(bus, data="expand")')
    rows = events[(events["type"] == event_type.name).to_numpy(bool)]
    lacking = [field for field in fields if f"data.{field}" not in events]
    if lacking and len(rows):
        raise ValueError(f'events lacks the column {f"data.{lacking[0]}"!r}; pass to_frame(bus, data="expand")')
    return rows.assign(**{f"data.{field}": pd.Series(dtype="object") for field in lacking})


def _in_order(values: pd.Series[Any]) -> pd.Categorical:
    text = values.astype("str")
    return pd.Categorical(text, categories=pd.Index(text.unique(), dtype="str"))


def plot_services(events: pd.DataFrame, *, ax: Axes | None = None, **kwargs: Any) -> Axes:
    """Draw how a process was doing: a row for each health check, with what failed, and one for each metric.

    Parameters
    ----------
    events : DataFrame, one row per event
        As for `service_metrics` and `service_health`, which this draws.
    ax : Axes, optional
        To draw on; by default a new figure.
    **kwargs
        Options of `matplotlib.axes.Axes.plot` for the lines of the metrics.

    Returns
    -------
    Axes
        Metrics that were 0 all the time are named below. A check is a dot where it was well and a cross where it failed. The line of a metric goes from its least to its
        greatest value, which stand at the right with its last one. `describe` says it in words.

    Raises
    ------
    TypeError, ValueError
        As `service_metrics` does.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from atlas_lab import EventBus, describe, to_frame
    >>> from atlas_lab.atlas import CoreServices, plot_services
    >>> bus = EventBus()
    >>> services = CoreServices(bus, checks={"disk": lambda: True, "door": lambda: False})
    >>> _ = services.sample(), services.sample()
    >>> describe(plot_services(to_frame(bus, data="expand"), ax=Figure().subplots()))
    '2 rounds; 2 of 4 checks failed, most often door (2); 12 metrics.'
    """
    metrics, health = service_metrics(events), service_health(events)
    checks = _rows(events, EventType.SYSTEM_HEALTH, ("check", "healthy"))
    moved = metrics.groupby("metric", observed=True, sort=True)["value"].apply(lambda value: bool(value.any()))
    idle = [name for name in moved.index if not moved[name]]
    names = [*health["check"], *moved.index.drop(idle)]
    ax = _axes_for(ax, len(names))
    times = pd.concat([metrics["time"], checks["timestamp"]])
    zero = times.min()
    style: dict[str, Any] = {"color": _BLUE, "linewidth": 1.2, "solid_capstyle": "round"} | kwargs
    for row, name in enumerate(names):
        if row < len(health):
            one = checks[(checks["data.check"] == name).to_numpy(bool)]
            _draw_check(ax, row, _seconds(one["timestamp"], zero), one["data.healthy"].to_numpy(bool))
            _note(ax, row, _told(health.iloc[row]))
        else:
            one = metrics[(metrics["metric"] == name).to_numpy(bool)]
            value = one["value"].to_numpy()
            least, span = value.min(), np.ptp(value)
            share = (value - least) / span if span else np.full(len(value), 0.5)
            ax.plot(
                _seconds(one["time"], zero), row + 0.34 - 0.68 * share, marker="." if len(value) < 40 else "", **style
            )
            _note(ax, row, _range(value, str(one["unit"].iloc[0])))
    ax.set_yticks(range(len(names)), [_shown(name) for name in names], **_PLAIN)
    ax.set_ylim(max(len(names), 1) - 0.5, -0.5)
    if len(health) and len(names) > len(health):
        ax.axhline(len(health) - 0.5, color=_mixed(ax, 0.16), linewidth=0.8)
    ax.set_title("Health and metrics", loc="left", fontsize="medium", **_PLAIN)
    if names:
        said = f"s since {zero:%Y-%m-%d %H:%M:%S} UTC"
        if idle:
            said += "\n" + textwrap.fill(f"0 throughout: {', '.join(map(_shown, idle))}", 90)
        ax.set_xlabel(said, fontsize="small", **_PLAIN)
    else:
        ax.set(xticks=[], yticks=[])
        ax.text(0.5, 0, "no health and no metrics were told", ha="center", va="center", color=_mixed(ax, 0.6))
    ax.set_label(_sentence(metrics, health))
    return ax


def _axes_for(ax: Axes | None, rows: int) -> Axes:
    if ax is None:
        try:
            import matplotlib.pyplot as plt  # noqa: PLC0415 - tables need no plots
        except ImportError as error:
            raise MissingExtraError("matplotlib", "lab") from error
        _, ax = plt.subplots(figsize=(8, 1.1 + 0.34 * max(rows, 2)), layout="constrained")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, labelsize="small")
    ax.grid(axis="x", color=_mixed(ax, 0.16), linewidth=0.8)
    ax.set_axisbelow(True)
    return ax


def _draw_check(ax: Axes, row: int, at: Any, healthy: Any) -> None:
    for chosen, colour, marker in ((healthy, _GREEN, "o"), (~healthy, _ERROR, "X")):
        ax.plot(at[chosen], np.full(chosen.sum(), row), linestyle="none", color=colour, marker=marker, markersize=5)


def _note(ax: Axes, row: int, text: str) -> None:
    options = {"va": "center", "fontsize": "x-small", "color": _mixed(ax, 0.6)}
    ax.text(1.02, row, text, transform=ax.get_yaxis_transform(), **(options | _PLAIN))


def _told(check_row: pd.Series[Any]) -> str:
    if not check_row["failed"]:
        return f"well {check_row['checked']:,} times"
    problem = _shown(check_row["problem"])
    return f"failed {check_row['failed']:,} of {check_row['checked']:,}" + (f": {problem}" if problem else "")


def _range(value: Any, unit: str) -> str:
    least, most, last = (_number(one) for one in (value.min(), value.max(), value[-1]))
    unit = "B" if unit == "bytes" else unit
    return f"{last} {_shown(unit)}" if least == most else f"{last} {_shown(unit)} ({least} to {most})"


def _number(value: float) -> str:
    """Return a number with three digits: ``1.25 M``."""
    sign, size = next((one for one in reversed(_SIZES) if abs(value) >= one[1]), _SIZES[0])
    text = f"{value / size:.3g}"
    text = f"{float(text):.0f}" if "e+" in text else text
    return f"{text} {sign}" if sign else text


def _shown(name: object) -> str:
    text = " ".join("".join(one if one.isprintable() else " " for one in str(name)).split())
    return text if len(text) <= 32 else f"{text[:31]}…"


def _seconds(times: Any, zero: Any) -> Any:
    return (times - zero).dt.total_seconds().to_numpy()


def _mixed(ax: Axes, part: float) -> tuple[float, float, float]:
    """Return the colour of text with so much of it, from 0 to 1, on the colour behind the plot."""
    from matplotlib import rcParams  # noqa: PLC0415 - as above
    from matplotlib.colors import to_rgb  # noqa: PLC0415 - as above

    over, under = to_rgb(rcParams["text.color"]), to_rgb(ax.get_facecolor())
    red, green, blue = (one * part + other * (1 - part) for one, other in zip(over, under, strict=True))
    return red, green, blue


def _sentence(metrics: pd.DataFrame, health: pd.DataFrame) -> str:
    rounds = int(metrics["tick"].nunique())
    failed, checked = int(health["failed"].sum()), int(health["checked"].sum())
    said = [f"{rounds:,} round{'' if rounds == 1 else 's'}"]
    if checked:
        worst = f", most often {_shown(health['check'][0])} ({health['failed'][0]:,})" if failed else ""
        said.append(f"{failed:,} of {checked:,} checks failed{worst}")
    said.append(f"{metrics['metric'].nunique():,} metrics")
    return f"{'; '.join(said)}."
