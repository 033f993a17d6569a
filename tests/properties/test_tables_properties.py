"""Tables against plain computations of the same: loops over dicts, one row after another."""

import itertools
import math
from collections import Counter, defaultdict
from types import SimpleNamespace

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_lab import Event, EventType, concat_frames, to_frame
from atlas_lab.tables import (
    causality,
    causality_tree,
    diff_runs,
    errors_by_handler,
    handler_latency,
    interarrival,
    middleware_funnel,
    rates,
    stream_quality,
    transitions,
    variants,
)
from tests.frame_builders import deliveries, middleware

TYPES = [EventType.AGENT_STARTED, EventType.STREAM_CHUNK, EventType.AGENT_STOPPED]
STREAM_TYPES = [kind for kind in EventType if kind.name.startswith("STREAM_")]
TIMES = st.one_of(st.integers(0, 40).map(lambda n: n / 4), st.just(math.nan))


@st.composite
def frames(draw, types=TYPES):
    """Frames of one run or two, with parents before, after, missing or in a circle, and ids that repeat."""
    runs = []
    for run in draw(st.sampled_from(["r", "rs"])):
        events = [
            Event(
                draw(st.sampled_from(types)),
                id=f"{draw(st.integers(0, 14))}",
                parent_id=draw(st.none() | st.integers(0, 17).map(str)),
                source=draw(st.sampled_from(["x", "y", None])),
                timestamp=draw(TIMES),
                seq=place,
            )
            for place in range(draw(st.integers(0, 12)))
        ]
        runs.append(to_frame(events, run=run))
    frame = concat_frames(runs)
    if draw(st.booleans()):  # filtered
        frame = frame[np.array([draw(st.integers(0, 3)) > 0 for _ in range(len(frame))], bool)]
    return frame


def plain(frame):
    """Return the rows as dicts in which a missing value is None."""
    return [
        {name: None if name not in {"data", "metadata"} and pd.isna(value) else value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


def in_time(rows):
    """Return rows in the order of their timestamps, those without one last."""
    return sorted(rows, key=lambda row: (row["timestamp"] is None, row["timestamp"] or pd.Timestamp(0, tz="UTC")))


def cases(rows, case):
    found = defaultdict(list)
    for row in in_time(rows):
        if row[case] is not None:
            found[row["run"], row[case]].append(row)
    return list(found.values())


def percentile(values, percent):
    """Return the least value that `percent` of the values, or more, do not exceed."""
    known = sorted(value for value in values if value is not None)
    for value in known:
        if 100 * sum(other <= value for other in known) >= percent * len(known):
            return value
    return None


def since(later, earlier):
    return None if None in (later["timestamp"], earlier["timestamp"]) else later["timestamp"] - earlier["timestamp"]


def check(table, expected, columns=None, *, ordered=True):
    """Assert that the table holds the expected tuples, with missing values as None."""
    columns = columns or list(table)
    found = [tuple(row[name] for name in columns) for row in plain(table)]
    rounded = [
        tuple(round(value, 9) if isinstance(value, float) else value for value in row) for row in (*found, *expected)
    ]
    one, other = rounded[: len(found)], rounded[len(found) :]
    assert one == other if ordered else Counter(one) == Counter(other)


@settings(max_examples=50, deadline=None)
@given(frames(), st.sampled_from(["type", "source", "scope", None]), st.sampled_from(["250ms", "1s", "3s", "1h"]))
def test_rates_are_those_of_a_loop_over_bins(frame, by, every):
    """Every bin from the first event to the last holds each value that occurs, with its plain count."""
    width = pd.Timedelta(every)
    rows = [row for row in plain(frame) if row["timestamp"] is not None]
    of = {row[by] if by else "" for row in rows}
    labels = [label for label in ([*frame[by].cat.categories, None] if by else [""]) if label in of]
    expected = []
    if rows:
        time = min(row["timestamp"] for row in rows).floor(width)
        while time <= max(row["timestamp"] for row in rows):
            for label in labels:
                inside = [row for row in rows if time <= row["timestamp"] < time + width]
                count = len([row for row in inside if not by or row[by] == label])
                expected.append((time, *([label] if by else []), count, count / width.total_seconds()))
            time += width
    check(rates(frame, by=by, every=every), expected)


@settings(max_examples=50, deadline=None)
@given(frames(), st.sampled_from(["type", "source", None]))
def test_interarrival_is_that_of_a_sorted_loop(frame, by):
    """Each gap is the time since the last event of the same run and group, in order of time."""
    rows = plain(frame)
    last, expected = {}, []
    for row in in_time(rows):
        key = (row["run"], row[by] if by else "")
        gap = since(row, last[key]) if key in last else None
        last[key] = row
        expected.append((row["seq"], *([row[by]] if by else []), row["timestamp"], gap))
    check(interarrival(frame, by=by), expected)


@settings(max_examples=50, deadline=None)
@given(frames(), st.sampled_from(["root_id", "source", "type"]))
def test_transitions_are_those_of_neighbours_in_each_case(frame, case):
    """Counts, shares and median gaps are those of a loop over the neighbours in every case."""
    gaps = defaultdict(list)
    for events in cases(plain(frame), case):
        for one, two in itertools.pairwise(events):
            gaps[one["type"], two["type"]].append(since(two, one))
    leaving = Counter()
    for (left, _), found in gaps.items():
        leaving[left] += len(found)
    expected = [
        (one, two, len(found), len(found) / leaving[one], percentile(found, 50)) for (one, two), found in gaps.items()
    ]
    table = transitions(frame, case=case)
    check(table, expected, ordered=False)
    assert table["count"].is_monotonic_decreasing


@settings(max_examples=50, deadline=None)
@given(frames(), st.sampled_from(["root_id", "source"]), st.sampled_from(["count", "fold"]))
def test_variants_are_those_of_a_loop_over_cases(frame, case, repeats):
    """Cases are of one variant exactly if their types are the same in the same order, repeats counted or folded."""
    ways = defaultdict(list)
    for events in cases(plain(frame), case):
        folded = []
        for row in events:
            if folded and folded[-1][0] == row["type"]:
                folded[-1][1] += 1
            else:
                folded.append([row["type"], 1])
        key = tuple((kind, count if repeats == "count" else 0) for kind, count in folded)
        ways[key].append((events, [count for _, count in folded]))
    total = sum(map(len, ways.values()))
    expected = []
    for key, found in ways.items():
        counts = [max(of_case[place] for _, of_case in found) for place in range(len(key))]
        marks = ["" if count == 1 else f" ×{count}" if repeats == "count" else " ×n" for count in counts]
        spans = []
        for events, _ in found:
            known = [row["timestamp"] for row in events if row["timestamp"] is not None]
            spans.append(max(known) - min(known) if known else None)
        expected.append(
            (
                " → ".join(kind + mark for (kind, _), mark in zip(key, marks, strict=True)),
                *(len(found), len(found) / total, percentile([len(events) for events, _ in found], 50)),
                *(percentile(spans, 50), found[0][0][0][case]),
            )
        )
    table = variants(frame, case=case, repeats=repeats)
    check(table, expected, ordered=False)
    assert table["cases"].is_monotonic_decreasing


def walk(frame):
    """Return, in pre-order, each row's place in the frame, its level, descendants, children and path."""
    rows = plain(frame)
    first = {}
    for place, row in enumerate(rows):
        first.setdefault((row["run"], row["event_id"]), place)
    parent = [first.get((row["run"], row["parent_id"])) if row["parent_id"] is not None else None for row in rows]
    circular = []
    for place in range(len(rows)):
        seen, node = set(), place
        while node is not None and node not in seen:
            seen.add(node)
            node = parent[node]
        circular.append(node is not None)
    parent = [None if alone else above for alone, above in zip(circular, parent, strict=True)]
    roots = {}
    for place, row in enumerate(rows):
        roots.setdefault((row["run"], row["root_id"]), place)
    tops = [place for place, above in enumerate(parent) if above is None]
    tops.sort(key=lambda place: (circular[place], roots[rows[place]["run"], rows[place]["root_id"]], place))
    out = []

    def visit(place, level, path):
        children = [child for child, above in enumerate(parent) if above == place]
        entry = [place, level, 0, len(children), path]
        out.append(entry)
        start = len(out)
        for child in children:
            visit(child, level + 1, f"{path}/{rows[child]['type']}")
        entry[2] = len(out) - start

    for top in tops:
        visit(top, 0, ("" if rows[top]["parent_id"] is None else "…/") + rows[top]["type"])
    return rows, out


@settings(max_examples=100, deadline=None)
@given(frames())
def test_causality_is_that_of_a_walk_down_the_children(frame):
    """Order, counts, paths and spans are those of a recursive walk, circles, gaps and repeats included."""
    rows, out = walk(frame)
    expected = []
    for index, (place, _, descendants, children, path) in enumerate(out):
        row = rows[place]
        below = [rows[other[0]]["timestamp"] for other in out[index : index + descendants + 1]]
        known = [time for time in below if time is not None]
        span = None if row["timestamp"] is None else max(known) - row["timestamp"]
        columns = (row["root_id"], row["event_id"], row["parent_id"], row["type"], row["depth"])
        expected.append((*columns, children, descendants, path, span))
    check(causality(frame), expected)


@settings(max_examples=50, deadline=None)
@given(frames(), st.integers(1, 30))
def test_the_printed_tree_has_the_shape_of_the_walk(frame, limit):
    """Each line stands as deep as its event, ends its branch if no sibling follows, and the count of the cut is right."""
    rows, out = walk(frame)
    lines = causality_tree(frame, limit=limit).splitlines()
    if not rows:
        assert lines == ["(no events)"]
        return
    shown, levels = out[:limit], [level for _, level, *_ in out]
    for index, ((place, level, *_), line) in enumerate(zip(shown, lines, strict=False)):
        later = levels[index + 1 :]
        ends = next((other for other in later if other <= level), -1) != level
        prefix = line.partition(rows[place]["type"])[0].removesuffix("…/")
        assert len(prefix) == 3 * level
        if level:
            assert prefix[-3:] == ("└─ " if ends else "├─ ")
        for above in range(1, level):  # a bar hangs wherever an ancestor has a sibling still to come
            following = next((other for other in later if other <= above), -1)
            assert prefix[3 * (above - 1) : 3 * above] == ("│  " if following == above else "   ")
    if len(out) > limit:
        assert lines[limit].startswith(f"… {len(out) - limit} more event") and len(lines) == limit + 1
    else:
        assert len(lines) == len(out)


@settings(max_examples=100, deadline=None)
@given(frames(STREAM_TYPES))
def test_streams_are_those_of_a_state_machine(frame):
    """Streams are those that a reader of the events, one after another, opens and closes."""
    open_streams, streams = {}, []
    for row in in_time(plain(frame)):
        if row["source"] is None:
            continue
        key = row["run"], row["source"]
        if row["type"] == "STREAM_STARTED":
            open_streams[key] = [row]
            streams.append(open_streams[key])
        elif key in open_streams:
            open_streams[key].append(row)
            if row["type"] in {"STREAM_COMPLETED", "STREAM_ERROR"}:
                del open_streams[key]
    expected = []
    for start, *rest in streams:
        gaps, previous, chunks = [], None, []
        for row in rest:
            if row["type"] == "STREAM_PAUSED":
                previous = None
            if row["type"] == "STREAM_CHUNK":
                chunks.append(row)
                gaps.append(None if previous is None else since(row, previous))
                previous = row
        last = [start, *rest][-1]
        ends = {"STREAM_COMPLETED": "completed", "STREAM_ERROR": "error", "STREAM_PAUSED": "paused"}
        expected.append(
            (
                *(start["source"], start["timestamp"], since(chunks[0], start) if chunks else None, len(chunks)),
                *(percentile(gaps, 50), percentile(gaps, 95), percentile(gaps, 100), since(last, start)),
                ends.get(last["type"], "open"),
            )
        )
    check(stream_quality(frame), expected)


CALLS = st.fixed_dictionaries(
    {
        "seq": st.integers(1, 5),
        "type": st.sampled_from(["AGENT_STARTED", "AGENT_STOPPED"]),
        "handler": st.sampled_from(["h", "i", "j"]),
        "duration": st.integers(0, 20),
        "outcome": st.sampled_from(["ok", "error", "skipped"]),
        "error_type": st.sampled_from(["KeyError", "OSError"]),
        "error_message": st.sampled_from(["a", "b", ""]),
    }
).map(lambda one: one if one["outcome"] == "error" else one | {"error_type": None, "error_message": None})


def grouped(rows, *keys):
    found = defaultdict(list)
    for row in rows:
        found[tuple(row[key] for key in keys)].append(row)
    return found


@settings(max_examples=50, deadline=None)
@given(st.lists(CALLS, max_size=40))
def test_latency_is_that_of_a_loop_over_calls(calls):
    """Counts, percentiles and totals by handler are those of a loop, in the order of the totals."""
    expected = []
    for (handler,), rows in grouped(calls, "handler").items():
        took = [row["duration"] for row in rows if row["outcome"] != "skipped"]
        outcomes = Counter(row["outcome"] for row in rows)
        numbers = [*(percentile(took, percent) for percent in (50, 90, 99, 100)), sum(took), sum(took)]
        spans = [None if number is None else pd.Timedelta(number) for number in numbers]
        expected.append((handler, len(took), *spans, outcomes["error"], outcomes["skipped"]))
    expected.sort(key=lambda row: -row[6])  # the place of the total
    check(handler_latency(deliveries(*calls)), expected)


@settings(max_examples=50, deadline=None)
@given(st.lists(CALLS, max_size=40))
def test_errors_are_those_of_a_loop_over_calls(calls):
    """Failures, their share, first and last event and usual message are those of a loop."""
    expected = []
    failed = [row for row in calls if row["outcome"] == "error"]
    for (handler, kind, error), rows in grouped(failed, "handler", "type", "error_type").items():
        ran = [row for row in grouped(calls, "handler", "type")[handler, kind] if row["outcome"] != "skipped"]
        seqs = [row["seq"] for row in rows]
        message = Counter(row["error_message"] for row in rows).most_common(1)[0][0]
        expected.append((handler, kind, error, len(rows), len(rows) / len(ran), min(seqs), max(seqs), message))
    expected.sort(key=lambda row: -row[3])
    check(errors_by_handler(deliveries(*calls)), expected)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["run", ""]),
            st.lists(st.booleans(), min_size=4, max_size=4).filter(any),
            st.sampled_from(["passed", "transformed", "dropped", "raised"]),
            st.integers(0, 3),
        ),
        max_size=15,
    )
)
def test_the_funnel_is_that_of_a_loop_over_events(events):
    """With entries that are switched on and off, counts are those of each entry, and what is left of all that came."""
    names = ["a", "b", "a", "c"]
    rows, counts, came = [], defaultdict(Counter), Counter()
    for number, (scope, enabled, end, length) in enumerate(events):
        on = [place for place in range(4) if enabled[place]]
        if not all(enabled[:3:2]) and any(enabled[:3:2]):  # one of two of a name alone cannot be told from the other
            on = [place for place in on if names[place] != "a"]
        if not on:
            continue
        way = on[: length + 1]
        came[scope] += 1
        for step, place in enumerate(way):
            action = end if place == way[-1] else "passed"
            rows.append(
                {"event_id": f"{number}", "scope": scope, "step": step, "middleware": names[place], "action": action}
            )
            counts[scope, names[place], names[:place].count(names[place])][action] += 1
    expected = [
        (
            *(scope, name, sum(found.values())),
            *(found[action] for action in ("passed", "transformed", "dropped", "raised")),
            pd.Timedelta(sum(found.values())),
            (found["passed"] + found["transformed"]) / came[scope],
        )
        for (scope, name, _), found in counts.items()
    ]
    check(middleware_funnel(middleware(*rows)), expected, ordered=False)


@settings(max_examples=20, deadline=None)
@given(frames(), frames(), st.lists(CALLS, max_size=15), st.lists(CALLS, max_size=15))
def test_the_difference_of_runs_is_that_of_two_counts(one, two, calls, others):
    """Every count and median of the difference is that of a plain count of each run, and no row is missing."""
    runs = [(one, calls), (two, others)]

    def measure(frame, found):
        measured = {}
        rows = plain(frame)
        for kind in {row["type"] for row in rows}:
            gaps = [row["gap"] for row in plain(interarrival(frame, by="type")) if row["type"] == kind]
            measured["event type", kind] = len(gaps), percentile(gaps, 50)
        pairs = defaultdict(list)
        for events in cases(rows, "root_id"):
            for left, right in itertools.pairwise(events):
                pairs[f"{left['type']} → {right['type']}"].append(since(right, left))
        measured |= {("transition", name): (len(gaps), percentile(gaps, 50)) for name, gaps in pairs.items()}
        for (handler,), of_handler in grouped(found, "handler").items():
            took = [pd.Timedelta(row["duration"]) for row in of_handler if row["outcome"] != "skipped"]
            if took:
                measured["handler", handler] = len(took), percentile(took, 50)
        return measured

    a, b = (measure(*run) for run in runs)
    expected = []
    for key in {**a, **b}:
        (count_a, p50_a), (count_b, p50_b) = a.get(key, (0, None)), b.get(key, (0, None))
        ratio = None if None in (p50_a, p50_b) or not p50_a else p50_b / p50_a
        only = "both" if count_a and count_b else "a" if count_a else "b"
        expected.append((*key, count_a, count_b, count_b - count_a, p50_a, p50_b, ratio, only))
    expected.sort(key=lambda row: (row[8] == "both", -abs(row[4])))
    recordings = [
        SimpleNamespace(events=frame, deliveries=deliveries(*found), middleware=middleware()) for frame, found in runs
    ]
    table = diff_runs(*recordings)
    check(table, expected, ordered=False)
    assert [(row[8] == "both", abs(row[4])) for row in expected] == [
        *zip(table["only_in"] == "both", table["change"].abs(), strict=True)
    ]
