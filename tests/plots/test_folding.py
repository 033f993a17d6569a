"""The most frequent values have a place each, all others share one."""

import numpy as np
import pandas as pd
import pytest

from atlas_lab.plots.folding import fold
from atlas_lab.plots.looks import ERROR, OTHERS

VALUES = pd.Series(["b", "b", "c", "a", "b", "d", "a", None], dtype=pd.CategoricalDtype(["a", "b", "c", "d", "e"]))


@pytest.mark.parametrize("most", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("order", ["first", "category"])
def test_no_row_is_lost(most, order):
    """Every row has a place, and the numbers beside the places add up."""
    folded = fold(VALUES, most, order)
    assert len(folded.names) <= most
    assert folded.sizes.tolist() == np.bincount(folded.of, minlength=len(folded.names)).tolist()
    assert folded.sizes.sum() == len(VALUES)
    assert bool(folded.others) == (most < 5)


def test_places_come_in_the_order_asked_for():
    """Lanes follow time, and types the order of their categories, so that a type looks alike in every plot."""
    assert fold(VALUES, 9).names == ["b", "c", "a", "d", "(none)"]
    assert fold(VALUES, 9, "category").names == ["(none)", "a", "b", "c", "d"]
    assert fold(VALUES, 3).names == ["b", "a", "3 others"]


def test_errors_are_shown_however_rare():
    """What went wrong is not among the others while there is a place for it."""
    kinds = pd.Series(["CHUNK"] * 9 + ["STARTED"] * 5 + ["STREAM_ERROR"])
    folded = fold(kinds, 2)
    assert folded.names == ["STREAM_ERROR", "2 others"]
    assert [look.colour for look in folded.looks] == [ERROR, OTHERS.colour]


def test_the_most_frequent_value_is_not_the_rest():
    """A sentence names a value, not what is left over."""
    folded = fold(pd.Series(list("aaabbcdefgh")), 3)
    assert folded.sizes[-1] > folded.sizes[0]
    assert folded.names[folded.frequent] == "a"
    assert fold(pd.Series(["x"]), 1).frequent == 0


def test_no_value_leads_where_two_are_as_frequent():
    """A sentence does not name one of several as the most frequent."""
    assert fold(pd.Series(list("aab")), 9).one_leads
    assert not fold(pd.Series(list("aabb")), 9).one_leads
    assert not fold(pd.Series(list("aaa")), 9).one_leads
