"""How data becomes the words of a plot."""

import io
import unicodedata

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from atlas_lab import Event, EventType, describe, plot_timeline, to_frame
from atlas_lab.plots.lettering import (
    PLAIN,
    drawable,
    enumerated,
    label,
    moment_text,
    period_text,
    plural,
    share_text,
    span_text,
)

NS = {"µs": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "min": 60_000_000_000, "h": 3_600_000_000_000}


def at(text, zone="UTC"):
    return pd.Timestamp(text, tz=zone)


@pytest.mark.parametrize(
    "value, shown",
    [
        ("plan", "plan"),
        ("$x^2$", "$x^2$"),
        ("two\nlines\x07", "two\\nlines\\x07"),
        ("evil\u202etxt", "evil\\u202etxt"),
        ("lone\udcff", "lone\\udcff"),
        ("検索", "検索"),
        ("e\u0301" + "\u0301" * 9, "e\u0301\u0301"),
        ("", "(empty)"),
        (None, "(none)"),
        (float("nan"), "(none)"),
        (pd.NaT, "(none)"),
        (12, "12"),
    ],
)
def test_a_name_is_one_line_of_what_can_be_seen(value, shown):
    """What would not show, or show as something else, stands there as in Python source."""
    assert label(value) == shown


@pytest.mark.parametrize("width", [5, 9, 32])
def test_a_long_name_keeps_both_ends(width):
    """Names that begin alike, as those of one class do, are still told apart."""
    shown = label("a" * 100 + "z" * 100, width)
    assert len(shown) == width
    assert shown[0] == "a" and shown[-1] == "z" and "…" in shown
    assert label("x" * width, width) == "x" * width


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=80), st.integers(5, 40))
def test_no_text_breaks_a_plot(text, width):
    """Any text is shown within its width and without a warning, mathematics and missing letters or not."""
    shown = label(text, width)
    assert 0 < len(shown) <= max(width, len("(empty)"))
    assert shown.isprintable()
    figure = Figure(figsize=(2, 1))
    figure.text(0, 0, drawable(shown), **PLAIN)
    figure.savefig(io.BytesIO(), dpi=20)


def test_a_million_characters_are_not_all_looked_at():
    """A payload that became a name costs no time: only its ends are read."""

    class Read(str):
        __slots__ = ()

        def __iter__(self):
            raise AssertionError("all of it was read")

    assert label(Read("é" * 1_000_000 + "z")).endswith("z")


def test_letters_that_the_font_lacks_are_still_read_in_words():
    """A sentence is text, whatever the picture can show; in the picture they stand as in Python source."""
    frame = to_frame([Event(EventType.STREAM_CHUNK, source=name, timestamp=0.0) for name in ("検索", "検索", "ab")])
    ax = plot_timeline(frame, ax=Figure().subplots())
    assert "検索 has the most, 2" in describe(ax)
    assert [name.get_text() for name in ax.get_yticklabels()] == ["\\u691c\\u7d22", "ab"]
    assert drawable("é → ×\n検") == "é → ×\n\\u691c"
    assert len(drawable("検" * 20)) == 32


@pytest.mark.parametrize("code", range(0x250, 0x2000, 0x40))
def test_what_the_font_lacks_is_told_apart(code):
    """Two names in letters that the font lacks do not both become boxes."""
    one, two = drawable(label(chr(code))), drawable(label(chr(code + 1)))
    assert one != two
    assert unicodedata.category(one[0]) != "Cn"


@pytest.mark.parametrize(
    "ns, shown",
    [
        (0, "0 s"),
        (1, "1 ns"),
        (999, "999 ns"),
        (1_250 * NS["µs"], "1.25 ms"),
        (999_999, "1 ms"),
        (90 * NS["s"], "1.5 min"),
        (23 * NS["h"], "23 h"),
        (24 * NS["h"], "1 d"),
        (1000 * 24 * NS["h"], "1,000 d"),
        (-5 * NS["ms"], "−5 ms"),
    ],
)
def test_a_time_has_the_unit_that_keeps_it_short(ns, shown):
    """Times from nanoseconds to years are read at a glance, in numbers as in frames."""
    assert span_text(ns) == shown
    assert span_text(pd.Timedelta(round(ns))) == shown


def test_a_missing_time_is_a_question_mark():
    """What is not known is not shown as 0."""
    assert span_text(pd.NaT) == "?"


@pytest.mark.parametrize(
    "share, shown",
    [(0, "0 %"), (0.004, "<1 %"), (0.01, "1 %"), (0.5, "50 %"), (0.996, ">99 %"), (1, "100 %")],
)
def test_none_and_all_are_exact(share, shown):
    """A share reads 0 % only for none, and 100 % only for all."""
    assert share_text(share) == shown


def test_numbers_have_nouns():
    """One is singular, thousands are grouped, long lists are cut."""
    assert [plural(0, "event"), plural(1, "event"), plural(1431, "event")] == ["0 events", "1 event", "1,431 events"]
    assert plural(2, "entry", "entries") == "2 entries"
    assert [enumerated("a"), enumerated("ab"), enumerated("abc"), enumerated("abcd")] == [
        *("a", "a and b", "a, b and c", "a, b, c and 1 more"),
    ]


def test_moments_are_as_exact_as_they_are():
    """Seconds and milliseconds show where there are any; a date where it is another."""
    assert moment_text(at("2013-02-08 22:00")) == "2013-02-08 22:00"
    assert moment_text(at("2013-02-08 22:00:05.25")) == "2013-02-08 22:00:05.250"
    assert moment_text(at("2013-02-08 22:00"), at("2013-02-08 05:00")) == "22:00"


def test_a_period_is_told_in_its_own_zone():
    """The words of a plot have the times that its axis has."""
    zone = "America/New_York"
    assert period_text(at("2013-02-08 05:00", zone), at("2013-02-09 00:06", zone)) == (
        "from 2013-02-08 05:00 to 2013-02-09 00:06 America/New_York"
    )
    assert period_text(at("2013-02-08 05:00:00.5"), at("2013-02-08 06:00:00.5")) == (
        "from 2013-02-08 05:00 to 06:00 UTC"  # over an hour, half a second says nothing
    )
    assert period_text(at("2013-02-08 05:00"), at("2013-02-08 05:00")) == "at 2013-02-08 05:00 UTC"
    assert period_text(at("2013-02-08 05:00"), at("2013-02-08 05:00:00.000019")) == (
        "within 19 µs from 2013-02-08 05:00 UTC on"  # milliseconds do not tell the two apart
    )
    in_summer, in_winter = (
        at("2026-10-25 00:30").tz_convert("Europe/Berlin"),
        at("2026-10-25 01:30").tz_convert("Europe/Berlin"),
    )
    assert (
        period_text(in_summer, in_winter) == "within 1 h from 2026-10-25 02:30 Europe/Berlin on"
    )  # nor does the clock
