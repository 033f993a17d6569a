"""Counts along the time, as bars in lanes."""

from __future__ import annotations

from typing import NamedTuple

from atlas_lab.errors import MissingExtraError
from atlas_lab.tables.columns import Mask, Numbers, Shares, moments
from atlas_lab.tables.timing import Width, rates

from .looks import BLUE, ERROR, Options, muted
from .marks import boxes, write
from .sizes import characters
from .time_axes import TimeAxis

try:
    from matplotlib.axes import Axes
except ImportError as error:
    raise MissingExtraError("matplotlib", "lab") from error
try:
    import numpy as np
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error

_FOOT = 0.44  # below the middle of the row
_HEIGHT = 0.6
_LEAST = 0.05  # what is rare beside others is still seen


class Counts(NamedTuple):
    """How many rows of each kind lie in each stretch of time, those with none left out."""

    kind: Numbers
    begin: Numbers
    number: Numbers
    width: int  # nanoseconds, as is `begin`

    def apart(self) -> list[Counts]:
        """Return the counts of each kind alone."""
        return [self.where(self.kind == kind) for kind in np.unique(self.kind)]

    def where(self, mask: Mask) -> Counts:
        """Return some of the counts."""
        return Counts(self.kind[mask], self.begin[mask], self.number[mask], self.width)


def counts_of(at: Numbers, kind: Numbers, every: int | Width | None = None, of: Mask | None = None) -> Counts:
    """Count the times `at`, in nanoseconds, of which there must be one, apart for each kind; or only some `of` them."""
    if isinstance(every, int):
        every = np.timedelta64(every, "ns")
    if of is not None:
        at, kind = at[of], kind[of]
    if not len(at):
        return Counts(kind, at, at, 0)
    table = rates(pd.DataFrame({"timestamp": moments(at), "kind": pd.Categorical(kind)}), every=every, by="kind")
    table = table[table["count"] > 0]
    number = table["count"].to_numpy(np.int64)
    begin = table["time"].dt.tz_convert(None).to_numpy("M8[ns]").view(np.int64)
    width = round(number[0] / table["rate"].iloc[0] * 1e9)
    return Counts(table["kind"].to_numpy(np.int64), begin, number, width)


def draw_counts(ax: Axes, counts: Counts, axis: TimeAxis, options: Options, failed: Counts | None = None) -> None:
    """Draw the counts of each kind in the row of its number, all to one scale; those that `failed` of them crossed."""
    _draw(ax, counts, axis, {"color": BLUE} | options, counts)
    if failed is not None and len(failed.kind):
        _draw(ax, failed, axis, {"color": ERROR} | options, counts)
        bars = {(kind, begin): top for kind, begin, top in zip(counts.kind, counts.begin, _tops(counts), strict=True)}
        crosses = [bars[one] for one in zip(failed.kind, failed.begin, strict=True)]
        middle = axis.place(failed.begin + failed.width // 2)
        ax.plot(middle, crosses, linestyle="none", marker="x", color=ERROR, markersize=4)


def _draw(ax: Axes, counts: Counts, axis: TimeAxis, options: Options, scale: Counts) -> None:
    left, right = axis.place(counts.begin), axis.place(counts.begin + counts.width)
    boxes(ax, left, right, _tops(counts, scale), counts.kind + _FOOT, **({"edgecolor": "face"} | options))


def name_peaks(ax: Axes, counts: Counts, axis: TimeAxis) -> None:
    """Write the highest number of each row above its bar."""
    tops = _tops(counts)
    middle = axis.place(counts.begin + counts.width // 2)
    low, high = ax.get_xlim()
    for kind in np.unique(counts.kind):
        rows = np.flatnonzero(counts.kind == kind)
        peak = rows[counts.number[rows].argmax()]
        text = f"{counts.number[peak]:,}"
        room = (high - low) * len(text) / characters(ax, "x-small") / 2
        x = min(max(middle[peak], low + room), high - room)
        write(ax, x, tops[peak], text, ha="center", va="bottom", fontsize="x-small", color=muted(ax))


def _tops(counts: Counts, scale: Counts | None = None) -> Shares:
    height: Shares = np.maximum(counts.number / (scale or counts).number.max(), _LEAST) * _HEIGHT
    return counts.kind + _FOOT - height
