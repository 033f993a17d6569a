"""The trees that parents and children make, over the rows of a frame of events.

They are walked in log2 rounds over whole arrays, so that neither a million small ones nor a chain of a
million events takes long.
"""

from __future__ import annotations

from typing import NamedTuple

from atlas_lab.errors import MissingExtraError

from .columns import Groups, Mask, Numbers, codes, run_codes

try:
    import numpy as np
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error


class Trees(NamedTuple):
    """The trees of a frame, one value per row of the frame."""

    parent: Numbers  # row of the parent; -1 without one, where it is not in the frame, or in a circle
    top: Numbers  # row of the uppermost event above
    level: Numbers  # number of rows above
    descendants: Numbers
    order: Numbers  # the rows in pre-order
    unknown: Mask  # whether the parent is one that the frame lacks, or part of a circle


def trees_of(events: pd.DataFrame) -> Trees:
    """Return the trees of a frame with the columns ``event_id``, ``parent_id`` and ``root_id``.

    Trees come in the order in which their roots first appear, siblings in the order of their rows. An
    event in or below a circle is a tree of its own, after all others.
    """
    parent, orphan = _parents(events)
    rows = np.arange(len(parent))
    top, level = np.where(parent < 0, rows, parent), (parent >= 0).astype(np.int64)
    for _ in range(len(rows).bit_length()):
        further = top[top]
        if np.array_equal(further, top):
            break
        level += level[top]
        top = further
    circular = parent[top] >= 0
    parent, top, level = (np.where(circular, alone, value) for alone, value in ((-1, parent), (rows, top), (0, level)))
    before, after = _tour(parent)
    roots = Groups(run_codes(events), codes(events["root_id"].array))
    rank = np.lexsort((rows, roots.first[roots.number], circular))  # of the trees, by their tops
    place = np.empty_like(rows)
    place[rank] = rows
    order = np.lexsort((-before, place[top]))
    return Trees(parent, top, level, before - 1 - after, order, (parent < 0) & ~orphan)


def _parents(events: pd.DataFrame) -> tuple[Numbers, Mask]:
    """Return the row of each parent, -1 where it is in no row of the same run, and which events have none."""
    size = len(events)
    names = pd.concat([events["event_id"], events["parent_id"]], ignore_index=True)
    name = codes(names.array)
    run = run_codes(events)
    both = Groups(name, np.concatenate([run, run]))
    first = both.first[both.number[size:]]  # rows of events come before those of parents
    orphan = name[size:] < 0
    return np.where((first < size) & ~orphan, first, -1), orphan


def _tour(parent: Numbers) -> tuple[Numbers, Numbers]:
    """Return how many events of its tree come from each on, itself included, and how many after its descendants.

    A tour of a tree enters and leaves every event; each step points at the next. Then every step
    points at what its target points at, adding up, until all point at the end of their tour.
    """
    size = len(parent)
    enter, leave = np.arange(size), np.arange(size) + size
    child = np.flatnonzero(parent >= 0)
    child = child[np.argsort(parent[child], kind="stable")]
    above = parent[child]
    eldest = np.append(True, above[1:] != above[:-1])[: len(child)]
    youngest = np.append(above[1:] != above[:-1], True)[: len(child)]
    target = np.concatenate([leave, leave])
    target[above[eldest]] = child[eldest]
    target[size + child[youngest]] = size + above[youngest]
    target[size + child[~youngest]] = child[1:][~youngest[:-1]]
    count = np.concatenate([np.ones(size, np.int64), np.zeros(size, np.int64)])
    while True:
        further = target[target]
        if np.array_equal(further, target):
            return count[enter], count[leave]
        count += count[target]
        target = further


def latest_below(at: Numbers, descendants: Numbers) -> Numbers:
    """Return the latest time of each event and its descendants, all in pre-order.

    They stand in one stretch. Round k knows the latest of each 2**k rows, and two such, which may overlap,
    cover every stretch of up to twice the length.
    """
    power = np.frexp(descendants + 1)[1] - 1
    latest = at.copy()
    table = at
    for k in range(int(power.max(initial=0)) + 1):
        rows = np.flatnonzero(power == k)
        latest[rows] = np.maximum(table[rows], table[rows + descendants[rows] + 1 - 2**k])
        table = np.maximum(table[: -(2**k)], table[2**k :])
    return latest
