"""Tables of the order of events within a case: what follows what, and which ways through there are.

A case is what belongs together: all events with one ``root_id``, of one ``source``, about one
``data.order``. Process mining has the terms; see W. van der Aalst, Process Mining (2016), chapter 6.
"""

from __future__ import annotations

from typing import Literal

from atlas_lab.arguments import check_choice
from atlas_lab.errors import MissingExtraError

from .columns import (
    Column,
    Groups,
    Mask,
    Numbers,
    category,
    check_column,
    check_frame,
    codes,
    column_codes,
    durations,
    gap,
    in_time,
    nanoseconds,
    run_codes,
    text,
)

try:
    import numpy as np
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error


def transitions(events: pd.DataFrame, *, case: str = "root_id") -> pd.DataFrame:
    """Return which type of event directly follows which within a case, how often and after how long.

    Parameters
    ----------
    events : DataFrame, one row per event
        As `to_frame` or ``recording.events`` gives it. Needs ``type``, ``timestamp`` and the column `case`. What
        follows what is told by the timestamps, and by the order of the rows where these are equal: an event of a
        scope reaches the bus above after what its handlers there published, and stands below it in that bus's frame.
    case : str, default "root_id"
        Column whose values say which events belong together, such as ``"source"`` or ``"data.order"``.
        Events without a value are left out; the runs of a frame are kept apart.

    Returns
    -------
    DataFrame, one row per pair of types, the most frequent first
        ========= =============== =====================================================================
        column    dtype
        ========= =============== =====================================================================
        from_type category        the categories of ``type``
        to_type   category        the same
        count     int64           how often `to_type` came directly after `from_type` in a case
        share     float64         of all that came directly after `from_type`, from 0 to 1
        gap_p50   timedelta64[ns] median time between the two
        ========= =============== =====================================================================

    Raises
    ------
    TypeError
        If `events` is not a DataFrame, or `case` not a str.
    ValueError
        If a column is missing.

    Notes
    -----
    This is the directly-follows relation of process mining. The median is a time that occurred: of an
    even number of times, the lower of the middle two.

    Examples
    --------
    >>> from atlas_lab import load_flights, to_frame, transitions
    >>> flights = to_frame(load_flights(), data="expand")
    >>> flights["flight"] = flights["data.carrier"] + flights["data.flight_number"].astype("str")
    >>> transitions(flights, case="flight")[["from_type", "to_type", "count", "gap_p50"]].head(3)
                   from_type                to_type  count         gap_p50
    0  FlightEvent.SCHEDULED  FlightEvent.CANCELLED    472 0 days 00:00:00
    1  FlightEvent.SCHEDULED   FlightEvent.DEPARTED    274 0 days 00:12:00
    2   FlightEvent.DEPARTED    FlightEvent.ARRIVED    272 0 days 02:25:00
    """
    check_frame(events, "events", ("type", "timestamp"))
    events = in_time(events)
    at = nanoseconds(events, "timestamp")
    rows, cases = _cases(events, case)
    kind = category(events, "type")
    code = codes(kind)
    earlier, later = (rows[place] for place in cases.neighbours())
    left, pairs = Groups(code[earlier]), Groups(code[earlier], code[later])
    (median,) = pairs.percentiles(gap(at[later], at[earlier]), 50)
    shown = np.argsort(-pairs.size, kind="stable")
    first = pairs.first[shown]
    return pd.DataFrame(
        {
            "from_type": kind.take(earlier[first]),
            "to_type": kind.take(later[first]),
            "count": pairs.size[shown],
            "share": pairs.size[shown] / left.size[left.number[first]],
            "gap_p50": durations(median[shown]),
        }
    )


def variants(
    events: pd.DataFrame, *, case: str = "root_id", repeats: Literal["count", "fold"] = "count"
) -> pd.DataFrame:
    """Return the different ways in which cases went: each sequence of types, and how many cases took it.

    Parameters
    ----------
    events : DataFrame, one row per event
        As `to_frame` or ``recording.events`` gives it. Needs ``type``, ``timestamp`` and the column `case`. What
        follows what is told by the timestamps, and by the order of the rows where these are equal: an event of a
        scope reaches the bus above after what its handlers there published, and stands below it in that bus's frame.
    case : str, default "root_id"
        Column whose values say which events belong together, such as ``"source"`` or ``"data.order"``.
        Events without a value are left out; the runs of a frame are kept apart.
    repeats : {"count", "fold"}
        Whether a case that has a type twelve times in a row went another way than one that has it nine
        times. With "count" it did, and its variant reads ``B ×12``; with "fold" it did not: both, and one
        that has it once, read ``B ×n``.

    Returns
    -------
    DataFrame, one row per variant, the most frequent first
        ============ =============== ==================================================================
        column       dtype
        ============ =============== ==================================================================
        variant      str             ``A → B ×12 → C``
        cases        int64           how many went this way
        share        float64         of all cases, from 0 to 1
        steps        int64           median number of events; all have the same with repeats="count"
        duration_p50 timedelta64[ns] median time from the earliest to the latest event of a case
        example      of the column   `case` of the first that went this way
        ============ =============== ==================================================================

    Raises
    ------
    TypeError
        If `events` is not a DataFrame, or `case` not a str.
    ValueError
        If a column is missing, or `repeats` is neither of the two.

    Notes
    -----
    A median is a value that occurred: of an even number of cases, that of the lower of the middle two.

    Examples
    --------
    >>> from atlas_lab import load_flights, to_frame, variants
    >>> flights = to_frame(load_flights(), data="expand")
    >>> flights["type"] = flights["type"].str.removeprefix("FlightEvent.")
    >>> flights["flight"] = flights["data.carrier"] + flights["data.flight_number"].astype("str")
    >>> variants(flights, case="flight")[["variant", "cases", "duration_p50", "example"]].head(3)
                              variant  cases    duration_p50 example
    0           SCHEDULED → CANCELLED    472 0 days 00:00:00  MQ4650
    1  SCHEDULED → DEPARTED → ARRIVED    272 0 days 02:43:00   UA571
    2  DEPARTED → SCHEDULED → ARRIVED    183 0 days 02:00:00  US1117
    """
    check_frame(events, "events", ("type", "timestamp"))
    check_choice("repeats", repeats, ("count", "fold"))
    events = in_time(events)
    at = nanoseconds(events, "timestamp")
    rows, cases = _cases(events, case)
    kind = category(events, "type").take(rows[cases.order])
    of_case = cases.number[cases.order]
    begins = _changes(codes(kind), of_case)
    length = np.diff(np.append(begins, len(rows)))
    names = np.array([*map(str, kind.categories), "nan"], object)[codes(kind)[begins]]
    counted = repeats == "count"
    variant = _sequences(codes(kind)[begins], length if counted else np.zeros_like(length), of_case[begins])
    groups = Groups(variant)
    if counted:
        repeated = np.array([f" ×{count}" if count > 1 else "" for count in length.tolist()], object)
    else:
        place = Groups(of_case[begins]).place
        alike = Groups(variant[of_case[begins]], place)
        repeated = np.where(alike.max(length)[alike.number] > 1, " ×n", "")
    (steps,) = groups.percentiles(cases.size, 50)
    (median,) = groups.percentiles(gap(cases.max(at[rows]), cases.min(at[rows])), 50)
    shown = np.argsort(-groups.size, kind="stable")
    example = groups.first[shown]
    return pd.DataFrame(
        {
            "variant": _joined(names + repeated, of_case[begins], example),
            "cases": groups.size[shown],
            "share": groups.size[shown] / max(len(cases.size), 1),
            "steps": steps[shown],
            "duration_p50": durations(median[shown]),
            "example": events[case].array.take(rows[cases.first[example]]),
        }
    )


def _cases(events: pd.DataFrame, case: str) -> tuple[Numbers, Groups]:
    """Return the rows that have a case, and their groups."""
    check_column(events, "case", case)
    code = column_codes(events, case)
    rows = np.flatnonzero(code >= 0)
    return rows, Groups(run_codes(events)[rows], code[rows])


def _changes(*keys: Numbers) -> Numbers:
    """Return the places at which one of the keys differs from the place before; the first is one."""
    changed: Mask = np.zeros(len(keys[0]), bool)
    changed[:1] = True
    for key in keys:
        changed[1:] |= key[1:] != key[:-1]
    return np.flatnonzero(changed)


def _sequences(kind: Numbers, length: Numbers, owner: Numbers) -> Numbers:
    """Return a number for each owner, equal for owners with equal sequences of kinds and lengths.

    In each round neighbours become one, numbered by what both were. After log2 of the longest sequence
    one number is left for each owner, whose equality is that of the whole sequences: all went through
    the same number of rounds, and one without neighbour is told from one with.
    """
    code = Groups(kind, length).number
    begins = _changes(owner)
    while len(begins) < len(code):
        place = Groups(owner).place
        left = np.flatnonzero(place % 2 == 0)
        right = np.full(len(left), -1)
        paired = np.flatnonzero(np.append(owner[1:] == owner[:-1], False)[left])
        right[paired] = code[left[paired] + 1]
        code, owner = Groups(code[left], right).number, owner[left]
        begins = _changes(owner)
    return code


def _joined(pieces: Column, owner: Numbers, chosen: Numbers) -> Column:
    """Return the pieces of each chosen owner as one text."""
    begins = [*_changes(owner).tolist(), len(owner)]
    listed = pieces.tolist()
    return text([" → ".join(listed[begins[one] : begins[one + 1]]) for one in chosen.tolist()])
