"""What marks of a plot look like: colours that colour-blind people tell apart, and a shape beside each.

The colours are those of M. Okabe and K. Ito, Color Universal Design (2008). None stands alone: dots have shapes,
lines have dashes, areas have hatches. Greys come from the style in use, so that a dark one stays dark.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count, cycle
from typing import Any, NamedTuple, TypeAlias

from atlas_lab.errors import MissingExtraError

try:
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.colors import to_rgb
except ImportError as error:
    raise MissingExtraError("matplotlib", "lab") from error

Colour: TypeAlias = tuple[float, float, float]
Options: TypeAlias = dict[str, Any]
"""Keyword arguments of matplotlib."""

Dash: TypeAlias = "str | tuple[float, tuple[float, ...]]"

BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
SKY, VERMILION = "#56B4E9", "#D55E00"
ERROR = VERMILION
"""Kept for what went wrong."""


class Look(NamedTuple):
    """How one of several things is drawn."""

    colour: str
    marker: str
    dash: Dash = "-"
    hatch: str = ""


_COLOURS = [BLUE, ORANGE, GREEN, PURPLE, SKY]
_MARKERS = ["o", "s", "^", "D", "v", "P", "*", "<", "p", ">", "h"]
_ERROR_MARKERS = ["X", "d", "8"]
_DASHES: list[Dash] = ["-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (6, 1.5, 1.5, 1.5)), (0, (3, 1, 1, 1, 1, 1)), (0, (9, 3))]
_SCALES = {"s": 0.88, "D": 0.78, "d": 1.05, "^": 1.05, "v": 1.05, "<": 1.05, ">": 1.05, "*": 1.35, "P": 1.1, "X": 1.15}

OTHERS = Look("0.5", "x", ":")
"""The look of all that have none of their own."""


def look(place: int) -> Look:
    """Return the look of the thing at a place; no two of the first 55 have both colour and shape in common."""
    return Look(_COLOURS[place % len(_COLOURS)], _MARKERS[place % len(_MARKERS)], _DASHES[place % len(_DASHES)])


def looks(failures: Iterable[bool]) -> list[Look]:
    """Return a look for each of several things; failures have the colour of errors, and shapes of their own."""
    places, shapes = count(), cycle(_ERROR_MARKERS)
    return [
        look(next(places))._replace(colour=ERROR, marker=next(shapes)) if failed else look(next(places))
        for failed in failures
    ]


def tells_of_error(name: str) -> bool:
    """Return whether a name, such as that of an event type, is one for what went wrong."""
    return "ERROR" in name.upper() or "FAILED" in name.upper()


def marker_size(mark: Look, size: float) -> float:
    """Return the size with which a marker looks as large as a dot of that size."""
    return size * _SCALES.get(mark.marker, 1.0)


def ink() -> Colour:
    """Return the colour of text in the style in use."""
    return to_rgb(mpl.rcParams["text.color"])


def paper(ax: Axes) -> Colour:
    """Return the colour behind a plot; where it is transparent, that of the style in use."""
    for colour in (ax.get_facecolor(), mpl.rcParams["axes.facecolor"], mpl.rcParams["figure.facecolor"]):
        rgba = mpl.colors.to_rgba(colour)
        if rgba[3]:
            return rgba[:3]
    return (1.0, 1.0, 1.0)


def mixed(colour: str | Colour, ax: Axes, part: float) -> Colour:
    """Return a colour with so much of it, from 0 to 1, on the colour behind the plot."""
    red, green, blue = (over * part + under * (1 - part) for over, under in zip(to_rgb(colour), paper(ax), strict=True))
    return red, green, blue


def muted(ax: Axes) -> Colour:
    """Return the colour of what is said quietly; it keeps a contrast of 4.5 in light and dark styles."""
    return mixed(ink(), ax, 0.6)


def faint(ax: Axes) -> Colour:
    """Return the colour of lines and areas that only lead the eye."""
    return mixed(ink(), ax, 0.16)


def contrasting(colour: Colour) -> str:
    """Return black or white, whichever reads better on a colour."""
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "black" if luminance > 0.179 else "white"
