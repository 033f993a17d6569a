"""A matrix with names at its rows and columns, all of them horizontal."""

from __future__ import annotations

from atlas_lab.errors import MissingExtraError

from .looks import Colour, Options, contrasting, faint, mixed, muted, paper
from .marks import name_rows, write

try:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D
except ImportError as error:
    raise MissingExtraError("matplotlib", "lab") from error
try:
    import numpy as np
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error

_LEADING = 11  # points from a line of words to the next
_STEP = 0.5  # height of a column's name, in rows
_LIGHTEST = 0.1
_WIDEST = 4  # columns; of fewer, each is as wide as if there were so many


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
        self._cells: dict[tuple[int, int], tuple[str, float, tuple[str, ...]]] = {}

    @property
    def height(self) -> float:
        """Rows that it takes, with the names of the columns."""
        return len(self.rows) + len(self.columns) * _STEP

    @property
    def right(self) -> float:
        """Where on the x axis something can stand beside it."""
        return len(self.columns) - 0.5

    def fill(self, row: int, column: int, colour: str, part: float, *words: str) -> None:
        """Colour a cell, from 0 for hardly to 1 for fully, and write in it, below one another."""
        self._cells[row, column] = colour, part, words

    def draw(self, ax: Axes, options: Options) -> None:
        """Draw it; options are those of `matplotlib.axes.Axes.pcolormesh`."""
        shape = len(self.rows), len(self.columns)
        colours = np.full((*shape, 4), (*mixed(faint(ax), ax, 0.25), 1.0))
        for place, (colour, part, words) in self._cells.items():
            shade = mixed(colour, ax, _LIGHTEST + (1 - _LIGHTEST) * part) if part else colours[place][:3]
            colours[place] = *shade, 1
            self._write(ax, place, words, contrasting(shade) if part else muted(ax))
        edges = np.arange(shape[1] + 1) - 0.5, np.arange(shape[0] + 1) - 0.5
        style: Options = {"edgecolor": paper(ax), "linewidth": 2}
        ax.pcolormesh(*edges, colours, **(style | options))
        ax.set_xticks([])
        name_rows(ax, self.rows)
        ax.set_xlim(-0.5, max(shape[1], _WIDEST) - 0.5)
        ax.set_ylim(shape[0] - 0.5, -0.5 - (shape[1] + 0.4) * _STEP)
        for column, name in enumerate(self.columns):
            foot, y = -0.52, -0.5 - (shape[1] - column - 0.3) * _STEP
            ax.add_line(Line2D([column, column, column + 0.08], [foot, y, y], color=muted(ax), linewidth=0.7))
            write(ax, column + 0.13, y, name, va="center")

    def _write(self, ax: Axes, place: tuple[int, int], words: tuple[str, ...], colour: str | Colour) -> None:
        row, column = place
        for line, word in enumerate(words):
            style: Options = {
                "ha": "center",
                "va": "center",
                "color": colour,
                "fontsize": "x-small" if line else "small",
            }
            write(ax, column, row, word, up=_LEADING * ((len(words) - 1) / 2 - line), **style)
