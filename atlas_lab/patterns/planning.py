"""Work cut into units, and the order in which units can be run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import Any, TypeVar

from .units import Unit

T = TypeVar("T")


def planned(units: Iterable[Unit], done: Mapping[str, object]) -> tuple[dict[str, Unit], TopologicalSorter[str]]:
    """Return units by name, and in which order they can be run; those that are done, as done.

    Raises
    ------
    TypeError, ValueError
        If they are no units, or cannot be put in order.
    """
    every: dict[str, Unit] = {}
    if not isinstance(units, Iterable):
        raise TypeError(f"units must be an iterable of Unit, got {type(units).__name__}")
    for unit in units:
        if not isinstance(unit, Unit):
            raise TypeError(f"units must be instances of Unit, got {type(unit).__name__} {unit!r:.80}")
        if unit.name in every:
            raise ValueError(f"two units have the name {unit.name!r}; each needs one of its own")
        every[unit.name] = unit
    for unit in every.values():
        if unknown := [need for need in unit.needs if need not in every and need not in done]:
            raise ValueError(f"unit {unit.name!r} needs {unknown[0]!r}, which is none of: {', '.join(every)}")
    left = {name: [need for need in unit.needs if need not in done] for name, unit in every.items() if name not in done}
    sorter = TopologicalSorter(left)
    try:
        sorter.prepare()
    except CycleError as error:
        circle = " > ".join(reversed(error.args[1]))
        raise ValueError(f"units need each other in a circle, so none can be first: {circle}") from error
    return every, sorter


def split(items: Sequence[T], parts: int) -> list[Sequence[T]]:
    """Return consecutive parts of a sequence, an array or a DataFrame, whose lengths differ by one at most.

    Parameters
    ----------
    items : sequence
        Anything with a length that can be sliced.
    parts : int
        If there are fewer items, there are as many parts as items.

    Examples
    --------
    >>> from atlas_lab.patterns import split
    >>> split("abcdefg", 3)
    ['ab', 'cd', 'efg']
    """
    if type(parts) is not int or parts < 1:
        raise ValueError(f"parts must be an int of 1 or more, got {parts!r:.80}")
    count = len(items)
    parts = min(parts, count)
    cuts = [place * count // parts for place in range(parts + 1)] if parts else []
    return [items[start:end] for start, end in pairwise(cuts)]


def map_reduce(
    function: Callable[[Any], object],
    items: Sequence[Any],
    parts: int,
    combine: Callable[..., object],
    name: str = "part",
) -> list[Unit]:
    """Return units that apply a function to parts of the items, and one, ``combined``, that joins their results.

    Parameters
    ----------
    function : callable of a part
    items : sequence
        As for `split`.
    parts : int
    combine : callable of the results, in order
    name : str, default "part"
        The units are ``part-1``, ``part-2`` and so on.

    Examples
    --------
    >>> from atlas_lab.patterns import map_reduce
    >>> [unit.name for unit in map_reduce(sum, [1, 2, 3], 2, max)]
    ['part-1', 'part-2', 'combined']
    """
    units = [Unit(f"{name}-{place}", function, (part,)) for place, part in enumerate(split(items, parts), start=1)]
    return [*units, Unit("combined", combine, needs=tuple(unit.name for unit in units))]
