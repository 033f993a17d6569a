"""What is drawn and written on a plot: rectangles, words, rows with names, the key.

Sizes of words are in points, as everything about them is in matplotlib; a plot has to have its place before how
much of it they take is known.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from atlas_lab.errors import MissingExtraError
from atlas_lab.tables.columns import Numbers

from .lettering import PLAIN, label
from .looks import Look, Options, faint, marker_size, muted, paper

try:
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import to_rgba, to_rgba_array
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.text import Text
    from matplotlib.textpath import text_to_path
    from matplotlib.transforms import Affine2D, ScaledTranslation, Transform, blended_transform_factory
except ImportError as error:
    raise MissingExtraError("matplotlib", "lab") from error
try:
    import numpy as np
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error

Places: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"

_WIDE = 4  # pixels


def write(ax: Axes, x: float, y: float, text: str, *, up: float = 0, **options: Any) -> Text:
    """Write data on a plot, moved up by so many points."""
    options["transform"] = options.get("transform", ax.transData) + _points_up(ax, up)
    return ax.text(x, y, text, **(PLAIN | {"fontsize": "small"} | options))


def _points_up(ax: Axes, up: float) -> Transform:
    return ScaledTranslation(0, up / 72, _figure(ax).dpi_scale_trans)


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


def name_rows(ax: Axes, names: Sequence[str], numbers: Iterable[int] = ()) -> None:
    """Give the rows of a plot, 0, 1 and so on from the top, their names, and numbers at their right ends."""
    ax.set_yticks(range(len(names)), list(names), **PLAIN)
    ax.set_ylim(len(names) - 0.5, -0.5)
    for row, number in enumerate(numbers):
        write(ax, 1.01, row, f"{number:,}", transform=ax.get_yaxis_transform(), va="center", color=muted(ax))


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


def characters(ax: Axes, fontsize: str = "small") -> int:
    """Return about how many characters fit along the width of a plot."""
    return max(12, int(width_in_points(ax) / (points(fontsize) * 0.56)))


def width_in_points(ax: Axes) -> float:
    """Return the width of a plot; a layout that is made later may still change it."""
    return ax.get_window_extent().width / _figure(ax).dpi * 72


def line_height(ax: Axes, fontsize: str = "small") -> float:
    """Return the height of a line of text as a part of that of a plot."""
    height = ax.get_window_extent().height / _figure(ax).dpi * 72
    return points(fontsize) * 1.25 / height


def width_of(text: str, fontsize: str = "small") -> float:
    """Return the width of a text in points."""
    size = text_to_path.get_text_width_height_descent(text, FontProperties(size=fontsize), ismath=False)
    return float(size[0])


def points_from_left(ax: Axes) -> Transform:
    """Return a transform whose x is in points from the left end of a plot, and whose y is that of the data."""
    scale = Affine2D().scale(1 / 72) + _figure(ax).dpi_scale_trans
    corner = ScaledTranslation(0, 0, ax.transAxes)  # type: ignore[arg-type]  # it is affine, and its stub says less
    return blended_transform_factory(scale + corner, ax.transData)


def points(fontsize: str) -> float:
    """Return a size of text in points."""
    return FontProperties(size=fontsize).get_size_in_points()


def key(ax: Axes, entries: Sequence[tuple[str, Look]], *, areas: bool = False) -> int:
    """Explain the looks of dots, or of areas, above a plot, and return how many lines that takes."""
    if not entries:
        return 0
    longest = max(len(name) for name, _ in entries) + 5
    columns = max(1, min(len(entries), characters(ax) // longest))
    lines = math.ceil(len(entries) / columns)
    # A legend fills column by column; people read line by line.
    order = [place for column in range(columns) for place in range(column, len(entries), columns)]
    handles = [_sample(ax, mark, areas) for _, mark in entries]
    legend = ax.legend(
        [handles[place] for place in order],
        [entries[place][0] for place in order],
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=columns,
        frameon=False,
        fontsize="small",
        borderpad=0,
        borderaxespad=0.4,
        handlelength=1,
        handletextpad=0.4,
        labelspacing=0.3,
    )
    for text in legend.get_texts():
        text.set(**PLAIN)
    return lines


def _sample(ax: Axes, mark: Look, areas: bool) -> Line2D | Patch:
    if areas:
        return Patch(facecolor=mark.colour, hatch=mark.hatch, edgecolor=paper(ax), linewidth=0)
    return Line2D([], [], linestyle="none", marker=mark.marker, color=mark.colour, markersize=marker_size(mark, 6))


def _figure(ax: Axes) -> Figure:
    figure = ax.get_figure(root=True)
    assert figure is not None, "axes that are drawn on stand on a figure"
    return figure
