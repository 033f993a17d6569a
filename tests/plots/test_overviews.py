"""overview: a run on one page."""

import io

import matplotlib.pyplot as plt
import pytest

from atlas_lab import describe, load_flights, overview, to_frame
from tests.plot_builders import Run, agents, hostile, nothing, rows


def titles(figure):
    return [ax.get_title(loc="left") for ax in figure.axes]


def test_a_recording_has_its_story_on_one_page():
    """What happened when, who was slow, who failed, where events went; and the words of all of it."""
    run = agents()
    figure = overview(run)
    figure.savefig(io.BytesIO(), dpi=40)
    number, calls, steps = len(run.events), len(run.deliveries), len(run.middleware)
    assert figure.headline == f"run: {number} events, {calls} handler calls, {steps} middleware steps over 3.62 s."
    assert describe(figure) == " ".join([figure.headline, *(describe(ax) for ax in figure.axes)])
    assert titles(figure)[0] == f"{number} events by source"
    assert titles(figure)[2:] == ["Time in handlers", "Errors of handlers", "What middleware did with events"]


def test_the_same_time_is_at_the_same_place():
    """Dots stand above the counts of their time."""
    for run in (agents(), to_frame(load_flights())):
        timeline, rate, *_ = overview(run).axes
        assert timeline.get_xlim() == rate.get_xlim()
        assert timeline.get_xlabel() == "" and rate.get_xlabel() != ""


def test_what_is_missing_is_said():
    """A part without data has a reason in its place, not an empty box."""
    told = describe(overview(nothing()))
    for reason in ("nothing to draw", "no events to count", "no handler was called", "no calls", "no middleware saw"):
        assert reason in told
    quiet = agents().middleware.iloc[:0]
    assert "no middleware saw an event" in describe(overview(Run("r", agents().events, agents().deliveries, quiet)))
    assert describe(overview(agents().events)).count("a frame of events does not tell; a recording does") == 3


def test_pyplot_does_not_know_it():
    """It is shown by being the value of a cell, and so only once."""
    before = plt.get_fignums()
    overview(agents())
    assert plt.get_fignums() == before


def test_frames_are_named_by_their_run():
    """One run gives the page its name, several do not."""
    events = to_frame(load_flights(), run="8 February 2013")
    assert overview(events).headline == "8 February 2013: 2,315 events over 19.1 h."
    assert overview(events.assign(run=None)).headline.startswith("Events: ")
    with pytest.raises(TypeError, match="run must be a recording or a DataFrame of events"):
        overview([])


def test_any_name_can_stand_in_it():
    """The page of a run with hostile names is drawn without a warning."""
    figure = overview(hostile())
    figure.savefig(io.BytesIO(), dpi=40)
    assert describe(figure).isprintable()
    assert len(rows(figure.axes[0])) <= 10
