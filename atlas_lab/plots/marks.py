"""What is drawn and written on a plot: rectangles, words, rows with names, the key."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from atlas_lab.errors import MissingExtraError
from atlas_lab.tables.columns import Numbers

from .lettering import PLAIN, drawable, label
from .looks import Look, Options, faint, marker_size, muted, paper
from .sizes import points, points_up, size_in_rows, width_of, widths

try:
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import to_rgba, to_rgba_array
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.text import Text
except ImportError as error:
    raise MissingExtraError("matplotlib", "lab") from error
try:
    import numpy as np
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error

Places: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"

_WIDE = 4  # pixels
_FEW = 3  # lines of a key
_SAMPLE = 3.4  # width of a mark with the space around it, in sizes of letters


def write(ax: Axes, x: float, y: float, text: str, *, up: float = 0, **options: Any) -> Text:
    """Write data on a plot, moved up by so many points."""
    text = drawable(text)
    options["transform"] = options.get("transform", ax.transData) + points_up(ax, up)
    return ax.text(x, y, text, **(PLAIN | {"fontsize": "small"} | options))


def boxes(ax: Axes, left: Places, right: Places, top: Places, bottom: Places, **options: Any) -> PolyCollection:
    """Draw rectangles: the narrowest still seen, and wide ones that touch still told apart.

    The x axis must have its limits.
    """
    corners = [[left, top], [right, top], [right, bottom], [left, bottom]]
    vertices = list(np.stack([np.stack(np.broadcast_arrays(x, y), axis=-1) for x, y in corners], axis=1))
    colour = to_rgba_array(options.pop("color", "C0"))
    wide = (right - left) * ax.get_window_extent().width > _WIDE * abs(np.subtract(*ax.get_xlim()))
    edges = np.where(wide[:, np.newaxis], to_rgba(paper(ax)), colour)
    style: Options = {"facecolor": colour, "edgecolor": edges, "linewidth": 0.7}
    drawn = PolyCollection(vertices, **(style | options))
    ax.add_collection(drawn, autolim=False)
    return drawn


def name_rows(ax: Axes, names: Sequence[str], numbers: Iterable[int] = (), *, top: float = -0.5) -> None:
    """Give the rows of a plot, 0, 1 and so on from the top, their names, and numbers at their right ends."""
    ax.set_ylim(len(names) - 0.5, top)
    ax.set_yticks(range(len(names)), [drawable(name) for name in names], fontsize=size_in_rows(ax), **PLAIN)
    for row, number in enumerate(numbers):
        beside(ax, row, f"{number:,}", fontsize="small")


def beside(ax: Axes, row: int, text: str, *, x: float = 1.01, fontsize: str = "x-small", **options: Any) -> Text:
    """Write something at the right of a row."""
    style: Options = {"va": "center", "color": muted(ax), "fontsize": size_in_rows(ax, fontsize)}
    return write(ax, x, row, text, transform=ax.get_yaxis_transform(), **(style | options))


def group_rows(ax: Axes, heads: pd.Series[Any], names: Sequence[str]) -> Numbers:
    """Name the rows of a plot, and above those with the same head the head; return the place of each row.

    A single head that is empty is not shown.
    """
    changed = (heads != heads.shift()).to_numpy(bool)
    headed = bool(changed.sum() > 1 or heads.iloc[0])
    places = np.arange(len(heads)) + (changed.cumsum() if headed else 0)
    written = [""] * (int(places[-1]) + 1)
    for place, name in zip(places.tolist(), names, strict=True):
        written[place] = name
    above = (places[changed] - 1).tolist() if headed else []
    for place, head in zip(above, heads[changed], strict=False):
        written[place] = label(head)
    name_rows(ax, written)
    for place in above:
        ax.get_yticklabels()[place].set_fontweight("bold")
    return places


def grid(ax: Axes, axis: str = "x") -> None:
    """Draw lines to read values by."""
    ax.grid(axis=axis, color=faint(ax), linewidth=0.8)  # type: ignore[arg-type]  # its stub wants a literal


def key(ax: Axes, entries: Sequence[tuple[str, Look]], *, areas: bool = False) -> float:
    """Explain the looks of dots, or of areas, above a plot, and return how high that is, in lines of small text."""
    if not entries:
        return 0
    _, width, right = widths(ax)
    for fontsize in ("small", "x-small"):
        widest = max(width_of(name, fontsize) for name, _ in entries) + _SAMPLE * points(fontsize)
        columns = max(1, min(len(entries), int((width + right) / widest)))
        lines = math.ceil(len(entries) / columns)
        if lines <= _FEW:
            break
    # A legend fills column by column; people read line by line.
    order = [place for column in range(columns) for place in range(column, len(entries), columns)]
    handles = [_sample(ax, mark, areas) for _, mark in entries]
    legend = ax.legend(
        [handles[place] for place in order],
        [drawable(entries[place][0]) for place in order],
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=columns,
        frameon=False,
        fontsize=fontsize,
        borderpad=0,
        borderaxespad=0.4,
        handlelength=1,
        handletextpad=0.4,
        labelspacing=0.3,
    )
    for text in legend.get_texts():
        text.set(**PLAIN)
    return lines * points(fontsize) / points("small")


def _sample(ax: Axes, mark: Look, areas: bool) -> Line2D | Patch:
    if areas:
        return Patch(facecolor=mark.colour, hatch=mark.hatch, edgecolor=paper(ax), linewidth=0)
    return Line2D([], [], linestyle="none", marker=mark.marker, color=mark.colour, markersize=marker_size(mark, 6))
