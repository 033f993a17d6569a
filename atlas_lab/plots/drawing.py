"""What every plot does: take the axes that it is given or make some, say what they show, and in words too.

The sentence that a plot makes of its data is the label of its axes: `describe` reads it, Python prints it with
the axes, and a figure that the plot made carries it wherever a picture can.
"""

from __future__ import annotations

import io
import sys
import textwrap
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from atlas_lab.arguments import is_kind, refuse
from atlas_lab.errors import MissingExtraError
from atlas_lab.tables.columns import Kind
from atlas_lab.tables.comparing import HasFrames

from .lettering import PLAIN, drawable, plural
from .looks import muted
from .marks import write
from .sizes import characters, check_axes, points

try:
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
except ImportError as error:
    raise MissingExtraError("matplotlib", "lab") from error
try:
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error

_METADATA = {"png": "Description", "svg": "Description", "svgz": "Description", "pdf": "Subject"}


class DescribedFigure(Figure):
    """A figure that says in words what it shows.

    In a notebook the words are its plain text, which front ends without pictures show and nbval compares, and
    the ``alt`` of the picture, which ``jupyter nbconvert --template classic`` writes into the page. JupyterLab and other
    templates leave it out: there, ``print(describe(figure))`` below a figure tells its readers. A PNG, SVG or PDF file
    has the words in its metadata.

    Attributes
    ----------
    headline : str
        Comes before the sentences of its plots.
    """

    headline = ""

    def _repr_mimebundle_(self, **asked: object) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
        words = _words(self)
        if not words:
            return {}, {}
        return {"text/plain": words}, {"image/png": {"alt": words}}

    def _repr_png_(self) -> bytes | None:
        """Return the picture in a notebook whose backend for pyplot, which would see to it, is not there yet."""
        if "matplotlib_inline.backend_inline" in sys.modules:
            return None
        picture = io.BytesIO()
        self.savefig(picture, format="png", bbox_inches="tight")
        return picture.getvalue()

    def savefig(self, fname: Any, **kwargs: Any) -> None:
        """Save the figure as any other, its words in the metadata of formats that have a place for them."""
        suffix = PurePath(fname).suffix if isinstance(fname, str | PurePath) else ""
        kind = str(kwargs.get("format") or suffix.removeprefix(".") or mpl.rcParams["savefig.format"]).lower()
        words = _words(self)
        if kind in _METADATA and words:
            kwargs["metadata"] = {_METADATA[kind]: words} | (kwargs.get("metadata") or {})
        super().savefig(fname, **kwargs)


def describe(plot: Axes | Figure | SubFigure) -> str:
    """Return in words what a plot shows: one sentence from its data for each of its axes.

    Parameters
    ----------
    plot : Axes or Figure
        What a plot of atlas_lab returned, or the figure that it is on.

    Returns
    -------
    str
        The same for the same data. It is a picture's alternative text: figures that the plots make
        themselves carry it into notebooks and files (see `DescribedFigure`); to one of your own pass it on, as in
        ``figure.savefig("run.png", metadata={"Description": describe(figure)})``.

    Raises
    ------
    TypeError
        If `plot` is neither of the two.
    ValueError
        If nothing is drawn on it yet.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from atlas_lab import describe, load_quakes, plot_rate, to_frame
    >>> figure = Figure()
    >>> _ = plot_rate(to_frame(load_quakes()), every="1D", ax=figure.subplots())
    >>> print(describe(figure))
    1,707 events from 2018-01-31 01:49:59 to 2018-02-07 01:26:13 UTC; the busiest day began at 2018-02-04 00:00 with 301.
    """
    if not is_kind(plot, Axes | Figure | SubFigure):
        raise refuse("plot", plot, "Axes or a Figure, as a plot of atlas_lab returns it")
    words = _words(plot)
    if not words:
        raise ValueError("plot must show a plot of atlas_lab, and nothing is drawn on it yet")
    return words


def _words(plot: Axes | Figure | SubFigure) -> str:
    axes = [plot] if isinstance(plot, Axes) else plot.axes
    labels = [str(ax.get_label()) for ax in axes]
    headline = plot.headline if isinstance(plot, DescribedFigure) else ""
    return " ".join(filter(None, [headline, *(label for label in labels if not label.startswith(("<", "_")))]))


def axes_for(ax: Axes | None, width: float, height: float) -> Axes:
    """Return the axes to draw on, without spines; new ones, in inches, if there are none.

    New ones belong to pyplot, so that a notebook shows them and ``plt.show()`` too. Given axes are drawn on
    without touching pyplot, which is not safe in threads.

    Raises
    ------
    TypeError
        If `ax` is no Axes.
    """
    check_axes(ax)
    if ax is None:
        import matplotlib.pyplot as plt  # noqa: PLC0415 - choosing a backend is for those who let it make figures

        figure = plt.figure(FigureClass=DescribedFigure, figsize=(width, height), layout="constrained")
        ax = figure.subplots()
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, labelsize="small")
    ax.set_axisbelow(True)
    return ax


def frame_of(given: HasFrames | pd.DataFrame, kind: Kind, argument: str = "") -> pd.DataFrame:
    """Return one of the frames of a recording, or the frame that was given in its place.

    Raises
    ------
    TypeError
        If it is neither.
    """
    if is_kind(given, pd.DataFrame):
        return given
    try:
        frame: pd.DataFrame = getattr(given, kind)
    except Exception as error:
        wanted = f"a recording or a DataFrame of {kind}, such as recording.{kind}"
        raise refuse(argument or kind, given, wanted) from error
    return frame


def not_kept(given: object, kind: Kind) -> list[str]:
    """Return what to note about what the limit of a recording pushed out: nothing, or one note."""
    lost: int = getattr(getattr(given, "not_kept", None), kind, 0)
    nouns = {"events": "earlier event", "deliveries": "earlier handler call", "middleware": "earlier step"}
    return [f"{plural(lost, nouns[kind])} not kept by the recording"] * (lost > 0)


def finish(ax: Axes, title: str, sentence: str, notes: Sequence[str] = (), *, above: float = 0) -> Axes:
    """Say what a plot shows: its title, what was left out of it, and the sentence that `describe` returns."""
    pad = mpl.rcParams["axes.titlepad"] + above * points("small") * 1.35
    said = textwrap.fill(drawable(title), characters(ax, "medium", over_right=True))
    ax.set_title(said, loc="left", pad=pad, fontsize="medium", **PLAIN)
    ax.set_label(sentence)
    ax.xaxis.label.set_text(textwrap.fill(drawable(ax.get_xlabel()), characters(ax)).replace("\n→", "  →"))
    if notes:
        said = textwrap.fill(drawable("; ".join(notes)), characters(ax, "x-small", over_right=True))
        ax.annotate(
            said,
            xy=(0, 0),
            xycoords=("axes fraction", ax.xaxis.label),
            xytext=(0, -3),
            textcoords="offset points",
            va="top",
            fontsize="x-small",
            color=muted(ax),
            annotation_clip=False,
            **PLAIN,
        )
    return ax


def say_empty(ax: Axes, title: str, why: str) -> Axes:
    """Say in the middle of an empty plot why there is nothing to draw."""
    ax.set(xticks=[], yticks=[], xlim=(0, 1), ylim=(0, 1))
    said = textwrap.fill(why, min(48, characters(ax, "medium")))
    write(ax, 0.5, 0.5, said, ha="center", va="center", color=muted(ax), fontsize="medium")
    return finish(ax, title, f"{title}: {why}.")
