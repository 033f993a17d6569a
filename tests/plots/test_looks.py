"""Nothing on a plot is told by colour alone."""

import itertools

import pytest
from matplotlib import style as styles
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.markers import MarkerStyle

from atlas_lab.plots.looks import ERROR, contrasting, look, looks, muted, tells_of_error


def luminance(colour):
    """Relative luminance, as the Web Content Accessibility Guidelines define it."""
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))


def contrast(one, two):
    low, high = sorted([luminance(one), luminance(two)])
    return (high + 0.05) / (low + 0.05)


def test_looks_differ_in_more_than_colour():
    """Of types with one colour, each has another shape; every shape is one that matplotlib has."""
    many = [look(place) for place in range(55)]
    assert len({(one.colour, one.marker) for one in many}) == 55
    assert all(one.marker != two.marker for one, two in itertools.pairwise(many))
    assert all(MarkerStyle(one.marker).is_filled() for one in many)


def test_errors_have_the_colour_of_errors_and_nothing_else_has():
    """A glance finds what went wrong."""
    chosen = looks(
        map(tells_of_error, ["STREAM_CHUNK", "STREAM_ERROR", "Order.PAYMENT_FAILED", "HANDLER_ERROR"] + ["x"] * 20)
    )
    assert [one.colour == ERROR for one in chosen] == [False, True, True, True] + [False] * 20
    assert len({one.marker for one in chosen[1:4]}) == 3


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_quiet_words_can_be_read(style):
    """Notes have a contrast of 4.5 to what is behind them, in light and dark styles."""
    with styles.context(style):
        ax = Figure().subplots()
        assert contrast(muted(ax), ax.get_facecolor()[:3]) >= 4.5


@pytest.mark.parametrize("colour", ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "0.5", "1", "0"])
def test_words_on_a_colour_can_be_read(colour):
    """Of black and white, words take the one with the better contrast."""
    other = {"black": "white", "white": "black"}[contrasting(to_rgb(colour))]
    assert contrast(contrasting(to_rgb(colour)), colour) >= contrast(other, colour)
