"""A progress bar: only for what lasts, gone in the end, and nothing without tqdm."""

from __future__ import annotations

import sys
import threading

import pytest
import tqdm.auto

from atlas_lab import progress
from atlas_lab.progress import Progress


@pytest.fixture
def bars(monkeypatch):
    """Record the bars that are made."""
    made = []

    class Recorded(tqdm.auto.tqdm):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            made.append(self)

    monkeypatch.setattr("tqdm.auto.tqdm", Recorded)
    return made


def test_what_is_over_at_once_shows_no_bar(bars, monkeypatch, capsys):
    """A cell that takes a moment does not flicker, and leaves no widgets behind."""
    monkeypatch.setattr(progress, "SHOWN_AFTER", 60.0)  # however slow the machine is
    with Progress(3, "replay", "events", show=True) as bar:
        for _ in range(3):
            bar.advance()
    assert bar.done == 3
    assert bars == []
    assert capsys.readouterr() == ("", "")


def test_what_lasts_shows_a_bar_until_it_is_over(bars, monkeypatch, capsys):
    """It starts with what is done already, says what it is, and is closed also when something fails."""
    monkeypatch.setattr(progress, "SHOWN_AFTER", -1.0)
    before = {*threading.enumerate()}
    with pytest.raises(KeyboardInterrupt), Progress(3, "replay", "events", show=True) as bar:
        bar.advance()
        bar.advance()
        assert (bars[0].n, bars[0].total, bars[0].desc, bars[0].disable) == (2, 3, "replay", False)
        raise KeyboardInterrupt
    assert bars[0].disable  # what tqdm calls a bar that was closed
    assert len(bars) == 1
    assert "replay:  33%" in capsys.readouterr().err
    assert {*threading.enumerate()} <= before


def test_a_bar_can_be_turned_off(bars, monkeypatch):
    """A notebook whose output is compared shows none."""
    monkeypatch.setattr(progress, "SHOWN_AFTER", -1.0)
    with Progress(3, "replay", "events", show=False) as bar:
        bar.advance()
    assert (bar.done, bars) == (1, [])


def test_without_tqdm_there_is_no_bar(monkeypatch):
    """Replay works with the core alone."""
    monkeypatch.setattr(progress, "SHOWN_AFTER", -1.0)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with Progress(3, "replay", "events", show=True) as bar:
        bar.advance()
    assert bar.done == 1
