"""A matrix with names at its rows and columns, all of them horizontal."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any, TypeAlias

from atlas_lab.errors import MissingExtraError

from .lettering import PLAIN
from .looks import Colour, Options, contrasting, faint, mixed, muted, paper
from .marks import name_rows, write
from .sizes import fitting, height_in_points, points, points_of_pixel, row_height, rows_for, width_in_points, width_of

try:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D
    from matplotlib.text import Text
except ImportError as error:
    raise MissingExtraError("matplotlib", "lab") from error
try:
    import numpy as np
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error

_LEADING = 1.3  # height of a line of words, in sizes of its letters
_STEP = 0.5  # height of a column's name, in rows, if that has room for it
_LOWEST = 8.5  # points, of a row or of the name of a column
_TINIEST = 4.5
_READABLE = 0.9  # of extra small text: below, fewer words
_LIGHTEST = 0.1
_WIDEST = 4  # columns; of fewer, each is as wide as if there were so many


Words: TypeAlias = tuple[str, ...]
Choice: TypeAlias = tuple[int, float]

_FORMS: list[Callable[[Words], str]] = ["\n".join, "  ".join, itemgetter(0)]


class Matrix:
    """Cells with words in them, on a colour that is the stronger the more of something there is.

    Parameters
    ----------
    rows, columns : list of str
        Their names, as they are written.
    """

    def __init__(self, rows: list[str], columns: list[str]) -> None:
        self.rows = rows
        self.columns = columns
        self._cells: dict[tuple[int, int], tuple[str, float, Words]] = {}
        self._choices: dict[tuple[float, float], Choice] = {}

    @staticmethod
    def most(ax: Axes | None, limit: int) -> int:
        """Return how many rows, and as many columns, there is room for, `limit` at most."""
        return rows_for(ax, limit, lowest=2 * _LOWEST)

    @property
    def height(self) -> float:
        """Rows that it takes, with the names of the columns."""
        return len(self.rows) + len(self.columns) * _STEP

    @property
    def right(self) -> float:
        """Where on the x axis something can stand beside it."""
        return len(self.columns) - 0.5

    def beside(self, ax: Axes, most: int) -> int:
        """Return how many characters of extra small text fit beside it: `most` if its columns take all of a usual plot."""
        free = max(0, _WIDEST - len(self.columns)) / _WIDEST * width_in_points(ax)
        return fitting(ax, most) + int(free / (points("x-small") * 0.6))

    def fill(self, row: int, column: int, colour: str, part: float, *words: str) -> None:
        """Colour a cell, from 0 for hardly to 1 for fully, and write in it, below one another."""
        self._cells[row, column] = colour, part, words

    def draw(self, ax: Axes, options: Options) -> None:
        """Draw it; options are those of `matplotlib.axes.Axes.pcolormesh`."""
        shape = len(self.rows), len(self.columns)
        colours = np.full((*shape, 4), (*mixed(faint(ax), ax, 0.25), 1.0))
        for (row, column), (colour, part, words) in self._cells.items():
            shade = mixed(colour, ax, _LIGHTEST + (1 - _LIGHTEST) * part) if part else colours[row, column][:3]
            colours[row, column] = *shade, 1
            ink = contrasting(shade) if part else muted(ax)
            ax.add_artist(CellWords(ax, row, column, words, ink, self._choose))
        edges = np.arange(shape[1] + 1) - 0.5, np.arange(shape[0] + 1) - 0.5
        style: Options = {"edgecolor": paper(ax), "linewidth": 2}
        ax.pcolormesh(*edges, colours, **(style | options))
        ax.set_xticks([])
        step = self._step(ax)
        name_rows(ax, self.rows, top=-0.5 - (shape[1] + 0.4) * step)
        ax.set_xlim(-0.5, max(shape[1], _WIDEST) - 0.5)
        size = min(points("small"), step * row_height(ax) * 0.85)
        for column, name in enumerate(self.columns):
            foot, y = -0.52, -0.5 - (shape[1] - column - 0.3) * step
            ax.add_line(Line2D([column, column, column + 0.08], [foot, y, y], color=muted(ax), linewidth=0.7))
            write(ax, column + 0.13, y, name, va="center", fontsize=size)

    def _choose(self, width: float, height: float) -> Choice:
        """Return the form of words for which all cells of that size have room, and the size of the text."""
        if (width, height) not in self._choices:
            all_words = {words for *_, words in self._cells.values()}
            sizes = [min(_size(form(words), width, height) for words in all_words) for form in _FORMS]
            fit = (place for place, size in enumerate(sizes) if size >= points("x-small") * _READABLE)
            form = next(fit, len(_FORMS) - 1)
            self._choices[width, height] = form, sizes[form]
        return self._choices[width, height]

    def _step(self, ax: Axes) -> float:
        """Return the height of a column's name, in rows: on a low plot, the rows make room for it."""
        names = len(self.columns) + 0.4
        height = height_in_points(ax)
        if height / (len(self.rows) + names * _STEP) * _STEP >= _LOWEST:
            return _STEP
        return _LOWEST / max((height - names * _LOWEST) / len(self.rows), _LOWEST)


class CellWords(Text):
    """Words in a cell: below one another, or beside one another, or only the first, and as large as there is room for.

    How large a cell is nobody knows before it is drawn, when a layout has made room for whatever stands beside it.

    Parameters
    ----------
    ax : Axes
    row, column : int
    words : tuple of str
        The first is the most important.
    colour : colour
    choose : callable of a width and a height, in points
        Returns which of the three it is, and the size of the text.
    """

    def __init__(
        self, ax: Axes, row: int, column: int, words: Words, colour: str | Colour, choose: Callable[..., Choice]
    ) -> None:
        style: Options = {"ha": "center", "va": "center", "color": colour, "fontsize": "small"}
        super().__init__(column, row, _FORMS[0](words), transform=ax.transData, linespacing=_LEADING, **(PLAIN | style))
        self.words = words
        self._plot = ax
        self._choose = choose
        self.set_in_layout(False)

    def draw(self, renderer: Any) -> None:
        """Draw what fits."""
        column, row = self.get_position()
        corners = self._plot.transData.transform([(column - 0.5, row - 0.5), (column + 0.5, row + 0.5)])
        width, height = np.abs(corners[1] - corners[0]) * points_of_pixel(self._plot) - 3
        form, size = self._choose(round(float(width), 1), round(float(height), 1))
        self.set_text(_FORMS[form](self.words) if size >= _TINIEST else "")
        self.set_fontsize(max(size, _TINIEST))
        super().draw(renderer)


def _size(text: str, width: float, height: float) -> float:
    """Return the size in points that a text may have, at most that of small text."""
    lines, small = text.split("\n"), points("small")
    widest = max(width_of(line) for line in lines)
    return small * min(1.0, width / widest, height / (small * (_LEADING * (len(lines) - 1) + 1)))
