"""Tables of what caused what: the trees that parents and children make, in rows or as text."""

from __future__ import annotations

from atlas_lab.arguments import check_count, check_kind, check_text
from atlas_lab.errors import MissingExtraError

from .columns import (
    NAT,
    Column,
    Groups,
    Mask,
    Numbers,
    category,
    check_frame,
    codes,
    durations,
    gap,
    nanoseconds,
    run_codes,
    text,
)
from .trees import Trees, latest_below, trees_of

try:
    import numpy as np
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error

_NEEDED = ("event_id", "parent_id", "root_id", "depth", "type", "timestamp")
_DOUBLINGS = 4
LONGEST_PATH = 2**_DOUBLINGS
"""A path names at most this many types; of a longer one, the last."""

_DAY = 86_400_000_000_000
_UNITS = [
    ("ns", 1, 1000), ("us", 1_000, 1000), ("ms", 1_000_000, 1000), ("s", 1_000_000_000, 60),
    ("min", 60_000_000_000, 60), ("h", 3_600_000_000_000, 24), ("d", _DAY, 1000),
]  # fmt: skip


def causality(events: pd.DataFrame) -> pd.DataFrame:
    """Return the events in the order of their causes: each followed by all that it led to.

    Parameters
    ----------
    events : DataFrame, one row per event
        As `to_frame` or ``recording.events`` gives it, also filtered. Needs ``event_id``, ``parent_id``,
        ``root_id``, ``depth``, ``type`` and ``timestamp``.

    Returns
    -------
    DataFrame, one row per event
        =========== =============== ===================================================================
        column      dtype
        =========== =============== ===================================================================
        root_id     str
        event_id    str
        parent_id   str
        type        category
        depth       int32           number of events above it
        children    int64           events published by its handlers
        descendants int64           these, theirs, and so on
        path        str             types from the root to the event: ``A/B/C``
        span        timedelta64[ns] from the event to the latest of its descendants; 0 without any
        =========== =============== ===================================================================

        Trees come in the order of their first row, siblings in the order of their rows.

    Raises
    ------
    TypeError
        If `events` is not a DataFrame.
    ValueError
        If a column is missing.

    Notes
    -----
    What is not in the frame, such as a parent that was filtered out or that a bounded history pushed
    out, is not counted, and is ``…`` in a path: ``…/C``. So is the beginning of a path of more than 16
    types. Events whose parents run in a circle have no tree: they come last, each by itself.

    Examples
    --------
    >>> from atlas_lab import Event, EventType, causality, to_frame
    >>> ask = Event(EventType.RETRIEVAL_STARTED, id="a", timestamp=1.0)
    >>> other = Event(EventType.SYSTEM_HEALTH, id="x", timestamp=1.5)
    >>> found = Event(EventType.RETRIEVAL_COMPLETED, id="b", parent_id="a", timestamp=2.0)
    >>> causality(to_frame([ask, other, found]))[["event_id", "descendants", "path", "span"]]
      event_id  descendants                           path            span
    0        a            1              RETRIEVAL_STARTED 0 days 00:00:01
    1        b            0  RETRIEVAL_STARTED/RETRIEVAL_C... 0 days 00:00:00
    2        x            0                  SYSTEM_HEALTH 0 days 00:00:00
    """
    check_frame(events, "events", _NEEDED)
    trees = trees_of(events)
    order = trees.order
    kind = category(events, "type")
    at = nanoseconds(events, "timestamp")[order]
    children = np.bincount(trees.parent[trees.parent >= 0], minlength=len(order)).astype(np.int64)
    columns = {name: events[name].array.take(order) for name in ("root_id", "event_id", "parent_id")}
    return pd.DataFrame(
        {
            **columns,
            "type": kind.take(order),
            "depth": events["depth"].to_numpy(np.int32)[order],
            "children": children[order],
            "descendants": trees.descendants[order],
            "path": _paths(kind, trees)[order],
            "span": durations(gap(latest_below(at, trees.descendants[order]), at)),
        }
    )


def causality_tree(events: pd.DataFrame, root: str | None = None, *, limit: int = 200, ids: bool = True) -> str:
    """Return the trees of causes as text to print: one line per event, below the event that caused it.

    Parameters
    ----------
    events : DataFrame, one row per event
        As for `causality`; ``source`` is shown if it is there.
    root : str, optional
        Id of an event: only it and what it led to are shown. By default all trees are. The id of a root
        that is not in the frame shows what is left of its tree. If several runs have it, the first is shown.
    limit : int, 1 or more
        Most events to show. A last line tells what was cut.
    ids : bool, default True
        Whether the line of a root ends with its id. Without ids, the trees of two runs can be compared.

    Returns
    -------
    str
        Each line has the type and the source; that of a root its id, which `root` takes, and any other
        how long after its root it came.

    Raises
    ------
    TypeError
        If `events` is not a DataFrame, `root` not a str, `limit` not an int, or `ids` not a bool.
    ValueError
        If a column is missing, no event has the id `root`, or `limit` is below 1.

    Examples
    --------
    >>> from atlas_lab import Event, EventType, causality_tree, to_frame
    >>> task = Event(EventType.AGENT_TASK_ASSIGNED, source="boss", id="a", timestamp=0.0)
    >>> look = Event(EventType.RETRIEVAL_STARTED, source="worker", id="b", timestamp=0.25, parent_id="a")
    >>> found = Event(EventType.RETRIEVAL_COMPLETED, source="index", timestamp=1.5, parent_id="b")
    >>> done = Event(EventType.AGENT_TASK_COMPLETED, source="worker", timestamp=90.0, parent_id="a")
    >>> print(causality_tree(to_frame([task, look, found, done])))
    AGENT_TASK_ASSIGNED  boss  a
    ├─ RETRIEVAL_STARTED  worker  +250 ms
    │  └─ RETRIEVAL_COMPLETED  index  +1.5 s
    └─ AGENT_TASK_COMPLETED  worker  +1.5 min
    """
    check_frame(events, "events", _NEEDED)
    if root is not None:
        check_text("root", root, "the id of an event or None")
    check_count("limit", limit, 1)
    check_kind("ids", ids, bool, "True or False")
    trees = trees_of(events)
    start, stop = (0, len(events)) if root is None else _stretch(events, trees, root)
    if start == stop:
        return "(no events)"
    shown = trees.order[start : min(start + limit, stop)]
    level = trees.level[shown] - trees.level[shown[0]]
    lines = []
    bars: list[str] = []  # what stands before the lines below each line that is still open
    words = _words(events.iloc[shown], level, trees.unknown[shown], ids)
    for depth, last, label in zip(level.tolist(), _is_last(trees, start, len(shown)), words, strict=True):
        del bars[max(depth - 1, 0) :]
        lines.append("".join(bars) + ("" if not depth else "└─ " if last else "├─ ") + label)
        if depth:
            bars.append("   " if last else "│  ")
    cut = trees.order[start + len(shown) : stop]
    return "\n".join([*lines, *([_cut(trees, cut, shown, limit)] if len(cut) else [])])


def _paths(kind: pd.Categorical, trees: Trees) -> Column:
    """Return the types above each event and its own, as text. Each round doubles how far up they reach.

    A text is made once for all events that have it.
    """
    code = codes(kind) + 1
    names = ["nan", *map(str, kind.categories)]
    above = trees.parent
    deepest = int(trees.level.max(initial=0)) + 1
    rounds = min(_DOUBLINGS, max((deepest - 1).bit_length(), 1))
    for remaining in reversed(range(rounds)):
        upper = np.where(above >= 0, code[above], -1)
        above = np.where(above >= 0, above[above], -1)
        cut = (above >= 0) | trees.unknown[trees.top] if not remaining else np.zeros(len(code), bool)
        same = Groups(upper, code, cut.astype(np.int64))
        parts = zip(*(each[same.first].tolist() for each in (cut, upper, code)), strict=True)
        names = [
            ("…/" if more else "") + (f"{names[one]}/{names[two]}" if one >= 0 else names[two])
            for more, one, two in parts
        ]
        code = same.number
    return text(names).take(code)


def _stretch(events: pd.DataFrame, trees: Trees, root: str) -> tuple[int, int]:
    """Return the stretch of the pre-order that is below one event."""
    found = np.flatnonzero((events["event_id"] == root).to_numpy(bool)[trees.order])
    if len(found):
        start = int(found[0])
        return start, start + int(trees.descendants[trees.order[start]]) + 1
    left = np.flatnonzero((events["root_id"] == root).to_numpy(bool)[trees.order])
    if not len(left):
        raise ValueError(f"root must be the id of an event in the frame, got {root!r}; see its column 'event_id'")
    run = run_codes(events)[trees.order[left]]
    return int(left[0]), int(left[run == run[0]][-1]) + 1


def _is_last(trees: Trees, start: int, count: int) -> list[bool]:
    """Return which of `count` events, from a place in pre-order on, have no sibling after them."""
    level = np.append(trees.level[trees.order], -1)
    place = np.arange(start, start + count)
    following = place + trees.descendants[trees.order[place]] + 1
    return [bool(last) for last in level[following] < level[place]]


def _words(events: pd.DataFrame, level: Numbers, unknown: Mask, ids: bool) -> list[str]:
    """Return what the line of each event says."""
    rows = np.arange(len(events))
    root = np.maximum.accumulate(np.where(level == 0, rows, 0))
    at = nanoseconds(events, "timestamp")
    since = gap(at, at[root]).tolist()
    sources = events["source"].tolist() if "source" in events else [None] * len(rows)
    columns = zip(events["type"], sources, events["event_id"], level.tolist(), since, unknown.tolist(), strict=True)
    words = []
    for kind, source, event_id, depth, ns, cut in columns:
        told = ["" if pd.isna(value) else _printable(value) for value in (kind, source, event_id)]
        said = (f"…/{told[0]}" if cut else told[0], told[1], _elapsed(ns) if depth else told[2] * ids)
        words.append("  ".join(filter(None, said)))
    return words


def _printable(value: object) -> str:
    shown = str(value)
    return shown if shown.isprintable() else repr(shown)[1:-1]


def _elapsed(ns: int) -> str:
    """Return a time with three digits, such as ``+1.25 ms``."""
    if ns == NAT:
        return ""
    sign = "-" if ns < 0 else "+"
    for unit, size, most in _UNITS:
        digits = f"{abs(ns) / size:.3g}"
        if float(digits) < most:
            return f"{sign}{digits} {unit}"
    return f"{sign}{abs(ns) / _DAY:,.0f} d"


def _cut(trees: Trees, cut: Numbers, shown: Numbers, limit: int) -> str:
    """Return the line that tells what a tree leaves out."""
    here = int((trees.top[cut] == trees.top[shown[-1]]).sum())
    others = int((trees.level[cut] == 0).sum())
    parts = [f"{here:,} of this tree"] if here else []
    if others:
        parts.append(f"{len(cut) - here:,} in {others:,} more {'tree' if others == 1 else 'trees'}")
    return f"… {len(cut):,} more {'event' if len(cut) == 1 else 'events'} not shown (limit={limit}): {', '.join(parts)}"
