"""plot_marbles: who saw which event, in which order."""

import itertools

import pytest
from matplotlib.collections import PathCollection

from atlas_lab import Event, EventBus, EventType, describe, plot_marbles, to_frame
from tests.plot_builders import Run, agents, deliveries, frames_of, key_of, new_axes, nothing, rows, segments, words

MS = 1_000_000


def nested(way):
    """One handler publishes while it handles, another one only sees."""
    bus = EventBus(name=way, nested=way)

    def plan(event):
        if event.type is EventType.AGENT_TASK_ASSIGNED:
            bus.publish(EventType.RETRIEVAL_STARTED)
            bus.publish(EventType.AGENT_TASK_COMPLETED)

    bus.subscribe(None, plan, name="plan")
    bus.subscribe(None, lambda event: None, name="log")
    with bus.record() as run:
        bus.publish(EventType.AGENT_TASK_ASSIGNED)
    return frames_of(run)


def marbles(ax):
    """Return x, row and letter of every marble, from left to right."""
    letters = {text.get_position(): text.get_text() for text in ax.texts if text.get_ha() == "center"}
    collections = [one for one in ax.collections if isinstance(one, PathCollection)]
    found = [tuple(map(float, at)) for one in collections for at in one.get_offsets()]
    return sorted((x, rows(ax)[round(y)], letters[x, y]) for x, y in found)


def crossings(ax):
    """Return how many pairs of the lines between calls of one event cross."""
    lines = [line for line in segments(ax) if line[0][1] != line[1][1]]
    ends = [sorted(line, key=lambda point: point[1]) for line in lines]
    return sum((one[0][0] < two[0][0]) != (one[1][0] < two[1][0]) for one, two in itertools.combinations(ends, 2))


def test_nested_and_queued_delivery_differ_at_a_glance():
    """Immediate delivery shows the second handler the inner events first, and lines cross; queued does not."""
    immediate, queued = nested("immediate"), nested("queued")
    ax = plot_marbles([immediate, queued], ax=new_axes())
    assert rows(ax) == ["immediate", "plan", "log", "queued", "plan", "log"]
    assert [word for word in words(ax) if " " in word] == ["A B C", "B C A", "A B C", "A B C"]
    assert crossings(plot_marbles(immediate, ax=new_axes())) == 2
    assert crossings(plot_marbles(queued, ax=new_axes())) == 0
    assert describe(ax) == ("In immediate, plan saw A B C; log saw B C A. In queued, plan saw A B C; log saw A B C.")


def test_marbles_come_in_the_order_in_which_calls_began():
    """One letter is one event, whoever saw it."""
    ax = plot_marbles(nested("immediate"), ax=new_axes())
    assert marbles(ax) == [
        *((0, "plan", "A"), (1, "plan", "B"), (2, "log", "B"), (3, "plan", "C"), (4, "log", "C"), (5, "log", "A")),
    ]
    assert key_of(ax) == ["AGENT_TASK_ASSIGNED", "RETRIEVAL_STARTED", "AGENT_TASK_COMPLETED"]


def test_a_band_goes_as_far_as_a_call_lasted():
    """What began before a call was over lies in its band."""
    calls = deliveries(
        {"event_id": "a", "handler": "long", "start": 0, "duration": 5 * MS},
        {"event_id": "b", "handler": "short", "start": 2 * MS, "duration": 1 * MS},
        {"event_id": "c", "handler": "short", "start": 4 * MS, "duration": 3 * MS},
        {"event_id": "d", "handler": "short", "start": 7 * MS, "duration": 1 * MS},
    )
    bands = [
        line for line in segments(plot_marbles(calls, ax=new_axes())) if line[0][1] == line[1][1] and line[0][0] >= 0
    ]
    assert bands == [[[0, 0], [2, 0]]]


def test_skipped_calls_are_no_marbles():
    """Who was kept from an event has not seen it."""
    calls = deliveries({"event_id": "a", "handler": "x"}, {"event_id": "a", "handler": "y", "outcome": "skipped"})
    assert rows(plot_marbles(calls, ax=new_axes())) == ["x"]


def test_events_are_marbles_of_their_sources():
    """A frame of events shows who published what; lines go from a cause to what it led to."""
    sent = [
        Event(EventType.AGENT_TASK_ASSIGNED, source="boss", id="a", timestamp=0.0),
        Event(EventType.RETRIEVAL_STARTED, source="worker", timestamp=1.0, parent_id="a"),
        Event(EventType.SYSTEM_HEALTH, source="boss", timestamp=2.0),
    ]
    ax = plot_marbles(to_frame(sent), ax=new_axes())
    assert marbles(ax) == [(0, "boss", "A"), (1, "worker", "B"), (2, "boss", "C")]
    assert [[0, 0], [1, 1]] in segments(ax)
    assert describe(ax) == "In run, boss published A C; worker published B."


def test_the_first_marbles_are_shown_and_all_are_counted():
    """A long run is cut, and the plot says how long it is."""
    ax = plot_marbles(agents(), limit=7, ax=new_axes())
    ran = (agents().deliveries["outcome"] != "skipped").sum()
    assert len(marbles(ax)) == 7
    assert f"the first 7 of {ran}" in words(ax)[-1]


def test_letters_go_on_after_z():
    """Every event has letters of its own."""
    calls = deliveries(*[{"event_id": f"e{place:03d}", "start": place} for place in range(703)])
    ax = plot_marbles(calls, limit=703, ax=new_axes(400))
    letters = [letter for *_, letter in marbles(ax)]
    assert (letters[0], letters[25], letters[26], letters[701], letters[702]) == ("A", "Z", "AA", "ZZ", "AAA")
    assert len(set(letters)) == 703


def test_several_runs_have_names():
    """A mapping names them; without runs, or with one name for two, there is nothing to tell apart."""
    run = nested("immediate")
    assert rows(plot_marbles({"before": run, "after": run}, ax=new_axes()))[::3] == ["before", "after"]
    for wrong in ([run, run], {}, []):
        with pytest.raises(ValueError, match="runs must hold at least one run, each with a name of its own"):
            plot_marbles(wrong)
    with pytest.raises(TypeError, match="runs must be a recording, a DataFrame, a mapping"):
        plot_marbles(3)
    with pytest.raises(TypeError, match="deliveries must be a recording or a DataFrame of deliveries"):
        plot_marbles([3])


def test_a_run_of_several_in_which_nothing_happened_is_told():
    """It has no rows, and words of its own."""
    ax = plot_marbles({"some": nested("queued"), "none": nothing()}, ax=new_axes())
    assert describe(ax).endswith("In none nothing was seen.")
    assert isinstance(nothing(), Run)
