"""Many values, few places on a plot: the most frequent ones, and one place for all others."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from atlas_lab.errors import MissingExtraError
from atlas_lab.tables.columns import Numbers

from .lettering import label, text_of
from .looks import OTHERS, Look, looks, tells_of_error

try:
    import numpy as np
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error


class Folded(NamedTuple):
    """The values that are shown.

    Attributes
    ----------
    names : list of str
        Their labels; if `others`, the last one is that of the rest.
    sizes : array of int64, one value per name
        Number of rows.
    of : array of int64, one value per row
        The place of its name.
    others : int
        Number of values that share the last name; 0 if each has its own.
    failures : list of bool, one value per name
        Whether the value, which its label may have shortened, is named for what went wrong.
    """

    names: list[str]
    sizes: Numbers
    of: Numbers
    others: int
    failures: list[bool]

    @property
    def frequent(self) -> int:
        """The place of the most frequent value."""
        return int(self.sizes[: len(self.names) - bool(self.others)].argmax()) if len(self.names) > 1 else 0

    @property
    def one_leads(self) -> bool:
        """Whether one value is more frequent than each of the others."""
        own = self.sizes[: len(self.names) - bool(self.others)]
        return len(self.names) > 1 and int((own == own.max()).sum()) == 1

    @property
    def looks(self) -> list[Look]:
        """How each is drawn."""
        own = self.failures[: len(self.names) - bool(self.others)]
        return [*looks(own), *([OTHERS] if self.others else [])]


def fold(values: pd.Series[Any], most: int, order: Literal["first", "category"] = "first", width: int = 32) -> Folded:
    """Return the values of a column that are shown, in the order of their first rows or of their categories.

    Parameters
    ----------
    values : Series
        A missing value is one like others.
    most : int
        Of more values than that, names of errors and then the most frequent are shown; one place is that of
        all others.
    order : {"first", "category"}
    width : int
        Most characters of a name.

    Examples
    --------
    >>> import pandas as pd
    >>> from atlas_lab.plots.folding import fold
    >>> folded = fold(pd.Series(["b", "b", "c", "a", "b", "d", "a"]), most=3)
    >>> folded.names, folded.sizes.tolist(), folded.of.tolist()
    (['b', 'a', '2 others'], [3, 2, 2], [0, 0, 2, 1, 0, 2, 1])
    """
    code, distinct = pd.factorize(values.array, use_na_sentinel=False)
    sizes = np.bincount(code, minlength=len(distinct))
    places = np.arange(len(distinct))
    if order == "category" and isinstance(values.dtype, pd.CategoricalDtype):
        places = np.argsort(values.dtype.categories.get_indexer(distinct), kind="stable")
    kept, others = places, 0
    errors = np.array([tells_of_error(text_of(value)) for value in distinct], bool)
    if len(distinct) > most:
        chosen = np.lexsort((np.arange(len(sizes)), -sizes, ~errors))[: most - 1]
        kept, others = places[np.isin(places, chosen)], len(distinct) - (most - 1)
    place = np.full(len(distinct), len(kept))
    place[kept] = np.arange(len(kept))
    names = [label(distinct[one], width) for one in kept.tolist()]
    if others:
        names.append(f"{others:,} others")
    of = place[code]
    failures = [*errors[kept].tolist(), *[False] * bool(others)]
    return Folded(names, np.bincount(of, minlength=len(names)), of, others, failures)
