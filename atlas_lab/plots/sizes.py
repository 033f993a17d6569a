"""How much room there is on a plot and beside it, and how much of it words take.

Sizes of words are in points, as everything about them is in matplotlib. A plot has to have its place before that is known,
and a layout may change it later: what is told here of a plot with a layout is what that will make of it.
"""

from __future__ import annotations

from atlas_lab.arguments import check_optional
from atlas_lab.errors import MissingExtraError

from .lettering import drawable

try:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties
    from matplotlib.text import Text
    from matplotlib.textpath import text_to_path
    from matplotlib.transforms import Affine2D, ScaledTranslation, Transform, blended_transform_factory
except ImportError as error:
    raise MissingExtraError("matplotlib", "lab") from error
try:
    import numpy as np
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error

_USUAL = 8 * 72  # points: the width of the figures that plots make
_LEAST = 10  # characters of a name, however little room there is
_TINIEST = 4.5  # points


def check_axes(ax: object) -> None:
    """Raise if that is neither Axes nor None."""
    check_optional("ax", ax, Axes, "the Axes to draw on")


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
    if place is None or figure_of(ax).get_layout_engine() is None:
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
    whole = width_in_points(ax) if figure_of(ax).get_layout_engine() is None else room(ax) - left - right
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
    return 72 / figure_of(ax).dpi


def line_height(ax: Axes, fontsize: str = "small") -> float:
    """Return the height of a line of text as a part of that of a plot."""
    return points(fontsize) * 1.25 / height_in_points(ax)


def width_of(text: str, fontsize: str | float = "small") -> float:
    """Return the width of a text in points."""
    size = text_to_path.get_text_width_height_descent(drawable(text), FontProperties(size=fontsize), ismath=False)
    return float(size[0])


def points_from_left(ax: Axes) -> Transform:
    """Return a transform whose x is in points from the left end of a plot, and whose y is that of the data."""
    scale = Affine2D().scale(1 / 72) + figure_of(ax).dpi_scale_trans
    corner = ScaledTranslation(0, 0, ax.transAxes)  # type: ignore[arg-type]  # it is affine, and its stub says less
    return blended_transform_factory(scale + corner, ax.transData)


def points_from_right(ax: Axes) -> Transform:
    """Return a transform whose x is in points from the right end of a plot, and whose y is a part of its height."""
    scale = Affine2D().scale(1 / 72) + figure_of(ax).dpi_scale_trans
    corner = ScaledTranslation(1, 0, ax.transAxes)  # type: ignore[arg-type]  # as above
    return blended_transform_factory(scale + corner, ax.transAxes)


def points_up(ax: Axes, up: float) -> Transform:
    """Return a transform that moves something up by so many points."""
    return ScaledTranslation(0, up / 72, figure_of(ax).dpi_scale_trans)


def points(fontsize: str) -> float:
    """Return a size of text in points."""
    return FontProperties(size=fontsize).get_size_in_points()


def figure_of(ax: Axes) -> Figure:
    """Return the figure that a plot is on, also if it is on a part of one."""
    figure = ax.get_figure(root=True)
    assert figure is not None, "axes that are drawn on stand on a figure"
    return figure
