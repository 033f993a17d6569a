"""How data becomes the words of a plot: names that cannot break it, counts, times.

A name comes from anywhere: an exception's message, a payload, another machine. `label` is the one way by which
it reaches a plot or a sentence, and `PLAIN` keeps matplotlib from reading mathematics or LaTeX into it.
"""

from __future__ import annotations

import datetime as dt
import math
import unicodedata
from collections.abc import Sequence
from typing import Any

from atlas_lab.errors import MissingExtraError
from atlas_lab.naming import short_repr
from atlas_lab.tables.columns import NAT

try:
    import matplotlib as mpl
    from matplotlib.font_manager import FontProperties, findfont, get_font
except ImportError as error:
    raise MissingExtraError("matplotlib", "lab") from error
try:
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error

PLAIN: dict[str, Any] = {"parse_math": False, "usetex": False}
"""Options of every text that shows data."""

_MOST_MARKS = 2  # above or below one letter
_ROOM = 32  # characters that a name may always take
_UNITS = [
    ("ns", 1, 1000), ("µs", 1_000, 1000), ("ms", 1_000_000, 1000), ("s", 1_000_000_000, 60),
    ("min", 60_000_000_000, 60), ("h", 3_600_000_000_000, 24), ("d", 86_400_000_000_000, float("inf")),
]  # fmt: skip


def text_of(value: object) -> str:
    """Return the text of a value, whatever its own code does."""
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - any code may run in there
        return short_repr(value)


def label(value: object, width: int = 32) -> str:
    r"""Return a value as text of at most `width` characters that no plot can stumble over.

    Parameters
    ----------
    value : object
        A missing one is ``(none)``.
    width : int, default 32
        What is longer loses its middle: ``worker.<loc…on_chunk``.

    Returns
    -------
    str
        On one line. Characters that would not show, or show as something else (control characters, marks
        that change the direction of writing) stand there as in Python source: ``\x07``, ``\u202e``.

    Examples
    --------
    >>> from atlas_lab.plots.lettering import label
    >>> label("line\nbreak"), label(None), label("a" * 20 + "z" * 20, 9)
    ('line\\nbreak', '(none)', 'aaaaa…zzz')
    """
    if value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return "(none)"
    return _shortened(_shown(value if isinstance(value, str) else text_of(value), width), width) or "(empty)"


def _shortened(text: str, width: int) -> str:
    """Return a text without so much of its middle that it has at most `width` characters."""
    if len(text) <= width:
        return text
    kept = width - 1
    return f"{text[: kept - kept * 2 // 5]}…{text[len(text) - kept * 2 // 5 :]}"


def _shown(text: str, width: int) -> str:
    """Return what stands for the characters; of a very long text, for those at its ends."""
    if len(text) > 2 * width:
        text = f"{text[:width]}…{text[-width:]}"
    shown: list[str] = []
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= _MOST_MARKS:
            shown.append(character if character.isprintable() else _escaped(character))
    return "".join(shown)


def drawable(text: str) -> str:
    r"""Return a text as the font in use can draw it: letters that it lacks stand there as in Python source.

    To see letters that DejaVu Sans lacks, name a font that has them in ``rcParams["font.family"]``.

    Examples
    --------
    >>> from atlas_lab.plots.lettering import drawable
    >>> print(drawable("検索 done"))
    \u691c\u7d22 done
    """
    if text.isascii():
        return text
    fonts = [get_font(findfont(FontProperties(family=[family]))) for family in mpl.rcParams["font.family"]]
    drawn = [
        one if one == "\n" or any(font.get_char_index(ord(one)) for font in fonts) else _escaped(one) for one in text
    ]
    return _shortened("".join(drawn), max(len(text), _ROOM))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def plural(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun, such as ``1,431 events``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def enumerated(names: Sequence[str], most: int = 3) -> str:
    """Return names as a person lists them: ``a, b and 3 more``."""
    shown = list(names[:most])
    if len(names) > most:
        return f"{', '.join(shown)} and {len(names) - most:,} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))


def span_text(span: pd.Timedelta | float) -> str:
    """Return a duration, a Timedelta or nanoseconds, with three digits, such as ``1.25 ms``; missing is ``?``."""
    ns = pd.Timedelta(span).as_unit("ns").value
    if ns == NAT:
        return "?"
    sign = "−" if ns < 0 else ""
    if not ns:
        return "0 s"
    for unit, size, most in _UNITS:
        digits = f"{abs(ns) / size:.3g}"
        if float(digits) < most:
            return f"{sign}{digits if 'e' not in digits else f'{float(digits):,.0f}'} {unit}"
    raise AssertionError("days have no end")


def stretch_text(ns: int) -> str:
    """Return the width of a stretch of time as it is read after "each": ``15 min``, ``hour``."""
    whole = {1_000_000_000: "second", 60_000_000_000: "minute", 3_600_000_000_000: "hour", 86_400_000_000_000: "day"}
    return whole.get(ns, span_text(ns))


def moment_text(moment: pd.Timestamp, like: pd.Timestamp | None = None) -> str:
    """Return a moment as its own zone has it, as exact as it is; without its date if `like` has the same."""
    text = moment.strftime("%H:%M:%S") if moment.second or moment.microsecond else moment.strftime("%H:%M")
    if moment.microsecond:
        text += f".{moment.microsecond // 1000:03d}"
    return text if like is not None and moment.date() == like.date() else f"{moment:%Y-%m-%d} {text}"


def zone_text(zone: dt.tzinfo | None) -> str:
    """Return the name of a time zone."""
    return label(getattr(zone, "key", None) or zone or "UTC")


def period_text(first: pd.Timestamp, last: pd.Timestamp) -> str:
    """Return a period of time, such as ``from 2013-02-08 05:00 to 23:59 UTC``."""
    zone = zone_text(first.tzinfo)
    if last - first > pd.Timedelta("1min"):
        # In UTC, because a zone has an hour twice when its summer ends.
        first, last = (one.tz_convert("UTC").floor("s").tz_convert(one.tzinfo) for one in (first, last))
    if first == last:
        return f"at {moment_text(first)} {zone}"
    if moment_text(first, last) == moment_text(last, first) or last - first < pd.Timedelta("1ms"):
        return f"within {span_text(last - first)} from {moment_text(first)} {zone} on"
    return f"from {moment_text(first)} to {moment_text(last, first)} {zone}"


def share_text(share: float) -> str:
    """Return a share in percent that is 0 only for none and 100 only for all."""
    if 0 < share < 0.005:
        return "<1 %"
    if 0.995 <= share < 1:
        return ">99 %"
    return f"{share:.0%}".replace("%", " %")
