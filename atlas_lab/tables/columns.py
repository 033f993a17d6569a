"""What every table needs of a frame: columns that are checked, rows in groups, percentiles of a group.

Times are whole numbers of nanoseconds here, and a missing one is the least of them, as it is in NumPy.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal, TypeAlias

from atlas_lab.arguments import check_kind, is_kind, refuse
from atlas_lab.errors import MissingExtraError

try:
    import numpy as np
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error

Numbers: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"
Shares: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"
Mask: TypeAlias = "np.ndarray[Any, np.dtype[np.bool_]]"
Column: TypeAlias = Any  # pandas-stubs has no public name for "array or extension array"
Kind: TypeAlias = Literal["events", "deliveries", "middleware"]

NAT: int = int(np.iinfo(np.int64).min)
LATEST: int = int(np.iinfo(np.int64).max)

_WHERE = {
    "events": "to_frame(bus) or recording.events",
    "deliveries": "recording.deliveries",
    "middleware": "recording.middleware",
}
_HINTS = {
    "timestamp": "times in UTC, as to_frame gives them",
    "duration": "durations, as recording.deliveries has them",
    "own": "durations, as recording.deliveries has them",
    "start": "times since the recording began, as recording.deliveries has them",
}


def check_frame(frame: object, kind: Kind, needed: tuple[str, ...], argument: str = "") -> None:
    """Raise if `frame` is no frame of that kind with the `needed` columns, each of them once.

    Raises
    ------
    TypeError
        If it is not a DataFrame.
    ValueError
        If a column is missing or its name repeats. The message says which frame to pass.
    """
    argument = argument or kind
    if not is_kind(frame, pd.DataFrame):
        raise refuse(argument, frame, f"a DataFrame of {kind}, such as {_WHERE[kind]}")
    for name in needed:
        found = list(frame.columns).count(name)
        if found != 1:
            problem = f"has the column {name!r} {found} times" if found else f"lacks the column {name!r}"
            raise ValueError(
                f"{argument} {problem}; pass a frame of {kind}, such as {_WHERE[kind]}. Columns: {_names(frame)}"
            )


def check_column(frame: pd.DataFrame, argument: str, name: str, taken: tuple[str, ...] = ()) -> None:
    """Raise if `name`, the value of `argument`, is not one column of `frame`, or the table has a column of that name.

    Raises
    ------
    TypeError
        If it is not a str.
    ValueError
        If there is no such column, two of them, or it is one of `taken`.
    """
    check_kind(argument, name, str, "the name of a column")
    found = list(frame.columns).count(name)
    if found > 1:
        raise ValueError(f"{argument} must name one column, and {name!r} is the name of {found}; rename them")
    if not found:
        hint = "; to_frame(..., data='expand') makes a column data.<key> of each key of the payloads"
        raise ValueError(f"{argument} must be the name of a column, got {name!r}. Columns: {_names(frame)}{hint}")
    if name in taken:
        raise ValueError(f"{argument} must not be {name!r}, which the table has already; rename the column")


def _names(frame: pd.DataFrame) -> str:
    names = ", ".join(map(str, frame.columns))
    return names if len(names) <= 600 else f"{names[:600]} ..."


def nanoseconds(frame: pd.DataFrame, name: str) -> Numbers:
    """Return a column of times or durations as nanoseconds, `NAT` where it is missing.

    Raises
    ------
    ValueError
        If the column holds something else.
    """
    column = frame[name]
    aware = isinstance(column.dtype, pd.DatetimeTZDtype)
    if not (aware if name == "timestamp" else pd.api.types.is_timedelta64_dtype(column.dtype)):
        raise ValueError(f"column {name!r} must hold {_HINTS[name]}, got dtype {column.dtype}")
    values: Numbers = (column.dt.tz_convert(None) if aware else column).dt.as_unit("ns").to_numpy().view(np.int64)
    return values


def in_time(events: pd.DataFrame) -> pd.DataFrame:
    """Return events in the order of their timestamps, those without one last.

    A bus numbers an event of a scope when it comes up from there: after those that its handlers in the scope published.
    """
    at = nanoseconds(events, "timestamp")
    at = np.where(at == NAT, LATEST, at)
    return events if (at[1:] >= at[:-1]).all() else events.iloc[np.argsort(at, kind="stable")]


def gap(later: Numbers, earlier: Numbers) -> Numbers:
    """Return the time between two moments, `NAT` where one of them is missing."""
    return np.where((later == NAT) | (earlier == NAT), NAT, later - np.where(earlier == NAT, 0, earlier))


def durations(values: Numbers) -> Column:
    """Return nanoseconds as an array of timedelta64."""
    return values.astype(np.int64, copy=False).view("m8[ns]")


def moments(values: Numbers) -> pd.DatetimeIndex:
    """Return nanoseconds since the epoch as times in UTC."""
    return pd.DatetimeIndex(values.astype(np.int64, copy=False).view("M8[ns]"), tz="UTC")


def text(values: list[str]) -> Column:
    """Return an array of dtype str."""
    return pd.array(values, dtype="str")


def category(frame: pd.DataFrame, name: str) -> pd.Categorical:
    """Return a column as categories: its own, or its distinct values, sorted where they can be."""
    values = frame[name].array
    try:
        return values if isinstance(values, pd.Categorical) else pd.Categorical(values)
    except TypeError as error:
        raise _ungroupable(frame, name) from error


def codes(values: Any) -> Numbers:
    """Return a number for each value, equal for equal values and -1 for a missing one."""
    if isinstance(values, pd.Categorical):
        return np.asarray(values.codes, np.int64)
    return np.asarray(pd.factorize(values)[0], np.int64)


def column_codes(frame: pd.DataFrame, name: str) -> Numbers:
    """Return the `codes` of a column.

    Raises
    ------
    ValueError
        If its values cannot be told apart, as lists and dicts cannot.
    """
    try:
        return codes(frame[name].array)
    except TypeError as error:
        raise _ungroupable(frame, name) from error


def _ungroupable(frame: pd.DataFrame, name: str) -> ValueError:
    kinds = sorted({type(value).__name__ for value in frame[name] if getattr(type(value), "__hash__", None) is None})
    return ValueError(
        f"column {name!r} cannot tell groups apart, because it holds values of type {' and '.join(kinds) or 'unknown'}; "
        "name a column of text, numbers or truth values"
    )


def run_codes(frame: pd.DataFrame) -> Numbers:
    """Return a number for the run of each row; all alike in a frame without a column for it."""
    return column_codes(frame, "run") if "run" in frame else np.zeros(len(frame), np.int64)


class Groups:
    """Rows with equal keys, the groups numbered in the order of their first rows.

    Parameters
    ----------
    *keys : arrays of int64, one value per row
        Codes of -1 or more. Rows belong together if all their codes are equal, missing ones (-1) too.

    Attributes
    ----------
    number : array of int64, one value per row
        The group of the row.
    size : array of int64, one value per group
        How many rows it has.
    start : array of int64, one value per group
        At which place in `order` its rows begin.
    """

    def __init__(self, *keys: Numbers) -> None:
        number = keys[0]
        for key in keys[1:]:  # numbered anew at each step, so that the product of two codes fits
            number = codes(number) * (key.max(initial=-1) + 2) + key + 1
        self.number = codes(number)
        self.size: Numbers = np.bincount(self.number)
        self.start: Numbers = np.concatenate([[0], np.cumsum(self.size)[:-1]])[: len(self.size)].astype(np.int64)

    @cached_property
    def order(self) -> Numbers:
        """The rows by group, within a group in the order of the frame."""
        return np.argsort(self.number, kind="stable")

    @property
    def first(self) -> Numbers:
        """The first row of each group."""
        return self.order[self.start]

    @property
    def place(self) -> Numbers:
        """Number of rows of the same group before each row."""
        place = np.empty(len(self.number), np.int64)
        place[self.order] = np.arange(len(place)) - self.start[self.number[self.order]]
        return place

    def neighbours(self) -> tuple[Numbers, Numbers]:
        """Return the rows that follow one another in a group: the earlier ones, and with each its next."""
        number = self.number[self.order]
        same = number[1:] == number[:-1]
        return self.order[:-1][same], self.order[1:][same]

    def count(self, mask: Mask) -> Numbers:
        """Return how many rows of each group `mask` holds."""
        return np.bincount(self.number[mask], minlength=len(self.size)).astype(np.int64)

    def sum(self, values: Numbers) -> Numbers:
        """Return the sum of each group, in whole numbers; a missing value counts as 0."""
        return self._reduce(np.add, np.where(values == NAT, 0, values))

    def max(self, values: Numbers) -> Numbers:
        """Return the greatest value of each group, `NAT` where all are missing."""
        return self._reduce(np.maximum, values)

    def min(self, values: Numbers) -> Numbers:
        """Return the least value of each group, `NAT` where all are missing."""
        least = self._reduce(np.minimum, np.where(values == NAT, LATEST, values))
        return np.where(least == LATEST, NAT, least)

    def _reduce(self, function: np.ufunc, values: Numbers) -> Numbers:
        return np.asarray(function.reduceat(values[self.order], self.start), np.int64)

    def percentiles(self, values: Numbers, *percents: int) -> list[Numbers]:
        """Return percentiles of the values of each group, `NAT` where all are missing.

        The one of p percent is the least value that p percent of them, or more, do not exceed: NumPy's
        method "inverted_cdf". It is a value that occurred, and does not depend on floats.
        """
        ascending = values[np.lexsort((values, self.number))]
        missing = self.count(values == NAT)  # they sort first
        known = self.size - missing
        empty = known == 0
        rank = [(percent * known + 99) // 100 - 1 for percent in percents]
        places = [np.where(empty, self.start, self.start + missing + place) for place in rank]
        return [np.where(empty, NAT, ascending[place]) for place in places]
