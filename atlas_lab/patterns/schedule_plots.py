"""Plots of partitioned work: who did what when, and how much faster more workers were.

As the plots of atlas_lab, each draws a table on the ``ax`` that it is given, or on a new figure, returns the Axes and
gives them a sentence that `atlas_lab.describe` returns. Colours are those of Okabe and Ito, and never alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from atlas_lab import MissingExtraError

from .schedules import PartitionRun

try:
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.ticker import FuncFormatter, MaxNLocator
except ImportError as error:
    raise MissingExtraError("matplotlib", "lab") from error

if TYPE_CHECKING:
    import pandas as pd

_BLUE, _ORANGE, _VERMILION = "#0072B2", "#E69F00", "#D55E00"
_PLAIN: dict[str, Any] = {"parse_math": False}


def plot_speedup(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how much faster more workers were, below the most that is possible.

    Parameters
    ----------
    table : DataFrame
        As `speedup_table` returns it.
    ax : Axes, optional
        To draw on; by default a new figure.

    Returns
    -------
    Axes
        Dots are what was measured. The dashed line is one times faster per worker up to the ceiling, which the critical
        path sets.
    """
    ax = _axes_for(ax, 6.4, 3.8)
    workers, speedup = table["workers"].to_numpy(), table["speedup"].to_numpy()
    ceiling, most = float(table["ceiling"].iloc[0]), int(workers[-1])
    grey = mpl.rcParams["text.color"]
    bend = sorted({1.0, min(max(ceiling, 1.0), most), float(most)})
    ax.plot(bend, [min(one, ceiling) for one in bend], color=grey, alpha=0.6, linestyle=(0, (5, 1.5)), linewidth=1.2)
    ax.plot(workers, speedup, color=_BLUE, marker="o", linewidth=1.6, markersize=6)
    for at, one in zip(workers.tolist(), speedup.tolist(), strict=True):
        ax.annotate(
            f"{one:.2g}×", (at, one), xytext=(6, -11), textcoords="offset points", fontsize="small", color=_BLUE
        )
    limit = (
        f"the critical path allows {ceiling:.2g}×" if ceiling < most else f"one times faster per worker, up to {most}×"
    )
    ax.annotate(
        limit, (most, min(most, ceiling)), xytext=(0, 5), textcoords="offset points", ha="right", fontsize="small",
        color=grey, alpha=0.75,
    )  # fmt: skip
    ax.set(xlim=(0.8, most + 0.4), ylim=(0, max(min(most, ceiling), float(speedup.max())) * 1.18))
    ax.set_xticks(workers)
    ax.yaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10]))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    ax.set_xlabel("workers", fontsize="small")
    ax.set_ylabel("times faster than one", fontsize="small")
    ax.grid(axis="y", color=grey, alpha=0.16, linewidth=0.8)
    told = ", ".join(f"{at} {one:.2g}" for at, one in zip(workers.tolist(), speedup.tolist(), strict=True))
    sentence = f"Times faster than one worker, by workers: {told}; the critical path allows {ceiling:.2g}."
    return _finish(ax, "Speed-up of the same units", sentence)


def plot_schedule(run: PartitionRun | pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw which worker did which unit when, with the critical path marked.

    Parameters
    ----------
    run : PartitionRun, or DataFrame
        A frame as `task_table` returns it.
    ax : Axes, optional
        To draw on; by default a new figure.

    Returns
    -------
    Axes
        One row per worker, in the order in which they started. Units that did not come back are not drawn, and
        counted below.
    """
    table = run.frame() if isinstance(run, PartitionRun) else run
    ran = table[table["started"].notna()].sort_values("started", kind="stable")
    names = ran["worker"].drop_duplicates().tolist()
    ax = _axes_for(ax, 8, 0.9 + 0.42 * max(len(names), 1))
    grey = mpl.rcParams["text.color"]
    origin = ran["started"].min()
    left = (ran["started"] - origin).dt.total_seconds().to_numpy()
    wide = (ran["ended"] - ran["started"]).dt.total_seconds().to_numpy()
    end = float((left + wide).max()) if len(ran) else 0.0
    ax.set_xlim(0, end * 1.01 or 1.0)
    pixels = ax.get_window_extent().width / (end or 1.0)
    units = zip(left.tolist(), wide.tolist(), ran["worker"], ran["unit"], ran["critical"], ran["outcome"], strict=True)
    for start, width, worker, unit, critical, outcome in units:
        row = names.index(worker)
        colour = _VERMILION if outcome != "ok" else _ORANGE if critical else _BLUE
        hatch = "xx" if outcome != "ok" else "//" if critical else ""
        ax.broken_barh(
            [(start, width)], (row - 0.38, 0.76), facecolor=colour, edgecolor=ax.get_facecolor(), hatch=hatch,
            linewidth=0.8, alpha=0.9,
        )  # fmt: skip
        if width * pixels > 7.5 * len(unit):
            box = {"facecolor": colour, "edgecolor": "none", "pad": 1.2} if hatch else None
            dark = colour == _ORANGE
            ax.text(
                start + width / 2, row, unit, ha="center", va="center", fontsize="x-small", bbox=box,
                color="black" if dark else "white", **_PLAIN,
            )  # fmt: skip
    ax.set_yticks(range(len(names)), [f"worker {place}" for place in range(1, len(names) + 1)])
    ax.set_ylim(max(len(names), 1) - 0.5, -0.5)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} s"))
    ax.grid(axis="x", color=grey, alpha=0.16, linewidth=0.8)
    lost = len(table) - len(ran)
    notes = (
        ["hatched: the critical path, " + " > ".join(ran.loc[ran["critical"], "unit"])] if ran["critical"].any() else []
    )
    notes += [f"{lost} not drawn, which did not come back"] * (lost > 0)
    ax.set_xlabel("; ".join(notes), fontsize="x-small", loc="left", **_PLAIN)
    failed = int((ran["outcome"] != "ok").sum())
    sentence = f"{len(ran)} units on {len(names)} workers in {end:.2g} s, {failed} of them failed"
    return _finish(ax, "Which worker did what when", f"{sentence}; {'; '.join(notes)}." if notes else f"{sentence}.")


def _axes_for(ax: Axes | None, width: float, height: float) -> Axes:
    if ax is not None and not isinstance(ax, Axes):
        raise TypeError(f"ax must be the Axes to draw on or None, got {type(ax).__name__}")
    if ax is None:
        import matplotlib.pyplot as plt  # noqa: PLC0415 - choosing a backend is for those who let it make figures

        ax = plt.figure(figsize=(width, height), layout="constrained").subplots()
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, labelsize="small")
    ax.set_axisbelow(True)
    return ax


def _finish(ax: Axes, title: str, sentence: str) -> Axes:
    ax.set_title(title, loc="left", fontsize="medium")
    ax.set_label(sentence)
    return ax
