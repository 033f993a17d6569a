"""causality and causality_tree: order, counts, paths, and the text."""

import pandas as pd
import pytest

from atlas_lab import Event, EventType, concat_frames, to_frame
from atlas_lab.tables import causality, causality_tree
from tests.frame_builders import Step, agents, event, seconds


def test_causality_of_agents():
    """Events come below what caused them, with counts, types above and the time to the last descendant."""
    table = causality(agents())
    assert table["event_id"].tolist() == agents()["event_id"].tolist()  # nested publishes happen in this very order
    assert table["children"].tolist()[:9] == [6, 1, 0, 0, 0, 0, 0, 1, 0]
    assert table["descendants"].tolist()[:9] == [8, 1, 0, 0, 0, 0, 0, 1, 0]
    assert table["path"][2] == "AGENT_TASK_ASSIGNED/RETRIEVAL_STARTED/RETRIEVAL_COMPLETED"
    assert seconds(table["span"])[:3] == [1.0, 0.125, 0.0]


def test_pre_order_whatever_the_order_of_rows():
    """Children follow their parent wherever its row is; trees and siblings keep the order of theirs."""
    frame = to_frame([event("b", parent="a"), event("x"), event("d", parent="b"), event("c", parent="a"), event("a")])
    assert causality(frame)["event_id"].tolist() == ["a", "b", "d", "c", "x"]


def test_what_the_frame_lacks_is_told_in_the_path():
    """A parent that was pushed out or filtered out leaves its mark, and its children stay beside one another."""
    frame = to_frame([event("b", Step.B, "gone"), event("x"), event("c", Step.C, "gone"), event("d", Step.A, "b")])
    table = causality(frame)
    assert table["event_id"].tolist() == ["b", "d", "c", "x"]
    assert table["path"].tolist() == ["…/Step.B", "…/Step.B/Step.A", "…/Step.C", "Step.A"]
    assert table["depth"].tolist() == [1, 2, 1, 0] and table["descendants"].tolist() == [1, 0, 0, 0]


def test_events_in_a_circle_come_last_and_alone():
    """Parents in a circle, and what is below it, neither hang nor hide other events."""
    frame = to_frame([event("p", parent="q"), event("q", parent="p"), event("r", parent="q"), event("a")])
    table = causality(frame)
    assert table["event_id"].tolist() == ["a", "p", "q", "r"]
    assert table[["depth", "children", "descendants"]].to_numpy().tolist() == [[0] * 3, *[[-1, 0, 0]] * 3]
    assert table["path"].tolist() == ["Step.A", *["…/Step.A"] * 3]
    assert len(causality_tree(frame).splitlines()) == 4


@pytest.mark.parametrize("backwards", [False, True])
def test_a_very_long_chain(backwards):
    """A chain of 100,000 events neither recurses nor takes quadratic time or memory; its paths are cut."""
    size = 100_000
    chain = [event(f"{n}", Step.A if n % 2 else Step.B, f"{n - 1}" if n else None, timestamp=n) for n in range(size)]
    table = causality(to_frame(chain[::-1] if backwards else chain))
    assert table["event_id"].tolist() == [f"{n}" for n in range(size)]
    assert table["descendants"].tolist() == list(range(size))[::-1]
    assert table["path"].iloc[15].count("/") == 15 and table["path"].iloc[15].startswith("Step.B/")
    assert table["path"].iloc[16] == "…/" + "/".join(["Step.A", "Step.B"] * 8)
    assert table["span"].iloc[0] == pd.Timedelta(size - 1, unit="s")
    assert len(causality_tree(to_frame(chain)).splitlines()) == 201


def test_one_event_listed_twice_has_its_children_once():
    """An event that is in the frame twice, as from two buses, keeps what it led to in one place."""
    frame = to_frame([event("a"), event("b", parent="a"), event("a")])
    table = causality(frame)
    assert table["event_id"].tolist() == ["a", "b", "a"] and table["descendants"].tolist() == [1, 0, 0]


def test_a_parent_is_looked_for_in_its_own_run():
    """A replay has the ids of the first run, and yet is a tree of its own."""
    run = [event("a"), event("b", parent="a")]
    both = concat_frames([to_frame(run, run="one"), to_frame(run, run="two")])
    table = causality(both)
    assert table["event_id"].tolist() == ["a", "b", "a", "b"] and table["descendants"].tolist() == [1, 0, 1, 0]


def test_a_root_of_two_runs_is_shown_for_the_first():
    """An id that two runs have, as after a replay, is not shown twice, whether its event is there or not."""
    both = concat_frames([to_frame([event("b", parent="a"), event("c", parent="a")], run=run) for run in ("x", "y")])
    assert causality_tree(both, "b") == "…/Step.A  b"
    assert causality_tree(both, "a") == "…/Step.A  b\n…/Step.A  c"


TREE = """\
AGENT_TASK_ASSIGNED  boss  a
├─ RETRIEVAL_STARTED  worker  +250 ms
│  ├─ RETRIEVAL_COMPLETED  +1.5 us
│  └─ PROVIDER_ERROR  -2 min
│     └─ AGENT_ERROR
└─ AGENT_TASK_COMPLETED  wor\\nker  +3 d
SYSTEM_HEALTH  x"""


def tree_frame():
    kinds = EventType
    return to_frame(
        [
            Event(kinds.AGENT_TASK_ASSIGNED, id="a", source="boss", timestamp=0.0),
            Event(kinds.RETRIEVAL_STARTED, id="b", parent_id="a", source="worker", timestamp=0.25),
            Event(kinds.RETRIEVAL_COMPLETED, id="c", parent_id="b", timestamp=1.5e-6),
            Event(kinds.PROVIDER_ERROR, id="d", parent_id="b", timestamp=-120.0),
            Event(kinds.AGENT_ERROR, id="e", parent_id="d", timestamp=float("nan")),
            Event(kinds.AGENT_TASK_COMPLETED, id="f", parent_id="a", source="wor\nker", timestamp=3 * 86400.0),
            Event(kinds.SYSTEM_HEALTH, id="x"),
        ]
    )


def test_causality_tree_as_text():
    """Each event is one line below its cause, whatever its source holds, with the time since the root."""
    frame = tree_frame()
    assert causality_tree(frame) == TREE
    assert causality_tree(frame, limit=7) == TREE
    assert causality_tree(frame.iloc[:0]) == "(no events)"
    assert causality_tree(frame.drop(columns="source")).splitlines()[0] == "AGENT_TASK_ASSIGNED  a"


def test_a_tree_without_ids_is_that_of_another_run():
    """Ids differ from run to run, what happened need not; the trees are otherwise the same."""
    frame = to_frame([Event(EventType.AGENT_STARTED, source="a", id="x", timestamp=0.0)])
    other = frame.assign(event_id="y", root_id="y")
    assert causality_tree(frame, ids=False) == causality_tree(other, ids=False) == "AGENT_STARTED  a"
    assert causality_tree(frame) != causality_tree(other)
    with pytest.raises(TypeError, match="ids must be True or False"):
        causality_tree(frame, ids="no")


def test_causality_tree_of_one_event():
    """A root shows it and what is below it; the id of a root that is gone shows what is left of its tree."""
    frame = tree_frame()
    assert causality_tree(frame, "b").splitlines() == [
        *["RETRIEVAL_STARTED  worker  b", "├─ RETRIEVAL_COMPLETED  -250 ms", "└─ PROVIDER_ERROR  -2 min"],
        "   └─ AGENT_ERROR",
    ]
    left = causality_tree(frame.iloc[1:], "a").splitlines()
    assert left[0] == "…/RETRIEVAL_STARTED  worker  b" and left[-1] == "…/AGENT_TASK_COMPLETED  wor\\nker  f"
    with pytest.raises(ValueError, match="root must be the id of an event in the frame, got 'no'"):
        causality_tree(frame, "no")
    with pytest.raises(TypeError, match="root must be the id of an event or None, got int 3"):
        causality_tree(frame, 3)
    with pytest.raises(ValueError, match="limit must be 1 or more, got 0"):
        causality_tree(frame, limit=0)


@pytest.mark.parametrize(
    "limit, root, told",
    [
        (1, None, "… 6 more events not shown (limit=1): 5 of this tree, 1 in 1 more tree"),
        (5, "a", "… 1 more event not shown (limit=5): 1 of this tree"),
        (6, None, "… 1 more event not shown (limit=6): 1 in 1 more tree"),
        (3, "b", "… 1 more event not shown (limit=3): 1 of this tree"),
    ],
)
def test_causality_tree_says_what_was_cut(limit, root, told):
    """The last line of a tree that was cut tells how many events are missing, and where."""
    lines = causality_tree(tree_frame(), root, limit=limit).splitlines()
    assert len(lines) == limit + 1 and lines[-1] == told
