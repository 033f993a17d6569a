"""Medians over the rounds, with 95 % bootstrap intervals. What is compared is compared within a round.

An interval tells how sure a median is in this process. Another process lays out its memory otherwise: over six of
them, ratios differed by up to 10 %, where the intervals were 1 % wide.
"""

from typing import NamedTuple

import numpy as np

DRAWS = 4000


class Interval(NamedTuple):
    """A median and its 95 % bootstrap interval."""

    median: float
    low: float
    high: float

    @property
    def width(self):
        """Width of the interval as a share of the median."""
        return (self.high - self.low) / self.median

    def scaled(self, factor):
        return Interval(*(factor * value for value in self))


def interval(values):
    """Return the median of `values` with its interval; the draws are the same each time."""
    values = np.asarray(values, dtype=float)
    draws = np.random.default_rng(0).integers(len(values), size=(DRAWS, len(values)))
    low, high = np.quantile(np.median(values[draws], axis=1), (0.025, 0.975))
    return Interval(float(np.median(values)), float(low), float(high))


def paired(function, *cells):
    """Return the interval of what `function` makes of the values of `cells`, taken within each round they share."""
    return interval(function(*_shared(cells)))


def ratio(cell, base):
    """Return how many times `base` a cell is."""
    return paired(np.divide, cell, base)


def line(cells):
    """Return intercept and slope of the cost over a number, such as that of the handlers.

    Parameters
    ----------
    cells : dict of int to Cell

    Returns
    -------
    tuple of Interval
        A line is fitted to each round, so that the relative errors are smallest: with absolute ones, the largest
        number alone would decide.
    """
    times = _shared(cells.values())
    weights = 1 / np.median(times, axis=1)
    terms = np.column_stack([np.ones(len(cells)), list(cells)]) * weights[:, None]
    fitted, *_ = np.linalg.lstsq(terms, times * weights[:, None], rcond=None)
    return tuple(interval(values) for values in fitted)


def _shared(cells):
    """Return one row per cell, one column per round that all of them have."""
    by_round = [cell.by_round() for cell in cells]
    rounds = sorted(set.intersection(*map(set, by_round)))
    return np.array([[values[number] for number in rounds] for values in by_round])
