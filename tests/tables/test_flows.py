"""transitions and variants: what follows what within a case."""

from collections import Counter
from itertools import count

import pytest
from matplotlib.figure import Figure

from atlas_lab import EventBus, ScopedEventBus, concat_frames, load_flights, plot_transitions, to_frame
from atlas_lab.tables import transitions, variants
from tests.frame_builders import Step, event, seconds


def steps_of(case, kinds, start=0.0):
    return [event(None, Step[kind], source=case, timestamp=start + n) for n, kind in enumerate(kinds)]


def test_transitions_within_a_case():
    """Pairs are counted within a case only, shares are of what leaves a type, and gaps are medians that occurred."""
    frame = to_frame([*steps_of("x", "ABB"), *steps_of("y", "AC", 5.0), *steps_of(None, "AAAA")])
    table = transitions(frame, case="source")
    assert [*zip(table["from_type"], table["to_type"], table["count"], table["share"], strict=True)] == [
        *[("Step.A", "Step.B", 1, 0.5), ("Step.B", "Step.B", 1, 1.0), ("Step.A", "Step.C", 1, 0.5)],
    ]
    assert table["from_type"].dtype == frame["type"].dtype == table["to_type"].dtype
    assert seconds(table["gap_p50"]) == [1, 1, 1]


def test_interleaved_cases_are_told_apart():
    """What happens between two events of a case belongs to its own case."""
    one, other = steps_of("x", "ABC"), steps_of("y", "CCC")
    frame = to_frame([event for pair in zip(one, other, strict=True) for event in pair])
    assert variants(frame, case="source")["variant"].tolist() == ["Step.A → Step.B → Step.C", "Step.C ×3"]


def test_a_cause_comes_before_what_it_led_to():
    """Also on the bus above a scope, which an event reaches after those that its handlers in the scope published."""
    bus = EventBus(clock=count(0.0).__next__)
    scope = ScopedEventBus(parent=bus, scope_name="agent")
    scope.subscribe(Step.A, lambda event: [scope.publish(Step.B), scope.publish(Step.C)])
    scope.publish(Step.A)
    frame = bus.history.to_frame()
    assert frame["type"].tolist() == ["Step.B", "Step.C", "Step.A"]
    assert variants(frame)["variant"].tolist() == ["Step.A → Step.B → Step.C"]
    assert transitions(frame)[["from_type", "to_type"]].to_numpy().tolist() == [
        ["Step.A", "Step.B"],
        ["Step.B", "Step.C"],
    ]
    assert variants(frame.assign(timestamp=frame["timestamp"].min()))["variant"].tolist() == [
        "Step.B → Step.C → Step.A"
    ]
    ax = plot_transitions(frame, ax=Figure().subplots())
    assert [text.get_text() for text in ax.get_yticklabels()] == ["Step.A", "Step.B", "Step.C"]


def test_runs_are_kept_apart():
    """The same case in two runs is two cases."""
    both = concat_frames([to_frame(steps_of("x", "AB"), run=run) for run in ("one", "two")])
    assert transitions(both, case="source")["count"].tolist() == [2]
    assert variants(both, case="source")[["variant", "cases"]].to_numpy().tolist() == [["Step.A → Step.B", 2]]


def test_variants_count_or_fold_repeats():
    """With "count" twelve chunks are another way than two; with "fold" they are one, and its median is told."""
    frame = to_frame([*steps_of("x", "ABBC"), *steps_of("y", "A" + "B" * 12 + "C"), *steps_of("z", "ABC")])
    counted = variants(frame, case="source")
    assert counted["variant"].tolist() == [f"Step.A → Step.B{times} → Step.C" for times in (" ×2", " ×12", "")]
    assert counted["steps"].tolist() == [4, 14, 3] and counted["example"].tolist() == ["x", "y", "z"]
    folded = variants(frame, case="source", repeats="fold")
    assert folded["variant"].tolist() == ["Step.A → Step.B ×n → Step.C"]
    assert folded[["cases", "share", "steps", "example"]].to_numpy().tolist() == [[3, 1.0, 4, "x"]]
    assert seconds(folded["duration_p50"]) == [3.0]
    with pytest.raises(ValueError, match="repeats must be 'count' or 'fold', got 'no'"):
        variants(frame, repeats="no")


def test_variants_of_real_flights():
    """The four ways of a flight on that day are those that the events tell, flight by flight."""
    ways: dict[str, list[str]] = {}
    for flight in load_flights():
        ways.setdefault(f"{flight.data.carrier}{flight.data.flight_number}", []).append(flight.type_name)
    expected = Counter(" → ".join(way) for way in ways.values())
    frame = to_frame(load_flights(), data="expand")
    frame["flight"] = frame["data.carrier"] + frame["data.flight_number"].astype("str")
    table = variants(frame, case="flight")
    assert dict(zip(table["variant"], table["cases"], strict=True)) == expected
    assert table["share"].sum() == pytest.approx(1)
    assert table["cases"].is_monotonic_decreasing and len(table) > 3


def test_the_example_has_the_dtype_of_the_case():
    """A case of numbers or categories is shown as it is, ready to filter by."""
    frame = to_frame([event("a", data={"order": 7}), event("b", data={"order": 7})], data="expand")
    assert variants(frame, case="data.order")["example"].tolist() == [7]
    assert variants(frame, case="data.order")["example"].dtype == "int64"
