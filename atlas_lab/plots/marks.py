"""What is drawn and written on a plot: rectangles, words, rows with names, the key.

Sizes of words are in points, as everything about them is in matplotlib; a plot has to have its place before how
much of it they take is known.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from atlas_lab.arguments import check_optional
from atlas_lab.errors import MissingExtraError
from atlas_lab.tables.columns import Numbers

from .lettering import PLAIN, drawable, label
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
_USUAL = 8 * 72  # points: the width of the figures that plots make
_LEAST = 10  # characters of a name, however little room there is
_TINIEST = 4.5  # points
_FEW = 3  # lines of a key
_SAMPLE = 3.4  # width of a mark with the space around it, in sizes of letters


def check_axes(ax: object) -> None:
    """Raise if that is neither Axes nor None."""
    check_optional("ax", ax, Axes, "the Axes to draw on")


def write(ax: Axes, x: float, y: float, text: str, *, up: float = 0, **options: Any) -> Text:
    """Write data on a plot, moved up by so many points."""
    text = drawable(text)
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


def size_in_rows(ax: Axes, fontsize: str = "small") -> float:
    """Return the size in points of a text of which one stands in every row: what rows as low as these have room for."""
    return max(_TINIEST, min(points(fontsize), row_height(ax) * 0.85))


def rows_for(ax: Axes | None, most: int, *, lowest: float = 6, others: int = 0) -> int:
    """Return how many rows there is room for, `most` at most, each so many points high, and some others beside them.

    Raises
    ------
    TypeError
        If `ax` is no Axes, as in all that learn from it how much room there is before anything is drawn.
    """
    check_axes(ax)
    return most if ax is None else max(1, min(most, int(height_in_points(ax) / lowest) - others))


def row_height(ax: Axes) -> float:
    """Return the height of a row, or whatever is 1 along the y axis, in points."""
    return height_in_points(ax) / float(abs(np.subtract(*ax.get_ylim())))


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


def characters(ax: Axes, fontsize: str = "small", *, over_right: bool = False) -> int:
    """Return about how many characters fit along the width of a plot, or also over what stands at its right."""
    _, width, right = widths(ax)
    return max(12, int((width + right * over_right) / (points(fontsize) * 0.6)))


def room(ax: Axes | None) -> float:
    """Return the width in points of a plot and what stands beside it: of its place, which a layout divides.

    Without a layout nobody makes room for what stands beside it.
    """
    if ax is None:
        return _USUAL
    place = ax.get_subplotspec()
    if place is None or _figure(ax).get_layout_engine() is None:
        return width_in_points(ax)
    columns = place.get_gridspec().ncols
    shares = np.array(place.get_gridspec().get_width_ratios() or [1] * columns)
    share = shares[place.colspan.start : place.colspan.stop].sum() / shares.sum()
    return float(share) * ax.figure.bbox.width * points_of_pixel(ax)


def fitting(ax: Axes | None, most: int) -> int:
    """Return how many characters a text may have that has `most` on a figure of the usual width."""
    check_axes(ax)
    return max(min(_LEAST, most), min(most, round(most * room(ax) / _USUAL)))


def widths(ax: Axes) -> tuple[float, float, float]:
    """Return how much is at the left of a plot, how wide it is, and how much is at its right, in points.

    As it will be when a layout has made room for the words that stand there so far.
    """
    names = [_widest(text) for text in ax.get_yticklabels() if text.get_text()]
    left, right = max(names, default=0) + 2 * points("small") * bool(ax.get_ylabel()), 0.0
    box = ax.get_window_extent()
    for text in ax.texts:
        if text.get_text() and text.get_in_layout():
            x = float(text.get_transform().transform(text.get_position())[0])
            before, after = (x - box.x0) * points_of_pixel(ax), (box.x1 - x) * points_of_pixel(ax)
            left = max(left, _reach(text, "right") - before)
            right = max(right, _reach(text, "left") - after)
    whole = width_in_points(ax) if _figure(ax).get_layout_engine() is None else room(ax) - left - right
    return left, whole, right


def _reach(text: Text, side: str) -> float:
    """Return how far a text reaches to the other side of its place, in points, if it stands at that `side` of it."""
    return {side: 1.0, "center": 0.5}.get(text.get_horizontalalignment(), 0.0) * _widest(text)


def _widest(text: Text) -> float:
    """Return the width of a text in points."""
    return max(width_of(line, text.get_fontsize()) for line in text.get_text().split("\n"))


def width_in_points(ax: Axes) -> float:
    """Return the width of a plot; a layout that is made later may still change it."""
    return ax.get_window_extent().width * points_of_pixel(ax)


def height_in_points(ax: Axes) -> float:
    """Return the height of a plot; a layout that is made later may still change it."""
    return ax.get_window_extent().height * points_of_pixel(ax)


def points_of_pixel(ax: Axes) -> float:
    """Return how many points a pixel of the figure is."""
    return 72 / _figure(ax).dpi


def line_height(ax: Axes, fontsize: str = "small") -> float:
    """Return the height of a line of text as a part of that of a plot."""
    return points(fontsize) * 1.25 / height_in_points(ax)


def width_of(text: str, fontsize: str | float = "small") -> float:
    """Return the width of a text in points."""
    size = text_to_path.get_text_width_height_descent(drawable(text), FontProperties(size=fontsize), ismath=False)
    return float(size[0])


def points_from_left(ax: Axes) -> Transform:
    """Return a transform whose x is in points from the left end of a plot, and whose y is that of the data."""
    scale = Affine2D().scale(1 / 72) + _figure(ax).dpi_scale_trans
    corner = ScaledTranslation(0, 0, ax.transAxes)  # type: ignore[arg-type]  # it is affine, and its stub says less
    return blended_transform_factory(scale + corner, ax.transData)


def points_from_right(ax: Axes) -> Transform:
    """Return a transform whose x is in points from the right end of a plot, and whose y is a part of its height."""
    scale = Affine2D().scale(1 / 72) + _figure(ax).dpi_scale_trans
    corner = ScaledTranslation(1, 0, ax.transAxes)  # type: ignore[arg-type]  # as above
    return blended_transform_factory(scale + corner, ax.transAxes)


def points(fontsize: str) -> float:
    """Return a size of text in points."""
    return FontProperties(size=fontsize).get_size_in_points()


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


def _figure(ax: Axes) -> Figure:
    figure = ax.get_figure(root=True)
    assert figure is not None, "axes that are drawn on stand on a figure"
    return figure
